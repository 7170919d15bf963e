package migration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/sandbox/fhirservice"
)

// typeRun is a range run by type.
var typeRun = append([]string{"IsParallel=false", "ResourceExportChunkTime=30"}, rangeRun...)

// resource makes one version of a resource of any type.
func resource(typ, id string, number int, at time.Time) fhirservice.Version {
	return fhirservice.Version{Type: typ, ID: id, VersionID: fmt.Sprint(number), LastUpdated: at,
		Raw: fmt.Appendf(nil, `{"resourceType":%q,"id":%q,"language":"en-%d"}`, typ, id, number)}
}

func deletion(typ, id string, number int, at time.Time) fhirservice.Version {
	return fhirservice.Version{Type: typ, ID: id, VersionID: fmt.Sprint(number), LastUpdated: at, Deleted: true}
}

// ward is a little of several types: what is first and last in the original's order, and one that it does not know.
func ward() (all []fhirservice.Version) {
	for i := range 10 {
		at := day(float64(1 + 8*i))
		for _, typ := range []string{"Account", "Patient", "Observation", "VisionPrescription", "SubstanceNucleicAcid"} {
			all = append(all, resource(typ, fmt.Sprintf("%s-%d", strings.ToLower(typ), i), 1, at))
		}
	}
	return append(all, deletion("Patient", "patient-3", 2, day(70)), resource("Observation", "observation-1", 2, day(75)), resource("Account", "late", 1, day(250)))
}

// wantTypes checks that each window is of one type, that those of a type do not overlap, and that everything is in one.
func (r *rig) wantTypes() {
	r.t.Helper()
	windows := map[string][]ledger.Window{}
	for _, w := range r.allWindows() {
		if w.ResourceType == "" {
			r.t.Errorf("%s has no type", w.Name())
		}
		windows[w.ResourceType] = append(windows[w.ResourceType], w)
		for typ, n := range w.CountsByType {
			if typ != w.ResourceType || n == 0 {
				r.t.Errorf("%s has %d lines of %s", w.Name(), n, typ)
			}
		}
	}
	versions := map[string][]fhirservice.Version{}
	for _, v := range r.source.Versions() {
		versions[v.Type] = append(versions[v.Type], v)
	}
	for typ, all := range versions {
		for _, wrong := range tiling(windows[typ], all) {
			r.t.Error(wrong)
		}
	}
	c := r.chunk()
	if n := int64(len(r.source.Versions())); c.Totals.Imported != n || c.Totals.Exported != n {
		r.t.Errorf("totals are %+v, the source holds %d versions", c.Totals, n)
	}
}

// Windows by type: everything arrives, each export is of one type, and the columns of the original say at the end that its next
// global window begins where this one ended.
func TestTypeMode(t *testing.T) {
	t.Parallel()
	for name, more := range map[string][]string{
		"the source's types":            nil,
		"types of the settings":         {"ResourceTypes=VisionPrescription,Account,Patient,Observation,SubstanceNucleicAcid"},
		"one window open at a time":     {"MaxOpenWindows=1"},
		"sub-windows, above ChunkLimit": {"ChunkLimit=3", "ResourceTypes=Account,Patient,Observation,VisionPrescription,SubstanceNucleicAcid"},
		"many payloads":                 {"FileCount=1", "MaxCount=true", "MaxCountValue=2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{inMemory: true, settings: append(slices.Clone(typeRun), more...)})
			r.seed(ward()...)
			r.run(rangeEnd)
			r.wantEqual()
			r.wantTypes()
			for _, w := range r.allWindows() {
				if w.Till.Sub(w.Since) > 30*24*time.Hour || strings.Contains(name, "ChunkLimit") && w.ExportedLines() > 3 {
					t.Errorf("%s has %d lines", w.Name(), w.ExportedLines())
				}
			}
			for _, c := range r.source.Calls() {
				if c.Kind == fhirservice.Export && !strings.Contains(c.RawQuery, "&_type=") {
					t.Errorf("an export of all types: %s", c.RawQuery)
				}
			}
			o, types := r.chunk().Original, 144
			if strings.Contains(strings.Join(more, ""), "ResourceTypes") {
				types = 5
			}
			if want := (ledger.OriginalPlan{Since: rangeEnd, Types: types}); o != want {
				t.Errorf("the original's columns are %+v, want %+v", o, want)
			}
		})
	}
}

// While a global window is planned, plannedTill and the watermark stay, and the columns of the original say which type is at hand, and
// how far a type is planned that was cut.
func TestTypeModePosition(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{inMemory: true, settings: append([]string{"MaxOpenWindows=1", "ChunkLimit=2", "ResourceTypes=Account,Patient,Observation", "StartDate=2024-01-01"}, typeRun...)})
	r.seed(ward()...)
	type position struct {
		index         int
		multi         string
		since, till   time.Time
		planned, open time.Time
	}
	var seen []position
	for range 400 {
		r.tick()
		c := r.chunk()
		if c.Watermark.Equal(rangeEnd) {
			break
		}
		o := c.Original
		if p := (position{o.Index, o.Multi, o.SubSince, o.Till, c.PlannedTill, o.Since}); len(seen) < 4 && (len(seen) == 0 || seen[len(seen)-1] != p) {
			seen = append(seen, p)
		}
	}
	want := []position{
		{0, "Running", day(15), day(30), day0, day0}, {1, "", time.Time{}, day(30), day0, day0},
		{1, "Running", day(15), day(30), day0, day0}, {2, "", time.Time{}, day(30), day0, day0},
	}
	if !slices.Equal(seen, want) {
		t.Errorf("positions\n%v, want\n%v", seen, want)
	}
	for _, typ := range []string{"Account", "Patient", "Observation"} {
		n := 0
		for _, v := range r.source.Versions() {
			if v.Type == typ {
				n++
			}
		}
		for _, v := range r.destination.Versions() {
			if v.Type == typ {
				n--
			}
		}
		if n != 0 {
			t.Errorf("%d versions of %s are not at the destination", n, typ)
		}
	}
}

