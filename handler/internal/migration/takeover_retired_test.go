package migration

import (
	"strings"
	"testing"
	"time"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/sandbox/fhirservice"
)

// The original stopped because the source was retired: its migration goes on with exports alone, and nothing that was complete is exported again.
func TestTakeOverOfARetiredSource(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*original){
		"between two windows": func(o *original) { o.chunkRow(2, day(20), nil) },
		"export running":      func(o *original) { o.started(2, 20, 30); o.chunkRow(3, day(20), nil) },
		"half posted":         func(o *original) { o.posted(o.exported(2, 20, 30), 1); o.chunkRow(3, day(20), nil) },
		"the row of a payload was overwritten": func(o *original) {
			o.closedShort(o.exported(2, 20, 30))
			o.chunkRow(3, day(30), nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOriginal(t, rigOptions{source: fhirservice.Options{Kind: fhirservice.Cosmos}})
			o.done(0, 0, 10)
			o.done(1, 10, 20)
			leave(o)
			exports := len(o.exportCalls())
			o.source.Inject(fhirservice.Fault{Gone: true})
			o.run(originalEnd)
			o.wantEqual()
			for _, since := range o.exportedAfter(exports) {
				if since < "2024-01-21" {
					t.Errorf("exported again: %s", since)
				}
			}
			if c := o.chunk(); !c.ExportOnly || len(c.Open)+len(c.Repairs) > 0 {
				t.Errorf("chunk row: %+v", c)
			}
		})
	}
}

// An original that went type by type is taken over from a retired source, and then refused until all types are exported together: what its list left out is
// migrated from the beginning on.
func TestTakeOverByTypeOfARetiredSource(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, rigOptions{source: fhirservice.Options{Kind: fhirservice.Cosmos}})
	o.seed(resource("Account", "a", 1, day(5)), resource("Observation", "a", 1, day(5)))
	o.doneFor("Account", 0, 0, 20)
	o.doneFor("Patient", 1, 0, 20)
	o.typeChunk(2, 0, map[string]any{"noOfResources": 2, "globalSinceExportType": ledger.FormatInstant(day(20)), "globalTillExportType": ""})
	o.source.Inject(fhirservice.Fault{Gone: true})
	o.Migration = o.handler("IsParallel=false", "ResourceTypes=Account,Patient")
	for range 3 {
		if _, err := o.ExportStep(t.Context()); err != nil && !strings.Contains(err.Error(), "set AZURE_IsParallel=true") {
			t.Fatal(err)
		}
		o.clock.Advance(time.Hour)
	}
	if c := o.chunk(); c.Foreign || !c.ExportOnly {
		t.Fatalf("chunk row: %+v", c)
	}
	o.Migration = o.handler()
	if changed, err := o.AcceptSettings(t.Context(), operator); err != nil || !strings.Contains(changed, "migrated from the beginning on") {
		t.Fatalf("accepted: %q %v", changed, err)
	}
	o.run(originalEnd)
	o.wantEqual()
}
