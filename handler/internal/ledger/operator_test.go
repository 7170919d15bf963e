package ledger

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// A release gives a window its attempts back and leaves what was exported and posted as it is, the number of the last post above all.
func TestReleasedWindowGoesOnFromWhereItStood(t *testing.T) {
	t.Parallel()
	w := inPhase(t, Importing)
	w, err := w.ImportFailed(0, "500", now, now.Add(time.Hour), 1)
	if err != nil || w.Phase() != Held {
		t.Fatalf("%s, %v", w.Phase(), err)
	}
	next, err := w.Released(anAction, now)
	if err != nil {
		t.Fatal(err)
	}
	if next.Phase() != Exported || next.Attempts != 0 || next.Posts != w.Posts || next.ExportID != w.ExportID || !cmp.Equal(next.Payloads, w.Payloads) {
		t.Errorf("%s, %d attempts, %d posts, %+v", next.Phase(), next.Attempts, next.Posts, next.Payloads)
	}
	if !next.ActedOn(anAction) || w.ActedOn(anAction) || !strings.Contains(next.AttemptLog[len(next.AttemptLog)-1].What, "dr. who: why") {
		t.Errorf("the story: %v", next.AttemptLog)
	}
}

// A retry of a held window begins from nothing but for the number of the last post; while an import of it may run, it is refused.
func TestRetriedWindowBeginsFromNothing(t *testing.T) {
	t.Parallel()
	w := inPhase(t, Importing)
	held, err := w.ImportFailed(0, "500", now, now.Add(time.Hour), 1)
	if err != nil {
		t.Fatal(err)
	}
	next, err := held.Retried(anAction, now)
	if err != nil || next.Phase() != Planned || next.ExportID != "" || next.Posts != held.Posts || next.Attempts != 0 || len(next.Payloads) != 0 {
		t.Errorf("%v: %+v", err, next)
	}
	if next, err := inPhase(t, Held).Retried(anAction, now); err == nil {
		t.Errorf("with an import that may run: %s", next.Phase())
	}
	waits, err := inPhase(t, Importing).ImportFailed(0, "500", now, now.Add(time.Hour), 5)
	if err != nil {
		t.Fatal(err)
	}
	if next, err := waits.Retried(anAction, now); err != nil || next.Payloads[0].NotBefore != 0 || waits.Payloads[0].NotBefore == 0 {
		t.Errorf("a payload that waits: %v, %+v, was %+v", err, next.Payloads, waits.Payloads)
	}
	original := Window{Number: 1, Since: t0, Till: t0.Add(time.Hour), ExportComplete: true, ExportStatusURL: "https://s/_operations/export/1", ExportID: "1"}
	if next, err := original.Retried(anAction, now); err != nil || next.Phase() != Planned || next.ExportID != "" || !next.ActedOn(anAction) {
		t.Errorf("one of the original: %v, %+v", err, next)
	}
	claimed, err := inPhase(t, Planned).Claim("me", now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := claimed.Retried(anAction, now); err == nil {
		t.Error("a claimed window is retried")
	}
}

// Jobs at a service that was replaced are forgotten, everything else stays.
func TestJobsOfAReplacedServiceAreForgotten(t *testing.T) {
	t.Parallel()
	for phase, want := range map[Phase][2]bool{Planned: {}, Exporting: {true, false}, Exported: {}, Importing: {false, true}, Held: {false, true}, Done: {}, Splitting: {}} {
		w := inPhase(t, phase)
		_, source := w.SourceReplaced(anAction, now)
		next, destination := w.DestinationReplaced(anAction, now)
		if got := [2]bool{source, destination}; got != want {
			t.Errorf("%s: %v, want %v", phase, got, want)
		}
		if destination && (next.Posts != w.Posts+1 || next.Payloads[0].State != Unposted || w.Payloads[0].State != Posted || next.Payloads[0].Blob == "") {
			t.Errorf("%s: %+v", phase, next.Payloads)
		}
	}
}

func TestControlWishes(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, l *Ledger) { testControlWishes(t, l) })
}

