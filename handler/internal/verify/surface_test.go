package verify

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/settings"
	"fhirmigration/sandbox/fhirservice"
)

func TestSurfaceCheck(t *testing.T) {
	t.Parallel()
	for _, history := range []string{"true", "false"} {
		t.Run("history "+history, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "ExportWithHistory="+history)
			load(t, r.source, clinic(40))
			data := drop("claim-11", "")(clinic(40))
			load(t, r.destination, append(data, version("Group", "stray", 1, day0, "")))
			r.migrated()
			// The source changes since the watermark: without history it has fewer current resources of before.
			call(t, http.MethodDelete, r.source.URL()+"/Patient/patient-1", "")
			report := r.check(Request{Kind: Surface})
			per := int64(38) // of each type: 40, of which 2 are deleted
			if history == "true" {
				per = 40 + 2*4 + 2
			}
			patients := TypeCount{Resource: "Patient", SourceCount: per, DestinationCount: per, Outcome: Equal}
			want := SurfaceResult{
				ResourceMatched:    []TypeCount{{Resource: "Observation", SourceCount: per, DestinationCount: per, Outcome: Equal}},
				ResourceNotMatched: []TypeCount{{Resource: "Claim", SourceCount: per, DestinationCount: per - 1, Outcome: Different}, {Resource: "Group", DestinationCount: 1, Outcome: Different}},
				NotVerifiable:      []TypeCount{}, SourceTotal: 3 * per, DestinationTotal: 3 * per,
			}
			if history == "true" {
				want.ResourceMatched = append(want.ResourceMatched, patients)
			} else {
				patients.SourceCount, patients.Outcome = per-1, NotVerifiable
				patients.Reason = "the source changed 1 times since 2025-01-01T00:00:00.000Z, which can explain the surplus: use a DeepCheck"
				want.NotVerifiable, want.SourceTotal = append(want.NotVerifiable, patients), 3*per-1
			}
			if diff := cmp.Diff([]SurfaceResult{want}, report.SurfaceCheck); diff != "" {
				t.Errorf("SurfaceCheck (-want +got):\n%s", diff)
			}
			if !report.Till.Equal(watermark) || report.TypesChecked != 4 {
				t.Errorf("compared up to %s, %d types", report.Till, report.TypesChecked)
			}
		})
	}
}

// TestSurfaceCheckOfVersionsWithoutDeletions: a number of versions has deletions in it. Where they are not migrated, a deficit is neither a match nor a
// difference; DeepCheck knows.
func TestSurfaceCheckOfVersionsWithoutDeletions(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ExportWithHistory=true", "ExportWithDelete=false", "AllowDeletedToReturn=true")
	load(t, r.source, clinic(40))
	load(t, r.destination, slices.DeleteFunc(clinic(40), func(v fhirservice.Version) bool { return v.Deleted }))
	r.migrated()
	if report := r.check(Request{Kind: Surface}); report.Counts[NotVerifiable] != 3 || report.Counts.Sum() != 3 {
		t.Errorf("SurfaceCheck: %v, %v", report.Counts, report.SurfaceCheck)
	}
	if report := r.check(Request{Kind: Deep, All: true}); len(report.Counts) != 1 || report.Counts[Equal] == 0 {
		t.Errorf("DeepCheck: %v, %v", report.Counts, r.all(report))
	}
}

func TestSurfaceCheckCountsTheTypesAskedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t, "SurfaceCheckResources=Claim,Patient")
	load(t, r.source, clinic(10))
	load(t, r.destination, clinic(10))
	r.migrated()
	if report := r.check(Request{Kind: Surface}); report.TypesChecked != 2 || report.Counts[Equal] != 2 {
		t.Errorf("as set: %d types, %v", report.TypesChecked, report.Counts)
	}
	if report := r.check(Request{Kind: Surface, Types: []string{"Observation"}}); report.TypesChecked != 1 || report.Counts[Equal] != 1 {
		t.Errorf("as asked: %d types, %v", report.TypesChecked, report.Counts)
	}
}

