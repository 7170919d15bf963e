package migration

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fhirmigration/handler/internal/ledger"
)

// splittable says whether w has an instant inside it: bounds are in milliseconds.
func splittable(w ledger.Window) bool { return w.Till.Sub(w.Since) >= 2*time.Millisecond }

// middle is where w is split: in its middle, but not in the part of it that came back empty.
func middle(w ledger.Window) time.Time {
	at := w.Since.Add(w.Till.Sub(w.Since) / 2).Truncate(time.Millisecond)
	if w.EmptyTill.After(at) && w.EmptyTill.Before(w.Till) {
		return w.EmptyTill
	}
	return at
}

// split begins the split of window i and completes it as far as it gets. The marks on the row come first; with them any
// later tick can complete it, and nothing else happens to the window until then.
func (t *tick) split(ctx context.Context, i int, reason string) error {
	w := t.windows[i]
	next, moveErr := w.SplitMarked(middle(w), t.chunk.JobID, reason, t.Clock())
	w, saved, err := t.save(ctx, w, next, moveErr)
	t.windows[i] = w
	if !saved {
		return err
	}
	t.Log.Warn("window split", "event", "Export", "window", w.Number, "at", ledger.FormatInstant(w.SplitAt), "secondHalf", w.SplitNumber, "reason", reason)
	return t.completeSplit(ctx, i)
}

// completeSplits finishes the splits that a tick left under way.
func (t *tick) completeSplits(ctx context.Context) error {
	var errs []error
	for i := 0; i < len(t.windows); i++ { // completing one may list more
		if t.windows[i].Phase() == ledger.Splitting {
			errs = append(errs, t.completeSplit(ctx, i))
		}
	}
	return errors.Join(errs...)
}

// completeSplit makes the second half of window i a window of its own: insert it, list it, then let the first half end
// where it begins.
func (t *tick) completeSplit(ctx context.Context, i int) error {
	for range 10 { // each round but the last meets a row that is somebody else's
		w := t.windows[i]
		half, err := t.insertHalf(ctx, w)
		if errors.Is(err, errNotOurs) {
			if err = t.renumberSplit(ctx, i); err == nil && t.windows[i].SplitNumber != w.SplitNumber {
				continue
			}
			return err
		}
		if err != nil {
			return fmt.Errorf("split %s: %w", w.Name(), err)
		}
		listed, err := t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) { return c.List(half) })
		if err != nil {
			return fmt.Errorf("split %s: list the second half: %w", w.Name(), err)
		}
		if listed {
			t.windows = append(t.windows, half)
		}
		next, moveErr := w.SplitDone()
		t.windows[i], _, err = t.save(ctx, w, next, moveErr)
		return err
	}
	return fmt.Errorf("split %s: ten numbers in a row were taken", t.windows[i].Name())
}

var errNotOurs = errors.New("the row is not the second half")

// insertHalf inserts the second half of w, or finds it: the row is ours exactly if it is of the same type and begins at SplitAt. Its Till does not
// count, as it may itself have been split meanwhile.
func (t *tick) insertHalf(ctx context.Context, w ledger.Window) (ledger.Window, error) {
	half, err := t.Ledger.InsertWindow(ctx, w.SecondHalf())
	if !errors.Is(err, ledger.ErrExists) {
		return half, err
	}
	half, err = t.Ledger.Window(ctx, w.SplitNumber)
	if errors.Is(err, ledger.ErrNotWindow) || err == nil && (!half.Since.Equal(w.SplitAt) || half.ResourceType != w.ResourceType) {
		return half, errNotOurs
	}
	return half, err
}

// renumberSplit gives the second half of window i the next free number, which is saved before it is used. A row in the way
// that was never listed is adopted first, as planning would.
func (t *tick) renumberSplit(ctx context.Context, i int) error {
	w := t.windows[i]
	var err error
	if t.chunk, err = t.Ledger.Chunk(ctx); err != nil {
		return err
	}
	if w.SplitNumber >= t.chunk.JobID {
		if _, err := t.adopt(ctx, w.SplitNumber); err != nil {
			return err
		}
	}
	next, moveErr := w.SplitRenumbered(t.chunk.JobID)
	t.windows[i], _, err = t.save(ctx, w, next, moveErr)
	return err
}
