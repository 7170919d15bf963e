package fhirservice

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const jsonBody = "Content-Type: application/fhir+json"

func TestWriteReadDelete(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	b.clock.Advance(123456789 * time.Nanosecond) // the service cuts it to milliseconds

	created := b.want(b.call(http.MethodPut, "/Patient/p", `{"resourceType":"Patient","id":"p","multipleBirthInteger":12345678901234567890,"x":1.10}`, jsonBody), 201, "")
	want := `{"resourceType":"Patient","id":"p","multipleBirthInteger":12345678901234567890,"x":1.10,"meta":{"versionId":"1","lastUpdated":"2024-05-01T12:00:00.123+00:00"}}`
	if created.body != want {
		t.Errorf("got  %s\nwant %s", created.body, want)
	}
	if created.header.Get("Location") != b.URL()+"/Patient/p/_history/1" || created.header.Get("ETag") != `W/"1"` {
		t.Errorf("headers %v", created.header)
	}
	b.clock.Advance(time.Second)
	b.want(b.call(http.MethodPut, "/Patient/p", `{"resourceType":"Patient","id":"p","meta":{"versionId":"77","tag":[]}}`, jsonBody), 200, "")
	b.want(b.call(http.MethodPut, "/Patient/p", `{"resourceType":"Patient","id":"p"}`, jsonBody, `If-Match: W/"1"`), 412, codeConflict)
	if got := b.want(b.get("/Patient/p"), 200, ""); !strings.Contains(got.body, `"meta":{"versionId":"2","tag":[],"lastUpdated":"2024-05-01T12:00:01.123+00:00"}`) {
		t.Errorf("got %s", got.body)
	}
	if got := b.want(b.get("/Patient/p/_history/1"), 200, ""); got.body != want {
		t.Errorf("version 1 is %s", got.body)
	}

	b.want(b.call(http.MethodDelete, "/Patient/p", ""), 204, "")
	b.want(b.call(http.MethodDelete, "/Patient/p", ""), 204, "")
	b.want(b.get("/Patient/p"), 410, codeDeleted)
	b.want(b.get("/Patient/p/_history/3"), 410, codeDeleted)
	b.want(b.get("/Patient/p/_history/2"), 200, "")
	b.want(b.get("/Patient/p/_history/4"), 404, codeNotFound)
	b.want(b.get("/Patient/none"), 404, codeNotFound)
	if diff := cmp.Diff([]string{"Patient/p/1", "Patient/p/2", "-Patient/p/3"}, keys(b.Versions())); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := string(b.Versions()[2].Raw); got != `{"resourceType":"Patient","id":"p","meta":{"versionId":"3","lastUpdated":"2024-05-01T12:00:01.123+00:00"}}` {
		t.Errorf("the deleted version is %s", got)
	}
	b.want(b.call(http.MethodDelete, "/Patient/p?hardDelete=true", ""), 204, "")
	b.want(b.get("/Patient/p"), 404, codeNotFound)
	if got := b.Versions(); len(got) != 0 {
		t.Errorf("after the hard delete there is %v", keys(got))
	}
}

func TestCreateByPost(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	got := b.want(b.call(http.MethodPost, "/Patient", `{"resourceType":"Patient","id":"ignored"}`, jsonBody), 201, "")
	v := b.Versions()
	if len(v) != 1 || v[0].ID == "ignored" || !strings.Contains(got.header.Get("Location"), v[0].ID) {
		t.Errorf("got %v and Location %s", keys(v), got.header.Get("Location"))
	}
}

func TestWritesThatAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	for name, test := range map[string]struct {
		path, body, contentType string
		status                  int
	}{
		"no JSON":         {"/Patient/p", `{`, jsonBody, 400},
		"other type":      {"/Patient/p", `{"resourceType":"Group","id":"p"}`, jsonBody, 400},
		"other id":        {"/Patient/p", `{"resourceType":"Patient","id":"q"}`, jsonBody, 400},
		"bad id":          {"/Patient/p_p", `{"resourceType":"Patient","id":"p_p"}`, jsonBody, 400},
		"unknown type":    {"/Nonsense/p", `{"resourceType":"Nonsense","id":"p"}`, jsonBody, 404},
		"no content type": {"/Patient/p", `{"resourceType":"Patient","id":"p"}`, "X-Nothing: 1", 415},
	} {
		if got := b.call(http.MethodPut, test.path, test.body, test.contentType); got.status != test.status {
			t.Errorf("%s: got %d, want %d: %s", name, got.status, test.status, got.body)
		}
	}
	if got := b.Versions(); len(got) != 0 {
		t.Errorf("stored %v", keys(got))
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	b.load(version("Patient", "a", 1, -10, ""), version("Patient", "b", 1, -10, ""))
	got := parse[searchBundle](b.want(b.call(http.MethodPost, "/", `{"resourceType":"Bundle","type":"batch","entry":[
		{"request":{"method":"GET","url":"Patient/new"}},
		{"request":{"method":"GET","url":"/Patient/none"}},
		{"request":{"method":"PUT","url":"Patient/new"},"resource":{"resourceType":"Patient","id":"new"}},
		{"request":{"method":"DELETE","url":"Patient/a"}},
		{"request":{"method":"GET","url":"Patient?_summary=count"}},
		{"request":{"method":"GET","url":"$export"}},
		{"request":{"method":"PATCH","url":"Patient/b"}}]}`, jsonBody), 200, ""))
	var statuses []string
	for _, e := range got.Entry {
		statuses = append(statuses, e.Response.Status)
	}
	// Writes are carried out before reads, so the first entry finds what the third one stores.
	if diff := cmp.Diff([]string{"200", "404", "201", "204", "200", "404", "400"}, statuses); diff != "" {
		t.Errorf("section 7: -want +got:\n%s", diff)
	}
	if total := parse[searchBundle](answer{body: string(got.Entry[4].Resource)}).Total; total == nil || *total != 2 {
		t.Errorf("the count in the batch is %v", total)
	}
	if o := got.Entry[1].Response.Outcome; o == nil || o.first().Code != codeNotFound {
		t.Errorf("section 7: outcome %+v", o)
	}
	entry := `{"request":{"method":"GET","url":"Patient/a"}}`
	full := strings.Repeat(entry+",", 499) + entry
	b.want(b.call(http.MethodPost, "/", `{"resourceType":"Bundle","type":"batch","entry":[`+full+`]}`, jsonBody), 200, "")
	b.want(b.call(http.MethodPost, "/", `{"resourceType":"Bundle","type":"batch","entry":[`+full+","+entry+`]}`, jsonBody), 400, codeInvalid)
	b.want(b.call(http.MethodPost, "/", `{"resourceType":"Bundle","type":"transaction"}`, jsonBody), 400, codeInvalid)
	b.want(b.call(http.MethodPost, "/", `{"resourceType":"Patient"}`, jsonBody), 400, codeInvalid)
}

// A sequential batch gives up at the second 429 of an entry and answers 429 for all that follow; a parallel one goes on.
func TestBatchUnderThrottling(t *testing.T) {
	t.Parallel()
	body := `{"resourceType":"Bundle","type":"batch","entry":[
		{"request":{"method":"GET","url":"Patient/a"}},{"request":{"method":"GET","url":"Patient/a"}},{"request":{"method":"GET","url":"Patient/a"}}]}`
	for name, test := range map[string]struct {
		times  int
		header string
		want   []string
	}{
		"once: retried":       {1, "X-None: 1", []string{"200", "200", "200"}},
		"twice: all the rest": {2, "X-None: 1", []string{"429", "429", "429"}},
		"parallel":            {1, "x-bundle-processing-logic: parallel", []string{"429", "200", "200"}},
	} {
		b := setup(t, Options{})
		b.load(version("Patient", "a", 1, -10, ""))
		b.Inject(Fault{Kind: Read, Times: test.times, Status: 429})
		got := parse[searchBundle](b.want(b.call(http.MethodPost, "/", body, jsonBody, test.header), 200, ""))
		var statuses []string
		for _, e := range got.Entry {
			statuses = append(statuses, e.Response.Status)
		}
		if diff := cmp.Diff(test.want, statuses); diff != "" {
			t.Errorf("section 7: %s: -want +got:\n%s", name, diff)
		}
	}
}
