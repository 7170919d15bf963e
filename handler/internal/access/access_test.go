package access

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/settings"
	"fhirmigration/handler/internal/staging"
	"fhirmigration/sandbox/azurite"
	"fhirmigration/sandbox/fhirservice"
)

var emulator *azurite.Server

func TestMain(m *testing.M) { os.Exit(azurite.RunTests(m.Run, &emulator)) }

// world is a check between two FHIR services of the sandbox, with tables and blobs in memory.
type world struct {
	Check
	source, destination *fhirservice.Service
	tables              *ledger.Memory
}

var schedules = []string{"ExportTimerSchedule=0 */2 * * * *", "ImportTimerSchedule=0 */2 * * * *", "VerifyTimerSchedule=0 */2 * * * *"}

func newWorld(t *testing.T, source, destination fhirservice.Options, set ...string) *world {
	t.Helper()
	w := &world{tables: ledger.NewMemory()}
	serve := func(o fhirservice.Options) *fhirservice.Service {
		o.StorageConnectionString = emulator.ConnectionString()
		s, err := fhirservice.Start(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	w.source, w.destination = serve(source), serve(destination)
	environ := append([]string{"AZURE_SourceUri=" + w.source.URL(), "AZURE_SourceCredential=none", "AZURE_DestinationUri=" + w.destination.URL(), "AZURE_DestinationCredential=none",
		"AZURE_StorageConnectionString=" + emulator.ConnectionString()}, set...)
	loaded, err := settings.Load(environ)
	if err != nil {
		t.Fatal(err)
	}
	client := func(base string) *fhir.Service {
		s, err := fhir.New(fhir.Options{Base: base})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	w.Check = Check{Settings: loaded, Environ: append(schedules, environ...), Source: client(loaded.SourceUri), Destination: client(loaded.DestinationUri),
		Ledger:  ledger.OpenMemory(w.tables, ledger.Options{ExportTable: "export", ChunkTable: "chunk", ExceptionTable: "exceptions", PartitionKey: "p", RowKey: "row"}),
		Staging: staging.OpenMemory(staging.NewMemory()), Clock: time.Now}
	return w
}

// want runs the check and holds some of its lines against "result: text that the line has".
func (w *world) want(t *testing.T, want map[string]string) {
	t.Helper()
	report := w.Run(t.Context())
	found := map[string]Line{}
	ok := true
	for _, l := range report.Lines {
		found[l.Name] = l
		ok = ok && l.Result != NotOK
		if l.Tried == "" || l.Result == NotOK && (l.Do == "" || l.Found == "") {
			t.Errorf("a line that does not help: %+v", l)
		}
		if w.SettingsError == nil && want[l.Name] == "" && l.Result == NotOK {
			t.Errorf("%+v", l)
		}
	}
	if ok != report.OK {
		t.Errorf("ok is %v", report.OK)
	}
	for name, says := range want {
		l := found[name]
		result, text, _ := strings.Cut(says, ": ")
		if string(l.Result) != result || !strings.Contains(l.Found+" "+l.Do, text) {
			t.Errorf("%s: %+v, want %s", name, l, says)
		}
	}
}

// Everything is there; what only a job can show is not known. Nothing is started, and of the probes nothing is left.
func TestAllIsWell(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fhirservice.Options{}, fhirservice.Options{})
	w.want(t, map[string]string{
		"settings": "ok: ", "schedule of ExportTimer": "ok: ", "table storage": "ok: ", "blob storage": "ok: ", "export storage": "ok: Storage Blob Data Contributor",
		"source: metadata": "ok: types", "source: search": "ok: ", "source: export": "ok: ", "destination: import": "ok: ", "destination: search": "ok: ",
		"destination: search parameters and reindex": "ok: ", "destination: import mode": "ok: off", "clocks": "ok: source",
		"source: its own storage": "not known: Storage Blob Data Contributor", "destination: its own storage": "not known: import settings", "export and import on one account": "not known: ",
	})
	for _, s := range []*fhirservice.Service{w.source, w.destination} {
		for _, c := range s.Calls() {
			if c.Method != http.MethodGet || c.Kind == fhirservice.Export {
				t.Errorf("it calls %s %s", c.Method, c.Kind)
			}
		}
	}
	if _, err := w.Ledger.Chunk(t.Context()); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("a chunk row: %v", err)
	}
}

// Each thing that is missing is named, with the role.
func TestWhatIsMissing(t *testing.T) {
	t.Parallel()
	forbidden := func(kind fhirservice.Operation) fhirservice.Fault {
		return fhirservice.Fault{Kind: kind, Status: http.StatusForbidden, Code: "forbidden"}
	}
	for name, c := range map[string]struct {
		source, destination fhirservice.Fault
		options             fhirservice.Options // of the destination
		settings            []string
		want                map[string]string
	}{
		"roles at the source": {source: forbidden(fhirservice.ExportStatus), want: map[string]string{"source: export": "not ok: FHIR Data Exporter", "clocks": "ok: "}},
		"reading the source":  {source: forbidden(fhirservice.Count), want: map[string]string{"source: search": "not ok: FHIR Data Reader"}},
		"roles at the destination": {destination: forbidden(fhirservice.ImportStatus), want: map[string]string{
			"destination: import": "not ok: FHIR Data Importer"}},
		"search parameters": {destination: forbidden(fhirservice.ReindexStatus), want: map[string]string{
			"destination: search parameters and reindex": "not ok: FHIR Data Contributor", "destination: import mode": "not known: "}},
		"search parameters that are not asked for": {destination: forbidden(fhirservice.ReindexStatus), settings: []string{"AZURE_MigrateSearchParameters=false"}, want: map[string]string{
			"destination: search parameters and reindex": "ok: not needed"}},
		"a retired source": {source: fhirservice.Fault{Gone: true}, want: map[string]string{"source: search": "ok: retired", "source: export": "ok: ", "source: metadata": "ok: "}},
		"a busy source":    {source: fhirservice.Fault{Kind: fhirservice.Count, Status: 429}, want: map[string]string{"source: search": "not known: ask again"}},
		"initial-import mode, as asked": {options: fhirservice.Options{InitialImportMode: true}, settings: []string{"AZURE_ImportMode=InitialLoad"}, want: map[string]string{
			"destination: import mode": "ok: is on", "destination: search parameters and reindex": "not known: initial-import mode"}},
		"initial-import mode, not asked": {settings: []string{"AZURE_ImportMode=InitialLoad"}, want: map[string]string{"destination: import mode": "not ok: InitialLoad"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source := fhirservice.Options{}
			if c.source.Gone {
				source.Kind = fhirservice.Cosmos
			}
			w := newWorld(t, source, c.options, c.settings...)
			if c.source != (fhirservice.Fault{}) {
				w.source.Inject(c.source)
			}
			if c.destination != (fhirservice.Fault{}) {
				w.destination.Inject(c.destination)
			}
			w.want(t, c.want)
		})
	}
}

// A service that is not there, and storage that refuses: the line says so, and the others are not kept from answering.
func TestWhatCannotBeReached(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fhirservice.Options{}, fhirservice.Options{})
	w.source.Close()
	refused := &azcore.ResponseError{StatusCode: 403, ErrorCode: "AuthorizationPermissionMismatch"}
	w.Ledger = w.Ledger.Gated(func(context.Context, ledger.Call, func() error) error { return refused })
	w.Staging = w.Staging.Gated(func(_ context.Context, c staging.Call, do func() error) error {
		if c.Op == "list" {
			return &azcore.ResponseError{StatusCode: 404, ErrorCode: "ResourceNotFound"}
		}
		return refused
	})
	w.want(t, map[string]string{
		"source: metadata": "not ok: firewalls", "source: search": "not ok: firewalls", "source: export": "not ok: firewalls", "clocks": "not known: ",
		"table storage": "not ok: Storage Table Data Contributor", "blob storage": "not ok: Storage Blob Data Contributor", "export storage": "not ok: AZURE_BlobStorageUri",
		"destination: import": "ok: ", "source: its own storage": "not known: cannot be read",
	})
}

