package ledger

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestRunKeepsEveryColumn(t *testing.T) {
	t.Parallel()
	onEachWithTables(t, func(t *testing.T, l *Ledger) {
		r := NewRun(3, "deep", 3_000_000_000, json.RawMessage(`{"count":1}`), json.RawMessage(`{"types":["Patient"]}`), now)
		r, err := l.InsertRun(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		r, ok := r.Claim("me", now, now.Add(time.Hour))
		if !ok {
			t.Fatal("a new run cannot be claimed")
		}
		if r, err = r.Advance(json.RawMessage(`{}`), json.RawMessage(`{"equal":1}`), now); err != nil {
			t.Fatal(err)
		}
		if r, err = l.SaveRun(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		got, err := l.Run(t.Context(), 3)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, got, cmpopts.IgnoreUnexported(Run{})); diff != "" {
			t.Errorf("saved and read (-saved +read):\n%s", diff)
		}
		if _, err := l.InsertRun(t.Context(), r); !errors.Is(err, ErrExists) {
			t.Errorf("inserted again: %v, want ErrExists", err)
		}
		if _, err := l.SaveRun(t.Context(), got); err != nil {
			t.Error(err)
		}
		if _, err := l.SaveRun(t.Context(), r); !errors.Is(err, ErrConflict) {
			t.Errorf("saved from an old read: %v, want ErrConflict", err)
		}
	})
}

func TestRunMoves(t *testing.T) {
	t.Parallel()
	r := NewRun(1, "surface", 0, nil, nil, now)
	if _, err := r.Advance(nil, nil, now); err == nil {
		t.Error("a run that nobody claimed was advanced")
	}
	claimed, _ := r.Claim("me", now, now.Add(time.Minute))
	if _, ok := claimed.Claim("you", now, now.Add(time.Minute)); ok {
		t.Error("a claimed run was claimed")
	}
	if taken, ok := claimed.Claim("you", now.Add(time.Minute), now.Add(time.Hour)); !ok || taken.ClaimOwner != "you" {
		t.Error("a claim that ran out was not taken over")
	}
	released := claimed.Release(now.Add(time.Second))
	if _, ok := released.Claim("you", now, now.Add(time.Minute)); ok {
		t.Error("a run was claimed before its time")
	}
	ended, ok := claimed.End(RunCancelled, "asked for", now)
	if !ok || !ended.Ended() || ended.ClaimOwner != "" {
		t.Errorf("cancelled: %+v", ended)
	}
	if _, ok := ended.End(RunDone, "", now); ok {
		t.Error("a cancelled run ended again")
	}
	if _, ok := ended.Claim("me", now, now.Add(time.Minute)); ok {
		t.Error("a cancelled run was claimed")
	}
}

func TestChecksContinueTheOriginalsCounters(t *testing.T) {
	t.Parallel()
	onEachWithTables(t, func(t *testing.T, l *Ledger) {
		chunk := NewChunk(t0)
		chunk.SurfaceJobID, chunk.DeepJobID = 12, 34
		if _, err := l.InsertChunk(t.Context(), chunk); err != nil {
			t.Fatal(err)
		}
		c, err := l.Checks(t.Context())
		if err != nil || c.SurfaceJobID != 12 || c.DeepJobID != 34 || c.NextRun != 1 {
			t.Fatalf("%+v (%v), want the chunk row's counters", c, err)
		}
		mine, ok := c.Open(Run{Number: 1, Kind: "deep"})
		if !ok {
			t.Fatal("run 1 was not listed")
		}
		if mine, err = l.SaveChecks(t.Context(), mine); err != nil {
			t.Fatal(err)
		}
		if _, err := l.SaveChecks(t.Context(), c); !errors.Is(err, ErrConflict) {
			t.Errorf("a second first save: %v, want ErrConflict", err)
		}
		got, err := l.Checks(t.Context())
		if diff := cmp.Diff(mine, got, cmpopts.IgnoreUnexported(Checks{})); diff != "" || err != nil {
			t.Errorf("%v (-saved +read):\n%s", err, diff)
		}
		if _, again := got.Open(Run{Number: 1}); again {
			t.Error("a run was listed twice")
		}
		// Two starts at once: the one that was slower is listed too, and is not the last.
		later, _ := got.Open(Run{Number: 3, Kind: "deep"})
		if both, ok := later.Open(Run{Number: 2, Kind: "deep"}); !ok || len(both.OpenRuns) != 3 || both.LastDeep != 3 || both.NextRun != 4 {
			t.Errorf("two at once: %+v", both)
		}
		if closed, ok := got.Close(1); !ok || len(closed.OpenRuns) != 0 || closed.LastDeep != 1 {
			t.Errorf("closed: %+v", closed)
		}
		for range 2 {
			if err := l.InsertCheckResult(t.Context(), "deeprowkey", 34, CheckResult{Resource: "Patient", ID: "1", Result: "Pass"}); err != nil {
				t.Error(err)
			}
		}
	})
}
