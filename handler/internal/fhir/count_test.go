package fhir

import (
	"fmt"
	"net/http"
	"net/http/httptest"

	"strings"
	"testing"
	"time"
)

// manyResources is a service with a million resources and two million versions a day, which counts no more than 32 bits at once.
func manyResources(t *testing.T, calls *int) *Service {
	t.Helper()
	began, now := time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 3, 20, 0, 0, 0, 0, time.UTC)
	bound := func(text string, otherwise time.Time) time.Time {
		at, err := time.Parse(time.RFC3339Nano, strings.TrimLeft(text, "gelt"))
		if err != nil {
			return otherwise
		}
		return at
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*calls++
		q, perDay := r.URL.Query(), 1_000_000.0
		since, till := began, now
		for _, text := range q["_lastUpdated"] {
			if strings.HasPrefix(text, "ge") {
				since = bound(text, since)
			} else {
				till = bound(text, till)
			}
		}
		if strings.HasSuffix(r.URL.Path, "_history") {
			perDay, since, till = 2*perDay, bound(q.Get("_since"), since), bound(q.Get("_before"), till)
		}
		if since.Before(began) {
			since = began
		}
		total := int64(0)
		if till.After(since) {
			total = int64(till.Sub(since).Hours() / 24 * perDay)
		}
		w.Header().Set("Content-Type", "application/fhir+json")
		if total > 1<<31-1 {
			w.WriteHeader(http.StatusForbidden)
			w.Write([]byte(outcomeJSON("not-supported", "The search count is above the limit.")))
			return
		}
		fmt.Fprintf(w, `{"resourceType":"Bundle","type":"searchset","total":%d}`, total)
	}))
	t.Cleanup(server.Close)
	s, err := New(Options{Base: server.URL, Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// T19: there are 3,000,000,000 of what is counted, and more. The service refuses to count so many at once; they are counted in parts.
func TestT19MoreThanAServiceCounts(t *testing.T) {
	t.Parallel()
	calls := 0
	s := manyResources(t, &calls)
	day := func(n int) time.Time { return time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n) }
	for name, c := range map[string]struct {
		count func() (Count, error)
		want  int64
	}{
		"resources":           {func() (Count, error) { return s.CountResources(t.Context(), Period{day(0), day(3000)}) }, 3_000_000_000},
		"of one type":         {func() (Count, error) { return s.CountType(t.Context(), "Patient", Current, Period{day(0), day(3000)}) }, 3_000_000_000},
		"versions":            {func() (Count, error) { return s.CountType(t.Context(), "", Versions, Period{day(0), day(3000)}) }, 6_000_000_000},
		"without a beginning": {func() (Count, error) { return s.CountType(t.Context(), "", Versions, Period{Till: day(3000)}) }, 6_000_000_000},
		"without an end":      {func() (Count, error) { return s.CountResources(t.Context(), Period{Since: day(0)}) }, 3_000_000_000},
		"few enough":          {func() (Count, error) { return s.CountResources(t.Context(), Period{day(0), day(2000)}) }, 2_000_000_000},
	} {
		calls = 0
		got, err := c.count()
		if off := got.N - c.want; err != nil || off < -100 || off > 100 { // the service rounds each part
			t.Errorf("%s: %d (%v), want %d", name, got.N, err, c.want)
		}
		if calls > 12 {
			t.Errorf("%s: %d calls", name, calls)
		}
	}
}

// A count that is refused for another reason stays refused, after a few calls.
func TestACountRefusedForAnotherReason(t *testing.T) {
	t.Parallel()
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		w.WriteHeader(http.StatusForbidden)
		w.Write([]byte(outcomeJSON("invalid", "no")))
	}))
	t.Cleanup(server.Close)
	s, err := New(Options{Base: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.CountResources(t.Context(), Period{Since: time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC), Till: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)})
	if KindOf(err) != Refused || calls > maxHalvings+1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}
