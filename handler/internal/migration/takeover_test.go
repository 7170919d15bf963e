package migration

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/staging"
	"fhirmigration/sandbox/fhirservice"
)

// takeOverCase is a state in which the original leaves its tables. Windows 0 and 1 are closed unless it says otherwise.
type takeOverCase struct {
	leave    func(o *original) // writes the rows behind window 1, and the chunk row
	again    []string          // windows, by their first days, that may be exported beside those that come after
	jobs     int               // imports of days 20 to 30 that were asked for, by the original or by us; 0 stands for 2
	settings []string
}

// rest is the window that nobody has exported when the original stops behind day 30.
const rest = "2024-01-31/2024-02-10"

const third = "2024-01-21/2024-01-31" // days 20 to 30

// Whatever phase the original stopped in, its migration ends with everything at the destination, and no complete window is exported again.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	cases := map[string]takeOverCase{
		"between two windows": {leave: func(o *original) { o.chunkRow(2, day(20), nil) }, again: []string{third}, jobs: 1},
		"export started, counter not saved": {leave: func(o *original) {
			o.started(2, 20, 30)
			o.chunkRow(2, day(20), nil)
		}, jobs: 1},
		"export running": {leave: func(o *original) {
			j := o.started(2, 20, 30)
			j.row["IsExportRunning"] = "Running"
			o.save(j)
			o.chunkRow(3, day(20), nil)
		}, jobs: 1},
		"export unknown to the source by now": {leave: func(o *original) {
			o.forgets(o.started(2, 20, 30))
			o.chunkRow(3, day(20), nil)
		}, again: []string{third}, jobs: 1},
		"exported, no request body saved": {leave: func(o *original) {
			j := o.started(2, 20, 30)
			maps.Copy(j.row, map[string]any{"IsExportComplete": true, "IsExportRunning": "Completed"})
			o.save(j)
			o.chunkRow(3, day(20), nil)
		}, jobs: 1},
		"exported, one request body of two saved": {leave: func(o *original) {
			j := o.started(2, 20, 30)
			o.read(j)
			o.bodies(j, 1)
			maps.Copy(j.row, map[string]any{"IsExportComplete": true, "IsExportRunning": "Completed"})
			o.save(j)
			o.chunkRow(3, day(20), nil)
		}},
		"exported, nothing posted": {leave: func(o *original) {
			o.exported(2, 20, 30)
			o.chunkRow(3, day(20), nil)
		}},
		"exported, nothing posted, the export forgotten": {leave: func(o *original) {
			o.forgets(o.exported(2, 20, 30))
			o.chunkRow(3, day(20), nil)
		}},
		"exported, one body missing, the export forgotten": {leave: func(o *original) {
			j := o.exported(2, 20, 30)
			if _, err := o.blobs.DeleteBlob(o.t.Context(), "import-"+j.id, payloadName(2), nil); err != nil {
				o.t.Fatal(err)
			}
			o.forgets(j)
			o.chunkRow(3, day(20), nil)
		}, again: []string{third}, jobs: 1},
		"first payload posted, no row says so": {leave: func(o *original) {
			o.post(o.exported(2, 20, 30), 1)
			o.chunkRow(3, day(20), nil)
		}},
		"one payload posted": {leave: func(o *original) {
			o.posted(o.exported(2, 20, 30), 1)
			o.chunkRow(3, day(20), nil)
		}},
		"both payloads posted, the export forgotten": {leave: func(o *original) {
			j := o.exported(2, 20, 30)
			o.posted(j, 1)
			o.posted(j, 2)
			o.forgets(j)
			o.chunkRow(3, day(20), nil)
		}},
		"both payloads imported, not closed": {leave: func(o *original) {
			j := o.done(2, 20, 30)
			j.row["IsProcessed"] = false
			o.save(j)
			o.chunkRow(3, day(20), nil)
		}},
		"closed, watermark not saved": {leave: func(o *original) {
			o.done(2, 20, 30)
			o.chunkRow(3, day(20), nil)
		}},
		"watermark saved, row not closed": {leave: func(o *original) {
			j := o.done(2, 20, 30)
			j.row["IsProcessed"], j.row["CompletedCount"] = false, 1
			o.save(j)
			o.chunkRow(3, day(30), nil)
		}},
		"kick-off refused": {leave: func(o *original) {
			o.put(o.exports, "myrowkey2", map[string]any{"exportContentLocation": "", "importContentLocation": "", "IsExportComplete": false, "IsExportRunning": "Failed",
				"IsImportComplete": false, "IsImportRunning": "Failed", "ImportRequest": "", "FailureReason": "no"})
			o.chunkRow(3, day(20), nil)
		}, again: []string{third}, jobs: 1},
		"export failed, not tried again yet": {leave: func(o *original) {
			j := o.started(2, 20, 30)
			maps.Copy(j.row, map[string]any{"IsExportComplete": true, "IsExportRunning": "Failed", "IsImportRunning": "Failed", "FailureReason": "no"})
			o.save(j)
			o.chunkRow(3, day(20), nil)
		}, again: []string{third}, jobs: 1},
		"export failed, tried again and running": {leave: func(o *original) {
			j := o.started(2, 20, 30)
			maps.Copy(j.row, map[string]any{"IsExportComplete": true, "IsExportRunning": "Failed", "IsImportRunning": "Failed", "FailureReason": "no"})
			o.save(j)
			o.started(3, 20, 30)
			o.chunkRow(4, day(20), nil)
		}, jobs: 1},
		"post of the first payload refused": {leave: func(o *original) {
			j := o.exported(2, 20, 30)
			maps.Copy(j.row, map[string]any{"IsImportRunning": "failed", "ImportNo": payloadName(1), "IsProcessed": true, "FailureReason": "no"})
			o.save(j)
			o.chunkRow(3, day(20), nil)
		}},
		"first import failed": {leave: func(o *original) {
			o.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, FailJob: &fhirservice.Failure{Status: 500, Reason: "no"}})
			j := o.exported(2, 20, 30)
			o.posted(j, 1)
			maps.Copy(j.row, map[string]any{"IsImportRunning": "Failed", "IsImportComplete": true, "CompletedCount": 1})
			o.save(j)
			o.chunkRow(3, day(20), nil)
		}},
		"halted after five failures": {leave: func(o *original) {
			o.chunkRow(7, day(20), map[string]any{"maxExportRetries": 5})
		}, again: []string{third}, jobs: 1, settings: []string{"MaxExportRetriesEnabled=false"}},
		"a closed window hides a failed payload": {leave: func(o *original) {
			j := o.exported(2, 20, 30)
			o.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, After: 1, Times: 1, FailJob: &fhirservice.Failure{Status: 500, Reason: "no"}})
			first := o.post(j, 1)
			o.payloadRow(j, 2, map[string]any{"importContentLocation": o.post(j, 2), "IsImportRunning": "Failed", "IsImportComplete": true})
			maps.Copy(j.row, map[string]any{"IsImportRunning": "Completed", "IsImportComplete": true, "importContentLocation": first, "ImportNo": payloadName(1),
				"IsProcessed": true, "CompletedCount": 2, "TotalImportResourceCount": o.imported(first)})
			o.save(j)
			o.chunkRow(3, day(30), nil)
		}},
		"a closed window hides a payload that was never posted": {leave: func(o *original) {
			j := o.exported(2, 20, 30)
			first := o.post(j, 1)
			o.payloadRow(j, 2, map[string]any{"IsImportRunning": "failed", "IsProcessed": true})
			maps.Copy(j.row, map[string]any{"IsImportRunning": "Completed", "IsImportComplete": true, "importContentLocation": first, "ImportNo": payloadName(1),
				"IsProcessed": true, "CompletedCount": 2, "TotalImportResourceCount": o.imported(first)})
			o.save(j)
			o.forgets(j)
			o.chunkRow(3, day(30), nil)
		}},
		"a closed window, the row of a payload was overwritten": {leave: func(o *original) {
			o.closedShort(o.exported(2, 20, 30))
			o.chunkRow(3, day(30), nil)
		}},
		"a closed window without figures, the row of a payload was overwritten": {leave: func(o *original) {
			j := o.exported(2, 20, 30)
			o.closedShort(j)
			delete(j.row, "TotalExportResourceCount")
			o.save(j)
			o.chunkRow(3, day(30), nil)
		}},
		"a request body that was cut off": {leave: func(o *original) {
			j := o.exported(2, 20, 30)
			o.blob("import-"+j.id, payloadName(2), []byte(`{"resourceType":"Parameters","parameter":[{"name":"input","part":[{"na`))
			o.chunkRow(3, day(20), nil)
		}, again: []string{third}, jobs: 1},
		"a closed window hides refused lines": {leave: func(o *original) {
			o.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, RefuseLines: 1})
			j := o.done(2, 20, 30)
			j.row["TotalFailedImportCount"], j.row["FailedImportResources"] = "1", "Patient:1"
			o.save(j)
			o.chunkRow(3, day(30), nil)
		}, jobs: 3},
		"an import that runs refuses lines": {leave: func(o *original) {
			o.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, RefuseLines: 1})
			o.posted(o.exported(2, 20, 30), 1)
			o.chunkRow(3, day(20), nil)
		}, jobs: 3},
		"rows without the columns of newer deployments": {leave: func(o *original) {
			for number := range 2 {
				row := o.rows()[fmt.Sprintf("myrowkey%d", number)]
				for _, name := range []string{"IsFirst", "IsProcessed", "ImportNo", "PayloadCount", "CompletedCount", "ExportId"} {
					delete(row, name)
				}
				maps.DeleteFunc(row, func(name string, _ any) bool {
					return strings.HasPrefix(name, "odata") || strings.Contains(name, "@") || name == "Timestamp"
				})
				for _, name := range []string{"StartTime", "ExportEndTime", "EndTime", "ImportStartTime"} {
					delete(row, name)
				}
				o.put(o.exports, fmt.Sprintf("myrowkey%d", number), row)
			}
			j := o.exported(2, 20, 30)
			o.post(j, 1)
			for _, name := range []string{"IsFirst", "IsProcessed", "ImportNo", "CompletedCount", "ExportId", "StartTime"} {
				delete(j.row, name)
			}
			o.save(j)
			o.chunkRow(3, day(20), nil)
		}},
		"payload rows under the numbers of windows": {leave: func(o *original) {
			for _, number := range []int{3, 4, 6} {
				o.put(o.exports, fmt.Sprintf("myrowkey%d", number), map[string]any{"IsExportComplete": true, "IsExportRunning": "Completed", "IsImportComplete": true, "IsImportRunning": "Completed",
					"ImportRequest": "Yes", "Since": ledger.FormatInstant(day(0)), "Till": ledger.FormatInstant(day(10)), "ExportId": "3", "ImportNo": payloadName(2)})
			}
			o.chunkRow(2, day(20), nil)
		}, again: []string{third}, jobs: 1},
		"checks have written rows": {leave: func(o *original) {
			o.put(o.exports, "surfacerowkey1", map[string]any{"Resource": "Patient", "SourceCount": "1", "DestinationCount": "1", "Result": "Pass"})
			o.put(o.exports, "deeprowkey1", map[string]any{"Resource": "Patient", "id": "x", "Result": "Fail"})
			o.chunkRow(2, day(20), map[string]any{"SurfaceJobId": 2, "DeepJobId": 2})
		}, again: []string{third}, jobs: 1},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOriginal(t, rigOptions{settings: test.settings})
			o.done(0, 0, 10)
			o.done(1, 10, 20)
			test.leave(o)
			exports := len(o.exportCalls())
			o.run(originalEnd)
			o.wantEqual()
			if got, want := slices.Sorted(slices.Values(o.exportedAfter(exports))), append(slices.Clone(test.again), rest); !slices.Equal(got, want) {
				t.Errorf("exported after the takeover: %v, want %v", got, want)
			}
			o.checkTakenOver(test)
		})
	}
}

