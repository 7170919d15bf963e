package fhirservice

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// inject posts a fault as a test of another process would.
func (b *bench) inject(fault string) {
	b.t.Helper()
	origin := b.URL()[:strings.Index(b.URL()[7:]+"/", "/")+7]
	b.want(b.call(http.MethodPost, origin+"/_sandbox/faults", fault), 204, "")
}

func TestFaultsThatAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	for _, fault := range []string{
		`{`, `{}`, `{"kind":"nonsense","status":500}`, `{"stat":500}`, `{"status":99}`, `{"status":500,"lostReply":true}`, `{"stuckJob":true}`, `{"kind":"search","stuckJob":true}`,
		`{"kind":"import","emptyResult":true}`, `{"kind":"export","flipByte":true}`, `{"delay":"soon"}`, `{"delay":"1s","flipByte":true}`, `{"body":"x"}`,
		`{"foreignHost":"elsewhere"}`, `{"kind":"export","failJob":{"status":200}}`, `{"times":-1,"status":500}`, `{"type":"Nobody","status":500}`, `{"gone":true}`, `{"kind":"export","type":"Patient","stuckJob":true}`,
	} {
		if got := b.call(http.MethodPost, "/_sandbox/faults", fault); got.status != 400 || !strings.HasPrefix(got.body, "fault: ") {
			t.Errorf("%s: %d %s", fault, got.status, got.body)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("Inject takes a fault without an effect")
		}
	}()
	b.Inject(Fault{})
}

func TestFaultTravelsAsJSON(t *testing.T) {
	t.Parallel()
	for _, f := range []Fault{{Kind: Export, FailJob: &Failure{413, "too large"}, After: 1, Times: 2}, {Delay: 1500 * time.Millisecond, Status: 503, RetryAfter: "7"}} {
		data, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		var got Fault
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(f, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", data, diff)
		}
	}
}

func TestFaultCountsCallsOfItsKind(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	b.inject(`{"kind":"count","after":1,"times":2,"status":500}`)
	var statuses []int
	for range 5 {
		b.want(b.get("/Patient"), 200, "")
		statuses = append(statuses, b.get("/?_summary=count").status)
	}
	if diff := cmp.Diff([]int{200, 500, 500, 200, 200}, statuses); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	b.inject(`{"type":"Patient","status":429}`)
	b.want(b.get("/Patient"), 429, codeThrottled)
	b.want(b.get("/Observation"), 200, "")
	b.want(b.get("/"), 200, "")
	b.inject(`{"status":503}`)
	b.want(b.get("/Observation"), 503, codeProcessing)
	b.want(b.get("/metadata"), 503, codeProcessing)
	b.want(b.call(http.MethodDelete, "/_sandbox/faults", ""), 204, "")
	b.want(b.get("/Patient"), 200, "")
}

func TestStatusFaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		fault Fault
		want  answer
		code  string
	}{
		{"throttled", Fault{Status: 429}, answer{status: 429, header: http.Header{"Retry-After": {"1"}, "X-Ms-Retry-After-Ms": {"1000"}}}, codeThrottled},
		{"throttled for longer", Fault{Status: 429, RetryAfter: "18000"}, answer{status: 429, header: http.Header{"Retry-After": {"18000"}, "X-Ms-Retry-After-Ms": {"18000000"}}}, codeThrottled},
		{"an HTTP date", Fault{Status: 429, RetryAfter: "Wed, 01 May 2024 12:05:00 GMT"}, answer{status: 429, header: http.Header{"Retry-After": {"Wed, 01 May 2024 12:05:00 GMT"}}}, codeThrottled},
		{"unavailable", Fault{Status: 503}, answer{status: 503, header: http.Header{}}, codeProcessing},
		{"unavailable for a while", Fault{Status: 503, RetryAfter: "soon"}, answer{status: 503, header: http.Header{"Retry-After": {"soon"}}}, codeProcessing},
		{"timeout", Fault{Status: 408}, answer{status: 408, header: http.Header{}}, codeTimeout},
		{"forbidden", Fault{Status: 403}, answer{status: 403, header: http.Header{}}, codeForbidden},
		{"a code of its own", Fault{Status: 500, Code: codeTimeout}, answer{status: 500, header: http.Header{}}, codeTimeout},
		{"a body of its own", Fault{Status: 502, Body: "<html>Bad Gateway</html>", ContentType: "text/html"},
			answer{status: 502, header: http.Header{}, body: "<html>Bad Gateway</html>"}, ""},
		{"no FHIR", Fault{NotFHIR: "<html>Sign in</html>"}, answer{status: 200, header: http.Header{}, body: "<html>Sign in</html>"}, ""},
	} {
		b := setup(t, Options{})
		b.Inject(test.fault)
		got := b.get("/")
		if got.status != test.want.status || got.code() != test.code || test.want.body != "" && got.body != test.want.body {
			t.Errorf("%s: %d %s", test.name, got.status, got.body)
		}
		for _, h := range []string{"Retry-After", "X-Ms-Retry-After-Ms"} {
			if got.header.Get(h) != test.want.header.Get(h) {
				t.Errorf("section 8: %s: %s is %q, want %q", test.name, h, got.header.Get(h), test.want.header.Get(h))
			}
		}
		if got.header.Get("X-Request-Id") == "" {
			t.Errorf("%s: no X-Request-Id", test.name)
		}
	}
}

