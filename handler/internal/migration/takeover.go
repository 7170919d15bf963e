package migration

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fhirmigration/handler/internal/event"
	"fhirmigration/handler/internal/ledger"
)

// takeOver reads once what the original left in the tables, and notes in one save of the chunk row what is open. It is begun anew when
// it dies before that: nothing else happens until it is done. done is false when the next tick has to look again.
func (t *tick) takeOver(ctx context.Context) (done bool, _ error) {
	survey, err := t.Ledger.Survey(ctx, t.chunk, !t.Settings.IsParallel, t.Clock())
	if err != nil {
		return false, err
	}
	if t.Settings.IsParallel && survey.ByType {
		return false, t.shown(errByType)
	}
	for _, hole := range survey.Holes {
		_, err := t.Ledger.InsertWindow(ctx, hole)
		if errors.Is(err, ledger.ErrExists) { // by a tick that does the same, or did and died: the next survey sees the row
			t.sum.Waiting = "another handler takes the migration over"
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("take over: %w", err)
		}
	}
	next, ok := t.chunk.TakenOver(survey)
	if !ok {
		return true, nil
	}
	if t.Settings.IsParallel {
		next = next.AsAWhole()
	} else {
		if why := survey.OtherTypes(next, t.Settings.Types(), len(t.Settings.ResourceTypes) == 0); why != "" {
			return false, t.shown(errOtherTypes(why))
		}
		if survey.Reached == nil {
			survey.Reached = map[string]time.Time{}
		}
		next, _ = next.AdoptTypes(t.Settings.Types(), survey.Reached)
		next = next.KnowTypes(t.Settings.Types())
	}
	_, err = t.Ledger.SaveChunk(ctx, next)
	if errors.Is(err, ledger.ErrConflict) { // the survey may be out of date: another handler was first, or the original still runs
		t.Log.Warn("the chunk row was changed while the migration was taken over; if the original still runs, stop it", "event", event.TakenOver)
		t.sum.Waiting = "the chunk row was changed while the migration was taken over"
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("take over: %w", err)
	}
	f := survey.Figures
	t.Log.Info("migration taken over", "event", event.TakenOver, "till", ledger.FormatInstant(next.Watermark), "plannedTill", ledger.FormatInstant(next.PlannedTill),
		"complete", f.Complete, "open", f.Open, "repairs", f.Repairs, "superseded", f.Superseded, "uncounted", f.Uncounted, "exported", f.Exported, "imported", f.Imported)
	if f.Repairs > 0 {
		t.Log.Warn("windows that the original closed hide failed imports, or lines that were refused or not imported; they are opened again", "event", event.TakenOver, "windows", f.Repairs)
	}
	return true, nil
}

// reopen opens windows again that the original closed although something of them was not imported, as there is room: the row first, then
// it is listed.
func (t *tick) reopen(ctx context.Context) error {
	for len(t.chunk.Repairs) > 0 && t.roomForOne() {
		w, err := t.Ledger.Window(ctx, t.chunk.Repairs[0].Number)
		if err != nil {
			return fmt.Errorf("open a window of the original again: %w", err)
		}
		closed := w
		if next, moveErr := w.Reopened(t.Clock()); moveErr == nil { // else it was opened by a tick that died before it was listed
			saved := false
			if w, saved, err = t.save(ctx, w, next, nil); !saved {
				return err
			}
		}
		listed, err := t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) { return c.Reopened(w.Number) })
		if err != nil {
			return fmt.Errorf("open %s again: %w", w.Name(), err)
		}
		if t.chunk.Foreign && closed.TakenOver.IsZero() { // given back meanwhile: it is found again when it is taken over
			next, moveErr := w.ClosedAgain(closed)
			_, _, err := t.save(ctx, w, next, moveErr)
			return err
		}
		if listed {
			t.windows = append(t.windows, w)
			t.Log.Warn("window opened again: an import of the original failed, or lines were refused or not imported", "event", event.TakenOver, "window", w.Number,
				"since", ledger.FormatInstant(w.Since), "till", ledger.FormatInstant(w.Till))
		}
	}
	return nil
}
