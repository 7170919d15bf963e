package demo_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"fhirmigration/sandbox/demo"
	"fhirmigration/sandbox/progress"
)

// transcript is what the demo said, and lets a test wait for a part of it.
type transcript struct {
	mu   sync.Mutex
	cond *sync.Cond
	text bytes.Buffer
	over bool
}

func newTranscript() *transcript {
	t := &transcript{}
	t.cond = sync.NewCond(&t.mu)
	return t
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.cond.Broadcast()
	return t.text.Write(p)
}

// close says that nothing more will be said.
func (t *transcript) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	t.cond.Broadcast()
}

// await waits until the demo has said something, and returns everything it said. It is false when that never came.
func (t *transcript) await(part string) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for !strings.Contains(t.text.String(), part) {
		if t.over {
			return t.text.String(), false
		}
		t.cond.Wait()
	}
	return t.text.String(), true
}

// functionApp is a folder with the function app as it would be deployed, its handler built from this source.
func functionApp(t *testing.T) string {
	t.Helper()
	root, repository := t.TempDir(), filepath.Join("..", "..")
	files, err := filepath.Glob(filepath.Join(repository, "*", "function.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no functions in %s: %v", repository, err)
	}
	for _, file := range append(files, filepath.Join(repository, "host.json")) {
		name, err := filepath.Rel(repository, file)
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(root, "bin", "handler"), "fhirmigration/handler")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the handler: %v\n%s", err, output)
	}
	return root
}

func options(t *testing.T, out *transcript) demo.Options {
	t.Helper()
	return demo.Options{
		Resources: 300, Seed: 1, Pace: 0.1, Root: functionApp(t), Out: out, Clock: time.Now, Random: rand.Reader,
	}
}

// begin runs the demo until the test ends it.
func begin(t *testing.T, o demo.Options, out *transcript) (end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	outcome := make(chan error, 1)
	go func() {
		defer out.close()
		outcome <- demo.Run(ctx, o)
	}()
	t.Cleanup(cancel)
	return func() error {
		cancel()
		return <-outcome
	}
}

// find takes what a pattern's group matches in what the demo said.
func find(t *testing.T, said, pattern string) string {
	t.Helper()
	match := regexp.MustCompile(pattern).FindStringSubmatch(said)
	if match == nil {
		t.Fatalf("no %q in:\n%s", pattern, said)
	}
	return match[1]
}

func TestMigratesAndKeeps(t *testing.T) {
	t.Parallel()
	out := newTranscript()
	o := options(t, out)
	o.Keep = true
	end := begin(t, o, out)
	said, ok := out.await("Everything keeps running until Ctrl-C.")
	if !ok {
		t.Fatalf("the demo ended: %v\n%s", end(), said)
	}
	said, _ = out.await("  log ")
	if want := "Every version and every deletion is at the destination, and equal."; !strings.Contains(said, want) {
		t.Errorf("no %q in:\n%s", want, said)
	}

	source, pass := find(t, said, `(?m)^  source +(\S+)$`), find(t, said, `Authorization: Bearer (\S+)`)
	if got := status(t, source+"/Patient?_summary=count", pass); got != http.StatusOK {
		t.Errorf("the source answers the visitor %d, want 200", got)
	}
	if got := status(t, source+"/Patient?_summary=count", "a guess"); got != http.StatusUnauthorized {
		t.Errorf("the source answers a stranger %d, want 401", got)
	}
	checkLedger(t, find(t, said, `(?m)^ +(DefaultEndpointsProtocol=\S+)$`), find(t, said, `(?m)^(\d+) windows;`))

	log := find(t, said, `(?m)^  log +(\S+)$`)
	checkLog(t, said, log, source, pass)
	if err := end(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if _, err := http.Get(source); err == nil {
		t.Errorf("%s still answers", source)
	}
	if _, err := os.Stat(log); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is left behind: %v", log, err)
	}
}

