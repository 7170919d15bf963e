package migration

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/sandbox/fhirservice"
)

var somebody = Caller{By: "dr. who", Reason: "the clinic closes"}

// actions are what the ledger has noted, the oldest first.
func (r *rig) actions() (names []string) {
	r.t.Helper()
	all, err := r.Ledger.Actions(r.t.Context(), "", 1000)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, a := range all {
		if a.By == "" || a.Reason == "" || a.At.IsZero() || a.Outcome == "" || a.EndedAt.IsZero() {
			r.t.Errorf("noted: %+v", a)
		}
		names = append(names, a.Name)
	}
	return names
}

func (r *rig) wantNotNow(what string, err error, says string) {
	r.t.Helper()
	if !errors.Is(err, ErrNotNow) || !strings.Contains(err.Error(), says) {
		r.t.Errorf("%s: %v, want one with %q", what, err, says)
	}
}

// An operator's pause, also before there is a table: nothing new starts, what runs is followed to its end; resumed, it goes on. Imports
// wait even where those of a pause by the clock do not.
func TestOperatorPausesAndResumes(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: append([]string{"MaxParallelExports=1", "ContinueLastImportDuringPause=true"}, rangeRun...)})
	r.load(90, day(1), 24*time.Hour)
	if _, err := r.Pause(t.Context(), somebody); err != nil {
		t.Fatal(err)
	}
	if e, _ := r.tick(); !strings.Contains(e.Waiting, "paused by dr. who") || len(r.source.Calls()) > 0 || len(r.destination.Calls()) > 0 {
		t.Errorf("paused before the start: %+v, %d calls", e, len(r.source.Calls()))
	}
	_, err := r.Pause(t.Context(), Caller{"another", "why"})
	r.wantNotNow("paused again", err, "paused by dr. who since 2025-01-01T00:00:00.000Z: the clinic closes")
	if err := r.Resume(t.Context(), somebody); err != nil {
		t.Fatal(err)
	}
	r.wantNotNow("resumed again", r.Resume(t.Context(), somebody), "no operator has paused it")
	r.tick()
	if _, err := r.Pause(t.Context(), somebody); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		r.tick()
	}
	if exports, imports := r.calls(r.source, fhirservice.Export), r.calls(r.destination, fhirservice.Import); exports != 1 || imports != 0 {
		t.Errorf("while it is paused: %d exports, %d imports", exports, imports)
	}
	if w := r.window(1); !w.ExportComplete {
		t.Errorf("what ran was not followed: %s", w.Phase())
	}
	if err := r.Resume(t.Context(), somebody); err != nil {
		t.Fatal(err)
	}
	r.run(rangeEnd)
	r.wantEqual()
	if got := strings.Join(r.actions(), " "); got != "Pause Resume Pause Resume" {
		t.Errorf("noted: %s", got)
	}
}

// Start now: the live end is planned past TailIntervalMinutes, never past the lag, and once.
func TestStartNow(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: []string{"ExportWithHistory=true", "TailIntervalMinutes=600"}})
	r.load(5, start.Add(-20*time.Hour), time.Minute)
	for range 20 {
		r.tick()
	}
	before := r.chunk().PlannedTill
	r.seed(version("new", 1, r.clock.Now().Add(-10*time.Minute), false))
	for range 3 {
		r.tick()
	}
	if now := r.chunk().PlannedTill; !now.Equal(before) {
		t.Fatalf("planned by itself until %s", now)
	}
	if err := r.StartNow(t.Context(), somebody); err != nil {
		t.Fatal(err)
	}
	asked := r.clock.Now()
	r.tick()
	till := r.chunk().PlannedTill
	if lag := asked.Sub(till); lag < r.Settings.SafetyLag() || lag > r.Settings.SafetyLag()+2*time.Second {
		t.Errorf("planned until %s before now", lag)
	}
	for range 20 {
		r.tick()
	}
	r.wantEqual()
	if now := r.chunk().PlannedTill; !now.Equal(till) {
		t.Errorf("planned on until %s: the wish is not over", now)
	}
	if c, err := r.Ledger.Control(t.Context()); err != nil || c.StartNow.Set() {
		t.Errorf("%v: %+v", err, c.StartNow)
	}
}

