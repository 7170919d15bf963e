package ledger

import "time"

// TickNoted is how much later than the last time a tick must be to be noted, when nothing else is to be said of it: a save every few
// minutes keeps an idle tick cheap, and still tells a timer that fires from one that does not.
const TickNoted = 5 * time.Minute

// maxTrouble bounds what is kept of how a tick failed, in characters.
const maxTrouble = 1000

// Tick is what is noted of a timer's ticks.
type Tick struct {
	At      time.Time // a tick ended then; later ones may have, up to TickNoted after it
	Error   string    // how the last one failed, "" when it did not
	Since   time.Time // when that began
	Waiting string    // for what, when the last one could do nothing
}

// Ended is t after one more tick. ok is false when there is nothing new to save.
func (t Tick) Ended(failed, waiting string, now time.Time) (_ Tick, ok bool) {
	failed, waiting = cutTo(failed, maxTrouble), cutTo(waiting, maxTrouble)
	if failed == t.Error && waiting == t.Waiting && now.Sub(t.At) < TickNoted {
		return t, false
	}
	if failed == "" {
		t.Since = time.Time{}
	} else if t.Error == "" {
		t.Since = now
	}
	t.At, t.Error, t.Waiting = now, failed, waiting
	return t, true
}
