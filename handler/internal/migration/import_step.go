package migration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	if t.chunk.Foreign {
		given, err := t.givenBack(ctx)
		if !given {
			t.sum.Waiting = "the migration is taken over by the next tick of ExportTimer"
		}
		return t.summary(), err
	}
	err = errors.Join(err, t.importAfterSearchParameters(ctx), t.closeDone(ctx), t.countRetries(ctx))
	return t.summary(), errors.Join(err, t.noteTick(ctx, destinationSide, err))
}

// importParts are the parts of the step that ask the destination.
func (t *tick) importParts(ctx context.Context) error {
	err := t.pollImports(ctx)
	if halting(err) || ctx.Err() != nil {
		return err
	}
	if t.importsPaused() {
		return errors.Join(err, t.followRetries(ctx))
	}
	return errors.Join(err, t.lookAtFiles(ctx), t.postImports(ctx), t.followRetries(ctx))
}

// pollImports asks, side by side, for every import job that is due, and finishes windows of which all have ended.
func (t *tick) pollImports(ctx context.Context) error {
	errs := make([]error, len(t.windows))
	g := errgroup.Group{}
	g.SetLimit(sideBySide)
	polled, finished := make([]int, len(t.windows)), make([]bool, len(t.windows))
	for i, w := range t.windows {
		if w.Phase() != ledger.Importing {
			continue
		}
		g.Go(func() error {
			t.windows[i], polled[i], errs[i] = t.followImports(ctx, w)
			finished[i] = t.windows[i].Phase() == ledger.Done
			return nil
		})
	}
	g.Wait()
	for i, n := range polled {
		t.sum.Polled += n
		if finished[i] {
			t.sum.Imported++
		}
	}
	return errors.Join(errs...)
}

// followImports polls what is due of w, side by side, and saves all that came of it at once.
func (t *tick) followImports(ctx context.Context, w ledger.Window) (_ ledger.Window, polled int, _ error) {
	due := t.duePolls(ctx, w)
	if len(due) == 0 && w.CompletedCount < len(w.Payloads) {
		return w, 0, nil
	}
	files, err := t.filesOf(ctx, w)
	if err != nil {
		return w, 0, err
	}
	outcomes := make([]importOutcome, len(due))
	g := errgroup.Group{}
	g.SetLimit(sideBySide)
	for n, i := range due {
		g.Go(func() error {
			outcomes[n] = t.pollImport(ctx, w, i, posted(files, w.Payloads[i]))
			return nil
		})
	}
	g.Wait()
	next, moveErrs := w, []error(nil)
	for n, i := range due {
		var err error
		if next, err = t.applyImport(ctx, next, i, outcomes[n], files); err != nil {
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
		t.logCompleted(w, next)
	}
	if next.Phase() == ledger.Importing && next.CompletedCount == len(next.Payloads) {
		next, err = t.finishWindow(ctx, next, files)
		moveErrs = append(moveErrs, err)
	}
	return next, len(due), errors.Join(moveErrs...)
}

func (t *tick) duePolls(ctx context.Context, w ledger.Window) (due []int) {
	for i, p := range w.Payloads {
		if p.State == ledger.Posted && !t.Clock().Before(p.NotBefore.Time()) && t.hasTime(ctx) {
			due = append(due, i)
		}
	}
	return due
}

// filesOf reads what there is to import of w: the files of its manifest, sorted by URL, which payloads name by number. Where an operator has left
// lines out, files without them stand in their places.
func (t *tick) filesOf(ctx context.Context, w ledger.Window) ([]staging.File, error) {
	var files []staging.File
	if w.OriginalFiles {
		taken, err := t.Staging.TakenOver(ctx, w.ExportID)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.Name(), err)
		}
		files = taken.Files()
	} else {
		m, err := t.Staging.Manifest(ctx, w.ExportID)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.Name(), err)
		}
		files = m.ToImport()
	}
	for i, p := range w.Payloads {
		if p.From < 0 || p.To > len(files) || p.From >= p.To || !sameLines(staging.Lines(files[p.From:p.To]), p.Lines) {
			return nil, fmt.Errorf("%s: payload %d is not what its manifest of %d files says", w.Name(), i+1, len(files))
		}
	}
	return files, t.withoutLeftOut(ctx, w, files)
}

// sameLines compares the lines of a payload's files with those on the row, where both are known.
func sameLines(files, row int64) bool { return files == row || files == staging.Unknown }

// posted are the files that payload p posts: all of its own, or those alone that are imported again.
func posted(files []staging.File, p ledger.Payload) []staging.File {
	if len(p.Only) == 0 {
		return files[p.From:p.To]
	}
	only := make([]staging.File, 0, len(p.Only))
	for _, n := range p.Only {
		if n >= p.From && n < p.To {
			only = append(only, files[n])
		}
	}
	return only
}

// others are the files of p that are not imported again.
func others(files []staging.File, p ledger.Payload) (rest []staging.File) {
	for n := p.From; n < p.To; n++ {
		if !slices.Contains(p.Only, n) {
			rest = append(rest, files[n])
		}
	}
	return rest
}

// finishWindow ends a window of which every payload is complete. Refused lines do not hold it: each is kept as an exception
// first, and they are named on the row and in the log.
func (t *tick) finishWindow(ctx context.Context, w ledger.Window, files []staging.File) (ledger.Window, error) {
	if imbalance := balanceTakenOver(w); imbalance != "" {
		next, moveErr := w.Hold(imbalance, t.Clock())
		next, _, err := t.save(ctx, w, next, moveErr)
		return next, err
	}
	refusedByType, note := "", ""
	if w.RefusedCount > 0 {
		all, err := t.refusals(ctx, w, files)
		if err == nil {
			err = t.recordExceptions(ctx, w, all)
		}
		if err != nil {
			return w, err
		}
		refusedByType = staging.CountsText(all.byType)
		note = fmt.Sprintf("%d lines were refused, or left out: see the table of exceptions; error logs: %s", w.RefusedCount, strings.Join(all.logs, " "))
		t.Log.Warn("lines were refused", "event", "Import", "window", w.Number, "refused", refusedByType, "errorLogs", all.logs)
	}
	next, moveErr := w.ImportsDone(refusedByType, note, t.Clock())
	next, _, err := t.save(ctx, w, next, moveErr)
	return next, err
}
