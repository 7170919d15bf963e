package migration

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/sandbox/fhirservice"
)

var operator = Caller{By: "dr. who", Reason: "the original is to go on"}

// inFlight are the rows that the original's own query takes for work under way; while there is one, it plans nothing.
func (o *original) inFlight() (keys []string) {
	for key, row := range o.rows() {
		switch {
		case row["IsExportRunning"] == "Running", row["IsExportRunning"] == "Started",
			row["IsImportRunning"] == "Running", row["IsImportRunning"] == "Started", row["IsImportRunning"] == "Not Started", row["IsProcessed"] == false:
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// chunkColumns is the chunk row as the original reads it.
func (o *original) chunkColumns() map[string]any {
	o.t.Helper()
	row, err := o.chunks.GetEntity(o.t.Context(), "mypartitionkey", "myrowkey", nil)
	if err != nil {
		o.t.Fatal(err)
	}
	return decoded(o.t, row.Value)
}

// drainedAt ticks until the tables are given back, and returns the watermark that the original finds.
func (o *original) drained() time.Time {
	o.t.Helper()
	for range 50 {
		o.tick()
		control, err := o.Ledger.Control(o.t.Context())
		if err != nil {
			o.t.Fatal(err)
		}
		if !control.Drained.IsZero() {
			since, err := time.Parse(time.RFC3339, o.chunkColumns()["since"].(string))
			if err != nil {
				o.t.Fatal(err)
			}
			return since
		}
	}
	o.t.Fatal("the drain does not end")
	return time.Time{}
}

// Drained with work in every phase, the tables are such that the original goes on: nothing in flight by its own queries, and a watermark before
// everything that is not imported. What it does then is taken over again, and in the end everything is there.
func TestDrainGivesTheTablesBack(t *testing.T) {
	t.Parallel()
	for _, ticks := range []int{0, 1, 3, 5} {
		t.Run(fmt.Sprintf("after %d ticks", ticks+1), func(t *testing.T) {
			t.Parallel()
			o := newOriginal(t, rigOptions{settings: []string{"FileCount=1", "PayloadCount=2", "ExportChunkTime=5"}})
			o.chunkRow(0, time.Time{}, nil)
			for range ticks + 1 {
				o.tick()
			}
			if _, err := o.Drain(t.Context(), operator); err != nil {
				t.Fatal(err)
			}
			if _, err := o.Drain(t.Context(), operator); !errors.Is(err, ErrNotNow) {
				t.Errorf("a second drain: %v", err)
			}
			exports := len(o.exportCalls())
			since := o.drained()
			if n := len(o.exportCalls()); n != exports {
				t.Errorf("%d exports were started while it was drained", n-exports)
			}
			if rows := o.inFlight(); len(rows) > 0 {
				t.Errorf("in flight, as the original sees it: %v", rows)
			}
			row := o.chunkColumns()
			number := int(row["JobId"].(float64))
			for _, key := range []string{"openWindows", "plannedTill"} {
				if text, there := row[key]; there && text != "" {
					t.Errorf("%s is %v in the chunk row", key, text)
				}
			}
			if _, taken := o.rows()[fmt.Sprintf("myrowkey%d", number)]; taken {
				t.Errorf("JobId is %d, and there is a row under it", number)
			}
			for range 3 { // this handler leaves the tables alone
				o.tick()
			}
			if n := len(o.exportCalls()); n != exports {
				t.Errorf("%d exports were started after the drain", n-exports)
			}
			if end := since.AddDate(0, 0, 10); end.Before(originalEnd) { // the original goes on
				o.done(number, since.Sub(day0).Hours()/24, end.Sub(day0).Hours()/24)
				o.chunkRow(number+1, end, nil)
				exports = len(o.exportCalls())
			}
			if err := o.Resume(t.Context(), operator); err != nil {
				t.Fatal(err)
			}
			o.run(originalEnd)
			o.wantEqual()
			o.onceEach(exports)
		})
	}
}

// onceEach looks at the exports before and after the first ones: no instant that was imported is exported again.
func (o *original) onceEach(before int) {
	o.t.Helper()
	for _, after := range o.exportedAfter(before) {
		for _, earlier := range o.exportedAfter(0)[:before] {
			if after == earlier {
				o.t.Errorf("%s was exported again", after)
			}
		}
	}
}

// A drain that is called off leaves a migration that goes on, also when some windows were given back already.
func TestDrainCalledOff(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, rigOptions{settings: []string{"ExportChunkTime=5"}})
	o.tick()
	var planned ledger.Window
	for _, w := range o.allWindows() {
		if w.Phase() == ledger.Planned {
			planned = w
		}
	}
	if _, err := o.Drain(t.Context(), operator); err != nil {
		t.Fatal(err)
	}
	next, err := planned.GivenBack(o.clock.Now())
	o.saveWindow(next, err)
	if err := o.Resume(t.Context(), operator); err != nil {
		t.Fatal(err)
	}
	if err := o.Resume(t.Context(), operator); !errors.Is(err, ErrNotNow) {
		t.Errorf("a second resume: %v", err)
	}
	o.run(originalEnd)
	o.wantEqual()
	o.checkTiling()
}

// A held window is given back too: the watermark is before it, what lies behind it is not exported again when the migration is taken back.
func TestDrainGivesHeldWindowsBack(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, rigOptions{settings: []string{"MaxExportRetries=1", "MaxParallelExports=1", "MaxOpenWindows=5"}})
	o.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, After: 1, Times: 1, FailJob: &fhirservice.Failure{Status: 500, Reason: "no"}})
	for range 30 {
		o.tick()
		if _, err := o.ClearRetries(t.Context(), operator); err != nil && !errors.Is(err, ErrNotNow) {
			t.Fatal(err)
		}
		if c := o.chunk(); c.PlannedTill.Equal(originalEnd) && len(c.Open) == 1 {
			break
		}
	}
	if _, err := o.Drain(t.Context(), operator); err != nil {
		t.Fatal(err)
	}
	since := o.drained()
	if !since.Equal(day(10)) {
		t.Errorf("given back at %s, want the start of the held window", since)
	}
	exports := len(o.exportCalls())
	if err := o.Resume(t.Context(), operator); err != nil {
		t.Fatal(err)
	}
	o.run(originalEnd)
	o.wantEqual()
	if got := o.exportedAfter(exports); !slices.Equal(got, []string{"2024-01-11/2024-01-21"}) {
		t.Errorf("exported after it was taken back: %v", got)
	}
}

