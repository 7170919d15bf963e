package fhir

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestStartExport(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		request ExportRequest
		want    string
	}{
		{"plain", ExportRequest{Since: since, Till: till}, "/$export?_isParallel=true&_since=2024-01-01T00%3A00%3A00.000Z&_till=2024-02-01T00%3A00%3A00.000Z"},
		{"from the beginning", ExportRequest{Till: till, Deletes: true},
			"/$export?_isParallel=true&includeAssociatedData=_deleted&_till=2024-02-01T00%3A00%3A00.000Z"},
		{"history", ExportRequest{Till: till, History: true}, "/$export?_isParallel=true&includeAssociatedData=_history&_till=2024-02-01T00%3A00%3A00.000Z"},
		{"all", ExportRequest{Till: till.Add(999 * time.Microsecond), History: true, Deletes: true, MaxCount: 500},
			"/$export?_isParallel=true&includeAssociatedData=_history%2C_deleted&_till=2024-02-01T00%3A00%3A00.000Z&_maxCount=500"},
		{"one type", ExportRequest{Type: "Patient", Since: since, Till: till},
			"/$export?_isParallel=true&_type=Patient&_since=2024-01-01T00%3A00%3A00.000Z&_till=2024-02-01T00%3A00%3A00.000Z"},
		{"de-identified", ExportRequest{Till: till, Anonymize: &Anonymization{"anonymization", "safe harbor.json", "0x8D8494A069489EC"}},
			"/$export?_isParallel=true&_till=2024-02-01T00%3A00%3A00.000Z&_container=anonymization&_anonymizationConfig=safe+harbor.json&_anonymizationConfigEtag=0x8D8494A069489EC"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := startOdd(t, func(w http.ResponseWriter, r *http.Request) {
				reply(202, "", "Content-Location", "http://"+r.Host+"/_operations/export/17")(w, r)
			})
			url, err := s.StartExport(t.Context(), test.request)
			if err != nil || url != s.url+"/_operations/export/17" {
				t.Errorf("%s, %v", url, err)
			}
			r := s.asked()[0]
			if r.Method+" "+r.URL.RequestURI() != "GET "+test.want {
				t.Errorf("asked %s %s\nwant      %s", r.Method, r.URL.RequestURI(), test.want)
			}
			if len(r.Header["Accept"]) != 1 || r.Header.Get("Accept") != "application/fhir+json" || r.Header.Get("Prefer") != "respond-async" {
				t.Errorf("headers %v", r.Header)
			}
			if r.ContentLength != 0 || len(r.TransferEncoding) != 0 {
				t.Errorf("the GET carries a body: length %d, %v", r.ContentLength, r.TransferEncoding)
			}
		})
	}
	for name, request := range map[string]ExportRequest{"no end": {Since: since}, "empty": {Since: till, Till: till},
		"no type": {Type: "Patient,Account", Till: till}, "de-identified by nobody knows what": {Till: till, Anonymize: &Anonymization{"anonymization", "a.json", ""}}} {
		s := startOdd(t, reply(202, ""))
		if _, err := s.StartExport(t.Context(), request); KindOf(err) != Refused || len(s.asked()) != 0 {
			t.Errorf("%s: %v after %d calls, want kind refused after none", name, err, len(s.asked()))
		}
	}
}

// TestStartExportIsSentOnce breaks a kept-alive connection at the kick-off, which makes net/http repeat a GET that is not told otherwise.
func TestStartExportIsSentOnce(t *testing.T) {
	t.Parallel()
	var kickOffs atomic.Int32
	s := startOdd(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/$export" {
			reply(200, countJSON)(w, r)
			return
		}
		kickOffs.Add(1)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
	})
	if _, err := s.CountResources(t.Context(), period); err != nil { // leaves a connection to be used again
		t.Fatal(err)
	}
	if _, err := s.StartExport(t.Context(), ExportRequest{Till: till}); KindOf(err) != Transient {
		t.Errorf("%v, want kind transient", err)
	}
	if got := kickOffs.Load(); got != 1 {
		t.Errorf("%d exports started, want 1", got)
	}
}

func TestStartImport(t *testing.T) {
	t.Parallel()
	const body = `{"resourceType":"Parameters"}`
	var got []string
	c := &credential{}
	s := startOdd(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = append(got, fmt.Sprint(r.Method, r.URL.RequestURI(), r.Header.Get("Content-Type"), r.Header["Prefer"], string(b)))
		if r.Header.Get("Authorization") == "Bearer token-1" {
			reply(401, "")(w, r)
			return
		}
		reply(202, "", "Content-Location", "/_operations/import/8")(w, r)
	}, withCredential(c))
	url, err := s.StartImport(t.Context(), []byte(body))
	if err != nil || url != s.url+"/_operations/import/8" || JobID(url) != "8" {
		t.Errorf("%s, %v", url, err)
	}
	want := "POST/$importapplication/fhir+json[respond-async]" + body
	if len(got) != 2 || got[0] != want || got[1] != want {
		t.Errorf("requests %q, want twice %q", got, want)
	}
}

