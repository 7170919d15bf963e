package ledger

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// inPhase makes a window of each phase, by the moves that lead there.
func inPhase(t *testing.T, p Phase) Window {
	t.Helper()
	must := func(w Window, err error) Window {
		if err != nil {
			t.Fatalf("make a window that is %s: %v", p, err)
		}
		return w
	}
	w := NewWindow(1, t0, t1)
	if p == Planned {
		return w
	}
	w = must(w.Claim("me", now, now.Add(time.Hour)))
	w = must(w.ExportStarted("me", "https://s/_operations/export/1", "1", now, now))
	switch p {
	case Exporting:
		return w
	case Splitting:
		return must(w.SplitMarked(t0.Add(time.Hour), 2, "too large", now))
	}
	w = must(w.ExportDone(Manifest{CountsByType: map[string]int64{"Patient": 5}, Payloads: []Slice{{0, 2, 3}, {2, 3, 2}}}, 5, now))
	if p == Exported {
		return w
	}
	w = must(w.ImportStarted(0, "https://d/_operations/import/1", "1", now, now))
	switch p {
	case Importing:
		return w
	case Held:
		return must(w.Hold("look at it", now))
	}
	w = must(w.ImportStarted(1, "https://d/_operations/import/2", "2", now, now))
	w = must(w.ImportDone(0, 3, 0))
	w = must(w.ImportDone(1, 1, 1))
	return must(w.ImportsDone("Patient:1", "one refused", now))
}

var anAction = NewAction("Test", 1, "dr. who", "why", "ab", now)