// An export tick that began before a drain was asked for inserts its window after the tables were given back: the watermark stays where it is, and the
// row is no work in flight for the original.
func TestDrainOvertakesAnExportTick(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, rigOptions{settings: []string{"MaxExportRetries=1", "MaxParallelExports=1", "MaxOpenWindows=2"}})
	o.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 1, FailJob: &fhirservice.Failure{Status: 500, Reason: "no"}})
	for range 30 {
		o.tick()
		if _, err := o.ClearRetries(t.Context(), operator); err != nil && !errors.Is(err, ErrNotNow) {
			t.Fatal(err)
		}
		if o.window(1).Phase() == ledger.Held && o.chunk().PlannedTill.Equal(day(30)) {
			break
		}
	}
	late, err := o.begin(t.Context(), "export")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Drain(t.Context(), operator); err != nil {
		t.Fatal(err)
	}
	since, number := o.drained(), o.chunk().JobID
	late.Migration = o.handler("MaxOpenWindows=5")
	if err := late.plan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c := o.chunk(); !c.Foreign || !c.Watermark.Equal(since) {
		t.Errorf("the late tick moved the watermark from %s to %s; given back: %v", since, c.Watermark, c.Foreign)
	}
	if _, inserted := o.rows()[fmt.Sprintf("myrowkey%d", number)]; !inserted {
		t.Fatal("the late tick inserted nothing: the test shows nothing")
	}
	if got := o.chunk().JobID; got != number+1 {
		t.Errorf("JobId is %d, want %d", got, number+1)
	}
	if rows := o.inFlight(); len(rows) > 0 {
		t.Errorf("in flight, as the original sees it: %v", rows)
	}
	if err := o.Resume(t.Context(), operator); err != nil {
		t.Fatal(err)
	}
	o.run(originalEnd)
	o.wantEqual()
}

// A window that a tick inserted before it died is in no tables that are given back as work in flight, nor is JobId its number.
func TestDrainAfterATickThatDied(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, rigOptions{settings: []string{"MaxOpenWindows=1", "MaxParallelExports=1"}})
	o.tick()
	number := o.chunk().JobID
	if _, err := o.Ledger.InsertWindow(t.Context(), ledger.NewWindow(number, day(10), day(20))); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Drain(t.Context(), operator); err != nil {
		t.Fatal(err)
	}
	o.drained()
	if rows := o.inFlight(); len(rows) > 0 {
		t.Errorf("in flight, as the original sees it: %v", rows)
	}
	if got := o.chunk().JobID; got != number+1 {
		t.Errorf("JobId is %d, want %d", got, number+1)
	}
	if err := o.Resume(t.Context(), operator); err != nil {
		t.Fatal(err)
	}
	o.run(originalEnd)
	o.wantEqual()
}

