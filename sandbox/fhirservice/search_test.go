package fhirservice

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// seedSearch loads three patients, one of them with history and one deleted, and two observations.
func seedSearch(b *bench) {
	b.load(
		version("Patient", "a", 1, -60, ""), version("Patient", "a", 2, -30, ""),
		version("Patient", "b", 1, -50, ""), tombstoneVersion("Patient", "b", 2, -40),
		version("Patient", "c", 1, -20, ""),
		version("Observation", "o1", 1, -45, ""), version("Observation", "o2", 1, -10, ""),
	)
}

func TestSearchFindsCurrentVersions(t *testing.T) {
	t.Parallel()
	for _, kind := range []Kind{SQL, Cosmos} {
		b := setup(t, Options{Kind: kind})
		seedSearch(b)
		tests := []struct {
			name, section, query string
			want                 []string // without order
		}{
			{"system, all types", "7", "/", []string{"Patient/a/2", "Patient/c/1", "Observation/o1/1", "Observation/o2/1"}},
			{"one type by path", "7", "/Patient", []string{"Patient/a/2", "Patient/c/1"}},
			{"types by parameter", "7", "/?_type=Patient,Observation&_count=50", []string{"Patient/a/2", "Patient/c/1", "Observation/o1/1", "Observation/o2/1"}},
			{"all types unknown", "7", "/?_type=Nonsense", nil},
			{"path and parameter disagree", "7", "/Patient?_type=Observation", nil},
			{"ge is inclusive", "7", "/?_lastUpdated=ge2024-05-01T11:40:00.000Z", []string{"Patient/c/1", "Observation/o2/1"}},
			{"gt is exclusive", "7", "/?_lastUpdated=gt2024-05-01T11:40:00.000Z", []string{"Observation/o2/1"}},
			{"ge and lt tile", "7", "/?_lastUpdated=ge2024-05-01T11:15:00.000Z&_lastUpdated=lt2024-05-01T11:40:00.000Z", []string{"Patient/a/2", "Observation/o1/1"}},
			{"le with a minute reaches to its end", "7", "/?_lastUpdated=le2024-05-01T11:15", []string{"Observation/o1/1"}},
			{"le is inclusive", "7", "/?_lastUpdated=le2024-05-01T11:15:00.000Z", []string{"Observation/o1/1"}},
			{"le with a fraction is an instant", "7", "/?_lastUpdated=le2024-05-01T11:14:59.999Z", nil},
			{"eq of a day", "7", "/Patient?_lastUpdated=2024-05-01", []string{"Patient/a/2", "Patient/c/1"}},
			{"either of two times", "7", "/?_lastUpdated=eq2024-05-01T11:30,eq2024-05-01T11:50", []string{"Patient/a/2", "Observation/o2/1"}},
			{"offset from UTC", "7", "/?_lastUpdated=ge2024-05-01T13:50:00.000%2B02:00", []string{"Observation/o2/1"}},
			{"ids", "7", "/?_id=a,o1,none", []string{"Patient/a/2", "Observation/o1/1"}},
			{"ids and type", "7", "/Observation?_id=a,o1&_lastUpdated=ge2024", []string{"Observation/o1/1"}},
		}
		for _, test := range tests {
			t.Run(string(kind)+"/"+test.name, func(t *testing.T) {
				got := b.readAll(test.query)
				slices.Sort(got)
				slices.Sort(test.want)
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("section %s: -want +got:\n%s", test.section, diff)
				}
				counted := test.query + map[bool]string{true: "&", false: "?"}[strings.Contains(test.query, "?")] + "_summary=count"
				if total := parse[searchBundle](b.want(b.get(counted), 200, "")).Total; total == nil || *total != len(test.want) {
					t.Errorf("section %s: %s gives %v, want %d", test.section, counted, total, len(test.want))
				}
			})
		}
	}
}

// readAll follows all next links and returns the matches of all pages.
func (b *bench) readAll(path string) []string {
	b.t.Helper()
	var all []string
	for pages := 0; path != ""; pages++ {
		if pages > 10_000 {
			b.t.Fatal("the next links do not end")
		}
		page := parse[searchBundle](b.want(b.get(path), 200, ""))
		all, path = append(all, page.ids()...), page.next()
	}
	return all
}

