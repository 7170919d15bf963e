package synthetic_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fhirmigration/sandbox/fhirservice"
	"fhirmigration/sandbox/synthetic"

	"github.com/google/go-cmp/cmp"
)

var end = time.Date(2026, 3, 1, 10, 20, 30, 456_000_000, time.UTC)

func options(seed uint64, resources int) synthetic.Options {
	return synthetic.Options{Seed: seed, Resources: resources, Start: end.AddDate(-5, 0, 0), End: end}
}

func generate(t *testing.T, o synthetic.Options) []fhirservice.Version {
	t.Helper()
	versions, err := synthetic.Generate(o)
	if err != nil {
		t.Fatal(err)
	}
	return versions
}

// byResource groups versions by "Type/id", oldest first.
func byResource(versions []fhirservice.Version) map[string][]fhirservice.Version {
	grouped := map[string][]fhirservice.Version{}
	for _, v := range versions {
		key := v.Type + "/" + v.ID
		grouped[key] = append(grouped[key], v)
	}
	return grouped
}

func TestSameOptionsSameBytes(t *testing.T) {
	t.Parallel()
	once, again := generate(t, options(7, 2000)), generate(t, options(7, 2000))
	if len(once) != len(again) {
		t.Fatalf("%d versions, then %d", len(once), len(again))
	}
	for i := range once {
		if diff := cmp.Diff(once[i], again[i]); diff != "" {
			t.Fatalf("version %d differs (-first +second):\n%s", i, diff)
		}
	}
	other := generate(t, options(8, 2000))
	if bytes.Equal(once[0].Raw, other[0].Raw) {
		t.Error("seeds 7 and 8 begin with the same resource")
	}
}

func TestRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	short := options(1, 1000)
	short.Start = short.End.Add(-time.Minute)
	for name, o := range map[string]synthetic.Options{"no resources": options(1, 0), "too short a time": short} {
		if _, err := synthetic.Generate(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestAnyNumberOfResources(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 25, 101} {
		if got := len(byResource(generate(t, options(3, n)))); got != n {
			t.Errorf("asked for %d resources, got %d", n, got)
		}
	}
}

func TestShares(t *testing.T) {
	t.Parallel()
	const resources = 20000
	versions := generate(t, options(1, resources))
	types, deletedTypes := map[string]bool{}, map[string]bool{}
	var updated, updatedAgain, deleted, deletedLater, deletedSoon int
	grouped := byResource(versions)
	for _, history := range grouped {
		first, last := history[0], history[len(history)-1]
		types[first.Type] = true
		alive := len(history)
		if last.Deleted {
			deleted++
			alive--
			deletedTypes[first.Type] = true
			if last.LastUpdated.Sub(first.LastUpdated) > 180*24*time.Hour {
				deletedLater++
			}
			if after := last.LastUpdated.Sub(history[alive-1].LastUpdated); after > time.Hour && after < 14*24*time.Hour {
				deletedSoon++
			}
		}
		if alive > 1 {
			updated++
		}
		if alive > 2 {
			updatedAgain++
		}
		if alive > 5 {
			t.Errorf("%s/%s has %d versions, want 5 at most", first.Type, first.ID, alive)
		}
	}
	if len(grouped) != resources {
		t.Errorf("%d resources, want %d", len(grouped), resources)
	}
	if deleted != resources/50 {
		t.Errorf("%d deleted, want %d", deleted, resources/50)
	}
	if deletedLater < deleted/3 {
		t.Errorf("%d of %d deletions come half a year after the creation, want a third or more", deletedLater, deleted)
	}
	if deletedSoon < deleted/6 {
		t.Errorf("%d of %d deletions come within two weeks of the last update, want a sixth or more", deletedSoon, deleted)
	}
	// An update needs a millisecond that is left: the very last resources may find none.
	if want := resources / 10; updated < want-2 || updated > want {
		t.Errorf("%d updated, want %d", updated, want)
	}
	if updatedAgain < updated-2 {
		t.Errorf("%d of the %d updated ones several times, want all", updatedAgain, updated)
	}
	if len(types) < 20 {
		t.Errorf("%d types, want 20 or more", len(types))
	}
	if len(deletedTypes) < 8 {
		t.Errorf("deletions among %d types, want 8 or more", len(deletedTypes))
	}
}

func TestVersionsAreInOrder(t *testing.T) {
	t.Parallel()
	for key, history := range byResource(generate(t, options(2, 5000))) {
		for i, v := range history {
			if want := strconv.Itoa(i + 1); v.VersionID != want {
				t.Errorf("%s: version %s is number %s", key, v.VersionID, want)
			}
			if i > 0 && !v.LastUpdated.After(history[i-1].LastUpdated) {
				t.Errorf("%s: version %s is not later than the one before", key, v.VersionID)
			}
			if v.Deleted && i != len(history)-1 {
				t.Errorf("%s: deleted as version %s of %d", key, v.VersionID, len(history))
			}
			if !v.LastUpdated.Equal(v.LastUpdated.Truncate(time.Millisecond)) {
				t.Errorf("%s: lastUpdated %s is finer than a millisecond", key, v.LastUpdated)
			}
			checkHead(t, v)
		}
	}
}

// checkHead compares what stands in the resource with what is said of it.
func checkHead(t *testing.T, v fhirservice.Version) {
	t.Helper()
	var head struct {
		ResourceType, ID string
		Meta             struct {
			VersionID   string
			LastUpdated time.Time
		}
	}
	if err := json.Unmarshal(v.Raw, &head); err != nil {
		t.Fatalf("%s/%s: %v", v.Type, v.ID, err)
	}
	got := fhirservice.Version{
		Type: head.ResourceType, ID: head.ID, VersionID: head.Meta.VersionID, LastUpdated: head.Meta.LastUpdated.UTC(),
	}
	want := v
	want.Raw, want.Deleted = nil, false
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s/%s: meta of the resource (-version +resource):\n%s", v.Type, v.ID, diff)
	}
}

