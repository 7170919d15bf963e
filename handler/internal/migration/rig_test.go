package migration

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/settings"
	"fhirmigration/handler/internal/staging"
	"fhirmigration/sandbox/azurite"
	"fhirmigration/sandbox/compare"
	"fhirmigration/sandbox/fhirservice"
	"fhirmigration/sandbox/testclock"
)

// emulators are the storage accounts of the tests; dozens share one.
var emulators = azurite.Pool{Each: 40}

func TestMain(m *testing.M) {
	debug.SetGCPercent(800) // the crash suite runs thousands of small migrations: collecting after each costs half of its time
	os.Exit(emulators.RunTests(m.Run))
}

// day0 is where the data of the tests begin, and start what the clock shows when a test begins, a year later.
var (
	day0  = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	start = day0.AddDate(1, 0, 0)
)

func day(n float64) time.Time { return day0.Add(time.Duration(n * 24 * float64(time.Hour))) }

var rigs atomic.Int32

// rig is a migration between two FHIR services of the sandbox, with tables and blobs in the storage emulator, or in memory.
type rig struct {
	*Migration
	t                   *testing.T
	log                 *testLog
	clock               *testclock.Clock
	source, destination *fhirservice.Service
	emulator            *azurite.Server // nil: in memory
	memory              *memory
	tables              string // suffix of the tables' names
	environ             []string
}

type rigOptions struct {
	source, destination fhirservice.Options
	settings            []string // AZURE_ names without the prefix
	inMemory            bool     // no storage emulator: for tests that migrate many times, and those that are about a service
}

// memory is a storage account in memory.
type memory struct {
	tables *ledger.Memory
	blobs  *staging.Memory
}

func newRig(t *testing.T, o rigOptions) *rig {
	t.Helper()
	r := &rig{t: t, log: &testLog{t: t}, clock: testclock.New(start), tables: fmt.Sprint(rigs.Add(1))}
	account := account{connectionString: memoryAccount}
	if o.inMemory {
		r.memory = &memory{ledger.NewMemory(), staging.NewMemory()}
		account.client = &http.Client{Transport: fhirStorage{r.memory.blobs}}
	} else {
		r.emulator = emulators.For(t)
		account.connectionString = r.emulator.ConnectionString()
	}
	serve := func(o fhirservice.Options) *fhirservice.Service {
		o.Clock, o.StorageConnectionString, o.StorageClient = r.clock.Now, account.connectionString, account.client
		s, err := fhirservice.Start(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	r.source, r.destination = serve(o.source), serve(o.destination)
	r.environ = []string{
		"AZURE_StorageConnectionString=" + account.connectionString,
		"AZURE_SourceUri=" + r.source.URL(), "AZURE_SourceCredential=none",
		"AZURE_DestinationUri=" + r.destination.URL(), "AZURE_DestinationCredential=none",
		"AZURE_ExportTableName=export" + r.tables, "AZURE_ChunkTableName=chunk" + r.tables, "AZURE_ExceptionTableName=exceptions" + r.tables,
	}
	r.environ = with(r.environ, o.settings...)
	r.Migration = r.handler()
	return r
}

// handler makes a migration as a handler that has just started does: from the environment and storage alone.
func (r *rig) handler(changed ...string) *Migration {
	r.t.Helper()
	set, err := settings.Load(with(r.environ, changed...))
	if err != nil {
		r.t.Fatal(err)
	}
	service := func(base string) *fhir.Service {
		s, err := fhir.New(fhir.Options{Base: base, Clock: r.clock.Now, Timeout: CallTime(set)})
		if err != nil {
			r.t.Fatal(err)
		}
		return s
	}
	tables, blobs, err := r.openStorage(set)
	if err != nil {
		r.t.Fatal(err)
	}
	return New(Options{Settings: set, Source: service(set.SourceUri), Destination: service(set.DestinationUri), Ledger: tables, Staging: blobs,
		Clock: r.clock.Now, Random: rand.Reader, Log: slog.New(slog.NewTextHandler(r.log, nil))})
}

func (r *rig) openStorage(set settings.Settings) (*ledger.Ledger, *staging.Store, error) {
	if r.memory != nil {
		return ledger.OpenMemory(r.memory.tables, tableOptions(set)), staging.OpenMemory(r.memory.blobs), nil
	}
	tables, err := ledger.Open(tableOptions(set))
	if err != nil {
		return nil, nil, err
	}
	blobs, err := staging.Open(staging.Options{ConnectionString: set.StorageConnectionString.Reveal()})
	return tables, blobs, err
}

// with returns environ with settings, named without the prefix, in the place of what it says of them.
func with(environ []string, settings ...string) []string {
	for _, s := range settings {
		name, _, _ := strings.Cut(s, "=")
		environ = slices.DeleteFunc(slices.Clone(environ), func(e string) bool { return strings.HasPrefix(e, "AZURE_"+name+"=") })
		environ = append(environ, "AZURE_"+s)
	}
	return environ
}

// testLog keeps the handler's log lines, and shows them when the test fails.
type testLog struct {
	t     *testing.T
	mu    sync.Mutex
	lines []string
}

func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.t.Log(strings.TrimRight(string(p), "\n"))
	l.lines = append(l.lines, string(p))
	return len(p), nil
}

// holds says whether a line holds every one of parts.
func holds(line string, parts []string) bool {
	return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(line, p) })
}

