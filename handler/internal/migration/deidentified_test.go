package migration

import (
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
	account, err := azblob.NewClientFromConnectionString(emulator.ConnectionString(), nil)
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