// A probe that never comes back does not hold the others up.
func TestAProbeThatHangs(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	never := make(chan []Line)
	lines := make(chan []Line, 1)
	go func() {
		lines <- sideBySide(ctx, []probe{
			{"hangs", "nothing", func(context.Context) []Line { return <-never }},
			{"answers", "something", func(context.Context) []Line { cancel(); return []Line{{Name: "answers", Result: OK}} }},
		})
	}()
	got := <-lines
	if len(got) != 2 || got[0].Result != NotOK || got[0].Found != "no answer in time" {
		t.Errorf("%+v", got)
	}
	close(never)
}

// Clocks that differ.
func TestClocks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fhirservice.Options{}, fhirservice.Options{})
	w.Clock = func() time.Time { return time.Now().Add(-time.Hour) }
	w.want(t, map[string]string{"clocks": "not ok: two minutes"})
}

// Settings that do not load are named, and nothing else is tried; schedules are told all the same.
func TestSettingsThatDoNotLoad(t *testing.T) {
	t.Parallel()
	_, err := settings.Load([]string{"AZURE_SourceUri=nonsense", "AZURE_ExportChunkTme=3"})
	if err == nil {
		t.Fatal("they load")
	}
	w := &world{Check: Check{SettingsError: err, Clock: time.Now, Environ: []string{"exporttimerschedule=0 */2 * * * *", "ImportTimerSchedule=every day", "VerifyTimerSchedule=00:05:00", "AzureWebJobs.VerifyTimer.Disabled=true"}}}
	w.want(t, map[string]string{"settings": "not ok: ExportChunkTime", "schedule of ExportTimer": "ok: ", "schedule of ImportTimer": "not ok: six fields", "schedule of VerifyTimer": "not ok: disabled"})
	if n := len(w.Run(t.Context()).Lines); n != 4 {
		t.Errorf("%d lines", n)
	}
	w.Environ = []string{"ExportTimerSchedule=00:00:00.5", "ImportTimerSchedule=00:05", "VerifyTimerSchedule=00:00:30"}
	w.want(t, map[string]string{"schedule of ExportTimer": "ok: ", "schedule of ImportTimer": "not ok: six fields", "schedule of VerifyTimer": "ok: "})
	w.Environ = nil
	w.want(t, map[string]string{"schedule of ExportTimer": "not ok: nothing is planned"})
}

// With de-identification, its configuration is looked for where the source will.
func TestDeidentification(t *testing.T) {
	t.Parallel()
	w := newWorld(t, fhirservice.Options{}, fhirservice.Options{}, "AZURE_IsExportDeidentified=true", "AZURE_ConfigFile=safe.json")
	w.want(t, map[string]string{"de-identification": "not ok: there is no blob safe.json in the container anonymization"})
	blobs := staging.NewMemory()
	blobs.Put(staging.AnonymizationContainer, "safe.json", []byte("{}"))
	w.Staging = staging.OpenMemory(blobs)
	w.want(t, map[string]string{"de-identification": "ok: "})
}
