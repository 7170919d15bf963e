package ledger

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// exporting is a frontier whose export runs.
func exportingFrontier(t *testing.T) Window {
	t.Helper()
	w, err := NewFrontier(1, t0, t1, 0).Claim("me", now, now)
	if err == nil {
		w, err = w.ExportStarted("me", "https://s/_operations/export/1", "1", now, now)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// A frontier becomes longer, never shorter, and is none any more once something is planned behind it.
func TestFrontier(t *testing.T) {
	t.Parallel()
	w := exportingFrontier(t)
	if _, err := w.ExportEmpty(t1.Add(-1), now, now); err == nil {
		t.Error("a frontier became shorter")
	}
	later := t1.AddDate(0, 1, 0)
	longer, err := w.ExportEmpty(later, now, now)
	if err != nil || !longer.Till.Equal(later) || !longer.EmptyTill.Equal(t1) || longer.EmptyBefore() || longer.Attempts != 0 || !longer.Frontier {
		t.Errorf("%+v (%v)", longer, err)
	}
	same, err := w.ExportEmpty(t1, now, now)
	if err != nil || !same.EmptyBefore() {
		t.Errorf("%+v (%v)", same, err)
	}
	for name, move := range map[string]func() (Window, error){
		"exported": func() (Window, error) { return w.ExportDone(Manifest{}, Unknown, now) },
		"held":     func() (Window, error) { return w.Hold("why", now) },
		"given up": func() (Window, error) { return w.ExportFailed("500", now, now, 1) },
		"split":    func() (Window, error) { return mustSplit(t, w).SplitDone() },
		"its 2nd half": func() (Window, error) {
			half := mustSplit(t, w).SecondHalf()
			half.Frontier = !half.Frontier
			return half, nil
		},
	} {
		if next, err := move(); err != nil || next.Frontier {
			t.Errorf("%s: frontier %v (%v)", name, next.Frontier, err)
		}
	}
	if next, err := w.ExportFailed("500", now, now, 2); err != nil || !next.Frontier {
		t.Errorf("tried again: frontier %v (%v)", next.Frontier, err)
	}
}

func mustSplit(t *testing.T, w Window) Window {
	t.Helper()
	w, err := w.SplitMarked(t0.Add(time.Hour), 2, "413", now)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// What a window has shown of the source: of the time that was not empty before, in lines and minutes.
func TestPace(t *testing.T) {
	t.Parallel()
	w := exportingFrontier(t)
	if p := w.Pace(); p.Lines != Unknown || p.Length() != t1.Sub(t0) {
		t.Errorf("before its end: %+v", p)
	}
	longer, err := w.ExportEmpty(t1.AddDate(0, 1, 0), now, now)
	if err != nil {
		t.Fatal(err)
	}
	longer.ExportStatusURL = "https://s/_operations/export/2"
	longer.StartTime = now
	done, err := longer.ExportDone(Manifest{CountsByType: map[string]int64{"Patient": 3, "SearchParameter": 1}, Payloads: []Slice{{0, 1, 3}}}, Unknown, now.Add(90*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Pace{Since: t1, Till: t1.AddDate(0, 1, 0), Lines: 4, Minutes: 1.5}, done.Pace()); diff != "" {
		t.Error(diff)
	}
	if done.LinesBefore != 4 {
		t.Errorf("lines before: %d", done.LinesBefore)
	}
}

// The chunk row follows a frontier that was made longer: before anything is planned behind it, and at the latest when it is closed.
func TestReach(t *testing.T) {
	t.Parallel()
	c, _ := NewChunk(t0).List(NewWindow(1, t0, t1))
	later := t1.AddDate(0, 1, 0)
	w := NewFrontier(1, t0, later, 0)
	if _, ok := c.Reach(w); ok {
		t.Error("reached where a window was never made longer")
	}
	w.EmptyTill = t1
	c, noted := c.Retired()
	if _, again := c.Retired(); !noted || again {
		t.Error("noted once, and once only")
	}
	reached, ok := c.Reach(w)
	if !ok || !reached.PlannedTill.Equal(later) || !reached.Watermark.Equal(t0) {
		t.Errorf("%+v", reached)
	}
	if _, ok := reached.Reach(w); ok {
		t.Error("reached twice")
	}
	w.ExportComplete, w.ImportComplete, w.Processed, w.CountsByType = true, true, true, map[string]int64{"Patient": 7}
	closed, ok, err := c.Close(w)
	if err != nil || !ok || !closed.PlannedTill.Equal(later) || !closed.Watermark.Equal(later) || closed.LastExport.Lines != 7 {
		t.Errorf("%+v (%v, %v)", closed, ok, err)
	}
	typed := w
	typed.ResourceType = "Patient"
	if closed, _, _ := c.Close(typed); !closed.PlannedTill.Equal(t1) {
		t.Error("a window of one type moved the plan")
	}
}
