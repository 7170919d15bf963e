package fhir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"fhirmigration/sandbox/fhirservice"
)

func TestSandboxRetiredService(t *testing.T) {
	t.Parallel()
	b := startSandbox(t, fhirservice.Options{Kind: fhirservice.Cosmos, StorageConnectionString: emulator.ConnectionString()})
	b.load(t)
	b.sandbox.Inject(fhirservice.Fault{Gone: true})
	if _, err := b.CountResources(t.Context(), period); KindOf(err) != Gone {
		t.Errorf("count: %v, want kind gone", err)
	}
	if _, _, err := b.First(t.Context(), "", Versions, period); KindOf(err) != Gone {
		t.Errorf("first version: %v, want kind gone", err)
	}
	if _, err := b.Now(t.Context()); err != nil {
		t.Errorf("now: %v", err)
	}
	url, err := b.StartExport(t.Context(), ExportRequest{Since: since, Till: till})
	if err != nil {
		t.Fatal(err)
	}
	if done, err := b.PollExport(t.Context(), url, func(io.Reader) error { return nil }); !done || err != nil {
		t.Errorf("poll: %v, %v", done, err)
	}
	if err := b.CancelExport(t.Context(), url); KindOf(err) != Gone {
		t.Errorf("cancel: %v, want kind gone", err)
	}
}

// readManifest keeps the manifest or result that a poll hands on.
func readManifest(into *manifest) func(io.Reader) error {
	return func(r io.Reader) error { return json.NewDecoder(r).Decode(into) }
}

type manifest struct {
	Output []struct {
		Type, URL string
		Count     int64
	}
	Error []struct {
		Count int64
	}
}

func TestSandboxExportAndImport(t *testing.T) {
	t.Parallel()
	work := func(int) time.Duration { return time.Minute }
	source := startSandbox(t, fhirservice.Options{StorageConnectionString: emulator.ConnectionString(), BasePath: "/fhir", ExportTime: work})
	source.load(t)
	destination := startSandbox(t, fhirservice.Options{StorageConnectionString: emulator.ConnectionString(), ImportTime: work})

	exportURL, err := source.StartExport(t.Context(), ExportRequest{Since: since, Till: till, History: true, Deletes: true, MaxCount: 100})
	if err != nil {
		t.Fatal(err)
	}
	var exported manifest
	if done, err := source.PollExport(t.Context(), exportURL, readManifest(&exported)); done || err != nil {
		t.Fatalf("first poll of the export: %v, %v; want it running", done, err)
	}
	source.clock.Advance(2 * time.Minute)
	if done, err := source.PollExport(t.Context(), exportURL, readManifest(&exported)); !done || err != nil {
		t.Fatalf("second poll of the export: %v, %v", done, err)
	}
	if len(exported.Output) == 0 || exported.Output[0].Count != 13 {
		t.Fatalf("exported %+v, want 13 lines", exported)
	}

	body := fmt.Appendf(nil, `{"resourceType":"Parameters","parameter":[{"name":"inputFormat","valueString":"application/fhir+ndjson"},{"name":"mode","valueString":"IncrementalLoad"},`+
		`{"name":"input","part":[{"name":"type","valueString":"Patient"},{"name":"url","valueUri":%q}]}]}`, exported.Output[0].URL)
	importURL, err := destination.StartImport(t.Context(), body)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := destination.StartImport(t.Context(), body); err != nil || again != importURL {
		t.Errorf("the same body again: %s, %v; want %s", again, err, importURL)
	}
	var imported manifest
	if done, err := destination.PollImport(t.Context(), importURL, nil, readManifest(&imported)); done || err != nil {
		t.Fatalf("first poll of the import: %v, %v; want it running", done, err)
	}
	destination.clock.Advance(2 * time.Minute)
	if done, err := destination.PollImport(t.Context(), importURL, nil, readManifest(&imported)); !done || err != nil {
		t.Fatalf("second poll of the import: %v, %v", done, err)
	}
	if len(imported.Output) != 1 || imported.Output[0].Count != 13 || len(imported.Error) != 0 {
		t.Errorf("imported %+v, want 13 lines and no error", imported)
	}
	if err := destination.CancelImport(t.Context(), importURL); KindOf(err) != Refused {
		t.Errorf("cancel of an import that has ended: %v, want kind refused", err)
	}
	if err := source.CancelExport(t.Context(), exportURL); err != nil {
		t.Errorf("cancel export: %v", err)
	}
	if _, err := source.PollExport(t.Context(), exportURL, nil); KindOf(err) != NotFound {
		t.Errorf("poll of a deleted export: %v, want kind not found", err)
	}
	if err := source.CancelExport(t.Context(), exportURL); err != nil {
		t.Errorf("cancel of an export that is not there: %v", err)
	}
}