// T1: the count of one type cannot be had. It is not taken for zero: it is asked for again, after three tries the type is exported
// without one, and nothing of it or of the others is skipped.
func TestT01TypeCountFailureIsUnknown(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fhirservice.Fault{
		"times out": {Status: http.StatusRequestTimeout},
		"429":       {Status: 429},
		"500":       {Status: 500},
		"HTML":      {NotFHIR: "<html>try again</html>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{settings: append([]string{"ResourceTypes=Account,Patient,Observation"}, typeRun...)})
			r.seed(slices.DeleteFunc(ward(), func(v fhirservice.Version) bool {
				return !slices.Contains([]string{"Account", "Patient", "Observation"}, v.Type)
			})...)
			f.Kind, f.Type = fhirservice.HistoryCount, "Patient"
			r.source.Inject(f)
			for range 12 {
				r.ExportStep(t.Context())
				r.ImportStep(t.Context())
				r.clock.Advance(3 * time.Minute)
			}
			if r.log.with("planned without a count", "type=Patient") == 0 || r.log.with("planned without a count") != r.log.with("planned without a count", "type=Patient") {
				t.Error("windows of Patient are planned without a count, and no others")
			}
			r.source.ClearFaults()
			r.run(rangeEnd)
			r.wantEqual()
			r.wantTypes()
		})
	}
}

// T2: a window that holds nothing of a type but deletions, or superseded versions, is exported and imported.
func TestT02TypeWindowsOfDeletionsOrSupersededVersions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		versions []fhirservice.Version
		settings []string
	}{
		"tombstones": {[]fhirservice.Version{resource("Patient", "a", 1, day(1)), deletion("Patient", "a", 2, day(40)), resource("Account", "x", 1, day(100))}, nil},
		"tombstones, without history": {[]fhirservice.Version{resource("Patient", "a", 1, day(1)), deletion("Patient", "a", 2, day(40)), resource("Account", "x", 1, day(100))},
			[]string{"ExportWithHistory=false"}},
		"superseded versions": {[]fhirservice.Version{resource("Patient", "a", 1, day(1)), resource("Patient", "a", 2, day(40)), resource("Patient", "a", 3, day(100))}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{settings: append(append([]string{"StartDate=2024-01-01"}, typeRun...), c.settings...)})
			r.seed(c.versions...)
			r.run(rangeEnd)
			r.wantEqual()
			found := slices.ContainsFunc(r.allWindows(), func(w ledger.Window) bool {
				return w.ResourceType == "Patient" && !w.Since.After(day(40)) && w.Till.After(day(40)) && w.Phase() == ledger.Done && w.Imported() == 1
			})
			if !found {
				t.Errorf("no window of Patient on day 40 in %v", r.allWindows())
			}
		})
	}
}

// A type that is added when the last global window of a range run has begun, or the run is through, is migrated all the same, and the others not once more.
func TestTypeJoinsAtTheEndOfARangeRun(t *testing.T) {
	t.Parallel()
	for name, through := range map[string]bool{"the last global window has begun": false, "the run is through": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{settings: append([]string{"ResourceTypes=Account,Patient", "MaxOpenWindows=1"}, typeRun...)})
			r.seed(slices.DeleteFunc(ward(), func(v fhirservice.Version) bool {
				return !slices.Contains([]string{"Account", "Patient", "Observation"}, v.Type)
			})...)
			r.seed(resource("Account", "last", 1, day(333)))
			for range 400 {
				r.tick()
				c := r.chunk()
				if through && c.Watermark.Equal(rangeEnd) || !through && c.Types.UnderWay() && c.Types.Till.Equal(rangeEnd) {
					break
				}
			}
			exports := r.calls(r.source, fhirservice.Export)
			r.Migration = r.handler("ResourceTypes=Account,Observation,Patient")
			if _, err := r.AcceptSettings(t.Context(), operator); err != nil {
				t.Fatal(err)
			}
			for range 60 { // beyond the point where all but the new type is migrated
				if r.tick(); r.chunk().Watermark.Equal(rangeEnd) && slices.Contains(r.chunk().Types.Types, "Observation") && !r.chunk().Types.UnderWay() {
					break
				}
			}
			r.wantEqual()
			r.wantTypes()
			again := 0
			for i, c := range r.exportCalls() {
				if i >= exports && !strings.Contains(c.RawQuery, "_type=Observation") {
					again++
				}
			}
			if through && again > 0 {
				t.Errorf("%d exports of types that were migrated", again)
			}
			before := len(r.source.Calls())
			r.tick()
			if c := r.chunk(); c.Types.UnderWay() || !c.Watermark.Equal(rangeEnd) || len(c.Open) > 0 {
				t.Errorf("it does not end: %+v", c)
			}
			if n := len(r.source.Calls()) - before; n > 2 {
				t.Errorf("%d calls to the source in a tick when nothing is left", n)
			}
		})
	}
}
