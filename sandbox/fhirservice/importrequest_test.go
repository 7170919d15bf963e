package fhirservice

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// importParameters builds a body out of parameters in JSON.
func importParameters(parameters ...string) string {
	return `{"resourceType":"Parameters","parameter":[` + strings.Join(parameters, ",") + `]}`
}

func TestImportRequestsAreJudged(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{})
	base := strings.TrimSuffix(b.blobs.URL(), "/")
	format := `{"name":"inputFormat","valueString":"application/fhir+ndjson"}`
	input := func(url, more string) string {
		return `{"name":"input","part":[{"name":"url","valueUri":"` + url + `"}` + more + `]}`
	}
	good := input(base+"/c/a.ndjson", "")
	part := func(name, value string) string { return `,{"name":"` + name + `","valueString":"` + value + `"}` }
	tests := []struct {
		name, section, body string
		headers             []string
		status              int
	}{
		{"good", "3.1", importParameters(format, good), nil, 202},
		{"blobs are not looked at", "3.2", importParameters(format, input(base+"/none/none.ndjson", part("etag", "0x1"))), nil, 202},
		{"unknown parameters are ignored", "3.1", importParameters(format, good, `{"name":"nonsense","valueString":"x"}`), nil, 202},
		{"url as a string", "3.1", importParameters(format, `{"name":"input","part":[{"name":"url","valueString":"`+base+`/c/a.ndjson"}]}`), nil, 202},
		{"no prefer", "3.1", importParameters(format, good), []string{jsonBody}, 400},
		{"prefer more", "3.1", importParameters(format, good), []string{jsonBody, "Prefer: respond-async, handling=lenient"}, 400},
		{"prefer twice", "3.1", importParameters(format, good), []string{jsonBody, kickOff[1], kickOff[1]}, 400},
		{"content type with charset", "3.1", importParameters(format, good), []string{"Content-Type: application/fhir+json; charset=utf-8", kickOff[1]}, 202},
		{"content type json", "3.1", importParameters(format, good), []string{"Content-Type: application/json", kickOff[1]}, 400},
		{"no JSON", "3.2", "{", nil, 400},
		{"no Parameters", "3.2", `{"resourceType":"Bundle"}`, nil, 400},
		{"no format", "3.2", importParameters(good), nil, 400},
		{"other format", "3.2", importParameters(`{"name":"inputFormat","valueString":"application/ndjson"}`, good), nil, 400},
		{"other storage", "3.2", importParameters(format, good, `{"name":"storageDetail","part":[{"name":"type","valueString":"s3"}]}`), nil, 400},
		{"azure storage", "3.2", importParameters(format, good, `{"name":"storageDetail","part":[{"name":"type","valueString":"azure-blob"}]}`), nil, 202},
		{"no input", "3.2", importParameters(format), nil, 400},
		{"the same input twice", "3.2", importParameters(format, good, good), nil, 400},
		{"unknown type", "3.2", importParameters(format, input(base+"/c/a.ndjson", part("type", "patient"))), nil, 400},
		{"known type", "3.2", importParameters(format, input(base+"/c/a.ndjson", part("type", "Patient"))), nil, 202},
		{"no url", "3.2", importParameters(format, `{"name":"input","part":[{"name":"type","valueString":"Patient"}]}`), nil, 400},
		{"relative url", "3.2", importParameters(format, input("c/a.ndjson", "")), nil, 400},
		{"url with a SAS", "3.2", importParameters(format, input(base+"/c/a.ndjson?sig=x", "")), nil, 400},
		{"another account", "3.2", importParameters(format, input("http://127.0.0.1:1/devstoreaccount1/c/a.ndjson", "")), nil, 400},
		{"another scheme", "3.2", importParameters(format, input("https"+strings.TrimPrefix(base, "http")+"/c/a.ndjson", "")), nil, 400},
		{"search parameters", "3.2", importParameters(format, input(base+"/c/a.ndjson", part("type", "SearchParameter"))), nil, 400},
		{"mode in lower case", "3.1", importParameters(format, good, `{"name":"mode","valueString":"incrementalload"}`), nil, 202},
		{"unknown mode", "3.2", importParameters(format, good, `{"name":"mode","valueString":"Full"}`), nil, 400},
		{"initial load", "3.2", importParameters(format, good, `{"name":"mode","valueString":"InitialLoad"}`), nil, 400},
		{"initial load by force", "3.1", importParameters(format, good, `{"name":"mode","valueString":"InitialLoad"}`, `{"name":"force","valueBoolean":true}`), nil, 202},
		{"units of nothing", "3.1", importParameters(format, good, `{"name":"processingUnitBytesToRead","valueInteger":0}`), nil, 400},
	}
	for _, test := range tests {
		headers := test.headers
		if headers == nil {
			headers = []string{jsonBody, kickOff[1]}
		}
		got := b.call(http.MethodPost, "/$import", test.body, headers...)
		if got.status != test.status || got.status == 400 && got.code() != codeInvalid {
			t.Errorf("section %s: %s: got %d %s, want %d: %s", test.section, test.name, got.status, got.code(), test.status, got.body)
		}
	}
	for name, other := range map[string]*bench{"Cosmos": setupStorage(t, Options{Kind: Cosmos}), "no storage": setup(t, Options{})} {
		if got := other.postImport(importParameters(format, good)); got.status != 400 || got.code() != codeInvalid {
			t.Errorf("section 3.2: %s: %d %s", name, got.status, got.body)
		}
	}
	if got := setupStorage(t, Options{InitialImportMode: true}).postImport(importParameters(format, good, `{"name":"mode","valueString":"InitialLoad"}`)); got.status != 202 {
		t.Errorf("section 3.4: initial load in initial-import mode: %d %s", got.status, got.body)
	}
}

