package demo

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fhirmigration/sandbox/progress"
)

// script is progress that was written beforehand: one entry a look, the last one for ever.
type script struct {
	entries []progress.Progress
	looks   int
}

func (s *script) Read(context.Context) (progress.Progress, error) {
	entry := s.entries[min(s.looks, len(s.entries)-1)]
	s.looks++
	return entry, nil
}

// silent is a display that only counts.
type silent struct{ shown int }

func (s *silent) Show(progress.Progress, int) { s.shown++ }
func (s *silent) Say(string)                  {}
func (s *silent) Close(bool)                  {}

var (
	runEnd   = time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC)
	halfWay  = progress.Progress{PlannedTill: runEnd.AddDate(0, -2, 0), Listed: 1, Open: []progress.Window{{Number: 1}}}
	allDone  = progress.Progress{PlannedTill: runEnd, Listed: 1, Done: 1}
	heldOnly = progress.Progress{PlannedTill: runEnd, Listed: 2, Done: 1, Open: []progress.Window{{Number: 2, Held: "the books do not balance"}}}
	heldToo  = progress.Progress{PlannedTill: runEnd, Listed: 2, Open: []progress.Window{{Number: 1}, {Number: 2, Held: "out of attempts"}}}
)

// TestFollow runs in time that costs nothing.
func TestFollow(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		entries []progress.Progress
		want    string        // in the error; "" for none
		after   time.Duration // at least
	}{
		"finished":            {entries: []progress.Progress{{}, halfWay, allDone}, after: 2 * lookEvery},
		"held, nothing else":  {entries: []progress.Progress{heldOnly}, want: "the books do not balance", after: heldLimit},
		"held, others moving": {entries: []progress.Progress{heldToo, heldToo, heldOnly}, want: "the books do not balance", after: heldLimit + 2*lookEvery},
		"held, others still":  {entries: []progress.Progress{heldToo}, want: "out of attempts", after: stallLimit},
		"never begun":         {entries: []progress.Progress{{}}, want: "refused its settings", after: stallLimit},
		"stuck":               {entries: []progress.Progress{{}, halfWay}, want: "0 of 1 windows done", after: stallLimit},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				w, display := watcher{clock: time.Now, end: runEnd}, &silent{}
				read := &script{entries: test.entries}
				_, err := w.follow(t.Context(), read, display)
				switch {
				case test.want == "" && err != nil:
					t.Errorf("error %v, want none", err)
				case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
					t.Errorf("error %v, want one with %q", err, test.want)
				}
				if took := time.Since(began); took < test.after || took > test.after+2*lookEvery {
					t.Errorf("took %s, want %s", took, test.after)
				}
				if display.shown != read.looks {
					t.Errorf("%d looks, %d of them shown", read.looks, display.shown)
				}
			})
		})
	}
}

func TestFollowStops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		w := watcher{clock: time.Now, end: runEnd}
		if _, err := w.follow(ctx, &script{entries: []progress.Progress{halfWay}}, &silent{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the context's", err)
		}
	})
}
