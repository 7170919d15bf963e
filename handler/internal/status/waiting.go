package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"fhirmigration/handler/internal/ledger"
)

// Who can end what stands in the way.
const (
	nobody   = "nobody, it goes on by itself"
	operator = "an operator"
)

// maxHeldShown windows that are held are listed one by one.
const maxHeldShown = 20

// waiting is what stands in the way, what somebody must do first.
func (r *Reader) waiting(all rows) (waits []Wait) {
	waits = append(waits, r.unscheduled(all)...)
	waits = append(waits, r.halted(all)...)
	if d := all.control.Drain; d.Set() {
		w := Wait{What: "Given back to the original for " + d.By + " when what is open has ended: nothing new starts", Detail: d.Reason, Who: operator, Since: Instant(d.At), Do: []Action{undrain}}
		if !all.control.Drained.IsZero() {
			w.What, w.Since = "The tables are given back to the original, for "+d.By, Instant(all.control.Drained)
		}
		waits = append(waits, w)
	}
	if p := all.control.Pause; p.Set() {
		waits = append(waits, Wait{What: "Paused by " + p.By, Detail: p.Reason, Who: operator, Since: Instant(p.At), Do: []Action{resume}})
	}
	waits = append(waits, r.changed(all)...)
	waits = append(waits, heldWaits(all)...)
	waits = append(waits, r.troubles(all)...)
	waits = append(waits, r.parameterWaits(all)...)
	if paused, until := r.Settings.Paused(all.now); paused {
		waits = append(waits, Wait{What: "Paused until " + when(until), Who: "the clock, or who changes AZURE_PauseDm", Until: Instant(until)})
	}
	waits = append(waits, outage(all, "source", all.control.Source)...)
	waits = append(waits, outage(all, "destination", all.control.Destination)...)
	if c := all.chunk; c.CountTries > 0 && all.now.Before(c.NotBefore) {
		waits = append(waits, Wait{What: "The source could not count what comes next", Who: nobody, Until: Instant(c.NotBefore),
			Detail: fmt.Sprintf("tried %s; after three tries the window is exported without a count", many(int64(c.CountTries), "time", "times"))})
	}
	if len(waits) == 0 {
		waits = said(all)
	}
	actFirst(waits)
	return waits
}

// differences name what is not as it was when the migration began: settings, and the de-identification configuration, as ExportTimer last found it.
func (r *Reader) differences(all rows) (settings, configuration string) {
	if r.Settings.IsExportDeidentified && all.control.Anonymization != "" {
		configuration = all.chunk.PinnedDifference(map[string]string{ledger.AnonymizationPin: all.control.Anonymization})
	}
	return all.chunk.PinnedDifference(r.Settings.Pinned()), configuration
}

// changed is what must not change half-way, and did.
func (r *Reader) changed(all rows) (waits []Wait) {
	settings, configuration := r.differences(all)
	if settings != "" {
		waits = append(waits, Wait{What: "App settings changed that must not change half-way: nothing new is planned", Detail: cut(settings), Act: true,
			Who: operator + ", who sets them back or accepts them", Do: []Action{acceptSettings}})
	}
	if configuration != "" {
		waits = append(waits, Wait{What: "The de-identification configuration is not the one that the migration began with: nothing new is exported", Act: true,
			Detail: cut(r.Settings.AnonymizationFile() + ": " + configuration + ". What was imported before is de-identified with the old one, and stays as it is."),
			Who:    operator + ", who looks at what changed in it and accepts it; a file that is put back is another version, too", Do: []Action{acceptSettings}})
	}
	return waits
}

// halted is a migration of which too many ticks failed in a row.
func (r *Reader) halted(all rows) []Wait {
	if !all.chunk.Halted(r.Settings.MaxAttempts()) {
		return nil
	}
	return []Wait{{What: "Halted after " + many(int64(all.chunk.FailedTicks), "failed tick", "failed ticks in a row"), Act: true,
		Who: operator + ", who finds the cause and says that it goes on", Do: []Action{clearRetries},
		Detail: fmt.Sprintf("Nothing new starts; what runs is followed. AZURE_MaxExportRetries is %d.", r.Settings.MaxAttempts()) + lastFailure(all)}}
}

// lastFailure is what the newest failed attempt says, for whoever looks for the cause of a halt.
func lastFailure(all rows) string {
	newest, _, _ := failures(all)
	if len(newest) == 0 {
		return ""
	}
	return fmt.Sprintf("\nThe last failure, of window %d at %s: %s", newest[0].Window, when(newest[0].At), newest[0].What)
}

// said is what the last ticks themselves said that they wait for: what nothing else on the page explains.
func said(all rows) (waits []Wait) {
	for _, t := range []struct {
		name string
		ledger.Tick
	}{{"ExportTimer", all.control.Export}, {"ImportTimer", all.control.Import}} {
		if t.Waiting != "" {
			waits = append(waits, Wait{What: t.name + " waits", Detail: cut(t.Waiting), Since: Instant(t.At), Who: nobody + " unless it says otherwise"})
		}
	}
	return waits
}

// actFirst puts what somebody must do before what goes away by itself, and leaves the order else.
func actFirst(waits []Wait) {
	var act, rest []Wait
	for _, w := range waits {
		if w.Act {
			act = append(act, w)
		} else {
			rest = append(rest, w)
		}
	}
	copy(waits, append(act, rest...))
}

