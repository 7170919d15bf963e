package migration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
)

// longestOutagePause is the longest time in which a service that gives no answer is not asked: a service that is back is noticed
// within it.
const longestOutagePause = 10 * time.Minute

// side is one of the two FHIR services, as far as its outages go.
type side struct {
	name   string
	outage func(*ledger.Control) *ledger.Outage
	tick   func(*ledger.Control) *ledger.Tick // of the timer whose step asks it
}

var (
	sourceSide = side{"source", func(c *ledger.Control) *ledger.Outage { return &c.Source },
		func(c *ledger.Control) *ledger.Tick { return &c.Export }}
	destinationSide = side{"destination", func(c *ledger.Control) *ledger.Outage { return &c.Destination },
		func(c *ledger.Control) *ledger.Tick { return &c.Import }}
)

// answers collects how the calls of one step ended.
type answers struct {
	mu       sync.Mutex
	answered int
	missed   error // the last one that got no answer
	retired  bool  // one was refused because the service answers exports alone
}

func (a *answers) observe(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded): // the step's own end says nothing
	case kindOf(err) == fhir.Transient:
		a.missed = err
	default:
		a.answered++
		a.retired = a.retired || kindOf(err) == fhir.Gone
	}
}

// watched runs a step's calls to one service, unless the service is out and is not to be asked yet. An outage is said once when it
// begins and once when it is over, however many ticks are in between; how long is waited is kept in the control row, so that it
// grows over ticks and ends by itself.
func (t *tick) watched(ctx context.Context, s side, calls func(context.Context) error) error {
	control, err := t.Ledger.Control(ctx)
	if err != nil {
		return err
	}
	t.control, t.controlRead = control, true
	out := *s.outage(&control)
	if now := t.Clock(); now.Before(out.NotBefore) {
		t.sum.Waiting = fmt.Sprintf("the %s gives no answer since %s and is asked again at %s: %s", s.name, ledger.FormatInstant(out.Since), ledger.FormatInstant(out.NotBefore), out.Reason)
		return nil
	}
	a := &answers{}
	err = calls(fhir.WithObserver(ctx, a.observe))
	if a.retired && s.name == sourceSide.name {
		err = errors.Join(err, t.noteRetired(ctx))
	}
	return errors.Join(err, t.noteOutage(ctx, s, control, a))
}

// noteOutage saves what a step has learnt of a service, if that is anything new.
func (t *tick) noteOutage(ctx context.Context, s side, control ledger.Control, a *answers) error {
	ctx, cancel := afterEffect(ctx)
	defer cancel()
	out := *s.outage(&control)
	switch {
	case a.answered > 0 && !out.Since.IsZero():
		t.Log.Info("the "+s.name+" answers again", "event", "Outage", "after", t.Clock().Sub(out.Since).Round(time.Second).String(), "tries", out.Tries)
		out = ledger.Outage{}
	case a.answered == 0 && a.missed != nil:
		if out.Since.IsZero() {
			t.Log.Warn("the "+s.name+" gives no answer; it is asked again until it does", "event", "Outage", "error", a.missed.Error())
		}
		out = out.Missed(a.missed.Error(), t.Clock(), t.Clock().Add(t.outagePause(out.Tries, a.missed)))
		out.Throttled = statusOf(a.missed) == http.StatusTooManyRequests
	default:
		return nil
	}
	return t.updateControl(ctx, control, func(c ledger.Control) (ledger.Control, bool) {
		*s.outage(&c) = out
		return c, true
	})
}

// updateControl applies change to the control row and saves it; when the row was changed meanwhile it is read again. change
// returns false where there is nothing (left) to do.
func (m *Migration) updateControl(ctx context.Context, c ledger.Control, change func(ledger.Control) (ledger.Control, bool)) error {
	_, err := ledger.Again(ctx, func() (ledger.Control, error) {
		next, ok := change(c)
		if !ok {
			return c, nil
		}
		saved, err := m.Ledger.SaveControl(ctx, next)
		if errors.Is(err, ledger.ErrConflict) {
			if read, readErr := m.Ledger.Control(ctx); readErr == nil {
				c = read
			} else {
				err = readErr
			}
		}
		return saved, err
	})
	return err
}

// outagePause grows from the poll interval to ten minutes, less up to a quarter by chance, so that many migrations do not all come
// back at once; never less than the service asked for.
func (t *tick) outagePause(tries int, cause error) time.Duration {
	pause := t.Settings.PollInterval()
	for range min(tries, 20) {
		pause = min(2*pause, longestOutagePause)
	}
	pause = t.lessByChance(pause)
	var e *fhir.Error
	if errors.As(cause, &e) {
		pause = max(pause, e.RetryAfter)
	}
	return pause
}
