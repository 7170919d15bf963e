package fhirservice

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAuthentication(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{BasePath: "/fhir/r4", Verify: func(token string) error {
		if token != "good" {
			return errors.New("bad token")
		}
		return nil
	}})
	b.want(b.get("/metadata"), 200, "")
	b.want(b.get("/"), 401, codeLogin)
	b.want(b.get("/Patient", "Authorization: Bearer bad"), 401, codeLogin)
	b.want(b.get("/Patient", "Authorization: good"), 401, codeLogin)
	b.want(b.get("/", "Authorization: Bearer good"), 200, "")
	b.want(b.call(http.MethodDelete, "/_operations/export/1", ""), 401, codeLogin)
	type seen struct {
		Kind   Operation
		Token  bool
		Status int
		Path   string
	}
	var got []seen
	for _, c := range b.Calls() {
		got = append(got, seen{c.Kind, c.Token, c.Status, c.Path})
	}
	if diff := cmp.Diff([]seen{
		{Metadata, false, 200, "/fhir/r4/metadata"}, {Search, false, 401, "/fhir/r4/"}, {Search, true, 401, "/fhir/r4/Patient"}, {Search, false, 401, "/fhir/r4/Patient"},
		{Search, true, 200, "/fhir/r4/"}, {ExportCancel, false, 401, "/fhir/r4/_operations/export/1"},
	}, got); diff != "" {
		t.Errorf("calls, -want +got:\n%s", diff)
	}
	if b.Calls()[0].Host != strings.Split(b.URL(), "/")[2] {
		t.Errorf("host %q", b.Calls()[0].Host)
	}
}

func TestEveryAnswerSaysWhenAndWhich(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	got := b.get("/Patient/none", "X-Request-Id: mine")
	if got.header.Get("Date") != "Wed, 01 May 2024 12:00:00 GMT" {
		t.Errorf("Date %s, want the service's clock", got.header.Get("Date"))
	}
	if id := parse[operationOutcome](got).ID; id == "" || id != got.header.Get("X-Request-Id") || got.header.Get("X-Correlation-Id") != "mine" {
		t.Errorf("section 8: outcome %q, X-Request-Id %q, X-Correlation-Id %q", id, got.header.Get("X-Request-Id"), got.header.Get("X-Correlation-Id"))
	}
	if again := b.get("/Patient/none"); again.header.Get("X-Request-Id") == got.header.Get("X-Request-Id") {
		t.Error("two calls have one id")
	}
}

func TestOperationKinds(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	form := "Content-Type: application/x-www-form-urlencoded"
	calls := []struct {
		method, path, body string
		want               Operation
	}{
		{"GET", "/metadata", "", Metadata}, {"GET", "/?_summary=count", "", Count}, {"GET", "/Patient?_count=0", "", Count}, {"GET", "/Patient?_count=1", "", Search},
		{"POST", "/_search", "_summary=count", Count}, {"POST", "/Patient/_search", "", Search}, {"GET", "/_history", "", History},
		{"GET", "/Patient/_history?_summary=count", "", HistoryCount}, {"GET", "/Patient/p/_history", "", History}, {"GET", "/Patient/p/_history/1", "", Read},
		{"GET", "/Patient/p", "", Read}, {"PUT", "/Patient/p", "", Write}, {"DELETE", "/Patient/p", "", Write}, {"POST", "/Patient", "", Write}, {"POST", "/", "", Batch},
		{"GET", "/$export", "", Export}, {"GET", "/Patient/$export", "", Export}, {"GET", "/Group/g/$export", "", Export}, {"GET", "/_operations/export/1", "", ExportStatus},
		{"DELETE", "/_operations/export/1", "", ExportCancel}, {"POST", "/$import", "", Import}, {"GET", "/_operations/import/1", "", ImportStatus},
		{"DELETE", "/_operations/import/1", "", ImportCancel}, {"POST", "/$export", "", Other}, {"GET", "/_operations/reindex/1", "", ReindexStatus}, {"POST", "/$reindex", "", Reindex},
		{"DELETE", "/_operations/reindex/1", "", ReindexCancel}, {"GET", "/SearchParameter/$status", "", Read},
	}
	for i, c := range calls {
		b.call(c.method, c.path, c.body, form)
		if got := b.Calls()[i].Kind; got != c.want {
			t.Errorf("%s %s is %s, want %s", c.method, c.path, got, c.want)
		}
	}
}

func TestInitialImportLock(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{InitialImportMode: true})
	form := "Content-Type: application/x-www-form-urlencoded"
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"PUT", "/Patient/p", 423}, {"DELETE", "/Patient/p", 423}, {"POST", "/", 423}, {"GET", "/$reindex", 423}, {"POST", "/$reindex", 423},
		{"GET", "/Patient", 200}, {"POST", "/Patient/_search", 200}, {"POST", "/_search?_summary=count", 200}, {"POST", "/$import", 400}, {"DELETE", "/_operations/import/1", 404}, {"DELETE", "/_operations/reindex/1", 404},
	} {
		got := b.call(c.method, c.path, "", form)
		if got.status != c.status {
			t.Errorf("section 3.4: %s %s gives %d, want %d", c.method, c.path, got.status, c.status)
		}
		if got.status == 423 && (strings.Contains(got.body, "resourceType") || !strings.Contains(got.body, `"diagnostics"`)) {
			t.Errorf("section 0.2: the body of 423 is %s", got.body)
		}
	}
}

func TestMetadataListsTheTypesInTheStore(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	seedSearch(b)
	type statement struct {
		ResourceType string
		Rest         []struct {
			Resource []struct{ Type string }
		}
	}
	got := parse[statement](b.want(b.get("/metadata"), 200, ""))
	var types []string
	for _, r := range got.Rest[0].Resource {
		types = append(types, r.Type)
	}
	if diff := cmp.Diff([]string{"Observation", "Patient"}, types); diff != "" || got.ResourceType != "CapabilityStatement" {
		t.Errorf("%s: -want +got:\n%s", got.ResourceType, diff)
	}
}

func TestBadOptions(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{
		"kind": {Kind: "Mongo"}, "base path": {BasePath: "fhir/"}, "lines": {LinesPerFile: 10001}, "workers": {Workers: -1}, "storage": {StorageConnectionString: "x"},
		"address": {Addr: "nowhere"},
	} {
		if s, err := Start(t.Context(), o); err == nil {
			t.Errorf("%s: it started", name)
			_ = s.Close()
		}
	}
}

// Two slashes, one behind the other, lead nowhere; one at the end does no harm.
func TestPathsAreTakenAsTheyAre(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{BasePath: "/fhir"})
	for path, status := range map[string]int{
		"": 200, "/": 200, "/Patient": 200, "/Patient/": 200, "//": 404, "//Patient": 404, "/Patient//": 404, "/Patient//_history": 404, "//$export": 404, "//metadata": 404,
	} {
		if got := b.get(path, kickOff...); got.status != status || status == 404 && got.code() != codeNotFound {
			t.Errorf("%s gives %d %s, want %d", path, got.status, got.code(), status)
		}
	}
}

func TestLimitsOfARequest(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	fits := "/Patient?_id=" + strings.Repeat("a", maxRequestLine-len("GET /Patient?_id= HTTP/1.1\r\n"))
	b.want(b.get(fits), 200, "")
	if got := b.want(b.get(fits+"a"), 414, ""); got.body != "" {
		t.Errorf("section 7: 414 has the body %s", got.body)
	}
	b.want(b.call(http.MethodPost, "/$import", strings.Repeat(" ", maxBody+1)), 413, codeTooCostly)
}
