package cutover

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/settings"
	"fhirmigration/handler/internal/staging"
	"fhirmigration/handler/internal/verify"
	"fhirmigration/sandbox/fhirservice"
)

var (
	day0      = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	watermark = day0.AddDate(1, 0, 0)
	now       = watermark.Add(30 * time.Minute)
)

// rig is a migration that is through, between two FHIR services of the sandbox; tables and blobs are in memory.
type rig struct {
	*Cutover
	t                   *testing.T
	source, destination *fhirservice.Service
	blobs               *staging.Memory
	later               atomic.Int64 // how much later than now it is, in nanoseconds
}

func patient(n int, at time.Time) fhirservice.Version {
	id := fmt.Sprintf("p%d", n)
	return fhirservice.Version{Type: "Patient", ID: id, VersionID: "1", LastUpdated: at, Raw: fmt.Appendf(nil, `{"resourceType":"Patient","id":%q,"gender":"other"}`, id)}
}

var parameter = fhirservice.Version{Type: "SearchParameter", ID: "ward", VersionID: "1", LastUpdated: day0, Raw: []byte(
	`{"resourceType":"SearchParameter","id":"ward","url":"https://contoso.example/sp/ward","status":"active","code":"ward","type":"string","base":["Patient"],"expression":"Patient.gender"}`)}

