package fhir

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// at is a time in the period of the tests.
func at(day int) time.Time { return since.AddDate(0, 0, day) }

func TestCount(t *testing.T) {
	t.Parallel()
	total := func(n string) string { return `{"resourceType":"Bundle","type":"searchset","total":` + n + `}` }
	for _, test := range []struct {
		name   string
		answer http.HandlerFunc
		want   Count
		kind   Kind
		says   string
	}{
		{name: "SQL", answer: reply(200, total("17")), want: Count{N: 17}},
		{name: "Cosmos", answer: reply(200, total("0"), "x-ms-request-charge", "2.5"), want: Count{Cosmos: true}},
		{name: "T19 more than 32 bits", answer: reply(200, total("3000000000")), want: Count{N: 3_000_000_000}},
		{name: "no total", answer: reply(200, `{"resourceType":"Bundle","type":"searchset"}`), kind: Unreadable, says: "the bundle has no total"},
		{name: "null", answer: reply(200, total("null")), kind: Unreadable, says: "the bundle has no total"},
		{name: "negative", answer: reply(200, total("-1")), kind: Unreadable, says: "negative"},
		{name: "fraction", answer: reply(200, total("1.5")), kind: Unreadable, says: "1.5"},
		{name: "HTML", answer: reply(200, "<html>\n<p>Sign in</p>"), kind: Unreadable, says: `200 OK: not a bundle: invalid character '<' looking for beginning of value: "<html> <p>Sign in</p>"`},
		{name: "nothing", answer: reply(200, ""), kind: Unreadable, says: "the answer ends before the bundle does"},
		{name: "cut off", answer: reply(200, `{"resourceType":"Bundle","total":12`), kind: Unreadable, says: "the answer ends"},
		{name: "list", answer: reply(200, `[1]`), kind: Unreadable, says: "not a JSON object"},
		{name: "resource", answer: reply(200, `{"resourceType":"Patient","total":3}`), kind: Unreadable, says: `resourceType is "Patient"`},
		{name: "outcome", answer: reply(200, outcomeJSON("exception", "all is not well")), kind: Unreadable, says: "exception: all is not well"},
		{name: "no content", answer: reply(204, ""), kind: Unreadable, says: "204 No Content: not the answer that was asked for"},
		{name: "partial content", answer: reply(206, total("17")), kind: Unreadable, says: "206"},
		{name: "throttled", answer: reply(429, outcomeJSON("throttled", "slow down")), kind: Transient, says: "429 Too Many Requests: throttled: slow down"},
		{name: "too many", answer: reply(403, outcomeJSON("not-supported", "count above limit")), kind: Refused, says: "count above limit"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := startOdd(t, test.answer)
			for name, count := range map[string]func() (Count, error){
				"resources":             func() (Count, error) { return s.CountResources(t.Context(), period) },
				"versions of all types": func() (Count, error) { return s.CountType(t.Context(), "", Versions, period) },
			} {
				got, err := count()
				if got != test.want || KindOf(err) != test.kind {
					t.Errorf("%s: %+v, %v; want %+v, kind %v", name, got, err, test.want, test.kind)
				}
				if err != nil && (!strings.Contains(err.Error(), test.says) || !strings.HasPrefix(err.Error(), "count "+name+" [2024-01-01T00:00:00.000Z, 2024-02-01T00:00:00.000Z): ")) {
					t.Errorf("%s: error %q, want the period and %q", name, err, test.says)
				}
			}
		})
	}
}

