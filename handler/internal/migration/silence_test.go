package migration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/sandbox/fhirservice"
)

// The tests of this file are of harm that would have been silent: windows closed with other data than they should have, or that
// wait for ever without a word.

// T31: a pinned setting changes while windows are planned and not started. None of them starts with the other value.
func TestT31PlannedWindowsDoNotStart(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: append([]string{"MaxOpenWindows=4", "MaxParallelExports=1"}, rangeRun...)})
	for i := range 100 { // ten resources of ten versions each
		r.seed(version(fmt.Sprint("a", i%10), i/10+1, day(float64(1+i)), false))
	}
	r.tick()
	for name, changed := range map[string]*Migration{
		"history": r.handler("ExportWithHistory=false"),
		"source":  r.handler("SourceUri=" + r.destination.URL() + "/other"),
	} {
		for range 5 {
			if _, err := changed.ExportStep(t.Context()); err == nil {
				t.Errorf("%s: nothing is said", name)
			}
			changed.ImportStep(t.Context())
			r.clock.Advance(3 * time.Minute)
		}
	}
	if n := r.calls(r.source, fhirservice.Export); n != 1 {
		t.Errorf("%d exports were started", n)
	}
	other := r.handler("DestinationUri=" + r.source.URL() + "/other")
	if _, err := other.ImportStep(t.Context()); err == nil || !strings.Contains(err.Error(), "DestinationUri") {
		t.Errorf("another destination: %v", err)
	}
	r.run(rangeEnd)
	r.wantEqual()
}

// The search that looks behind an empty stretch never answers, while counts do: after three tries the stretch is exported.
func TestASearchThatNeverAnswersDoesNotStopPlanning(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{inMemory: true, settings: append([]string{"StartDate=2024-01-01"}, rangeRun...)})
	r.load(5, day(200), time.Hour)
	r.source.Inject(fhirservice.Fault{Kind: fhirservice.History, Status: 504})
	r.run(rangeEnd)
	r.wantEqual()
}

// A status that never comes (a gateway's time-out is shorter than the service's sleep) is stuck like one that says 202 for ever.
func TestAStatusThatNeverComesIsStuck(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{inMemory: true, settings: append([]string{"ImportDeadlineMinutes=60", "ExportDeadlineMinutes=60"}, rangeRun...)})
	r.load(10, day(1), time.Hour)
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.ImportStatus, Times: 20, Status: 504})
	r.run(rangeEnd)
	r.wantEqual()
	if n := r.calls(r.destination, fhirservice.ImportCancel); n == 0 {
		t.Error("nothing was cancelled")
	}
}

// A held window does not keep the others from being imported, whatever of it was posted.
func TestAHeldWindowKeepsNoImportSlot(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{inMemory: true, source: fhirservice.Options{LinesPerFile: 4}, settings: append([]string{"FileCount=1", "PayloadCount=1", "MaxExportRetries=1"}, rangeRun...)})
	r.load(4, day(1), time.Hour)
	r.load(12, day(100), time.Hour)
	for range 3 {
		r.tick()
	}
	w := r.window(1)
	for n := 0; w.Phase() != ledger.Importing && n < 20; n++ {
		r.tick()
		w = r.window(1)
	}
	if w.Phase() == ledger.Importing {
		next, err := w.Hold("look at it", r.clock.Now())
		r.saveWindow(next, err)
	}
	for range 60 {
		r.tick()
	}
	if other := r.window(2); other.Phase() != ledger.Done {
		t.Errorf("%s is %s", other.Name(), other.Phase())
	}
}

// A kick-off that the source refuses is said and tried again; it spends no attempt, so that nothing is held when the cause is gone.
func TestARefusedKickOffSpendsNoAttempt(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{inMemory: true, settings: rangeRun})
	r.load(10, day(1), time.Hour)
	r.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 8, Status: 400})
	failed := 0
	for range 12 {
		if _, err := r.ExportStep(t.Context()); err != nil {
			failed++
		}
		r.clock.Advance(3 * time.Minute)
	}
	if failed != 8 {
		t.Errorf("%d steps said so", failed)
	}
	r.run(rangeEnd)
	r.wantEqual()
	if w := r.window(1); w.Attempts != 0 {
		t.Errorf("%d attempts", w.Attempts)
	}
}

// The table of exceptions is made when it is first needed: the others may be older than it.
func TestTheTableOfExceptionsIsMadeWhenItIsNeeded(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: rangeRun})
	r.load(10, day(1), time.Hour)
	r.tick()
	r.Migration = r.handler("ExceptionTableName=later" + r.tables)
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, RefuseLines: 1})
	r.run(rangeEnd)
	if n := len(r.exceptionRows()); n != 1 {
		t.Errorf("%d exceptions", n)
	}
}
