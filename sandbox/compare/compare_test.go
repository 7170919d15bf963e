package compare_test

import (
	"bytes"
	"testing"
	"time"

	"fhirmigration/sandbox/compare"
	"fhirmigration/sandbox/fhirservice"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2024, 5, 1, 12, 0, 0, 123_000_000, time.UTC)

// version is an Observation's n-th version.
func version(id, n, raw string) fhirservice.Version {
	return fhirservice.Version{Type: "Observation", ID: id, VersionID: n, LastUpdated: noon, Raw: []byte(raw)}
}

const body = `{"resourceType":"Observation","id":"o","meta":{"versionId":"1","lastUpdated":"2024-05-01T12:00:00.123+00:00"},` +
	`"status":"final","valueQuantity":{"value":1.10},"note":[{"text":"a"},{"text":"b"}],"flag":true}`

func TestEqual(t *testing.T) {
	t.Parallel()
	reordered := `{ "id":"o", "resourceType":"Observation", "flag":true, "note":[{"text":"\u0061"},{"text":"b"}],` +
		`"valueQuantity":{"value":1.10},"status":"final","meta":{"lastUpdated":"2024-05-01T12:00:00.123+00:00","versionId":"1"}}`
	finer := version("o", "1", reordered)
	finer.LastUpdated = noon.Add(400 * time.Microsecond)
	for name, destination := range map[string]fhirservice.Version{"same bytes": version("o", "1", body), "other order": finer} {
		report := compare.Versions([]fhirservice.Version{version("o", "1", body)}, []fhirservice.Version{destination})
		if !report.Same() || report.Total.Equal != 1 {
			t.Errorf("%s: %+v, want one equal", name, report)
		}
	}
}

// TestDifferent breaks one thing at a time.
func TestDifferent(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		breaks func(*fhirservice.Version)
		want   string
	}{
		"a trailing zero": {
			replace(`1.10`, `1.1`), `valueQuantity.value: 1.10 at the source, 1.1 at the destination`},
		"another notation": {
			replace(`1.10`, `110e-2`), `valueQuantity.value: 1.10 at the source, 110e-2 at the destination`},
		"a number as text": {
			replace(`1.10`, `"1.10"`), `valueQuantity.value: 1.10 at the source, "1.10" at the destination`},
		"a word": {
			replace(`final`, `amended`), `status: "final" at the source, "amended" at the destination`},
		"a boolean": {
			replace(`true`, `false`), `flag: true at the source, false at the destination`},
		"an object for a value": {
			replace(`true`, `{}`), `flag: true at the source, {} at the destination`},
		"a value for an object": {
			replace(`{"value":1.10}`, `7`), `valueQuantity: {"value":1.10} at the source, 7 at the destination`},
		"an item": {
			replace(`"b"`, `"c"`), `note[1].text: "b" at the source, "c" at the destination`},
		"the order of items": {
			replace(`{"text":"a"},{"text":"b"}`, `{"text":"b"},{"text":"a"}`), `note[0].text: "a" at the source, "b" at the destination`},
		"one item less": {
			replace(`,{"text":"b"}`, ``), `note: 2 items at the source, 1 at the destination`},
		"a member less": {
			replace(`,"flag":true`, ``), `flag: true at the source, absent at the destination`},
		"a member more": {
			replace(`"flag"`, `"more":null,"flag"`), `more: absent at the source, null at the destination`},
		"meta": {
			replace(`"versionId":"1"`, `"versionId":"1","security":[{"code":"R"}]`),
			`meta.security: absent at the source, [{"code":"R"}] at the destination`},
		"the offset of lastUpdated": {
			replace(`12:00:00.123+00:00`, `14:00:00.123+02:00`),
			`meta.lastUpdated: "2024-05-01T12:00:00.123+00:00" at the source, "2024-05-01T14:00:00.123+02:00" at the destination`},
		"the instant": {
			func(v *fhirservice.Version) { v.LastUpdated = noon.Add(time.Millisecond) },
			`lastUpdated: 2024-05-01T12:00:00.123Z at the source, 2024-05-01T12:00:00.124Z at the destination`},
		"the deletion": {
			func(v *fhirservice.Version) { v.Deleted = true }, `deleted: false at the source, true at the destination`},
		"no JSON": {
			replace(`"flag":true}`, `"flag"`), `the destination holds no JSON: unexpected EOF`},
		"two values": {
			replace(`"flag":true}`, `"flag":true}{}`), `the destination holds no JSON: more follows after the value`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			destination := version("o", "1", body)
			test.breaks(&destination)
			report := compare.Versions([]fhirservice.Version{version("o", "1", body)}, []fhirservice.Version{destination})
			want := []compare.Finding{{Type: "Observation", ID: "o", VersionID: "1", Outcome: compare.Different, Difference: test.want}}
			if diff := cmp.Diff(want, report.Findings); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if report.Same() || report.Total.Different != 1 || report.Total.Equal != 0 {
				t.Errorf("totals %+v, want one different", report.Total)
			}
		})
	}
}

// replace breaks the body in one place.
func replace(from, to string) func(*fhirservice.Version) {
	return func(v *fhirservice.Version) {
		v.Raw = bytes.ReplaceAll(v.Raw, []byte(from), []byte(to))
	}
}

func TestMissingAndExtra(t *testing.T) {
	t.Parallel()
	source := []fhirservice.Version{version("a", "1", "{}"), version("a", "2", "{}"), version("a", "10", "{}"), version("c", "1", "{}")}
	destination := []fhirservice.Version{version("b", "1", "{}"), version("a", "10", "{}"), version("a", "1", "{}"), version("d", "1", "{}"), version("d", "1", "{}")}
	report := compare.Versions(source, destination)
	want := []string{
		"Observation/a version 2: missing", "Observation/b version 1: extra", "Observation/c version 1: missing",
		"Observation/d version 1: extra", "Observation/d version 1: extra",
	}
	var got []string
	for _, finding := range report.Findings {
		got = append(got, finding.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
}

func TestCountsByType(t *testing.T) {
	t.Parallel()
	gone := fhirservice.Version{Type: "Patient", ID: "p", VersionID: "2", LastUpdated: noon, Deleted: true, Raw: []byte("{}")}
	alive := fhirservice.Version{Type: "Patient", ID: "p", VersionID: "1", LastUpdated: noon, Raw: []byte("{}")}
	report := compare.Versions(
		[]fhirservice.Version{gone, alive, version("o", "1", "{}")},
		[]fhirservice.Version{alive, gone, version("o", "1", "[]"), version("o", "2", "{}")},
	)
	want := []compare.Row{
		{Type: "Observation", SourceVersions: 1, DestinationVersions: 2, Different: 1, Extra: 1},
		{Type: "Patient", SourceVersions: 2, SourceDeletions: 1, DestinationVersions: 2, DestinationDeletions: 1, Equal: 2},
	}
	if diff := cmp.Diff(want, report.Rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	total := compare.Row{
		Type: "all", SourceVersions: 3, SourceDeletions: 1, DestinationVersions: 4, DestinationDeletions: 1, Equal: 2, Different: 1, Extra: 1,
	}
	if diff := cmp.Diff(total, report.Total); diff != "" {
		t.Errorf("total (-want +got):\n%s", diff)
	}
}

func TestNothingIsTheSame(t *testing.T) {
	t.Parallel()
	if report := compare.Versions(nil, nil); !report.Same() || report.Total.Equal != 0 {
		t.Errorf("%+v, want no findings and no versions", report)
	}
}
