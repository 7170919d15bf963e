package fhirservice

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// export runs an export to its end and returns its manifest and the lines of all files as "Type/id/version", "-" in front of deleted ones.
func (b *bench) export(query string) (manifest, []string) {
	b.t.Helper()
	at := b.want(b.get(query, kickOff...), 202, "").header.Get("Content-Location")
	m := parse[manifest](b.want(b.get(at), 200, ""))
	return m, b.lines(m)
}

func (b *bench) lines(m manifest) []string {
	b.t.Helper()
	var all []string
	for _, f := range m.Output {
		content := b.blob(f.URL)
		lines := strings.Split(strings.TrimSuffix(content, "\n"), "\n")
		if len(lines) != f.Count || !strings.HasSuffix(content, "\n") {
			b.t.Errorf("section 2.2: %s has %d lines, its count is %d", f.URL, len(lines), f.Count)
		}
		for _, line := range lines {
			var r struct {
				ResourceType, ID string
				Meta             struct {
					VersionID string
					Extension []struct{ URL, ValueString string }
				}
			}
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				b.t.Fatalf("%s: %v: %s", f.URL, err, line)
			}
			if r.ResourceType != f.Type {
				b.t.Errorf("%s holds a %s", f.URL, r.ResourceType)
			}
			mark := ""
			if e := r.Meta.Extension; len(e) > 0 && e[0].URL == deletedStateURL && e[0].ValueString == "soft-deleted" {
				mark = "-"
			}
			all = append(all, mark+r.ResourceType+"/"+r.ID+"/"+r.Meta.VersionID)
		}
	}
	slices.Sort(all)
	return all
}