func status(t *testing.T, url, token string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

// checkLedger reads the tables as a visitor would: as many rows as windows were counted, each of them complete.
func checkLedger(t *testing.T, connectionString, counted string) {
	t.Helper()
	ledger, err := progress.Open(connectionString, progress.Names{
		ExportTable: "export", ChunkTable: "chunk", PartitionKey: "mypartitionkey", RowKey: "myrowkey",
	})
	if err != nil {
		t.Fatal(err)
	}
	windows, err := ledger.Windows(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := progress.Thousands(int64(len(windows))); got != counted {
		t.Errorf("%s rows of windows, %s windows printed", got, counted)
	}
	for _, w := range windows {
		if !w.ExportComplete || !w.ImportComplete {
			t.Errorf("[%s, %s) is not complete", w.Since, w.Till)
		}
	}
}

func TestChaos(t *testing.T) {
	t.Parallel()
	out := newTranscript()
	o := options(t, out)
	o.Chaos, o.Pace = true, 0.3
	if err := demo.Run(t.Context(), o); err != nil {
		t.Fatalf("%v\n%s", err, out.text.String())
	}
	if killed := find(t, out.text.String(), `Killed (\d+) times`); killed == "0" {
		t.Errorf("the handler was never killed:\n%s", out.text.String())
	}
}

// TestFaults lets the destination misbehave: the demo must fail, say why, and keep the log.
func TestFaults(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ fault, want string }{
		"lines counted and lost": {`{"kind":"import","loseLines":3,"times":1}`, "source and destination differ in 3 versions"},
		"lines not counted":      {`{"kind":"import","shortImport":3}`, "windows are held, and nothing else is left to do"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := newTranscript()
			outcome := make(chan error, 1)
			o := options(t, out)
			go func() {
				defer out.close()
				outcome <- demo.Run(t.Context(), o)
			}()
			said, _ := out.await("functions host http")
			inject(t, find(t, said, `destination (http[^,]+),`), test.fault)
			err := <-outcome
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			log := find(t, out.text.String(), `The log of host and handler: (\S+)`)
			if err := os.Remove(log); err != nil {
				t.Errorf("the log is not kept: %v", err)
			}
		})
	}
}

// inject makes a FHIR service misbehave.
func inject(t *testing.T, service, fault string) {
	t.Helper()
	response, err := http.Post(service+"/_sandbox/faults", "application/json", strings.NewReader(fault))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusNoContent {
		t.Fatalf("the service answers %s to the fault", response.Status)
	}
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	out := newTranscript()
	end := begin(t, options(t, out), out)
	said, ok := out.await("functions host http")
	if !ok {
		t.Fatalf("the demo ended: %v\n%s", end(), said)
	}
	if err := end(); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v, want context.Canceled", err)
	}
	if source := find(t, said, `Source (\S+),`); reachable(source) {
		t.Errorf("%s still answers", source)
	}
	if text := out.text.String(); strings.Contains(text, "The log of host and handler") {
		t.Errorf("an interruption is no failure:\n%s", text)
	}
}

func reachable(url string) bool {
	response, err := http.Get(url)
	if err != nil {
		return false
	}
	response.Body.Close()
	return true
}

func TestBadDataStartsNothing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "a.ndjson")
	if err := os.WriteFile(file, []byte("{\"resourceType\":\"Patient\",\"id\":\"p\"}\n{\"resourceType\":\"Patient\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := newTranscript()
	o := options(t, out)
	o.Data = file
	if err := demo.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), file+", line 2: the Patient has no id") {
		t.Errorf("error %v, want one that names the line", err)
	}
	if text := out.text.String(); text != "" {
		t.Errorf("something was started:\n%s", text)
	}
}

func TestNeedsAHandler(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	o := demo.Options{Resources: 1, Root: root, Out: newTranscript(), Clock: time.Now, Random: rand.Reader}
	if err := demo.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "root of the repository") {
		t.Errorf("error %v, want one that says where to run it", err)
	}
	if err := os.WriteFile(filepath.Join(root, "host.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := demo.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "go build -o bin/handler ./handler") {
		t.Errorf("error %v, want one that says how to build the handler", err)
	}
}
