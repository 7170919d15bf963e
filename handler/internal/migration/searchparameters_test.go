package migration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/sandbox/fhirservice"
)

// parameterVersion is a custom search parameter on an extension of Patient, to be loaded.
func parameterVersion(n int, replace ...string) fhirservice.Version {
	raw := fmt.Sprintf(`{"resourceType":"SearchParameter","id":"sp-%[1]d","url":"https://contoso.example/sp/%[1]d","name":"sp%[1]d","status":"active","code":"sp-%[1]d",`+
		`"base":["Patient"],"type":"string","expression":"Patient.extension.where(url='urn:contoso:%[1]d').value"}`, n)
	return fhirservice.Version{Type: "SearchParameter", ID: fmt.Sprintf("sp-%d", n), VersionID: "1", LastUpdated: day(float64(n) / 100),
		Raw: []byte(strings.NewReplacer(replace...).Replace(raw))}
}

func parameterVersions(n int) (all []fhirservice.Version) {
	for i := range n {
		all = append(all, parameterVersion(i))
	}
	return all
}

// extended is a patient with an extension that search parameter n finds.
func extended(id string, n int, at time.Time, text string) fhirservice.Version {
	return fhirservice.Version{Type: "Patient", ID: id, VersionID: "1", LastUpdated: at,
		Raw: fmt.Appendf(nil, `{"resourceType":"Patient","id":%q,"extension":[{"url":"urn:contoso:%d","valueString":%q}]}`, id, n, text)}
}

func (r *rig) parameters() ledger.SearchParameters {
	r.t.Helper()
	row, err := r.Ledger.SearchParameters(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return row
}

// find searches patients at the destination, strictly, and returns their ids and the status.
func (r *rig) find(query string) (ids []string, status int) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.destination.URL()+"/Patient?"+query, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Prefer", "handling=strict")
	reply, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer reply.Body.Close()
	var bundle struct {
		Entry []struct{ Resource struct{ ID string } }
	}
	if err := json.NewDecoder(reply.Body).Decode(&bundle); err != nil {
		r.t.Fatal(err)
	}
	for _, e := range bundle.Entry {
		ids = append(ids, e.Resource.ID)
	}
	return ids, reply.StatusCode
}

// untilEnded ticks until the search parameters are done or failed.
func (r *rig) untilEnded() ledger.SearchParameters {
	r.t.Helper()
	for range 100 {
		if row := r.parameters(); row.Ended() {
			return row
		}
		r.tick()
	}
	r.t.Fatalf("the search parameters do not end: %+v", r.parameters())
	return ledger.SearchParameters{}
}

var lastYear = []string{"SpecificRun=true", "EndDate=2024-03-01", "ExportChunkTime=30"}

