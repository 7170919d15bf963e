package migration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/sandbox/fhirservice"
)

// jobTime makes the jobs of a service take a quarter of an hour: several ticks.
func jobTime(int) time.Duration { return 15 * time.Minute }

// Windows are exported and imported while others are, nothing is exported where there is nothing, and in the end
// everything is there.
func TestMigratesWindowByWindow(t *testing.T) {
	t.Parallel()
	for _, parallel := range []int{2, 4} {
		t.Run(fmt.Sprintf("%d exports at a time", parallel), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{
				source:      fhirservice.Options{ExportTime: jobTime, Workers: 8, LinesPerFile: 7},
				destination: fhirservice.Options{ImportTime: jobTime, Workers: 8},
				settings: []string{"ExportWithHistory=true", "SpecificRun=true", "EndDate=2024-12-01", "ExportChunkTime=10", "FileCount=2",
					fmt.Sprintf("MaxParallelExports=%d", parallel)},
			})
			r.load(60, day(1), 24*time.Hour)   // days 1 to 60
			r.load(30, day(200), 24*time.Hour) // days 200 to 229, after months of nothing
			r.seed(version("late", 1, day(3), false), version("late", 2, day(201), false), version("late", 3, day(202), true))
			exporting, importing := 0, 0
			for end := time.Date(2024, 12, 1, 0, 0, 0, 0, time.UTC); ; {
				_, s := r.tick()
				var e, i int
				for _, o := range r.chunk().Open {
					switch r.window(o.Number).Phase() {
					case ledger.Exporting:
						e++
					case ledger.Importing:
						i++
					}
				}
				exporting, importing = max(exporting, e), max(importing, i)
				if e > parallel {
					t.Fatalf("%d exports run at a time", e)
				}
				if s.Watermark.Equal(end) {
					break
				}
			}
			r.wantEqual()
			if exporting != parallel || importing < 2 {
				t.Errorf("at most %d exports and %d imports were under way together", exporting, importing)
			}
			r.checkLedger()
			r.checkNothingEmptyExported()
		})
	}
}

// checkLedger looks at what is left when a migration has ended: one row a window, in the original's columns, and a chunk
// row that says so.
func (r *rig) checkLedger() {
	r.t.Helper()
	c := r.chunk()
	var lines int64
	till := time.Time{}
	for _, w := range r.allWindows() {
		if w.Phase() != ledger.Done || !w.First || w.ExportRunning != "Completed" || w.ImportRunning != "Completed" || w.ExportID == "" || w.ExportStatusURL == "" ||
			w.StartTime.IsZero() || w.ExportEndTime.IsZero() || w.EndTime.IsZero() || w.CompletedCount != w.PayloadCount || w.ImportedCount != fmt.Sprint(w.ExportedLines()) {
			r.t.Errorf("%s: %+v", w.Name(), w)
		}
		if w.Since.Before(till) {
			r.t.Errorf("%s begins before the last one ends", w.Name())
		}
		till = w.Till
		lines += w.ExportedLines()
	}
	if !c.Watermark.Equal(c.PlannedTill) || len(c.Open) > 0 || c.Totals.Exported != lines || c.Totals.Imported != lines || c.Totals.Windows != int64(c.JobID-1) {
		r.t.Errorf("chunk row at the end: %+v; %d lines in the windows", c, lines)
	}
}

// checkNothingEmptyExported: each export that was started has files.
func (r *rig) checkNothingEmptyExported() {
	r.t.Helper()
	windows := r.allWindows()
	if n := r.calls(r.source, fhirservice.Export); n != len(windows) {
		r.t.Errorf("%d exports were started for %d windows", n, len(windows))
	}
	for _, w := range windows {
		if w.ExportedLines() == 0 {
			r.t.Errorf("%s was exported and holds nothing", w.Name())
		}
	}
}

