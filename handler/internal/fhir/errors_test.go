package fhir

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

const retiredJSON = `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"business-rule",` +
	`"details":{"coding":[{"system":"https://azurehealthcareapis.com/fhir/operation-outcome-code","code":"service-deprecated"}],"text":"retired"}}]}`

func TestClassify(t *testing.T) {
	t.Parallel()
	const (
		exportFailed = "export operation failed for reason: x"
		importFailed = "import operation failed for reason: y\nErrorFile: https://a/b"
	)
	for _, test := range []struct {
		name   string
		status int
		body   string
		search Kind // of the answer to a search
		poll   Kind // of the same as the status of a job
	}{
		{"job failed 429", 429, outcomeJSON("processing", exportFailed), Transient, JobFailed},
		{"job failed 404", 404, outcomeJSON("processing", exportFailed), Refused, JobFailed},
		{"job failed 403", 403, outcomeJSON("processing", exportFailed), Refused, JobFailed},
		{"job failed 401", 401, outcomeJSON("processing", exportFailed), Unauthorized, JobFailed},
		{"job failed 500", 500, outcomeJSON("processing", exportFailed), Transient, JobFailed},
		{"job failed 503", 503, outcomeJSON("processing", exportFailed), Transient, JobFailed},
		{"job failed 400, import", 400, outcomeJSON("processing", importFailed), Refused, JobFailed},
		{"import cancelled", 400, outcomeJSON("processing", "User requested cancellation."), Refused, JobFailed},
		{"service starting", 503, outcomeJSON("processing", "The service is initialising."), Transient, Transient},
		{"same words, other code", 500, outcomeJSON("exception", exportFailed), Transient, Transient},
		{"500", 500, outcomeJSON("exception", "unknown"), Transient, Transient},
		{"500 page", 500, "<html>", Transient, Transient},
		{"throttled", 429, outcomeJSON("throttled", ""), Transient, Transient},
		{"throttled as 400", 400, outcomeJSON("throttled", ""), Transient, Transient},
		{"429 of a gateway", 429, `{"statusCode":429,"message":"Rate limit"}`, Transient, Transient},
		{"time-out", 408, outcomeJSON("timeout", ""), Transient, Transient},
		{"502", 502, "", Transient, Transient},
		{"503", 503, "", Transient, Transient},
		{"504", 504, "<html>", Transient, Transient},
		{"501", 501, "", Refused, Refused},
		{"401", 401, "", Unauthorized, Unauthorized},
		{"forbidden", 403, outcomeJSON("forbidden", "no role"), Forbidden, Forbidden},
		{"network rules", 403, "<html>", Forbidden, Forbidden},
		{"search limit", 403, outcomeJSON("invalid", "count"), Refused, Refused},
		{"not found", 404, outcomeJSON("not-found", ""), NotFound, NotFound},
		{"other server", 404, "<html>", Unreadable, Unreadable},
		{"retired", 410, retiredJSON, Gone, Gone},
		{"deleted resource", 410, outcomeJSON("deleted", ""), Refused, Refused},
		{"bad request", 400, outcomeJSON("invalid", "unknown parameter"), Refused, Refused},
		{"initial import", 423, `{"severity":"error","code":"forbidden","diagnostics":"Service is locked for initial import mode."}`, Refused, Refused},
		{"conflict", 409, outcomeJSON("conflict", ""), Refused, Refused},
		{"redirect", 302, "", Refused, Refused},
		{"outcome without issues", 404, `{"resourceType":"OperationOutcome","issue":[]}`, Unreadable, Unreadable},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := startOdd(t, reply(test.status, test.body, "X-Request-Id", "abc-1"))
			_, searching := s.CountResources(t.Context(), period)
			_, polling := s.PollExport(t.Context(), s.url+"/_operations/export/1", nil)
			for _, got := range []struct {
				err  error
				want Kind
			}{{searching, test.search}, {polling, test.poll}} {
				var e *Error
				if !errors.As(got.err, &e) || e.Kind != got.want || e.Status != test.status || e.RequestID != "abc-1" {
					t.Errorf("%v, want kind %v with the status and request id", got.err, got.want)
				}
			}
		})
	}
}

func TestErrorSaysWhatTheServiceSaid(t *testing.T) {
	t.Parallel()
	longText := strings.Repeat("ü", 300)
	for _, test := range []struct {
		name         string
		status       int
		body         string
		headers      []string
		want, unlike string
	}{
		{"outcome", 403, outcomeJSON("forbidden", "no\nrole"), []string{"X-Request-Id", "r1"},
			"poll export 1: 403 Forbidden: forbidden: no role (request r1)", "\n"},
		{"text of details", 410, retiredJSON, nil, "poll export 1: 410 Gone: business-rule: retired", ""},
		{"locked", 423, `{"severity":"error","code":"locked","diagnostics":"initial import"}`, nil, "423 Locked: locked: initial import", ""},
		{"page", 404, "<html>\n<h1>Not\x00here</h1>", nil, `404 Not Found: the answer is no OperationOutcome: "<html> <h1>Not here</h1>"`, "\x00"},
		{"first 200 characters", 502, longText, nil, `"` + strings.Repeat("ü", 200) + `…"`, strings.Repeat("ü", 201)},
		{"redirect", 302, "", []string{"Location", "https://login.example/x?state=hidden"},
			"302 Found: redirected to https://login.example: set the base URL to where the service really is", "hidden"},
		{"first error, not the warning", 400, `{"resourceType":"OperationOutcome","issue":[{"severity":"warning","code":"a","diagnostics":"w"},{"severity":"error","code":"b","diagnostics":"e"}]}`,
			nil, "400 Bad Request: b: e", "w"},
		{"reasons without end", 500, outcomeJSON("processing", "export operation failed for reason: "+strings.Repeat("quota\n", 50_000)), nil,
			"500 Internal Server Error: processing: export operation failed for reason: quota quota", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := startOdd(t, reply(test.status, test.body, test.headers...))
			_, err := s.PollExport(t.Context(), s.url+"/_operations/export/1", nil)
			if err == nil {
				t.Fatal("no error")
			}
			text := err.Error()
			if !strings.Contains(text, test.want) || test.unlike != "" && strings.Contains(text, test.unlike) {
				t.Errorf("error %q,\nwant  %q in it and not %q", text, test.want, test.unlike)
			}
			if len(text) > 8_000 {
				t.Errorf("the error is %d bytes long", len(text))
			}
			if test.name == "reasons without end" {
				if KindOf(err) != JobFailed {
					t.Errorf("kind %v, want job failed although the outcome was cut", KindOf(err))
				}
			}
		})
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	other := startOdd(t, reply(200, countJSON))
	s := startOdd(t, reply(307, "", "Location", other.url+"/"), withCredential(&credential{}), func(o *Options) { o.Client = &http.Client{} })
	if _, err := s.CountResources(t.Context(), period); KindOf(err) != Refused {
		t.Errorf("%v, want kind refused", err)
	}
	if len(other.asked()) != 0 {
		t.Error("the redirect was followed")
	}
}