func TestTime(t *testing.T) {
	t.Parallel()
	o := options(4, 20000)
	versions := generate(t, o)
	first, last := versions[0].LastUpdated, versions[len(versions)-1].LastUpdated
	if !first.Equal(o.Start) || !last.Equal(o.End.Add(-time.Millisecond)) {
		t.Errorf("versions from %s to %s, want from %s to a millisecond before %s", first, last, o.Start, o.End)
	}
	stretches := synthetic.EmptyStretches(o)
	var long int
	for _, s := range stretches {
		if s.To.Sub(s.From) > 90*24*time.Hour {
			long++
		}
		for _, v := range versions {
			if !v.LastUpdated.Before(s.From) && v.LastUpdated.Before(s.To) {
				t.Errorf("%s/%s was written at %s, in the empty stretch %v", v.Type, v.ID, v.LastUpdated, s)
			}
		}
	}
	if long < 3 {
		t.Errorf("%d empty stretches of three months or more in %v, want 3", long, stretches)
	}
	perInstant := map[time.Time]int{}
	shared := 0
	for _, v := range versions {
		perInstant[v.LastUpdated]++
		if perInstant[v.LastUpdated] == 2 {
			shared++
		}
		if perInstant[v.LastUpdated] > 4 {
			t.Errorf("more than 4 versions at %s", v.LastUpdated)
		}
	}
	if shared < 100 {
		t.Errorf("%d instants are shared, want some hundred", shared)
	}
}

