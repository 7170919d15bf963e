// Package e2e drives bin/handler as Azure does: behind a Functions host, with a storage account, a managed identity and two
// FHIR services. What it uses of the handler is the binary alone.
package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"fhirmigration/sandbox/azurite"
	"fhirmigration/sandbox/compare"
	"fhirmigration/sandbox/fhirservice"
	"fhirmigration/sandbox/functionshost"
)

var (
	emulators = azurite.Pool{Each: 10} // storage accounts: a migration or two look through what the others left
	appRoot   string                   // the function app's folder: host.json, the functions, bin/handler

	distFolder string // what make package made: app and app.zip
)

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	folder, err := os.MkdirTemp("", "fhir-migration-e2e-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	distFolder = folder
	if err := buildApp(folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return emulators.RunTests(m.Run)
}

// buildApp makes the package that is published, and unpacks it into folder: what the tests drive is what Azure would run.
func buildApp(folder string) error {
	out, err := exec.Command("make", "-C", "..", "package", "ARCH="+runtime.GOARCH, "VERSION=v0-e2e", "DIST="+folder).CombinedOutput()
	if err != nil {
		return fmt.Errorf("make package: %w\n%s", err, out)
	}
	appRoot = filepath.Join(folder, "unpacked")
	return unzip(filepath.Join(folder, "app.zip"), appRoot)
}

// app is a function app at work between two FHIR services.
type app struct {
	t                   *testing.T
	host                *functionshost.Host
	identity            *functionshost.Identity
	source, destination *fhirservice.Service
	tables              string
	log                 *logBuffer
	mu                  sync.Mutex
	tokens              []string // that the services were called with
	options             functionshost.Options
	pass                atomic.Value // a token that both services take too, for a caller that is not the handler
}

// logBuffer keeps what the host and the handler say, and shows it when the test fails.
type logBuffer struct {
	mu      sync.Mutex
	text    strings.Builder
	written chan struct{} // closed and made anew at each write
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.written)
	l.written = make(chan struct{})
	return l.text.Write(p)
}

// holds waits until the log has text n times: what the handler prints arrives a little after its answer.
func (l *logBuffer) holds(text string, n int) bool {
	for timeout := time.After(10 * time.Second); ; {
		l.mu.Lock()
		found, more := strings.Count(l.text.String(), text), l.written
		l.mu.Unlock()
		if found >= n {
			return true
		}
		select {
		case <-more:
		case <-timeout:
			return false
		}
	}
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

var (
	tablesMu sync.Mutex
	tables   int
)

// startApp starts both services and the function app. settings are named without AZURE_; an empty value takes one away.
// Timers fire when the test says so.
func startApp(t *testing.T, source, destination fhirservice.Options, settings map[string]string) *app {
	t.Helper()
	tablesMu.Lock()
	tables++
	a := &app{t: t, tables: fmt.Sprint(tables), identity: functionshost.NewIdentity(), log: &logBuffer{written: make(chan struct{})}}
	tablesMu.Unlock()
	a.source, a.destination = a.serve(source), a.serve(destination)
	values := map[string]string{
		"FUNCTIONS_WORKER_RUNTIME": "custom", "AzureWebJobsStorage": emulators.For(t).ConnectionString(),
		"ExportTimerSchedule": "0 0 0 1 1 *", "ImportTimerSchedule": "0 0 0 1 1 *", "VerifyTimerSchedule": "0 0 0 1 1 *",
		"AzureFunctionsJobHost__functionTimeout": "00:00:30", "AZURE_FunctionTimeoutMinutes": "0.5",
	}
	for name, value := range map[string]string{
		"StorageConnectionString": emulators.For(t).ConnectionString(),
		"SourceUri":               a.source.URL(), "DestinationUri": a.destination.URL(),
		"ExportTableName": "export" + a.tables, "ChunkTableName": "chunk" + a.tables, "ExceptionTableName": "exceptions" + a.tables,
		"ScheduleInterval": "0.001",
	} {
		values["AZURE_"+name] = value
	}
	for name, value := range settings {
		if values["AZURE_"+name] = value; value == "" {
			delete(values, "AZURE_"+name)
		}
	}
	a.options = functionshost.Options{Root: appRoot, Settings: values, Log: a.log, Identity: a.identity}
	a.startHost()
	t.Cleanup(func() {
		a.host.Close()
		if t.Failed() {
			t.Logf("the host's log:\n%s", a.log)
		}
	})
	return a
}

func (a *app) startHost() {
	a.t.Helper()
	var err error
	if a.host, err = functionshost.Start(a.t.Context(), a.options); err != nil {
		a.t.Fatalf("start the host: %v\n%s", err, a.log)
	}
}

// serve starts a FHIR service that takes tokens made for it, and no others.
func (a *app) serve(o fhirservice.Options) *fhirservice.Service {
	a.t.Helper()
	var s *fhirservice.Service
	o.StorageConnectionString = emulators.For(a.t).ConnectionString()
	o.Verify = func(token string) error {
		a.seen(token)
		if token != "" && token == a.pass.Load() {
			return nil
		}
		return a.identity.Verify(token, s.URL())
	}
	s, err := fhirservice.Start(a.t.Context(), o)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { s.Close() })
	return s
}

