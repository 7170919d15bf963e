package migration

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"fhirmigration/handler/internal/event"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/preflight"
	"fhirmigration/handler/internal/staging"
)

// writeFilesWithout writes the files of w without the lines that an operator left out; the originals stay as they are. Writing one
// again writes the same, so a tick that dies repeats at most what it did.
func (t *tick) writeFilesWithout(ctx context.Context, w ledger.Window) (ledger.Window, error) {
	out, err := t.Staging.LeftOut(ctx, w.ExportID, w.Preflight.Look)
	if err != nil {
		return w, err
	}
	for n := w.Preflight.Written; n < len(out.Files); n++ {
		if n > w.Preflight.Written && !t.hasLookTime(ctx) {
			next, moveErr := w.FilesWritten(n)
			next, _, err := t.save(ctx, w, next, moveErr)
			return next, err
		}
		if err := t.Staging.PutWithout(ctx, out.Files[n]); err != nil {
			return w, err
		}
	}
	next, moveErr := w.LinesLeftOut()
	next, saved, err := t.save(ctx, w, next, moveErr)
	if saved {
		t.Log.Info("files were written without the lines that are left out", "event", event.Preflight, "window", w.Number, "files", len(out.Files), "by", w.Preflight.By)
	}
	return next, err
}

// leftOutFiles are the files of w of which lines were left out.
func (t *tick) leftOutFiles(ctx context.Context, w ledger.Window) (all []staging.LeftOutFile, _ error) {
	for _, look := range w.Preflight.Applied {
		out, err := t.Staging.LeftOut(ctx, w.ExportID, look)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", w.Name(), err)
		}
		all = append(all, out.Files...)
	}
	return all, nil
}

// withoutLeftOut puts the files that were written without lines in the place of the exported ones.
func (t *tick) withoutLeftOut(ctx context.Context, w ledger.Window, files []staging.File) error {
	left, err := t.leftOutFiles(ctx, w)
	for _, f := range left {
		if f.File < 0 || f.File >= len(files) {
			return fmt.Errorf("%s: lines are left out of file %d of %d", w.Name(), f.File, len(files))
		}
		files[f.File].URL = f.Without
		files[f.File].LeftOut += int64(len(f.Lines))
	}
	return err
}

// recordLeftOut keeps each line that was left out as an exception, while there is room, and counts the others in rest.
func (t *tick) recordLeftOut(ctx context.Context, w ledger.Window, files []staging.LeftOutFile, room int) (named int, rest int64, _ error) {
	rows := errgroup.Group{}
	rows.SetLimit(2 * sideBySide)
	for _, f := range files {
		here := min(len(f.Lines), room-named)
		for _, l := range f.Lines[:here] {
			x := t.leftOutException(w, f, l)
			rows.Go(func() error { return t.Ledger.AddException(ctx, x) })
		}
		named += here
		rest += int64(len(f.Lines) - here)
	}
	return named, rest, rows.Wait()
}

// leftOutException is the exception of a line that was left out. Posted again, the line is taken from the exported file.
func (t *tick) leftOutException(w ledger.Window, f staging.LeftOutFile, l staging.LeftOutLine) ledger.Exception {
	e := refusedFile{typ: f.Type}
	e.InputURL = f.URL
	for i, p := range w.Payloads {
		if f.File >= p.From && f.File < p.To {
			e.payload = i
		}
	}
	x := t.exception(w, e, fmt.Sprintf("left out %d", l.Offset))
	x.Kind, x.ResourceID, x.Line, x.Offset, x.Lines = ledger.Invalid, l.ID, 0, l.Offset, 1
	if l.Kind == string(preflight.Order) {
		x.Kind = ledger.Conflict
	}
	x.Reason = fmt.Sprintf("left out of the import, line %d: %s: %s; accepted by %s: %s", l.Line+1, l.Kind, l.Detail, w.Preflight.By, w.Preflight.Note)
	return x
}

// AcceptFindings has a window that is held for what was found in its files imported without those lines. They become exceptions.
func (m *Migration) AcceptFindings(ctx context.Context, number int, c Caller) (ledger.Window, error) {
	return m.moveWindow(ctx, "PreflightAccept", number, c, func(w ledger.Window, a ledger.Action) (ledger.Window, error) { return w.FindingsAccepted(a, m.Clock()) })
}
