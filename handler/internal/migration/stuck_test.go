package migration

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/sandbox/fhirservice"
)

// T15: a job answers 202 for ever. At its deadline it is cancelled, the next attempt is half the size, and the row says so.
func TestT15StuckExport(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: append([]string{"ExportDeadlineMinutes=60"}, rangeRun...)})
	r.load(40, day(1), 12*time.Hour)
	r.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 1, StuckJob: true})
	r.run(rangeEnd)
	r.wantEqual()
	r.checkTiling()
	w := r.window(1)
	if n := r.calls(r.source, fhirservice.ExportCancel); n != 1 {
		t.Errorf("%d cancels", n)
	}
	if w.Attempts != 1 || len(w.AttemptLog) != 2 || !strings.Contains(w.AttemptLog[0].What, "no end 1h") || !strings.Contains(w.AttemptLog[1].What, "split at") {
		t.Errorf("%d attempts, log %v", w.Attempts, w.AttemptLog)
	}
	if w.Till.Sub(w.Since) > 16*24*time.Hour {
		t.Errorf("%s is not half of what it was", w.Name())
	}
}

func TestT15StuckImport(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{source: fhirservice.Options{LinesPerFile: 10}, settings: append([]string{"ImportDeadlineMinutes=60"}, rangeRun...)})
	r.load(40, day(1), 6*time.Hour)
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, StuckJob: true})
	r.run(rangeEnd)
	r.wantEqual()
	w := r.window(1)
	if n := r.calls(r.destination, fhirservice.ImportCancel); n != 1 {
		t.Errorf("%d cancels", n)
	}
	if len(w.Payloads) != 2 || w.Payloads[0].To != w.Payloads[1].From || w.Attempts != 1 || !strings.Contains(w.AttemptLog[0].What, "cancelled: ") {
		t.Errorf("%d attempts, %+v, log %v", w.Attempts, w.Payloads, w.AttemptLog)
	}
}

// An import is stuck at its deadline, or when it has begun to count lines and counts no more for long; one that queues is
// waited for.
func TestT15WhatIsStuck(t *testing.T) {
	t.Parallel()
	ago := func(d time.Duration) ledger.Millis { return ledger.Millis(start.Add(-d).UnixMilli()) }
	for name, c := range map[string]struct {
		still   string
		payload ledger.Payload
		want    string
	}{
		"queues":              {"60", ledger.Payload{PostedAt: ago(5 * time.Hour), MovedAt: ago(5 * time.Hour)}, ""},
		"moved lately":        {"60", ledger.Payload{PostedAt: ago(5 * time.Hour), MovedAt: ago(59 * time.Minute), Moved: 7}, ""},
		"moves no more":       {"60", ledger.Payload{PostedAt: ago(5 * time.Hour), MovedAt: ago(time.Hour), Moved: 7}, "7 lines done, and no more for 1h0m0s"},
		"that is not watched": {"0", ledger.Payload{PostedAt: ago(5 * time.Hour), MovedAt: ago(time.Hour), Moved: 7}, ""},
		"past its deadline":   {"60", ledger.Payload{PostedAt: ago(24 * time.Hour), MovedAt: ago(time.Minute), Moved: 7}, "no end 24h0m0s after it was posted"},
	} {
		r := newRig(t, rigOptions{settings: []string{"StuckAfterMinutes=" + c.still}})
		if got := (&tick{Migration: r.Migration}).stuck(c.payload); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// A job that ends just when it is to be cancelled: 409, and its result is taken.
func TestAnImportThatEndsWhileItIsCancelled(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{destination: fhirservice.Options{ImportTime: func(int) time.Duration { return 61 * time.Minute }}, settings: append([]string{"ImportDeadlineMinutes=60"}, rangeRun...)})
	r.load(10, day(1), time.Hour)
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.ImportCancel, Times: 1, Status: http.StatusConflict, Code: "processing"})
	r.run(rangeEnd)
	r.wantEqual()
	if w := r.window(1); w.Attempts != 0 || w.Phase() != ledger.Done || r.calls(r.destination, fhirservice.Import) != 1 {
		t.Errorf("%d attempts, %s, log %v", w.Attempts, w.Phase(), w.AttemptLog)
	}
}

// 413 is tried with a smaller _maxCount first, which is no failed attempt.
func TestTooLargeIsTriedWithASmallerMaxCount(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: rangeRun})
	r.load(10, day(1), time.Hour)
	r.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 1, FailJob: &fhirservice.Failure{Status: http.StatusRequestEntityTooLarge, Reason: "out of memory"}})
	r.run(rangeEnd)
	r.wantEqual()
	var queries []string
	for _, c := range r.source.Calls() {
		if c.Kind == fhirservice.Export {
			queries = append(queries, c.RawQuery)
		}
	}
	if len(queries) != 2 || strings.Contains(queries[0], "_maxCount") || !strings.Contains(queries[1], "_maxCount=1000") {
		t.Errorf("exports: %v", queries)
	}
	if w := r.window(1); w.Attempts != 0 {
		t.Errorf("%d attempts", w.Attempts)
	}
}

// The answer to a cancellation came from a gateway and the job runs on: it is cancelled again until it ends, and nothing is held.
func TestACancellationThatDidNotArriveIsRepeated(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: append([]string{"ImportDeadlineMinutes=10", "MigrateSearchParameters=false"}, rangeRun...)})
	r.load(5, day(1), time.Hour)
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, StuckJob: true})
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.ImportCancel, Times: 2, NotFHIR: "<html>a gateway</html>", ContentType: "text/html"})
	said := 0
	for range 60 {
		if _, err := r.ExportStep(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.ImportStep(t.Context()); err != nil {
			if said++; !strings.Contains(err.Error(), "a gateway") {
				t.Fatal(err)
			}
		}
		if r.chunk().Watermark.Equal(rangeEnd) {
			break
		}
		r.clock.Advance(2*time.Minute + time.Second)
	}
	if said != 2 {
		t.Errorf("the step failed %d times", said)
	}
	if w := r.window(1); w.Phase() != ledger.Done {
		t.Errorf("%s: %s", w.Phase(), w.HeldReason)
	}
	if n := r.calls(r.destination, fhirservice.ImportCancel); n < 3 {
		t.Errorf("cancelled %d times", n)
	}
	r.wantEqual()
}

// A service of the Cosmos kind forgets an export job, and its manifest, 30 days after its end. A migration that stood still for longer
// exports the window again; nothing is lost with the job.
func TestForgottenExportJob(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{source: fhirservice.Options{Kind: fhirservice.Cosmos, ExportTime: func(int) time.Duration { return time.Minute }}, settings: rangeRun})
	r.load(40, day(1), 12*time.Hour)
	r.tick()
	forgotten := r.window(1)
	if forgotten.Phase() != ledger.Exporting {
		t.Fatalf("the window is %s", forgotten.Phase())
	}
	r.clock.Advance(31 * 24 * time.Hour)
	r.run(rangeEnd)
	r.wantEqual()
	if w := r.window(1); w.ExportID == forgotten.ExportID || w.Attempts != 1 {
		t.Errorf("export %s after %s, %d attempts, log %v", w.ExportID, forgotten.ExportID, w.Attempts, w.AttemptLog)
	}
}
