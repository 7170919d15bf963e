package migration

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"fhirmigration/handler/internal/event"
	"fhirmigration/handler/internal/ledger"
)

// ErrNoWindow: there is no window under that number.
var ErrNoWindow = errors.New("no such window")

// Caller is who asks for an action, and why.
type Caller struct{ By, Reason string }

// act notes an action before it is done, does it, and notes how it ended. A handler that dies in between leaves an action without an
// outcome behind; each action can be asked for again.
func (m *Migration) act(ctx context.Context, name string, window int, c Caller, do func(context.Context, ledger.Action) (outcome string, err error)) error {
	unique := make([]byte, 4)
	if _, err := m.Random.Read(unique); err != nil {
		return fmt.Errorf("note the action: %w", err)
	}
	a, err := m.Ledger.InsertAction(ctx, ledger.NewAction(name, window, c.By, c.Reason, hex.EncodeToString(unique), m.Clock()))
	if err != nil {
		return fmt.Errorf("note the action: %w", err)
	}
	outcome, err := do(ctx, a)
	if err != nil {
		outcome = "not done: " + err.Error()
	}
	ctx, cancel := afterEffect(ctx)
	defer cancel()
	_, saveErr := m.Ledger.SaveAction(ctx, a.Ended(outcome, m.Clock()))
	if errors.Is(saveErr, ledger.ErrConflict) { // our own save, whose reply was lost: nobody else writes the row
		saveErr = nil
	}
	m.Log.Info("an operator acted", "event", event.Operator, "action", name, "actionId", a.ID, "window", window, "by", c.By, "done", err == nil)
	return errors.Join(err, saveErr)
}

// Pause keeps anything new from starting until Resume; what runs is followed. It goes beside the hours of AZURE_PauseDm, and holds imports
// back whatever AZURE_ContinueLastImportDuringPause says.
func (m *Migration) Pause(ctx context.Context, c Caller) (ledger.Wish, error) {
	control, err := m.Ledger.Control(ctx)
	if err != nil {
		return ledger.Wish{}, err
	}
	if control.Pause.Set() {
		return control.Pause, errPaused(control.Pause)
	}
	wish := ledger.Wish{}
	err = m.act(ctx, "Pause", 0, c, func(ctx context.Context, a ledger.Action) (string, error) {
		var other error
		wish = ledger.Wished(a)
		err := m.updateControl(ctx, control, func(c ledger.Control) (ledger.Control, bool) {
			next, ok := c.PauseWished(wish)
			if !ok && c.Pause.Action != a.ID {
				other = errPaused(c.Pause)
			}
			return next, ok
		})
		return "paused", errors.Join(err, other)
	})
	return wish, err
}

func errPaused(w ledger.Wish) error {
	return fmt.Errorf("%w: it is paused by %s since %s: %s", ErrNotNow, w.By, ledger.FormatInstant(w.At), w.Reason)
}

// Resume ends a pause, and a drain.
func (m *Migration) Resume(ctx context.Context, c Caller) error {
	control, err := m.Ledger.Control(ctx)
	if err != nil {
		return err
	}
	if !control.Pause.Set() && !control.Drain.Set() {
		return fmt.Errorf("%w: no operator has paused it", ErrNotNow)
	}
	paused, drained := control.Pause.Action, control.Drain.Action
	return m.act(ctx, "Resume", 0, c, func(ctx context.Context, a ledger.Action) (string, error) {
		err := m.updateControl(ctx, control, func(c ledger.Control) (ledger.Control, bool) {
			ended := false // where it was not, it has ended by now, or it is another wish than the one that was to end
			if c.Pause.Action == paused {
				c, ended = c.PauseEnded()
			}
			if next, ok := c.DrainEnded(); ok && c.Drain.Action == drained {
				c, ended = next, true
			}
			return c, ended
		})
		return "resumed", err
	})
}

// StartNow has the next export tick plan up to the live end, however short that window is, and start it. It never passes the safety lag.
func (m *Migration) StartNow(ctx context.Context, c Caller) error {
	control, err := m.Ledger.Control(ctx)
	if err != nil {
		return err
	}
	return m.act(ctx, "StartNow", 0, c, func(ctx context.Context, a ledger.Action) (string, error) {
		err := m.updateControl(ctx, control, func(c ledger.Control) (ledger.Control, bool) {
			if c.StartNow.Action == a.ID {
				return c, false
			}
			return c.StartNowWished(ledger.Wished(a)), true
		})
		return "the next tick of ExportTimer plans up to the live end", err
	})
}

