package functionshost

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"
)

// 1.5: the third crash in a chain stops the host, and the ones before restart the handler at once on the same port.
func TestThirdCrashStopsTheHost(t *testing.T) {
	t.Parallel()
	a := newApp(t, "serve", "Exit3", "Echo")
	h := a.start(t)
	before := echo(t, h)
	for range 2 {
		if inv := invoke(t, h, "Exit3"); inv.Succeeded || inv.Reason == "" {
			t.Errorf("got %+v, want the invocation in flight to fail", inv)
		}
		after := echo(t, h) // waits for the restart
		if before.Host != after.Host {
			t.Errorf("listens on %s, was %s", after.Host, before.Host)
		}
		if variable(before.Environ, "FUNCTIONS_HTTPWORKER_ID") == variable(after.Environ, "FUNCTIONS_HTTPWORKER_ID") {
			t.Error("the worker id stayed the same")
		}
	}
	invoke(t, h, "Exit3")
	<-h.Stopped()
	if err := h.Err(); !errors.Is(err, ErrRestartsExceeded) || !strings.Contains(err.Error(), "exit status 3: ") || !strings.Contains(err.Error(), "about to crash") {
		t.Errorf("Err is %v, want the restart count exceeded, the code and stderr", err)
	}
	if h.PID() != 0 {
		t.Errorf("handler %d still runs", h.PID())
	}
	if _, err := h.Invoke(t.Context(), "Echo"); err == nil {
		t.Error("a stopped host invokes")
	}
}

// 1.5: a handler killed from outside is one that crashed.
func TestKilledHandlerIsRestarted(t *testing.T) {
	t.Parallel()
	a := newApp(t, "serve", "Echo")
	h := a.start(t)
	for i := range 2 {
		echo(t, h)
		pid := h.PID()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		a.log.await(t, "handler exited: signal: killed", i+1)
	}
	echo(t, h)
	if err := syscall.Kill(h.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-h.Stopped()
}

// 1.5: a handler that crashes before its first answer, three times; and twice.
func TestCrashAtStart(t *testing.T) {
	t.Parallel()
	a := newApp(t, "exit3", "Echo")
	_, err := Start(t.Context(), a.options)
	if !errors.Is(err, ErrRestartsExceeded) || !strings.Contains(err.Error(), "cannot go on") {
		t.Errorf("got %v, want the restart count exceeded, with stderr", err)
	}
	if got := strings.Count(a.log.String(), "handler started"); got != 3 {
		t.Errorf("started %d times, want one start and two restarts", got)
	}
	echo(t, newApp(t, "exit3,exit3,serve", "Echo").start(t))
}

// 1.5: exit code 200 restarts the handler and is not counted.
func TestIntentionalExit(t *testing.T) {
	t.Parallel()
	h := newApp(t, "serve", "Exit200", "Echo").start(t)
	for range 4 {
		if inv := invoke(t, h, "Exit200"); inv.Succeeded {
			t.Error("the invocation in flight succeeded")
		}
		echo(t, h)
	}
	echo(t, newApp(t, "exit200,exit200,exit200,exit200,serve", "Echo").start(t))
}

// 1.5: after exit code 0 the host does nothing, and every call is refused.
func TestExitZeroIsADeadHandler(t *testing.T) {
	t.Parallel()
	a := newApp(t, "serve", "Exit0", "Echo")
	a.http(t, "Page", `,"authLevel":"anonymous"`)
	h := a.start(t)
	for _, function := range []string{"Exit0", "Echo", "Echo", "Echo", "Echo"} {
		if inv := invoke(t, h, function); inv.Succeeded || !strings.Contains(inv.Reason, errNoAnswer.Error()) {
			t.Errorf("%s: %+v, want no answer", function, inv)
		}
	}
	if got, _ := request(t, h, "GET", "/api/Page", ""); got.StatusCode != 502 {
		t.Errorf("an HTTP function answers %d, want 502", got.StatusCode)
	}
	if started := strings.Count(a.log.String(), "handler started"); started != 1 || h.Err() != nil || h.PID() != 0 {
		t.Errorf("started %d times, pid %d, err %v; want a dead handler and a host that does not know", started, h.PID(), h.Err())
	}
}

// 1.4 and 1.5: exit code 0 before the first answer shows as a handler that never listens, which is a crash.
func TestExitZeroAtStart(t *testing.T) {
	t.Parallel()
	a := newApp(t, "exit0", "Echo")
	a.override("customHandler__initializationTimeout", "00:00:00.1")
	if _, err := Start(t.Context(), a.options); !errors.Is(err, ErrRestartsExceeded) || !strings.Contains(err.Error(), "did not listen") {
		t.Errorf("got %v, want the restart count exceeded because it does not listen", err)
	}
	a = newApp(t, "exit0,exit0,serve", "Echo")
	a.override("customHandler__initializationTimeout", "00:00:02")
	echo(t, a.start(t))
}

// 2.4: a time-out, of an invocation whose reply was empty, replaces also a handler that has left unnoticed.
func TestTimeoutReplacesADeadHandler(t *testing.T) {
	t.Parallel()
	h := newApp(t, "serve", "Exit0", "Echo").start(t)
	p, err := h.worker.await(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	invoke(t, h, "Exit0")
	p.recycle()
	<-p.exited
	echo(t, h)
}

// 1.5: a gap of more than half an hour clears the chain.
func TestCrashChain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		minutes []int
		want    bool
	}{
		"three at once":            {[]int{0, 0, 0}, true},
		"each within half an hour": {[]int{0, 30, 60}, true},
		"a gap clears":             {[]int{0, 1, 32}, false},
		"a gap clears all before":  {[]int{0, 31, 32}, false},
		"and then again":           {[]int{0, 31, 32, 33}, true},
	} {
		var chain crashes
		var got bool
		for _, m := range c.minutes {
			got = chain.add(time.Date(2026, 1, 5, 10, m, 0, 0, time.UTC))
		}
		if got != c.want {
			t.Errorf("%s: gives up %v, want %v", name, got, c.want)
		}
	}
}