// Every legal move, and where it leads from which phase. What is not listed is refused.
func TestMovesAndPhases(t *testing.T) {
	t.Parallel()
	phases := []Phase{Planned, Exporting, Splitting, Exported, Importing, Done, Held}
	later := now.Add(time.Hour)
	moves := []struct {
		name string
		move func(Window) (Window, error)
		to   map[Phase]Phase
	}{
		{"claim", func(w Window) (Window, error) { return w.Claim("me", now, later) }, map[Phase]Phase{Planned: Planned}},
		{"drop a claim that is not ours", func(w Window) (Window, error) { return w.ClaimDropped("you", "", false, now, later) }, nil},
		{"start without a claim", func(w Window) (Window, error) { return w.ExportStarted("me", "https://s/1", "1", now, later) }, nil},
		{"export runs", func(w Window) (Window, error) { return w.ExportStillRunning(later) }, map[Phase]Phase{Exporting: Exporting}},
		{"export unknown", func(w Window) (Window, error) { return w.ExportUnknown(later) }, map[Phase]Phase{Exporting: Exporting}},
		{"count missing", func(w Window) (Window, error) { return w.CountMissing("429", later) }, map[Phase]Phase{Exporting: Exporting}},
		{"wait", func(w Window) (Window, error) { return w.Waiting(later) }, map[Phase]Phase{Planned: Planned, Exporting: Exporting, Exported: Exported, Importing: Importing}},
		{"export failed", func(w Window) (Window, error) { return w.ExportFailed("500", now, later, 5) }, map[Phase]Phase{Planned: Planned, Exporting: Planned}},
		{"export failed for the last time", func(w Window) (Window, error) { return w.ExportFailed("500", now, later, 1) }, map[Phase]Phase{Planned: Held, Exporting: Held}},
		{"files gone", func(w Window) (Window, error) { return w.FilesGone("404", now, later, 5) }, map[Phase]Phase{Exported: Planned, Importing: Planned}},
		{"exported", func(w Window) (Window, error) { return w.ExportDone(Manifest{Payloads: []Slice{{0, 1, 1}}}, 1, now) }, map[Phase]Phase{Exporting: Exported}},
		{"exported nothing", func(w Window) (Window, error) { return w.ExportDone(Manifest{}, 0, now) }, map[Phase]Phase{Exporting: Done}},
		{"split", func(w Window) (Window, error) { return w.SplitMarked(t0.Add(time.Hour), 2, "413", now) }, map[Phase]Phase{Planned: Splitting, Exporting: Splitting, Exported: Splitting}},
		{"split outside", func(w Window) (Window, error) { return w.SplitMarked(t1, 2, "413", now) }, nil},
		{"renumber", func(w Window) (Window, error) { return w.SplitRenumbered(3) }, map[Phase]Phase{Splitting: Splitting}},
		{"split done", func(w Window) (Window, error) { return w.SplitDone() }, map[Phase]Phase{Splitting: Planned}},
		{"import started", func(w Window) (Window, error) { return w.ImportStarted(1, "https://d/2", "2", now, later) }, map[Phase]Phase{Exported: Importing, Importing: Importing}},
		{"import runs", func(w Window) (Window, error) { return w.ImportStillRunning(0, 1, now, later) }, map[Phase]Phase{Importing: Importing}},
		{"import postponed", func(w Window) (Window, error) { return w.ImportPostponed(1, "429", later) }, map[Phase]Phase{Exported: Exported, Importing: Importing}},
		{"import done", func(w Window) (Window, error) { return w.ImportDone(0, 3, 0) }, map[Phase]Phase{Importing: Importing}},
		{"import done, lines missing", func(w Window) (Window, error) { return w.ImportDone(0, 2, 0) }, nil},
		{"import failed", func(w Window) (Window, error) { return w.ImportFailed(0, "500", now, later, 5) }, map[Phase]Phase{Importing: Exported}},
		{"import failed for the last time", func(w Window) (Window, error) { return w.ImportFailed(0, "500", now, later, 1) }, map[Phase]Phase{Importing: Held}},
		{"import unknown", func(w Window) (Window, error) { return w.ImportUnknown(0, later) }, map[Phase]Phase{Importing: Importing}},
		{"import cancelled", func(w Window) (Window, error) { return w.ImportCancelled(0, "stuck", now, later) }, map[Phase]Phase{Importing: Importing}},
		{"a payload halved", func(w Window) (Window, error) { return w.ImportHalved(0, 1, 1) }, map[Phase]Phase{Exported: Exported}},
		{"a payload halved outside", func(w Window) (Window, error) { return w.ImportHalved(0, 2, 1) }, nil},
		{"a smaller export", func(w Window) (Window, error) { return w.ExportSmaller(1000, "413", now, later) }, map[Phase]Phase{Exporting: Planned}},
		{"exported nothing, again", func(w Window) (Window, error) { return w.ExportEmpty(t1, now, later) }, map[Phase]Phase{Exporting: Planned}},
		{"exported nothing, longer, and no frontier", func(w Window) (Window, error) { return w.ExportEmpty(t1.Add(1), now, later) }, nil},
		{"unbalanced", func(w Window) (Window, error) {
			return w.ImportUnbalanced(0, []int{0}, 1, 0, "one line is missing", now)
		}, map[Phase]Phase{Importing: Exported}},
		{"imports done too early", func(w Window) (Window, error) { return w.ImportsDone("", "", now) }, nil},
		{"release", func(w Window) (Window, error) { return w.Released(anAction, now) }, map[Phase]Phase{Held: Importing}},
		{"retry", func(w Window) (Window, error) { return w.Retried(anAction, now) }, map[Phase]Phase{Planned: Planned}},
		{"cancel an export", func(w Window) (Window, error) { return w.ExportCancelled(anAction, now, later) }, map[Phase]Phase{Exporting: Planned}},
		{"hold", func(w Window) (Window, error) { return w.Hold("why", now) }, map[Phase]Phase{Planned: Held, Exporting: Held, Splitting: Held, Exported: Held, Importing: Held}},
	}
	for _, m := range moves {
		for _, from := range phases {
			w := inPhase(t, from)
			if w.Phase() != from {
				t.Fatalf("a window made to be %s is %s", from, w.Phase())
			}
			next, err := m.move(w)
			want, legal := m.to[from]
			switch {
			case legal && err != nil:
				t.Errorf("%s while %s: %v", m.name, from, err)
			case !legal && err == nil:
				t.Errorf("%s while %s is accepted, and leads to %s", m.name, from, next.Phase())
			case legal && next.Phase() != want:
				t.Errorf("%s while %s leads to %s, want %s", m.name, from, next.Phase(), want)
			}
			if again := inPhase(t, from); w.Phase() != from || len(w.Payloads) != len(again.Payloads) || len(w.Payloads) > 0 && w.Payloads[0].State != again.Payloads[0].State {
				t.Errorf("%s while %s changed the row that it was given", m.name, from)
			}
		}
	}
}