func testControlWishes(t *testing.T, l *Ledger) {
	if err := l.CreateTables(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, second := Wished(anAction), Wished(NewAction("Pause", 0, "somebody else", "why", "cd", now))
	c, ok := Control{}.PauseWished(first)
	if _, again := c.PauseWished(second); !ok || again {
		t.Errorf("paused: %v, and once more: %v", ok, again)
	}
	c = c.StartNowWished(second)
	c, err := l.SaveControl(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	read, err := l.Control(t.Context())
	if err != nil || !cmp.Equal(read.Pause, first) || !cmp.Equal(read.StartNow, second) {
		t.Errorf("%v: %+v", err, read)
	}
	if _, ok := c.StartNowDone(first.Action); ok {
		t.Error("another wish is taken back")
	}
	c, ok = c.StartNowDone(second.Action)
	if c, ended := c.PauseEnded(); !ok || !ended || c.Pause.Set() || c.StartNow.Set() {
		t.Errorf("%v %v: %+v", ok, ended, c)
	}
}

func TestActions(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, l *Ledger) { testActions(t, l) }) // there are no tables yet
}

func testActions(t *testing.T, l *Ledger) {
	var want []Action
	for i, name := range []string{"Pause", "Resume", "StartNow"} {
		a, err := l.InsertAction(t.Context(), NewAction(name, i, "me", "why", "ab", now.Add(time.Duration(i)*time.Hour)))
		if err != nil {
			t.Fatal(err)
		}
		if again, err := l.InsertAction(t.Context(), a); err != nil || again.etag != a.etag {
			t.Errorf("the echo of an insert: %v", err)
		}
		a, err = l.SaveAction(t.Context(), a.Ended("done", now))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.SaveAction(t.Context(), Action{ID: a.ID}); err == nil {
			t.Error("saved without an ETag")
		}
		want = append(want, a)
	}
	got, err := l.Actions(t.Context(), "", 2)
	if err != nil {
		t.Fatal(err)
	}
	rest, err := l.Actions(t.Context(), want[2].ID, 2)
	if diff := cmp.Diff(want, append(got, rest...), cmpopts.IgnoreUnexported(Action{})); diff != "" || err != nil {
		t.Errorf("actions (-want +got): %v\n%s", err, diff)
	}
}

func TestRepin(t *testing.T) {
	t.Parallel()
	c, _ := NewChunk(t0).Pin(map[string]string{"SourceUri": "a", "IsParallel": "true"})
	if _, ok := c.Repin(map[string]string{"SourceUri": "a", "IsParallel": "true"}); ok {
		t.Error("there is nothing to accept")
	}
	next, ok := c.Repin(map[string]string{"SourceUri": "b", "IsParallel": "true"})
	if !ok || next.PinnedDifference(map[string]string{"SourceUri": "b", "IsParallel": "true"}) != "" {
		t.Errorf("%v: %v", ok, next.Pinned)
	}
}

// A probe tries every table and leaves nothing behind.
func TestProbe(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, l *Ledger) {
		removed := 0
		gated := l.Gated(func(_ context.Context, c Call, do func() error) error {
			if c.Op == "remove" {
				removed++
			}
			return do()
		})
		if err := gated.Probe(t.Context(), "ab"); err != nil || removed != 3 {
			t.Errorf("%d rows removed: %v", removed, err)
		}
		for _, table := range []table{l.export, l.chunk, l.exceptions} {
			if rows, err := table.list(t.Context(), l.partition, " ", "~", 10); err != nil || len(rows) > 0 {
				t.Errorf("table %s holds %v (%v)", table.name(), rows, err)
			}
		}
		etag, err := l.chunk.insert(t.Context(), l.partition, "row", properties{"A": "a"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.chunk.replace(t.Context(), l.partition, "row", properties{"A": "b"}, etag); err != nil {
			t.Fatal(err)
		}
		if err := l.chunk.remove(t.Context(), l.partition, "row", etag); !errors.Is(err, ErrConflict) {
			t.Errorf("a row that was changed is removed: %v", err)
		}
		if err := l.chunk.remove(t.Context(), l.partition, "row", ""); err == nil {
			t.Error("a row is removed whatever it is")
		}
		if err := l.chunk.remove(t.Context(), l.partition, "nothing", etag); err != nil {
			t.Errorf("a row that is gone: %v", err)
		}
	})
}
