package status

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"fhirmigration/handler/internal/ledger"
)

// A tick with nothing to do costs two reads; VerifyTimer reads one more row, that of the checks.
func TestIdleTickCostsTwoReads(t *testing.T) {
	t.Parallel()
	r := newRig(t).begin()
	r.window(0, 30, r.done(1, 0))
	r.tick()
	r.calls.Store(0)
	r.now = r.now.Add(30 * time.Second)
	if s := r.tick(); r.calls.Load() != 2 || s != (TickSummary{}) {
		t.Errorf("%d calls: %+v", r.calls.Load(), s)
	}
	r.now = r.now.Add(countEvery)
	if s := r.tick(); !s.Counted {
		t.Errorf("not counted an hour later: %+v", s)
	}
}

// The original's rows are not taken in before they are taken over.
func TestNothingIsTakenInBeforePlanning(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if s := r.tick(); s != (TickSummary{}) {
		t.Errorf("without tables: %+v", s)
	}
	r.must(r.Ledger.CreateTables(t.Context()))
	c, _ := ledger.NewChunk(day0).Skip(7)
	r.chunk = got[ledger.Chunk](t)(r.Ledger.InsertChunk(t.Context(), c))
	if s := r.tick(); s != (TickSummary{}) {
		t.Errorf("before planning: %+v", s)
	}
}

// A tick that is broken off anywhere, or beaten by another, takes no window in twice and leaves none out.
func TestTickIsBrokenOff(t *testing.T) {
	t.Parallel()
	died := errors.New("it died")
	for die := int64(1); ; die++ {
		r := newRig(t).begin()
		for n := range 5 {
			r.window(float64(n), float64(n+1), r.done(10, 1))
		}
		rows := r.Ledger
		var left atomic.Int64 // windows are read side by side
		for before := range 2 {
			left.Store(die)
			r.Ledger = rows.Gated(func(_ context.Context, _ ledger.Call, do func() error) error {
				if left.Add(-1) != 0 {
					return do()
				}
				if before == 0 {
					return died
				}
				return errors.Join(do(), died) // the reply is lost
			})
			if _, err := r.Tick(t.Context(), time.Minute); err != nil && !errors.Is(err, died) {
				t.Fatal(err)
			}
		}
		r.Ledger = rows
		for r.tick().TakenIn > 0 {
		}
		s := r.read()
		if got := fmt.Sprint(s.Summary.Behind, len(s.Timeline.Stretches), s.ByType); got != "0 5 [{Patient 50}]" {
			t.Errorf("broken off at call %d: %s", die, got)
		}
		if left.Load() > 0 { // it did not make that many calls
			break
		}
	}
}

// Windows that were open when their number came are taken in once they are closed.
func TestTickWaitsForHeldWindows(t *testing.T) {
	t.Parallel()
	r := newRig(t).begin()
	w := r.window(0, 30, r.held("no"))
	r.window(30, 60, r.done(10, 0))
	r.tick()
	s := got[ledger.Summary](t)(r.Ledger.Summary(t.Context()))
	if s.Next != 3 || len(s.Behind) != 1 || s.ByType["Patient"] != 10 {
		t.Errorf("while it is held: %+v", s)
	}
	w = got[ledger.Window](t)(w.Released(ledger.NewAction("WindowRelease", 1, "me", "why", "x", r.now), r.now))
	w = got[ledger.Window](t)(w.ExportDone(ledger.Manifest{CountsByType: map[string]int64{"Patient": 5}}, 5, r.now)) // nothing to import
	w = got[ledger.Window](t)(r.Ledger.SaveWindow(t.Context(), w))
	c, _, err := r.chunk.Close(w)
	r.must(err)
	got[ledger.Chunk](t)(r.Ledger.SaveChunk(t.Context(), c))
	r.tick()
	if s := got[ledger.Summary](t)(r.Ledger.Summary(t.Context())); len(s.Behind) != 0 || s.ByType["Patient"] != 15 {
		t.Errorf("when it is closed: %+v", s)
	}
}

func TestManyExceptionsAreCountedByTicks(t *testing.T) {
	t.Parallel()
	r := newRig(t).begin()
	for n := range 2500 {
		e := ledger.Exception{ID: ledger.ExceptionKey(1, fmt.Sprintf("%06d", n)), Window: 1, State: ledger.ExceptionOpen, Kind: ledger.Invalid, Lines: 1, Reason: "no"}
		if n%5 == 0 {
			e.State = ledger.ExceptionAccepted
		}
		r.must(r.Ledger.AddException(t.Context(), e))
	}
	if e := r.read().Exceptions; e.Note == "" || len(e.Listed) != exceptionsShown {
		t.Errorf("before they are counted: %s", asJSON(t, e))
	}
	r.tick()
	if e := r.read().Exceptions; e.Open != 2000 || e.ByState["accepted"] != 500 || e.At == nil || e.Note != "" {
		t.Errorf("counted: %s", asJSON(t, e))
	}
}
