package migration

import (
	"context"
	"errors"
	"fmt"

	"fhirmigration/handler/internal/event"
	"fhirmigration/handler/internal/ledger"
)

// Drain ends what is open, starts nothing new, and then gives the tables back to the original: its own queries find nothing in flight, and
// a watermark from which it goes on. Resume ends it; once the tables are given back, that takes the migration over again.
func (m *Migration) Drain(ctx context.Context, c Caller) (ledger.Wish, error) {
	chunk, err := m.begun(ctx)
	if err != nil {
		return ledger.Wish{}, err
	}
	control, err := m.Ledger.Control(ctx)
	if err != nil {
		return ledger.Wish{}, err
	}
	if control.Drain.Set() {
		return control.Drain, errDraining(control)
	}
	if chunk.Foreign {
		return ledger.Wish{}, fmt.Errorf("%w: the tables are the original's: nothing was taken over yet", ErrNotNow)
	}
	wish := ledger.Wish{}
	err = m.act(ctx, "Drain", 0, c, func(ctx context.Context, a ledger.Action) (string, error) {
		var other error
		wish = ledger.Wished(a)
		err := m.updateControl(ctx, control, func(c ledger.Control) (ledger.Control, bool) {
			next, ok := c.DrainWished(wish)
			if !ok && c.Drain.Action != a.ID {
				other = errDraining(c)
			}
			return next, ok
		})
		return "what is open is ended, then the tables are given back", errors.Join(err, other)
	})
	return wish, err
}

func errDraining(c ledger.Control) error {
	if !c.Drained.IsZero() {
		return fmt.Errorf("%w: it is drained since %s", ErrNotNow, ledger.FormatInstant(c.Drained))
	}
	return fmt.Errorf("%w: it is being drained for %s since %s: %s", ErrNotNow, c.Drain.By, ledger.FormatInstant(c.Drain.At), c.Drain.Reason)
}

// begun reads the chunk row of a migration that has begun.
func (m *Migration) begun(ctx context.Context) (ledger.Chunk, error) {
	chunk, err := m.Ledger.Chunk(ctx)
	if errors.Is(err, ledger.ErrNotFound) {
		return chunk, fmt.Errorf("%w: the migration has not begun", ErrNotNow)
	}
	return chunk, err
}

// draining says whether the migration is being given back to the original.
func (t *tick) draining() bool {
	d := t.control.Drain
	if d.Set() {
		t.sum.Waiting = fmt.Sprintf("drained for %s (%s): nothing new starts, %d windows are open; POST /api/Resume ends it", d.By, d.Reason, len(t.chunk.Open))
	}
	return d.Set()
}

// givenBack says whether the tables are the original's for now, as an operator has wished.
func (t *tick) givenBack(ctx context.Context) (bool, error) {
	var err error
	if t.control, err = t.Ledger.Control(ctx); err != nil || !t.control.Drain.Set() {
		return false, err
	}
	t.sum.Waiting = "the tables are given back to the original; POST /api/Resume takes the migration over again, once the original is stopped"
	return true, t.noteDrained(ctx)
}

// giveBack ends a drain when nothing is left to end: the windows first, then the chunk row.
func (t *tick) giveBack(ctx context.Context) error {
	if !t.draining() || len(t.control.Retrying) > 0 {
		return nil
	}
	for _, w := range t.windows {
		if p := w.Phase(); p != ledger.Planned && p != ledger.Held && p != ledger.Superseded || w.Claimed(t.Clock()) {
			return nil
		}
	}
	if found, err := t.listUnlisted(ctx); found || err != nil {
		return err
	}
	for i, w := range t.windows {
		if w.Phase() == ledger.Superseded {
			continue
		}
		next, moveErr := w.GivenBack(t.Clock())
		next, saved, err := t.save(ctx, w, next, moveErr)
		if !saved {
			return err
		}
		t.windows[i] = next
	}
	checks, err := t.Ledger.Checks(ctx)
	if err != nil {
		return err
	}
	given := len(t.windows)
	done, err := t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) {
		if len(c.Open) != given { // planned meanwhile by a tick that began before the drain
			return c, false
		}
		return c.GivenBack(checks)
	})
	if err != nil || !done {
		return err
	}
	t.windows = nil
	return t.noteDrained(ctx)
}

// listUnlisted lists windows that a tick inserted, or opened again, before it died: in the tables of the original they would be work in
// flight for ever.
func (t *tick) listUnlisted(ctx context.Context) (found bool, err error) {
	if found, err := t.adopt(ctx, t.chunk.JobID); found || err != nil || len(t.chunk.Repairs) == 0 {
		return found, err
	}
	w, err := t.Ledger.Window(ctx, t.chunk.Repairs[0].Number)
	if err != nil {
		return false, fmt.Errorf("look whether a window of the original was opened again: %w", err)
	}
	if w.TakenOver.IsZero() {
		return false, nil
	}
	return t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) { return c.Reopened(w.Number) })
}

// notPlanned gives back a window that this tick inserted when the tables had just been given back: its row is no work in flight, and its number not free.
func (t *tick) notPlanned(ctx context.Context, w ledger.Window) error {
	ctx, cancel := afterEffect(ctx)
	defer cancel()
	next, moveErr := w.GivenBack(t.Clock())
	if _, _, err := t.save(ctx, w, next, moveErr); err != nil {
		return fmt.Errorf("give %s back: %w", w.Name(), err)
	}
	_, err := t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) { return c.Skip(w.Number) })
	return err
}

func (t *tick) noteDrained(ctx context.Context) error {
	if !t.control.Drained.IsZero() {
		return nil
	}
	t.Log.Info("drained: the original may go on, once this handler's timers are disabled", "event", event.TakenOver, "till", ledger.FormatInstant(t.chunk.Watermark), "jobId", t.chunk.JobID)
	return t.updateControl(ctx, t.control, func(c ledger.Control) (ledger.Control, bool) { return c.DrainDone(t.Clock()) })
}

// takeBack plans windows again that a drain had given back when it was called off.
func (t *tick) takeBack(ctx context.Context) error {
	var errs []error
	for i, w := range t.windows {
		if w.Phase() != ledger.Superseded {
			continue
		}
		next, moveErr := w.TakenBack(t.Clock())
		next, _, err := t.save(ctx, w, next, moveErr)
		t.windows[i] = next
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
