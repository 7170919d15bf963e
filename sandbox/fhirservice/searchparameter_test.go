package fhirservice

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
)

// definition is a search parameter on Patient for an extension.
func definition(id, code string, more ...string) string {
	text := fmt.Sprintf(`{"resourceType":"SearchParameter","id":%q,"url":"https://contoso.example/sp/%s","code":%q,"status":"active","type":"string","base":["Patient"],`+
		`"expression":"Patient.extension.where(url='urn:contoso:%s').value"}`, id, code, code, code)
	return strings.NewReplacer(more...).Replace(text)
}

const fhirType = "Content-Type: application/fhir+json"

func (b *bench) putParameter(id, body string) answer {
	b.t.Helper()
	return b.call(http.MethodPut, "/SearchParameter/"+id, body, fhirType)
}

// Section 9: what the specification defines exists for a POST, and cannot be changed by a PUT.
func TestSearchParameterOfTheSpecification(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	body := definition("p2", "other", "https://contoso.example/sp/", specified)
	b.want(b.call(http.MethodPost, "/SearchParameter", body, fhirType), http.StatusBadRequest, codeInvalid)
	b.want(b.putParameter("p2", body), http.StatusMethodNotAllowed, "")
}

func TestSearchParameterRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		body   string
		status int
	}{
		{"new", definition("new", "other"), http.StatusCreated},
		{"again under its id", definition("p1", "ward", "Patient.extension", "Patient.contact.extension"), http.StatusOK},
		{"url under another id", definition("p2", "ward"), http.StatusBadRequest},
		{"relative url", definition("p2", "other", "https://contoso.example/", "/"), http.StatusBadRequest},
		{"long url", definition("p2", "other", "contoso.example/sp", "contoso.example/"+strings.Repeat("x", 128)), http.StatusBadRequest},
		{"of the specification", definition("p2", "other", "https://contoso.example/sp/", specified), http.StatusMethodNotAllowed},
		{"type", definition("p2", "other", `"string"`, `"special"`), http.StatusBadRequest},
		{"expression", definition("p2", "other", ".where(", ".iif("), http.StatusBadRequest},
		{"code taken with another type", definition("p2", "other", `"other"`, `"ward"`, `"string"`, `"token"`), http.StatusBadRequest},
		{"code taken with another expression", definition("p2", "other", `"other"`, `"ward"`), http.StatusBadRequest},
		{"code taken, for another type of resource", definition("p2", "other", `"other"`, `"ward"`, "Patient", "Group"), http.StatusCreated},
		{"code taken, with more", definition("p2", "other", `"other"`, `"ward"`, ".value", ".value | Patient.extension.where(url='urn:contoso:ward').value", "urn:contoso:other", "urn:contoso:ward"), http.StatusCreated},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, Options{})
			b.want(b.putParameter("p1", definition("p1", "ward")), http.StatusCreated, "")
			got := b.putParameter(gjson.Get(test.body, "id").String(), test.body)
			if got.status != test.status {
				t.Errorf("status %d, want %d: %s", got.status, test.status, got.body)
			}
			if issues := len(parse[operationOutcome](got).Issue); (test.name == "type" || test.name == "expression") && issues != 2 {
				t.Errorf("%d issues, want 2: %s", issues, got.body)
			}
		})
	}
}

