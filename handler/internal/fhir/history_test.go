package fhir

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// versionJSON is an entry of a history.
func versionJSON(typ, id, version, method string, at time.Time) string {
	return fmt.Sprintf(`{"fullUrl":"https://x/%[1]s/%[2]s/_history/%[3]s","resource":{"resourceType":%[1]q,"id":%[2]q,"meta":{"versionId":%[3]q,"lastUpdated":%[5]q}},`+
		`"request":{"method":%[4]q,"url":"%[1]s/%[2]s"},"response":{"status":"200","etag":"W/\"%[3]s\"","lastModified":%[5]q}}`,
		typ, id, version, method, at.Format(time.RFC3339Nano))
}

func TestDeletions(t *testing.T) {
	t.Parallel()
	bare := fmt.Sprintf(`{"fullUrl":"https://x/Device/c/_history/9","request":{"method":"DELETE","url":"Device/c"},"response":{"etag":"W/\"9\"","lastModified":%q}}`,
		at(4).Format(time.RFC3339))
	pages := paged([][]string{
		{versionJSON("Patient", "a", "1", "PUT", at(1)), versionJSON("Patient", "a", "2", "DELETE", at(2))},
		{},
		{versionJSON("Observation", "b", "3", "DELETE", at(3)), bare, versionJSON("Patient", "a", "3", "PUT", at(5))},
	}, sameHost)
	want := []Ref{
		{Type: "Patient", ID: "a", VersionID: "2", LastUpdated: at(2), Deleted: true},
		{Type: "Observation", ID: "b", VersionID: "3", LastUpdated: at(3), Deleted: true},
		{Type: "Device", ID: "c", VersionID: "9", LastUpdated: at(4), Deleted: true},
	}
	t.Run("all", func(t *testing.T) {
		t.Parallel()
		var got []Ref
		err := startOdd(t, pages).Deletions(t.Context(), "", period, func(r Ref) (bool, error) { got = append(got, r); return true, nil })
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v, deletions (-want +got):\n%s", err, diff)
		}
	})
	t.Run("until enough", func(t *testing.T) {
		t.Parallel()
		s, got := startOdd(t, pages), 0
		err := s.Deletions(t.Context(), "", period, func(Ref) (bool, error) { got++; return false, nil })
		if err != nil || got != 1 || len(s.asked()) != 1 {
			t.Errorf("%v, %d deletions from %d pages; want 1 from 1", err, got, len(s.asked()))
		}
	})
	t.Run("until an error", func(t *testing.T) {
		t.Parallel()
		mine := errors.New("mine")
		if err := startOdd(t, pages).Deletions(t.Context(), "", period, func(Ref) (bool, error) { return true, mine }); err != mine {
			t.Errorf("%v, want the error of yield as it is", err)
		}
	})
	t.Run("a reply that breaks off", func(t *testing.T) {
		t.Parallel()
		s := startOdd(t, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"resourceType":"Bundle","entry":[%s,`, versionJSON("Patient", "a", "2", "DELETE", at(2)))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler) // ends the chunked body without its last chunk
		})
		got := 0
		err := s.Deletions(t.Context(), "", period, func(Ref) (bool, error) { got++; return true, nil })
		if KindOf(err) != Transient || got != 1 {
			t.Errorf("%v after %d deletions, want kind transient after 1", err, got)
		}
		if err != nil && strings.Contains(err.Error(), "Patient") {
			t.Errorf("the error quotes a record: %v", err)
		}
	})
}

func TestCurrentVersion(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		answer  http.HandlerFunc
		typ, id string
		want    Ref
		kind    Kind
	}{
		{"alive", reply(200, bundleJSON("", versionJSON("Patient", "a.1", "7", "PUT", at(3)))), "Patient", "a.1",
			Ref{Type: "Patient", ID: "a.1", VersionID: "7", LastUpdated: at(3)}, 0},
		{"deleted, behind an empty page", paged([][]string{{}, {versionJSON("Patient", "a.1", "8", "DELETE", at(3))}}, sameHost), "Patient", "a.1",
			Ref{Type: "Patient", ID: "a.1", VersionID: "8", LastUpdated: at(3), Deleted: true}, 0},
		{"unknown", reply(404, outcomeJSON("not-found", "no such resource")), "Patient", "a.1", Ref{}, NotFound},
		{"empty history", reply(200, bundleJSON("")), "Patient", "a.1", Ref{}, NotFound},
		{"about another", reply(200, bundleJSON("", versionJSON("Patient", "b", "7", "PUT", at(3)))), "Patient", "a.1", Ref{}, Unreadable},
		{"no type", reply(200, bundleJSON("")), "../x", "a.1", Ref{}, Refused},
		{"no id", reply(200, bundleJSON("")), "Patient", "..", Ref{}, Refused},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := startOdd(t, test.answer)
			got, err := s.CurrentVersion(t.Context(), test.typ, test.id)
			if diff := cmp.Diff(test.want, got); diff != "" || KindOf(err) != test.kind {
				t.Errorf("%v, want kind %v; version (-want +got):\n%s", err, test.kind, diff)
			}
			for _, r := range s.asked() {
				if r.URL.Path != "/Patient/a.1/_history" || r.URL.Query().Get("_count") != "1" {
					t.Errorf("asked %s", r.URL.RequestURI())
				}
			}
			if asked := len(s.asked()); (asked == 0) != (test.kind == Refused) {
				t.Errorf("%d calls", asked)
			}
		})
	}
}