// TestExportWindows is the table of section 1.3: what a window contains, by kind of service and of export.
func TestExportWindows(t *testing.T) {
	t.Parallel()
	seed := []Version{
		version("Patient", "first", 1, -60, ""),                                          // at 11:00, the lower bound
		version("Patient", "moved", 1, -50, ""), version("Patient", "moved", 2, -20, ""), // superseded after the window
		version("Patient", "gone", 1, -45, ""), tombstoneVersion("Patient", "gone", 2, -15), // deleted after the window
		version("Patient", "died", 1, -44, ""), tombstoneVersion("Patient", "died", 2, -42), // deleted within the window
		version("Patient", "twice", 1, -40, ""), version("Patient", "twice", 2, -38, ""), // updated within the window
		version("Patient", "late", 1, -30, ""),                                               // at 11:30, the upper bound
		version("SearchParameter", "sp", 1, -35, ""),                                         // exported like any type
		version("Patient", "second", 1, -30-0.5, ""), version("Patient", "after", 1, -5, ""), // at 11:29:30, and outside
	}
	const window = "_since=2024-05-01T11:00:00.000Z&_till=2024-05-01T11:30:00.000Z"
	inside := []string{"Patient/first/1", "Patient/second/1", "Patient/twice/2", "SearchParameter/sp/1"}
	with := func(base []string, more ...string) []string {
		return slices.Sorted(slices.Values(append(slices.Clone(base), more...)))
	}
	tests := []struct {
		name, section string
		kind          Kind
		query         string
		want          []string
	}{
		{"snapshot view, till exclusive", "1.3", SQL, window, with(inside, "Patient/moved/1", "Patient/gone/1")},
		{"snapshot view with deletes", "2.4", SQL, window + "&includeAssociatedData=_deleted", with(inside, "Patient/moved/1", "Patient/gone/1", "-Patient/died/2")},
		{"history without deletes", "2.4", SQL, window + "&includeAssociatedData=_history",
			with(inside, "Patient/moved/1", "Patient/gone/1", "Patient/died/1", "Patient/twice/1")},
		{"history and deletes", "2.4", SQL, window + "&includeAssociatedData=_history,_deleted",
			with(inside, "Patient/moved/1", "Patient/gone/1", "Patient/died/1", "-Patient/died/2", "Patient/twice/1")},
		{"not parallel: current versions, till inclusive", "1.3", SQL, window + "&_isParallel=false", with(inside, "Patient/late/1")},
		{"not parallel with deletes", "2.4", SQL, window + "&_isParallel=false&includeAssociatedData=_deleted", with(inside, "Patient/late/1", "-Patient/died/2")},
		{"not parallel with history", "1.3", SQL, window + "&_isParallel=false&includeAssociatedData=_history",
			with(inside, "Patient/late/1", "Patient/moved/1", "Patient/gone/1", "Patient/died/1", "Patient/twice/1")},
		{"Cosmos: current versions, till inclusive", "1.3", Cosmos, window, with(inside, "Patient/late/1")},
		{"Cosmos parallel is the same", "1.3", Cosmos, window + "&_isParallel=true", with(inside, "Patient/late/1")},
		{"till of a minute: its start", "1.3", SQL, "_since=2024-05-01T11:29&_till=2024-05-01T11:30", []string{"Patient/second/1"}},
		{"till of a minute: its end on Cosmos", "1.3", Cosmos, "_since=2024-05-01T11:29&_till=2024-05-01T11:29", []string{"Patient/second/1"}},
		{"since is cut to the millisecond", "1.3", SQL, "_since=2024-05-01T11:00:00.0009Z&_till=2024-05-01T11:00:00.0019Z", []string{"Patient/first/1"}},
		{"since is not cut on Cosmos", "1.3", Cosmos, "_since=2024-05-01T11:00:00.0009Z&_till=2024-05-01T11:00:00.0019Z", nil},
		{"empty window: a resource at till leaks in", "1.3", SQL, "_since=2024-05-01T11:29:50.000Z&_till=2024-05-01T11:30:00.000Z", []string{"Patient/late/1"}},
		{"since after till", "1.3", SQL, "_since=2024-05-01T11:50:00.000Z&_till=2024-05-01T11:00:00.000Z", nil},
		{"only deletes, none wanted", "2.4", SQL, "_since=2024-05-01T11:18:00.000Z&_till=2024-05-01T11:19:00.000Z", nil},
		{"till left out: the job's creation", "1.3", SQL, "_since=2024-05-01T11:31:00.000Z&includeAssociatedData=_deleted",
			[]string{"-Patient/gone/2", "Patient/after/1", "Patient/moved/2"}},
		{"one type", "1.2", SQL, window + "&_type=SearchParameter", []string{"SearchParameter/sp/1"}},
		{"unknown type on Cosmos", "1.3", Cosmos, window + "&_type=Nonsense", nil},
		{"filter: current versions", "1.2", SQL, window + "&_type=Patient,SearchParameter&_typeFilter=Patient?_id=moved,Patient?_id=late",
			[]string{"Patient/late/1", "SearchParameter/sp/1"}},
		{"patients ignore history and deletes", "1.2", SQL, "", nil},
	}
	benches := map[Kind]*bench{SQL: setupStorage(t, Options{}), Cosmos: setupStorage(t, Options{Kind: Cosmos})}
	for _, b := range benches {
		b.load(seed...)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := "/$export?" + test.query
			if test.query == "" {
				path = "/Patient/$export?" + window + "&includeAssociatedData=_history,_deleted"
				test.want = []string{"Patient/first/1", "Patient/late/1", "Patient/second/1", "Patient/twice/2"}
			}
			m, got := benches[test.kind].export(path)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("section %s: -want +got:\n%s", test.section, diff)
			}
			if test.want == nil && len(m.Output) != 0 {
				t.Errorf("section 2.4: an empty sub-job left %v", m.Output)
			}
		})
	}
}