// operatorPause says whether an operator has paused the migration. The control row was read when the step began to call a service.
func (t *tick) operatorPause() bool {
	p := t.control.Pause
	if p.Set() {
		t.sum.Waiting = fmt.Sprintf("paused by %s since %s (%s) until somebody resumes it", p.By, ledger.FormatInstant(p.At), p.Reason)
	}
	return p.Set()
}

// liveEndPlanned takes the wish to start now back: nothing is left to plan.
func (t *tick) liveEndPlanned(ctx context.Context) error {
	wish := t.control.StartNow
	if !wish.Set() || t.chunk.ExportOnly && t.frontierOpen() {
		return nil
	}
	return t.updateControl(ctx, t.control, func(c ledger.Control) (ledger.Control, bool) { return c.StartNowDone(wish.Action) })
}

// AcceptSettings has the migration go on with pinned settings that changed half-way. It returns what changed: each setting with its value of
// before and its value of now. Jobs at a service that was replaced are forgotten, as their numbers mean nothing at another one; what was
// migrated before stays as it is.
func (m *Migration) AcceptSettings(ctx context.Context, c Caller) (changed string, _ error) {
	t := &tick{Migration: m}
	var err error
	if t, err = m.begin(ctx, "accept settings"); err != nil {
		if t.chunk.JobID == 0 && errors.Is(err, ledger.ErrNotFound) {
			return "", fmt.Errorf("%w: the migration has not begun: it begins with the settings as they are", ErrNotNow)
		}
		return "", err
	}
	pinned, err := m.pinned(ctx)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNotNow, err)
	}
	if changed = t.chunk.PinnedDifference(pinned); changed == "" {
		return "", fmt.Errorf("%w: no setting that must not change half-way differs from what it was at the start", ErrNotNow)
	}
	changed += t.olderLeftOut()
	if m.Settings.IsParallel && t.chunk.ByType() {
		every, err := t.everyType(ctx)
		if err != nil {
			return "", fmt.Errorf("%w: find out which types there are: %w", ErrNotNow, err)
		}
		if n := len(t.chunk.NotPlanned(every)); n > 0 {
			changed += fmt.Sprintf("; %d types were not planned by type, so all are migrated from the beginning on, those that were once more", n)
		}
	}
	return changed, m.act(ctx, "AcceptSettings", 0, c, func(ctx context.Context, a ledger.Action) (string, error) {
		err := t.forgetJobs(ctx, a)
		if err == nil {
			_, err = t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) { return c.Repin(pinned) })
		}
		if err == nil {
			err = m.noteAnonymization(ctx, pinned[ledger.AnonymizationPin])
		}
		return changed, err
	})
}

// olderLeftOut says what an earlier StartDate does not bring: planning does not go back for it.
func (t *tick) olderLeftOut() string {
	was, err := time.Parse(time.RFC3339Nano, t.chunk.Pinned["StartDate"])
	if err != nil || !t.Settings.StartDate.Before(was) { // or it was where the oldest resource is
		return ""
	}
	return fmt.Sprintf("; what was last updated before %s is not migrated by that: it takes a migration of its own, with new table names and that as AZURE_EndDate", ledger.FormatInstant(was))
}

// forgetJobs forgets the jobs at a service that the settings no longer name.
func (t *tick) forgetJobs(ctx context.Context, a ledger.Action) error {
	source, destination := t.pinnedChanged("SourceUri") != nil, t.pinnedChanged("DestinationUri") != nil
	for _, w := range t.windows {
		_, err := t.changeWindow(ctx, w.Number, a, func(w ledger.Window) (ledger.Window, error) {
			var forgot, again bool
			if source {
				w, forgot = w.SourceReplaced(a, t.Clock())
			}
			if destination {
				w, again = w.DestinationReplaced(a, t.Clock())
			}
			if !forgot && !again {
				return w, errUnchanged
			}
			return w, nil
		})
		if err != nil && !errors.Is(err, errUnchanged) {
			return err
		}
	}
	if !destination {
		return nil
	}
	if err := t.forgetRetries(ctx); err != nil {
		return err
	}
	if t.Settings.MigrateSearchParameters && t.chunk.SearchParameterMigration {
		return t.RepeatSearchParameters(ctx)
	}
	return nil
}