// A parameter is known at once, ignored in a search (strictly: refused) until a reindex that began after it was written has ended, and then finds old
// resources and new ones.
func TestReindexMakesParametersSearchable(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{ReindexTime: func(n int) time.Duration { return time.Duration(n) * time.Minute }})
	ward := func(text string) string {
		return `,"extension":[{"url":"urn:else","valueString":"East"},{"url":"urn:contoso:ward","valueString":"` + text + `"}]`
	}
	b.load(version("Patient", "east", 1, -10, ward("East 1")), version("Patient", "west", 1, -9, ward("West")), version("Patient", "none", 1, -8, ""))
	b.want(b.putParameter("p1", definition("p1", "ward")), http.StatusCreated, "")
	strict := "Prefer: handling=strict"
	b.want(b.get("/Patient?ward=east", strict), http.StatusBadRequest, codeInvalid)
	if found := parse[searchBundle](b.get("/Patient?ward=east")).ids(); len(found) != 3 {
		t.Errorf("ignored, the parameter left %v", found)
	}
	b.want(b.call(http.MethodPost, "/$reindex", `{"resourceType":"Parameters"}`, fhirType, "Prefer: respond-async"), http.StatusBadRequest, codeInvalid)
	b.want(b.call(http.MethodPost, "/$reindex", "", fhirType), http.StatusBadRequest, codeInvalid)
	b.want(b.get("/$reindex"), http.StatusMethodNotAllowed, codeNotSupported)
	started := b.want(b.call(http.MethodPost, "/$reindex", `{"resourceType":"Parameters","parameter":[]}`, fhirType), http.StatusCreated, "")
	at := started.header.Get("Content-Location")
	state := func() string {
		return gjson.Get(b.want(b.get(at), http.StatusOK, "").body, `parameter.#(name=="status").valueString`).String()
	}
	again := b.call(http.MethodPost, "/$reindex", `{"resourceType":"Parameters"}`, fhirType, "Prefer: respond-sync")
	if again.status != http.StatusCreated || again.header.Get("Content-Location") != at || state() != "Running" {
		t.Errorf("the job that runs is not handed out again: %d %s, %s", again.status, again.header.Get("Content-Location"), state())
	}
	if busy := b.putParameter("p2", definition("p2", "late")); busy.status != http.StatusConflict || !strings.Contains(busy.body, at[strings.LastIndex(at, "/")+1:]) {
		t.Errorf("a change during a reindex: %d %s", busy.status, busy.body)
	}
	b.clock.Advance(4*time.Minute - time.Millisecond)
	b.want(b.get("/Patient?ward=east", strict), http.StatusBadRequest, "")
	b.clock.Advance(time.Millisecond)
	if got := state(); got != "Completed" {
		t.Errorf("the job is %s", got)
	}
	b.call(http.MethodPut, "/Patient/later", `{"resourceType":"Patient","id":"later","extension":[{"url":"urn:contoso:ward","valueString":"EAST 2"}]}`, fhirType)
	found := parse[searchBundle](b.want(b.get("/Patient?ward=east&_sort=_lastUpdated", strict), http.StatusOK, "")).ids()
	if diff := cmp.Diff([]string{"Patient/east/1", "Patient/later/1"}, found); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
	for query, want := range map[string]string{"ward:missing=false": "Patient/east/1 Patient/later/1 Patient/west/1", "ward:missing=true": "Patient/none/1"} {
		found := parse[searchBundle](b.want(b.get("/Patient?"+query, strict), http.StatusOK, "")).ids()
		slices.Sort(found)
		if got := strings.Join(found, " "); got != want {
			t.Errorf("%s finds %s", query, got)
		}
	}
	for _, query := range []string{"ward:missing=perhaps", "ward:exact=east"} {
		b.want(b.get("/Patient?"+query), http.StatusBadRequest, codeInvalid)
	}
	b.want(b.call(http.MethodDelete, at, ""), http.StatusBadRequest, codeInvalid)
	b.want(b.get("/_operations/reindex/77"), http.StatusNotFound, codeNotFound)
	if status := b.get("/SearchParameter/$status?url=https://contoso.example/sp/ward").body; !strings.Contains(status, "Enabled") {
		t.Errorf("status: %s", status)
	}
}