// closedShort closes a window of two payloads of which only the first was posted. The second one's row, which said so, is not there: a
// row of another payload, or of a window, has its key.
func (o *original) closedShort(j *job) {
	o.t.Helper()
	first := o.post(j, 1)
	maps.Copy(j.row, map[string]any{"IsImportRunning": "Completed", "IsImportComplete": true, "importContentLocation": first, "ImportNo": payloadName(1),
		"IsProcessed": true, "CompletedCount": 2, "TotalImportResourceCount": o.imported(first)})
	o.save(j)
}

// checkTakenOver looks at what is left when a migration that was taken over has ended: every line of the windows closed by us in their
// books, no exception, no row that the original wrote changed without need, and no import posted for nothing.
func (o *original) checkTakenOver(test takeOverCase) {
	o.t.Helper()
	c := o.chunk()
	if c.Foreign || len(c.Open) > 0 || len(c.Repairs) > 0 || c.Takeover.At.IsZero() || !c.Watermark.Equal(originalEnd) {
		o.t.Errorf("chunk row at the end: %+v", c)
	}
	if c.Takeover.Complete < 2 {
		o.t.Errorf("taken over: %+v", c.Takeover)
	}
	if n := c.Totals.Refused; n != 0 {
		o.t.Errorf("%d lines are refused in the end", n)
	}
	if n, want := o.importJobs(), 4+cmp.Or(test.jobs, 2)+1; n != want { // two for each closed window, one for the last
		o.t.Errorf("%d imports, want %d", n, want)
	}
	for n := range c.JobID {
		w, err := o.Ledger.Window(o.t.Context(), n)
		if err != nil { // a payload's row
			continue
		}
		if p := w.Phase(); p != ledger.Done && p != ledger.Superseded && w.Till.After(day(20)) {
			o.t.Errorf("%s is %s", w.Name(), p)
		}
	}
}

