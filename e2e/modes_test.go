package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"fhirmigration/sandbox/compare"
	"fhirmigration/sandbox/fhirservice"
)

// wantEqualTo compares the destination with what the source holds of a stretch of time, version by version.
func (a *app) wantEqualTo(since, till time.Time) {
	a.t.Helper()
	want := slices.DeleteFunc(a.source.Versions(), func(v fhirservice.Version) bool { return v.LastUpdated.Before(since) || !v.LastUpdated.Before(till) })
	report := compare.Versions(want, a.destination.Versions())
	for _, f := range report.Findings {
		a.t.Error(f)
	}
	if report.Total.Equal == 0 {
		a.t.Error("there is nothing to compare")
	}
}

// firstVersions are the versions with which the clinic's resources came to be: what a migration without history and deletes moves, while nothing
// has happened to them since.
func firstVersions(t *testing.T) []fhirservice.Version {
	t.Helper()
	return slices.DeleteFunc(clinic(t, 100), func(v fhirservice.Version) bool { return v.VersionID != "1" || v.Deleted })
}

// deletedLater are the same with every fourth deleted, more than a window's length after it came to be.
func deletedLater(t *testing.T) []fhirservice.Version {
	t.Helper()
	all := firstVersions(t)
	for i, v := range all {
		if later := v.LastUpdated.AddDate(0, 0, 200); i%4 == 0 && later.Before(end) {
			all = append(all, fhirservice.Version{Type: v.Type, ID: v.ID, VersionID: "2", LastUpdated: later, Deleted: true})
		}
	}
	return all
}

// undeleted are the clinic's resources that nobody deleted, in all their versions.
func undeleted(t *testing.T) []fhirservice.Version {
	t.Helper()
	all, gone := clinic(t, 100), map[string]bool{}
	for _, v := range all {
		gone[v.Type+"/"+v.ID] = gone[v.Type+"/"+v.ID] || v.Deleted
	}
	return slices.DeleteFunc(all, func(v fhirservice.Version) bool { return gone[v.Type+"/"+v.ID] })
}

// kickOffs are the parameters of every export that was asked for.
func (a *app) kickOffs() (all []url.Values) {
	a.t.Helper()
	for _, c := range a.source.Calls() {
		if c.Kind != fhirservice.Export {
			continue
		}
		q, err := url.ParseQuery(c.RawQuery)
		if err != nil {
			a.t.Fatal(err)
		}
		all = append(all, q)
	}
	return all
}

// eachKickOff says whether there was an export, and is so for all of them.
func (a *app) eachKickOff(is func(url.Values) bool) bool {
	all := a.kickOffs()
	return len(all) > 0 && !slices.ContainsFunc(all, func(q url.Values) bool { return !is(q) })
}

// associated says whether all exports ask for history, deletes, both or neither.
func (a *app) associated(with string) {
	a.t.Helper()
	if !a.eachKickOff(func(q url.Values) bool {
		return q.Get("includeAssociatedData") == with && q.Get("_isParallel") == "true"
	}) {
		a.t.Errorf("the exports: %v", a.kickOffs())
	}
}

// Every mode, with the built handler under the host, and each ends with source and destination equal, version by version.
func TestModes(t *testing.T) {
	t.Parallel()
	half := end.AddDate(-2, 0, 0)
	cosmos := fhirservice.Options{Kind: fhirservice.Cosmos}
	quick := func(int) time.Duration { return 100 * time.Millisecond }
	everything := func(t *testing.T) []fhirservice.Version { return clinic(t, 100) }
	for name, mode := range map[string]struct {
		source, destination fhirservice.Options
		settings            []string // beyond those of a range run with history
		data                func(*testing.T) []fhirservice.Version
		since, till         time.Time // what arrives; zero: everything
		began               func(*app)
		turn                func(*app, int) // after each turn of both timers, counted from 1
		ended               func(*app)
	}{
		"system": {data: firstVersions, settings: []string{"ExportWithHistory", "", "ExportWithDelete", "false", "AllowDeletedToReturn", "true"},
			ended: func(a *app) { a.associated("") }},
		"history": {data: undeleted, settings: []string{"ExportWithDelete", "false", "AllowDeletedToReturn", "true"},
			ended: func(a *app) { a.associated("_history") }},
		"deletes": {data: deletedLater, settings: []string{"ExportWithHistory", ""},
			ended: func(a *app) { a.associated("_deleted") }},
		"T26 history and deletes, AHDS to AHDS": {data: everything,
			ended: func(a *app) { a.associated("_history,_deleted") }},
		"from a Cosmos source": {data: everything, source: cosmos},
		"range": {data: everything, settings: []string{"StartDate", half.AddDate(-2, 0, 0).Format(time.RFC3339), "EndDate", half.Format(time.RFC3339)},
			since: half.AddDate(-2, 0, 0), till: half},
		"T21 pause": {data: everything, settings: []string{"PauseDm", "true", "StartTime", hourFromNow(-1), "EndTime", hourFromNow(2)},
			began: paused},
		"_maxCount": {data: everything, settings: []string{"MaxCount", "true", "MaxCountValue", "7"},
			ended: func(a *app) {
				if !a.eachKickOff(func(q url.Values) bool { return q.Get("_maxCount") == "7" }) {
					a.t.Errorf("the exports: %v", a.kickOffs())
				}
			}},
		"many payloads": {data: everything, source: fhirservice.Options{LinesPerFile: 2}, destination: fhirservice.Options{ImportTime: quick, Workers: 8},
			settings: []string{"FileCount", "2", "PayloadCount", "3", "ExportChunkTime", "900"}, turn: payloads, ended: manyPayloads},
		"T26 base paths": {data: everything, source: fhirservice.Options{BasePath: "/fhir/r4"}, destination: fhirservice.Options{BasePath: "/to"},
			ended: func(a *app) { a.below(a.source, "/fhir/r4/"); a.below(a.destination, "/to/") }},
		"export-only": {data: everything, source: cosmos, began: retired, ended: exportOnly},
		"retired half-way": {data: everything, source: fhirservice.Options{Kind: fhirservice.Cosmos, ExportTime: quick}, settings: []string{"MaxOpenWindows", "3"},
			turn: func(a *app, n int) {
				if n == 6 {
					retired(a)
				}
			}, ended: exportOnly},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startApp(t, mode.source, mode.destination, rangeRun(append([]string{"ExportChunkTime", "180"}, mode.settings...)...))
			a.seed(mode.data(t)...)
			if mode.began != nil {
				mode.began(a)
			}
			if mode.till.IsZero() {
				mode.till = end
			}
			turns := 0
			a.runTo(mode.till, func() {
				if turns++; mode.turn != nil {
					mode.turn(a, turns)
				}
			})
			a.wantEqualTo(mode.since, mode.till)
			if mode.ended != nil {
				mode.ended(a)
			}
		})
	}
}

