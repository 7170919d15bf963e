package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"fhirmigration/sandbox/fhirservice"
)

// checkReport is what the tests look at in the answer of a check.
type checkReport struct {
	Run                 int
	URL, State, Verdict string
	Source, Compared    string
	Seed                int64
	Counts              map[string]int64
	ByType              map[string]map[string]int64
	Progress            struct{ Done, Of int64 }
	SurfaceCheck        []struct {
		ResourceMatched, ResourceNotMatched, NotVerifiable []struct {
			Resource                      string
			SourceCount, DestinationCount int64
		}
		SourceTotal, DestinationTotal int64
	}
	DeepCheck []struct {
		ResourceMatched, ResourceNotMatched []struct {
			Resource, ID, Outcome string
			Compared              bool
			Differences           []struct{ Pointer, Kind, Source, Destination string }
		}
	}
	Error string
}

// check calls one of the checks with the function key.
func (a *app) check(method, path string, want ...int) (report checkReport, status int) {
	a.t.Helper()
	status, body := a.call(method, path, a.host.FunctionKey(), "")
	if err := json.Unmarshal([]byte(body), &report); err != nil {
		a.t.Fatalf("%s %s: %d %s (%v)", method, path, status, body, err)
	}
	ok := len(want) == 0 && status < 300
	for _, w := range want {
		ok = ok || status == w
	}
	if !ok {
		a.t.Fatalf("%s %s: %d %s", method, path, status, body)
	}
	return report, status
}

// ended fires the timer until a run has ended.
func (a *app) ended(report checkReport) checkReport {
	a.t.Helper()
	for deadline := time.Now().Add(time.Minute); report.State == "running"; {
		if time.Now().After(deadline) {
			a.t.Fatalf("the run does not end: %+v", report)
		}
		if inv := a.fire("VerifyTimer"); !inv.Succeeded {
			a.t.Fatalf("VerifyTimer: %s", inv.Reason)
		}
		report, _ = a.check("GET", report.URL)
	}
	return report
}

// After a migration, both checks say through the HTTP functions that everything is equal; then one byte is another, one resource is missing, and they say that.
func TestChecksOverHTTP(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun())
	a.seed(clinic(t, 1200)...)
	if report, _ := a.check("POST", "/api/DeepCheck", http.StatusBadRequest); !strings.Contains(report.Error, "nothing is migrated yet") {
		t.Errorf("before the migration: %s", report.Error)
	}
	a.runTo(end, nil)
	versions := int64(len(a.source.Versions()))

	surface, status := a.check("POST", "/api/SurfaceCheck")
	if status != http.StatusOK || surface.State != "done" || len(surface.SurfaceCheck[0].ResourceNotMatched)+len(surface.SurfaceCheck[0].NotVerifiable) > 0 ||
		surface.SurfaceCheck[0].SourceTotal != versions || surface.SurfaceCheck[0].DestinationTotal != versions {
		t.Errorf("SurfaceCheck: %d %+v, want %d versions", status, surface, versions)
	}
	for _, source := range []string{"live", "staged"} {
		report, _ := a.check("POST", "/api/DeepCheck?count=all&source="+source)
		if report = a.ended(report); report.Counts["equal"] != versions || len(report.Counts) != 1 || report.Source != source {
			t.Errorf("DeepCheck, %s: %+v, want %d equal", source, report, versions)
		}
	}
	sample, _ := a.check("POST", "/api/DeepCheck")
	if sample = a.ended(sample); sample.Counts["equal"] != 100 || len(sample.DeepCheck[0].ResourceMatched) != 100 || sample.Seed == 0 || !sample.DeepCheck[0].ResourceMatched[0].Compared {
		t.Errorf("a sample: %+v", sample)
	}
	for name, first := range map[string]string{"surfacerowkey1": "Resource", "deeprowkey1": "id"} {
		if row := a.row("export"+a.tables, name); row[first] == nil || row["Result"] != "Pass" {
			t.Errorf("row %s: %v", name, row)
		}
	}
}

