package functionshost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// 1.2 and 2.1: the environment and the request that a handler meets.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	a := newApp(t, "serve", "Echo")
	a.options.Settings["AZURE_SourceUri"] = "https://a"
	a.options.Settings["azure_sourceuri"] = "https://b"
	a.options.Environ = []string{"PATH=/usr/bin", "AZURE_SourceUri=from the host", "Bare=1"}
	got := echo(t, a.start(t))

	_, port, _ := strings.Cut(got.Host, ":")
	for _, want := range []string{
		"FUNCTIONS_CUSTOMHANDLER_PORT=" + port, "FUNCTIONS_HTTPWORKER_PORT=" + port,
		"FUNCTIONS_APP_ROOT_PATH=" + a.options.Root, "AzureWebJobsScriptRoot=" + a.options.Root,
		"AZURE_FUNCTIONS_ENVIRONMENT=Development",
		"AZURE_SourceUri=https://a", "azure_sourceuri=https://b", "PATH=/usr/bin", "Bare=1",
	} {
		if !slices.Contains(got.Environ, want) {
			t.Errorf("environment lacks %s: %q", want, got.Environ)
		}
	}
	workerID := variable(got.Environ, "FUNCTIONS_CUSTOMHANDLER_WORKER_ID")
	if workerID == "" || workerID != variable(got.Environ, "FUNCTIONS_HTTPWORKER_ID") {
		t.Errorf("worker ids in %q, want one, twice", got.Environ)
	}
	for _, name := range []string{"HOME", "GOPATH", "IDENTITY_ENDPOINT"} {
		if value := variable(got.Environ, name); value != "" {
			t.Errorf("environment has %s=%s, which nobody gave", name, value)
		}
	}
	if got.Dir != a.options.Root {
		t.Errorf("working directory is %s, want the root %s", got.Dir, a.options.Root)
	}
}

func variable(environ []string, name string) string {
	for _, pair := range environ {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}

// 1.1: the command line.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	a := newApp(t, "serve", "Echo")
	a.write(t, "work/place/keep", "")
	if err := os.MkdirAll(filepath.Join(a.options.Root, "tools"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(os.Args[0], filepath.Join(a.options.Root, "tools", "handler")); err != nil {
		t.Fatal(err)
	}
	a.options.Settings["TOOL"] = "handler"
	a.override("customHandler__description__defaultExecutablePath", "%TOOL%")
	a.override("customHandler__description__workerDirectory", "tools")
	a.override("customHandler__description__workingDirectory", "work/place")
	a.override("customHandler__description__defaultWorkerPath", "my script")
	a.override("customHandler__description__arguments", `["-port=%FUNCTIONS_CUSTOMHANDLER_PORT%","two words","%NoSuchVariable%x"]`)
	a.override("customHandler__description__workerArguments__0", `\"last\"`)
	got := echo(t, a.start(t))

	_, port, _ := strings.Cut(got.Host, ":")
	if want := []string{"-port=" + port, "two", "words", "x", "my script", `"last"`}; !slices.Equal(got.Args, want) {
		t.Errorf("arguments %q, want %q", got.Args, want)
	}
	if want := filepath.Join(a.options.Root, "work", "place"); got.Dir != want {
		t.Errorf("working directory %s, want %s", got.Dir, want)
	}
}

// 1.1: an executable without a folder that is not in the app is looked up on PATH.
func TestExecutableOnPath(t *testing.T) {
	t.Parallel()
	a := newApp(t, "serve", "Echo")
	a.options.Environ = []string{"PATH=/nowhere:" + filepath.Dir(os.Args[0])}
	a.override("customHandler__description__defaultExecutablePath", filepath.Base(os.Args[0]))
	echo(t, a.start(t))
}

// 1.4: what a handler that the system cannot start does to the host.
func TestUnstartableHandler(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"missing": "bin/handler", "not executable": "host.json"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, "serve", "Echo")
			a.override("customHandler__description__defaultExecutablePath", path)
			a.override("customHandler__initializationTimeout", "00:00:00.2")
			h := a.start(t)
			if h.PID() != 0 || h.FirstAnswer() != 0 || h.Err() == nil {
				t.Errorf("pid %d, first answer %s, err %v; want no handler and an error", h.PID(), h.FirstAnswer(), h.Err())
			}
			select {
			case <-h.Stopped():
				t.Fatal("the host stopped before an invocation")
			default:
			}
			inv := invoke(t, h, "Echo")
			if inv.Succeeded || !strings.Contains(inv.Reason, "not ready within 00:00:00.8") || inv.Duration < 800*time.Millisecond {
				t.Errorf("got %+v, want a failure after four initialization timeouts", inv)
			}
			<-h.Stopped()
			if got := strings.Count(a.log.String(), "start the handler"); got != 1 {
				t.Errorf("the error was logged %d times, want once:\n%s", got, a.log)
			}
		})
	}
}

