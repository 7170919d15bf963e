package migration

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/settings"
	"fhirmigration/handler/internal/staging"
	"fhirmigration/sandbox/fhirservice"
	"fhirmigration/sandbox/testclock"
)

// world is all that outlives a handler: two FHIR services, tables and blobs, and the time. Handlers live and die in it, and
// the witness sees what each of them does.
type world struct {
	scenario            scenario
	clock               *testclock.Clock
	source, destination *fhirservice.Service
	open                openStorage
	settings            settings.Settings
	witness             *witness
	plan                plan
	randomMu            sync.Mutex
	random              *rand.ChaCha8 // the same in each run
	log                 logBuffer
	checked             time.Time // the watermark that was looked at last
	closers             []func()
}

// openStorage opens the tables and blobs of a world, for a handler that starts.
type openStorage func(settings.Settings) (*ledger.Ledger, *staging.Store, error)

// scenario is what happens in every run in worlds of a kind, whatever befalls the handlers.
type scenario struct {
	settings   []string
	source     fhirservice.Kind // "": SQL
	data       func() []fhirservice.Version
	refused    fhirservice.Version        // what the destination holds in the place of one of these
	uncopied   string                     // the type of what is written at the destination in another way than imported
	misfortune func(w *world, c fhirCall) // what the services do; it is called before each call is served
	shows      map[string]func(effect string) bool
}

// worlds makes worlds that differ in nothing but what befalls the handlers.
type worlds struct {
	scenario scenario
	settings settings.Settings
}

// newWorlds makes worlds of the scenario that most of the suite is about.
func newWorlds(t *testing.T) *worlds {
	t.Helper()
	return newWorldsOf(t, scenario{
		settings: append([]string{"FileCount=1", "PayloadCount=2", "MaxParallelExports=2", "MaxOpenWindows=2"}, rangeRun...),
		data:     crashData, refused: crashConflict(), misfortune: (*world).misfortune,
		shows: map[string]func(string) bool{
			"a split": func(e string) bool { return e == "tables: insert window 3" },
			"a failed export": func(e string) bool {
				return strings.HasPrefix(e, "source: start export of [2024-07-19") && strings.HasSuffix(e, "#2")
			},
			"a failed import":          func(e string) bool { return strings.Contains(e, "_post_") },
			"an import turned away":    func(e string) bool { return strings.Contains(e, "start import") && strings.HasSuffix(e, "#2") },
			"an empty window":          func(e string) bool { return strings.HasPrefix(e, "source: start export of [2024-08-18") },
			"a window of two payloads": func(e string) bool { return strings.Contains(e, "import_payload_2.json") },
		},
	})
}

func newWorldsOf(t *testing.T, s scenario) *worlds {
	t.Helper()
	set, err := settings.Load(with([]string{"AZURE_StorageConnectionString=" + memoryAccount, "AZURE_SourceUri=http://127.0.0.1:1", "AZURE_SourceCredential=none",
		"AZURE_DestinationUri=http://127.0.0.1:2", "AZURE_DestinationCredential=none"},
		s.settings...))
	if err != nil {
		t.Fatal(err)
	}
	return &worlds{s, set}
}

// inMemory makes a world whose tables and blobs are twins in memory.
func (ws *worlds) inMemory(ctx context.Context) (*world, error) {
	tables, blobs := ledger.NewMemory(), staging.NewMemory()
	nothing := func() {}
	return newWorld(ctx, ws.scenario, ws.settings, account{memoryAccount, &http.Client{Transport: fhirStorage{blobs}}, nothing}, func(set settings.Settings) (*ledger.Ledger, *staging.Store, error) {
		return ledger.OpenMemory(tables, tableOptions(set)), staging.OpenMemory(blobs), nil
	})
}

func tableOptions(set settings.Settings) ledger.Options {
	return ledger.Options{ConnectionString: set.StorageConnectionString.Reveal(), ExportTable: set.ExportTableName, ChunkTable: set.ChunkTableName,
		ExceptionTable: set.ExceptionTableName, PartitionKey: set.PartitionKey, RowKey: set.RowKey}
}

// account is a storage account, and how the FHIR services reach it.
type account struct {
	connectionString string
	client           *http.Client // nil: over the network
	forget           func()
}

// newWorld makes a world in which the services export to an account, which is given up at the end.
func newWorld(ctx context.Context, s scenario, set settings.Settings, a account, open openStorage) (_ *world, err error) {
	w := &world{scenario: s, clock: testclock.New(start), open: open, settings: set, random: rand.NewChaCha8([32]byte{}), closers: []func(){a.forget}}
	defer func() {
		if err != nil {
			w.end()
		}
	}()
	o := fhirservice.Options{Kind: s.source, Clock: w.clock.Now, StorageConnectionString: a.connectionString, StorageClient: a.client, ExportTime: crashJobTime, ImportTime: crashJobTime}
	for _, service := range []**fhirservice.Service{&w.source, &w.destination} {
		if *service, err = fhirservice.Start(ctx, o); err != nil {
			return nil, err
		}
		w.closers = append(w.closers, func() { (*service).Close() })
		o.Kind = fhirservice.SQL
	}
	w.settings.SourceUri, w.settings.DestinationUri = w.source.URL(), w.destination.URL()
	rows, _, err := open(w.settings)
	if err != nil {
		return nil, err
	}
	w.witness = newWitness(rows, w.settings)
	if err = w.source.Load(s.data()...); err == nil {
		err = w.destination.Load(s.refused)
	}
	return w, err
}

