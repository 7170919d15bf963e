package verify

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/sandbox/fhirservice"
)

func TestDeepCheckOfEqualServices(t *testing.T) {
	t.Parallel()
	for _, history := range []string{"true", "false"} {
		for _, kind := range []string{"sql", "cosmos"} {
			t.Run(kind+" history "+history, func(t *testing.T) {
				t.Parallel()
				options := []string{"ExportWithHistory=" + history}
				if kind == "cosmos" {
					options = append(options, "cosmos")
				}
				r := newRig(t, options...)
				data := clinic(300)
				load(t, r.source, data)
				load(t, r.destination, data)
				r.migrated()
				report := r.check(Request{Kind: Deep, All: true})
				want := int64(len(data))
				if history == "false" {
					want = 3 * (300 - 12) // every 25th is deleted
				}
				if report.Counts[Equal] != want || report.Counts.Sum() != want || report.Findings != 0 {
					t.Errorf("%v, %d findings, want %d equal: %s", report.Counts, report.Findings, want, report.Verdict)
				}
			})
		}
	}
}

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

func TestT07DifferencesAreReportedWithPathAndKind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, old, new, pointer string }{
		{"1.10 against 1.1", "1.10", "1.1", "/valueQuantity/value"},
		{"20 digits cut to 18", "12345678901234567890", "12345678901234567900", "/extension/0/valueDecimal"},
		{"10:00+02:00 against 08:00Z", "10:00:00+02:00", "08:00:00Z", "/effectiveDateTime"},
		{"a security label", `"security":[{"code":"R"}]`, `"security":[{"code":"N"}]`, "/meta/security/0/code"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			load(t, r.source, spoilable())
			load(t, r.destination, spoil(c.old, c.new)(spoilable()))
			r.migrated()
			report := r.check(Request{Kind: Deep, All: true})
			r.wantFinding(report, true, "observation-5", Different, c.pointer, Changed)
			row := report.DeepCheck[0].ResourceNotMatched[0]
			if row.Resource != "Observation" || row.ID != "observation-5" || row.Compared || row.Differences[0].Pointer != c.pointer {
				t.Errorf("answered %+v", row)
			}
		})
	}
}

func TestT08FailedCallsAreNeitherMatchNorMismatch(t *testing.T) {
	t.Parallel()
	for _, kind := range []fhirservice.Operation{fhirservice.Search, fhirservice.Count, fhirservice.Batch, fhirservice.History, fhirservice.HistoryCount} {
		for _, status := range []int{http.StatusNotFound, http.StatusTooManyRequests, http.StatusServiceUnavailable} {
			t.Run(fmt.Sprint(kind, " ", status), func(t *testing.T) {
				t.Parallel()
				history := kind == fhirservice.History || kind == fhirservice.HistoryCount
				r := newRig(t, fmt.Sprintf("ExportWithHistory=%t", history))
				load(t, r.source, clinic(20))
				load(t, r.destination, drop("claim-11", "")(clinic(20)))
				r.migrated()

				r.destination.Inject(fhirservice.Fault{Kind: kind, Times: 2, Status: status})
				passing := r.check(Request{Kind: Deep, All: true})
				if passing.Counts[Missing] != 1 || passing.Counts.Wrong() != 1 || passing.Counts[NotVerifiable] != 0 {
					t.Errorf("a fault that passes: %v, %v", passing.Counts, passing.Reasons)
				}
				r.destination.Inject(fhirservice.Fault{Kind: kind, Status: status})
				lasting := r.check(Request{Kind: Deep, All: true})
				if kind != fhirservice.Batch && (lasting.Counts[Equal] != 0 || lasting.Counts.Wrong() != 0) || lasting.Counts[NotVerifiable] == 0 || len(lasting.Reasons) == 0 {
					t.Errorf("a fault that stays: %v, %v", lasting.Counts, lasting.Reasons)
				}
				if lasting.Counts.Wrong() != 0 || strings.HasPrefix(lasting.Verdict, "equal") {
					t.Errorf("a fault that stays is called a difference or equal: %s", lasting.Verdict)
				}
			})
		}
	}
}