// A fresh deployment of the original has a chunk row and nothing else.
func TestTakeOverOfAFreshOriginal(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(o *original){
		"nothing begun":       func(o *original) { o.chunkRow(0, time.Time{}, nil) },
		"first export runs":   func(o *original) { o.started(0, 0, 10); o.chunkRow(1, time.Time{}, nil) },
		"first row, no count": func(o *original) { o.started(0, 0, 10); o.chunkRow(0, time.Time{}, nil) },
		"first window closed, watermark not saved": func(o *original) {
			o.done(0, 0, 10)
			o.chunkRow(1, time.Time{}, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOriginal(t, rigOptions{})
			leave(o)
			o.run(originalEnd)
			o.wantEqual()
			if n := len(o.exportCalls()); n != 4 {
				t.Errorf("%d exports for four windows: %v", n, o.exportedAfter(0))
			}
		})
	}
}

// importJobs is how many imports were asked for by their status URL.
func (o *original) importJobs() int {
	jobs := map[string]bool{}
	for _, c := range o.destination.Calls() {
		if _, id, ok := strings.Cut(c.Path, "/_operations/import/"); ok && c.Status == http.StatusOK {
			jobs[id] = true
		}
	}
	return len(jobs)
}

// A payload that was posted before the original died, and of which no row says so, is posted byte for byte: the destination gives the job that it had.
func TestTakeOverPostsTheSameBytes(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, rigOptions{destination: fhirservice.Options{ImportTime: jobTime}})
	j := o.exported(0, 0, 10)
	posted := o.post(j, 1)
	o.chunkRow(1, day(0), nil)
	for range 3 {
		o.tick()
	}
	if w := o.window(0); len(w.Payloads) != 2 || w.Payloads[0].StatusURL != posted || w.Payloads[1].StatusURL == "" || w.Payloads[1].StatusURL == posted {
		t.Errorf("the original's job is %s; the row says %+v", posted, w.Payloads)
	}
	o.run(originalEnd)
	o.wantEqual()
}