func newRig(t *testing.T, set ...string) *rig {
	t.Helper()
	r := &rig{t: t, blobs: staging.NewMemory()}
	clock := func() time.Time { return now.Add(time.Duration(r.later.Load())) }
	serve := func(kind fhirservice.Kind) *fhirservice.Service {
		s, err := fhirservice.Start(t.Context(), fhirservice.Options{Kind: kind, Clock: clock})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	r.source, r.destination = serve(fhirservice.Cosmos), serve(fhirservice.SQL)
	environ := []string{"AZURE_SourceUri=" + r.source.URL(), "AZURE_SourceCredential=none", "AZURE_DestinationUri=" + r.destination.URL(), "AZURE_DestinationCredential=none",
		"AZURE_StorageConnectionString=DefaultEndpointsProtocol=http;AccountName=a;AccountKey=Zm9v;BlobEndpoint=http://127.0.0.1:1/a;TableEndpoint=http://127.0.0.1:1/a"}
	for _, s := range set {
		environ = append(environ, "AZURE_"+s)
	}
	loaded, err := settings.Load(environ)
	if err != nil {
		t.Fatal(err)
	}
	service := func(base string) *fhir.Service {
		s, err := fhir.New(fhir.Options{Base: base, Clock: clock})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	tables := ledger.OpenMemory(ledger.NewMemory(), ledger.Options{ExportTable: "export", ChunkTable: "chunk", ExceptionTable: "exceptions", PartitionKey: "p", RowKey: "row"})
	if err := tables.CreateTables(t.Context()); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	v := verify.New(verify.Options{Settings: loaded, Source: service(loaded.SourceUri), Destination: service(loaded.DestinationUri), Ledger: tables,
		Staging: staging.OpenMemory(r.blobs), Clock: clock, Random: rand.Reader, Log: log})
	r.Cutover = New(Options{Settings: loaded, Source: service(loaded.SourceUri), Ledger: tables, Staging: staging.OpenMemory(r.blobs), Verify: v, Clock: clock, Build: "test"})
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// migrated makes the ledger of a migration that is through: one window with n lines, search parameters copied and reindexed.
func (r *rig) migrated(n int) {
	r.t.Helper()
	ctx := r.t.Context()
	var all []fhirservice.Version
	for i := range n {
		all = append(all, patient(i, day0.Add(time.Duration(i)*time.Hour)))
	}
	all = append(all, parameter)
	r.must(r.source.Load(all...))
	r.must(r.destination.Load(all...))
	c, _ := ledger.NewChunk(watermark).Pin(r.Settings.Pinned())
	c.JobID, c.Totals = 2, ledger.Totals{Windows: 1, Exported: int64(n), Imported: int64(n)}
	_, err := r.Ledger.InsertChunk(ctx, c)
	r.must(err)
	w := ledger.NewWindow(1, day0, watermark)
	w.ExportComplete, w.ImportComplete, w.Processed = true, true, true
	w.CountsByType = map[string]int64{"Patient": int64(n), "SearchParameter": 1}
	w.Payloads = []ledger.Payload{{State: ledger.Complete, Lines: int64(n), Imported: int64(n)}}
	_, err = r.Ledger.InsertWindow(ctx, w)
	r.must(err)
	_, err = r.Ledger.SaveSearchParameters(ctx, ledger.SearchParameters{State: ledger.ParametersDone, Found: 1, Copied: 1, EndTime: day0})
	r.must(err)
}

func (r *rig) deepCheck() verify.Report {
	r.t.Helper()
	report, err := r.Verify.Start(r.t.Context(), verify.Request{Kind: verify.Deep, All: true})
	r.must(err)
	report, err = r.Verify.Step(r.t.Context(), report.Run, time.Minute)
	r.must(err)
	if report.State != ledger.RunDone {
		r.t.Fatalf("the check is %s", report.State)
	}
	return report
}

func (r *rig) chunk(change func(*ledger.Chunk)) {
	r.t.Helper()
	c, err := r.Ledger.Chunk(r.t.Context())
	r.must(err)
	change(&c)
	_, err = r.Ledger.SaveChunk(r.t.Context(), c)
	r.must(err)
}

func (r *rig) exception(id, resource string, accept bool) {
	r.t.Helper()
	e := ledger.Exception{ID: ledger.ExceptionKey(1, id), Window: 1, State: ledger.ExceptionOpen, ResourceType: "Patient", ResourceID: resource, Lines: 1, Line: 1, Reason: "conflict", Created: now, Changed: now}
	r.must(r.Ledger.AddException(r.t.Context(), e))
	if accept {
		e, err := r.Ledger.Exception(r.t.Context(), e.ID)
		r.must(err)
		e, err = e.Accept("dr. who", "a test record", now)
		r.must(err)
		_, err = r.Ledger.SaveException(r.t.Context(), e)
		r.must(err)
	}
}

// unmet are the conditions that do not hold, each with what helps.
func (r *rig) unmet() (names []string, evidence string) {
	r.t.Helper()
	readiness, err := r.Readiness(r.t.Context())
	r.must(err)
	for _, c := range readiness.Conditions {
		if c.Evidence == "" || !c.Met && c.Do == "" || c.Met && c.Do != "" {
			r.t.Errorf("a condition that does not help: %+v", c)
		}
		if !c.Met {
			names, evidence = append(names, c.Name), evidence+c.Evidence+"\n"
		}
	}
	if readiness.Ready != (len(names) == 0) {
		r.t.Errorf("ready is %v", readiness.Ready)
	}
	return names, evidence
}

// What keeps a migration from the cutover, one thing at a time; with none of them, it is ready.
func TestConditions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings []string
		before   func(*rig) // the full DeepCheck
		after    func(*rig)
		unmet    string
		says     string
	}{
		"all is well":           {},
		"behind":                {after: func(r *rig) { r.Settings.CutoverMaxLagMinutes = 29 }, unmet: "lag", says: "30m0s behind"},
		"a day after the check": {after: func(r *rig) { r.later.Store(int64(24 * time.Hour)) }},
		"a day after a check of what was long behind": {settings: []string{"CutoverMaxLagMinutes=29"}, after: func(r *rig) { r.later.Store(int64(24 * time.Hour)) },
			unmet: "lag", says: "24h30m0s behind"},
		"a day after the check, with a write since": {after: func(r *rig) {
			r.later.Store(int64(24 * time.Hour))
			r.must(r.source.Load(patient(1000, now.Add(time.Hour))))
		},
			unmet: "source is quiet", says: "1 versions"},
		"a range run that is not through": {settings: []string{"SpecificRun=true", "EndDate=2025-01-02"}, unmet: "lag", says: "of 2025-01-02"},
		"a range run that is through":     {settings: []string{"SpecificRun=true", "EndDate=2025-01-01"}},
		"an open window": {before: func(r *rig) {
			w, err := r.Ledger.InsertWindow(r.t.Context(), ledger.NewWindow(2, watermark, now))
			r.must(err)
			w, err = w.Hold("look at it", now)
			r.must(err)
			_, err = r.Ledger.SaveWindow(r.t.Context(), w)
			r.must(err)
			r.chunk(func(c *ledger.Chunk) { *c, _ = c.List(ledger.NewWindow(2, watermark, now)) })
		}, unmet: "windows", says: "2 is held"},
		"tables that are not taken over": {after: func(r *rig) {
			r.chunk(func(c *ledger.Chunk) { c.Foreign = true })
		}, unmet: "windows", says: "not taken over, or were given back"},
		"tables that were given back": {after: func(r *rig) {
			r.chunk(func(c *ledger.Chunk) {
				var ok bool
				if *c, ok = c.GivenBack(ledger.Checks{}); !ok {
					r.t.Error("they cannot be given back")
				}
			})
		}, unmet: "windows", says: "not taken over, or were given back"},
		"windows to be opened again": {after: func(r *rig) {
			r.chunk(func(c *ledger.Chunk) {
				c.Repairs = append(c.Repairs, ledger.OpenWindow{Number: 1, Since: watermark})
			})
		}, unmet: "windows", says: "1 windows that the original closed are still to be opened again"},
		"a changed setting":                           {after: func(r *rig) { r.Settings.ExportWithHistory = true }, unmet: "settings", says: "ExportWithHistory"},
		"a de-identification configuration":           {settings: deidentified, before: configured("a"), unmet: "DeepCheck", says: "nothing to compare"},
		"another de-identification configuration":     {settings: deidentified, before: configured("a"), after: func(r *rig) { r.blobs.Put(staging.AnonymizationContainer, "rules.json", []byte("b")) }, unmet: "settings DeepCheck", says: "ETag of ConfigFile was"},
		"no de-identification configuration any more": {settings: deidentified, unmet: "settings DeepCheck", says: "blob rules.json"},
		"a write to the source":                       {before: func(r *rig) { r.must(r.source.Load(patient(1000, now.Add(-time.Minute)))) }, unmet: "source is quiet", says: "1 versions"},
		"a source that does not answer": {after: func(r *rig) {
			r.source.Inject(fhirservice.Fault{Kind: fhirservice.HistoryCount, Status: http.StatusServiceUnavailable})
		}, unmet: "source is quiet", says: "not known"},
		"a retired source":           {after: func(r *rig) { r.source.Inject(fhirservice.Fault{Gone: true}) }},
		"a difference":               {before: func(r *rig) { r.must(r.source.Load(patient(1000, watermark.Add(-time.Hour)))) }, unmet: "DeepCheck search parameters", says: "the first is Patient/p1000"},
		"lines since the check":      {after: func(r *rig) { r.chunk(func(c *ledger.Chunk) { c.Totals.Exported += 7 }) }, unmet: "DeepCheck", says: "7 lines"},
		"an open refused line":       {after: func(r *rig) { r.exception("a", "p1", false) }, unmet: "refused lines", says: "1 open"},
		"an accepted one":            {after: func(r *rig) { r.exception("a", "p1", true) }},
		"parameters being reindexed": {after: func(r *rig) { r.parameters(ledger.ParametersReindexing, 0) }, unmet: "search parameters", says: "reindexing"},
		"refused parameters":         {after: func(r *rig) { r.parameters(ledger.ParametersDone, 2) }, unmet: "search parameters", says: "2 refused"},
		"no parameters asked for":    {settings: []string{"MigrateSearchParameters=false"}, after: func(r *rig) { r.parameters(ledger.ParametersCopying, 0) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, c.settings...)
			r.migrated(20)
			if c.before != nil {
				c.before(r)
			}
			r.deepCheck()
			if c.after != nil {
				c.after(r)
			}
			unmet, evidence := r.unmet()
			if got := strings.Join(unmet, " "); got != c.unmet || !strings.Contains(evidence, c.says) {
				t.Errorf("not met: %s, want %s\n%s", got, c.unmet, evidence)
			}
		})
	}
}