// forgetRetries opens the exceptions again whose lines were posted to a destination that was replaced.
func (t *tick) forgetRetries(ctx context.Context) error {
	control, err := t.Ledger.Control(ctx)
	if err != nil {
		return err
	}
	for _, id := range control.Retrying {
		e, err := t.exceptionByID(ctx, id)
		if errors.Is(err, ErrNoException) || err == nil && e.State != ledger.ExceptionPosted {
			continue
		}
		if err == nil {
			e, err = e.Ended(false, "the destination was replaced while its line was imported again", t.Clock())
		}
		if _, err = t.saveException(ctx, e, err); err != nil {
			return err
		}
	}
	return t.updateControl(ctx, control, func(c ledger.Control) (ledger.Control, bool) {
		ok := len(c.Retrying) > 0
		c.Retrying = nil
		return c, ok
	})
}

// errUnchanged ends a change of a window that has nothing to change.
var errUnchanged = errors.New("nothing to change")

// changeWindow applies an operator's move to a window and saves it. When the row was changed meanwhile it is read again and the move decides
// anew; our own save whose reply was lost is recognised by the action's ID.
func (m *Migration) changeWindow(ctx context.Context, number int, a ledger.Action, move func(ledger.Window) (ledger.Window, error)) (ledger.Window, error) {
	for range 10 {
		w, err := m.windowByNumber(ctx, number)
		if err != nil || w.ActedOn(a) {
			return w, err
		}
		next, err := move(w)
		if err != nil {
			return w, err
		}
		next, err = m.Ledger.SaveWindow(ctx, next)
		if !errors.Is(err, ledger.ErrConflict) {
			return next, err
		}
	}
	return ledger.Window{}, fmt.Errorf("save window %d: %w ten times in a row", number, ledger.ErrConflict)
}

func (m *Migration) windowByNumber(ctx context.Context, number int) (ledger.Window, error) {
	w, err := m.Ledger.Window(ctx, number)
	if errors.Is(err, ledger.ErrNotFound) || errors.Is(err, ledger.ErrNotWindow) {
		return w, fmt.Errorf("window %d: %w", number, ErrNoWindow)
	}
	return w, err
}

// ReleaseWindow takes the hold of a window away: it goes on from where it stood.
func (m *Migration) ReleaseWindow(ctx context.Context, number int, c Caller) (ledger.Window, error) {
	return m.moveWindow(ctx, "WindowRelease", number, c, func(w ledger.Window, a ledger.Action) (ledger.Window, error) { return w.Released(a, m.Clock()) })
}

// RetryWindow begins a new attempt at a window now: at a held one from nothing, at one that waits between attempts where it stands.
func (m *Migration) RetryWindow(ctx context.Context, number int, c Caller) (ledger.Window, error) {
	return m.moveWindow(ctx, "WindowRetry", number, c, func(w ledger.Window, a ledger.Action) (ledger.Window, error) { return w.Retried(a, m.Clock()) })
}

// moveWindow does an operator's action that is one move of a window. What the move refuses is not noted.
func (m *Migration) moveWindow(ctx context.Context, name string, number int, c Caller, move func(ledger.Window, ledger.Action) (ledger.Window, error)) (ledger.Window, error) {
	w, err := m.windowByNumber(ctx, number)
	if err != nil {
		return w, err
	}
	if _, err := move(w, ledger.Action{}); err != nil {
		return w, fmt.Errorf("%w: %w%s", ErrNotNow, err, heldBecause(w))
	}
	err = m.act(ctx, name, number, c, func(ctx context.Context, a ledger.Action) (string, error) {
		var err error
		w, err = m.changeWindow(ctx, number, a, func(w ledger.Window) (ledger.Window, error) {
			next, err := move(w, a)
			if err != nil {
				return w, fmt.Errorf("%w: %w", ErrNotNow, err)
			}
			return next, nil
		})
		return "it is " + string(w.Phase()), err
	})
	return w, err
}

func heldBecause(w ledger.Window) string {
	if w.HeldReason == "" {
		return ""
	}
	return " because " + strings.TrimSuffix(w.HeldReason, ".")
}