// A held window is released and goes on; what is not held says what it is.
func TestReleaseWindow(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: append([]string{"MaxExportRetries=1"}, rangeRun...)})
	r.load(10, day(1), time.Hour)
	r.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 1, FailJob: &fhirservice.Failure{Status: 500, Reason: "unknown error"}})
	r.run(rangeEnd)
	if w := r.window(1); w.Phase() != ledger.Held {
		t.Fatalf("it is %s", w.Phase())
	}
	if _, err := r.ReleaseWindow(t.Context(), 99, somebody); !errors.Is(err, ErrNoWindow) {
		t.Errorf("an unknown window: %v", err)
	}
	w, err := r.ReleaseWindow(t.Context(), 1, somebody)
	if err != nil || w.Phase() != ledger.Planned || w.Attempts != 0 {
		t.Errorf("%v: %s, %d attempts", err, w.Phase(), w.Attempts)
	}
	_, err = r.ReleaseWindow(t.Context(), 1, somebody)
	r.wantNotNow("released again", err, "while it is planned")
	r.clearRetries()
	r.run(rangeEnd)
	r.wantEqual()
	_, err = r.ReleaseWindow(t.Context(), 1, somebody)
	r.wantNotNow("a window that is done", err, "while it is done")
	if got := r.actions(); len(got) != 2 {
		t.Errorf("what is refused is noted: %v", got)
	}
}

// A held window is tried again from nothing, and one that waits between attempts at once.
func TestRetryWindow(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: append([]string{"MaxExportRetries=2", "ScheduleInterval=30"}, rangeRun...)})
	r.load(10, day(1), time.Hour)
	r.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 2, FailJob: &fhirservice.Failure{Status: 500, Reason: "unknown error"}})
	for r.tick(); r.window(1).Attempts == 0; {
		r.tick()
	}
	if w := r.window(1); !w.NotBefore.After(r.clock.Now()) {
		t.Fatalf("it does not wait: %+v", w)
	}
	if _, err := r.RetryWindow(t.Context(), 1, somebody); err != nil {
		t.Fatal(err)
	}
	r.tick()
	if w := r.window(1); w.Phase() != ledger.Exporting {
		t.Errorf("the next tick leaves it %s", w.Phase())
	}
	_, err := r.RetryWindow(t.Context(), 1, somebody)
	r.wantNotNow("while it is exported", err, "while it is exporting")
	r.run(rangeEnd)
	if w := r.window(1); w.Phase() != ledger.Held {
		t.Fatalf("it is %s", w.Phase())
	}
	if w, err := r.RetryWindow(t.Context(), 1, somebody); err != nil || w.Phase() != ledger.Planned {
		t.Errorf("%v: %s", err, w.Phase())
	}
	r.clearRetries()
	r.run(rangeEnd)
	r.wantEqual()
}

// The job of a window is cancelled: an export is planned again, an import posted again in two halves once its job has ended.
func TestCancelWindow(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{source: fhirservice.Options{LinesPerFile: 5}, settings: rangeRun})
	r.load(20, day(1), time.Hour)
	r.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 1, StuckJob: true})
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, StuckJob: true})
	r.tick()
	r.tick()
	r.source.Inject(fhirservice.Fault{Kind: fhirservice.ExportCancel, Times: 1, Status: http.StatusInternalServerError})
	if _, err := r.CancelWindow(t.Context(), 1, somebody); !errors.Is(err, ErrService) {
		t.Errorf("the source does not do it: %v", err)
	}
	w, err := r.CancelWindow(t.Context(), 1, somebody)
	if err != nil || w.Phase() != ledger.Planned || w.Attempts != 0 || w.ExportID != "" {
		t.Errorf("%v: %s, %d attempts", err, w.Phase(), w.Attempts)
	}
	_, err = r.CancelWindow(t.Context(), 1, somebody)
	r.wantNotNow("nothing runs", err, "no job of it runs")
	for r.window(1).Phase() != ledger.Importing {
		r.tick()
	}
	if w, err = r.CancelWindow(t.Context(), 1, somebody); err != nil || !w.Payloads[0].Cancelled {
		t.Errorf("%v: %+v", err, w.Payloads)
	}
	_, err = r.CancelWindow(t.Context(), 1, somebody)
	r.wantNotNow("it is cancelled", err, "left to cancel")
	if n := r.calls(r.destination, fhirservice.Import); n != 1 {
		t.Errorf("%d imports before the old one has ended", n)
	}
	r.run(rangeEnd)
	r.wantEqual()
	if w := r.window(1); len(w.Payloads) != 2 || r.calls(r.source, fhirservice.Export) != 2 {
		t.Errorf("%d payloads, %d exports", len(w.Payloads), r.calls(r.source, fhirservice.Export))
	}
}