// T9: 1,001 custom search parameters, over two pages and three batches, of which two are refused and named; the rest work after the reindex, which
// imports do not wait for.
func TestT09SearchParameters(t *testing.T) {
	t.Parallel()
	anHour := func(int) time.Duration { return time.Hour }
	r := newRig(t, rigOptions{settings: lastYear, destination: fhirservice.Options{ReindexTime: anHour}})
	all := parameterVersions(1001)
	all[500] = parameterVersion(500, ".where(", ".iif(")
	all[1000] = parameterVersion(1000, "https://contoso.example/sp/1000", "http://hl7.org/fhir/SearchParameter/Patient-name")
	r.seed(all...)
	r.seed(extended("east", 7, day(20), "East 1"), extended("west", 7, day(40), "West"), extended("last", 999, day(41), "here"))

	r.run(time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC))
	row := r.parameters()
	if row.State != ledger.ParametersReindexing || r.chunk().SearchParametersReady || !r.chunk().SearchParameterMigration {
		t.Errorf("when all is imported: %+v", row)
	}
	if _, status := r.find("sp-7=east"); status != http.StatusBadRequest {
		t.Errorf("searchable before the reindex: %d", status)
	}
	row = r.untilEnded()
	counts := []int{row.Found, row.Existing, row.Copied, row.Refused}
	if diff := cmp.Diff([]int{1001, 0, 999, 2}, counts); diff != "" || row.State != ledger.ParametersDone {
		t.Errorf("%s, counts (-want +got):\n%s", row.State, diff)
	}
	var refused []string
	for _, p := range row.Named {
		refused = append(refused, p.URL)
		if p.Reason == "" || r.log.with("search parameter refused", p.URL) != 1 {
			t.Errorf("%s: reason %q, or not in the log", p.URL, p.Reason)
		}
	}
	if diff := cmp.Diff([]string{"https://contoso.example/sp/500", "http://hl7.org/fhir/SearchParameter/Patient-name"}, refused); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
	for query, want := range map[string][]string{"sp-7=east": {"east"}, "sp-7=we": {"west"}, "sp-999=here": {"last"}, "sp-8=east": nil} {
		if ids, status := r.find(query); status != http.StatusOK || !slices.Equal(ids, want) {
			t.Errorf("%s: %d %v, want %v", query, status, ids, want)
		}
	}
	if _, status := r.find("sp-500=x"); status != http.StatusBadRequest {
		t.Errorf("the refused parameter is searchable: %d", status)
	}
	// Nothing is imported before they are copied, batches hold 500 at most, those refused are tried once more.
	batches, firstImport, lastBatch := 0, time.Time{}, time.Time{}
	for _, c := range r.destination.Calls() {
		switch c.Kind {
		case fhirservice.Batch:
			batches, lastBatch = batches+1, c.Time
		case fhirservice.Import:
			if firstImport.IsZero() {
				firstImport = c.Time
			}
		}
	}
	if batches != 4 || firstImport.Before(lastBatch) {
		t.Errorf("%d batches, the last at %s, the first import at %s", batches, lastBatch, firstImport)
	}
	if n := r.calls(r.destination, fhirservice.Reindex); n != 1 {
		t.Errorf("%d reindexes started", n)
	}
	calls := len(r.destination.Calls()) + len(r.source.Calls())
	r.tick()
	if now := len(r.destination.Calls()) + len(r.source.Calls()); now > calls+2 {
		t.Errorf("%d calls after all is done", now-calls)
	}
}

// Only what the destination does not define is written; without anything to write there is no reindex.
func TestSearchParametersThatAreThere(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: lastYear})
	r.seed(parameterVersions(3)...)
	r.seed(version("p", 1, day(20), false))
	for n := range 3 {
		other := parameterVersion(n)
		other.ID = fmt.Sprintf("of-the-destination-%d", n)
		other.Raw = []byte(strings.ReplaceAll(string(other.Raw), `"sp-2"`, `"sp-two"`))
		if err := r.destination.Load(other); err != nil {
			t.Fatal(err)
		}
	}
	row := r.untilEnded()
	if row.Found != 3 || row.Existing != 3 || row.Copied != 0 || row.State != ledger.ParametersDone {
		t.Errorf("row: %+v", row)
	}
	if n := r.calls(r.destination, fhirservice.Batch) + r.calls(r.destination, fhirservice.Reindex); n != 0 {
		t.Errorf("%d writes and reindexes for nothing", n)
	}
	if r.log.with("which differs", "https://contoso.example/sp/2") != 1 || r.log.with("which differs") != 1 {
		t.Error("the log does not name the one that differs, or another one")
	}
}