// with counts the lines that hold every one of parts.
func (l *testLog) with(parts ...string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if holds(line, parts) {
			n++
		}
	}
	return n
}

// first is the number of the first line that holds every one of parts, -1 when none does.
func (l *testLog) first(parts ...string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.IndexFunc(l.lines, func(line string) bool { return holds(line, parts) })
}

// tick runs both timers once, and lets two minutes and a second pass, so that the next tick may poll.
func (r *rig) tick() (export, imp Summary) {
	r.t.Helper()
	export, err := r.ExportStep(r.t.Context())
	if err != nil {
		r.t.Fatalf("export step: %v", err)
	}
	imp, err = r.ImportStep(r.t.Context())
	if err != nil {
		r.t.Fatalf("import step: %v", err)
	}
	r.clock.Advance(2*time.Minute + time.Second)
	return export, imp
}

// run ticks until everything up to end is migrated, or until nothing is left but held windows.
func (r *rig) run(end time.Time) {
	r.t.Helper()
	for range 400 {
		_, s := r.tick()
		if s.Watermark.Equal(end) || s.Held > 0 && s.Held == s.Open {
			return
		}
	}
	r.t.Fatalf("the migration does not end: %+v", r.chunk())
}

func (r *rig) chunk() ledger.Chunk {
	r.t.Helper()
	c, err := r.Ledger.Chunk(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *rig) window(number int) ledger.Window {
	r.t.Helper()
	w, err := r.Ledger.Window(r.t.Context(), number)
	if err != nil {
		r.t.Fatal(err)
	}
	return w
}

// allWindows are the window rows below JobId, by number.
func (r *rig) allWindows() (all []ledger.Window) {
	r.t.Helper()
	for n := 1; n < r.chunk().JobID; n++ {
		all = append(all, r.window(n))
	}
	return all
}

// wantEqual compares both services version by version.
func (r *rig) wantEqual() {
	r.t.Helper()
	want, got := r.source.Versions(), r.destination.Versions()
	report := compare.Versions(want, got)
	for _, f := range report.Findings {
		r.t.Error(f)
	}
	if len(want) == 0 {
		r.t.Error("there is nothing to compare")
	}
}

func (r *rig) calls(s *fhirservice.Service, kind fhirservice.Operation) (n int) {
	for _, c := range s.Calls() {
		if c.Kind == kind {
			n++
		}
	}
	return n
}

// version makes one version of a Patient.
func version(id string, number int, at time.Time, deleted bool) fhirservice.Version {
	v := fhirservice.Version{Type: "Patient", ID: id, VersionID: fmt.Sprint(number), LastUpdated: at, Deleted: deleted}
	if !deleted {
		v.Raw = fmt.Appendf(nil, `{"resourceType":"Patient","id":%q,"name":[{"family":"Family %s %d"}],"extension":[{"url":"urn:x","valueDecimal":1.10}]}`, id, id, number)
	}
	return v
}

// load seeds the source with n patients, one at each step from first on.
func (r *rig) load(n int, first time.Time, step time.Duration) {
	r.t.Helper()
	var all []fhirservice.Version
	for i := range n {
		at := first.Add(time.Duration(i) * step)
		all = append(all, version(fmt.Sprintf("p-%d-%d", first.Unix(), i), 1, at, false))
	}
	r.seed(all...)
}

func (r *rig) seed(v ...fhirservice.Version) {
	r.t.Helper()
	if err := r.source.Load(v...); err != nil {
		r.t.Fatal(err)
	}
}
