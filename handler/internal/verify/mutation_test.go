package verify

import (
	"strings"
	"testing"
	"time"

	"fhirmigration/sandbox/fhirservice"
)

// spoil changes one resource's JSON, at the destination alone.
func spoil(old, new string) func([]fhirservice.Version) []fhirservice.Version {
	return func(all []fhirservice.Version) []fhirservice.Version {
		for i, v := range all {
			if before, after, ok := strings.Cut(string(v.Raw), old); ok && v.ID == "observation-5" {
				all[i].Raw = []byte(before + new + after)
				return all
			}
		}
		panic("nothing to spoil: " + old)
	}
}

func drop(id, number string) func([]fhirservice.Version) []fhirservice.Version {
	return func(all []fhirservice.Version) (kept []fhirservice.Version) {
		for _, v := range all {
			if v.ID != id || number != "" && v.VersionID != number {
				kept = append(kept, v)
			}
		}
		return kept
	}
}

func add(v fhirservice.Version) func([]fhirservice.Version) []fhirservice.Version {
	return func(all []fhirservice.Version) []fhirservice.Version { return append(all, v) }
}

func move(id, number string, to func(fhirservice.Version) fhirservice.Version) func([]fhirservice.Version) []fhirservice.Version {
	return func(all []fhirservice.Version) []fhirservice.Version {
		for i, v := range all {
			if v.ID == id && v.VersionID == number {
				all[i] = to(v)
			}
		}
		return all
	}
}

const rich = `,"meta":{"security":[{"code":"R"}],"tag":[{"code":"a"}],"profile":["urn:p"]},"text":{"div":"<div>n\u00e9</div>"},"status":"final","subject":{"reference":"Patient/patient-1"},` +
	`"identifier":[{"value":"x"},{"value":"y"}],"code":{"coding":[{"system":"urn:s","code":"c"}],"text":"t"},"valueQuantity":{"value":1.10,"unit":"mg","comparator":""},` +
	`"effectiveDateTime":"2024-05-01T10:00:00+02:00","extension":[{"url":"urn:1","valueDecimal":12345678901234567890},{"url":"urn:2","valueBoolean":true}],` +
	`"component":[{"valueInteger":1},{"valueInteger":2}],"note":[{"text":"caf\u00e9 "}],"performer":[],"birthDate":"1970-01"`

