package status

import (
	"fmt"
	"strings"
	"time"

	"fhirmigration/handler/internal/ledger"
)

// status makes a status of what was read. It is a function of it alone.
func (r *Reader) status(all rows) Status {
	now, _ := all.serverNow()
	s := Status{
		At: now.UTC(), Build: r.Build, Source: r.Settings.SourceUri, Destination: r.Settings.DestinationUri, Mode: r.mode(all),
		Lag: r.lag(all), Progress: r.progress(all), Waiting: r.waiting(all), Timers: r.timers(all),
		Servers: servers(all), Exceptions: exceptions(all), SearchParameters: r.searchParameters(all),
	}
	s.State, s.Headline = r.state(all, s)
	s.Pace = all.pace(s.State)
	s.Left = r.left(all, s.State, s.Progress, s.Pace)
	s.Open, s.OpenMore = openWindows(all.open, all.now)
	for _, w := range all.recent {
		s.Recent = append(s.Recent, view(w, all.now))
	}
	s.Retries = Retries{Ticks: all.chunk.FailedTicks, Limit: r.Settings.MaxAttempts()}
	s.Failures, s.Exports.Failed, s.Imports.Failed = failures(all)
	s.Timeline, s.Windows.Empty = timeline(all, s.Progress.From, s.Progress.To)
	s.count(all)
	s.ByType, _ = byLines(all.summary.ByType, len(all.summary.ByType))
	for _, run := range all.checks {
		s.Checks = append(s.Checks, r.Check(run))
	}
	s.Checks = bothChecks(s.Checks)
	s.Summary = SummaryState{Updated: Instant(all.summary.Updated), Behind: all.behind()}
	s.Actions = r.actions(all, s.State)
	return s
}

// count fills in the numbers of windows, exports and imports.
func (s *Status) count(all rows) {
	w := &s.Windows
	w.Done, w.Open = all.chunk.Totals.Windows+int64(all.chunk.Takeover.Complete), len(all.open)
	w.Adopting, w.Repairs = count(all.open, ledger.Adopting), len(all.chunk.Repairs)
	w.Planned, w.Exporting, w.Exported = count(all.open, ledger.Planned), count(all.open, ledger.Exporting), count(all.open, ledger.Exported)
	w.Importing, w.Splitting, w.Held = count(all.open, ledger.Importing), count(all.open, ledger.Splitting), count(all.open, ledger.Held)
	s.Exports.Running, s.Exports.Done, s.Imports.Done = w.Exporting, w.Done, w.Done
	for _, open := range all.open {
		if open.ExportComplete {
			s.Exports.Done++
		}
		for _, p := range open.Payloads {
			if p.State == ledger.Posted && open.Phase() != ledger.Held {
				s.Imports.Running++
			}
		}
	}
}

// mode says in words what is migrated.
func (r *Reader) mode(all rows) string {
	set := r.Settings
	parts := []string{"Current resources"}
	if set.ExportWithHistory {
		parts[0] = "All versions"
	}
	if set.ExportWithDelete {
		parts = append(parts, "deletions")
	}
	text := strings.Join(parts, " and ")
	if set.IsExportDeidentified {
		text += ", de-identified"
	}
	if !set.IsParallel {
		text += ", type by type"
	}
	if all.chunk.ExportOnly {
		text += ", from a retired source by its exports alone"
	}
	if set.SpecificRun {
		text += ", up to " + when(set.EndDate)
	}
	return text
}

// state is the first of the states that holds, and a sentence that says it.
func (r *Reader) state(all rows, s Status) (State, string) {
	held := count(all.open, ledger.Held)
	acts := 0
	for _, w := range s.Waiting {
		if w.Act && !w.held {
			acts++
		}
	}
	idle := len(all.open)+len(all.chunk.Repairs) == 0
	switch d := all.control.Drain; {
	case all.chunk.Halted(r.Settings.MaxAttempts()):
		return Halted, r.halted(all)[0].What
	case d.Set() && !all.control.Drained.IsZero():
		return Drained, "The tables are given back to the original"
	case acts > 0:
		return Blocked, s.Waiting[firstAct(s.Waiting)].What
	case d.Set():
		return Drained, "What is open is ended, then the tables are given back to the original"
	case all.chunk.Foreign:
		return NotBegun, "The original's tables are taken over by the next tick of ExportTimer"
	case held > 0 && held == len(all.open):
		return Held, many(int64(held), "window is held and waits", "windows are held and wait") + " for an operator"
	case held > 0:
		return Held, many(int64(held), "window is held and waits", "windows are held and wait") + " for an operator; others go on"
	case all.begun && r.finished(all):
		return Finished, "Everything up to " + when(r.Settings.EndDate) + " is migrated"
	case all.control.Pause.Set():
		return Paused, "Paused by " + all.control.Pause.By
	}
	if paused, until := r.Settings.Paused(all.now); paused {
		return Paused, "Paused until " + when(until)
	}
	if !all.control.Source.Since.IsZero() || !all.control.Destination.Since.IsZero() {
		return Waiting, waitingFor(all.control.Source, all.control.Destination)
	}
	if !all.begun {
		return NotBegun, "Nothing is migrated yet"
	}
	now, _ := all.serverNow()
	if idle && now.Sub(all.chunk.Watermark) <= r.Settings.SafetyLag()+r.Settings.TailInterval()+slackBehind {
		return Following, "Up to date: what is written to the source follows"
	}
	return Running, r.atWork(all)
}

