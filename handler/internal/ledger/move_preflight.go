package ledger

import (
	"fmt"
	"slices"
	"time"
)

// PreflightState says how far a look at the exported files of a window is.
type PreflightState string

// The states of a look.
const (
	PreflightNone     PreflightState = ""         // none was taken, or an operator released the window without accepting what was found
	PreflightLooking  PreflightState = "looking"  // the files are read; how far is in a blob of the look
	PreflightClean    PreflightState = "clean"    // nothing stands in the way of the import
	PreflightFound    PreflightState = "found"    // the window is held for what was found
	PreflightAccepted PreflightState = "accepted" // the lines may be left out: files are written without them
)

// Preflight is the look at the exported files of a window, before an import or after one that failed. It belongs to one export: a window
// that is exported again forgets it.
type Preflight struct {
	State    PreflightState `json:"state,omitempty"`
	Look     int            `json:"look,omitempty"`     // number of the last look of this export, which names its blobs
	Payloads []int          `json:"payloads,omitempty"` // whose files it is about
	Applied  []int          `json:"applied,omitempty"`  // looks whose lines are left out: files are read as they say
	Written  int            `json:"written,omitempty"`  // with PreflightAccepted: files that are written without their lines
	By       string         `json:"by,omitempty"`       // who accepted last, and why
	Note     string         `json:"note,omitempty"`
}

// preflightNote bounds who and why on the row, in characters; AttemptLog has them, too.
const preflightNote = 500

func (w Window) preflight(move string, want ...PreflightState) error {
	if p := w.Phase(); p != Exported && p != Importing || !slices.Contains(want, w.Preflight.State) {
		return w.illegal(fmt.Sprintf("%s (its preflight is %q)", move, w.Preflight.State))
	}
	return nil
}

// MayPost says whether no look stands in the way of payload i.
func (w Window) MayPost(i int) bool {
	switch w.Preflight.State {
	case PreflightLooking, PreflightAccepted:
		return !slices.Contains(w.Preflight.Payloads, i)
	}
	return true
}

// Looked says whether the files of payload i were looked at, as they are.
func (w Window) Looked(i int) bool {
	return w.Preflight.State == PreflightClean && slices.Contains(w.Preflight.Payloads, i)
}

// LookStarted begins a look at the files of payloads, which are not posted until it has ended. One that is under way begins anew, with the
// files of both.
func (w Window) LookStarted(payloads []int) (Window, error) {
	if err := w.preflight("a look at its files", PreflightNone, PreflightLooking, PreflightClean); err != nil {
		return w, err
	}
	for _, i := range payloads {
		if i < 0 || i >= len(w.Payloads) || w.Payloads[i].State != Unposted {
			return w, w.illegal(fmt.Sprintf("a look at the files of payload %d", i+1))
		}
	}
	if w.Preflight.State == PreflightLooking {
		payloads = append(slices.Clone(w.Preflight.Payloads), payloads...)
	}
	payloads = slices.Clone(payloads)
	slices.Sort(payloads)
	w.Preflight.State, w.Preflight.Payloads = PreflightLooking, slices.Compact(payloads)
	w.Preflight.Look++
	return w, nil
}

// LookEnded: nothing was found that would fail the import. note says what else was found, "" for nothing.
func (w Window) LookEnded(note string, now time.Time) (Window, error) {
	if err := w.preflight("the end of a look at its files", PreflightLooking); err != nil {
		return w, err
	}
	if note != "" {
		w = w.logged(now, note)
	}
	w.Preflight.State = PreflightClean
	return w, nil
}

// LookHeld: what was found would fail the import, or has to be decided before it. The window waits until it is accepted or mended.
func (w Window) LookHeld(reason string, now time.Time) (Window, error) {
	if err := w.preflight("holding for findings", PreflightLooking); err != nil {
		return w, err
	}
	w.Preflight.State = PreflightFound
	return w.Hold(reason, now)
}

// LookTooMany: more was found than can be left out. The window waits until it is mended.
func (w Window) LookTooMany(reason string, now time.Time) (Window, error) {
	if err := w.preflight("holding for findings", PreflightLooking); err != nil {
		return w, err
	}
	w.Preflight.State = PreflightNone
	return w.Hold(reason, now)
}

// FindingsAccepted: somebody says that the lines found may be left out, and why. The window is released; its files are written without
// them, then imported.
func (w Window) FindingsAccepted(a Action, now time.Time) (Window, error) {
	if w.Phase() != Held || w.Preflight.State != PreflightFound {
		return w, fmt.Errorf("%s is %s, and not held for what was found in its files", w.Name(), w.Phase())
	}
	w.Preflight.State, w.Preflight.Written = PreflightAccepted, 0
	w.Preflight.By, w.Preflight.Note = cutTo(a.By, preflightNote), cutTo(a.Reason, preflightNote)
	w.HeldReason, w.FailureReason, w.Attempts, w.NotBefore = "", "", 0, time.Time{}
	return w.acted(a, "findings accepted, their lines are left out", now), nil
}

// FilesWritten: so many files are written without the lines that are left out.
func (w Window) FilesWritten(n int) (Window, error) {
	if err := w.preflight("writing files", PreflightAccepted); err != nil {
		return w, err
	}
	w.Preflight.Written = n
	return w, nil
}

// LinesLeftOut: all files are written; from now on they take the place of the exported ones. The bodies that post them differ from any that
// was posted before. A payload that was posted stays as it is.
func (w Window) LinesLeftOut() (Window, error) {
	if err := w.preflight("leaving lines out", PreflightAccepted); err != nil {
		return w, err
	}
	w.Preflight.Applied = append(slices.Clone(w.Preflight.Applied), w.Preflight.Look)
	w.Preflight.State, w.Preflight.Written = PreflightClean, 0
	w.Payloads = slices.Clone(w.Payloads)
	for _, i := range w.Preflight.Payloads {
		if p := w.Payloads[i]; p.State == Unposted {
			w = w.repost(i, p.NotBefore.Time())
		}
	}
	return w, nil
}
