package migration

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/staging"
)

// startExports starts the oldest planned windows, as many as may run together.
func (t *tick) startExports(ctx context.Context) error {
	if t.pinnedChanged() != nil || !t.windowsMayStart() { // planning has said so, or the search parameters go first
		return nil
	}
	running := t.count(ledger.Exporting)
	for _, w := range t.windows {
		if w.Claimed(t.Clock()) {
			running++ // somebody is about to start it
		}
	}
	var errs []error
	for i, w := range t.windows {
		if running >= t.Settings.MaxParallelExports || !t.hasTime(ctx) {
			break
		}
		if w.Phase() != ledger.Planned || w.Claimed(t.Clock()) || t.Clock().Before(w.NotBefore) {
			continue
		}
		next, err := t.startExport(ctx, w)
		t.windows[i] = next
		errs = append(errs, err)
		if halting(err) || kindOf(err) == fhir.Refused { // the next one would be refused as well
			break
		}
		if next.Phase() == ledger.Exporting || next.Claimed(t.Clock()) {
			running++
		}
	}
	return errors.Join(errs...)
}

// startExport claims w, calls $export, and saves the status URL, in that order.
func (t *tick) startExport(ctx context.Context, w ledger.Window) (ledger.Window, error) {
	request, err := t.exportRequest(w)
	if err != nil {
		return w, err
	}
	w, owner, err := t.claim(ctx, w)
	if owner == "" {
		return w, err
	}
	statusURL, err := t.Source.StartExport(ctx, request)
	if err == nil {
		if err = staging.CheckExportID(fhir.JobID(statusURL)); err != nil {
			err = fmt.Errorf("%w: %w", err, t.Source.CancelExport(ctx, statusURL))
		}
	}
	if err != nil {
		return t.kickOffFailed(ctx, w, owner, err)
	}
	t.sum.Started++
	return t.saveExportStarted(ctx, w, owner, statusURL)
}

// smallMaxCount is what an export that was too large is tried again with before its window is split: a tenth of the service's
// default.
const smallMaxCount = 1000

// maxCount is the _maxCount of w's next export, 0 for the service's default.
func (t *tick) maxCount(w ledger.Window) int {
	switch {
	case w.MaxCount > 0:
		return w.MaxCount
	case t.Settings.MaxCount:
		return t.Settings.MaxCountValue
	}
	return 0
}

// canBeSmaller says whether a smaller _maxCount is left to try.
func (t *tick) canBeSmaller(w ledger.Window) bool {
	n := t.maxCount(w)
	return n == 0 || n > smallMaxCount
}

// claim reserves w. owner is "" when another tick has it. Our own claim whose reply was lost is recognised by its owner,
// which is random, and by that alone.
func (t *tick) claim(ctx context.Context, w ledger.Window) (_ ledger.Window, owner string, _ error) {
	id, err := uuid.NewRandomFromReader(t.Random)
	if err != nil {
		return w, "", fmt.Errorf("claim %s: %w", w.Name(), err)
	}
	now := t.Clock()
	claimed, err := w.Claim(id.String(), now, now.Add(t.Settings.ClaimTime()))
	if err != nil {
		return w, "", err
	}
	saved, err := t.Ledger.SaveWindow(ctx, claimed)
	if errors.Is(err, ledger.ErrConflict) {
		if saved, err = t.Ledger.Window(ctx, w.Number); err == nil && !(saved.Claimed(t.Clock()) && saved.ClaimOwner == id.String()) {
			return saved, "", nil
		}
	}
	if err != nil {
		return w, "", err
	}
	return saved, id.String(), nil
}

// kickOffFailed gives the claim back. When it is not known whether the source started the job, a possible orphan is
// recorded: $export only reads, so starting it again is harmless, but not free.
func (t *tick) kickOffFailed(ctx context.Context, w ledger.Window, owner string, cause error) (ledger.Window, error) {
	orphan := maybeStarted(cause)
	if passing(cause) || kindOf(cause) != 0 { // an answer that is not the job's outcome is no failed attempt
		next, moveErr := w.ClaimDropped(owner, cause.Error(), orphan, t.Clock(), t.nextPoll(cause))
		next, _, err := t.save(ctx, w, next, moveErr)
		t.Log.Info("the source did not take the export now", "window", w.Number, "error", cause.Error())
		if passing(cause) {
			return next, err
		}
		return next, errors.Join(fmt.Errorf("%s: %w", w.Name(), withRole(cause, roleExporter, "source")), err)
	}
	t.Log.Warn("export refused", "event", "Export", "window", w.Number, "reason", cause.Error())
	failed := w
	if orphan {
		failed = w.OrphanRecorded("unknown, started by "+owner, t.Clock())
	}
	next, moveErr := failed.ExportFailed(cause.Error(), t.Clock(), t.nextAttempt(w.Attempts), t.maxAttempts())
	next, _, err := t.save(ctx, w, next, moveErr)
	return next, errors.Join(fmt.Errorf("%s: %w", w.Name(), cause), err)
}

// maybeStarted says whether a kick-off that failed may have started a job all the same: there was no answer, or one that no
// FHIR service gave.
func maybeStarted(err error) bool {
	var e *fhir.Error
	return !errors.As(err, &e) || e.Status == 0 || e.Status >= 500 || e.Status < 300
}

// saveExportStarted saves the status URL of a job that runs. Whoever cannot save it cancels the job, except when the row
// names it: then the save was ours and its reply was lost. Where it is not known what the row says, the job is left alone
// and the claim runs out; who takes it over records a possible orphan.
func (t *tick) saveExportStarted(ctx context.Context, w ledger.Window, owner, statusURL string) (ledger.Window, error) {
	ctx, cancel := afterEffect(ctx)
	defer cancel()
	for range 5 {
		next, err := w.ExportStarted(owner, statusURL, fhir.JobID(statusURL), t.Clock(), t.nextPoll(nil))
		if err != nil {
			return w, t.disown(ctx, w.Number, statusURL)
		}
		next, err = t.Ledger.SaveWindow(ctx, next)
		if err == nil {
			t.Log.Info("export started", "event", "Export", "window", next.Number, "type", next.ResourceType, "exportId", next.ExportID,
				"since", ledger.FormatInstant(next.Since), "till", ledger.FormatInstant(next.Till), exportTelemetry(next, jobStarted, ledger.Unknown, ""))
			return next, nil
		}
		if !errors.Is(err, ledger.ErrConflict) {
			return w, err
		}
		if w, err = t.Ledger.Window(ctx, w.Number); err != nil {
			return w, err
		}
		if w.ExportStatusURL == statusURL {
			return w, nil
		}
	}
	return w, t.disown(ctx, w.Number, statusURL)
}

// disown cancels a job that window number does not name, and records it on the row where that is not possible.
func (t *tick) disown(ctx context.Context, number int, statusURL string) error {
	cause := t.Source.CancelExport(ctx, statusURL)
	if cause == nil {
		t.Log.Info("export cancelled: another tick has the window", "window", number, "exportId", fhir.JobID(statusURL))
		return nil
	}
	_, err := ledger.Again(ctx, func() (ledger.Window, error) {
		w, err := t.Ledger.Window(ctx, number)
		if err != nil || w.ExportStatusURL == statusURL {
			return w, err
		}
		return t.Ledger.SaveWindow(ctx, w.OrphanRecorded(statusURL, t.Clock()))
	})
	if err != nil {
		return fmt.Errorf("record orphan export %s of window %d: %w", statusURL, number, errors.Join(cause, err))
	}
	return nil
}