// TestT08ACountThatCannotBeHadIsNotVerifiable: neither equal nor different, and the other types are counted.
func TestT08ACountThatCannotBeHadIsNotVerifiable(t *testing.T) {
	t.Parallel()
	for _, fault := range []fhirservice.Fault{
		{Kind: fhirservice.Count, Status: http.StatusNotFound}, {Kind: fhirservice.Count, Status: http.StatusServiceUnavailable},
		{Kind: fhirservice.Count, Status: http.StatusTooManyRequests, RetryAfter: "300"}, {Kind: fhirservice.Count, NotFHIR: "<html>"},
	} {
		r := newRig(t)
		load(t, r.source, clinic(10))
		load(t, r.destination, clinic(10))
		r.migrated()
		r.source.Inject(fault)
		report := r.check(Request{Kind: Surface, Types: []string{"Patient"}})
		rows := report.SurfaceCheck[0].NotVerifiable
		if len(rows) != 1 || rows[0].SourceCount != -1 || rows[0].Reason == "" || report.Counts[NotVerifiable] != 1 || report.Counts.Sum() != 1 {
			t.Errorf("%d: %+v %v", fault.Status, rows, report.Counts)
		}
	}
}

// TestT19SurfaceCheckOfThreeThousandMillion: counts of more than 32 bits are compared and shown as they are.
func TestT19SurfaceCheckOfThreeThousandMillion(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.migrated()
	total := func(n int64) fhirservice.Fault {
		return fhirservice.Fault{Kind: fhirservice.Count, ContentType: "application/fhir+json", NotFHIR: fmt.Sprintf(`{"resourceType":"Bundle","type":"searchset","total":%d}`, n)}
	}
	r.source.Inject(total(3_000_000_000))
	r.destination.Inject(total(2_999_999_999))
	report := r.check(Request{Kind: Surface, Types: []string{"Patient", "Claim"}})
	want := []TypeCount{{Resource: "Claim", SourceCount: 3_000_000_000, DestinationCount: 2_999_999_999, Outcome: Different},
		{Resource: "Patient", SourceCount: 3_000_000_000, DestinationCount: 2_999_999_999, Outcome: Different}}
	if diff := cmp.Diff(want, report.SurfaceCheck[0].ResourceNotMatched); diff != "" || report.SurfaceCheck[0].SourceTotal != 6_000_000_000 {
		t.Errorf("total %d (-want +got):\n%s", report.SurfaceCheck[0].SourceTotal, diff)
	}
}

func TestSurfaceCheckLocatesADifferenceByWindow(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	data := clinic(40)
	r.stage(data, 1000)
	load(t, r.source, data)
	load(t, r.destination, drop("claim-11", "")(data))
	report := r.check(Request{Kind: Surface, Windows: true})
	windows := report.SurfaceCheck[0].DifferentWindows
	if len(windows) != 1 || windows[0].Resource != "Claim" || !windows[0].Since.Equal(day0) || windows[0].SourceCount != 38 || windows[0].DestinationCount != 37 {
		t.Errorf("%+v", windows)
	}
}

func TestSurfaceCheckOfARetiredSourceTakesTheManifests(t *testing.T) {
	t.Parallel()
	r := newRig(t, "cosmos")
	data := clinic(40)
	r.stage(data, 1000)
	load(t, r.destination, drop("claim-11", "")(data))
	r.source.Inject(fhirservice.Fault{Gone: true})
	report := r.check(Request{Kind: Surface})
	s := report.SurfaceCheck[0]
	if len(s.ResourceMatched) != 2 || len(s.ResourceNotMatched) != 1 || s.ResourceNotMatched[0].SourceCount != 50 || s.ResourceNotMatched[0].DestinationCount != 49 {
		t.Errorf("%+v", s)
	}
	if report.Source != "the manifests of the exports, as the source only lets data be exported" {
		t.Errorf("it is said that %q was compared", report.Source)
	}
}

// No type can be counted, and the service says so at length: the run's row has room for it, and each type is there.
func TestSurfaceCheckOfAServiceThatAnswersNonsense(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.migrated()
	said := strings.Repeat(`<p class="x">`, 60)
	r.source.Inject(fhirservice.Fault{Kind: fhirservice.Count, Status: http.StatusBadRequest, ContentType: "application/fhir+json",
		Body: fmt.Sprintf(`{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid","diagnostics":%q}]}`, said)})
	report := r.check(Request{Kind: Surface, Types: settings.OriginalTypes()})
	if report.Counts[NotVerifiable] != 144 || len(report.SurfaceCheck[0].NotVerifiable) != 144 || report.State != ledger.RunDone {
		t.Errorf("%s: %v", report.State, report.Counts)
	}
}