func TestExportManifestAndFiles(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{LinesPerFile: 4})
	var seed []Version
	for i := range 10 {
		seed = append(seed, version("Patient", fmt.Sprint("p", i), 1, -100+float64(i), `,"multipleBirthInteger":1.10`), version("Basic", fmt.Sprint("b", i), 1, -100, ""))
	}
	b.load(seed...)
	at := b.want(b.get("/$export?_since=2024", kickOff...), 202, "").header.Get("Content-Location")
	b.clock.Advance(time.Hour)
	got := b.want(b.get(at), 200, "")
	m := parse[manifest](got)
	if m.TransactionTime != "2024-05-01T12:00:00+00:00" || m.Request != b.URL()+"/$export?_since=2024" || m.RequiresAccessToken {
		t.Errorf("section 2.2: %+v", m)
	}
	if !strings.Contains(got.body, `"error":[],"issues":[]`) || !strings.HasPrefix(got.header.Get("Content-Type"), "application/json") {
		t.Errorf("section 2.2: %s %s", got.header.Get("Content-Type"), got.body)
	}
	id := at[strings.LastIndexByte(at, '/')+1:]
	name := regexp.MustCompile(`/export-` + id + `/(Patient|Basic)-\d+-1\.ndjson$`)
	var types []string
	var counts []int
	for _, f := range m.Output {
		if !name.MatchString(f.URL) || strings.Contains(f.URL, "?") {
			t.Errorf("section 2.4: %s does not match %s", f.URL, name)
		}
		types, counts = append(types, f.Type), append(counts, f.Count)
	}
	if !slices.IsSorted(types) || !cmp.Equal(slices.Sorted(slices.Values(counts)), []int{2, 2, 4, 4, 4, 4}) {
		t.Errorf("section 2.2: types %v counts %v", types, counts)
	}
	if lines := b.lines(m); len(lines) != 20 {
		t.Errorf("exported %v", lines)
	}
	if i := slices.IndexFunc(m.Output, func(f exportFile) bool { return f.Type == "Patient" }); !strings.Contains(b.blob(m.Output[i].URL), `"multipleBirthInteger":1.10,`) {
		t.Error("section 2.4: the stored JSON is not exported as it is")
	}

	inContainer, _ := b.export("/$export?_container=my-container&_maxCount=10")
	id = fmt.Sprint(b.schedule.order[len(b.schedule.order)-1].id)
	if at := inContainer.Output[0].URL; !strings.Contains(at, "/my-container/20240501T130000-"+id+"/Basic-") {
		t.Errorf("section 2.4: %s", at)
	}
	if few, _ := b.export("/$export?_maxCount=3&_type=Basic"); len(few.Output) != 4 {
		t.Errorf("section 2.4: _maxCount=3 gives %v", few.Output)
	}
	// One sub-job for all of it: one file a type.
	if one, lines := b.export("/$export?_isParallel=false"); len(one.Output) != 2 || len(lines) != 20 {
		t.Errorf("not parallel: %v", one.Output)
	}
}

// Each page of Cosmos is a sub-job with files of its own, of mixed types.
func TestExportFilesOfCosmos(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{Kind: Cosmos, LinesPerFile: 4})
	var seed []Version
	for i := range 6 {
		seed = append(seed, version("Patient", fmt.Sprint("p", i), 1, float64(-10-i), ""), version("Basic", fmt.Sprint("b", i), 1, float64(-10-i), ""))
	}
	b.load(seed...)
	// A page is twice as large as was asked for.
	if m, lines := b.export("/$export"); len(m.Output) != 4 || len(lines) != 12 {
		t.Errorf("section 2.4: %v", m.Output)
	}
	if m, lines := b.export("/$export?_maxCount=1"); len(m.Output) != 12 || len(lines) != 12 {
		t.Errorf("section 2.4: %v", m.Output)
	}
	if m, _ := b.export("/$export?_maxCount=1&_type=Basic"); len(m.Output) != 3 || m.Output[0].Count != 2 {
		t.Errorf("section 2.4: %v", m.Output)
	}
	if m, lines := b.export("/$export?_isParallel=true"); len(m.Output) != 4 || len(lines) != 12 {
		t.Errorf("section 2.4: %v", m.Output)
	}
}