// An equal body gets the same job, in whatever state it is; a body that differs in anything that counts gets another.
func TestImportIsRegisteredOnce(t *testing.T) {
	t.Parallel()
	b := setupStorage(t, Options{ImportTime: func(int) time.Duration { return time.Minute }})
	_, put := b.container()
	one, two := put("one.ndjson", `{"resourceType":"Patient","id":"p"}`), put("two.ndjson", "")
	post := func(body string) string { return b.want(b.postImport(body), 202, "").header.Get("Content-Location") }
	with := func(urls []string, more string) string {
		return strings.TrimSuffix(importBody(urls...), "]}") + more + "]}"
	}
	first := post(importBody(one, two))
	if !strings.HasPrefix(first, b.URL()+"/_operations/import/") {
		t.Errorf("section 3.3: Content-Location %s", first)
	}
	seen := map[string]string{first: "the first"}
	for name, body := range map[string]string{
		"other order": importBody(two, one), "one input": importBody(one), "source": with([]string{one, two}, `,{"name":"inputSource","valueUri":"http://x/1"}`),
		"error container":   with([]string{one, two}, `,{"name":"errorContainerName","valueString":"errors"}`),
		"negative versions": with([]string{one, two}, `,{"name":"allowNegativeVersions","valueBoolean":true}`),
		"eventually":        with([]string{one, two}, `,{"name":"eventualConsistency","valueBoolean":true}`),
		"unit size":         with([]string{one, two}, `,{"name":"processingUnitBytesToRead","valueInteger":5}`),
		"etag":              strings.Replace(importBody(one, two), `"part":[`, `"part":[{"name":"etag","valueString":"x"},`, 1),
	} {
		at := post(body)
		if other, taken := seen[at]; taken {
			t.Errorf("section 3.3: %s gets the job of %s", name, other)
		}
		seen[at] = name
	}
	if again := post(importBody(one, two)); again != first {
		t.Errorf("section 3.3: while it runs, the same body gets %s, not %s", again, first)
	}
	b.clock.Advance(time.Hour)
	b.want(b.get(first), 200, "")
	if again := post(importBody(one, two)); again != first {
		t.Errorf("section 3.3: after success, the same body gets %s, not %s", again, first)
	}
	missing := fmt.Sprintf("%s-missing", one)
	failed := post(importBody(missing))
	b.clock.Advance(time.Hour)
	b.want(b.get(failed), 404, codeProcessing)
	put("one.ndjson-missing", `{"resourceType":"Patient","id":"p"}`)
	if again := post(importBody(missing)); again != failed {
		t.Errorf("section 3.3: after failure, the same body gets %s, not %s", again, failed)
	}
	b.want(b.get(failed), 404, codeProcessing)
	cancelled := post(importBody(put("three.ndjson", "")))
	b.want(b.call(http.MethodDelete, cancelled, ""), 202, "")
	if again := post(importBody(strings.TrimSuffix(one, "one.ndjson") + "three.ndjson")); again != cancelled {
		t.Errorf("section 3.3: after cancellation, the same body gets %s, not %s", again, cancelled)
	}
}