func TestT23ExtraStrayAndHardDeletedAreReported(t *testing.T) {
	t.Parallel()
	for _, history := range []string{"true", "false"} {
		t.Run("history "+history, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "ExportWithHistory="+history)
			data := clinic(40)
			load(t, r.source, data)
			load(t, r.destination, data)
			r.migrated()
			// A hard delete at the source before the cutover, one stray write after it at the source and one at the destination.
			call(t, http.MethodDelete, r.source.URL()+"/Claim/claim-11?hardDelete=true", "")
			call(t, http.MethodPut, r.source.URL()+"/Patient/patient-1", `{"resourceType":"Patient","id":"patient-1","active":false}`)
			call(t, http.MethodPut, r.destination.URL()+"/Patient/stray", `{"resourceType":"Patient","id":"stray"}`)

			report := r.check(Request{Kind: Deep, All: true})
			outcomes := map[string]Finding{}
			for _, f := range r.all(report) {
				outcomes[f.ID] = f
			}
			if f := outcomes["claim-11"]; f.Outcome != Extra || !strings.Contains(f.Proposal, "DELETE Claim/claim-11") {
				t.Errorf("hard deleted: %s, proposed %q", f, f.Proposal)
			}
			if f := outcomes["stray"]; f.Outcome != Extra {
				t.Errorf("stray write at the destination: %s", f)
			}
			if report.ChangedAtSource != 1 || len(report.Changes) != 1 || !strings.HasPrefix(report.Changes[0], "Patient/patient-1 version 2 written") {
				t.Errorf("stray write at the source: %d, %q", report.ChangedAtSource, report.Changes)
			}
			if len(outcomes) != 2 {
				t.Errorf("found %v", outcomes)
			}
			for _, c := range r.destination.Calls() {
				if c.Kind == fhirservice.Write && !strings.HasSuffix(c.Path, "stray") {
					t.Errorf("the check wrote: %+v", c)
				}
			}
		})
	}
}

func TestT24ALostActiveVersionIsFoundThoughTheCountsAgree(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	data := clinic(40)
	load(t, r.source, data)
	load(t, r.destination, drop("patient-13", "3")(data))
	r.migrated()
	surface := r.check(Request{Kind: Surface})
	if surface.Counts.Wrong() != 0 {
		t.Fatalf("the counts differ: %v", surface.Counts)
	}
	report := r.check(Request{Kind: Deep, All: true})
	found := r.all(report)
	if len(found) != 1 || found[0].ID != "patient-13" || found[0].Outcome != Different {
		t.Errorf("found %v", found)
	}
}

func TestSourceThatMovedOnIsNotADifference(t *testing.T) {
	t.Parallel()
	for _, history := range []string{"true", "false"} {
		r := newRig(t, "ExportWithHistory="+history)
		data := clinic(40)
		load(t, r.source, data)
		load(t, r.destination, data)
		r.migrated()
		call(t, http.MethodPut, r.source.URL()+"/Patient/patient-1", `{"resourceType":"Patient","id":"patient-1","active":false}`)
		call(t, http.MethodDelete, r.source.URL()+"/Patient/patient-2", "")
		report := r.check(Request{Kind: Deep, All: true})
		if report.Counts.Wrong() != 0 || report.Counts[NotVerifiable] != 0 || report.Counts[Equal] == 0 {
			t.Errorf("history %s: %v %v", history, report.Counts, r.all(report))
		}
	}
}

func TestLargeSlicesAreCut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var data []fhirservice.Version
	for i := range 20_000 {
		data = append(data, version("Observation", fmt.Sprint("o-", i), 1, day0.Add(time.Duration(i)*time.Second), ""))
	}
	load(t, r.source, data)
	load(t, r.destination, drop("o-12345", "")(data))
	r.migrated()
	report := r.check(Request{Kind: Deep, All: true})
	if report.Counts[Equal] != 19_999 || report.Counts[Missing] != 1 || report.Counts.Sum() != 20_000 {
		t.Errorf("%v", report.Counts)
	}
	if report.Progress.Done != 20_000 || report.Progress.Of != 20_000 {
		t.Errorf("progress %+v", report.Progress)
	}
}

// TestManyInOneMillisecond: time alone does not tell them apart.
func TestManyInOneMillisecond(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var data []fhirservice.Version
	for i := range 12_000 {
		data = append(data, version("Observation", fmt.Sprint("o-", i), 1, day0, ""))
	}
	load(t, r.source, data)
	shuffled := append(data[6000:], data[:6000]...)
	load(t, r.destination, drop("o-77", "")(shuffled))
	r.migrated()
	report := r.check(Request{Kind: Deep, All: true})
	if report.Counts[Equal] != 11_999 || report.Counts[Missing] != 1 || report.Counts.Sum() != 12_000 {
		t.Errorf("%v", report.Counts)
	}
}

func TestSharedDataIsEqual(t *testing.T) {
	t.Parallel()
	data := sharedData(t)
	if data == nil {
		data = clinic(100) // FHIR_TEST_DATA names the folder of more
	}
	r := newRig(t)
	load(t, r.source, data)
	load(t, r.destination, data)
	r.migrated()
	report := r.check(Request{Kind: Deep, All: true})
	if report.Counts.Wrong() != 0 || report.Counts[NotVerifiable] != 0 || report.State != ledger.RunDone {
		t.Errorf("%v", report.Counts)
	}
}

func call(t testing.TB, method, url, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/fhir+json")
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	reply.Body.Close()
	if reply.StatusCode >= 300 {
		t.Fatalf("%s %s: %d", method, url, reply.StatusCode)
	}
}