// hourFromNow is the hour of the day in so many hours.
func hourFromNow(hours int) string {
	return fmt.Sprint(time.Now().UTC().Add(time.Duration(hours) * time.Hour).Hour())
}

// paused sees nothing start during the pause, and lets it end: the app is started with other hours.
func paused(a *app) {
	a.t.Helper()
	for range 3 {
		for _, name := range []string{"ExportTimer", "ImportTimer"} {
			if inv := a.fire(name); !inv.Succeeded {
				a.t.Fatalf("%s: %s", name, inv.Reason)
			}
		}
	}
	if n := a.calls(a.source, fhirservice.Export) + a.calls(a.destination, fhirservice.Import); n > 0 {
		a.t.Errorf("%d jobs were started during the pause", n)
	}
	if !a.log.holds("paused until", 1) {
		a.t.Error("the pause is not said")
	}
	if err := a.host.Close(); err != nil {
		a.t.Fatal(err)
	}
	a.options.Settings["AZURE_StartTime"], a.options.Settings["AZURE_EndTime"] = hourFromNow(3), hourFromNow(4)
	a.startHost()
}

// payloads sees that no more imports run at a time than PayloadCount says.
func payloads(a *app, _ int) {
	a.t.Helper()
	running := 0
	for _, r := range a.windows() {
		running += strings.Count(fmt.Sprint(r["Payloads"]), `"state":"posted"`)
	}
	if running > 3 {
		a.t.Errorf("%d imports run at a time", running)
	}
}

func manyPayloads(a *app) {
	a.t.Helper()
	most := int32(0)
	for i, r := range a.windows() {
		if n := r["PayloadCount"].(int32); n != r["CompletedCount"] {
			a.t.Errorf("window %d: %d payloads, %v completed", i+1, n, r["CompletedCount"])
		} else {
			most = max(most, n)
		}
	}
	if most < 5 {
		a.t.Errorf("at most %d payloads in a window", most)
	}
}

// below looks for calls outside of a base path.
func (a *app) below(s *fhirservice.Service, base string) {
	a.t.Helper()
	for _, c := range s.Calls() {
		if !strings.HasPrefix(c.Path, base) {
			a.t.Errorf("%s %s is outside of the base path %s", c.Method, c.Path, base)
		}
	}
}

// retired lets the source answer exports alone.
func retired(a *app) { a.source.Inject(fhirservice.Fault{Gone: true}) }

// exportOnly looks at what a migration of a source that was retired is like.
func exportOnly(a *app) {
	a.t.Helper()
	refused := 0
	for _, c := range a.source.Calls() {
		if c.Status == http.StatusGone {
			refused++
		}
	}
	if refused == 0 || refused > 10 {
		a.t.Errorf("the source refused %d calls", refused)
	}
	if chunk := a.row("chunk"+a.tables, "myrowkey"); chunk["exportOnly"] != true {
		a.t.Errorf("chunk row: %v", chunk)
	}
	if !a.log.holds(`"event":"Retired"`, 1) {
		a.t.Error("the log does not say that the source is retired")
	}
	for _, path := range []string{"/api/SurfaceCheck", "/api/DeepCheck?count=all"} {
		report, _ := a.check("POST", path)
		if report = a.ended(report); len(report.Counts) != 1 || report.Counts["equal"] == 0 {
			a.t.Errorf("%s: %v %v", path, report.Counts, report.Error)
		}
	}
}
