package migration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/staging"
	"fhirmigration/sandbox/fhirservice"
)

// T4: three payloads, the middle one fails. It alone is posted again, with a body that differs; the watermark waits.
func TestT04FailedPayloadAloneIsPostedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{source: fhirservice.Options{LinesPerFile: 4}, settings: append([]string{"FileCount=1"}, rangeRun...)})
	r.load(12, day(1), time.Hour)
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, After: 1, Times: 1, FailJob: &fhirservice.Failure{Status: 500, Reason: "InternalServerError"}})
	r.run(rangeEnd)
	r.wantEqual()
	w := r.window(1)
	if n := r.calls(r.destination, fhirservice.Import); n != 4 || w.Posts != 4 || w.Payloads[1].Post != 4 || w.Payloads[0].Post != 1 {
		t.Errorf("%d imports were posted; %+v", n, w.Payloads)
	}
	if n := r.calls(r.source, fhirservice.Export); n != 1 {
		t.Errorf("%d exports", n)
	}
}

// T10: books that do not balance are named by file and number; the file alone is imported again, and still unbalanced it
// holds the window.
func TestT10UnbalancedBooks(t *testing.T) {
	t.Parallel()
	for name, times := range map[string]int{"once": 1, "again": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{source: fhirservice.Options{LinesPerFile: 25}, settings: rangeRun})
			r.load(100, day(1), time.Hour)
			taken := r.source.Versions()[99] // at the destination with other content: its line is refused, in the last file
			taken.Raw = bytes.Replace(taken.Raw, []byte("Family"), []byte("Other"), 1)
			if err := r.destination.Load(taken); err != nil {
				t.Fatal(err)
			}
			r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: times, ShortImport: 1})
			r.run(rangeEnd)
			w := r.window(1)
			if times == 2 {
				if w.Phase() != ledger.Held || !strings.Contains(w.HeldReason, "25 lines exported, 24 imported, 0 refused") || !strings.Contains(w.HeldReason, ".ndjson") {
					t.Errorf("%s: %s", w.Phase(), w.HeldReason)
				}
				if c := r.chunk(); !c.Watermark.Equal(w.Since) {
					t.Errorf("the watermark moved to %s", c.Watermark)
				}
				return
			}
			if w.Phase() != ledger.Done || w.RefusedCount != 1 || w.ImportedCount != "99" || !strings.Contains(fmt.Sprint(w.AttemptLog), "25 lines exported") ||
				w.FailedImports != "Patient:1" || !strings.Contains(w.FailureReason, "fhirlogs") {
				t.Errorf("%+v", w)
			}
			if len(w.Payloads[0].Only) != 1 || w.Payloads[0].Only[0] == 3 {
				t.Errorf("files imported again: %v", w.Payloads[0].Only)
			}
		})
	}
}

// Refused lines are named: the window is done, and says how many, of what, and where their reasons are.
func TestRefusedLinesAreNamed(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: rangeRun})
	r.load(10, day(1), time.Hour)
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, RefuseLines: 2})
	r.run(rangeEnd)
	w := r.window(1)
	if w.Phase() != ledger.Done || w.RefusedCount != 2 || w.FailedImports != "Patient:2" || w.FailedImportCount != "2" || w.ImportedCount != "8" ||
		!strings.Contains(w.FailureReason, "fhirlogs") {
		t.Errorf("%+v", w)
	}
	if c := r.chunk(); c.Totals.Refused != 2 || c.Totals.Imported != 8 {
		t.Errorf("totals: %+v", c.Totals)
	}
}

// Exported files that are gone before they are imported: the window is exported again.
func TestFilesGoneAreExportedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: rangeRun})
	r.load(10, day(1), time.Hour)
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, FailJob: &fhirservice.Failure{Status: 404, Reason: "BlobNotFound"}})
	r.run(rangeEnd)
	r.wantEqual()
	if n := r.calls(r.source, fhirservice.Export); n != 2 {
		t.Errorf("%d exports, want a second one", n)
	}
}

// Exported files that vanish while they are being imported: the import fails for a reason that does not say so, is posted again, and then the
// window is exported again.
func TestFilesThatVanishWhileTheyAreImported(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{destination: fhirservice.Options{ImportTime: func(int) time.Duration { return 10 * time.Minute }}, settings: rangeRun})
	r.load(10, day(1), time.Hour)
	for range 10 {
		if r.tick(); r.chunk().JobID > 1 && r.window(1).Phase() == ledger.Importing && r.calls(r.destination, fhirservice.Import) > 0 {
			break
		}
	}
	blobs, err := azblob.NewClientFromConnectionString(r.emulator.ConnectionString(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := blobs.DeleteContainer(t.Context(), "export-"+r.window(1).ExportID, nil); err != nil {
		t.Fatal(err)
	}
	r.run(rangeEnd)
	r.wantEqual()
	if n := r.calls(r.source, fhirservice.Export); n != 2 {
		t.Errorf("%d exports, want a second one; log %v", n, r.window(1).AttemptLog)
	}
}

// T11: storage fails while an import request is being written, before the write or after it. The step is retried, and there is
// no payload that was never posted, and none posted twice.
func TestT11StorageFailsWhileARequestIsWritten(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]bool{"before the write": false, "after the write": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{settings: rangeRun})
			r.load(10, day(1), time.Hour)
			fails := 1
			r.Staging = r.Staging.Gated(func(_ context.Context, c staging.Call, do func() error) error {
				if fails == 0 || c.Blob != "import_payload_1.json" || !c.Writes() {
					return do()
				}
				fails--
				if after {
					if err := do(); err != nil {
						return err
					}
				}
				return errors.New("the storage service is busy")
			})
			var failed error
			for range 4 {
				if _, err := r.ExportStep(t.Context()); err != nil {
					t.Fatal(err)
				}
				_, err := r.ImportStep(t.Context())
				failed = errors.Join(failed, err)
				r.clock.Advance(3 * time.Minute)
			}
			if failed == nil || !strings.Contains(failed.Error(), "the storage service is busy") {
				t.Errorf("the error: %v", failed)
			}
			r.run(rangeEnd)
			r.wantEqual()
			if n := r.calls(r.destination, fhirservice.Import); n != 1 {
				t.Errorf("%d imports were posted", n)
			}
			if w := r.window(1); w.PayloadCount != 1 || w.CompletedCount != 1 || w.Attempts != 0 {
				t.Errorf("%+v", w)
			}
		})
	}
}
