package fhirservice

import (
	"strings"
	"testing"
)

var kickOff = []string{"Accept: application/fhir+json", "Prefer: respond-async"}

func TestExportHeadersAreJudged(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	accept, async := kickOff[0], kickOff[1]
	tests := []struct {
		name    string
		headers []string
		status  int
	}{
		{"both", []string{accept, async}, 202},
		{"accept in capitals", []string{"Accept: Application/FHIR+JSON", async}, 202},
		{"no accept", []string{async}, 400},
		{"accept json", []string{"Accept: application/json", async}, 400},
		{"accept anything", []string{"Accept: */*", async}, 400},
		{"accept with charset", []string{"Accept: application/fhir+json; charset=utf-8", async}, 400},
		{"accept a list", []string{"Accept: application/fhir+json, application/json", async}, 400},
		{"accept twice", []string{accept, accept, async}, 400},
		{"no prefer", []string{accept}, 400},
		{"prefer something else", []string{accept, "Prefer: respond-sync"}, 400},
		{"prefer wait", []string{accept, "Prefer: respond-async, wait=10"}, 400},
		{"prefer handling", []string{accept, "Prefer: respond-async; handling=lenient"}, 202},
		{"prefer handling in a line of its own", []string{accept, async, "Prefer: handling=strict"}, 202},
		{"prefer handling alone", []string{accept, "Prefer: handling=strict"}, 400},
	}
	for _, test := range tests {
		if got := b.get("/$export", test.headers...); got.status != test.status {
			t.Errorf("section 1.1: %s: got %d, want %d: %s", test.name, got.status, test.status, got.body)
		} else if got.status == 400 && got.code() != codeInvalid {
			t.Errorf("section 1.1: %s: code %s", test.name, got.code())
		}
	}
}

func TestExportParametersAreJudged(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	tests := []struct {
		section, path string
		status        int
	}{
		{"1.1", "/$export", 202},
		{"1.1", "/Patient/$export?includeAssociatedData=_history&_isParallel=true", 202},
		{"1.1", "/Group/g/$export", 202},
		{"1.1", "/Observation/$export", 400},
		{"1.1", "/Patient/p/$export", 400},
		{"1.1", "/$export?_Since=2024", 400},
		{"1.1", "/$export?_since=2024&foo=1", 400},
		{"1.2", "/$export?_since=2024-01-01T00:00:00.0000000Z&_till=2024-02", 202},
		{"1.2", "/$export?_since=2024-01-01T00:00:00.000%2B00:00", 202},
		{"1.2", "/$export?_since=2024-01-01T00:00:00.000+00:00", 400},
		{"1.2", "/$export?_till=2024-01-01%20", 400},
		{"1.2", "/$export?_since=2024&_till=2023", 202},
		{"1.2", "/$export?_till=2100-01-01", 202},
		{"1.2", "/$export?_type=Nonsense,%20Patient", 202},
		{"1.2", "/$export?_typeFilter=Patient?_id=p", 400},
		{"1.2", "/$export?_type=&_typeFilter=Patient?_id=p", 400},
		{"1.2", "/$export?_type=Patient&_typeFilter=Patient?_id=p", 202},
		{"1.2", "/$export?_type=Patient&_typeFilter=Patient", 400},
		{"1.2", "/$export?_type=Patient&_typeFilter=Patient?_id", 400},
		{"1.2", "/$export?_type=Patient&_typeFilter=Patient?_id=p,q", 400},
		{"1.2", "/$export?_type=Patient&_typeFilter=Patient?nonsense=p", 400},
		{"1.2", "/$export?_type=Patient&_typeFilter=Patient?_id=p&includeAssociatedData=_history", 400},
		{"1.2", "/$export?_container=my", 202},
		{"1.2", "/$export?_container=..%2Fmy", 400},
		{"1.2", "/$export?_container=my%252F..", 400},
		{"1.2", "/$export?_container=a..b", 202},
		{"1.2", "/$export?_isParallel=false", 202},
		{"1.2", "/$export?_isParallel=True", 202},
		{"1.2", "/$export?_isParallel=1", 400},
		{"1.2", "/$export?includeAssociatedData=_history,_deleted", 202},
		{"1.2", "/$export?includeAssociatedData=history", 400},
		{"1.2", "/$export?_maxCount=0", 202},
		{"1.2", "/$export?_maxCount=10000", 202},
		{"1.2", "/$export?_maxCount=10001", 400},
		{"1.2", "/$export?_maxCount=-1", 400},
		{"1.2", "/$export?_maxCount=ten", 400},
		{"1.2", "/$export?_outputFormat=application/fhir%2Bndjson", 202},
		{"1.2", "/$export?_outputFormat=application/fhir+ndjson", 400},
		{"1.2", "/$export?_outputFormat=NDJSON", 400},
		{"1.2", "/$export?_format=json", 400},
		{"1.2", "/$export?_anonymizationConfig=c.json&_container=my", 202},
		{"1.2", "/$export?_anonymizationConfig=c.json&_container=my&_anonymizationConfigEtag=1", 202},
		{"1.2", "/$export?_anonymizationConfig=c.json", 400},
		{"1.2", "/$export?_anonymizationConfigEtag=1&_container=my", 400},
		{"1.2", "/$export?_anonymizationConfig=c.json&_container=my&_anonymizationConfigEtag=1&_anonymizationConfigCollectionReference=r", 400},
		{"1.2", "/$export?_anonymizationConfig=c.json&_container=my&_anonymizationConfigCollectionReference=r", 400},
	}
	for _, test := range tests {
		got := b.get(test.path, kickOff...)
		if got.status != test.status || got.status == 400 && got.code() != codeInvalid {
			t.Errorf("section %s: %s gives %d %s, want %d: %s", test.section, test.path, got.status, got.code(), test.status, got.body)
		}
	}
	if got := b.get("/$export?_type=Patient&_typeFilter=Patient?nonsense=p", kickOff[0], "Prefer: respond-async, handling=lenient"); got.status != 202 {
		t.Errorf("section 1.2: lenient handling of a filter gives %d", got.status)
	}
}

// Nothing is de-duplicated: each accepted call is a job.
func TestExportKickOffsAreNeverTheSame(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{BasePath: "/base"})
	first, second := b.get("/$export", kickOff...), b.get("/$export", kickOff...)
	one, two := first.header.Get("Content-Location"), second.header.Get("Content-Location")
	if one == two || !strings.HasPrefix(one, b.URL()+"/_operations/export/") || first.body != "" {
		t.Errorf("section 1.4: %s and %s, body %q", one, two, first.body)
	}
}