// 1.4 and 1.5: a handler that never listens is killed and counted as crashed, each time after the initialization timeout.
func TestDeafHandler(t *testing.T) {
	t.Parallel()
	a := newApp(t, "deaf", "Echo")
	a.override("customHandler__initializationTimeout", "00:00:00.3")
	began := time.Now()
	_, err := Start(t.Context(), a.options)
	if !errors.Is(err, ErrRestartsExceeded) || !strings.Contains(err.Error(), "did not listen") {
		t.Errorf("got %v, want the restart count exceeded because it does not listen", err)
	}
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("gave up after %s, want three timeouts", took)
	}

	a = newApp(t, "deaf,serve", "Echo")
	a.override("customHandler__initializationTimeout", "00:00:02")
	echo(t, a.start(t))
}

// 1.4: a handler that accepts and never answers blocks the start.
func TestMuteHandlerBlocksTheStart(t *testing.T) {
	t.Parallel()
	a := newApp(t, "mute", "Echo")
	a.override("customHandler__initializationTimeout", "00:00:01")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := Start(ctx, a.options); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want no end", err)
	}
	if strings.Count(a.log.String(), "handler started") != 1 {
		t.Errorf("it was restarted:\n%s", a.log)
	}
}

// 1.4: the time to the first answer is known.
func TestFirstAnswer(t *testing.T) {
	t.Parallel()
	h := newApp(t, "serve", "Echo").start(t)
	if got := h.FirstAnswer(); got <= 0 || got > 20*time.Second {
		t.Errorf("first answer after %s", got)
	}
}

// 1.1: without a function that can be run the handler is not started.
func TestNoFunctionNoHandler(t *testing.T) {
	t.Parallel()
	a := newApp(t, "serve")
	a.timer(t, "Wrong", `"schedule":"never"`)
	h := a.start(t)
	if h.PID() != 0 || strings.Contains(a.log.String(), "handler started") {
		t.Errorf("pid %d, want no handler:\n%s", h.PID(), a.log)
	}
	if _, err := h.Invoke(t.Context(), "Wrong"); err == nil {
		t.Error("a function with an error was invoked")
	}
}

// 1.7: the levels of the handler's output.
func TestConsoleLevels(t *testing.T) {
	t.Parallel()
	for onlyErrors, levels := range map[string][3]string{
		"true":  {"Information", "Warning", "Error"},
		"false": {"Information", "Information", "Information"},
	} {
		a := newApp(t, "serve", "Speak")
		a.override("customHandler__description__useStdErrorStreamForErrorsOnly", onlyErrors)
		h := a.start(t)
		invoke(t, h, "Speak")
		for i, line := range []string{"to stdout", "a Warning, to stderr", "trouble, to stderr"} {
			a.log.await(t, fmt.Sprintf("[%s] Host.Function.Console: %s\n", levels[i], line), 1)
		}
	}
}

// 1.6: Close kills without a SIGTERM, and what is in flight fails.
func TestCloseKills(t *testing.T) {
	t.Parallel()
	a := newApp(t, "serve", "Block")
	h := a.start(t)
	pid := h.PID()
	ended := make(chan Invocation, 1)
	go func() {
		inv, _ := h.Invoke(t.Context(), "Block")
		ended <- inv
	}()
	a.log.await(t, "blocking", 1)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if (<-ended).Succeeded {
		t.Error("the invocation in flight succeeded")
	}
	if process, err := os.FindProcess(pid); err == nil && process.Signal(syscall.Signal(0)) == nil {
		t.Errorf("the handler %d lives on", pid)
	}
	if _, err := h.Invoke(t.Context(), "Block"); err == nil {
		t.Error("a closed host invokes")
	}
	select {
	case <-h.Stopped():
		t.Error("Stopped is closed, though the host did not give up")
	default:
	}
	if err := h.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}
