package migration

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/sandbox/fhirservice"
)

var rangeRun = []string{"ExportWithHistory=true", "SpecificRun=true", "EndDate=2024-12-01", "ExportChunkTime=30"}

var rangeEnd = time.Date(2024, 12, 1, 0, 0, 0, 0, time.UTC)

// A window that is too large for one export is halved, and the halves are windows like others.
func TestTooLargeIsSplit(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: rangeRun})
	r.load(60, day(1), 12*time.Hour)
	r.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 4, FailJob: &fhirservice.Failure{Status: http.StatusRequestEntityTooLarge, Reason: "out of memory"}})
	r.run(rangeEnd)
	r.wantEqual()
	first := r.window(1)
	if first.Till.Equal(first.Since.Add(30*24*time.Hour)) || !strings.Contains(fmt.Sprint(first.AttemptLog), "split at") {
		t.Errorf("the first window was not split: %+v", first)
	}
	r.checkTiling()
}

// checkTiling: the windows, by Since, neither overlap nor leave out data.
func (r *rig) checkTiling() {
	r.t.Helper()
	for _, wrong := range tiling(r.allWindows(), r.source.Versions()) {
		r.t.Error(wrong)
	}
}

// tiling says which windows overlap, and which versions are in no window.
func tiling(windows []ledger.Window, versions []fhirservice.Version) (wrong []string) {
	for i, a := range windows {
		for _, b := range windows[i+1:] {
			if a.Since.Before(b.Till) && b.Since.Before(a.Till) && (a.Holds(b.ResourceType) || b.Holds(a.ResourceType)) {
				wrong = append(wrong, fmt.Sprintf("%s and %s overlap", a.Name(), b.Name()))
			}
		}
	}
	for _, v := range versions {
		covered := false
		for _, w := range windows {
			covered = covered || w.Holds(v.Type) && !v.LastUpdated.Before(w.Since) && v.LastUpdated.Before(w.Till)
		}
		if !covered {
			wrong = append(wrong, fmt.Sprintf("%s/%s of %s is in no window", v.Type, v.ID, v.LastUpdated))
		}
	}
	return wrong
}

// More payloads than a row has room for: the window is split before it is imported.
func TestTooManyPayloadsIsSplit(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{inMemory: true, source: fhirservice.Options{LinesPerFile: 1}, settings: append([]string{"FileCount=1", "PayloadCount=50"}, rangeRun...)})
	r.load(120, day(1), time.Hour)
	r.run(rangeEnd)
	r.wantEqual()
	r.checkTiling()
	for _, w := range r.allWindows() {
		if w.PayloadCount > r.maxPayloads() {
			t.Errorf("%s has %d payloads", w.Name(), w.PayloadCount)
		}
	}
}

// 200 with an empty output, or with a file less than there is, is not believed: the window is exported again.
func TestAnExportShortOfLinesIsNotBelieved(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fhirservice.Fault{
		"empty":            {Kind: fhirservice.Export, Times: 1, EmptyResult: true},
		"short of a file":  {Kind: fhirservice.Export, Times: 1, ShortManifest: true},
		"failed":           {Kind: fhirservice.Export, Times: 1, FailJob: &fhirservice.Failure{Status: 500, Reason: "unknown error"}},
		"failed as 429":    {Kind: fhirservice.Export, Times: 1, FailJob: &fhirservice.Failure{Status: 429, Reason: "throttled for too long"}},
		"failed as 404":    {Kind: fhirservice.Export, Times: 1, FailJob: &fhirservice.Failure{Status: 404, Reason: "the container is missing"}},
		"tombstones alone": {Kind: fhirservice.Export, After: 1, Times: 1, EmptyResult: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{inMemory: true, source: fhirservice.Options{LinesPerFile: 3}, settings: rangeRun[1:]})
			r.load(10, day(1), time.Hour)
			r.seed(version("a", 1, day(2), false), version("a", 2, day(100), true))
			r.source.Inject(f)
			r.run(rangeEnd)
			r.wantEqual()
			w := r.window(1)
			if f.After > 0 {
				w = r.window(2)
			}
			if w.Attempts != 1 || len(w.AttemptLog) != 1 {
				t.Errorf("%s: %d attempts, log %v", w.Name(), w.Attempts, w.AttemptLog)
			}
		})
	}
}

