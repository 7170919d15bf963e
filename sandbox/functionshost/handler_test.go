package functionshost

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// modeVariable makes the test binary a custom handler, and says of which kind.
const modeVariable = "TEST_HANDLER_MODE"

func TestMain(m *testing.M) {
	if mode := os.Getenv(modeVariable); mode != "" {
		os.Exit(runHandler(mode))
	}
	os.Exit(m.Run())
}

// runHandler is the handler under the host in all tests. A mode is a list of steps, one for each start; the last one stays.
func runHandler(mode string) int {
	switch step(mode) {
	case "exit3":
		fmt.Fprintln(os.Stderr, "cannot go on")
		return 3
	case "exit0":
		return 0
	case "exit200":
		return 200
	case "identity":
		return printTokens()
	case "host":
		return runHost()
	case "deaf":
		block()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("FUNCTIONS_CUSTOMHANDLER_PORT"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if step(mode) == "mute" {
		block()
	}
	fmt.Fprintln(os.Stderr, http.Serve(listener, http.HandlerFunc(handle)))
	return 1
}

// block waits for a signal that nobody sends. Where there is no cgo, the runtime would end a process in which nothing can ever happen again.
func block() {
	never := make(chan os.Signal, 1)
	signal.Notify(never, syscall.SIGUSR1)
	<-never
}

// runHost is what the test binary does as the handler "host": it hosts the app in the working directory, prints where its handler listens, and waits.
func runHost() int {
	h, err := Start(context.Background(), Options{Root: ".", Settings: map[string]string{modeVariable: "serve"}})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(strings.TrimPrefix(h.worker.current.base, "http://"))
	block()
	return 0
}

// step picks this start's step by counting starts in a file, a byte each.
func step(mode string) string {
	steps := strings.Split(mode, ",")
	file := os.Getenv("TEST_HANDLER_STARTS")
	if len(steps) == 1 || file == "" {
		return steps[0]
	}
	text, err := os.ReadFile(file)
	if err == nil || os.IsNotExist(err) {
		err = os.WriteFile(file, append(text, '.'), 0o600)
	}
	if err != nil {
		return err.Error()
	}
	return steps[min(len(text), len(steps)-1)]
}

// received is a request as the handler saw it; Echo gives it back.
type received struct {
	Method, Target, Host, Body string
	Chunked                    bool
	Header                     http.Header
	Environ, Args              []string
	Dir                        string
}

func receive(r *http.Request) string {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		body = []byte("error: " + err.Error())
	}
	dir, _ := os.Getwd()
	text, _ := json.Marshal(received{
		Method: r.Method, Target: r.RequestURI, Host: r.Host, Body: string(body), Chunked: len(r.TransferEncoding) > 0,
		Header: r.Header, Environ: os.Environ(), Args: os.Args[1:], Dir: dir,
	})
	return string(text)
}

// handle answers by the path: the functions are named after what they answer.
func handle(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, contentType, body string) {
		w.Header()["Content-Type"] = []string{contentType}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
	logs := func(lines ...any) {
		text, _ := json.Marshal(map[string]any{"Logs": lines})
		answer(200, "application/json", string(text))
	}
	switch r.URL.Path {
	case "/":
	case "/Echo":
		logs(receive(r))
	case "/Object":
		answer(200, "application/json", `{}`)
	case "/Created":
		answer(201, "application/json; charset=utf-8", `{"outputs":{"x":{}},"LOGS":["a","b"],"returnvalue":7,"more":true}`)
	case "/Fails":
		answer(500, "application/json", `{"Logs":["unread"]}`)
	case "/Text":
		answer(200, "text/plain; charset=utf-8", `{"Logs":["x"]}`)
	case "/Untyped":
		w.Header()["Content-Type"] = nil
		io.WriteString(w, `{}`)
	case "/BadJSON":
		answer(200, "application/json", `{"Logs":["x"]`)
	case "/NumberLog":
		logs("x", 1)
	case "/List":
		answer(200, "application/json", `[]`)
	case "/Empty":
		w.Header().Set("Content-Type", "application/json")
	case "/NoContent":
		w.WriteHeader(204)
	case "/Null":
		answer(200, "application/json", ` null `)
	case "/Redirect":
		http.Redirect(w, r, "/Echo", http.StatusTemporaryRedirect)
	case "/Exit3":
		fmt.Fprintln(os.Stderr, "about to crash")
		os.Exit(3)
	case "/Exit0":
		os.Exit(0)
	case "/Exit200":
		os.Exit(200)
	case "/Block", "/api/Block":
		fmt.Println("blocking")
		block()
	case "/Late": // over the timeout of one second, within the grace of two
		<-time.After(1500 * time.Millisecond)
		logs("late")
	case "/Speak":
		fmt.Println("to stdout")
		fmt.Fprintln(os.Stderr, "a Warning, to stderr")
		fmt.Fprintln(os.Stderr, "trouble, to stderr")
		logs()
	default:
		handleHTTP(w, r, answer)
	}
}

var frail atomic.Int64

func handleHTTP(w http.ResponseWriter, r *http.Request, answer func(int, string, string)) {
	switch strings.TrimPrefix(r.URL.Path, "/api/") {
	case "teapot":
		answer(http.StatusTeapot, "text/plain", "short and stout")
	case "moved":
		http.Redirect(w, r, "/elsewhere", http.StatusFound)
	case "halved":
		io.WriteString(w, "half")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case "crash":
		os.Exit(3)
	case "frail": // every other time no answer
		if n := frail.Add(1); n%2 == 0 {
			answer(200, "text/plain", fmt.Sprint("entered ", n))
			return
		}
		panic(http.ErrAbortHandler)
	default:
		answer(200, "application/json", receive(r))
	}
}

// app is a function app in a temporary folder.
type app struct {
	options Options
	log     *logBook
}

// newApp makes an app whose functions are timers that never fire by themselves, and a handler of one mode.
func newApp(t *testing.T, mode string, timers ...string) *app {
	t.Helper()
	log := &logBook{changed: make(chan struct{})}
	a := &app{log: log, options: Options{
		Root: t.TempDir(), Log: log,
		Settings: map[string]string{
			"FUNCTIONS_WORKER_RUNTIME": "custom", modeVariable: mode, "AzureWebJobsStorage": "UseDevelopmentStorage=true",
			"TEST_HANDLER_STARTS": filepath.Join(t.TempDir(), "starts"),
		},
	}}
	a.write(t, "host.json", fmt.Sprintf(`{"version":"2.0","customHandler":{"enableProxyingHttpRequest":true,"description":{"defaultExecutablePath":%q}}}`, os.Args[0]))
	for _, name := range timers {
		a.timer(t, name, `"schedule":"0 0 0 1 1 *"`)
	}
	return a
}

func (a *app) write(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join(a.options.Root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (a *app) timer(t *testing.T, name, properties string) {
	t.Helper()
	a.write(t, name+"/function.json", fmt.Sprintf(`{"bindings":[{"type":"timerTrigger","direction":"in","name":"tick",%s}]}`, properties))
}

func (a *app) http(t *testing.T, name, properties string) {
	t.Helper()
	a.write(t, name+"/function.json", fmt.Sprintf(
		`{"bindings":[{"type":"httpTrigger","direction":"in","name":"req"%s},{"type":"http","direction":"out","name":"res"}]}`, properties))
}

// override sets a value of host.json by its app setting.
func (a *app) override(path, value string) {
	a.options.Settings["AzureFunctionsJobHost__"+path] = value
}

// start starts the host, which the test's end closes.
func (a *app) start(t *testing.T) *Host {
	t.Helper()
	h, err := Start(t.Context(), a.options)
	if err != nil {
		t.Fatalf("%v\n%s", err, a.log)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func invoke(t *testing.T, h *Host, name string) Invocation {
	t.Helper()
	inv, err := h.Invoke(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

// echo calls the timer function Echo and returns what the handler received.
func echo(t *testing.T, h *Host) received {
	t.Helper()
	inv := invoke(t, h, "Echo")
	if !inv.Succeeded || len(inv.Logs) != 1 {
		t.Fatalf("Echo: %+v", inv)
	}
	return decode[received](t, inv.Logs[0])
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// logBook is a log that can be waited on.
type logBook struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
	return l.text.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// await waits until a text was logged n times.
func (l *logBook) await(t *testing.T, text string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		l.mu.Lock()
		count, changed := strings.Count(l.text.String(), text), l.changed
		l.mu.Unlock()
		if count >= n {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%q was logged %d times, want %d, in\n%s", text, count, n, l)
		}
	}
}