func TestT17RetryAfter(t *testing.T) {
	t.Parallel()
	const date = "Wed, 31 Jan 2024 10:00:00 GMT"
	for _, test := range []struct {
		name    string
		headers []string
		want    time.Duration
	}{
		{"none", nil, 0},
		{"seconds", []string{"Retry-After", "7"}, 7 * time.Second},
		{"milliseconds go first", []string{"Retry-After", "7", "x-ms-retry-after-ms", "6500"}, 6500 * time.Millisecond},
		{"garbage milliseconds", []string{"Retry-After", "7", "x-ms-retry-after-ms", "soon"}, 7 * time.Second},
		{"zero", []string{"Retry-After", "0"}, 0},
		{"five hours", []string{"Retry-After", "18000"}, 10 * time.Minute},
		{"more than a number holds", []string{"Retry-After", "99999999999999999999999"}, 10 * time.Minute},
		{"more than a duration holds", []string{"Retry-After", "9223372036854775807"}, 10 * time.Minute},
		{"negative", []string{"Retry-After", "-5"}, 0},
		{"very negative", []string{"x-ms-retry-after-ms", "-9223372036854775808"}, 0},
		{"date", []string{"Retry-After", "Wed, 31 Jan 2024 10:01:30 GMT"}, 90 * time.Second},
		{"date past", []string{"Retry-After", "Wed, 31 Jan 2024 09:00:00 GMT"}, 0},
		{"date far off", []string{"Retry-After", "Fri, 31 Jan 2025 10:00:00 GMT"}, 10 * time.Minute},
		{"garbage", []string{"Retry-After", "later"}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := startOdd(t, reply(429, "", append(test.headers, "Date", date)...))
			_, err := s.CountResources(t.Context(), period)
			var e *Error
			if !errors.As(err, &e) || e.RetryAfter != test.want {
				t.Errorf("%+v, want to retry after %v", e, test.want)
			}
		})
	}
	h := http.Header{"Retry-After": {"Wed, 31 Jan 2024 10:00:20 GMT"}}
	now := func() time.Time { return time.Date(2024, 1, 31, 10, 0, 0, 0, time.UTC) }
	if got := retryAfter(h, now); got != 20*time.Second {
		t.Errorf("without a Date: %v, want 20s by the clock", got)
	}
}

func TestKindOf(t *testing.T) {
	t.Parallel()
	if got := KindOf(errors.New("x")); got != 0 {
		t.Errorf("kind %v of an error from elsewhere", got)
	}
	if got := KindOf(nil); got != 0 {
		t.Errorf("kind %v of nil", got)
	}
	got := make(map[string]bool)
	for k := JobFailed; k <= Unreadable; k++ {
		got[k.String()] = true
	}
	want := map[string]bool{"job failed": true, "transient": true, "unauthorized": true, "forbidden": true, "not found": true, "gone": true, "refused": true, "unreadable": true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
}

func FuzzReadOutcome(f *testing.F) {
	for _, body := range []string{"", "{", "<html>", retiredJSON, outcomeJSON("processing", "failed\n\"x\""), outcomeJSON("throttled", "")[:80],
		`{"severity":"error","code":"locked","diagnostics":"x"}`, `{"resourceType":"OperationOutcome","issue":null}`,
		`{"resourceType":"OperationOutcome","issue":[{"code":"a","diagnostics":"\ud800 \`} {
		f.Add([]byte(body), 400)
	}
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		said, ok := readOutcome(body)
		if ok != (len(said.Issues) > 0) {
			t.Errorf("outcome %v with %d issues", ok, len(said.Issues))
		}
		for _, job := range []bool{true, false} {
			kind := classify(status, said, ok, job)
			if kind < JobFailed || kind > Unreadable || kind == JobFailed && !job {
				t.Errorf("kind %v", kind)
			}
			found := said.decisive(job)
			e := &Error{Op: "x", Kind: kind, Status: status, Code: found.Code, Diagnostics: found.text(), Excerpt: line(string(body), maxExcerpt)}
			if text := e.Error(); strings.ContainsAny(text, "\r\n") || !utf8.ValidString(text) {
				t.Errorf("error text %q", text)
			}
		}
	})
}
