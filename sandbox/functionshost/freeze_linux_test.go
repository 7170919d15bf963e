package functionshost

import (
	"context"
	"syscall"
	"testing"
	"time"
)

// stopped waits until the handler, which is a child of this process, is stopped.
func stopped(t *testing.T, pid int) {
	t.Helper()
	news := make(chan bool, 1)
	go func() {
		var status syscall.WaitStatus
		got, err := syscall.Wait4(pid, &status, syscall.WUNTRACED, nil)
		news <- err == nil && got == pid && status.Stopped()
	}()
	select {
	case ok := <-news:
		if !ok {
			t.Fatal("the handler has ended, or is no child")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the handler goes on")
	}
}

// 7: what a handler does while nothing calls it is nobody's business. With Freeze it does nothing then.
func TestFreeze(t *testing.T) {
	t.Parallel()
	a := newApp(t, "serve", "Echo", "Block")
	a.http(t, "Page", `,"authLevel":"anonymous"`)
	a.options.Freeze = true
	h := a.start(t)
	stopped(t, h.PID())
	echo(t, h)
	stopped(t, h.PID())
	if got, _ := request(t, h, "GET", "/api/Page", ""); got.StatusCode != 200 {
		t.Errorf("an HTTP function answers %d", got.StatusCode)
	}
	stopped(t, h.PID())
	if err := syscall.Kill(h.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	a.log.await(t, "handler started", 2)
	echo(t, h)
	stopped(t, h.PID())

	go func() { _, _ = h.Invoke(t.Context(), "Block") }() // fails at the end of the test
	a.log.await(t, "blocking", 1)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 5 {
		if inv, err := h.Invoke(ctx, "Echo"); err != nil || !inv.Succeeded {
			t.Fatalf("stopped while an invocation was in flight: %v %s", err, inv.Reason)
		}
	}
}