func TestReindexFaults(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	b.Inject(Fault{Kind: Reindex, Times: 1, FailJob: &Failure{Status: 500, Reason: "no more room"}})
	b.Inject(Fault{Kind: Reindex, After: 1, Times: 1, StuckJob: true})
	start := func() string {
		return b.want(b.call(http.MethodPost, "/$reindex", `{"resourceType":"Parameters"}`, fhirType), http.StatusCreated, "").header.Get("Content-Location")
	}
	if failed := b.get(start()); !strings.Contains(failed.body, "Failed") || !strings.Contains(failed.body, "no more room") {
		t.Errorf("failing job: %s", failed.body)
	}
	stuck := start()
	b.clock.Advance(24 * time.Hour)
	if got := b.get(stuck); !strings.Contains(got.body, "Running") {
		t.Errorf("stuck job: %s", got.body)
	}
	b.want(b.call(http.MethodDelete, stuck, ""), http.StatusAccepted, "")
	if got := b.get(stuck); !strings.Contains(got.body, "Canceled") {
		t.Errorf("cancelled job: %s", got.body)
	}
	if got := b.get(start()); !strings.Contains(got.body, "Completed") {
		t.Errorf("the next job: %s", got.body)
	}
}

func TestExpressions(t *testing.T) {
	t.Parallel()
	raw := `{"resourceType":"Patient","active":true,"name":[{"family":"A"},{"family":"B"}],"extension":[{"url":"urn:x.y","valueCoding":{"system":"urn:s","code":"c"}},` +
		`{"url":"urn:z","extension":[{"url":"in","valueString":"deep"}]}]}`
	tests := []struct {
		expression expression
		want       []string // nil: not supported
	}{
		{"Patient.name.family", []string{"A", "B"}},
		{"Patient.extension.where(url='urn:x.y').value", []string{`{"system":"urn:s","code":"c"}`}},
		{"Patient.extension('urn:x.y').valueCoding.code", []string{"c"}},
		{"Patient.extension('urn:z').extension.where(url = 'in').value.as(string)", []string{"deep"}},
		{"Group.name | Patient.active", []string{"true"}},
		{"Resource.name.family", []string{"A", "B"}},
		{"Patient", nil},
		{"Nothing.name", nil},
		{"Patient.name.first().family", nil},
		{"", nil},
	}
	for _, test := range tests {
		t.Run(string(test.expression), func(t *testing.T) {
			t.Parallel()
			if valid := test.expression.valid(); valid != (test.want != nil) {
				t.Fatalf("valid: %v", valid)
			}
			if test.want == nil {
				return
			}
			var got []string
			for _, v := range test.expression.values("Patient", []byte(raw)) {
				got = append(got, v.String())
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("values (-want +got):\n%s", diff)
			}
		})
	}
	token := parameterTest{parameter: &parameter{typ: "token", expression: "Patient.extension('urn:x.y').value"}, wanted: []string{"else", "urn:s|c"}}
	if r := (&row{Version: Version{Type: "Patient", Raw: []byte(raw)}}); !token.holds(r) {
		t.Error("a token with its system is not found")
	}
	token.wanted = []string{"urn:t|c", "d"}
	if r := (&row{Version: Version{Type: "Patient", Raw: []byte(raw)}}); token.holds(r) {
		t.Error("another token is found")
	}
}

func TestParallelBundleWithTwoOfOneCode(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	bundle := func(bodies ...string) string {
		var entries []string
		for i, body := range bodies {
			entries = append(entries, fmt.Sprintf(`{"resource":%s,"request":{"method":"PUT","url":"SearchParameter/p%d"}}`, body, i))
		}
		return `{"resourceType":"Bundle","type":"batch","entry":[` + strings.Join(entries, ",") + `]}`
	}
	body := bundle(definition("p0", "ward"), definition("p1", "ward", "sp/ward", "sp/else"))
	b.want(b.call(http.MethodPost, "/", body, fhirType, "X-Bundle-Processing-Logic: parallel"), http.StatusBadRequest, codeInvalid)
	var statuses []string
	for _, e := range parse[searchBundle](b.want(b.call(http.MethodPost, "/", body, fhirType), http.StatusOK, "")).Entry {
		statuses = append(statuses, e.Response.Status)
	}
	if diff := cmp.Diff([]string{"201", "201"}, statuses); diff != "" { // the same meaning, so both stand
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
}
