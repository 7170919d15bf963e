package e2e

import (
	"slices"
	"testing"
	"time"

	"fhirmigration/sandbox/compare"
	"fhirmigration/sandbox/fhirservice"
)

// wantAtDestination compares the destination with what it should hold, version by version.
func (a *app) wantAtDestination(want []fhirservice.Version) {
	a.t.Helper()
	report := compare.Versions(want, a.destination.Versions())
	for _, f := range report.Findings {
		a.t.Error(f)
	}
	if report.Total.Equal == 0 {
		a.t.Error("there is nothing to compare")
	}
}

// T26, T2: windows by type, from a Cosmos and from a SQL source, cut where a type is large: everything arrives, each window is of one type, and both
// checks say so.
func TestTypeModeEndToEnd(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]fhirservice.Kind{"SQL": fhirservice.SQL, "Cosmos": fhirservice.Cosmos} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startApp(t, fhirservice.Options{Kind: kind}, fhirservice.Options{}, rangeRun("IsParallel", "false", "ResourceExportChunkTime", "1000", "ChunkLimit", "6",
				"MaxParallelExports", "10", "PayloadCount", "10", "MaxOpenWindows", "60", "StartDate", end.AddDate(-5, 0, -1).Format(time.RFC3339)))
			a.seed(clinic(t, 80)...)
			a.runTo(end, nil)
			a.wantEqual()
			lengths := map[string]int{}
			for i, r := range a.windows() {
				if r["resourceTypeValue"] == "" || r["IsImportComplete"] != true {
					t.Errorf("window %d: type %v, imported %v", i+1, r["resourceTypeValue"], r["IsImportComplete"])
				}
				lengths[r["resourceTypeValue"].(string)]++
			}
			if lengths["Observation"] < 4 || lengths["Patient"] == 0 {
				t.Errorf("windows by type: %v", lengths)
			}
			chunk := a.row("chunk"+a.tables, "myrowkey")
			for column, want := range map[string]any{"globalSinceExportType": chunk["since"], "globalTillExportType": "", "subSinceExportType": "", "multiExport": "",
				"resourceTypeIndex": int32(0), "noOfResources": int32(144)} {
				if chunk[column] != want {
					t.Errorf("chunk row: %s is %v, want %v", column, chunk[column], want)
				}
			}
			for _, path := range []string{"/api/SurfaceCheck?windows=true", "/api/DeepCheck?count=all", "/api/DeepCheck?count=all&source=staged"} {
				report, _ := a.check("POST", path)
				if report = a.ended(report); len(report.Counts) != 1 || report.Counts["equal"] == 0 {
					t.Errorf("%s: %v %v", path, report.Counts, report.Error)
				}
			}
		})
	}
}

// Versions, deletions, both, or neither: what arrives is what was asked for, to the digit.
func TestHistoryAndDeletes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings []string
		arrives  func(a *app, all []fhirservice.Version) []fhirservice.Version
	}{
		"both": {nil, func(_ *app, all []fhirservice.Version) []fhirservice.Version { return all }},
		"history": {[]string{"ExportWithDelete", "false", "AllowDeletedToReturn", "true"}, func(_ *app, all []fhirservice.Version) []fhirservice.Version {
			return slices.DeleteFunc(slices.Clone(all), func(v fhirservice.Version) bool { return v.Deleted })
		}},
		"deletes": {[]string{"ExportWithHistory", "false"}, (*app).lastOfEachWindow},
		"neither": {[]string{"ExportWithHistory", "false", "ExportWithDelete", "false", "AllowDeletedToReturn", "true"}, func(a *app, all []fhirservice.Version) []fhirservice.Version {
			return slices.DeleteFunc(a.lastOfEachWindow(all), func(v fhirservice.Version) bool { return v.Deleted })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun(append([]string{"ExportChunkTime", "200"}, c.settings...)...))
			a.seed(clinic(t, 250)...)
			a.runTo(end, nil)
			a.wantAtDestination(c.arrives(a, a.source.Versions()))
		})
	}
}

// lastOfEachWindow is what an export without history takes from a source with the snapshot view: of each resource the last version in each
// window.
func (a *app) lastOfEachWindow(all []fhirservice.Version) (last []fhirservice.Version) {
	a.t.Helper()
	for _, r := range a.windows() {
		since, err := time.Parse(time.RFC3339, r["Since"].(string))
		if err != nil {
			a.t.Fatal(err)
		}
		till, err := time.Parse(time.RFC3339, r["Till"].(string))
		if err != nil {
			a.t.Fatal(err)
		}
		of := map[string]fhirservice.Version{}
		for _, v := range all {
			id := v.Type + "/" + v.ID
			if !v.LastUpdated.Before(since) && v.LastUpdated.Before(till) && !of[id].LastUpdated.After(v.LastUpdated) {
				of[id] = v
			}
		}
		for _, v := range of {
			last = append(last, v)
		}
	}
	return last
}
