package migration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/sandbox/compare"
	"fhirmigration/sandbox/fhirservice"
)

// putConfiguration writes a de-identification configuration where the source looks for it.
func (r *rig) putConfiguration(file, content string) {
	r.t.Helper()
	account, err := azblob.NewClientFromConnectionString(r.emulator.ConnectionString(), nil)
	if err == nil {
		if _, err = account.CreateContainer(r.t.Context(), "anonymization", nil); bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
			err = nil
		}
	}
	if err == nil {
		_, err = account.UploadBuffer(r.t.Context(), "anonymization", file, []byte(content), nil)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) wantRedacted() {
	r.t.Helper()
	want := r.source.Versions()
	for i, v := range want {
		want[i] = fhirservice.Redacted(v)
	}
	for _, f := range compare.Versions(want, r.destination.Versions()).Findings {
		r.t.Error(f)
	}
}

// T5: de-identification is switched on, and accepted, while exports that were made before it run or wait to be imported. None of what they brought is
// imported: those that run are made again, those that were exported are held until an operator has them exported again.
func TestT05WhatWasExportedBeforeIsNotImported(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{source: fhirservice.Options{ExportTime: func(int) time.Duration { return 4 * time.Minute }},
		settings: append([]string{"MaxOpenWindows=4", "MaxParallelExports=1"}, rangeRun...)})
	r.load(60, day(1), 48*time.Hour)
	for range 5 { // nothing is imported yet
		if _, err := r.ExportStep(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.clock.Advance(3 * time.Minute)
	}
	exported, exporting := 0, 0
	for _, w := range r.allWindows() {
		switch w.Phase() {
		case ledger.Exported:
			exported++
		case ledger.Exporting:
			exporting++
		}
	}
	if exported == 0 || exporting == 0 {
		t.Fatalf("%d windows are exported, %d exporting: the test shows nothing", exported, exporting)
	}
	r.putConfiguration("t05-before.json", "{}")
	r.Migration = r.handler("IsExportDeidentified=true", "ConfigFile=t05-before")
	if _, err := r.ExportStep(t.Context()); err == nil || !strings.Contains(err.Error(), `IsExportDeidentified was "false" and is "true"`) {
		t.Errorf("the error: %v", err)
	}
	if _, err := r.AcceptSettings(t.Context(), Caller{By: "tester", Reason: "a test"}); err != nil {
		t.Fatal(err)
	}
	for range 6 {
		r.tick()
	}
	held := 0
	for _, w := range r.allWindows() {
		if w.Phase() == ledger.Held && strings.Contains(w.HeldReason, "was not de-identified with t05-before.json") {
			held++
		}
	}
	if held != exported {
		t.Errorf("%d windows are held, %d were exported before", held, exported)
	}
	for _, w := range r.allWindows() {
		if w.Phase() == ledger.Held {
			if _, err := r.RetryWindow(t.Context(), w.Number, Caller{By: "tester", Reason: "export it again"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	r.run(rangeEnd)
	r.wantRedacted()
}

// T5: the configuration is mended, and the new version accepted, while what was exported with the old one waits to be imported. None of that is
// imported: it is held until an operator has it exported again.
func TestT05WhatWasExportedWithAnOldConfigurationIsNotImported(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: append([]string{"MaxOpenWindows=4", "MaxParallelExports=1", "IsExportDeidentified=true", "ConfigFile=t05-mended"}, rangeRun...)})
	r.load(60, day(1), 48*time.Hour)
	r.putConfiguration("t05-mended.json", "{}")
	for range 5 { // nothing is imported yet
		if _, err := r.ExportStep(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.clock.Advance(3 * time.Minute)
	}
	exported := 0
	for _, w := range r.allWindows() {
		if w.Phase() == ledger.Exported {
			exported++
		}
	}
	if exported == 0 {
		t.Fatal("no window is exported: the test shows nothing")
	}
	r.putConfiguration("t05-mended.json", `{"fhirPathRules":[{"path":"Patient.name","method":"redact"}]}`)
	if _, err := r.AcceptSettings(t.Context(), somebody); err != nil {
		t.Fatal(err)
	}
	for range 6 {
		r.tick()
	}
	held := 0
	for _, w := range r.allWindows() {
		if w.Phase() == ledger.Held && strings.Contains(w.HeldReason, fmt.Sprintf("POST /api/Windows/%d/retry", w.Number)) {
			held++
			if _, err := r.RetryWindow(t.Context(), w.Number, somebody); err != nil {
				t.Fatal(err)
			}
		}
	}
	if held != exported {
		t.Errorf("%d windows are held, %d were exported with the old configuration", held, exported)
	}
	r.run(rangeEnd)
	r.wantRedacted()
}

// A window with an import that runs is not held for what it was exported with before that has ended: then it can be retried.
func TestT05AnImportThatRunsIsFollowedFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{source: fhirservice.Options{LinesPerFile: 5}, destination: fhirservice.Options{ImportTime: func(int) time.Duration { return 5 * time.Minute }},
		settings: append([]string{"PayloadCount=1", "FileCount=1", "IsExportDeidentified=true", "ConfigFile=t05-runs"}, rangeRun...)})
	r.load(10, day(1), time.Hour)
	r.putConfiguration("t05-runs.json", "{}")
	for range 10 {
		if r.tick(); r.window(1).Phase() == ledger.Importing {
			break
		}
	}
	r.putConfiguration("t05-runs.json", `{"fhirPathRules":[]}`)
	r.Migration = r.handler("PayloadCount=2") // there is room for the next one
	if _, err := r.AcceptSettings(t.Context(), somebody); err != nil {
		t.Fatal(err)
	}
	r.tick()
	if w := r.window(1); w.Phase() != ledger.Importing {
		t.Fatalf("while the import runs it is %s", w.Phase())
	}
	for range 5 {
		r.tick()
	}
	if w := r.window(1); w.Phase() != ledger.Held || w.CompletedCount != 1 || r.calls(r.destination, fhirservice.Import) != 1 {
		t.Fatalf("it is %s: %+v", w.Phase(), w.Payloads)
	}
	if _, err := r.RetryWindow(t.Context(), 1, somebody); err != nil {
		t.Fatal(err)
	}
	r.run(rangeEnd)
	r.wantRedacted()
}

// What was exported before de-identification was switched on is held when there is no manifest that says how it was exported, too: the original kept none,
// and the source does not know the export any more.
func TestDeidentifiedWithoutAManifest(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, rigOptions{})
	o.putConfiguration("no-manifest.json", "{}")
	o.forgets(o.exported(0, 0, 10))
	o.chunkRow(1, day(0), nil)
	if _, err := o.ExportStep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w := o.window(0); w.Phase() != ledger.Exported {
		t.Fatalf("%s is %s", w.Name(), w.Phase())
	}
	o.Migration = o.handler("IsExportDeidentified=true", "ConfigFile=no-manifest")
	if _, err := o.AcceptSettings(t.Context(), somebody); err != nil {
		t.Fatal(err)
	}
	o.tick()
	if w := o.window(0); w.Phase() != ledger.Held || !strings.Contains(w.HeldReason, "not known to be de-identified") {
		t.Fatalf("%s is %s: %s", w.Name(), w.Phase(), w.HeldReason)
	}
	if _, err := o.RetryWindow(t.Context(), 0, somebody); err != nil {
		t.Fatal(err)
	}
	o.run(originalEnd)
	o.wantRedacted()
}