// Section 0.2: the middleware that throttles answers with a reduced body.
func TestThrottledBody(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	b.inject(`{"times":1,"status":429}`)
	got := b.want(b.get("/"), 429, codeThrottled)
	if o := parse[operationOutcome](got); o.ResourceType != "OperationOutcome" || o.ID != "" || o.Meta != nil || !strings.HasPrefix(got.header.Get("Content-Type"), "application/json") {
		t.Errorf("%s %s", got.header.Get("Content-Type"), got.body)
	}
}

func TestDelayFault(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	b.inject(`{"delay":"30ms","times":1}`)
	began := time.Now()
	b.want(b.get("/"), 200, "")
	if took := time.Since(began); took < 30*time.Millisecond {
		t.Errorf("the call took %v", took)
	}
}

// The effect of a call whose reply is lost has taken place.
func TestLostReply(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{})
	b.Inject(Fault{Kind: Export, Times: 1, LostReply: true})
	// A connection of its own: on a used one the Go client repeats a GET that got no answer, without a word.
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.URL()+"/$export", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/fhir+json")
	req.Header.Set("Prefer", "respond-async")
	if resp, err := client.Do(req); err == nil {
		resp.Body.Close()
		t.Fatalf("got an answer, %d", resp.StatusCode)
	}
	if calls := b.Calls(); len(calls) != 1 || calls[0].Status != 202 || calls[0].Kind != Export {
		t.Errorf("calls %+v", calls)
	}
	b.want(b.get("/_operations/"+b.lastJob("export")), 200, "")
	b.Inject(Fault{Kind: Write, Times: 1, LostReply: true})
	if _, err := client.Post(b.URL()+"/Patient", "application/json", strings.NewReader(`{"resourceType":"Patient"}`)); err == nil || len(b.Versions()) != 1 {
		t.Errorf("the lost write: %v, %v", err, keys(b.Versions()))
	}
}

func TestForeignHost(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{BasePath: "/base"})
	b.load(version("Patient", "a", 1, -5, ""), version("Patient", "b", 1, -5, ""))
	b.inject(`{"foreignHost":"https://evil.example"}`)
	if at := b.get("/$export", kickOff...).header.Get("Content-Location"); !strings.HasPrefix(at, "https://evil.example/base/_operations/export/") {
		t.Errorf("Content-Location %s", at)
	}
	page := parse[searchBundle](b.get("/Patient?_count=1"))
	if next := page.next(); !strings.HasPrefix(next, "https://evil.example/base/Patient?") || !strings.HasPrefix(page.Entry[0].FullURL, b.URL()) {
		t.Errorf("next %s, full URL %s", next, page.Entry[0].FullURL)
	}
	if next := parse[searchBundle](b.get("/_history?_count=1")).next(); !strings.HasPrefix(next, "https://evil.example/base/_history?") {
		t.Errorf("next %s", next)
	}
}