func TestAWindowOutOfAttemptsIsHeldAndOthersGoOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: append([]string{"MaxExportRetries=3", "MaxParallelExports=1"}, rangeRun...)})
	r.load(3, day(1), time.Hour)
	r.load(3, day(100), time.Hour)
	failed := fhirservice.Fault{Kind: fhirservice.Export, Times: 1, FailJob: &fhirservice.Failure{Status: 500, Reason: "unknown error"}}
	r.source.Inject(failed)
	for range 200 {
		if _, s := r.tick(); s.Held > 0 && s.Held == s.Open {
			break
		}
		if w := r.window(1); w.Phase() == ledger.Planned && !r.clock.Now().Before(w.NotBefore) {
			r.source.ClearFaults()
			r.source.Inject(failed) // the oldest window is started first: this meets it
		}
	}
	held := 0
	for _, w := range r.allWindows() {
		if w.Phase() == ledger.Held {
			held++
			if w.Attempts != 3 || !strings.Contains(w.HeldReason, "unknown error") {
				t.Errorf("held: %+v", w)
			}
			if c := r.chunk(); !c.Watermark.Equal(w.Since) {
				t.Errorf("the watermark %s passed the held %s", c.Watermark, w.Name())
			}
		}
	}
	if n := r.log.with("level=ERROR", "event=Held"); held != 1 || n != 1 {
		t.Errorf("%d windows are held, %d said so, want one", held, n)
	}
}

// The reply of a kick-off is lost: a possible orphan is recorded, and the window is exported all the same.
func TestLostKickOffReply(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: rangeRun})
	r.load(10, day(1), time.Hour)
	r.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 1, LostReply: true})
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, LostReply: true})
	r.run(rangeEnd)
	r.wantEqual()
	w := r.window(1)
	if len(w.AttemptLog) != 1 || !strings.Contains(w.AttemptLog[0].What, "possible orphan export") || w.Attempts != 0 {
		t.Errorf("log: %v", w.AttemptLog)
	}
	if exports, imports := r.calls(r.source, fhirservice.Export), r.calls(r.destination, fhirservice.Import); exports != 2 || imports != 2 {
		t.Errorf("%d exports and %d imports were posted, want two of each", exports, imports)
	}
	if first, second := importIDs(r); first != second {
		t.Errorf("the import was posted under two bodies: jobs %s and %s", first, second)
	}
}

func importIDs(r *rig) (first, last string) {
	for _, c := range r.destination.Calls() {
		if c.Kind == fhirservice.ImportStatus {
			if first == "" {
				first = c.Path
			}
			last = c.Path
		}
	}
	return first, last
}

// Waiting is not failing: what is throttled, or cannot be reached for a while, is asked again, and no attempt is spent.
func TestWaitingIsNotFailing(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: rangeRun})
	r.load(10, day(1), time.Hour)
	for _, kind := range []fhirservice.Operation{fhirservice.Export, fhirservice.ExportStatus, fhirservice.HistoryCount} {
		r.source.Inject(fhirservice.Fault{Kind: kind, Times: 1, Status: 429, RetryAfter: "300"})
		r.source.Inject(fhirservice.Fault{Kind: kind, Times: 1, Status: 503})
	}
	for _, kind := range []fhirservice.Operation{fhirservice.Import, fhirservice.ImportStatus} {
		r.destination.Inject(fhirservice.Fault{Kind: kind, Times: 1, Status: 429, RetryAfter: "300"})
		r.destination.Inject(fhirservice.Fault{Kind: kind, Times: 1, Status: 503})
	}
	r.run(rangeEnd)
	r.wantEqual()
	if w := r.window(1); w.Attempts != 0 {
		t.Errorf("%d attempts were spent: %v", w.Attempts, w.AttemptLog)
	}
}

