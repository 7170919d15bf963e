package migration

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"fhirmigration/sandbox/fhirservice"
)

// typeScenario is a small migration by type: two global windows, in which one type is cut, one is passed over, and one is too large for an
// export and is split.
func typeScenario() scenario {
	export := func(typ string, since, till float64) func(string) bool {
		bounds := func(n float64) string { return day(n).Format("2006-01-02T15:04:05.000Z") }
		return func(effect string) bool {
			return effect == "source: start export of "+typ+"["+bounds(since)+", "+bounds(till)+")"
		}
	}
	return scenario{
		settings: []string{"IsParallel=false", "ResourceTypes=Patient,Account,Observation", "StartDate=2024-01-01", "FileCount=1", "PayloadCount=2", "MaxParallelExports=2",
			"MaxOpenWindows=2", "SpecificRun=true", "EndDate=2024-12-01", "ResourceExportChunkTime=200", "ExportWithHistory=true", "ChunkLimit=2", "MaxCount=true", "MaxCountValue=500"},
		data: func() []fhirservice.Version {
			return []fhirservice.Version{version("a", 1, day(1), false), version("b", 1, day(3), false), version("c", 1, day(150), false), version("a", 2, day(300), true),
				resource("Observation", "o", 1, day(2)), resource("Observation", "p", 1, day(180)), resource("Observation", "o", 2, day(250))}
		},
		refused: crashConflict(),
		misfortune: func(w *world, c fhirCall) {
			w.source.ClearFaults()
			if c.export != nil && strings.Contains(c.text, "Observation") && c.export.Since.Equal(day0) && c.export.Till.Equal(day(200)) {
				w.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 1, FailJob: &fhirservice.Failure{Status: http.StatusRequestEntityTooLarge, Reason: "a misfortune of every run"}})
			}
		},
		shows: map[string]func(string) bool{
			"a type that is cut":       export("Patient", 0, 100),
			"and its rest":             export("Patient", 100, 200),
			"a type that is too large": export("Observation", 0, 200),
			"and is split":             export("Observation", 100, 200),
			"the second global window": export("Patient", 200, 335),
			"of another type":          export("Observation", 200, 335),
			"a type passed over":       func(e string) bool { return strings.Contains(e, "/Account/_history?_summary=count") },
		},
	}
}

// T12, T14 by type: the handler is struck at every effect of a small migration, with both orders of the timers, at each in a third of the ways that
// there are by turns: most effects are those of the large scenario.
func TestT12CrashByType(t *testing.T) {
	t.Parallel()
	newWorldsOf(t, typeScenario()).strikeEveryWay(t, slices.Concat(crashes, interruptions), 3)
}