func TestQueriesAsTheServiceExpectsThem(t *testing.T) {
	t.Parallel()
	s := startOdd(t, reply(200, `{"resourceType":"Bundle","total":0}`), func(o *Options) { o.Base += "/fhir/"; o.UserAgent = "migration-test" })
	ask := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	_, err := s.CountResources(t.Context(), period)
	ask(err)
	_, err = s.CountResources(t.Context(), Period{})
	ask(err)
	_, err = s.CountType(t.Context(), "", Versions, Period{Since: since.In(time.FixedZone("", 7200))})
	ask(err)
	_, _, err = s.First(t.Context(), "", Current, Period{Till: till})
	ask(err)
	_, _, err = s.First(t.Context(), "", Versions, period)
	ask(err)
	ask(s.Deletions(t.Context(), "", period, nil))
	_, err = s.CountType(t.Context(), "Patient", Versions, period)
	ask(err)
	_, _, err = s.First(t.Context(), "Patient", Current, period)
	ask(err)
	ask(s.Deletions(t.Context(), "Patient", period, nil))
	want := []string{
		"/fhir/?_summary=count&_lastUpdated=ge2024-01-01T00%3A00%3A00.000Z&_lastUpdated=lt2024-02-01T00%3A00%3A00.000Z handling=strict",
		"/fhir/?_summary=count handling=strict",
		"/fhir/_history?_summary=count&_since=2024-01-01T00%3A00%3A00.000Z ",
		"/fhir/?_sort=_lastUpdated&_count=1&_lastUpdated=lt2024-02-01T00%3A00%3A00.000Z handling=strict",
		"/fhir/_history?_sort=_lastUpdated&_count=1&_since=2024-01-01T00%3A00%3A00.000Z&_before=2024-02-01T00%3A00%3A00.000Z ",
		"/fhir/_history?_sort=_lastUpdated&_count=500&_since=2024-01-01T00%3A00%3A00.000Z&_before=2024-02-01T00%3A00%3A00.000Z ",
		"/fhir/Patient/_history?_summary=count&_since=2024-01-01T00%3A00%3A00.000Z&_before=2024-02-01T00%3A00%3A00.000Z ",
		"/fhir/Patient?_sort=_lastUpdated&_count=1&_lastUpdated=ge2024-01-01T00%3A00%3A00.000Z&_lastUpdated=lt2024-02-01T00%3A00%3A00.000Z handling=strict",
		"/fhir/Patient/_history?_sort=_lastUpdated&_count=500&_since=2024-01-01T00%3A00%3A00.000Z&_before=2024-02-01T00%3A00%3A00.000Z ",
	}
	for i, r := range s.asked() {
		if got := r.URL.RequestURI() + " " + r.Header.Get("Prefer"); got != want[i] {
			t.Errorf("call %d: %s\nwant    %s", i, got, want[i])
		}
		if r.Header.Get("Accept") != "application/fhir+json" || r.UserAgent() != "migration-test" || r.Header.Get("Authorization") != "" {
			t.Errorf("call %d: headers %v", i, r.Header)
		}
	}
}

func TestFirst(t *testing.T) {
	t.Parallel()
	deleted := fmt.Sprintf(`{"fullUrl":"https://x/Patient/d/_history/2","request":{"method":"DELETE","url":"Patient/d"},`+
		`"response":{"status":"204","etag":"W/\"2\"","lastModified":%q}}`, at(2).Format(time.RFC3339))
	for _, test := range []struct {
		name   string
		answer string
		want   time.Time // zero: none
		kind   Kind
		says   string
	}{
		{name: "one", answer: bundleJSON("", matchJSON("Patient", "a", at(3))), want: at(3)},
		{name: "behind a warning", answer: bundleJSON("", warningJSON, matchJSON("Patient", "a", at(3))), want: at(3)},
		{name: "a warning alone", answer: bundleJSON("", warningJSON)},
		{name: "an outcome without a mode", answer: bundleJSON("", `{"resource":{"resourceType":"OperationOutcome","id":"w"}}`)},
		{name: "what came along", answer: bundleJSON("", `{"resource":{"resourceType":"Patient","id":"w"},"search":{"mode":"include"}}`)},
		{name: "nothing", answer: bundleJSON("")},
		{name: "no entry at all", answer: `{"resourceType":"Bundle","entry":null}`},
		{name: "a deletion without its resource", answer: bundleJSON("", deleted), want: at(2)},
		{name: "type said last", answer: `{"entry":[` + matchJSON("Patient", "a", at(3)) + `],"resourceType":"Bundle"}`, want: at(3)},
		{name: "before the period", answer: bundleJSON("", matchJSON("Patient", "a", at(-1))), kind: Unreadable, says: "Patient/a was last updated at 2023-12-31T00:00:00Z, outside of the period"},
		{name: "at its end", answer: bundleJSON("", matchJSON("Patient", "a", till)), kind: Unreadable, says: "outside of the period"},
		{name: "finer than a millisecond", answer: bundleJSON("", matchJSON("Patient", "a", since.Add(300*time.Microsecond))), want: since.Add(300 * time.Microsecond)},
		{name: "no time", answer: bundleJSON("", `{"resource":{"resourceType":"Patient","id":"a"},"search":{"mode":"match"}}`), kind: Unreadable, says: `Patient/a has lastUpdated ""`},
		{name: "no identity", answer: bundleJSON("", `{"search":{"mode":"match"}}`), kind: Unreadable, says: "does not say which resource"},
		{name: "outcome", answer: outcomeJSON("exception", "all is not well"), kind: Unreadable, says: "all is not well"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := startOdd(t, reply(200, test.answer))
			got, found, err := s.First(t.Context(), "", Current, period)
			if !got.Equal(test.want) || found == test.want.IsZero() || KindOf(err) != test.kind {
				t.Errorf("%v, %v, %v; want %v, kind %v", got, found, err, test.want, test.kind)
			}
			if err != nil && !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %q, want %q in it", err, test.says)
			}
			if err != nil && strings.Contains(err.Error(), "fullUrl") {
				t.Errorf("the error quotes a record: %v", err)
			}
		})
	}
}

