package migration

import (
	"fmt"
	"testing"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/sandbox/fhirservice"
)

// T19: the source counts 6,000,000,000 in a window, its manifest has two files of 3,000,000,000 lines, and the import says that so many were taken. Counts,
// manifests, columns, totals and summaries have 64 bits.
func TestT19ThreeThousandMillionLines(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: append([]string{"ChunkLimit=1000000000000", "StartDate=2024-01-01", "MigrateSearchParameters=false"}, withChunkTime("400")...)})
	r.load(1, day(1), 1)
	const lines = 3_000_000_000
	fhir := func(body string, args ...any) fhirservice.Fault {
		return fhirservice.Fault{NotFHIR: fmt.Sprintf(body, args...), ContentType: "application/fhir+json"}
	}
	files := []string{r.emulator.BlobURL() + "/export-1/Patient-1-1.ndjson", r.emulator.BlobURL() + "/export-1/Observation-1-2.ndjson"}
	count := fhir(`{"resourceType":"Bundle","type":"searchset","total":%d}`, 2*int64(lines))
	manifest := fhir(`{"transactionTime":"2025-01-01T00:00:00Z","request":"x","requiresAccessToken":false,"output":[{"type":"Patient","url":%[1]q,"count":%[3]d},{"type":"Observation","url":%[2]q,"count":%[3]d}],"error":[]}`,
		files[0], files[1], int64(lines))
	imported := fhir(`{"transactionTime":"2025-01-01T00:00:00Z","request":"x","output":[{"type":"Patient","count":%[3]d,"inputUrl":%[1]q},{"type":"Observation","count":%[3]d,"inputUrl":%[2]q}],"error":[]}`,
		files[0], files[1], int64(lines))
	count.Kind, manifest.Kind, imported.Kind = fhirservice.HistoryCount, fhirservice.ExportStatus, fhirservice.ImportStatus
	r.source.Inject(count)
	r.source.Inject(manifest)
	r.destination.Inject(imported)
	r.run(rangeEnd)
	w := r.window(1)
	if w.Phase() != ledger.Done || w.SourceCount != 2*lines || w.ExportedCount != "6000000000" || w.ImportedCount != "6000000000" || w.CountsByType["Patient"] != lines {
		t.Errorf("%s %s: %+v", w.Phase(), w.HeldReason, w)
	}
	if c := r.chunk(); c.Totals != (ledger.Totals{Windows: 1, Exported: 2 * lines, Imported: 2 * lines}) {
		t.Errorf("totals: %+v", c.Totals)
	}
}

// withChunkTime is a range run with history in windows of so many days.
func withChunkTime(days string) []string { return append(rangeRun[:3:3], "ExportChunkTime="+days) }
