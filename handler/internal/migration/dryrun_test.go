package migration

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/sandbox/fhirservice"
)

// bounds are the windows of a dry run as instants.
func (d DryRun) bounds() (all []string) {
	for _, w := range d.Windows {
		all = append(all, ledger.FormatInstant(w.Since)+" "+ledger.FormatInstant(w.Till))
	}
	return all
}

// A dry run lists the windows that are then made, starts nothing and saves nothing.
func TestDryRunListsTheWindowsThatAreMade(t *testing.T) {
	t.Parallel()
	for name, set := range map[string][]string{
		"at once":              rangeRun,
		"cut by size":          append([]string{"ChunkLimit=9"}, rangeRun...),
		"from the oldest on":   rangeRun[1:],
		"with a start":         append([]string{"StartDate=2024-01-15"}, rangeRun...),
		"up to the live end":   {"ExportWithHistory=true", "ExportChunkTime=60"},
		"with gaps in between": append([]string{"ExportChunkTime=1"}, rangeRun[:3]...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{settings: append([]string{"MaxOpenWindows=200"}, set...)})
			r.load(30, day(20), 11*time.Hour)
			r.load(5, day(200), time.Minute)
			d, err := r.DryRun(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range r.source.Calls() {
				if c.Method != http.MethodGet || c.Kind == fhirservice.Export {
					t.Errorf("it calls %s %s", c.Method, c.Kind)
				}
			}
			if _, err := r.Ledger.Chunk(t.Context()); !errors.Is(err, ledger.ErrNotFound) {
				t.Errorf("something is saved: %v", err)
			}
			r.tick()
			var made []string
			var counted, bytes int64
			for _, w := range r.allWindows() {
				made = append(made, ledger.FormatInstant(w.Since)+" "+ledger.FormatInstant(w.Till))
			}
			for _, w := range d.Windows {
				counted, bytes = counted+w.Count, bytes+w.Bytes
			}
			if diff := cmp.Diff(made, d.bounds()); diff != "" {
				t.Errorf("made (-) and foreseen (+):\n%s", diff)
			}
			if d.Total.Windows != len(made) || d.Total.Count != counted || d.Total.Bytes != bytes || d.Total.Exports != len(made) || d.Total.Files < int64(len(made)) || d.AndSoOn != nil || len(d.NotNow) > 0 {
				t.Errorf("%+v", d)
			}
			after, err := r.DryRun(t.Context())
			if err != nil || len(after.Windows) != 0 || !after.From.Equal(r.chunk().PlannedTill) {
				t.Errorf("what is planned is foreseen again: %v %+v", err, after)
			}
		})
	}
}

// A dry run that does not come to the end says where and why; what is not counted is not called empty.
func TestDryRunThatEndsEarly(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: []string{"ExportWithHistory=true", "ExportChunkTime=1"}})
	r.load(150, day(1), 24*time.Hour)
	d, err := r.DryRun(t.Context())
	if err != nil || len(d.Windows) != dryRunWindows || d.AndSoOn == nil || d.AndSoOn.Count == nil || *d.AndSoOn.Count != 50 || !d.AndSoOn.From.Equal(day(101)) {
		t.Errorf("%v: %d windows, %+v", err, len(d.Windows), d.AndSoOn)
	}
	r.source.Inject(fhirservice.Fault{Kind: fhirservice.HistoryCount, After: 4, Status: 500})
	d, err = r.DryRun(t.Context())
	if err != nil || len(d.Windows) != 3 || d.AndSoOn == nil || d.AndSoOn.Count != nil || !strings.Contains(d.AndSoOn.Why, "500") {
		t.Errorf("%v: %d windows, %+v", err, len(d.Windows), d.AndSoOn)
	}
	r.source.ClearFaults()
	r.source.Inject(fhirservice.Fault{Kind: fhirservice.HistoryCount, Status: 403, Code: "forbidden"})
	if _, err = r.DryRun(t.Context()); !errors.Is(err, ErrService) || !strings.Contains(err.Error(), "FHIR Data Reader") {
		t.Errorf("no role: %v", err)
	}
}

// A retired source and one that is empty, a pause and a changed setting: each is said.
func TestDryRunSaysWhatItCannot(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{source: fhirservice.Options{Kind: fhirservice.Cosmos}, settings: rangeRun})
	if d, err := r.DryRun(t.Context()); err != nil || len(d.Windows) != 0 || !strings.Contains(d.Estimate[0], "nothing to migrate") {
		t.Errorf("an empty source: %v %+v", err, d)
	}
	r.load(50, day(1), time.Hour)
	if d, err := r.DryRun(t.Context()); err != nil || d.Total.Files != 1 || !strings.Contains(d.Estimate[2], "Cosmos") {
		t.Errorf("a service of the Cosmos kind: %v %+v", err, d)
	}
	r.tick()
	if _, err := r.Pause(t.Context(), somebody); err != nil {
		t.Fatal(err)
	}
	r.Migration = r.handler("ExportWithHistory=false", "MaxOpenWindows=1")
	d, err := r.DryRun(t.Context())
	if said := strings.Join(d.NotNow, "\n"); err != nil || !strings.Contains(said, "dr. who") || !strings.Contains(said, "ExportWithHistory") || !strings.Contains(said, "MaxOpenWindows") {
		t.Errorf("%v: %s", err, said)
	}
	r.source.Inject(fhirservice.Fault{Gone: true})
	if d, err := r.DryRun(t.Context()); err != nil || d.Mode != "exports alone" || d.AndSoOn == nil || d.AndSoOn.Count != nil {
		t.Errorf("a retired source: %v %+v", err, d)
	}
}

// Type by type, the windows foreseen are those that the types share: each window that is made lies in one, and none stays without.
func TestDryRunTypeByType(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: append([]string{"IsParallel=false", "ResourceTypes=Patient,Observation", "ResourceExportChunkTime=30", "ChunkLimit=20", "MaxOpenWindows=200"}, rangeRun...)})
	r.load(60, day(20), 26*time.Hour)
	d, err := r.DryRun(t.Context())
	if err != nil || d.Mode != "type by type" || d.Total.Exports != 2*len(d.Windows) {
		t.Fatalf("%v: %+v", err, d)
	}
	r.tick()
	within := make([]int, len(d.Windows))
	for _, w := range r.allWindows() {
		at := slices.IndexFunc(d.Windows, func(f DryWindow) bool { return !w.Since.Before(f.Since) && !w.Till.After(f.Till) })
		if at < 0 {
			t.Errorf("%s is not foreseen in %v", w.Name(), d.bounds())
			continue
		}
		within[at]++
	}
	if len(within) < 2 || slices.Contains(within, 0) {
		t.Errorf("windows made within those foreseen: %v, %v", within, d.bounds())
	}
}