// deidentified are the settings of a migration that is. Its DeepCheck compares with exported files, of which there are none here.
var deidentified = []string{"IsExportDeidentified=true", "ConfigFile=rules.json"}

// configured puts the de-identification configuration in its place and pins its version, as the first tick does.
func configured(content string) func(*rig) {
	return func(r *rig) {
		r.blobs.Put(staging.AnonymizationContainer, "rules.json", []byte(content))
		etag, err := staging.OpenMemory(r.blobs).AnonymizationETag(r.t.Context(), "rules.json")
		r.must(err)
		r.chunk(func(c *ledger.Chunk) { c.Pinned["ETag of ConfigFile"] = etag })
	}
}

func (r *rig) parameters(state ledger.SearchParametersState, refused int) {
	r.t.Helper()
	row, err := r.Ledger.SearchParameters(r.t.Context())
	r.must(err)
	row.State, row.Refused = state, refused
	_, err = r.Ledger.SaveSearchParameters(r.t.Context(), row)
	r.must(err)
}

// A difference counts for nothing when the refused line that it comes from was accepted.
func TestADifferenceThatWasAccepted(t *testing.T) {
	t.Parallel()
	r := newRig(t, "MigrateSearchParameters=false")
	r.migrated(20)
	r.must(r.source.Load(patient(1000, watermark.Add(-time.Hour))))
	r.deepCheck()
	if unmet, _ := r.unmet(); strings.Join(unmet, " ") != "DeepCheck" {
		t.Errorf("not accepted: %v", unmet)
	}
	r.exception("a", "p1000", true)
	if unmet, evidence := r.unmet(); len(unmet) > 0 {
		t.Errorf("accepted: %v\n%s", unmet, evidence)
	}
}