// TestGone is section 0.1: the deprecated state of a Cosmos service.
func TestGone(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{Kind: Cosmos})
	b.inject(`{"gone":true}`)
	at := b.want(b.get("/$export", kickOff...), 202, "").header.Get("Content-Location")
	b.want(b.get(at), 200, "")
	b.want(b.get("/metadata"), 200, "")
	b.want(b.get("/Patient/$export", kickOff...), 202, "")
	b.want(b.get("/Group/g/$export", kickOff...), 202, "")
	for _, c := range [][2]string{{"GET", "/"}, {"GET", "/?_summary=count"}, {"GET", "/_history"}, {"GET", "/Patient/p"}, {"POST", "/_search"}, {"POST", "/"}, {"POST", "/$reindex"}} {
		b.want(b.call(c[0], c[1], "", "Content-Type: application/x-www-form-urlencoded"), 410, codeBusinessRule)
	}
	got := b.want(b.call(http.MethodDelete, at, ""), 410, codeBusinessRule)
	if d := parse[operationOutcome](got).first().Details; d == nil || d.Coding[0].Code != "service-deprecated" || got.header.Get("Retry-After") != "" {
		t.Errorf("section 0.1: %s", got.body)
	}
	below := setup(t, Options{Kind: Cosmos, BasePath: "/base"})
	below.Inject(Fault{Gone: true})
	below.want(below.get("/metadata"), 410, codeBusinessRule) // a prefix of the path breaks the match
}

func TestExportJobFaults(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{Workers: 5, LinesPerFile: 1, ExportTime: func(int) time.Duration { return time.Minute }})
	b.load(version("Patient", "a", 1, -5, ""), version("Patient", "b", 1, -5, ""))
	b.inject(`{"kind":"export","times":1,"stuckJob":true}`)
	b.inject(`{"kind":"export","after":1,"times":1,"failJob":{"status":413,"reason":"The record is too large."}}`)
	b.inject(`{"after":2,"times":1,"emptyResult":true}`)
	b.inject(`{"after":3,"times":1,"shortManifest":true}`)
	var at []string
	for range 5 {
		at = append(at, b.want(b.get("/$export", kickOff...), 202, "").header.Get("Content-Location"))
	}
	b.clock.Advance(time.Hour)
	b.want(b.get(at[0]), 202, "")
	if got := b.want(b.get(at[1]), 413, codeProcessing); !strings.Contains(got.body, "export operation failed for reason: The record is too large.") {
		t.Errorf("section 2.3: %s", got.body)
	}
	if got := b.want(b.get(at[2]), 200, ""); !strings.Contains(got.body, `"output":[]`) {
		t.Errorf("section 2.1: %s", got.body)
	}
	for i, files := range map[int]int{3: 1, 4: 2} {
		if got := len(parse[manifest](b.want(b.get(at[i]), 200, "")).Output); got != files {
			t.Errorf("job %d has %d files, want %d", i, got, files)
		}
	}
	b.want(b.call(http.MethodDelete, at[0], ""), 202, "")
	b.clock.Advance(time.Hour)
	if diff := cmp.Diff([]Interval{{noon, noon.Add(time.Hour + 30*time.Second)}}, b.Busy()); diff != "" {
		t.Errorf("a stuck job works until it notices its cancellation, -want +got:\n%s", diff)
	}
}