func TestPoll(t *testing.T) {
	t.Parallel()
	const manifest = ` {"transactionTime":"x","output":[]}`
	long := `{"output":[` + strings.Repeat(`{"url":"x"},`, 20_000) + `{}]}`
	mine := errors.New("mine")
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		read   error
		done   bool
		body   string
		kind   Kind
	}{
		{name: "running", answer: reply(202, "")},
		{name: "running, with numbers so far", answer: reply(202, manifest)},
		{name: "done", answer: reply(200, manifest), done: true, body: manifest},
		{name: "done, long", answer: reply(200, long), done: true, body: long},
		{name: "done, but not kept", answer: reply(200, manifest), body: manifest, read: mine},
		{name: "failed", answer: reply(500, outcomeJSON("processing", "Export operation failed for reason: x")), kind: JobFailed},
		{name: "unknown", answer: reply(404, outcomeJSON("not-found", "")), kind: NotFound},
		{name: "HTML", answer: reply(200, "<html>"), kind: Unreadable},
		{name: "nothing", answer: reply(200, ""), kind: Unreadable},
		{name: "outcome", answer: reply(200, outcomeJSON("exception", "oh")), kind: Unreadable},
		{name: "no content", answer: reply(204, ""), kind: Unreadable},
		{name: "cut off", answer: reply(200, manifest, "Content-Length", "5000"), kind: Transient},
		{name: "cut off, long", answer: reply(200, long, "Content-Length", "5000000"), body: long, kind: Transient},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := startOdd(t, test.answer)
			polls := map[string]func(context.Context, string, func(io.Reader) error) (bool, error){"export": s.PollExport,
				"import": func(ctx context.Context, url string, read func(io.Reader) error) (bool, error) {
					return s.PollImport(ctx, url, nil, read)
				}}
			for kind, poll := range polls {
				body := ""
				done, err := poll(t.Context(), s.url+"/_operations/"+kind+"/17", func(r io.Reader) error {
					b, _ := io.ReadAll(r) // a reader that takes a break for the end
					body = string(b)
					return test.read
				})
				if done != test.done || KindOf(err) != test.kind || test.read != nil && err != test.read || body != test.body {
					t.Errorf("%s: done %v, %v, body of %d bytes; want %v, kind %v, %d bytes", kind, done, err, len(body), test.done, test.kind, len(test.body))
				}
				if err != nil && test.read == nil && !strings.HasPrefix(err.Error(), "poll "+kind+" 17: ") {
					t.Errorf("error %q", err)
				}
			}
			for _, r := range s.asked() {
				if r.Method != "GET" || !strings.HasSuffix(r.URL.Path, "port/17") {
					t.Errorf("asked %s %s", r.Method, r.URL)
				}
			}
		})
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		kind   Kind
		status int
	}{
		{"cancelled", reply(202, ""), 0, 0},
		{"unknown", reply(404, outcomeJSON("not-found", "")), 0, 0},
		{"some page", reply(404, "<html>"), Unreadable, 404},
		{"ended", reply(409, outcomeJSON("processing", "cannot be cancelled")), Refused, 409},
		{"retired", reply(410, `{"resourceType":"OperationOutcome","issue":[{"code":"business-rule","details":{"coding":[{"code":"service-deprecated"}]}}]}`), Gone, 410},
		{"busy", reply(503, ""), Transient, 503},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := startOdd(t, test.answer)
			for kind, cancel := range map[string]func(context.Context, string) error{"export": s.CancelExport, "import": s.CancelImport} {
				err := cancel(t.Context(), s.url+"/_operations/"+kind+"/17")
				var e *Error
				if KindOf(err) != test.kind || errors.As(err, &e) && e.Status != test.status {
					t.Errorf("%s: %v, want kind %v with %d", kind, err, test.kind, test.status)
				}
			}
			for _, r := range s.asked() {
				if r.Method != "DELETE" || !strings.HasSuffix(r.URL.Path, "port/17") {
					t.Errorf("asked %s %s", r.Method, r.URL)
				}
			}
		})
	}
}

// TestTimesAndCancellation has a service that never answers, or never ends its answer.
func TestTimesAndCancellation(t *testing.T) {
	t.Parallel()
	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	endless := func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"resourceType":"Bundle","entry":[`)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
	for name, handler := range map[string]http.HandlerFunc{"silent": silent, "endless": endless} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startOdd(t, handler, func(o *Options) { o.Timeout = 30 * time.Millisecond })
			_, err := s.CountResources(t.Context(), period)
			if KindOf(err) != Transient || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "within 30ms") {
				t.Errorf("own time-out: %v, want kind transient and not the context's error", err)
			}
			s.timeout = time.Minute
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			if _, err := s.CountResources(ctx, period); err != context.DeadlineExceeded {
				t.Errorf("caller's deadline: %v, want it as it is", err)
			}
			if _, err := s.StartImport(ctx, nil); err != context.DeadlineExceeded {
				t.Errorf("caller's deadline before the call: %v, want it as it is", err)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		t.Parallel()
		s := startOdd(t, silent)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener.Close()
		s.base.Host = listener.Addr().String()
		_, err = s.CountResources(t.Context(), period)
		if KindOf(err) != Transient || !strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "_summary") {
			t.Errorf("%v, want kind transient with the reason and without the URL", err)
		}
	})
	t.Run("not HTTP", func(t *testing.T) {
		t.Parallel()
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { listener.Close() })
		go func() {
			for conn, err := listener.Accept(); err == nil; conn, err = listener.Accept() {
				_, _ = bufio.NewReader(conn).ReadString('\n')
				fmt.Fprint(conn, "SSH-2.0\r\n")
				conn.Close()
			}
		}()
		s, err := New(Options{Base: "http://" + listener.Addr().String()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Now(t.Context()); KindOf(err) != Transient {
			t.Errorf("%v, want kind transient", err)
		}
	})
}
