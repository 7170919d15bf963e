package fhirservice

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestLargeRoundTrip moves 25,000 lines in about 30 files from one service to another and compares everything.
func TestLargeRoundTrip(t *testing.T) {
	t.Parallel()
	source := setupStorage(t, Options{LinesPerFile: 900})
	destination := setupStorage(t, Options{})
	filler := strings.Repeat("x", 1500)
	var seed []Version
	for i := range 25_000 {
		typ := []string{"Patient", "Observation", "Encounter"}[i%3]
		seed = append(seed, version(typ, fmt.Sprint("r", i/2), i%2+1, -100000+float64(i), `,"value":1.10,"text":"`+filler+`"`))
	}
	seed = seed[:25_000]
	source.load(dedupe(seed)...)

	began := time.Now()
	kick := source.want(source.get("/$export?includeAssociatedData=_history,_deleted", "Accept: application/fhir+json", "Prefer: respond-async"), 202, "")
	m := parse[manifest](source.want(source.get(kick.header.Get("Content-Location")), 200, ""))
	exported := time.Since(began)
	var urls []string
	total := 0
	for _, f := range m.Output {
		urls, total = append(urls, f.URL), total+f.Count
	}
	if total != len(source.Versions()) {
		t.Fatalf("exported %d lines of %d", total, len(source.Versions()))
	}
	kick = destination.want(destination.postImport(importBody(urls...)), 202, "")
	destination.want(destination.get(kick.header.Get("Content-Location")), 200, "")
	t.Logf("%d lines in %d files: export %v, both %v", total, len(urls), exported, time.Since(began))
	sameVersions(t, source.Versions(), destination.Versions())
}

// sameVersions compares one by one: a diff of all of it would take minutes.
func sameVersions(t *testing.T, want, got []Version) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("got %d versions, want %d", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i].Raw, want[i].Raw) || got[i].Deleted != want[i].Deleted || !got[i].LastUpdated.Equal(want[i].LastUpdated) {
			t.Fatalf("version %d differs:\ngot  %s\nwant %s", i, got[i].Raw, want[i].Raw)
		}
	}
}

// dedupe keeps the first of versions that share type, id and version.
func dedupe(versions []Version) []Version {
	seen := map[string]bool{}
	var out []Version
	for _, v := range versions {
		k := v.Type + "/" + v.ID + "/" + v.VersionID
		if !seen[k] {
			seen[k] = true
			out = append(out, v)
		}
	}
	return out
}

func importBody(urls ...string) string {
	var b strings.Builder
	b.WriteString(`{"resourceType":"Parameters","parameter":[{"name":"inputFormat","valueString":"application/fhir+ndjson"}`)
	for _, u := range urls {
		fmt.Fprintf(&b, `,{"name":"input","part":[{"name":"url","valueUri":"%s"}]}`, u)
	}
	b.WriteString("]}")
	return b.String()
}

func (b *bench) postImport(body string) answer {
	b.t.Helper()
	return b.call(http.MethodPost, "/$import", body, "Content-Type: application/fhir+json", "Prefer: respond-async")
}