// What comes from the original was copied without a reindex: it is made up for.
func TestSearchParametersOfTheOriginalAreReindexed(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: lastYear})
	r.seed(parameterVersion(1), version("p", 1, day(20), false))
	if err := r.destination.Load(parameterVersion(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ExportStep(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, _ := r.chunk().SearchParametersAt(true, false)
	if _, err := r.Ledger.SaveChunk(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	r.untilEnded()
	if n := r.calls(r.destination, fhirservice.Reindex); n != 1 {
		t.Errorf("%d reindexes", n)
	}
}

func TestSearchParametersSwitchedOff(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: append([]string{"MigrateSearchParameters=false"}, lastYear...)})
	r.seed(parameterVersion(1), version("p", 1, day(20), false))
	r.run(time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC))
	for _, v := range r.destination.Versions() {
		if v.Type == "SearchParameter" {
			t.Errorf("%s was copied", v.ID)
		}
	}
	if r.calls(r.destination, fhirservice.Import) == 0 {
		t.Error("nothing was imported")
	}
}

// A destination in initial-import mode takes no writes: they are deferred with the reason, and imports need not wait.
func TestSearchParametersDeferredDuringInitialImport(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: lastYear, destination: fhirservice.Options{InitialImportMode: true}})
	r.seed(parameterVersion(1), version("p", 1, day(20), false))
	r.tick()
	row := r.parameters()
	if row.State != ledger.ParametersDeferred || !strings.Contains(row.Reason, "initial-import mode") || !row.ImportsMayBegin() {
		t.Fatalf("row: %+v", row)
	}
	tried := r.calls(r.destination, fhirservice.Batch)
	r.tick()
	if now := r.calls(r.destination, fhirservice.Batch); now != tried {
		t.Errorf("tried again after two minutes: %d batches", now)
	}
}

// What was deferred is made up for when it can be: the initial import is over.
func TestDeferredSearchParametersAreMadeUpFor(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: append([]string{"StartDate=2024-01-01"}, lastYear...)})
	r.seed(parameterVersion(1), extended("p", 1, day(20), "x"))
	if _, err := r.ExportStep(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Batch, Times: 1, Status: 423, ContentType: "application/json",
		Body: `{"severity":"error","code":"forbidden","diagnostics":"Service is locked for initial import mode."}`})
	if _, err := r.ImportStep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if row := r.parameters(); row.State != ledger.ParametersDeferred || !strings.Contains(row.Reason, "initial-import mode") {
		t.Fatalf("row: %+v", row)
	}
	r.run(time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC))
	if r.chunk().SearchParameterMigration {
		t.Error("the chunk row says that they are copied")
	}
	r.clock.Advance(time.Hour)
	r.wantParametersCopied()
}

// wantParametersCopied ticks until the search parameters are done: one was copied, and finds patient p by x.
func (r *rig) wantParametersCopied() {
	r.t.Helper()
	if row := r.untilEnded(); row.State != ledger.ParametersDone || row.Copied != 1 {
		r.t.Errorf("row: %+v", row)
	}
	if ids, _ := r.find("sp-1=x"); !slices.Equal(ids, []string{"p"}) {
		r.t.Errorf("found %v", ids)
	}
}

// What goes away by itself is waited for and nothing is imported before: a destination that is throttled, an entry that is, a reindex of somebody else's.
func TestSearchParametersWait(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]fhirservice.Fault{
		"batch throttled": {Kind: fhirservice.Batch, Times: 2, Status: 429},
		"entry throttled": {Kind: fhirservice.Write, Times: 2, Status: 429}, // the service itself tries twice
		"reindex active":  {Kind: fhirservice.Write, Times: 1, Status: 409},
		"reply lost":      {Kind: fhirservice.Batch, Times: 1, LostReply: true},
		"source is out":   {Kind: fhirservice.Search, Times: 1, Status: 503},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{settings: append([]string{"StartDate=2024-01-01"}, lastYear...)})
			r.seed(parameterVersions(3)...)
			r.seed(version("p", 1, day(20), false))
			if _, err := r.ExportStep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if name == "source is out" {
				r.source.Inject(fault)
			} else {
				r.destination.Inject(fault)
			}
			if _, err := r.ImportStep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if row := r.parameters(); row.ImportsMayBegin() {
				t.Errorf("imports may begin: %+v", row)
			}
			r.clock.Advance(time.Hour)
			if row := r.untilEnded(); row.State != ledger.ParametersDone || row.Refused != 0 || row.Found != 3 {
				t.Errorf("row: %+v", row)
			}
			if n := r.calls(r.destination, fhirservice.Reindex); n != 1 {
				t.Errorf("%d reindexes", n)
			}
		})
	}
}