// A resource is created in one window and deleted in a later one, on a source whose past windows export what was alive
// then. With deletes (the default) the deletion arrives. Without, settings.Load refuses; that case is a test there.
func TestT27DeletionArrives(t *testing.T) {
	t.Parallel()
	for _, history := range []bool{false, true} {
		t.Run(fmt.Sprintf("history=%v", history), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{settings: []string{fmt.Sprintf("ExportWithHistory=%v", history), "SpecificRun=true", "EndDate=2024-12-01", "ExportChunkTime=10"}})
			r.seed(version("a", 1, day(1), false), version("a", 2, day(45), true), version("b", 1, day(2), false))
			r.run(time.Date(2024, 12, 1, 0, 0, 0, 0, time.UTC))
			alive := r.window(1)
			if alive.ExportedLines() != 2 {
				t.Errorf("the first window exports %d lines, want both resources alive", alive.ExportedLines())
			}
			r.wantEqual()
			last := r.destination.Versions()
			if v := last[1]; v.ID != "a" || !v.Deleted {
				t.Errorf("at the destination: %+v", v)
			}
		})
	}
}

func TestT27DeletesSwitchedOffIsRefused(t *testing.T) {
	t.Parallel()
	// With the explicit permission it runs, and the resource is back alive: what the refusal is about.
	r := newRig(t, rigOptions{settings: []string{"ExportWithDelete=false", "AllowDeletedToReturn=true", "SpecificRun=true", "EndDate=2024-12-01", "ExportChunkTime=10"}})
	r.seed(version("a", 1, day(2), false), version("a", 2, day(45), true), version("b", 1, day(1), false))
	r.run(time.Date(2024, 12, 1, 0, 0, 0, 0, time.UTC))
	if v := r.destination.Versions()[0]; v.ID != "a" || v.Deleted {
		t.Errorf("the sandbox's source has no snapshot view: %+v", v)
	}
}

// A Cosmos source answers with empty pages and a next link inside a stretch that holds data.
func TestT30EmptyPagesAreNoEmptyStretch(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{source: fhirservice.Options{Kind: fhirservice.Cosmos}, settings: []string{"SpecificRun=true", "EndDate=2024-12-01", "ExportChunkTime=5"}})
	r.seed(version("a", 1, day(1), false), version("b", 1, day(150), false), version("c", 1, day(150.5), false), version("d", 1, day(300), false))
	r.run(time.Date(2024, 12, 1, 0, 0, 0, 0, time.UTC))
	r.wantEqual()
	var empty bool
	for _, c := range r.source.Calls() {
		empty = empty || c.Kind == fhirservice.History && strings.Contains(c.RawQuery, "ct=")
	}
	if !empty {
		t.Error("no next link was followed: the test shows nothing")
	}
	if n := r.chunk().JobID - 1; n > 4 {
		t.Errorf("%d windows for four resources", n)
	}
}

// The live end: windows stay behind the source's clock by the safety lag, and are not shorter than the tail interval.
func TestLiveEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: []string{"ExportWithHistory=true", "ExportChunkTime=1000"}})
	r.load(3, start.Add(-3*time.Hour), time.Minute)
	r.tick()
	if w := r.window(1); w.Till.After(start.Add(-5*time.Minute)) || w.Till.Before(start.Add(-6*time.Minute)) {
		t.Errorf("at %s the window ends at %s, want five minutes before", start, w.Till)
	}
	r.run(r.window(1).Till)
	r.load(1, r.clock.Now().Add(-30*time.Second), time.Second)
	for r.clock.Now().Before(start.Add(50 * time.Minute)) {
		r.tick()
	}
	if n := r.chunk().JobID; n != 2 {
		t.Errorf("a window shorter than the tail interval was planned: next number %d", n)
	}
	for r.clock.Now().Before(start.Add(90 * time.Minute)) {
		r.tick()
	}
	r.wantEqual()
	if n := r.chunk().JobID; n != 3 {
		t.Errorf("next number %d, want one more window", n)
	}
}

func TestEmptySource(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{})
	e, i := r.tick()
	if e.Waiting != "the source is empty" || i.Open != 0 {
		t.Errorf("summaries %+v, %+v", e, i)
	}
	r.load(1, start.Add(-10*time.Hour), time.Second)
	r.tick()
	r.run(r.chunk().PlannedTill)
	r.wantEqual()
}

// Windows with nothing but deletions or superseded versions are exported like others.
func TestWindowOfTombstonesAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: []string{"ExportWithHistory=true", "SpecificRun=true", "EndDate=2024-12-01", "ExportChunkTime=10"}})
	r.seed(version("a", 1, day(1), false), version("a", 2, day(101), false), version("a", 3, day(201), true), version("b", 1, day(301), false))
	r.run(time.Date(2024, 12, 1, 0, 0, 0, 0, time.UTC))
	r.wantEqual()
}
