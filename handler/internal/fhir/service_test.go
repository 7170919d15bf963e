package fhir

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	since  = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	till   = since.AddDate(0, 1, 0)
	period = Period{Since: since, Till: till}
)

// odd is a service that answers as a test says, and what it was asked.
type odd struct {
	*Service
	url string

	mu       sync.Mutex
	requests []*http.Request
}

// startOdd starts a service that answers with handler; options may be changed before it is used.
func startOdd(t *testing.T, handler http.HandlerFunc, change ...func(*Options)) *odd {
	t.Helper()
	o := &odd{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		o.requests = append(o.requests, r.Clone(context.WithoutCancel(r.Context())))
		o.mu.Unlock()
		handler(w, r)
	}))
	t.Cleanup(server.Close)
	o.url = server.URL
	options := Options{Base: server.URL}
	for _, c := range change {
		c(&options)
	}
	var err error
	if o.Service, err = New(options); err != nil {
		t.Fatal(err)
	}
	return o
}

func (o *odd) asked() []*http.Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.requests
}

// reply answers everything with one status and body.
func reply(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// outcomeJSON is an OperationOutcome of one issue.
func outcomeJSON(code, diagnostics string) string {
	return fmt.Sprintf(`{"resourceType":"OperationOutcome","id":"x","issue":[{"severity":"error","code":%q,"diagnostics":%q}]}`, code, diagnostics)
}

// bundleJSON is a bundle with entries and, if next is not empty, a next link.
func bundleJSON(next string, entries ...string) string {
	link := ""
	if next != "" {
		link = fmt.Sprintf(`{"relation":"next","url":%q},`, next)
	}
	return fmt.Sprintf(`{"resourceType":"Bundle","type":"searchset","link":[%s{"relation":"self","url":"https://x/?a"}],"entry":[%s]}`,
		link, strings.Join(entries, ","))
}

// matchJSON is an entry of a search.
func matchJSON(typ, id string, at time.Time) string {
	return fmt.Sprintf(`{"fullUrl":"https://x/%[1]s/%[2]s","resource":{"resourceType":%[1]q,"id":%[2]q,"meta":{"versionId":"1","lastUpdated":%[3]q}},`+
		`"search":{"mode":"match"}}`, typ, id, at.Format(time.RFC3339Nano))
}

// warningJSON is the entry with which a lenient service says what it ignored.
const warningJSON = `{"resource":{"resourceType":"OperationOutcome","id":"w","issue":[{"severity":"warning","code":"not-supported"}]},"search":{"mode":"outcome"}}`

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		options Options
		want    string
	}{
		{"nothing", Options{}, "not an http(s) URL"},
		{"no host", Options{Base: "https:///fhir"}, "not an http(s) URL"},
		{"scheme", Options{Base: "ftp://source.example"}, "not an http(s) URL"},
		{"user", Options{Base: "https://u:hidden@source.example"}, "may not have a user"},
		{"query", Options{Base: "https://source.example?sig=hidden"}, "may not have a user, a query"},
		{"token in the clear", Options{Base: "http://source.example", Credential: &credential{}}, "in the clear"},
	} {
		_, err := New(test.options)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v, want %q and nothing hidden", test.name, err, test.want)
		}
	}
	for _, base := range []string{"http://127.0.0.1:1/", "http://localhost:1", "http://[::1]:1", "https://source.example/fhir/"} {
		s, err := New(Options{Base: base, Credential: &credential{}})
		if err != nil || s.Base() != strings.TrimSuffix(base, "/") {
			t.Errorf("New(%s): %v", base, err)
		}
	}
}

func TestNow(t *testing.T) {
	t.Parallel()
	const date = "Wed, 31 Jan 2024 10:00:00 GMT"
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		kind   Kind // 0: the time is had
	}{
		{"unknown job", reply(404, outcomeJSON("not-found", "no such job"), "Date", date), 0},
		{"forbidden", reply(403, outcomeJSON("forbidden", ""), "Date", date), 0},
		{"retired", reply(410, outcomeJSON("business-rule", ""), "Date", date), 0},
		{"other server's page", reply(404, "<html>", "Date", date), 0},
		{"no date", reply(404, outcomeJSON("not-found", ""), "Date", ""), Unreadable},
		{"garbage", reply(404, outcomeJSON("not-found", ""), "Date", "now"), Unreadable},
		{"unavailable", reply(503, "", "Date", date), Transient},
		{"redirected", reply(302, "", "Date", date, "Location", "https://login.example/?x"), Refused},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := startOdd(t, test.answer)
			now, err := s.Now(t.Context())
			if KindOf(err) != test.kind || (err == nil) != (test.kind == 0) {
				t.Fatalf("error %v, want kind %v", err, test.kind)
			}
			if want := time.Date(2024, 1, 31, 10, 0, 0, 0, time.UTC); err == nil && !now.Equal(want) {
				t.Errorf("now %v, want %v", now, want)
			}
			if got := s.asked()[0]; got.Method+" "+got.URL.Path != "GET /_operations/export/0" {
				t.Errorf("asked %s %s", got.Method, got.URL.Path)
			}
		})
	}
}