// mutations are ways in which a destination can be spoilt, and what must be found, with history and without.
var mutations = []struct {
	name    string
	spoil   func([]fhirservice.Version) []fhirservice.Version
	id      string
	outcome Outcome
	pointer string // of the first difference
	kind    Change
}{
	{"a digit", spoil("1.10", "1.20"), "observation-5", Different, "/valueQuantity/value", Changed},
	{"a trailing zero", spoil("1.10", "1.1"), "observation-5", Different, "/valueQuantity/value", Changed},
	{"an exponent", spoil("1.10", "1.10e0"), "observation-5", Different, "/valueQuantity/value", Changed},
	{"a number as text", spoil(":1.10", `:"1.10"`), "observation-5", Different, "/valueQuantity/value", Changed},
	{"a long decimal cut", spoil("12345678901234567890", "12345678901234567900"), "observation-5", Different, "/extension/0/valueDecimal", Changed},
	{"a sign", spoil(`"valueInteger":2`, `"valueInteger":-2`), "observation-5", Different, "/component/1/valueInteger", Changed},
	{"a time zone", spoil("10:00:00+02:00", "08:00:00Z"), "observation-5", Different, "/effectiveDateTime", Changed},
	{"a zone spelled otherwise", spoil("+02:00", "+0200"), "observation-5", Different, "/effectiveDateTime", Changed},
	{"a date made precise", spoil("1970-01", "1970-01-01"), "observation-5", Different, "/birthDate", Changed},
	{"an array swapped", spoil(`{"value":"x"},{"value":"y"}`, `{"value":"y"},{"value":"x"}`), "observation-5", Different, "/identifier/0/value", Changed},
	{"an element dropped", spoil(`{"value":"x"},`, ``), "observation-5", Different, "/identifier/0", Removed},
	{"an element doubled", spoil(`{"value":"y"}`, `{"value":"y"},{"value":"y"}`), "observation-5", Different, "/identifier/2", Added},
	{"an extension dropped", spoil(`,{"url":"urn:2","valueBoolean":true}`, ``), "observation-5", Different, "/extension/1", Removed},
	{"an extension added", spoil(`"extension":[`, `"extension":[{"url":"urn:0"},`), "observation-5", Different, "/extension/0", Added},
	{"a security label changed", spoil(`"security":[{"code":"R"}]`, `"security":[{"code":"N"}]`), "observation-5", Different, "/meta/security/0/code", Changed},
	{"a security label dropped", spoil(`"security":[{"code":"R"}],`, ``), "observation-5", Different, "/meta/security", Removed},
	{"a profile changed", spoil("urn:p", "urn:q"), "observation-5", Different, "/meta/profile/0", Changed},
	{"a tag dropped", spoil(`"tag":[{"code":"a"}],`, ``), "observation-5", Different, "/meta/tag", Removed},
	{"the unicode form", spoil(`caf\u00e9`, `cafe\u0301`), "observation-5", Different, "/note/0/text", Changed},
	{"a space at the end", spoil(`\u00e9 "`, `\u00e9"`), "observation-5", Different, "/note/0/text", Changed},
	{"an empty string dropped", spoil(`,"comparator":""`, ``), "observation-5", Different, "/valueQuantity/comparator", Removed},
	{"an empty array dropped", spoil(`"performer":[],`, ``), "observation-5", Different, "/performer", Removed},
	{"a boolean", spoil("true", "false"), "observation-5", Different, "/extension/1/valueBoolean", Changed},
	{"a null", spoil(`"valueBoolean":true`, `"valueBoolean":null`), "observation-5", Different, "/extension/1/valueBoolean", Changed},
	{"the case of a code", spoil(`"status":"final"`, `"status":"Final"`), "observation-5", Different, "/status", Changed},
	{"another reference", spoil("Patient/patient-1", "Patient/patient-2"), "observation-5", Different, "/subject/reference", Changed},
	{"the narrative", spoil("<div>", "<div >"), "observation-5", Different, "/text/div", Changed},
	{"a member added", spoil(`"text":"t"`, `"text":"t","id":"1"`), "observation-5", Different, "/code/id", Added},
	{"a member renamed", spoil(`"unit":"mg"`, `"code":"mg"`), "observation-5", Different, "/valueQuantity/code", Added},
	{"a resource missing", drop("claim-11", ""), "claim-11", Missing, "", ""},
	{"the active version missing", drop("patient-13", "3"), "patient-13", Missing, "", ""},
	{"one extra", add(version("Patient", "stray", 1, day0.AddDate(0, 1, 1), "")), "stray", Extra, "", ""},
	{"one extra of another type", add(version("Group", "stray", 1, day0.AddDate(0, 1, 1), "")), "stray", Extra, "", ""},
	{"one written after the cutover", add(version("Patient", "late", 1, watermark.Add(time.Hour), "")), "late", Extra, "", ""},
	{"a deletion undone", drop("patient-7", "2"), "patient-7", DeletedAtSource, "", ""},
	{"one deleted", add(deletion("Claim", "claim-11", 2, day0.AddDate(0, 6, 0))), "claim-11", DeletedAtDestination, "", ""},
	{"a time moved", move("claim-11", "1", func(v fhirservice.Version) fhirservice.Version {
		v.LastUpdated = v.LastUpdated.Add(time.Millisecond)
		return v
	}), "claim-11", Different, "/meta/lastUpdated", Changed},
	{"another version", move("claim-11", "1", func(v fhirservice.Version) fhirservice.Version {
		v.VersionID = "2"
		return v
	}), "claim-11", Different, "/meta/versionId", Changed},
}

func spoilable() []fhirservice.Version {
	data := clinic(40)
	for i, v := range data {
		if v.ID == "observation-5" {
			data[i] = version(v.Type, v.ID, 1, v.LastUpdated, rich)
		}
	}
	return data
}

func TestEveryMutationIsFound(t *testing.T) {
	t.Parallel()
	if len(mutations) < 25 {
		t.Fatal("too few")
	}
	for _, history := range []string{"true", "false"} {
		for _, m := range mutations {
			t.Run(m.name+", history "+history, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, "ExportWithHistory="+history)
				load(t, r.source, spoilable())
				load(t, r.destination, m.spoil(spoilable()))
				r.migrated()
				r.wantFinding(r.check(Request{Kind: Deep, All: true}), history == "false", m.id, m.outcome, m.pointer, m.kind)
			})
		}
	}
}

// wantFinding wants a mutation found, as the only one. Without history, a resource with another current version is different, whatever became of the right one.
func (r *rig) wantFinding(report Report, current bool, id string, outcome Outcome, pointer string, kind Change) {
	r.t.Helper()
	found := r.all(report)
	if len(found) == 0 {
		r.t.Fatalf("not found: %s %v", report.Verdict, report.Counts)
	}
	if current && outcome == Missing && id == "patient-13" {
		outcome = Different
	}
	ok := false
	for _, f := range found {
		if f.ID != id {
			r.t.Errorf("found beside it: %s", f)
		}
		ok = ok || f.Outcome == outcome && (pointer == "" || len(f.Differences) > 0 && f.Differences[0].Pointer == pointer && f.Differences[0].Kind == kind)
	}
	if !ok {
		r.t.Errorf("found %v, want %s %s %s of %s", found, outcome, kind, pointer, id)
	}
	if report.Counts.Wrong() == 0 || report.Verdict[:5] == "equal" {
		r.t.Errorf("%s: %v", report.Verdict, report.Counts)
	}
}