func TestExportGroup(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{})
	b.load(version("Patient", "in", 1, -5, ""), version("Patient", "out", 1, -5, ""), version("Observation", "of-in", 1, -5, `,"subject":{"reference":"Patient/in"}`),
		version("Observation", "of-out", 1, -5, `,"subject":{"reference":"Patient/out"}`), version("Medication", "m", 1, -5, ""),
		version("Group", "g", 1, -5, `,"member":[{"entity":{"reference":"Patient/in"}}]`))
	if _, got := b.export("/Group/g/$export?_type=Patient,Observation"); !cmp.Equal(got, []string{"Observation/of-in/1", "Patient/in/1"}) {
		t.Errorf("section 1.1: the group is %v", got)
	}
	if _, got := b.export("/Patient/$export"); slices.Contains(got, "Medication/m/1") || len(got) != 5 {
		t.Errorf("section 1.1: the patients are %v", got)
	}
}

func TestExportFailures(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{})
	b.load(version("Patient", "p", 1, -5, `,"name":[{"family":"Doe"}],"active":true`))
	noStorage := setup(t, Options{})
	for _, test := range []struct {
		name, section, query string
		b                    *bench
		status               int
	}{
		{"unknown type on SQL", "1.3", "?_type=Nonsense", b, 500},
		{"till far in the future on SQL", "1.3", "?_till=3700", b, 500},
		{"a container name that storage refuses", "2.3", "?_container=Not_Valid", b, 400},
		{"no anonymization config", "2.3", "?_container=x&_anonymizationConfig=none.json", b, 400},
		{"no storage", "2.3", "", noStorage, 400},
	} {
		at := test.b.want(test.b.get("/$export"+test.query, kickOff...), 202, "").header.Get("Content-Location")
		got := test.b.want(test.b.get(at), test.status, codeProcessing)
		if d := parse[operationOutcome](got).first().Diagnostics; !strings.HasPrefix(d, "export operation failed for reason: ") {
			t.Errorf("section %s: %s: %s", test.section, test.name, d)
		}
	}
	for _, id := range []string{"123", "abc", "-1"} {
		b.want(b.get("/_operations/export/"+id), 404, codeNotFound)
	}
}

