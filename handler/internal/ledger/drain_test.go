package ledger

import (
	"testing"
	"time"
)

// A row that was given back to the original takes nothing of a tick that began before: its watermark would pass over what was given back.
func TestRowGivenBackIsLeftAlone(t *testing.T) {
	t.Parallel()
	c, _ := NewChunk(t0).List(NewWindow(1, t0, tenth))
	c, ok := c.GivenBack(Checks{})
	if !ok {
		t.Fatal("not given back")
	}
	end := tenth.AddDate(0, 0, 10)
	longer := NewFrontier(1, t0, end, 0)
	longer.EmptyTill = tenth
	c.Original.Till = end
	for what, move := range map[string]func() (Chunk, bool){
		"listing a window":            func() (Chunk, bool) { return c.List(NewWindow(2, tenth, end)) },
		"beginning":                   func() (Chunk, bool) { return c.Begin(t0) },
		"a longer frontier":           func() (Chunk, bool) { return c.Reach(longer) },
		"beginning by type":           func() (Chunk, bool) { return c.BeginTypes([]string{"A"}, 1, end) },
		"taking over a place in time": func() (Chunk, bool) { return c.AdoptTypes([]string{"A"}, nil) },
	} {
		if next, ok := move(); ok {
			t.Errorf("%s: since is %s, planned till %s, %+v", what, next.Watermark, next.PlannedTill, next.Original)
		}
	}
}

// A window opened again before the tables were given back is as the original had closed it, and can be opened again.
func TestClosedAgain(t *testing.T) {
	t.Parallel()
	now := t0.Add(time.Hour)
	was := NewWindow(1, t0, tenth)
	was.ExportStatusURL, was.ExportRunning, was.ImportRunning = "http://source/_operations/export/1", runCompleted, runFailed
	was.ExportComplete, was.ImportComplete, was.Processed, was.EndTime, was.etag = true, true, true, t0, "read"
	opened, err := was.Reopened(now)
	if err != nil {
		t.Fatal(err)
	}
	opened.etag = "saved"
	closed, err := opened.ClosedAgain(was)
	if err != nil {
		t.Fatal(err)
	}
	if !closed.Processed || !closed.ImportComplete || !closed.EndTime.Equal(t0) || !closed.TakenOver.IsZero() || len(closed.AttemptLog) > 0 || closed.etag != "saved" {
		t.Errorf("closed again: %+v", closed)
	}
	if _, err := closed.Reopened(now); err != nil {
		t.Error(err)
	}
	if _, err := closed.ClosedAgain(was); err == nil {
		t.Error("closed again twice")
	}
}