func TestTakingOverAClaimRecordsAPossibleOrphan(t *testing.T) {
	t.Parallel()
	w, err := NewWindow(1, t0, t1).Claim("first", now, now.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Claim("second", now.Add(59*time.Second), now.Add(time.Hour)); err == nil {
		t.Error("a claim that has not run out is taken over")
	}
	w, err = w.Claim("second", now.Add(time.Minute), now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if len(w.AttemptLog) != 1 || !strings.Contains(w.AttemptLog[0].What, "possible orphan export: the claim of first") {
		t.Errorf("log: %v", w.AttemptLog)
	}
	if _, err := w.ExportStarted("first", "https://s/1", "1", now, now); err == nil {
		t.Error("who lost the claim may still name its export")
	}
}

// A failed job's body is never posted again, whatever happens in between: the number in it only grows.
func TestPostNumbersOnlyGrow(t *testing.T) {
	t.Parallel()
	w := inPhase(t, Importing)
	seen := []int{w.Payloads[0].Post, w.Payloads[1].Post}
	step := func(next Window, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		w = next
	}
	for range 3 {
		step(w.ImportFailed(0, "500", now, now, 99))
		if slices.Contains(seen, w.Payloads[0].Post) {
			t.Fatalf("post number %d comes again", w.Payloads[0].Post)
		}
		seen = append(seen, w.Payloads[0].Post)
		if w.Payloads[1].Post != 2 {
			t.Errorf("the other payload is posted again too: %+v", w.Payloads[1])
		}
		step(w.ImportStarted(0, "https://d/9", "9", now, now))
	}
	step(w.FilesGone("404", now, now, 99))
	step(w.Claim("me", now, now.Add(time.Hour)))
	step(w.ExportStarted("me", "https://s/2", "2", now, now))
	step(w.ExportDone(Manifest{Payloads: []Slice{{0, 2, 3}, {2, 3, 2}}}, 5, now))
	for _, p := range w.Payloads {
		if slices.Contains(seen, p.Post) {
			t.Errorf("after a second export, post number %d comes again", p.Post)
		}
	}
}

// A file whose books do not balance is imported again by itself; the numbers of the others stay. The second time it holds.
func TestUnbalancedFilesAreImportedAgainOnce(t *testing.T) {
	t.Parallel()
	w := inPhase(t, Importing)
	step := func(next Window, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		w = next
	}
	step(w.ImportUnbalanced(0, []int{1}, 2, 0, "file 1: 1 line exported, 0 imported", now))
	step(w.ImportStarted(0, "https://d/3", "3", now, now))
	again := w
	step(w.ImportDone(0, 1, 0))
	if p := w.Payloads[0]; p.State != Complete || p.Imported != 3 || p.Refused != 0 {
		t.Errorf("complete: %+v", p)
	}
	w = again
	step(w.ImportUnbalanced(0, []int{1}, 0, 0, "again", now))
	if w.Phase() != Held || w.Payloads[0].Imported != 2 || w.Payloads[0].State != Unposted {
		t.Errorf("%s: %+v", w.Phase(), w.Payloads[0])
	}
}

func TestWatermark(t *testing.T) {
	t.Parallel()
	day := func(n int) time.Time { return t0.AddDate(0, 0, n) }
	c := NewChunk(day(0))
	list := func(n, since, till int) {
		t.Helper()
		var ok bool
		if c, ok = c.List(NewWindow(n, day(since), day(till))); !ok {
			t.Fatalf("window %d is not listed", n)
		}
	}
	check := func(planned, watermark int) {
		t.Helper()
		if !c.PlannedTill.Equal(day(planned)) || !c.Watermark.Equal(day(watermark)) {
			t.Errorf("planned till %s, watermark %s; want days %d and %d", c.PlannedTill, c.Watermark, planned, watermark)
		}
	}
	check(0, 0)
	list(1, 0, 10)
	list(2, 10, 20)
	check(20, 0)
	if _, ok := c.List(NewWindow(1, day(0), day(10))); ok {
		t.Error("a window is listed twice in its life")
	}
	list(3, 5, 10) // the second half of window 1: behind plannedTill, which stays
	check(20, 0)
	done := inPhase(t, Done)
	if _, _, err := c.Close(inPhase(t, Importing)); err == nil {
		t.Error("a window that is not done is closed")
	}
	next, ok, err := c.Close(done)
	if err != nil || !ok {
		t.Fatalf("close: %v %v", ok, err)
	}
	c = next
	check(20, 5)
	if c.Totals != (Totals{Windows: 1, Exported: 5, Imported: 4, Refused: 1}) {
		t.Errorf("totals: %+v", c.Totals)
	}
	if _, ok, _ := c.Close(done); ok {
		t.Error("a window is counted twice")
	}
	if _, ok := c.List(NewWindow(1, day(0), day(10))); ok {
		t.Error("a closed window is listed again")
	}
	if _, ok := c.Jump(Position{At: day(19)}, day(30), 4); ok {
		t.Error("a jump from where planning no longer is")
	}
	if _, ok := c.Jump(Position{At: day(20)}, day(30), 3); ok {
		t.Error("a jump although a window was listed meanwhile")
	}
	if c, ok = c.Jump(Position{At: day(20)}, day(30), 4); !ok {
		t.Error("no jump")
	}
	check(30, 5)
}

func TestPinnedDifferenceNamesTheSetting(t *testing.T) {
	t.Parallel()
	c, _ := NewChunk(t0).Pin(map[string]string{"SourceUri": "https://a", "ExportWithHistory": "true"})
	if diff := c.PinnedDifference(map[string]string{"SourceUri": "https://a", "ExportWithHistory": "true"}); diff != "" {
		t.Errorf("no difference: %s", diff)
	}
	if diff := c.PinnedDifference(map[string]string{"SourceUri": "https://a", "ExportWithHistory": "false"}); diff != `ExportWithHistory was "true" and is "false"` {
		t.Errorf("difference: %s", diff)
	}
	if _, ok := c.Pin(map[string]string{"SourceUri": "https://b"}); ok {
		t.Error("pinned twice")
	}
}