func TestImportJobFaults(t *testing.T) {
	t.Parallel()
	four := line("a", "1", -60, `,"birthDate":"2000-01-01"`) + line("b", "1", -60, `,"birthDate":"2000-01-01"`) + "{\n" + line("c", "1", -60, "") + line("d", "1", -60, "")
	for _, test := range []struct {
		name, fault              string
		accepted, refused, rows  int
		changed                  bool
		stuck, failed, cancelled bool
	}{
		{name: "none", fault: `{"kind":"metadata","status":500}`, accepted: 4, refused: 1, rows: 4},
		{name: "refused lines", fault: `{"refuseLines":2}`, accepted: 2, refused: 3, rows: 2},
		{name: "lines that vanish", fault: `{"shortImport":3}`, accepted: 1, refused: 1, rows: 1},
		{name: "lines counted but lost", fault: `{"loseLines":3}`, accepted: 4, refused: 1, rows: 1},
		{name: "a byte changed", fault: `{"flipByte":true}`, accepted: 4, refused: 1, rows: 4, changed: true},
		{name: "stuck", fault: `{"kind":"import","stuckJob":true}`, stuck: true},
		{name: "failed", fault: `{"kind":"import","failJob":{"status":404,"reason":"Gone for lunch."}}`, failed: true},
	} {
		b := setupStorage(t, Options{})
		b.inject(test.fault)
		_, put := b.container()
		at := b.want(b.postImport(importBody(put("four.ndjson", four))), 202, "").header.Get("Content-Location")
		b.clock.Advance(time.Hour)
		got := b.get(at)
		switch {
		case test.stuck:
			b.want(got, 202, "")
			continue
		case test.failed:
			b.want(got, 404, codeProcessing)
			continue
		}
		result := parse[importResult](b.want(got, 200, ""))
		if result.Output[0].Count != test.accepted || result.Error[0].Count != test.refused || len(b.Versions()) != test.rows {
			t.Errorf("%s: %s and %d rows", test.name, got.body, len(b.Versions()))
		}
		changed := 0
		for _, v := range b.Versions() {
			want := []byte(strings.TrimSpace(four))
			if !bytes.Contains(want, v.Raw) {
				changed++
				if !json.Valid(v.Raw) || !bytes.Contains(v.Raw, []byte(`"birthDate":"3000-01-01"`)) {
					t.Errorf("%s: %s", test.name, v.Raw)
				}
			}
		}
		if changed != map[bool]int{true: 1}[test.changed] {
			t.Errorf("%s: %d rows are changed", test.name, changed)
		}
	}
}

// Section 5: the restart of a worker may leave the entries of an error log twice; the counts are right.
func TestRepeatedErrorLog(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{})
	b.inject(`{"repeatLog":true}`)
	b.inject(`{"refuseLines":1}`)
	_, put := b.container()
	at := b.postImport(importBody(put("two", line("a", "1", -60, "")+"{\n"))).header.Get("Content-Location")
	result := parse[importResult](b.want(b.get(at), 200, ""))
	lines := strings.Split(strings.TrimSuffix(b.blob(result.Error[0].URL), "\n"), "\n")
	if result.Error[0].Count != 2 || len(lines) != 4 || lines[0] != lines[1] || lines[1] == lines[2] || lines[2] != lines[3] {
		t.Errorf("count %d, log %q", result.Error[0].Count, lines)
	}
}

// A failing import has committed all units but the last.
func TestFailingImportLeavesRows(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{})
	b.Inject(Fault{Kind: Import, Times: 1, FailJob: &Failure{Status: 500, Reason: "secret"}})
	_, put := b.container()
	body := importBody(put("a", line("a", "1", -60, "")), put("b", line("b", "1", -60, "")), put("c", line("c", "1", -60, "")))
	got := b.want(b.get(b.postImport(body).header.Get("Content-Location")), 500, codeProcessing)
	if !strings.Contains(got.body, "import operation failed for reason: InternalServerError") || strings.Contains(got.body, "secret") || len(b.Versions()) != 2 {
		t.Errorf("section 4.3: %s, %v", got.body, keys(b.Versions()))
	}
	// The rows that are there already are no-ops for the next try.
	again := strings.TrimSuffix(body, "]}") + `,{"name":"inputSource","valueUri":"http://again"}]}`
	b.want(b.get(b.postImport(again).header.Get("Content-Location")), 200, "")
	if len(b.Versions()) != 3 {
		t.Errorf("after the second try: %v", keys(b.Versions()))
	}
}

func TestControlEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{BasePath: "/base", Verify: func(string) error { return nil }})
	b.get("/Patient")
	origin := strings.TrimSuffix(b.URL(), "/base")
	calls := parse[[]Call](b.want(b.get(origin+"/_sandbox/calls"), 200, ""))
	if len(calls) != 1 || calls[0].Kind != Search || calls[0].Status != 401 {
		t.Errorf("calls %+v", calls)
	}
	b.want(b.get(origin+"/_sandbox/busy"), 200, "")
	b.want(b.get(origin+"/_sandbox/nonsense"), 404, "")
	if len(b.Calls()) != 1 {
		t.Error("calls of the sandbox itself are counted")
	}
	w := httptest.NewRecorder()
	b.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/elsewhere", nil))
	if w.Code != 404 {
		t.Errorf("outside the base path: %d", w.Code)
	}
}
