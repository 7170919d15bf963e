package functionshost

import (
	"context"
	"sync"
	"time"
)

// timer fires one function on its schedule.
//
// The next firing is armed only when a run has ended, and is the first occurrence after the run's begin. So runs of one timer never overlap; a run
// longer than the interval is followed by one immediate run; and all further slots it has missed are merged into that (host).
type timer struct {
	schedule     schedule
	runOnStartup bool
	clock        func() time.Time
	fire         func(ctx context.Context, cause string, status timerStatus) // returns when the run has ended

	mu     sync.Mutex
	status timerStatus
}

func newTimer(f *function, clock func() time.Time, fire func(context.Context, string, timerStatus)) *timer {
	t := &timer{schedule: f.schedule, runOnStartup: f.runOnStartup, clock: clock, fire: fire}
	t.status.next = f.schedule.next(clock())
	return t
}

// run fires until the context ends. The clock says where in the schedule it is; waiting takes real time.
func (t *timer) run(ctx context.Context) {
	next := t.current().next
	if t.runOnStartup {
		next = t.runOnce(ctx, causeStartup, t.clock())
	}
	for !next.IsZero() && sleep(ctx, next.Sub(t.clock())) {
		at := t.clock()
		if at.Before(next) {
			at = next // woken a little early; the same slot must not come twice
		}
		next = t.runOnce(ctx, causeSchedule, at)
	}
}

// runOnce fires and returns when to fire next. The status shown to the run is the one before it; failed or not, the run advances it.
func (t *timer) runOnce(ctx context.Context, cause string, at time.Time) time.Time {
	t.fire(ctx, cause, t.current())
	next := t.schedule.next(at)
	t.set(timerStatus{last: at, next: next, updated: at})
	return next
}

func (t *timer) set(s timerStatus) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.status = s
}

func (t *timer) current() timerStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.status
}

// sleep waits and says whether the context still lives.
func sleep(ctx context.Context, d time.Duration) bool {
	if d > 0 {
		wake := time.NewTimer(d)
		defer wake.Stop()
		select {
		case <-wake.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}
