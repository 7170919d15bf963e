package fhir

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fhirmigration/sandbox/fhirservice"
)

var bulkStart = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// patients are n patients, one a second, each so many bytes long.
func patients(n, bytes int) (all []fhirservice.Version) {
	for i := range n {
		raw := fmt.Sprintf(`{"resourceType":"Patient","id":"p%d","multipleBirthInteger":%d,"note":%q}`, i, i, strings.Repeat("x", bytes))
		all = append(all, fhirservice.Version{Type: "Patient", ID: fmt.Sprintf("p%d", i), VersionID: "1", LastUpdated: bulkStart.Add(time.Duration(i) * time.Second), Raw: []byte(raw)})
	}
	return all
}

func startBulk(t *testing.T, kind fhirservice.Kind, versions ...fhirservice.Version) *bench {
	t.Helper()
	b := startSandbox(t, fhirservice.Options{Kind: kind})
	if err := b.sandbox.Load(versions...); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestResourcesComeOldestFirstAndWhole(t *testing.T) {
	t.Parallel()
	for _, kind := range []fhirservice.Kind{fhirservice.SQL, fhirservice.Cosmos} {
		b := startBulk(t, kind, patients(2500, 10)...)
		p := Period{Since: bulkStart.Add(time.Second), Till: bulkStart.Add(2200 * time.Second)}
		for _, v := range []View{Current, Versions} {
			n := 0
			err := b.Resources(t.Context(), "Patient", v, p, func(page []Resource) error {
				for _, r := range page {
					if n++; r.ID != fmt.Sprintf("p%d", n) || r.VersionID != "1" || !strings.Contains(r.Raw, fmt.Sprintf(`"multipleBirthInteger":%d,`, n)) {
						t.Fatalf("number %d is %+v", n, r)
					}
				}
				return nil
			})
			count, countErr := b.CountType(t.Context(), "Patient", v, p)
			if err != nil || countErr != nil || n != 2199 || count.N != 2199 {
				t.Errorf("%s view %d: %d read (%v), %d counted (%v), want 2199", kind, v, n, err, count.N, countErr)
			}
		}
	}
}

func TestLongPagesAreAskedForInSmallerOnes(t *testing.T) {
	t.Parallel()
	b := startBulk(t, fhirservice.SQL, patients(30, 1<<20)...)
	n := 0
	err := b.Resources(t.Context(), "Patient", Current, Period{}, func(page []Resource) error {
		n += len(page)
		if len(page) > 8 {
			t.Errorf("a page of %d MB", len(page))
		}
		return nil
	})
	if err != nil || n != 30 {
		t.Errorf("%d resources (%v), want 30", n, err)
	}
}

func TestResourcesByID(t *testing.T) {
	t.Parallel()
	b := startBulk(t, fhirservice.SQL, patients(1200, 10)...)
	ids := []string{"nobody"}
	for i := range 999 {
		ids = append(ids, fmt.Sprintf("p%d", i+100))
	}
	before := len(b.sandbox.Calls())
	got, err := b.ResourcesByID(t.Context(), "Patient", ids)
	if err != nil || len(got) != 999 {
		t.Errorf("%d found (%v), want 999", len(got), err)
	}
	if calls := len(b.sandbox.Calls()) - before; calls != 1 {
		t.Errorf("%d calls, want one", calls)
	}
	if _, err := b.ResourcesByID(t.Context(), "Patient", []string{"a,b"}); KindOf(err) != Refused {
		t.Errorf("an id with a comma: %v", err)
	}
}

func TestBatchAnswersInOrder(t *testing.T) {
	t.Parallel()
	deleted := fhirservice.Version{Type: "Patient", ID: "p0", VersionID: "2", LastUpdated: bulkStart.Add(time.Hour), Deleted: true}
	b := startBulk(t, fhirservice.SQL, append(patients(3, 1), deleted)...)
	b.sandbox.Inject(fhirservice.Fault{Kind: fhirservice.Count, Status: http.StatusServiceUnavailable})
	answers, err := b.Batch(t.Context(), []string{
		VersionURL("Patient", "p1", "1"), VersionURL("Patient", "p0", "2"), VersionURL("Patient", "p1", "9"),
		NewestURL("Patient", "p0", Period{}), NewestURL("Patient", "p0", Period{Till: bulkStart.Add(time.Minute)}), NewestURL("Patient", "nobody", Period{}),
		CountURL("Patient", Current, Period{}),
	})
	if err != nil || len(answers) != 7 {
		t.Fatalf("%d answers (%v)", len(answers), err)
	}
	var got []string
	for _, a := range answers {
		resources, err := a.Resources()
		switch {
		case a.Gone():
			got = append(got, "gone")
		case a.Err != nil:
			got = append(got, KindOf(a.Err).String())
		case err == nil && len(resources) == 1:
			got = append(got, fmt.Sprint(resources[0].ID, " ", resources[0].VersionID, " ", resources[0].Deleted))
		default:
			r, err := ParseResource(a.Raw)
			got = append(got, fmt.Sprint(r.ID, " ", err))
		}
	}
	want := []string{"p1 <nil>", "gone", "not found", "p0 2 true", "p0 1 false", "not found", "transient"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

func TestBulkReadsRefuseWhatIsCutOffOrForeign(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]fhirservice.Fault{
		"html":       {Kind: fhirservice.Search, NotFHIR: "<html>"},
		"cut off":    {Kind: fhirservice.Search, NotFHIR: `{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Patient"`},
		"no bundle":  {Kind: fhirservice.Search, NotFHIR: `{"resourceType":"Patient"}`},
		"other type": {Kind: fhirservice.Search, NotFHIR: `{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Group","id":"1","meta":{"lastUpdated":"2024-01-01T00:00:00Z"}}}]}`},
		"no id":      {Kind: fhirservice.Search, NotFHIR: `{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Patient"}}]}`},
		"no list":    {Kind: fhirservice.Search, NotFHIR: `{"resourceType":"Bundle","entry":{}}`},
	} {
		b := startBulk(t, fhirservice.SQL, patients(1, 1)...)
		b.sandbox.Inject(fault)
		err := b.Resources(t.Context(), "Patient", Current, Period{}, func([]Resource) error { return errors.New("handed on") })
		if KindOf(err) != Unreadable {
			t.Errorf("%s: %v, want an unreadable answer", name, err)
		}
	}
}

func TestCapability(t *testing.T) {
	t.Parallel()
	b := startBulk(t, fhirservice.SQL, patients(1, 1)...)
	c, err := b.Capability(t.Context())
	if diff := cmp.Diff(Capability{Types: []string{"Patient"}, Unversioned: map[string]bool{"Patient": false}}, c); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	b.sandbox.Inject(fhirservice.Fault{Kind: fhirservice.Metadata, NotFHIR: "{}"})
	if _, err := b.Capability(t.Context()); KindOf(err) != Unreadable {
		t.Errorf("no statement: %v", err)
	}
}

func TestOldest(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		b := startBulk(t, kind, patients(40, 1)...)
		for _, test := range []struct{ n, want int }{{3, 3}, {100, 40}} {
			got, err := b.Oldest(t.Context(), "Patient", Current, Period{}, test.n)
			if err != nil || len(got) != test.want || got[0].ID != "p0" || got[test.want-1].ID != fmt.Sprintf("p%d", test.want-1) {
				t.Errorf("%s: %d of %d asked for (%v), want %d", kind, len(got), test.n, err, test.want)
			}
		}
	}
}