// T1: a count that cannot be had is not zero. It is asked for again, and after three tries the window is exported without one;
// what was exported is closed only when it has been counted.
func TestT01CountFailureIsUnknown(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fhirservice.Fault{
		"429":  {Status: 429},
		"500":  {Status: 500},
		"HTML": {NotFHIR: "<html>try again</html>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{source: fhirservice.Options{LinesPerFile: 5}, settings: append([]string{"MaxOpenWindows=1"}, rangeRun...)})
			r.load(10, day(1), time.Hour)
			f.Kind = fhirservice.HistoryCount
			r.source.Inject(f)
			r.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 1, ShortManifest: true})
			for range 10 {
				r.ExportStep(t.Context())
				r.ImportStep(t.Context())
				r.clock.Advance(3 * time.Minute)
			}
			if w := r.window(1); w.Phase() != ledger.Exporting || w.Attempts != 0 || r.log.with("planned without a count") != 1 {
				t.Errorf("%s, %d attempts: an export is not believed uncounted", w.Phase(), w.Attempts)
			}
			r.source.ClearFaults()
			r.run(rangeEnd)
			r.wantEqual()
			if w := r.window(1); w.SourceCount != 10 || w.Attempts != 1 {
				t.Errorf("source count %d, %d attempts", w.SourceCount, w.Attempts)
			}
		})
	}
}

// T8: the count that an export is compared with is answered 404, 429 or 503. It is asked for again: the export neither agrees with the source for
// that, nor disagrees, whether it is whole or not.
func TestT08ACountAfterAnExportThatCannotBeHad(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusNotFound, http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		for _, short := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d, short: %v", status, short), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, rigOptions{inMemory: true, source: fhirservice.Options{LinesPerFile: 5}, settings: append([]string{"MaxOpenWindows=1"}, rangeRun...)})
				r.load(10, day(1), time.Hour)
				if short {
					r.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 1, ShortManifest: true})
				}
				if _, err := r.ExportStep(t.Context()); err != nil || r.window(1).Phase() != ledger.Exporting {
					t.Fatalf("%s: %v", r.window(1).Phase(), err)
				}
				r.source.Inject(fhirservice.Fault{Kind: fhirservice.HistoryCount, Status: status})
				for range 10 {
					r.clock.Advance(3 * time.Minute)
					r.ExportStep(t.Context()) // it may say that the source does not count
					r.ImportStep(t.Context())
				}
				if w := r.window(1); w.Phase() != ledger.Exporting || w.Attempts != 0 || r.calls(r.destination, fhirservice.Import) > 0 {
					t.Errorf("uncounted, the window is %s after %d failed attempts", w.Phase(), w.Attempts)
				}
				r.source.ClearFaults()
				r.run(rangeEnd)
				r.wantEqual()
				if w := r.window(1); w.SourceCount != 10 || (w.Attempts == 1) != short {
					t.Errorf("source count %d, %d failed attempts", w.SourceCount, w.Attempts)
				}
			})
		}
	}
}

// A 403 halts with the role named, and everything goes on by itself once it is granted.
func TestForbiddenNamesTheRole(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: rangeRun})
	r.load(10, day(1), time.Hour)
	r.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 1, Status: 403})
	if _, err := r.ExportStep(t.Context()); err == nil || !strings.Contains(err.Error(), `"FHIR Data Exporter"`) {
		t.Errorf("the error: %v", err)
	}
	r.clock.Advance(time.Hour)
	r.run(rangeEnd)
	r.wantEqual()
	if w := r.window(1); w.Attempts != 0 {
		t.Errorf("%d attempts were spent", w.Attempts)
	}
}

