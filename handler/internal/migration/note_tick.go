package migration

import (
	"context"
	"errors"

	"fhirmigration/handler/internal/ledger"
)

// noteTick notes in the control row that a step of a timer ended, how it failed or what it waits for: the page tells from it a timer that does not fire,
// what is to be mended, and whether the de-identification configuration is the one that is pinned. A step that has nothing to do saves it every few
// minutes only, and reads nothing for it.
func (t *tick) noteTick(ctx context.Context, s side, failed error) error {
	ctx, cancel := afterEffect(ctx)
	defer cancel()
	if !t.controlRead {
		var err error
		if t.control, err = t.Ledger.Control(ctx); err != nil {
			return err
		}
	}
	text := ""
	if failed != nil {
		text = failed.Error()
	}
	next, ended := s.tick(&t.control).Ended(text, t.sum.Waiting, t.Clock())
	*s.tick(&t.control) = next
	found := false
	if t.control, found = t.control.AnonymizationFound(t.anonymizationETag); !ended && !found {
		return nil
	}
	_, err := t.Ledger.SaveControl(ctx, t.control)
	if errors.Is(err, ledger.ErrConflict) || errors.Is(err, ledger.ErrNotFound) {
		return nil // the row was changed in this step, or there is no table yet: the next tick notes it
	}
	return err
}
