package status

import (
	"fmt"
	"net/url"
	"slices"

	"fhirmigration/handler/internal/ledger"
)

// What an operator can do. Each is a function of its own, with a key of its own.
var (
	pause          = Action{Name: "Pause", Path: "/api/Pause", Label: "Pause", Says: "Nothing new starts. What runs is followed to its end."}
	resume         = Action{Name: "Resume", Path: "/api/Resume", Label: "Resume", Says: "The pause ends with the next tick."}
	startNow       = Action{Name: "StartNow", Path: "/api/StartNow", Label: "Start now", Says: "The next tick plans up to the live end, less the safety lag, however short that window is."}
	drain          = Action{Name: "Drain", Path: "/api/Drain", Label: "Give back to the original", Says: "What is open is ended and nothing new starts; then the tables are the original's, which can go on with them."}
	undrain        = Action{Name: "Resume", Path: "/api/Resume", Label: "Resume", Says: "The migration goes on here. The original must be stopped before."}
	clearRetries   = Action{Name: "ClearMaxExportRetries", Path: "/api/ClearMaxExportRetries", Label: "Go on", Says: "Failed ticks are counted from zero again, and what is due starts with the next tick. The cause should be found and mended before."}
	acceptSettings = Action{Name: "AcceptSettings", Path: "/api/AcceptSettings", Label: "Accept the settings", Says: "Planning goes on with the settings as they are now. What was migrated before stays as it is."}
	copyParameters = Action{Name: "SearchParametersCopy", Path: "/api/SearchParameters/copy", Label: "Copy again", Bare: true,
		Says: "The custom search parameters are compared and copied again, and the destination is reindexed. Until they are copied, no import is posted."}
)

// windowActions are what can be done with a window as it stands.
func windowActions(w ledger.Window) []Action {
	do := func(name, verb, label, says string) Action {
		return Action{Name: name, Path: fmt.Sprintf("/api/Windows/%d/%s", w.Number, verb), Label: label, Says: fmt.Sprintf("Window %d: %s", w.Number, says)}
	}
	posted := slices.ContainsFunc(w.Payloads, func(p ledger.Payload) bool { return p.State == ledger.Posted })
	release := do("WindowRelease", "release", "Release", "the hold is taken away, and it goes on from where it stood.")
	retry := do("WindowRetry", "retry", "Try again", "a new attempt is made with the next tick.")
	switch w.Phase() {
	case ledger.Held:
		var all []Action
		if w.Preflight.State == ledger.PreflightFound {
			all = append(all, do("PreflightAccept", "acceptFindings", "Accept the findings", "it is imported without the lines that were found, which become exceptions."))
		}
		if posted {
			return append(all, release)
		}
		return append(all, release, do("WindowRetry", "retry", "Export again", "what was exported of it is forgotten, and it begins from nothing."))
	case ledger.Planned:
		if w.Attempts > 0 {
			return []Action{retry}
		}
	case ledger.Exporting:
		return []Action{do("WindowCancel", "cancel", "Cancel its export", "the source is told to cancel its export. A new attempt is made afterwards.")}
	case ledger.Importing:
		if posted {
			return []Action{do("WindowCancel", "cancel", "Cancel its imports", "the destination is told to cancel its imports. They are posted again when the jobs have ended.")}
		}
	}
	return nil
}

// exceptionActions are what can be done with a refused line that is open.
func exceptionActions(e ledger.Exception) (all []Action) {
	path := "/api/Exceptions/" + url.PathEscape(e.ID)
	name := e.ResourceType + " " + e.ResourceID
	if e.Lines == 1 && e.Line >= 0 {
		all = append(all, Action{Name: "ExceptionRetry", Path: path + "/retry", Label: "Import again", Says: "The line (" + name + ") is posted again, alone.", Bare: true})
	}
	return append(all, Action{Name: "ExceptionAccept", Path: path + "/accept", Label: "Accept", Says: "It is noted that the line (" + name + ") may be missing at the destination, who says so and why."})
}

// actions are what can be done with the migration as a whole.
func (r *Reader) actions(all rows, state State) (do []Action) {
	if state == Finished {
		return nil
	}
	if !all.control.Pause.Set() && !all.control.Drain.Set() {
		do = append(do, pause)
	}
	if all.begun && !r.Settings.SpecificRun && !all.control.StartNow.Set() && state != Halted && !all.control.Drain.Set() {
		do = append(do, startNow)
	}
	if all.begun && !all.control.Drain.Set() {
		do = append(do, drain)
	}
	return do
}
