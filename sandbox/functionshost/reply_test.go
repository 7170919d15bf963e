package functionshost

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Section 2.3 of the contract: what the host makes of a handler's reply.
func TestReplies(t *testing.T) {
	t.Parallel()
	cases := []struct {
		function string
		logs     []string
		reason   string // of a failure
	}{
		{function: "Object"},
		{function: "Created", logs: []string{"a", "b"}},
		{function: "Fails", reason: "500"},
		{function: "Text", reason: `unsupported media type "text/plain`},
		{function: "Untyped", reason: `unsupported media type ""`},
		{function: "BadJSON", reason: `{"Logs":["x"]`},
		{function: "NumberLog", reason: "cannot unmarshal number"},
		{function: "List", reason: "cannot unmarshal array"},
	}
	a := newApp(t, "serve")
	for _, c := range cases {
		a.timer(t, c.function, `"schedule":"0 0 0 1 1 *"`)
	}
	h := a.start(t)
	for _, c := range cases {
		t.Run(c.function, func(t *testing.T) {
			inv := invoke(t, h, c.function)
			if inv.Succeeded != (c.reason == "") || !strings.Contains(inv.Reason, c.reason) {
				t.Errorf("succeeded %v, reason %q; want reason %q", inv.Succeeded, inv.Reason, c.reason)
			}
			if diff := cmp.Diff(c.logs, inv.Logs); diff != "" {
				t.Errorf("logs (-want +got):\n%s", diff)
			}
			if inv.Function != c.function || inv.Cause != "admin" || inv.ID == "" {
				t.Errorf("invocation is %+v", inv)
			}
		})
	}
	if got := len(h.Invocations()); got != len(cases) {
		t.Errorf("history has %d invocations, want %d", got, len(cases))
	}
	if strings.Contains(a.log.String(), "unread") {
		t.Error("the body of a reply that is not 2xx was read")
	}
}

// 2.3 and 2.4: a reply without content hangs to functionTimeout, then the handler is killed; that is no crash, and the port stays.
func TestEmptyRepliesHang(t *testing.T) {
	t.Parallel()
	for _, function := range []string{"Empty", "NoContent", "Null", "Block"} {
		t.Run(function, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, "serve", function, "Echo")
			a.override("functionTimeout", "00:00:01")
			h := a.start(t)
			before, pid := echo(t, h), h.PID()

			inv := invoke(t, h, function)
			if inv.Succeeded || !strings.Contains(inv.Reason, "timeout value of 00:00:01 exceeded") {
				t.Errorf("got %+v, want a timeout", inv)
			}
			if inv.Duration < 3*time.Second {
				t.Errorf("ended after %s, want one second and two of grace", inv.Duration)
			}
			after := echo(t, h)
			if h.PID() == pid {
				t.Error("the handler was not killed")
			}
			if before.Host != after.Host {
				t.Errorf("the handler listens on %s, was %s", after.Host, before.Host)
			}
			if strings.Contains(a.log.String(), "handler exited") {
				t.Errorf("the kill was taken for a crash:\n%s", a.log)
			}
		})
	}
}

// 2.4: the invocation has failed when functionTimeout passes, but a reply within the grace saves the handler.
func TestLateReplySavesTheHandler(t *testing.T) {
	t.Parallel()
	a := newApp(t, "serve", "Late")
	a.override("functionTimeout", "00:00:01")
	h := a.start(t)
	pid := h.PID()
	inv := invoke(t, h, "Late")
	if inv.Succeeded || !strings.Contains(inv.Reason, "timeout") || inv.Duration >= 3*time.Second {
		t.Errorf("got %+v, want a timeout before the grace is over", inv)
	}
	if h.PID() != pid {
		t.Error("the handler was killed")
	}
}

// 2.4: the kill takes every other invocation with it, and an HTTP function that is one of them is 502 to its caller.
func TestTimeoutTakesOthersAlong(t *testing.T) {
	t.Parallel()
	a := newApp(t, "serve", "Empty")
	a.http(t, "Other", `,"route":"Block","authLevel":"anonymous"`)
	a.override("functionTimeout", "00:00:02")
	h := a.start(t)
	first := make(chan Invocation, 1)
	go func() {
		inv, _ := h.Invoke(t.Context(), "Empty")
		first <- inv
	}()
	a.log.await(t, "Function.Empty: Executing", 1)
	answer, _ := request(t, h, "GET", "/api/Block", "")
	if answer.StatusCode != 502 || (<-first).Succeeded {
		t.Errorf("%d: an invocation survived the kill", answer.StatusCode)
	}
	if got := strings.Count(a.log.String(), "killed the handler"); got != 1 {
		t.Errorf("killed %d times", got)
	}
}

// 2.3: redirects are followed, unless forwarding is enabled.
func TestRedirects(t *testing.T) {
	t.Parallel()
	a := newApp(t, "serve", "Redirect")
	inv := invoke(t, a.start(t), "Redirect")
	if !inv.Succeeded || len(inv.Logs) != 1 {
		t.Fatalf("got %+v, want the answer of Echo", inv)
	}
	if got := decode[received](t, inv.Logs[0]); got.Method != "POST" || !strings.Contains(got.Body, `"tick"`) {
		t.Errorf("Echo got %s %q, want the same request again", got.Method, got.Body)
	}

	a.override("customHandler__enableForwardingHttpRequest", "true")
	if inv := invoke(t, a.start(t), "Redirect"); inv.Succeeded || !strings.Contains(inv.Reason, "307") {
		t.Errorf("with forwarding got %+v, want a failure with 307", inv)
	}
}
