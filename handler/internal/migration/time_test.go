package migration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fhirmigration/sandbox/fhirservice"
)

// T18: the source is out for two hours. It is asked less and less, the migration goes on by itself, and there is one warning at the
// start and one line at the end.
func TestT18OutageOfTwoHours(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]side{"source": sourceSide, "destination": destinationSide} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{settings: append([]string{"ExportChunkTime=5"}, rangeRun[:3]...)})
			r.load(60, day(1), 24*time.Hour)
			out, status := r.source, 503
			if s.name == "destination" {
				out, status = r.destination, 429
			}
			r.tick()
			r.tick()
			out.Inject(fhirservice.Fault{Status: status})
			before, began := len(out.Calls()), r.clock.Now()
			for r.clock.Now().Sub(began) < 2*time.Hour {
				r.tick()
			}
			ticks := int(2 * time.Hour / (2*time.Minute + time.Second))
			if n := len(out.Calls()) - before; n > 3*ticks {
				t.Errorf("%d calls in %d ticks of an outage", n, ticks)
			}
			control, err := r.Ledger.Control(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if o := s.outage(&control); o.Tries < 10 || o.Tries > ticks/2 || o.Reason == "" || o.NotBefore.Sub(r.clock.Now()) > longestOutagePause {
				t.Errorf("control row: %+v", control)
			} else if o.Throttled != (status == 429) {
				t.Errorf("after answers of %d: throttled %t", status, o.Throttled)
			}
			out.ClearFaults()
			r.run(rangeEnd)
			r.wantEqual()
			if warnings, ends := r.log.with("level=WARN"), r.log.with("answers again"); warnings != 1 || ends != 1 {
				t.Errorf("%d warnings, %d lines at the end", warnings, ends)
			}
			for _, w := range r.allWindows() {
				if w.Attempts > 0 {
					t.Errorf("%s: %d attempts were spent", w.Name(), w.Attempts)
				}
			}
		})
	}
}

// T6: a write stamped a second ago becomes visible five seconds later, and the host's clock is 30 s fast. It is migrated, and no
// window ends after the source's now less the lag.
func TestT06LateWrites(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: []string{"TailIntervalMinutes=1"}})
	fast := func() time.Time { return r.clock.Now().Add(30 * time.Second) }
	r.Migration.Clock = fast
	r.load(3, start.Add(-3*time.Hour), time.Minute)
	for n := range 30 {
		stamped := r.clock.Now().Add(-time.Second)
		r.clock.Advance(5 * time.Second)
		r.seed(version("late", n+1, stamped, false))
		now := r.clock.Now()
		r.tick()
		for _, w := range r.allWindows() {
			if w.Till.After(now.Add(-5 * time.Minute)) {
				t.Fatalf("at %s, %s ends less than five minutes before", now, w.Name())
			}
		}
	}
	last := r.clock.Now()
	for !r.chunk().Watermark.After(last) {
		r.tick()
	}
	report := r.missingVersions()
	if len(report) > 0 {
		t.Errorf("not migrated: %v", report)
	}
}

// missingVersions are the current resources of the source that the destination does not have.
func (r *rig) missingVersions() (missing []string) {
	have := map[string]string{}
	for _, v := range r.destination.Versions() {
		have[v.ID] = v.VersionID
	}
	for _, v := range r.source.Versions() {
		if have[v.ID] == "" {
			missing = append(missing, v.ID)
		}
	}
	return missing
}

// T14: a timer fires while an export of three hours runs, again and again: nothing is started twice, and each tick leaves at once.
func TestT14TimerDuringALongExport(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{source: fhirservice.Options{ExportTime: func(int) time.Duration { return 3 * time.Hour }}, settings: rangeRun})
	r.load(10, day(1), time.Hour)
	r.run(rangeEnd)
	r.wantEqual()
	if n := r.calls(r.source, fhirservice.Export); n != 1 {
		t.Errorf("%d exports were started", n)
	}
}

// A claim holds longer than any tick can live, and steps end before the host would kill them.
func TestBudgets(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{inMemory: true})
	s := r.Settings
	if s.StepBudget() != 4*time.Minute || s.ClaimTime() <= 10*time.Minute || CallTime(s) != 100*time.Second {
		t.Errorf("budget %s, claim %s, call %s", s.StepBudget(), s.ClaimTime(), CallTime(s))
	}
}

// T21: a pause from 22 to 6 o'clock. Nothing new starts from 22:00 on, what runs is followed, and at 06:00 it goes on; a finished
// export is imported during the pause only where that is asked for.
func TestT21Pause(t *testing.T) {
	t.Parallel()
	for _, goOn := range []bool{false, true} {
		t.Run(fmt.Sprintf("ContinueLastImportDuringPause=%v", goOn), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{source: fhirservice.Options{ExportTime: jobTime},
				settings: append([]string{"PauseDm=true", "StartTime=22", "EndTime=6", fmt.Sprintf("ContinueLastImportDuringPause=%v", goOn), "MaxParallelExports=1", "MaxOpenWindows=2"}, rangeRun...)})
			r.load(90, day(1), 24*time.Hour)
			r.clock.Advance(21*time.Hour + 59*time.Minute + 59*time.Second) // the clock began at midnight
			r.tick()
			if n := r.calls(r.source, fhirservice.Export); n != 1 {
				t.Fatalf("%d exports a second before the pause", n)
			}
			for r.clock.Now().Before(start.Add(29*time.Hour + 57*time.Minute)) {
				if e, _ := r.tick(); !strings.Contains(e.Waiting, "paused until 2025-01-02T06:00:00.000Z") {
					t.Fatalf("at %s: %+v", r.clock.Now(), e)
				}
			}
			exports, imports := r.calls(r.source, fhirservice.Export), r.calls(r.destination, fhirservice.Import)
			if exports != 1 || (imports == 1) != goOn {
				t.Errorf("during the pause: %d exports, %d imports", exports, imports)
			}
			if w := r.window(1); !w.ExportComplete {
				t.Errorf("what ran was not followed: %s", w.Phase())
			}
			r.clock.Advance(start.Add(30 * time.Hour).Sub(r.clock.Now())) // 06:00 sharp
			r.tick()
			if n := r.calls(r.source, fhirservice.Export); n != 2 {
				t.Errorf("%d exports at the end of the pause", n)
			}
		})
	}
}