// paged answers page n of a search with entries[n], and links to page n+1 as link says.
func paged(entries [][]string, link func(r *http.Request, next int) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n := 0
		if token := r.URL.Query().Get("ct"); token != "" {
			if _, err := fmt.Sscanf(token, "page%d", &n); err != nil || n >= len(entries) {
				reply(400, outcomeJSON("invalid", "the token is not one of ours"))(w, r)
				return
			}
		}
		next := ""
		if n+1 < len(entries) {
			next = link(r, n+1)
		}
		reply(200, bundleJSON(next, entries[n]...), "Content-Type", "application/fhir+json")(w, r)
	}
}

func sameHost(r *http.Request, next int) string {
	return fmt.Sprintf("http://%s%s?_count=1&ct=page%d", r.Host, r.URL.Path, next)
}

func TestT30EmptyPagesWithANextLink(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		entries [][]string
		want    time.Time
	}{
		{"data behind three empty pages", [][]string{{}, {}, {warningJSON}, {matchJSON("Patient", "a", at(9))}}, at(9)},
		{"nothing behind any of them", [][]string{{}, {}, {}, {}}, time.Time{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := startOdd(t, paged(test.entries, sameHost))
			for name, first := range map[string]func() (time.Time, bool, error){
				"resource": func() (time.Time, bool, error) { return s.First(t.Context(), "", Current, period) },
				"version":  func() (time.Time, bool, error) { return s.First(t.Context(), "", Versions, period) },
			} {
				got, found, err := first()
				if err != nil || found == test.want.IsZero() || !got.Equal(test.want) {
					t.Errorf("first %s: %v, %v, %v; want %v", name, got, found, err, test.want)
				}
			}
			if got, want := len(s.asked()), 2*len(test.entries); got != want {
				t.Errorf("%d pages asked for, want %d", got, want)
			}
		})
	}
	t.Run("a page behind an empty one cannot be had", func(t *testing.T) {
		t.Parallel()
		pages := paged([][]string{{}, {matchJSON("Patient", "a", at(9))}}, sameHost)
		s := startOdd(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("ct") != "" {
				reply(429, outcomeJSON("throttled", ""), "x-ms-retry-after-ms", "1500")(w, r)
				return
			}
			pages(w, r)
		})
		if _, found, err := s.First(t.Context(), "", Current, period); found || KindOf(err) != Transient {
			t.Errorf("found %v, %v; want an error of kind transient, not an empty stretch", found, err)
		}
	})
	t.Run("pages in a circle", func(t *testing.T) {
		t.Parallel()
		s := startOdd(t, paged([][]string{{}, {}, {}}, func(r *http.Request, next int) string { return sameHost(r, min(next, 1)) }))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // or it would go round for ever
		defer cancel()
		if _, _, err := s.First(ctx, "", Versions, period); KindOf(err) != Unreadable || !strings.Contains(err.Error(), "leads back") {
			t.Errorf("%v, want an error about the circle", err)
		}
	})
}