// A retired source cancels nothing, and is not said to.
func TestCancelWindowAtARetiredSource(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{source: fhirservice.Options{Kind: fhirservice.Cosmos, ExportTime: jobTime}, settings: rangeRun})
	r.load(20, day(1), time.Hour)
	r.tick()
	r.source.Inject(fhirservice.Fault{Gone: true})
	_, err := r.CancelWindow(t.Context(), 1, somebody)
	r.wantNotNow("a retired source", err, "retired")
	if w := r.window(1); w.Phase() != ledger.Exporting {
		t.Errorf("it is %s", w.Phase())
	}
}

// T31, the second half: a pinned setting changed half-way is accepted by an operator, and the migration goes on with it. What it was and
// what it is are noted, and jobs at a service that was replaced are not asked for at the other one.
func TestT31AnAcceptedSettingGoesOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{source: fhirservice.Options{ExportTime: jobTime}, settings: append([]string{"MaxOpenWindows=1"}, rangeRun...)})
	r.load(40, day(1), 48*time.Hour)
	if _, err := r.AcceptSettings(t.Context(), somebody); !errors.Is(err, ErrNotNow) {
		t.Errorf("before the start: %v", err)
	}
	r.tick()
	_, err := r.AcceptSettings(t.Context(), somebody)
	r.wantNotNow("nothing changed", err, "no setting")

	r.Migration = r.handler("ExportWithHistory=false")
	if _, err := r.ExportStep(t.Context()); err == nil || !strings.Contains(err.Error(), "AcceptSettings") {
		t.Errorf("a changed setting: %v", err)
	}
	changed, err := r.AcceptSettings(t.Context(), somebody)
	if err != nil || changed != `ExportWithHistory was "true" and is "false"` {
		t.Errorf("%v: %q", err, changed)
	}
	if w := r.window(1); w.Phase() != ledger.Exporting {
		t.Errorf("the job that runs is left alone: %s", w.Phase())
	}

	other := "SourceUri=" + strings.Replace(r.Settings.SourceUri, "127.0.0.1", "localhost", 1)
	r.Migration = r.handler("ExportWithHistory=false", other)
	if _, err := r.CancelWindow(t.Context(), 1, somebody); !errors.Is(err, ErrNotNow) {
		t.Errorf("a job is cancelled at another service: %v", err)
	}
	r.clock.Advance(time.Second) // actions are listed by their time
	if _, err := r.AcceptSettings(t.Context(), somebody); err != nil {
		t.Fatal(err)
	}
	if w := r.window(1); w.Phase() != ledger.Planned || !strings.Contains(w.AttemptLog[0].What, "orphan") {
		t.Errorf("the job of the other source: %s, %v", w.Phase(), w.AttemptLog)
	}
	r.run(rangeEnd)
	r.wantEqual()
	all, err := r.Ledger.Actions(t.Context(), "", 10)
	if err != nil || len(all) != 2 || all[0].Outcome != changed || !strings.Contains(all[1].Outcome, "SourceUri was") {
		t.Errorf("%v: noted %+v", err, all)
	}
}

// An earlier StartDate is accepted, and what it does not bring is said: planning does not go back.
func TestT31AnEarlierStartDateIsNoWayBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		start string
		said  bool
	}{"earlier": {"StartDate=2023-06-01", true}, "unset": {"StartDate=", true}, "later": {"StartDate=2024-03-01", false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{settings: append([]string{"StartDate=2024-01-10"}, rangeRun...)})
			r.load(10, day(1), 48*time.Hour)
			r.tick()
			r.Migration = r.handler(c.start)
			changed, err := r.AcceptSettings(t.Context(), somebody)
			if said := strings.Contains(changed, "before 2024-01-10T00:00:00.000Z is not migrated"); err != nil || said != c.said {
				t.Errorf("%v: %q", err, changed)
			}
			if r.run(rangeEnd); r.window(1).Since.Before(day(9)) {
				t.Errorf("%s", r.window(1).Name())
			}
		})
	}
}