func TestSandboxJobsThatEndBadly(t *testing.T) {
	t.Parallel()
	b := startSandbox(t, fhirservice.Options{StorageConnectionString: emulator.ConnectionString(), ImportTime: func(int) time.Duration { return time.Hour }})
	b.load(t)
	b.sandbox.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 1, FailJob: &fhirservice.Failure{Status: http.StatusTooManyRequests, Reason: "throttled by the store"}})
	url, err := b.StartExport(t.Context(), ExportRequest{Since: since, Till: till})
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.PollExport(t.Context(), url, nil)
	var e *Error
	if !errors.As(err, &e) || e.Kind != JobFailed || e.Status != http.StatusTooManyRequests || !strings.Contains(e.Diagnostics, "throttled by the store") {
		t.Errorf("poll: %v, want kind job failed with status and reason", err)
	}

	url, err = b.StartExport(t.Context(), ExportRequest{Since: since, Till: till})
	if err != nil {
		t.Fatal(err)
	}
	var exported manifest
	if done, err := b.PollExport(t.Context(), url, readManifest(&exported)); !done || err != nil || len(exported.Output) == 0 {
		t.Fatalf("poll: %v, %v, %+v", done, err, exported)
	}
	body := fmt.Appendf(nil, `{"resourceType":"Parameters","parameter":[{"name":"inputFormat","valueString":"application/fhir+ndjson"},`+
		`{"name":"input","part":[{"name":"url","valueUri":%q}]}]}`, exported.Output[0].URL)
	if url, err = b.StartImport(t.Context(), body); err != nil {
		t.Fatal(err)
	}
	if err := b.CancelImport(t.Context(), url); err != nil {
		t.Errorf("cancel: %v", err)
	}
	b.clock.Advance(2 * time.Hour)
	if _, err := b.PollImport(t.Context(), url, nil, nil); KindOf(err) != JobFailed {
		t.Errorf("poll of a cancelled import: %v, want kind job failed", err)
	}

	b.sandbox.Inject(fhirservice.Fault{Kind: fhirservice.ExportStatus, Times: 1, Status: http.StatusTooManyRequests, RetryAfter: "7"})
	if _, err = b.PollExport(t.Context(), url, nil); KindOf(err) != Refused {
		t.Errorf("poll of an import as an export: %v, want kind refused", err)
	}
	if url, err = b.StartExport(t.Context(), ExportRequest{Since: since, Till: till}); err != nil {
		t.Fatal(err)
	}
	if _, err = b.PollExport(t.Context(), url, nil); !errors.As(err, &e) || e.Kind != Transient || e.RetryAfter != 7*time.Second {
		t.Errorf("poll: %v, want kind transient, again after 7 s", err)
	}
	b.sandbox.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 1, LostReply: true})
	if _, err = b.StartExport(t.Context(), ExportRequest{Since: since, Till: till}); KindOf(err) != Transient {
		t.Errorf("lost reply: %v, want kind transient", err)
	}
	started := 0
	for _, call := range b.sandbox.Calls() {
		if call.Kind == fhirservice.Export {
			started++
		}
	}
	if started != 4 {
		t.Errorf("%d exports started, want 4: the one whose reply was lost once", started)
	}
}