// A window of which one request body of two was saved is looked at twice: first the source does not know its export for once, and cannot be counted, then
// it gives the manifest. No file is forgotten over it.
func TestTakeOverLooksTwice(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, rigOptions{})
	o.done(0, 0, 10)
	o.done(1, 10, 20)
	j := o.exported(2, 20, 30)
	if _, err := o.blobs.DeleteBlob(t.Context(), "import-"+j.id, payloadName(2), nil); err != nil {
		t.Fatal(err)
	}
	j.row["PayloadCount"] = 1
	o.save(j)
	o.chunkRow(3, day(20), nil)
	o.source.Inject(fhirservice.Fault{Kind: fhirservice.ExportStatus, Times: 1, Status: http.StatusNotFound, Code: "not-found"})
	for _, k := range []fhirservice.Operation{fhirservice.Count, fhirservice.HistoryCount} {
		o.source.Inject(fhirservice.Fault{Kind: k, Times: 1, Status: http.StatusServiceUnavailable})
	}
	exports := len(o.exportCalls())
	o.run(originalEnd)
	o.wantEqual()
	if got := o.exportedAfter(exports); !slices.Equal(got, []string{rest}) {
		t.Errorf("exported after the takeover: %v", got)
	}
	if w := o.window(2); w.Phase() != ledger.Done || w.ExportedLines() != int64(j.lines) {
		t.Errorf("%s is %s: %d lines of %d", w.Name(), w.Phase(), w.ExportedLines(), j.lines)
	}
}