// unscheduled are timers that do not fire: without a schedule, or silent for longer than three runs of it.
func (r *Reader) unscheduled(all rows) (waits []Wait) {
	for _, t := range r.timers(all) {
		if t.Schedule == "" {
			waits = append(waits, Wait{What: t.Name + " is not scheduled: the app setting " + t.Name + "Schedule is missing", Act: true,
				Who: operator + `, who sets it, for instance to "*/30 * * * * *"`})
			continue
		}
		if t.Ticked == nil {
			continue
		}
		due, ok := overdue(t.Schedule, *t.Ticked)
		slack := ledger.TickNoted + r.Settings.StepBudget()
		if t.Name == "VerifyTimer" {
			slack += countEvery
		}
		if ok && all.now.After(due.Add(slack)) {
			waits = append(waits, Wait{What: t.Name + " does not fire", Act: true, Since: t.Ticked, Who: operator + ", who looks at the function app",
				Detail: "its last tick that is noted was at " + when(*t.Ticked) + ", its schedule is " + t.Schedule})
		}
	}
	return waits
}

// timers are the timer functions. What VerifyTimer leaves behind is the summary, saved every hour at least.
func (r *Reader) timers(all rows) (timers []Timer) {
	for _, name := range timerNames {
		t := Timer{Name: name, Schedule: r.Schedules[name]}
		switch name {
		case "ExportTimer":
			t.tick(all.control.Export)
		case "ImportTimer":
			t.tick(all.control.Import)
		default:
			t.Ticked = Instant(all.summary.Updated)
		}
		timers = append(timers, t)
	}
	return timers
}

func (t *Timer) tick(noted ledger.Tick) {
	t.Ticked, t.Error, t.Since = Instant(noted.At), cut(noted.Error), Instant(noted.Since)
}

// heldWaits are the windows that wait for an operator.
func heldWaits(all rows) (waits []Wait) {
	held := 0
	for _, w := range all.open {
		if w.Phase() != ledger.Held {
			continue
		}
		if held++; held <= maxHeldShown {
			since := time.Time{}
			if n := len(w.AttemptLog); n > 0 {
				since = w.AttemptLog[n-1].At
			}
			waits = append(waits, Wait{What: fmt.Sprintf("Window %d is held", w.Number), Detail: cut(w.HeldReason), Who: operator, Act: true, Window: &w.Number,
				Since: Instant(since), Do: windowActions(w), held: true})
		}
	}
	if held > maxHeldShown {
		waits = append(waits, Wait{What: fmt.Sprintf("%s held as well", many(int64(held-maxHeldShown), "window is", "windows are")), Who: operator, Act: true, held: true})
	}
	return waits
}

// troubles are how the last ticks failed, but for what is told as changed.
func (r *Reader) troubles(all rows) (waits []Wait) {
	settings, configuration := r.differences(all)
	untold := func(text string) string { // an error a line
		lines := slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool {
			return settings != "" && strings.Contains(line, settings) || configuration != "" && strings.Contains(line, configuration)
		})
		return strings.Join(lines, "\n")
	}
	for _, t := range []struct {
		name string
		ledger.Tick
	}{{"ExportTimer", all.control.Export}, {"ImportTimer", all.control.Import}} {
		if text := untold(t.Error); text != "" {
			waits = append(waits, Wait{What: t.name + "'s last tick failed", Detail: cut(text), Act: true, Since: Instant(t.Since),
				Who: "who can mend what it says; then it goes on by itself"})
		}
	}
	return waits
}

// parameterWaits are custom search parameters that imports wait for, or that could not be brought over.
func (r *Reader) parameterWaits(all rows) []Wait {
	s := all.parameters
	switch {
	case !all.begun || !r.Settings.MigrateSearchParameters:
		return nil
	case s.State == ledger.ParametersFailed:
		return []Wait{{What: "The destination could not be reindexed for custom search parameters", Detail: cut(s.Reason), Who: operator, Act: true, Do: []Action{copyParameters}}}
	case s.State == ledger.ParametersCopying && !all.chunk.SearchParametersReady && s.Reason != "":
		return []Wait{{What: "Imports wait until custom search parameters are copied", Detail: cut(s.Reason), Who: nobody, Until: Instant(s.NotBefore)}}
	case s.State == ledger.ParametersDeferred:
		return []Wait{{What: "Custom search parameters are not copied yet; imports do not wait for them", Detail: cut(s.Reason), Who: nobody, Until: Instant(s.NotBefore)}}
	}
	return nil
}

// outage is a service that gives no answer.
func outage(all rows, name string, o ledger.Outage) []Wait {
	if o.Since.IsZero() {
		return nil
	}
	w := Wait{What: "The " + name + " gives no answer", Detail: cut(o.Reason), Who: nobody, Since: Instant(o.Since)}
	if o.Throttled {
		w.What = "The " + name + " is throttled"
		w.Who += "; who pays for the service can give it more capacity"
	}
	if all.now.Before(o.NotBefore) {
		w.What += " and is asked again at " + when(o.NotBefore)
		w.Until = Instant(o.NotBefore)
	}
	return []Wait{w}
}