// Without a full DeepCheck nothing is ready: a sample does not do, nor one that leaves something out.
func TestASampleIsNoProof(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if unmet, _ := r.unmet(); strings.Join(unmet, " ") != "migrated" {
		t.Errorf("before the start: %v", unmet)
	}
	r.migrated(20)
	for _, request := range []verify.Request{{Kind: verify.Deep, Count: 5}, {Kind: verify.Deep, All: true, Types: []string{"Patient"}}, {Kind: verify.Deep, All: true, Ignore: []string{"/gender"}},
		{Kind: verify.Deep, All: true, Since: day0.Add(time.Hour)}, {Kind: verify.Surface}} {
		report, err := r.Verify.Start(t.Context(), request)
		r.must(err)
		_, err = r.Verify.Step(t.Context(), report.Run, time.Minute)
		r.must(err)
	}
	if unmet, _ := r.unmet(); strings.Join(unmet, " ") != "DeepCheck search parameters" {
		t.Errorf("not met: %v", unmet)
	}
	r.deepCheck()
	if unmet, evidence := r.unmet(); len(unmet) > 0 {
		t.Errorf("not met: %v\n%s", unmet, evidence)
	}
}

// The certificate has totals, checks, who decided what and the settings without secrets; the page shows all of it and loads nothing.
func TestCertificate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.migrated(20)
	check := r.deepCheck()
	r.exception("a", "p1", true)
	a, err := r.Ledger.InsertAction(t.Context(), ledger.NewAction("WindowRelease", 1, "dr. <who>", "the books are good", "ab", now))
	r.must(err)
	_, err = r.Ledger.SaveAction(t.Context(), a.Ended("it is planned", now))
	r.must(err)
	cert, err := r.Certificate(t.Context())
	r.must(err)
	if len(cert.ByType) != 2 || cert.ByType[0] != (TypeTotal{"Patient", 20, 0}) || cert.Totals.Imported != 20 || cert.Windows != 1 || !cert.From.Equal(day0) {
		t.Errorf("totals: %+v", cert)
	}
	if len(cert.Checks) != 1 || !cert.Checks[0].Full || cert.Checks[0].Verdict != check.Verdict || len(cert.Exceptions) != 1 || len(cert.Actions) != 1 {
		t.Errorf("lists: %+v %+v %+v", cert.Checks, cert.Exceptions, cert.Actions)
	}
	again, err := r.Certificate(t.Context())
	r.must(err)
	if len(cert.Digest.SHA256) != 64 || again.Digest != cert.Digest || cert.Digest.Export < 2 || cert.Digest.Exceptions != 1 {
		t.Errorf("digest: %+v, %+v", cert.Digest, again.Digest)
	}
	_, err = r.Ledger.SaveControl(t.Context(), ledger.Control{Retrying: []string{"x"}})
	r.must(err)
	if again, err = r.Certificate(t.Context()); err != nil || again.Digest != cert.Digest {
		t.Errorf("what is waited for changes the digest: %v", err)
	}
	r.exception("b", "p2", false)
	if again, err = r.Certificate(t.Context()); err != nil || again.Digest.SHA256 == cert.Digest.SHA256 {
		t.Errorf("a refused line does not change the digest: %v", err)
	}
	var page bytes.Buffer
	r.must(WritePage(&page, cert))
	for _, part := range []string{"is ready for the cutover", "dr. &lt;who&gt;", "a test record", "it is planned", cert.Digest.SHA256, "AZURE_StorageConnectionString</td><td>set<", check.Verdict} {
		if !strings.Contains(page.String(), part) {
			t.Errorf("the page has no %q", part)
		}
	}
	for _, part := range []string{"Zm9v", "AccountKey", "<script", "src=", "href="} {
		if strings.Contains(page.String(), part) {
			t.Errorf("the page has %q", part)
		}
	}
}