func TestSearchParametersAreJudged(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	seedSearch(b)
	strict := "Prefer: handling=strict"
	tests := []struct {
		name, section, query, prefer string
		status                       int
		code                         string // of the refusal, or of the outcome entry
	}{
		{"unknown parameter, lenient", "7", "/?nonsense=1", "", 200, codeNotSupported},
		{"unknown parameter, strict", "7", "/?nonsense=1", strict, 400, codeInvalid},
		{"strict among other preferences", "7", "/?nonsense=1", "Prefer: respond-sync; handling=strict", 400, codeInvalid},
		{"names are exact", "7", "/?_lastupdated=ge2024", strict, 400, codeInvalid},
		{"count lenient: everything is counted, with a warning", "7", "/?_summary=count&_lastUpdate=ge2030", "", 200, codeNotSupported},
		{"unknown type", "7", "/?_type=Nonsense,Patient", strict, 200, codeNotSupported},
		{"count above the limit", "7", "/?_count=1001", "", 200, "informational"},
		{"count is no number", "7", "/?_count=many", "", 400, codeInvalid},
		{"count is negative", "7", "/?_count=-1", "", 400, codeInvalid},
		{"malformed time", "7", "/?_lastUpdated=ge01.05.2024", "", 400, codeInvalid},
		{"plus sign not encoded", "7", "/?_lastUpdated=ge2024-05-01T10:00:00+02:00", "", 400, codeInvalid},
		{"bad token", "7", "/?ct=nonsense", "", 400, codeInvalid},
		{"sort by time", "7", "/?_sort=-_lastUpdated", strict, 200, ""},
		{"sort by type and time", "7", "/?_sort=_type,_lastUpdated", strict, 200, ""},
		{"sort by type and time, mixed", "7", "/?_sort=_type,-_lastUpdated", strict, 400, codeInvalid},
		{"sort by something else, lenient", "7", "/?_sort=birthdate", "", 200, codeNotSupported},
		{"estimated total", "7", "/?_total=estimate", "", 403, codeNotSupported},
		{"nonsense total", "7", "/?_total=maybe", "", 400, codeInvalid},
		{"unknown type in the path", "0.2", "/Nonsense", "", 404, codeNotSupported},
		{"unknown path", "0.2", "/$nonsense", "", 404, codeNotFound},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got answer
			if test.prefer == "" {
				got = b.get(test.query)
			} else {
				got = b.get(test.query, test.prefer)
			}
			if got.status != test.status {
				t.Fatalf("section %s: got %d, want %d: %s", test.section, got.status, test.status, got.body)
			}
			code := got.code()
			if entries := parse[searchBundle](got).Entry; got.status == 200 && len(entries) > 0 && entries[0].Search.Mode == "outcome" {
				code = parse[operationOutcome](answer{body: string(entries[0].Resource)}).first().Code
			}
			if code != test.code {
				t.Errorf("section %s: got code %q, want %q: %s", test.section, code, test.code, got.body)
			}
		})
	}
}

func TestSearchTotals(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	seedSearch(b)
	for query, want := range map[string]string{"/": "none", "/?_total=none": "none", "/?_total=accurate": "4", "/?_count=0": "4", "/?_summary=count": "4"} {
		got := parse[searchBundle](b.want(b.get(query), 200, ""))
		have := "none"
		if got.Total != nil {
			have = fmt.Sprint(*got.Total)
		}
		if have != want {
			t.Errorf("section 7: %s has total %s, want %s", query, have, want)
		}
		if strings.Contains(query, "count") && len(got.ids()) != 0 {
			t.Errorf("section 7: the count %s has entries %v", query, got.ids())
		}
	}
}

func TestSearchByPost(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	seedSearch(b)
	form := "Content-Type: application/x-www-form-urlencoded"
	got := parse[searchBundle](b.want(b.call(http.MethodPost, "/Patient/_search", "_id=a,c&_count=1", form), 200, ""))
	if !cmp.Equal(got.ids(), []string{"Patient/a/2"}) || !strings.HasPrefix(got.next(), b.URL()+"/Patient?") {
		t.Errorf("section 7: got %v and next %q", got.ids(), got.next())
	}
	if more := b.readAll(got.next()); !cmp.Equal(more, []string{"Patient/c/1"}) {
		t.Errorf("the next page has %v", more)
	}
	b.want(b.call(http.MethodPost, "/_search?_type=Patient", "_summary=count", form), 200, "")
	b.want(b.call(http.MethodPost, "/Patient/_search", `{"_id":"a"}`, "Content-Type: application/json"), 400, codeInvalid)
}