// waitingFor says what keeps a service from answering.
func waitingFor(services ...ledger.Outage) string {
	for _, o := range services {
		if !o.Since.IsZero() && !o.Throttled {
			return "Waiting for a service that gives no answer"
		}
	}
	return "Waiting for a service that is throttled"
}

// slackBehind is how much later than it is due the next window at the live end may begin.
const slackBehind = 10 * time.Minute

func firstAct(waits []Wait) int {
	for i, w := range waits {
		if w.Act && !w.held {
			return i
		}
	}
	return 0
}

func (r *Reader) finished(all rows) bool {
	return r.Settings.SpecificRun && len(all.open)+len(all.chunk.Repairs) == 0 && !all.chunk.Types.UnderWay() && !all.chunk.Watermark.Before(r.Settings.EndDate.Truncate(time.Millisecond))
}

// atWork says what the open windows do.
func (r *Reader) atWork(all rows) string {
	var parts []string
	for _, p := range []struct {
		phase ledger.Phase
		what  string
	}{{ledger.Exporting, "exported"}, {ledger.Importing, "imported"}} {
		if n := count(all.open, p.phase); n > 0 {
			parts = append(parts, many(int64(n), "window is", "windows are")+" being "+p.what)
		}
	}
	if len(parts) == 0 && len(all.open) == 0 {
		return "The next window is about to be planned"
	}
	if len(parts) == 0 {
		return many(int64(len(all.open)), "window is", "windows are") + " open"
	}
	return strings.Join(parts, ", ")
}

func servers(all rows) Servers {
	s := all.summary.Servers
	if s.At.IsZero() {
		return Servers{}
	}
	return Servers{At: Instant(s.At), Source: known(s.Source), Destination: known(s.Destination), SourceError: cut(s.SourceError), DestinationError: cut(s.DestinationError)}
}

// exceptions are counted from what was read just now where that is all there is, else as VerifyTimer last counted them.
func exceptions(all rows) (e Exceptions) {
	by := all.summary.Exceptions.ByState
	switch {
	case all.allListed:
		by = map[ledger.ExceptionState]int64{}
		for _, x := range all.exceptions {
			by[x.State] += x.Lines
		}
	case all.summary.Exceptions.At.IsZero():
		e.Note = fmt.Sprintf("more than %d; VerifyTimer is counting them", exceptionsRead)
	default:
		e.At = Instant(all.summary.Exceptions.At)
	}
	e.ByState = map[string]int64{}
	for state, n := range by {
		e.ByState[string(state)] = n
	}
	e.Open = by[ledger.ExceptionOpen]
	for _, x := range all.exceptions {
		if x.State == ledger.ExceptionOpen && len(e.Listed) < exceptionsShown {
			e.Listed = append(e.Listed, Exception{ID: x.ID, Window: x.Window, Kind: string(x.Kind), ResourceType: x.ResourceType, ResourceID: x.ResourceID,
				Reason: cut(x.Reason), Do: exceptionActions(x)})
		}
	}
	return e
}

func (r *Reader) searchParameters(all rows) SearchParameters {
	if !r.Settings.MigrateSearchParameters {
		return SearchParameters{State: "off", Reason: "AZURE_MigrateSearchParameters is false"}
	}
	p := all.parameters
	s := SearchParameters{State: string(p.State), Reason: cut(p.Reason), Found: p.Found, Copied: p.Copied, Refused: p.Refused, Reindex: p.ReindexStatus}
	if s.State == "" || p.StartTime.IsZero() && p.State == ledger.ParametersCopying && p.Reason == "" {
		s.State = "waiting"
	}
	return s
}

// bothChecks lists both checks, also one that never ran.
func bothChecks(ran []Check) (both []Check) {
	for _, name := range []string{"SurfaceCheck", "DeepCheck"} {
		check := Check{Name: name, State: "never", Verdict: "not run yet"}
		for _, c := range ran {
			if c.Name == name {
				check = c
			}
		}
		both = append(both, check)
	}
	return both
}