// What an import changed or lost without a word is found, and so is what somebody else wrote.
func TestDeepCheckFindsWhatAnImportSpoilt(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun())
	a.seed(clinic(t, 600)...)
	a.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, FlipByte: true})
	a.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, After: 1, Times: 1, LoseLines: 2})
	a.runTo(end, nil)
	if err := a.destination.Load(fhirservice.Version{Type: "Patient", ID: "stray", VersionID: "1", LastUpdated: end.AddDate(0, -1, 0), Raw: []byte(`{"resourceType":"Patient","id":"stray"}`)}); err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{"live", "staged"} {
		report, _ := a.check("POST", "/api/DeepCheck?count=all&source="+source)
		report = a.ended(report)
		if report.Counts["different"] != 1 || report.Counts["missing"] != 2 || report.Counts["extra"] != 1 || len(report.DeepCheck[0].ResourceNotMatched) != 4 {
			t.Errorf("%s: %v %+v", source, report.Counts, report.DeepCheck)
		}
		for _, row := range report.DeepCheck[0].ResourceNotMatched {
			if row.Compared || row.Outcome == "different" && (len(row.Differences) != 1 || row.Differences[0].Pointer == "") {
				t.Errorf("%s: %+v", source, row)
			}
		}
	}
	surface, _ := a.check("POST", "/api/SurfaceCheck?windows=true")
	if surface = a.ended(surface); len(surface.SurfaceCheck[0].ResourceNotMatched) == 0 {
		t.Errorf("SurfaceCheck: %+v", surface)
	}
}

// The checks are behind a key, GET changes nothing, and what is asked for wrongly is refused with what to do.
func TestChecksAreGuarded(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun())
	for _, path := range []string{"/api/SurfaceCheck", "/api/DeepCheck", "/api/DeepCheck/cancel"} {
		for _, method := range []string{"GET", "POST"} {
			if status, _ := a.call(method, path, "", ""); status != http.StatusUnauthorized {
				t.Errorf("%s %s without a key: %d", method, path, status)
			}
		}
	}
	a.seed(clinic(t, 50)...)
	a.runTo(end, nil)
	a.check("GET", "/api/DeepCheck", http.StatusNotFound)
	a.check("GET", "/api/DeepCheck?run=1", http.StatusNotFound)
	a.check("POST", "/api/DeepCheck/cancel", http.StatusNotFound)
	for query, hint := range map[string]string{
		"cout=all": "there are types, since", "count=0": "or all", "till=2024-01-01": "2024-01-31T00:00:00Z", "types=patient": "no resource type", "seed=x": "earlier run",
		"source=x": "live or staged", "ignore=meta": "JSON Pointers", "till=2099-01-01T00:00:00Z": "everything is migrated up to",
	} {
		if report, _ := a.check("POST", "/api/DeepCheck?"+query, http.StatusBadRequest); !strings.Contains(report.Error, hint) {
			t.Errorf("%s: %s", query, report.Error)
		}
	}
	if row := a.row("chunk"+a.tables, "myrowkey-checks"); row != nil {
		t.Errorf("something was started: %v", row)
	}
	if inv := a.fire("VerifyTimer"); !inv.Succeeded {
		t.Errorf("a tick with nothing to do: %s", inv.Reason)
	}
}

// A run goes on after its handler was killed: nothing is lost and nothing is counted twice. While it runs, a second one is refused, and it can be cancelled.
func TestCheckSurvivesKills(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun("FunctionTimeoutMinutes", "0.1"))
	a.seed(clinic(t, 1200)...)
	a.runTo(end, nil)
	versions := int64(len(a.source.Versions()))
	// Slow enough to be met at work.
	a.source.Inject(fhirservice.Fault{Kind: fhirservice.History, Delay: 300 * time.Millisecond})
	report, _ := a.check("POST", "/api/DeepCheck?count=5&types=Patient")
	report = a.ended(report)

	started := make(chan checkReport)
	go func() {
		// The reply is lost with the handler; the run is there.
		a.call("POST", "/api/DeepCheck?count=all&source=live", a.host.FunctionKey(), "")
		close(started)
	}()
	for number, deadline := report.Run+1, time.Now().Add(20*time.Second); ; {
		if row := a.row("export"+a.tables, fmt.Sprintf("myrowkey-run-%d", number)); row["ClaimOwner"] != nil && row["ClaimOwner"] != "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the run did not begin")
		}
	}
	a.check("POST", "/api/DeepCheck", http.StatusConflict)
	if err := syscall.Kill(a.host.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-started
	report, _ = a.check("GET", "/api/DeepCheck")
	if report = a.ended(report); report.State != "done" || report.Counts["equal"] != versions || len(report.Counts) != 1 {
		t.Errorf("%+v, want %d equal", report, versions)
	}
}