// A role that is missing halts the step by name; imports wait, and it goes on by itself.
func TestSearchParametersForbidden(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: lastYear})
	r.seed(parameterVersion(1), version("p", 1, day(20), false))
	if _, err := r.ExportStep(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Write, Times: 1, Status: 403})
	if _, err := r.ImportStep(t.Context()); err == nil || !strings.Contains(err.Error(), roleContributor) {
		t.Errorf("error %v, want one that names the role", err)
	}
	r.clock.Advance(10 * time.Minute)
	if row := r.untilEnded(); row.State != ledger.ParametersDone || row.Copied != 1 {
		t.Errorf("row: %+v", row)
	}
}

// A reindex that fails is started again, a third one is the last; imports go on all the while, and an operator has it done again.
func TestReindexFails(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: lastYear})
	r.seed(parameterVersion(1), extended("p", 1, day(20), "x"))
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Reindex, Times: 3, FailJob: &fhirservice.Failure{Status: 500, Reason: "no more room"}})
	row := r.untilEnded()
	if row.State != ledger.ParametersFailed || !strings.Contains(row.Reason, "no more room") || row.Attempts != 3 {
		t.Fatalf("row: %+v", row)
	}
	r.run(time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC))
	if err := r.RepeatSearchParameters(t.Context()); err != nil {
		t.Fatal(err)
	}
	if row = r.untilEnded(); row.State != ledger.ParametersDone {
		t.Errorf("row: %+v", row)
	}
	if ids, _ := r.find("sp-1=x"); !slices.Equal(ids, []string{"p"}) {
		t.Errorf("found %v", ids)
	}
}

// A parameter that is made of another one is taken once that one is there, whatever their order; a repetition copies what has come since.
func TestSearchParametersRepeated(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: lastYear})
	r.seed(parameterVersions(2)...)
	r.seed(version("p", 1, day(20), false))
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Write, Times: 1, Status: 400}) // the first of them, once
	if row := r.untilEnded(); row.Copied != 2 || row.Refused != 0 {
		t.Errorf("row: %+v", row)
	}
	r.seed(parameterVersion(2))
	if err := r.RepeatSearchParameters(t.Context()); err != nil {
		t.Fatal(err)
	}
	row := r.untilEnded()
	if row.Found != 3 || row.Existing != 2 || row.Copied != 1 {
		t.Errorf("row: %+v", row)
	}
	if n := r.calls(r.destination, fhirservice.Reindex); n != 2 {
		t.Errorf("%d reindexes", n)
	}
}

// While they cannot be copied, exports go on and nothing is imported, and the summary says for what it waits.
func TestImportsWaitForSearchParameters(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: lastYear})
	r.seed(parameterVersion(1), version("p", 1, day(20), false), version("q", 1, day(40), false))
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Write, Times: 6, Status: 409})
	for range 6 {
		_, s := r.tick()
		if r.parameters().ImportsMayBegin() {
			t.Fatal("the parameters are copied too soon for this test")
		}
		if !strings.Contains(s.Waiting, "search parameters") {
			t.Errorf("waiting for %q", s.Waiting)
		}
	}
	if w := r.window(1); w.Phase() != ledger.Exported {
		t.Errorf("the first window is %s", w.Phase())
	}
	if n := r.calls(r.destination, fhirservice.Import); n > 0 {
		t.Errorf("%d imports before the search parameters", n)
	}
	r.run(time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC))
	if r.calls(r.destination, fhirservice.Import) == 0 {
		t.Error("nothing was imported")
	}
}
