package migration

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"fhirmigration/sandbox/fhirservice"
)

// retiredScenario is a small migration of a source that answers exports alone: its search parameter is exported first, a window grows over what
// is empty, one is too large and is split, an export fails, and the last window comes back empty twice.
func retiredScenario() scenario {
	export := func(since, till float64) func(string) bool {
		bounds := func(n float64) string { return day(n).Format("2006-01-02T15:04:05.000Z") }
		return func(effect string) bool {
			return effect == "source: start export of ["+bounds(since)+", "+bounds(till)+")"
		}
	}
	return scenario{
		settings: []string{"StartDate=2024-01-01", "FileCount=1", "PayloadCount=2", "SpecificRun=true", "EndDate=2024-12-01", "ExportChunkTime=20", "ExportWithHistory=true"},
		source:   fhirservice.Cosmos, uncopied: "SearchParameter",
		data: func() []fhirservice.Version {
			parameter := parameterVersion(1)
			parameter.LastUpdated = day(31)
			return []fhirservice.Version{parameter, version("a", 1, day(25), false), version("b", 1, day(30), false),
				version("c", 1, day(50), false), version("d", 1, day(70), false), version("a", 2, day(90), false), version("c", 2, day(95), true)}
		},
		refused: fhirservice.Version{Type: "Patient", ID: "b", VersionID: "1", LastUpdated: day(30), Raw: []byte(`{"resourceType":"Patient","id":"b","name":[{"family":"somebody else"}]}`)},
		misfortune: func(w *world, c fhirCall) {
			w.source.ClearFaults()
			w.source.Inject(fhirservice.Fault{Gone: true})
			failJob := func(status int) {
				w.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 1, FailJob: &fhirservice.Failure{Status: status, Reason: "a misfortune of every run"}})
			}
			switch {
			case c.export == nil:
			case c.export.Since.Before(day(41)) && c.export.Till.After(day(60)) && c.export.Till.Before(day(100)):
				failJob(http.StatusRequestEntityTooLarge)
			case c.export.Since.Equal(day(80)) && w.witness.count("exports from day 80 on") == 1:
				failJob(http.StatusInternalServerError)
			}
		},
		shows: map[string]func(string) bool{
			"the export of search parameters": func(e string) bool { return strings.HasPrefix(e, "source: start export of SearchParameter[, ") },
			"a window":                        export(0, 20),
			"that grows":                      export(0, 40),
			"a window that is too large":      export(40, 80),
			"and is split":                    export(60, 80),
			"a window that grows after it":    export(80, 120),
			"the last one, longer":            export(120, 335),
		},
	}
}

// T12, T14 with a source that answers exports alone: the handler is struck at every effect of a small migration, with both orders of the timers, at
// each in a third of the ways that there are by turns: most effects are those of the large scenario.
func TestT12CrashWithARetiredSource(t *testing.T) {
	t.Parallel()
	newWorldsOf(t, retiredScenario()).strikeEveryWay(t, slices.Concat(crashes, interruptions), 3)
}