// A list of ids that fits the page, and nothing else, brings stubs of deleted resources on SQL.
func TestSearchByIDsDoesNotFilterDeleted(t *testing.T) {
	t.Parallel()
	for kind, want := range map[Kind][]string{SQL: {"Patient/a/2", "Patient/b/2"}, Cosmos: {"Patient/a/2"}} {
		b := setup(t, Options{Kind: kind})
		seedSearch(b)
		got := b.readAll("/Patient?_id=a,b")
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("section 7, %s: -want +got:\n%s", kind, diff)
		}
		if got := b.readAll("/Patient?_id=a,b&_count=1"); !cmp.Equal(got, []string{"Patient/a/2"}) {
			t.Errorf("section 7, %s: more ids than fit the page give %v", kind, got)
		}
	}
}

// Pages come short and empty on Cosmos, and who follows the links to the end finds everything in order.
func TestCosmosPagesAreShortAndEmpty(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{Kind: Cosmos})
	b.load(version("Patient", "old", 1, -6000, ""), version("Patient", "new", 1, -10, ""), version("Patient", "newer", 1, -5, ""))
	var sizes []int
	var found []string
	for path := "/?_count=1&_sort=_lastUpdated"; path != ""; {
		got := b.want(b.get(path), 200, "")
		page := parse[searchBundle](got)
		sizes, found, path = append(sizes, len(page.ids())), append(found, page.ids()...), page.next()
		if got.header.Get("X-Ms-Request-Charge") == "" || got.header.Get("X-Ms-Session-Token") == "" {
			t.Error("section 8: the Cosmos headers are missing")
		}
	}
	if diff := cmp.Diff([]int{1, 0, 0, 1, 1}, sizes); diff != "" {
		t.Errorf("section 7: sizes of pages, -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"Patient/old/1", "Patient/new/1", "Patient/newer/1"}, found); diff != "" {
		t.Errorf("section 7: -want +got:\n%s", diff)
	}
	first := parse[searchBundle](b.want(b.get("/?_count=1&_sort=_lastUpdated&_lastUpdated=ge2024-04-28T00:00:00.000Z"), 200, ""))
	if len(first.ids()) != 0 || first.next() == "" {
		t.Errorf("section 7: the first page of a stretch that begins empty has %v, next %q", first.ids(), first.next())
	}
	if got := b.readAll("/?_lastUpdated=ge2010&_lastUpdated=lt2011"); got != nil {
		t.Errorf("a stretch without data gives %v", got)
	}
	sql := setup(t, Options{})
	if got := sql.want(sql.get("/"), 200, ""); got.header.Get("X-Ms-Request-Charge") != "" {
		t.Error("section 8: SQL sends a header of Cosmos")
	}
}

// Whatever the order and size of pages, each match comes exactly once, in the order asked for, also when many share a millisecond.
func TestPagingIsCompleteAndOrdered(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	var seed []Version
	for i := range 200 {
		typ := []string{"Patient", "Observation", "Encounter"}[random.IntN(3)]
		seed = append(seed, version(typ, fmt.Sprint("r", i), 1, -float64(random.IntN(40)), ""))
	}
	for _, kind := range []Kind{SQL, Cosmos} {
		b := setup(t, Options{Kind: kind})
		b.load(seed...)
		at := map[string]string{}
		for _, v := range b.Versions() {
			at[v.Type+"/"+v.ID+"/1"] = formatInstant(v.LastUpdated)
		}
		for _, sort := range []string{"", "_lastUpdated", "-_lastUpdated", "_type,_lastUpdated", "-_type,-_lastUpdated"} {
			for _, size := range []int{1, 7, 1000} {
				got := b.readAll("/?" + url.Values{"_sort": {sort}, "_count": {fmt.Sprint(size)}}.Encode())
				unique := map[string]bool{}
				for _, id := range got {
					unique[id] = true
				}
				if len(got) != len(seed) || len(unique) != len(seed) {
					t.Errorf("%s sort %q pages of %d: %d matches, %d different, want %d", kind, sort, size, len(got), len(unique), len(seed))
				}
				times := make([]string, len(got))
				for i, id := range got {
					times[i] = at[id]
				}
				if sort == "-_lastUpdated" {
					slices.Reverse(times)
				}
				if strings.HasSuffix(sort, "_lastUpdated") && !strings.Contains(sort, "_type") && !slices.IsSorted(times) {
					t.Errorf("%s sort %q pages of %d: not in order", kind, sort, size)
				}
			}
		}
	}
}
