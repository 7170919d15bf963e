package ledger

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The moves of this file are an operator's. Each leaves the ID of its action in AttemptLog: by that, the echo of a save whose reply was
// lost is recognised.

// Released takes the hold of w away: it goes on from where it stood, with all its attempts before it. Posts is not set back, as it keeps
// the body of a failed job from being posted again. Findings that were not accepted are void: the window may be held for something else
// later, when they no longer fit what was imported.
func (w Window) Released(a Action, now time.Time) (Window, error) {
	if w.Phase() != Held {
		return w, w.illegal("a release")
	}
	if w.Preflight.State == PreflightFound {
		w.Preflight.State = PreflightNone
	}
	w.HeldReason, w.Attempts, w.NotBefore = "", 0, time.Time{}
	return w.acted(a, "released", now), nil
}

// Retried begins a new attempt now. A held window begins from nothing: what was exported of it is forgotten, unless an import of it may
// still be running. A window that waits between two attempts waits no longer. One that the original exported, and of which it is not known
// yet what was posted, is exported again.
func (w Window) Retried(a Action, now time.Time) (Window, error) {
	switch w.Phase() {
	case Held:
		if slices.ContainsFunc(w.Payloads, func(p Payload) bool { return p.State == Posted }) {
			return w, fmt.Errorf("%s: an import of it may still be running: release it, and cancel its job", w.Name())
		}
		w.HeldReason, w.Attempts, w.NotBefore = "", 0, time.Time{}
		w = w.unexported()
		w.ExportRunning, w.ImportRunning = runFailed, runNotStarted
	case Adopting:
		var err error
		if w, err = w.NotAdopted("asked for by an operator", now); err != nil {
			return w, err
		}
	case Planned:
		if w.Claimed(now) {
			return w, fmt.Errorf("%s: its export is about to be started", w.Name())
		}
		w.NotBefore = time.Time{}
	case Exported, Importing:
		waits := false
		w.Payloads = slices.Clone(w.Payloads)
		for i := range w.Payloads {
			if p := &w.Payloads[i]; p.State == Unposted && p.NotBefore != 0 {
				p.NotBefore, waits = 0, true
			}
		}
		if !waits {
			return w, w.illegal("a new attempt")
		}
	default:
		return w, w.illegal("a new attempt")
	}
	return w.acted(a, "a new attempt", now), nil
}

// ExportCancelled: the source was told to cancel the export of w, which is planned again. It takes no attempt.
func (w Window) ExportCancelled(a Action, now, notBefore time.Time) (Window, error) {
	if w.Phase() != Exporting {
		return w, w.illegal("cancelling an export")
	}
	w = w.acted(a, "export "+w.ExportID+" cancelled", now).unexported()
	w.ExportRunning, w.NotBefore, w.FailureReason = runFailed, notBefore, "export cancelled by "+a.By+": "+a.Reason
	return w, nil
}

// SourceReplaced forgets an export that runs at a source which is no longer the one: its number means nothing at another service. ok is
// false when none runs.
func (w Window) SourceReplaced(a Action, now time.Time) (_ Window, ok bool) {
	if w.Phase() == Done || w.ExportComplete || w.ExportStatusURL == "" {
		return w, false
	}
	w = w.OrphanRecorded(w.ExportStatusURL, now).acted(a, "the source was replaced", now).unexported()
	w.ExportRunning, w.NotBefore = runFailed, time.Time{}
	return w, true
}

// DestinationReplaced has what was posted to a destination that is no longer the one posted again, with bodies that differ. ok is false
// when no import runs.
func (w Window) DestinationReplaced(a Action, now time.Time) (_ Window, ok bool) {
	if w.Phase() == Done {
		return w, false
	}
	w.Payloads = slices.Clone(w.Payloads)
	for i, p := range w.Payloads {
		if p.State == Posted {
			w, ok = w.repost(i, time.Time{}), true
		}
	}
	if !ok {
		return w, false
	}
	w.ImportRunning = runFailed
	return w.acted(a, "the destination was replaced", now).counted(), true
}

// ActedOn says whether an action has changed w: its ID is on the row.
func (w Window) ActedOn(a Action) bool {
	return slices.ContainsFunc(w.AttemptLog, func(t Attempt) bool { return strings.Contains(t.What, a.ID) })
}

func (w Window) acted(a Action, what string, now time.Time) Window {
	return w.logged(now, fmt.Sprintf("%s (action %s) by %s: %s", what, a.ID, a.By, a.Reason))
}
