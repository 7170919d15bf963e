package migration

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
)

// ErrService: the service did not do what it was asked for.
var ErrService = errors.New("the service did not do it")

// CancelWindow cancels the jobs that a window has at a service, as if they were stuck: an export is forgotten and the window planned again;
// an import is posted again only when its job has reached an end, in two halves where it has more than one file.
func (m *Migration) CancelWindow(ctx context.Context, number int, c Caller) (ledger.Window, error) {
	w, err := m.windowByNumber(ctx, number)
	if err != nil {
		return w, err
	}
	t := &tick{Migration: m}
	if t.chunk, err = m.Ledger.Chunk(ctx); err != nil {
		return w, err
	}
	cancel := map[ledger.Phase]func(context.Context, ledger.Window, ledger.Action) (ledger.Window, error){
		ledger.Exporting: t.cancelExport, ledger.Importing: t.cancelImports,
	}[w.Phase()]
	if cancel == nil || w.Phase() == ledger.Importing && countPosted(w) == 0 {
		return w, fmt.Errorf("%w: %s is %s: no job of it runs%s", ErrNotNow, w.Name(), w.Phase(), heldBecause(w))
	}
	if err := t.pinnedChanged("SourceUri", "DestinationUri"); err != nil {
		return w, fmt.Errorf("%w: the job may be at another service: %w", ErrNotNow, err)
	}
	err = m.act(ctx, "WindowCancel", number, c, func(ctx context.Context, a ledger.Action) (string, error) {
		var err error
		w, err = cancel(ctx, w, a)
		return "it is " + string(w.Phase()), err
	})
	return w, err
}

// cancelExport cancels the export of w. A job that the source does not know is as good as cancelled.
func (t *tick) cancelExport(ctx context.Context, w ledger.Window, a ledger.Action) (ledger.Window, error) {
	job := w.ExportStatusURL
	switch err := t.Source.CancelExport(ctx, job); {
	case kindOf(err) == fhir.Gone:
		return w, fmt.Errorf("%w: the source is retired and cancels no job: %s is followed until it ends", ErrNotNow, w.ExportID)
	case err != nil:
		return w, fmt.Errorf("%w: %w", ErrService, withRole(err, roleExporter, "source"))
	}
	ctx, cancel := afterEffect(ctx)
	defer cancel()
	return t.changeWindow(ctx, w.Number, a, func(w ledger.Window) (ledger.Window, error) {
		if w.ExportStatusURL != job {
			return w, fmt.Errorf("%w: %s is %s by now", ErrNotNow, w.Name(), w.Phase())
		}
		next, err := w.ExportCancelled(a, t.Clock(), t.nextAttempt(0))
		if err != nil { // its end was seen meanwhile
			return w, fmt.Errorf("%w: %w", ErrNotNow, err)
		}
		return next, nil
	})
}

// cancelImports cancels every import of w that runs. One that has ended meanwhile (409) is asked for its result as ever.
func (t *tick) cancelImports(ctx context.Context, w ledger.Window, a ledger.Action) (ledger.Window, error) {
	cancelled := map[string]bool{}
	var errs []error
	for _, p := range w.Payloads {
		if p.State != ledger.Posted || p.Cancelled {
			continue
		}
		err := t.Destination.CancelImport(ctx, p.StatusURL)
		if status := statusOf(err); err != nil && status != http.StatusConflict {
			errs = append(errs, fmt.Errorf("%w: %w", ErrService, withRole(err, roleImporter, "destination")))
			continue
		}
		cancelled[p.StatusURL] = true
	}
	if len(cancelled) == 0 {
		return w, errors.Join(append(errs, fmt.Errorf("%w: no import of %s is left to cancel", ErrNotNow, w.Name()))...)
	}
	ctx, cancel := afterEffect(ctx)
	defer cancel()
	next, err := t.changeWindow(ctx, w.Number, a, func(w ledger.Window) (ledger.Window, error) {
		any := false
		for i, p := range w.Payloads {
			if p.State != ledger.Posted || !cancelled[p.StatusURL] {
				continue
			}
			next, err := w.ImportCancelled(i, fmt.Sprintf("action %s by %s: %s", a.ID, a.By, a.Reason), t.Clock(), t.nextPoll(nil))
			if err != nil {
				return w, fmt.Errorf("%w: %w", ErrNotNow, err)
			}
			w, any = next, true
		}
		if !any {
			return w, fmt.Errorf("%w: the imports of %s have ended by now", ErrNotNow, w.Name())
		}
		return w, nil
	})
	return next, errors.Join(append(errs, err)...)
}