// A destination that was replaced: what was posted to the other one is posted again, with another body.
func TestT31AReplacedDestination(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{destination: fhirservice.Options{ImportTime: jobTime}, settings: rangeRun})
	r.load(10, day(1), time.Hour)
	for r.tick(); r.window(1).Phase() != ledger.Importing; {
		r.tick()
	}
	before := r.window(1)
	r.Migration = r.handler("DestinationUri=" + strings.Replace(r.Settings.DestinationUri, "127.0.0.1", "localhost", 1))
	if _, err := r.AcceptSettings(t.Context(), somebody); err != nil {
		t.Fatal(err)
	}
	if w := r.window(1); w.Phase() != ledger.Exported || w.Posts != before.Posts+1 {
		t.Errorf("%s, %d posts", w.Phase(), w.Posts)
	}
	r.run(rangeEnd)
	r.wantEqual()
	if n := r.calls(r.destination, fhirservice.Import); n != 2 {
		t.Errorf("%d imports", n)
	}
}

// The reply to the save of an action is lost: it is recognised as ours, and not refused.
func TestActionsRecogniseTheirOwnSaves(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: append([]string{"MaxExportRetries=1"}, rangeRun...)})
	r.load(10, day(1), time.Hour)
	r.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 1, FailJob: &fhirservice.Failure{Status: 500, Reason: "unknown error"}})
	r.run(rangeEnd)
	r.Migration.Ledger = r.Migration.Ledger.Gated(everyCallTwice)
	if _, err := r.Pause(t.Context(), somebody); err != nil {
		t.Errorf("pause: %v", err)
	}
	if err := r.Resume(t.Context(), somebody); err != nil {
		t.Errorf("resume: %v", err)
	}
	if err := r.StartNow(t.Context(), somebody); err != nil {
		t.Errorf("start now: %v", err)
	}
	if w, err := r.ReleaseWindow(t.Context(), 1, somebody); err != nil || w.Phase() != ledger.Planned {
		t.Errorf("release: %v, %s", err, w.Phase())
	}
	if got := strings.Join(slices.Sorted(slices.Values(r.actions())), " "); got != "Pause Resume StartNow WindowRelease" {
		t.Errorf("noted: %s", got)
	}
}

// everyCallTwice does as the SDK when it misses the reply to a write: the call is made again.
func everyCallTwice(_ context.Context, c ledger.Call, do func() error) error {
	err := do()
	if c.Writes() && err == nil {
		return do()
	}
	return err
}

// A handler dies between the note and the action: the note says that nobody knows what came of it, nothing has changed, and it can be asked
// for again. A storage that refuses is an outcome.
func TestActionsThatAreBrokenOff(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: rangeRun})
	whole := r.Migration.Ledger
	full := errors.New("the storage account is full")
	r.Migration.Ledger = whole.Gated(func(_ context.Context, c ledger.Call, do func() error) error {
		if c.Writes() && strings.HasSuffix(c.Row, "-control") {
			return full
		}
		return do()
	})
	if _, err := r.Pause(t.Context(), somebody); !errors.Is(err, full) {
		t.Errorf("refused: %v", err)
	}
	r.Migration.Ledger = whole.Gated(func(_ context.Context, c ledger.Call, do func() error) error {
		if err := do(); err != nil || !strings.Contains(c.Row, "-action-") {
			return err
		}
		panic("the handler dies")
	})
	func() {
		defer func() { _ = recover() }()
		r.Pause(t.Context(), somebody)
	}()
	r.Migration.Ledger = whole
	all, err := r.Ledger.Actions(t.Context(), "", 10)
	if err != nil || len(all) != 2 {
		t.Fatalf("%v: %+v", err, all)
	}
	outcomes := []string{all[0].Outcome, all[1].Outcome}
	if slices.Sort(outcomes); outcomes[0] != "" || !strings.Contains(outcomes[1], "not done: ") || !strings.Contains(outcomes[1], full.Error()) {
		t.Errorf("outcomes: %q", outcomes)
	}
	if c, err := r.Ledger.Control(t.Context()); err != nil || c.Pause.Set() {
		t.Errorf("%v: paused by %+v", err, c.Pause)
	}
	if _, err := r.Pause(t.Context(), somebody); err != nil {
		t.Errorf("asked for again: %v", err)
	}
}