// Files that a look has listed without their lines stay listed so, when it dies before the row says it and the next one has the manifest: the window
// is balanced as a whole, against what the original counted of its export.
func TestTakeOverListedWithoutLines(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, rigOptions{})
	o.done(0, 0, 10)
	o.done(1, 10, 20)
	j := o.exported(2, 20, 30)
	bodies, err := o.Staging.OriginalPayloads(t.Context(), j.id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Staging.PutTakenOver(t.Context(), j.id, staging.TakenOver{Payloads: bodies[:1]}); err != nil {
		t.Fatal(err)
	}
	o.chunkRow(3, day(20), nil)
	o.run(originalEnd)
	w := o.window(2)
	if w.Phase() != ledger.Held || !strings.Contains(w.HeldReason, "retry the window") {
		t.Fatalf("%s is %s (%s): %d lines of %d", w.Name(), w.Phase(), w.HeldReason, w.ExportedLines(), j.lines)
	}
	if _, err := o.RetryWindow(t.Context(), 2, somebody); err != nil {
		t.Fatal(err)
	}
	o.run(originalEnd)
	o.wantEqual()
}

// A window whose payloads are waited for, as something of it cannot be read for now, can be exported again by an operator.
func TestRetryAWindowThatIsAdopted(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, rigOptions{})
	o.done(0, 0, 10)
	o.done(1, 10, 20)
	o.exported(2, 20, 30)
	o.chunkRow(3, day(20), nil)
	o.source.Inject(fhirservice.Fault{Kind: fhirservice.ExportStatus, Status: http.StatusServiceUnavailable})
	if _, err := o.ExportStep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w := o.window(2); w.Phase() != ledger.Adopting {
		t.Fatalf("%s is %s", w.Name(), w.Phase())
	}
	exports := len(o.exportCalls())
	if w, err := o.RetryWindow(t.Context(), 2, somebody); err != nil || w.Phase() != ledger.Planned {
		t.Fatalf("retried: %v, %s", err, w.Phase())
	}
	o.source.ClearFaults()
	o.run(originalEnd)
	o.wantEqual()
	if got, want := o.exportedAfter(exports), []string{third, rest}; !slices.Equal(got, want) {
		t.Errorf("exported after the retry: %v, want %v", got, want)
	}
}

// What the original exported as it is, is not imported where de-identified data was asked for: it is exported again, and nothing of it is posted.
func TestTakeOverDeidentified(t *testing.T) {
	t.Parallel()
	for _, forgotten := range []bool{false, true} {
		t.Run(fmt.Sprintf("forgotten=%v", forgotten), func(t *testing.T) {
			t.Parallel()
			o := newOriginal(t, rigOptions{settings: []string{"IsExportDeidentified=true", "ConfigFile=redact.json"}})
			j := o.exported(0, 0, 10)
			if forgotten {
				o.forgets(j)
			}
			o.chunkRow(1, day(0), nil)
			o.ExportStep(t.Context()) // nothing is exported, as there is no configuration
			o.ExportStep(t.Context())
			o.ImportStep(t.Context())
			if n := o.calls(o.destination, fhirservice.Import); n != 0 {
				t.Errorf("%d imports were posted", n)
			}
			if w := o.window(0); w.Phase() != ledger.Planned || !strings.Contains(w.AttemptLog[0].What, "de-identified") {
				t.Errorf("%s is %s: %+v", w.Name(), w.Phase(), w.AttemptLog)
			}
		})
	}
}
