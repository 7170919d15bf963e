package verify

import (
	"net/http"
	"strings"
	"testing"

	"fhirmigration/handler/internal/settings"
	"fhirmigration/sandbox/fhirservice"
)

// staged is a rig whose source is retired; its export is staged.
func staged(t testing.TB, data, destination []fhirservice.Version, settings ...string) *rig {
	r := newRig(t, append([]string{"cosmos"}, settings...)...)
	r.stage(data, 35)
	load(t, r.destination, destination)
	r.source.Inject(fhirservice.Fault{Gone: true})
	return r
}

func TestStagedIsTheDefaultForARetiredSource(t *testing.T) {
	t.Parallel()
	data := clinic(300)
	r := staged(t, data, data)
	report := r.check(Request{Kind: Deep, All: true})
	if report.Source != "staged" || report.Counts[Equal] != int64(len(data)) || report.Counts.Sum() != int64(len(data)) {
		t.Errorf("%s: %v, want %d equal: %v", report.Source, report.Counts, len(data), report.Reasons)
	}
	for _, c := range r.source.Calls() {
		if c.Kind != fhirservice.Metadata && c.Status != http.StatusGone {
			t.Errorf("the source was asked: %+v", c)
		}
	}
	for _, c := range r.destination.Calls() {
		if c.Kind == fhirservice.Read {
			t.Fatalf("one resource was read by a call of its own: %+v", c)
		}
	}
	if _, err := r.Start(t.Context(), Request{Kind: Deep, Source: Live}); err == nil || !strings.Contains(err.Error(), "source=staged") {
		t.Errorf("the retired source was to be read: %v", err)
	}
}

func TestEveryMutationIsFoundFromStagedFiles(t *testing.T) {
	t.Parallel()
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			data := spoilable()
			r := staged(t, data, m.spoil(spoilable()), "ExportWithHistory=true")
			report := r.check(Request{Kind: Deep, All: true})
			r.wantFinding(report, false, m.id, m.outcome, m.pointer, m.kind)
		})
	}
}

func TestSupersededLinesAreCheckedAsVersions(t *testing.T) {
	t.Parallel()
	data := clinic(40)
	spoilt := move("patient-3", "2", func(v fhirservice.Version) fhirservice.Version {
		v.Raw = []byte(strings.Replace(string(v.Raw), "final", "draft", 1))
		return v
	})(clinic(40))
	r := staged(t, data, spoilt)
	found := r.all(r.check(Request{Kind: Deep, All: true}))
	if len(found) != 1 || found[0].ID != "patient-3" || found[0].VersionID != "2" || found[0].Differences[0].Pointer != "/status" {
		t.Errorf("found %v", found)
	}
}

// TestSupersededWithoutHistory: a destination that keeps no history of a type has the last version alone, and that is right.
func TestSupersededWithoutHistory(t *testing.T) {
	t.Parallel()
	data := clinic(40)
	var last []fhirservice.Version
	for _, v := range data {
		if v.ID == "patient-3" && v.VersionID != "3" {
			continue
		}
		last = append(last, v)
	}
	r := staged(t, data, last)
	statement := `{"resourceType":"CapabilityStatement","rest":[{"resource":[{"type":"Patient","versioning":"no-version"},{"type":"Claim"},{"type":"Observation"}]}]}`
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Metadata, NotFHIR: statement})
	report := r.check(Request{Kind: Deep, All: true})
	if report.Counts[Superseded] != 2 || report.Counts.Wrong() != 0 || report.Counts[Equal] != int64(len(data)-2) {
		t.Errorf("%v %v", report.Counts, r.all(report))
	}
}

func TestFileThatIsGoneOrShortIsNotVerifiable(t *testing.T) {
	t.Parallel()
	data := clinic(40)
	r := staged(t, data, data)
	if _, err := r.Staging.PutFindings(t.Context(), "staged/Claim-0.ndjson", []byte("{\"resourceType\":\"Claim\",\"id\":\"claim-0\"}\nnonsense\n")); err != nil {
		t.Fatal(err)
	}
	report := r.check(Request{Kind: Deep, All: true})
	// 35 lines were exported; one of the two that are left has no lastUpdated and one is no JSON.
	if report.Counts[NotVerifiable] != 35 || report.Counts[Equal] != int64(len(data)-35) || report.Counts.Wrong() != 0 {
		t.Errorf("%v: %v", report.Counts, report.Reasons)
	}
}

// The source is no more: what was exported from it still proves the destination, and nobody asks for the source.
func TestStagedFilesOfASourceThatIsNoMore(t *testing.T) {
	t.Parallel()
	data := clinic(60)
	r := newRig(t)
	r.stage(data, 35)
	load(t, r.destination, append(data, version("Group", "stray", 1, day0.AddDate(0, 1, 1), "")))
	r.source.Close()
	asked := len(r.source.Calls())
	report := r.check(Request{Kind: Deep, All: true, Source: Staged})
	if report.Counts[Equal] != int64(len(data)) || report.Counts[Extra] != 1 || report.Counts.Sum() != int64(len(data))+1 {
		t.Errorf("%v, want %d equal and an extra one: %v", report.Counts, len(data), report.Reasons)
	}
	if n := len(r.source.Calls()) - asked; n != 0 {
		t.Errorf("the source was asked %d times", n)
	}
}

// Every type of a window has something extra, and there are many types: they are looked at some at a time, and each is found once.
func TestExtrasOfManyTypes(t *testing.T) {
	t.Parallel()
	types := settings.OriginalTypes()[:3*extrasAtATime/2]
	var data, strays []fhirservice.Version
	for n, typ := range types {
		data = append(data, version(typ, "a", 1, day0.AddDate(0, 1, n), ""))
		strays = append(strays, version(typ, "stray", 1, day0.AddDate(0, 2, n), ""))
	}
	r := staged(t, data, append(strays, data...))
	report := r.check(Request{Kind: Deep, All: true})
	if report.Counts[Equal] != int64(len(types)) || report.Counts[Extra] != int64(len(types)) || report.Counts.Sum() != 2*int64(len(types)) {
		t.Errorf("%v, want %d equal and as many extra", report.Counts, len(types))
	}
}