// A source that answers something that is no FHIR: the error quotes it, and the window stays as it is.
func TestAnswersThatAreNoFHIR(t *testing.T) {
	t.Parallel()
	const page = "<html><body>Sign in to continue</body></html>"
	for _, kind := range []fhirservice.Operation{fhirservice.HistoryCount, fhirservice.ExportStatus} {
		for _, body := range []string{page, `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"exception","diagnostics":"odd"}]}`, "[]"} {
			t.Run(string(kind)+" "+body[:2], func(t *testing.T) {
				t.Parallel()
				r := newRig(t, rigOptions{inMemory: true, settings: rangeRun})
				r.load(10, day(1), time.Hour)
				f := fhirservice.Fault{Kind: kind, Times: 1, NotFHIR: body}
				if kind == fhirservice.ExportStatus {
					f.After = 1 // the first asks for job 0, to learn the server's time from its Date
				}
				r.source.Inject(f)
				var errs []error
				for range 60 {
					_, err := r.ExportStep(t.Context())
					_, err2 := r.ImportStep(t.Context())
					errs = append(errs, err, err2)
					r.clock.Advance(3 * time.Minute)
				}
				text := ""
				if err := errors.Join(errs...); err != nil {
					text = err.Error()
				}
				if !strings.Contains(text, "200") || body == page && !strings.Contains(text, "Sign in to continue") {
					t.Errorf("the error does not quote the answer: %s", text)
				}
				if strings.Count(text, "\n") > 1 {
					t.Errorf("more than one error: %s", text)
				}
				r.wantEqual()
				if w := r.window(1); w.Attempts != 0 {
					t.Errorf("%d attempts were spent", w.Attempts)
				}
			})
		}
	}
}

// T31, the part of the plan: a setting that is pinned changes half-way.
func TestT31PinnedSettingStopsPlanning(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: append([]string{"MaxOpenWindows=1"}, rangeRun...)})
	r.load(100, day(1), 24*time.Hour)
	r.tick()
	changed := r.handler("ExportWithHistory=false")
	_, err := changed.ExportStep(t.Context())
	if err == nil || !strings.Contains(err.Error(), `ExportWithHistory was "true" and is "false"`) {
		t.Errorf("the error: %v", err)
	}
	for range 10 {
		changed.ExportStep(t.Context())
		if _, err := changed.ImportStep(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.clock.Advance(3 * time.Minute)
	}
	if c := r.chunk(); c.JobID != 2 || c.Totals.Windows != 1 {
		t.Errorf("what was open is not finished, or something new was planned: %+v", c)
	}
	r.run(rangeEnd)
	r.wantEqual()
}

// A Content-Location and next links that point to another host: nothing goes there, and the job is followed.
func TestT32ForeignHosts(t *testing.T) {
	t.Parallel()
	visits := make(chan string, 100)
	foreign := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { visits <- r.URL.String() }))
	defer foreign.Close()
	r := newRig(t, rigOptions{source: fhirservice.Options{Kind: fhirservice.Cosmos}, settings: append([]string{"ExportChunkTime=5"}, rangeRun[:3]...)})
	r.seed(version("a", 1, day(1), false), version("b", 1, day(150), false))
	r.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, ForeignHost: foreign.URL})
	r.source.Inject(fhirservice.Fault{Kind: fhirservice.History, ForeignHost: foreign.URL})
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, ForeignHost: foreign.URL})
	r.run(rangeEnd)
	r.wantEqual()
	select {
	case url := <-visits:
		t.Errorf("a call went to the other host: %s", url)
	default:
	}
	if w := r.window(1); !strings.HasPrefix(w.ExportStatusURL, r.source.URL()) || !strings.HasPrefix(w.ImportStatusURL, r.destination.URL()) {
		t.Errorf("status URLs: %s, %s", w.ExportStatusURL, w.ImportStatusURL)
	}
}