// end stops the services.
func (w *world) end() {
	for _, c := range w.closers {
		c()
	}
}

// crashJobTime makes the larger jobs run while they are asked for once, and the others end at once.
func crashJobTime(lines int) time.Duration {
	if lines > 2 {
		return 3 * time.Minute
	}
	return 0
}

// crashData has a window that is imported in two payloads, one that is too large for an export, months of nothing, and one
// that removes resources; then nothing more, which the source cannot say at once.
func crashData() []fhirservice.Version {
	observation := func(id string, number int, at time.Time) fhirservice.Version {
		return fhirservice.Version{Type: "Observation", ID: id, VersionID: fmt.Sprint(number), LastUpdated: at,
			Raw: fmt.Appendf(nil, `{"resourceType":"Observation","id":%q,"status":"final","code":{"text":"version %d"},"valueQuantity":{"value":%d.10}}`, id, number, number)}
	}
	return []fhirservice.Version{
		version("a", 1, day(1), false), observation("o", 1, day(2)), version("b", 1, day(3), false), version("c", 1, day(4), false),
		version("a", 2, day(31), false), version("d", 1, day(51), false),
		version("a", 3, day(200), true), observation("o", 2, day(201)), version("e", 1, day(202), false), version("c", 2, day(203), true),
	}
}

// crashConflict is what the destination holds in the place of one of these versions: that line is refused.
func crashConflict() fhirservice.Version {
	v := version("b", 1, day(3), false)
	v.Raw = []byte(`{"resourceType":"Patient","id":"b","name":[{"family":"somebody else"}]}`)
	return v
}

// misfortune is what the services do in every run, whoever calls: an export of the whole second window is too large, the
// first export of the last one fails, so does the fourth import; a poll and a post are turned away once, and so is the count
// behind the last window, until it is exported uncounted. It is called before each call is served.
func (w *world) misfortune(c fhirCall) {
	w.source.ClearFaults()
	w.destination.ClearFaults()
	failJob := func(s *fhirservice.Service, kind fhirservice.Operation, status int) {
		s.Inject(fhirservice.Fault{Kind: kind, Times: 1, FailJob: &fhirservice.Failure{Status: status, Reason: "a misfortune of every run"}})
	}
	turnAway := func(s *fhirservice.Service, kind fhirservice.Operation, status int) {
		s.Inject(fhirservice.Fault{Kind: kind, Times: 1, Status: status})
	}
	switch {
	case c.export != nil && c.export.Since.Before(day(45)) && c.export.Till.After(day(50)):
		failJob(w.source, fhirservice.Export, http.StatusRequestEntityTooLarge)
	case c.export != nil && c.export.Since.After(day(190)) && c.export.Since.Before(day(210)) && w.witness.count("exports of the last window") == 1:
		failJob(w.source, fhirservice.Export, http.StatusInternalServerError)
	case strings.Contains(w.witness.job(c.polledExport), "of ["+day(1).Format(time.DateOnly)) && w.witness.count("polls of the first window") == 1:
		turnAway(w.source, fhirservice.ExportStatus, http.StatusServiceUnavailable)
	case strings.Contains(c.text, "_summary=count&_since=2024-08-18") && w.witness.count("counts behind the last window") <= maxCountTries:
		turnAway(w.source, fhirservice.HistoryCount, http.StatusTooManyRequests)
	case c.importBody != nil && w.witness.newImport(c):
		switch w.witness.imports() {
		case 2:
			turnAway(w.destination, fhirservice.Import, http.StatusTooManyRequests)
		case 4:
			failJob(w.destination, fhirservice.Import, http.StatusInternalServerError)
		}
	}
}

// life is a handler from its start to its death. What it knows of the world it reads from tables and blobs.
type life struct {
	*Migration
	world *world
	ctx   context.Context
	kill  context.CancelFunc

	turn sync.Mutex // held by the one call that is under way: effects have an order
	dead bool
}

// start makes a handler as one does that has just started.
func (w *world) start(ctx context.Context) (*life, error) {
	l := &life{world: w}
	l.ctx, l.kill = context.WithCancel(ctx)
	service := func(name string, s *fhirservice.Service) (*fhir.Service, error) {
		return fhir.New(fhir.Options{Base: s.URL(), Clock: w.clock.Now, Timeout: CallTime(w.settings), Client: &http.Client{Transport: &wire{life: l, name: name, service: s}}})
	}
	source, err := service("source", w.source)
	if err != nil {
		return nil, err
	}
	destination, err := service("destination", w.destination)
	if err != nil {
		return nil, err
	}
	rows, blobs, err := w.open(w.settings)
	if err != nil {
		return nil, err
	}
	l.Migration = New(Options{Settings: w.settings, Source: source, Destination: destination, Ledger: rows.Gated(l.tableCall), Staging: blobs.Gated(l.blobCall),
		Clock: w.clock.Now, Random: randomness{w}, Log: slog.New(slog.NewTextHandler(&w.log, nil))})
	return l, nil
}

// randomness is a source of random bytes for handlers of one world.
type randomness struct {
	world *world
}

// Read fills p.
func (r randomness) Read(p []byte) (int, error) {
	r.world.randomMu.Lock()
	defer r.world.randomMu.Unlock()
	return r.world.random.Read(p)
}

// logBuffer keeps what handlers log, and what the suite does to them, for the test that fails.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write keeps p.
func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String is what was written.
func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
