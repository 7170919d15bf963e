package e2e

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"fhirmigration/sandbox/fhirservice"
	"fhirmigration/sandbox/original"
)

// leaveOriginal has the durable original migrate five windows of 60 days and stop: three closed, of which one hides an import that was never
// made, one half imported, one whose export runs.
func (a *app) leaveOriginal() {
	a.t.Helper()
	a.pass.Store("the original's token")
	o, err := original.Open(a.t.Context(), original.Options{StorageConnectionString: a.options.Settings["AzureWebJobsStorage"],
		ExportTable: "export" + a.tables, ChunkTable: "chunk" + a.tables, PartitionKey: "mypartitionkey", RowKey: "myrowkey",
		Source: a.source.URL(), Destination: a.destination.URL(), SourceToken: "the original's token", DestinationToken: "the original's token", FileCount: 3})
	if err != nil {
		a.t.Fatal(err)
	}
	since := end.AddDate(-5, 0, 0)
	for number, stage := range []original.Stage{original.Closed, original.HidesFailure, original.Closed, original.HalfPosted, original.Exporting} {
		if err := o.Window(a.t.Context(), number, since, since.AddDate(0, 0, 60), stage); err != nil {
			a.t.Fatal(err)
		}
		since = since.AddDate(0, 0, 60)
	}
	if err := o.Chunk(a.t.Context(), 5, end.AddDate(-5, 0, 180)); err != nil {
		a.t.Fatal(err)
	}
	a.pass.Store("")
}

// exportsSince are the windows of which exports were started after the first ones.
func (a *app) exportsSince(before int) (windows []string) {
	for _, c := range a.source.Calls() {
		if c.Kind != fhirservice.Export {
			continue
		}
		if before--; before < 0 {
			q, _ := url.ParseQuery(c.RawQuery)
			windows = append(windows, q.Get("_since"))
		}
	}
	slices.Sort(windows)
	return windows
}

// The handler finds the tables of a half-done original: it follows what runs, repairs what was hidden, goes on from there, and exports nothing again.
// Then it is drained in the middle of its own work, and resumed.
func TestTakeOverAndDrain(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{LinesPerFile: 5}, fhirservice.Options{}, rangeRun())
	a.seed(clinic(t, 400)...)
	a.leaveOriginal()
	began := a.calls(a.source, fhirservice.Export)
	for range 4 {
		a.fire("ExportTimer")
		a.fire("ImportTimer")
	}
	chunk := a.row("chunk"+a.tables, "myrowkey")
	if text, _ := chunk["takenOver"].(string); !strings.Contains(text, `"complete":2`) || !strings.Contains(text, `"open":2`) || !strings.Contains(text, `"repairs":1`) {
		t.Errorf("taken over: %v", chunk["takenOver"])
	}
	if status, body := a.post("/api/Drain", signed); status != http.StatusOK {
		t.Errorf("drain: %d %s", status, body)
	}
	drained := false
	for range 60 {
		a.fire("ExportTimer")
		a.fire("ImportTimer")
		if control := a.row("chunk"+a.tables, "myrowkey-control"); control["drained"] != nil {
			drained = true
			break
		}
	}
	chunk = a.row("chunk"+a.tables, "myrowkey")
	if _, there := chunk["openWindows"]; there || !drained {
		t.Errorf("not given back: %v", chunk)
	}
	exports := a.calls(a.source, fhirservice.Export)
	a.fire("ExportTimer")
	if n := a.calls(a.source, fhirservice.Export); n != exports {
		t.Errorf("%d exports were started after the drain", n-exports)
	}
	if status, body := a.post("/api/Resume", signed); status != http.StatusOK {
		t.Errorf("resume: %d %s", status, body)
	}
	a.runTo(end, nil)
	a.wantEqual()
	windows := a.exportsSince(began)
	if all := len(windows); len(slices.Compact(windows)) != all {
		t.Errorf("a window was exported twice: %v", windows)
	}
	if first := windows[0]; first < end.AddDate(-5, 0, 300).Format("2006-01-02T15:04:05.000Z") {
		t.Errorf("exported again: %s, which the original had exported", first)
	}
}
