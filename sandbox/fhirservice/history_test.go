package fhirservice

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHistoryAtThreeLevels(t *testing.T) {
	t.Parallel()
	for _, kind := range []Kind{SQL, Cosmos} {
		b := setup(t, Options{Kind: kind})
		seedSearch(b)
		tests := []struct {
			name, query string
			want        []string
			count       int
		}{
			{"system, newest first", "/_history?_count=100", []string{"Observation/o2/1", "Patient/c/1", "Patient/a/2", "Patient/b/2", "Observation/o1/1", "Patient/b/1", "Patient/a/1"}, 7},
			{"type", "/Patient/_history?_sort=_lastUpdated", []string{"Patient/a/1", "Patient/b/1", "Patient/b/2", "Patient/a/2", "Patient/c/1"}, 5},
			{"resource", "/Patient/b/_history", []string{"Patient/b/2", "Patient/b/1"}, 2},
			{"since is inclusive, before exclusive", "/_history?_since=2024-05-01T11:15:00.000Z&_before=2024-05-01T11:40:00.000Z",
				[]string{"Patient/a/2", "Patient/b/2", "Observation/o1/1"}, 3},
			{"other parameters are ignored", "/_history?_type=Observation&_since=2024-05-01T11:45:00.000Z", []string{"Observation/o2/1"}, 1},
			{"at", "/_history?_at=2024-05-01T11:30", []string{"Patient/a/2"}, 1},
		}
		for _, test := range tests {
			t.Run(string(kind)+"/"+test.name, func(t *testing.T) {
				if diff := cmp.Diff(test.want, b.readAll(test.query)); diff != "" {
					t.Errorf("section 7: -want +got:\n%s", diff)
				}
				separator := "?"
				if test.query[len(test.query)-1] != 'y' {
					separator = "&"
				}
				for _, how := range []string{"_summary=count", "_count=0"} {
					got := parse[searchBundle](b.want(b.get(test.query+separator+how), 200, ""))
					if got.Total == nil || *got.Total != test.count || len(got.ids()) != 0 {
						t.Errorf("section 7: %s: total %v with %d entries, want %d", how, got.Total, len(got.ids()), test.count)
					}
				}
			})
		}
	}
}

func TestHistoryRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	seedSearch(b)
	for query, want := range map[string]struct {
		status int
		code   string
	}{
		"/_history?_before=2024-05-01T12:00:00.001Z": {403, codeInvalid},
		"/_history?_before=2024-05-01T12:00:00.000Z": {200, ""},
		"/_history?_at=2024&_since=2023":             {403, codeInvalid},
		"/_history?_at=2024&_before=2024":            {403, codeInvalid},
		"/_history?_since=yesterday":                 {400, codeInvalid},
		"/Patient/none/_history":                     {404, codeNotFound},
		"/Nonsense/_history":                         {404, codeNotSupported},
	} {
		if got := b.get(query); got.status != want.status || got.code() != want.code {
			t.Errorf("section 7: %s gives %d %s, want %v", query, got.status, got.code(), want)
		}
	}
}

func TestHistoryEntriesSayHowTheyCameToBe(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	seedSearch(b)
	got := parse[searchBundle](b.want(b.get("/Patient/b/_history"), 200, ""))
	deleted, created := got.Entry[0], got.Entry[1]
	if deleted.Request.Method != "DELETE" || deleted.Response.Etag != `W/"2"` || created.Request.Method != "PUT" || created.Request.URL != "Patient/b" {
		t.Errorf("section 7: got %+v", got.Entry)
	}
	if want := b.URL() + "/Patient/b/_history/2"; deleted.FullURL != want {
		t.Errorf("full URL %s, want %s", deleted.FullURL, want)
	}
	if got.Type != "history" {
		t.Errorf("bundle type %s", got.Type)
	}
}