func TestExportAnonymized(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{})
	b.load(version("Patient", "p", 1, -5, `,"name":[{"family":"Doe"}],"active":true`))
	if _, err := b.blobs.CreateContainer(t.Context(), anonymizationContainer, nil); err != nil && !strings.Contains(err.Error(), "ContainerAlreadyExists") {
		t.Fatal(err)
	}
	up, err := b.blobs.UploadBuffer(t.Context(), anonymizationContainer, "config.json", []byte("{}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	etag := strings.Trim(string(*up.ETag), `"`)
	m, _ := b.export("/$export?_container=anonymous&_anonymizationConfig=config.json&_anonymizationConfigEtag=" + etag)
	if got := b.blob(m.Output[0].URL); strings.Contains(got, "Doe") || !strings.Contains(got, `"active":true`) {
		t.Errorf("section 1.2: %s", got)
	}
	at := b.get("/$export?_container=anonymous&_anonymizationConfig=config.json&_anonymizationConfigEtag=other", kickOff...).header.Get("Content-Location")
	b.want(b.get(at), 400, codeProcessing)
	if _, err := b.blobs.UploadBuffer(t.Context(), anonymizationContainer, "broken.json", []byte(`{"a":`), nil); err != nil {
		t.Fatal(err)
	}
	at = b.get("/$export?_container=anonymous&_anonymizationConfig=broken.json", kickOff...).header.Get("Content-Location")
	b.want(b.get(at), 400, codeProcessing)
}

func TestExportTakesTimeAndQueues(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{Workers: 1, ExportTime: func(lines int) time.Duration { return time.Duration(lines) * time.Minute }})
	b.load(version("Patient", "p", 1, -5, ""), version("Patient", "q", 1, -5, ""))
	first := b.get("/$export", kickOff...).header.Get("Content-Location")
	second := b.get("/$export", kickOff...).header.Get("Content-Location")
	b.clock.Advance(2*time.Minute - 1)
	if got := b.want(b.get(first), 202, ""); got.body != "" || got.header.Get("Retry-After") != "" || got.header.Get("X-Progress") != "" {
		t.Errorf("section 2.1: 202 has %q and %v", got.body, got.header)
	}
	b.clock.Advance(1)
	b.want(b.get(first), 200, "")
	b.want(b.get(second), 202, "")
	b.clock.Advance(2*time.Minute - 1)
	b.want(b.get(second), 202, "")
	b.clock.Advance(time.Hour)
	b.want(b.get(second), 200, "")
	if diff := cmp.Diff([]Interval{{noon, noon.Add(4 * time.Minute)}}, b.Busy()); diff != "" {
		t.Errorf("busy, -want +got:\n%s", diff)
	}
}

func TestExportCancel(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{Workers: 1, ExportTime: func(int) time.Duration { return time.Hour }})
	b.load(version("Patient", "p", 1, -5, ""))
	running := b.get("/$export", kickOff...).header.Get("Content-Location")
	waiting := b.get("/$export", kickOff...).header.Get("Content-Location")
	next := b.get("/$export", kickOff...).header.Get("Content-Location")
	b.clock.Advance(time.Minute)
	for _, at := range []string{running, waiting} {
		b.want(b.call(http.MethodDelete, at, ""), 202, "")
		b.want(b.get(at), 404, codeNotFound)
		b.want(b.call(http.MethodDelete, at, ""), 404, codeNotFound)
	}
	// The worker is free after the next heartbeat, 30 s later; then the third job takes its hour.
	b.clock.Advance(30*time.Second + time.Hour - 1)
	b.want(b.get(next), 202, "")
	b.clock.Advance(1)
	b.want(b.get(next), 200, "")
	b.want(b.call(http.MethodDelete, next, ""), 202, "")
	b.want(b.get(next), 404, codeNotFound)
	b.want(b.call(http.MethodDelete, b.URL()+"/_operations/export/1", ""), 404, codeNotFound)
}

// Section 2.6: Cosmos forgets a job 30 days after its last change; SQL does not.
func TestExportJobsExpireOnCosmos(t *testing.T) {
	t.Parallel()
	for kind, status := range map[Kind]int{SQL: 200, Cosmos: 404} {
		b := setupStorage(t, Options{Kind: kind, ExportTime: func(int) time.Duration { return time.Hour }})
		at := b.want(b.get("/$export", kickOff...), 202, "").header.Get("Content-Location")
		b.clock.Advance(time.Hour + 30*24*time.Hour - 1)
		b.want(b.get(at), 200, "")
		b.clock.Advance(1)
		b.want(b.get(at), status, "")
		b.want(b.call(http.MethodDelete, at, ""), map[int]int{200: 202, 404: 404}[status], "")
	}
}

// A file is closed when it has reached 64 MB at the end of a page; the next of the same type is number 2.
func TestExportRollsLargeFiles(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{})
	content := `,"text":"` + strings.Repeat("x", 1<<20) + `"`
	var seed []Version
	for i := range 75 {
		seed = append(seed, version("Basic", fmt.Sprint("b", i), 1, -5, content))
	}
	b.load(seed...)
	at := b.want(b.get("/$export?_isParallel=false&_maxCount=10", kickOff...), 202, "").header.Get("Content-Location")
	files := map[string]int{}
	for _, f := range parse[manifest](b.want(b.get(at), 200, "")).Output {
		files[f.URL[strings.LastIndexByte(f.URL, '-'):]] = f.Count
	}
	if diff := cmp.Diff(map[string]int{"-1.ndjson": 70, "-2.ndjson": 5}, files); diff != "" {
		t.Errorf("section 2.4: -want +got:\n%s", diff)
	}
}
