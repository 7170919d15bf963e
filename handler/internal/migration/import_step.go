package migration

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/staging"
)

// ImportStep is one tick of ImportTimer: follows the imports that run, posts what may be posted, and closes windows whose
// books balance. What can be waited for is no error.
func (m *Migration) ImportStep(ctx context.Context) (Summary, error) {
	ctx, cancel := context.WithTimeout(ctx, m.Settings.StepBudget())
	defer cancel()
	t, err := m.begin(ctx, "import")
	if errors.Is(err, ledger.ErrNotFound) && t.chunk.JobID == 0 {
		t.sum.Waiting = "nothing is exported yet"
		return t.summary(), nil
	}
	errs := []error{err}
	for _, part := range []func(context.Context) error{t.pollImports, t.postImports, t.closeDone} {
		err := part(ctx)
		errs = append(errs, err)
		if halting(err) || ctx.Err() != nil {
			break
		}
	}
	return t.summary(), errors.Join(errs...)
}

// pollImports asks, side by side, for every import job that is due, and finishes windows of which all have ended.
func (t *tick) pollImports(ctx context.Context) error {
	errs := make([]error, len(t.windows))
	g := errgroup.Group{}
	g.SetLimit(sideBySide)
	polled := make([]int, len(t.windows))
	for i, w := range t.windows {
		if w.Phase() != ledger.Importing {
			continue
		}
		g.Go(func() error {
			t.windows[i], polled[i], errs[i] = t.followImports(ctx, w)
			return nil
		})
	}
	g.Wait()
	for _, n := range polled {
		t.sum.Polled += n
	}
	return errors.Join(errs...)
}

// followImports polls what is due of w, side by side, and saves all that came of it at once.
func (t *tick) followImports(ctx context.Context, w ledger.Window) (_ ledger.Window, polled int, _ error) {
	due := t.duePolls(ctx, w)
	if len(due) == 0 && w.CompletedCount < len(w.Payloads) {
		return w, 0, nil
	}
	payloads, err := t.payloads(ctx, w)
	if err != nil {
		return w, 0, err
	}
	outcomes := make([]importOutcome, len(due))
	g := errgroup.Group{}
	g.SetLimit(sideBySide)
	for n, i := range due {
		g.Go(func() error {
			outcomes[n] = t.pollImport(ctx, w, i, payloads[i])
			return nil
		})
	}
	g.Wait()
	next, moveErrs := w, []error(nil)
	for n, i := range due {
		var err error
		if next, err = t.applyImport(next, i, outcomes[n]); err != nil {
			moveErrs = append(moveErrs, err)
		}
		if next.Phase() != ledger.Importing && next.Phase() != ledger.Exported {
			break // held, or to be exported again: what else was polled is asked again then
		}
	}
	if len(due) > 0 {
		var saved bool
		if next, saved, err = t.save(ctx, w, next, nil); !saved {
			return next, len(due), errors.Join(append(moveErrs, err)...)
		}
	}
	if next.Phase() == ledger.Importing && next.CompletedCount == len(next.Payloads) {
		next, err = t.finishWindow(ctx, next, payloads)
		moveErrs = append(moveErrs, err)
	}
	return next, len(due), errors.Join(moveErrs...)
}

func (t *tick) duePolls(ctx context.Context, w ledger.Window) (due []int) {
	for i, p := range w.Payloads {
		if p.State == ledger.Posted && (p.NotBefore == nil || !t.Clock().Before(*p.NotBefore)) && t.hasTime(ctx) {
			due = append(due, i)
		}
	}
	return due
}

// payloads derives the files of each payload of w from its manifest, as they were when it was exported: FileCount may have
// been changed since.
func (t *tick) payloads(ctx context.Context, w ledger.Window) ([][]staging.File, error) {
	m, err := t.Staging.Manifest(ctx, w.ExportID)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.Name(), err)
	}
	payloads := m.Payloads(t.Settings.FileCount)
	if sameShape(w, payloads) {
		return payloads, nil
	}
	for fileCount := range len(m.Files) {
		if payloads = m.Payloads(fileCount + 1); sameShape(w, payloads) {
			return payloads, nil
		}
	}
	return nil, fmt.Errorf("%s: its manifest of %d files does not give the %d payloads of its row", w.Name(), len(m.Files), len(w.Payloads))
}

func sameShape(w ledger.Window, payloads [][]staging.File) bool {
	if len(payloads) != len(w.Payloads) {
		return false
	}
	for i, files := range payloads {
		lines := int64(0)
		for _, f := range files {
			lines += f.Count
		}
		if lines != w.Payloads[i].Lines {
			return false
		}
	}
	return true
}

// finishWindow ends a window of which every payload is complete. Refused lines are named on the row and in the log; their
// texts are in the error logs, whose URLs are in the saved results.
func (t *tick) finishWindow(ctx context.Context, w ledger.Window, payloads [][]staging.File) (ledger.Window, error) {
	refusedByType, note := "", ""
	if w.RefusedCount > 0 {
		counts, logs, err := t.refusals(ctx, w, payloads)
		if err != nil {
			return w, err
		}
		refusedByType = staging.CountsText(counts)
		note = fmt.Sprintf("%d lines were refused; error logs: %v", w.RefusedCount, logs)
		t.Log.Warn("lines were refused", "event", "Import", "window", w.Number, "refused", refusedByType, "errorLogs", logs)
	}
	next, moveErr := w.ImportsDone(refusedByType, note, t.Clock())
	next, saved, err := t.save(ctx, w, next, moveErr)
	if saved {
		t.sum.Imported++
	}
	return next, err
}

// refusals reads the saved results of w for which lines were refused.
func (t *tick) refusals(ctx context.Context, w ledger.Window, payloads [][]staging.File) (byType map[string]int64, errorLogs []string, _ error) {
	byType = map[string]int64{}
	for i, p := range w.Payloads {
		if p.Refused == 0 {
			continue
		}
		result, err := t.Staging.ImportResult(ctx, w.ExportID, p.Blob)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", w.Name(), err)
		}
		for typ, n := range result.RefusedByType(payloads[i]) {
			byType[typ] += n
		}
		errorLogs = append(errorLogs, result.ErrorLog...)
	}
	return byType, errorLogs, nil
}
