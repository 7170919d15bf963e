package progress_test

import (
	"testing"
	"time"

	"fhirmigration/sandbox/progress"

	"github.com/google/go-cmp/cmp"
)

var (
	day      = 24 * time.Hour
	begin    = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	planned  = progress.Window{Number: 1, ImportRunning: "Not Started"}
	export   = progress.Window{Number: 2, ExportURL: "u", ExportRunning: "Running", ImportRunning: "Not Started"}
	exported = progress.Window{Number: 3, ExportURL: "u", ExportRunning: "Completed", ExportComplete: true, ImportRunning: "Not Started", ExportedLines: "100"}
	imports  = progress.Window{Number: 4, ExportURL: "u", ExportRunning: "Completed", ExportComplete: true, ImportRunning: "Started", ExportedLines: "10"}
	imported = progress.Window{Number: 5, ExportURL: "u", ExportRunning: "Completed", ExportComplete: true, ImportRunning: "Completed", ImportComplete: true, ExportedLines: "1"}
	held     = progress.Window{Number: 6, Since: "a", Till: "b", Held: "why"}
)

func TestCounts(t *testing.T) {
	t.Parallel()
	p := progress.Progress{
		Listed: 9, Done: 3, ExportedLines: 1000, ImportedLines: 999,
		Open: []progress.Window{planned, export, exported, imports, imported, held},
	}
	type counts struct {
		ExportedWindows, ImportedWindows int
		ExportedLines, ImportedLines     int64
		Exports, Imports                 int
		Held                             []string
	}
	var got counts
	got.ExportedWindows, got.ExportedLines = p.Exported()
	got.ImportedWindows, got.ImportedLines = p.Imported()
	got.Exports, got.Imports = p.InFlight()
	got.Held = p.Held()
	want := counts{
		ExportedWindows: 6, ExportedLines: 1111, ImportedWindows: 4, ImportedLines: 1000, Exports: 1, Imports: 1,
		Held: []string{"window 6 [a, b): why"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFinished(t *testing.T) {
	t.Parallel()
	end := begin.Add(100 * day)
	tests := map[string]struct {
		p    progress.Progress
		want bool
	}{
		"not begun":          {progress.Progress{}, false},
		"planned and closed": {progress.Progress{PlannedTill: end, Listed: 2, Done: 2}, true},
		"nothing in it":      {progress.Progress{PlannedTill: end}, true},
		"one open":           {progress.Progress{PlannedTill: end, Listed: 2, Done: 1}, false},
		"not planned":        {progress.Progress{PlannedTill: end.Add(-time.Millisecond), Listed: 2, Done: 2}, false},
	}
	for name, test := range tests {
		if got := test.p.Finished(end); got != test.want {
			t.Errorf("%s: finished is %t, want %t", name, got, test.want)
		}
	}
}

func TestExpected(t *testing.T) {
	t.Parallel()
	end := begin.Add(100 * day)
	for _, test := range []struct {
		till time.Time
		want int
	}{{time.Time{}, 7}, {begin, 7 + 4}, {begin.Add(90 * day), 7 + 1}, {end, 7}} {
		p := progress.Progress{PlannedTill: test.till, Listed: 7}
		if got := p.Expected(end, 30*day); got != test.want {
			t.Errorf("planned till %s: %d windows expected, want %d", test.till, got, test.want)
		}
	}
}

func TestMoved(t *testing.T) {
	t.Parallel()
	before := progress.Progress{PlannedTill: begin, Listed: 2, Done: 1, Open: []progress.Window{export}}
	if before.Moved(before) {
		t.Error("the same progress counts as moved")
	}
	done := export
	done.ExportComplete = true
	for name, now := range map[string]progress.Progress{
		"planned on":  {PlannedTill: begin.Add(day), Listed: 2, Done: 1, Open: before.Open},
		"closed":      {PlannedTill: begin, Listed: 2, Done: 2},
		"export done": {PlannedTill: begin, Listed: 2, Done: 1, Open: []progress.Window{done}},
	} {
		if !now.Moved(before) {
			t.Errorf("%s: does not count as moved", name)
		}
	}
}

func TestTogether(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
	windows := []progress.Window{
		{StartTime: at(0), ExportEndTime: at(10), ImportStartTime: at(10), EndTime: at(20)},
		{StartTime: at(5), ExportEndTime: at(12), ImportStartTime: at(12), EndTime: at(19)},
		{StartTime: at(9), ExportEndTime: at(11), ImportStartTime: at(15), EndTime: at(16)},
		{StartTime: at(12), ExportEndTime: at(14), ImportStartTime: at(20), EndTime: at(21)},
		{StartTime: at(9)}, // still under way
	}
	if exports, imports := progress.Together(windows); exports != 3 || imports != 3 {
		t.Errorf("%d exports and %d imports together, want 3 and 3", exports, imports)
	}
	relay := []progress.Window{{StartTime: at(0), ExportEndTime: at(10)}, {StartTime: at(10), ExportEndTime: at(20)}}
	if exports, _ := progress.Together(relay); exports != 1 {
		t.Errorf("%d exports together, of which one begins when the other ends; want 1", exports)
	}
	if exports, imports := progress.Together(nil); exports != 0 || imports != 0 {
		t.Errorf("%d exports and %d imports together without windows", exports, imports)
	}
}