func (a *app) seed(v ...fhirservice.Version) {
	a.t.Helper()
	if err := a.source.Load(v...); err != nil {
		a.t.Fatal(err)
	}
}

// fire runs a timer function once.
func (a *app) fire(name string) functionshost.Invocation {
	a.t.Helper()
	inv, err := a.host.Invoke(a.t.Context(), name)
	if err != nil {
		a.t.Fatalf("fire %s: %v", name, err)
	}
	return inv
}

// runTo fires both timers in turn until everything up to end is migrated. look, when given, sees the app after each turn.
func (a *app) runTo(end time.Time, look func()) {
	a.t.Helper()
	want := end.UTC().Format("2006-01-02T15:04:05.000Z")
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		for _, name := range []string{"ExportTimer", "ImportTimer"} {
			if inv := a.fire(name); !inv.Succeeded {
				a.t.Fatalf("%s failed: %s", name, inv.Reason)
			}
		}
		if look != nil {
			look()
		}
		chunk := a.row("chunk"+a.tables, "myrowkey")
		if chunk["plannedTill"] == want && chunk["since"] == want && chunk["openWindows"] == "" {
			return
		}
	}
	a.t.Fatalf("not migrated in time: %v", a.row("chunk"+a.tables, "myrowkey"))
}

func (a *app) wantEqual() {
	a.t.Helper()
	report := compare.Versions(a.source.Versions(), a.destination.Versions())
	for _, f := range report.Findings {
		a.t.Error(f)
	}
	if report.Total.Equal == 0 {
		a.t.Error("there is nothing to compare")
	}
}

// row reads a row of a table as it stands, nil when it is not there.
func (a *app) row(table, key string) map[string]any {
	a.t.Helper()
	service, err := aztables.NewServiceClientFromConnectionString(emulators.For(a.t).ConnectionString(), nil)
	if err != nil {
		a.t.Fatal(err)
	}
	reply, err := service.NewClient(table).GetEntity(a.t.Context(), "mypartitionkey", key, nil)
	if err != nil {
		return nil
	}
	var row aztables.EDMEntity
	if err := json.Unmarshal(reply.Value, &row); err != nil {
		a.t.Fatal(err)
	}
	return row.Properties
}

// windows are the rows of the export table, by number.
func (a *app) windows() (rows []map[string]any) {
	a.t.Helper()
	for n := 1; ; n++ {
		row := a.row("export"+a.tables, fmt.Sprintf("myrowkey%d", n))
		if row == nil {
			return rows
		}
		rows = append(rows, row)
	}
}

func (a *app) calls(s *fhirservice.Service, kind fhirservice.Operation) (n int) {
	for _, c := range s.Calls() {
		if c.Kind == kind {
			n++
		}
	}
	return n
}

func TestEveryFunctionHasARoute(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, nil)
	for _, f := range a.host.Functions() {
		if f.Err != nil {
			t.Errorf("%s: %v", f.Name, f.Err)
		}
	}
	files, err := filepath.Glob(filepath.Join(appRoot, "*", "function.json"))
	if err != nil || len(files) != len(a.host.Functions()) || len(files) == 0 {
		t.Errorf("%d functions for %d folders (%v)", len(a.host.Functions()), len(files), err)
	}
	for _, name := range []string{"ExportTimer", "ImportTimer"} {
		if inv := a.fire(name); !inv.Succeeded {
			t.Errorf("%s: %s", name, inv.Reason)
		}
	}
	if _, err := os.Stat(filepath.Join(appRoot, "host.json")); errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
