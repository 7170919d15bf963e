package verify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fhirmigration/sandbox/fhirservice"
)

// parameterVersion is a custom search parameter for an extension of patients.
func parameterVersion(code string) fhirservice.Version {
	return fhirservice.Version{Type: "SearchParameter", ID: code, VersionID: "1", LastUpdated: day0, Raw: fmt.Appendf(nil,
		`{"resourceType":"SearchParameter","id":%[1]q,"url":"https://contoso.example/sp/%[1]s","status":"active","code":%[1]q,"type":"string","base":["Patient"],"expression":"Patient.extension.where(url='urn:%[1]s').value"}`, code)}
}

// A full DeepCheck searches by each custom search parameter on both sides. What finds others, or nothing, is named; a sample searches by none.
func TestSearchesByCustomParameters(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	tagged := func(id, code string) fhirservice.Version {
		return version("Patient", id, 1, day0.Add(time.Hour), `,"extension":[{"url":"urn:`+code+`","valueString":"x"}]`)
	}
	var parameters []fhirservice.Version
	for n := range 40 { // more than a unit takes
		parameters = append(parameters, parameterVersion(fmt.Sprintf("p-%02d", n)))
	}
	data := []fhirservice.Version{tagged("a", "p-01"), tagged("b", "p-02"), tagged("c", "p-03")}
	load(t, r.source, append(parameters, data...))
	load(t, r.destination, append(parameters[:39:39], data[0], tagged("b", "p-04"), tagged("d", "p-03"))) // one parameter is not there
	r.migrated()
	report := r.check(Request{Kind: Deep, All: true})
	want := &Searches{Done: true, Equal: 36, Different: 4, SearchesMade: 40, Named: []string{
		"Patient?p-02: 1 at the source, 0 at the destination", "Patient?p-03: 1 on both sides, but others",
		"Patient?p-04: 0 at the source, 1 at the destination", "Patient?p-39: the destination cannot search by it"}}
	cut := cmpopts.AcyclicTransformer("beginning", func(s string) string { b, _, _ := strings.Cut(s, " by it:"); return strings.TrimSuffix(b, " by it") })
	if diff := cmp.Diff(want, report.Searches, cut); diff != "" {
		t.Errorf("searches (-want +got):\n%s", diff)
	}
	if sample := r.check(Request{Kind: Deep, Count: 10}); sample.Searches != nil {
		t.Errorf("a sample: %+v", sample.Searches)
	}
}

// A search that is never answered is not known, and never equal.
func TestSearchesThatAreNotAnswered(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	data := []fhirservice.Version{parameterVersion("p-01"), version("Patient", "a", 1, day0.Add(time.Hour), "")}
	load(t, r.source, data)
	load(t, r.destination, data)
	r.migrated()
	if report := r.check(Request{Kind: Deep, All: true}); report.Searches == nil || report.Searches.Equal != 1 {
		t.Errorf("%+v", report.Searches)
	}
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Search, Status: 503})
	report := r.check(Request{Kind: Deep, All: true})
	if s := report.Searches; s == nil || s.Equal != 0 || s.NotKnown != 1 || len(s.Named) != 1 {
		t.Errorf("%+v", s)
	}
}
