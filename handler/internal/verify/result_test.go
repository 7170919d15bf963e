package verify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fhirmigration/handler/internal/settings"
)

// Whatever a run finds, what its row keeps of it has room there: 32,700 characters of JSON.
func TestResultFitsTheRow(t *testing.T) {
	t.Parallel()
	const room = 32_700
	long := strings.Repeat(`<p class="é">`, 100)
	deep := result{ChangedAtSource: 3_000_000_000, Expected: 3_000_000_000, Findings: maxFindings, Dropped: 3_000_000_000, FirstRow: 1_000_000}
	for _, typ := range append(settings.OriginalTypes(), newer) {
		deep.take(part{counts: map[string]Counts{typ: {Equal: 100_000_000, Different: 1_000_000, NotVerifiable: 10_000}}})
	}
	surface := result{}
	for i, typ := range settings.OriginalTypes() {
		deep.note(fmt.Sprint(i, long))
		deep.searched(Searches{Named: []string{fmt.Sprint(i, long)}})
		surface.surface(TypeCount{Resource: typ, SourceCount: 3_000_000_000, DestinationCount: 3_000_000_000, Outcome: NotVerifiable, Reason: fmt.Sprint(i, long)})
		surface.locate([]WindowCount{{typ, day0, now.Add(time.Millisecond), 1_000_000_000, 1_000_000_000}})
	}
	for i := range maxBlobs {
		deep.Blobs = append(deep.Blobs, fmt.Sprintf("export-run-1000/findings-%d-0123456789abcdef.ndjson", 1000+i))
	}
	for range maxChanges {
		deep.Changes = append(deep.Changes, "MedicationAdministration/00000000-0000-0000-0000-000000000000 version 12 deleted at 2025-01-01T00:00:00.000Z")
	}
	for name, r := range map[string]result{"deep": deep, "surface": surface} {
		if n := len(encode(r)); n > room {
			t.Errorf("%s: %d characters", name, n)
		}
	}
	if surface.Surface[0].Reason == "" || len(surface.Surface) != 144 {
		t.Errorf("%d types, the first because of %q", len(surface.Surface), surface.Surface[0].Reason)
	}
}