// A window of the original that is opened again when the tables are given back is as the original had closed it, and found again; one that a tick
// opened before it died is repaired first.
func TestDrainWhileAWindowIsOpenedAgain(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{true, false} {
		t.Run(fmt.Sprintf("by a late tick: %v", late), func(t *testing.T) {
			t.Parallel()
			o := newOriginal(t, rigOptions{settings: []string{"MaxOpenWindows=1", "MaxParallelExports=1"}})
			j := o.exported(0, 0, 10)
			j.row["IsImportRunning"], j.row["IsProcessed"], j.row["ImportNo"] = "Failed", true, payloadName(1)
			o.save(j)
			o.done(1, 10, 20)
			o.started(2, 20, 30)
			o.chunkRow(3, day(20), nil)
			if _, err := o.ExportStep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if c := o.chunk(); len(c.Repairs) != 1 || len(c.Open) != 1 {
				t.Fatalf("open %v, to be opened again %v", c.Open, c.Repairs)
			}
			stopped, err := o.begin(t.Context(), "export")
			if err != nil {
				t.Fatal(err)
			}
			stopped.Migration = o.handler("MaxOpenWindows=2")
			if !late {
				next, err := o.window(0).Reopened(o.clock.Now())
				o.saveWindow(next, err)
			}
			if _, err := o.Drain(t.Context(), operator); err != nil {
				t.Fatal(err)
			}
			o.drained()
			if late {
				if err := stopped.reopen(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if rows := o.inFlight(); len(rows) > 0 {
				t.Errorf("in flight, as the original sees it: %v", rows)
			}
			if err := o.Resume(t.Context(), operator); err != nil {
				t.Fatal(err)
			}
			o.run(originalEnd)
			o.wantEqual()
		})
	}
}

// Ticks in which an attempt fails and nothing succeeds halt the migration: what runs is followed, nothing new starts until it is cleared.
func TestFailedTicksHalt(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: append([]string{"MaxExportRetries=3", "MaxParallelExports=1", "MaxOpenWindows=3"}, rangeRun...)})
	r.load(100, day(1), 24*time.Hour)
	r.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 3, FailJob: &fhirservice.Failure{Status: 500, Reason: "no"}})
	for range 40 {
		if r.tick(); r.chunk().FailedTicks >= 3 {
			break
		}
	}
	if n := r.log.with("maxExportRetries=3", "event=ExportRetries", "halted=true"); n != 1 {
		t.Fatalf("the log says %d times that it halts; chunk row %+v", n, r.chunk())
	}
	exports := r.calls(r.source, fhirservice.Export)
	for range 5 {
		if e, i := r.tick(); e.Waiting == "" || i.Waiting == "" {
			t.Errorf("a halted tick says nothing: %+v, %+v", e, i)
		}
	}
	if n := r.calls(r.source, fhirservice.Export); n != exports {
		t.Errorf("%d exports were started while it was halted", n-exports)
	}
	if n, err := r.ClearRetries(t.Context(), operator); err != nil || n != 3 {
		t.Errorf("cleared %d: %v", n, err)
	}
	if _, err := r.ClearRetries(t.Context(), operator); !errors.Is(err, ErrNotNow) {
		t.Errorf("cleared twice: %v", err)
	}
	for range 40 {
		if c := r.chunk(); c.PlannedTill.Equal(rangeEnd) && len(c.Open) == 1 {
			break
		}
		r.tick()
	}
	if c := r.chunk(); c.FailedTicks != 0 || c.Totals.Windows == 0 {
		t.Errorf("after a success: %+v", c)
	}
	if r.log.with("event=MaxExportRetriesCleared") != 1 {
		t.Error("the log does not say that it was cleared")
	}
}

// Waiting counts nothing: neither an outage nor a tick without anything to do.
func TestOutagesAndIdleTicksHaltNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: append([]string{"MaxExportRetries=2"}, rangeRun...)})
	r.load(5, day(1), 24*time.Hour)
	r.tick()
	r.source.Inject(fhirservice.Fault{Times: 30, Status: 503})
	for range 8 {
		r.tick()
	}
	r.source.ClearFaults()
	if n := r.chunk().FailedTicks; n != 0 {
		t.Errorf("%d failed ticks in an outage", n)
	}
	r.clock.Advance(time.Hour)
	r.run(rangeEnd)
	for range 5 {
		r.tick()
	}
	if n := r.chunk().FailedTicks; n != 0 {
		t.Errorf("%d failed ticks", n)
	}
}

// An original that had halted stays halted here until somebody clears it; the export that it had started is followed.
func TestTakeOverOfAHaltedOriginal(t *testing.T) {
	t.Parallel()
	o := newOriginal(t, rigOptions{})
	o.done(0, 0, 10)
	o.started(1, 10, 20)
	o.chunkRow(2, day(10), map[string]any{"maxExportRetries": 5})
	exports := len(o.exportCalls())
	e, _ := o.tick()
	if e.Waiting == "" {
		t.Errorf("a halted original goes on: %+v", e)
	}
	for range 5 {
		o.tick()
	}
	if n := len(o.exportCalls()); n != exports {
		t.Errorf("%d exports were started", n-exports)
	}
	if w := o.window(1); w.Phase() != ledger.Exported {
		t.Errorf("the export that ran is %s", w.Phase())
	}
	if _, err := o.ClearRetries(t.Context(), operator); err != nil {
		t.Fatal(err)
	}
	o.run(originalEnd)
	o.wantEqual()
}

// clearRetries ends a halt: in a migration of one window, its last attempt is the last failed tick too.
func (r *rig) clearRetries() {
	r.t.Helper()
	if _, err := r.ClearRetries(r.t.Context(), operator); err != nil {
		r.t.Fatal(err)
	}
}