// required are the elements that R4 requires of a type (cardinality 1..), where there are any; "a|b" is one of two.
var required = map[string][]string{
	"RelatedPerson":      {"patient"},
	"Coverage":           {"status", "beneficiary", "payor"},
	"Encounter":          {"status", "class"},
	"Condition":          {"subject", "clinicalStatus"}, // con-3
	"AllergyIntolerance": {"patient", "clinicalStatus"}, // ait-1
	"Observation":        {"status", "code", "valueQuantity|component"},
	"ServiceRequest":     {"status", "intent", "subject"},
	"DiagnosticReport":   {"status", "code"},
	"Procedure":          {"status", "subject"},
	"Immunization":       {"status", "vaccineCode", "patient", "occurrenceDateTime"},
	"MedicationRequest":  {"status", "intent", "medicationCodeableConcept", "subject"},
	"Goal":               {"lifecycleStatus", "description", "subject"},
	"CarePlan":           {"status", "intent", "subject"},
	"DocumentReference":  {"status", "content"},
}

func TestRequiredElements(t *testing.T) {
	t.Parallel()
	for _, v := range generate(t, options(5, 5000)) {
		var r map[string]json.RawMessage
		if err := json.Unmarshal(v.Raw, &r); err != nil {
			t.Fatal(err)
		}
		if v.Deleted {
			if len(r) != 3 {
				t.Errorf("%s/%s is deleted and holds %d elements, want type, id and meta", v.Type, v.ID, len(r))
			}
			continue
		}
		for _, element := range required[v.Type] {
			names := strings.Split(element, "|")
			if !slices.ContainsFunc(names, func(name string) bool { return len(r[name]) > 0 }) {
				t.Errorf("%s/%s version %s lacks %s:\n%s", v.Type, v.ID, v.VersionID, element, v.Raw)
			}
		}
		for _, hollow := range []string{`""`, "null", "[]", "{}"} {
			if strings.Contains(string(v.Raw), ":"+hollow) {
				t.Errorf("%s/%s version %s has an empty element, which FHIR forbids:\n%s", v.Type, v.ID, v.VersionID, v.Raw)
			}
		}
	}
}

func TestReferencesResolve(t *testing.T) {
	t.Parallel()
	versions := generate(t, options(6, 5000))
	grouped := byResource(versions)
	seen := 0
	for _, v := range versions {
		for _, target := range references(t, v.Raw) {
			seen++
			history, ok := grouped[target]
			switch {
			case !ok:
				t.Errorf("%s/%s refers to %s, which does not exist", v.Type, v.ID, target)
			case history[len(history)-1].Deleted:
				t.Errorf("%s/%s refers to %s, which is deleted", v.Type, v.ID, target)
			case history[0].LastUpdated.After(v.LastUpdated):
				t.Errorf("%s/%s refers to %s, which is younger", v.Type, v.ID, target)
			}
		}
	}
	if seen < len(versions) {
		t.Errorf("%d references in %d versions: the resources hardly hold together", seen, len(versions))
	}
}

// references finds every "reference" in a resource.
func references(t *testing.T, raw []byte) []string {
	t.Helper()
	var found []string
	var walk func(any)
	walk = func(value any) {
		switch value := value.(type) {
		case map[string]any:
			if target, ok := value["reference"].(string); ok {
				found = append(found, target)
			}
			for _, member := range value {
				walk(member)
			}
		case []any:
			for _, item := range value {
				walk(item)
			}
		}
	}
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		t.Fatal(err)
	}
	walk(value)
	return found
}

func TestDecimalsKeepTheirDigits(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for _, v := range generate(t, options(1, 20000)) {
		all.Write(v.Raw)
	}
	for _, literal := range []string{"1.10", "70.500", "0.000000000000000001", "12345678901234567.8", "1.50e-3"} {
		if !strings.Contains(all.String(), `"value":`+literal+",") {
			t.Errorf("no decimal %s in 20,000 resources", literal)
		}
	}
}

func BenchmarkGenerate(b *testing.B) {
	for b.Loop() {
		if _, err := synthetic.Generate(options(1, 20000)); err != nil {
			b.Fatal(err)
		}
	}
}
