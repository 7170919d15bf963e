package status

import (
	"cmp"
	"slices"
	"time"

	"fhirmigration/handler/internal/ledger"
)

// Timeline is the time that is migrated, from its beginning to where it ends now, in stretches: those that are closed first, by time,
// then the open windows. Windows of types may cover the same time.
type Timeline struct {
	From      *time.Time `json:"from,omitempty"`
	To        *time.Time `json:"to,omitempty"`
	Stretches []Stretch  `json:"stretches,omitempty"`
}

// Kind is what became of a stretch of time.
type Kind string

// The kinds of stretches, beside the phases of windows, of which Done is one.
const (
	// Empty: nothing at the source was last updated in it.
	Empty Kind = "empty"
	// Closed: it is migrated; VerifyTimer has not summed up yet whether it is empty.
	Closed Kind = "closed"
	// Failing: a window that is open, with failed attempts behind it.
	Failing Kind = "failing"
)

// Stretch is a piece of the timeline: a window, several neighbours that are closed, or an empty one.
type Stretch struct {
	Since   time.Time `json:"since"`
	Till    time.Time `json:"till"`
	Kind    Kind      `json:"kind"`
	Open    bool      `json:"open,omitempty"`    // it is one window, which is open
	Window  int       `json:"window"`            // its number then
	Type    string    `json:"type,omitempty"`    // in type mode
	Windows int64     `json:"windows,omitempty"` // how many it stands for
	Lines   int64     `json:"lines,omitempty"`
	Refused int64     `json:"refused,omitempty"`
	Failed  int64     `json:"failedAttempts,omitempty"`
}

func timeline(all rows, from, to *time.Time) (t Timeline, empty int) {
	if !all.begun || from == nil {
		return t, 0
	}
	planned := all.chunk.PlannedTill
	t.From, t.To = from, to
	if to == nil || planned.After(*to) {
		t.To = Instant(planned)
	}
	closed := closedStretches(all)
	t.Stretches, empty = withGaps(closed, all, *from, planned)
	for _, w := range all.open {
		kind := Kind(w.Phase())
		if w.Phase() != ledger.Held && failedAttempts(w) > 0 {
			kind = Failing
		}
		t.Stretches = append(t.Stretches, Stretch{Since: w.Since, Till: w.Till, Kind: kind, Open: true, Window: w.Number, Type: w.ResourceType, Windows: 1,
			Lines: w.ExportedLines(), Refused: w.RefusedCount, Failed: failedAttempts(w)})
	}
	return t, empty
}

func failedAttempts(w ledger.Window) (n int64) {
	for _, a := range w.AttemptLog {
		if a.Kind != "" {
			n++
		}
	}
	return n
}

// closedStretches are the windows that are done, by time: those that the summary knows, and the last ones that it does not know yet.
func closedStretches(all rows) (closed []Stretch) {
	for _, s := range all.summary.Segments {
		closed = append(closed, Stretch{Since: s.Since.Time(), Till: s.Till.Time(), Kind: Kind(ledger.Done), Windows: s.Windows, Lines: s.Imported, Refused: s.Refused, Failed: s.Failed})
	}
	for _, w := range all.notTakenIn() {
		closed = append(closed, Stretch{Since: w.Since, Till: w.Till, Kind: Kind(ledger.Done), Windows: 1, Lines: w.Imported(), Refused: w.RefusedCount, Failed: failedAttempts(w)})
	}
	slices.SortFunc(closed, func(a, b Stretch) int { return cmp.Compare(a.Since.UnixMilli(), b.Since.UnixMilli()) })
	return closed
}

// withGaps puts what lies between closed windows, and is in no open one, between them: it is empty, unless windows were closed that the
// summary does not know yet.
func withGaps(closed []Stretch, all rows, from, planned time.Time) (stretches []Stretch, empty int) {
	covered := slices.Clone(closed)
	for _, w := range all.open {
		covered = append(covered, Stretch{Since: w.Since, Till: w.Till})
	}
	slices.SortFunc(covered, func(a, b Stretch) int { return a.Since.Compare(b.Since) })
	kind := Empty
	if all.behind() > 0 {
		kind = Closed
	}
	stretches = closed
	reached := from
	for _, c := range append(covered, Stretch{Since: planned, Till: planned}) {
		if c.Since.After(reached) {
			stretches = append(stretches, Stretch{Since: reached, Till: c.Since, Kind: kind})
			if kind == Empty {
				empty++
			}
		}
		if c.Till.After(reached) {
			reached = c.Till
		}
	}
	slices.SortStableFunc(stretches, func(a, b Stretch) int { return a.Since.Compare(b.Since) })
	return stretches, empty
}

// behind is how many numbers below JobID were closed and are neither in the summary nor among those read.
func (all rows) behind() int {
	next := max(all.summary.Next, 1) // there is no number 0 but in a migration that was taken over
	n := max(all.chunk.JobID-next, 0)
	for _, pending := range [][]ledger.OpenWindow{all.chunk.Open, all.chunk.Repairs} {
		for _, o := range pending {
			if o.Number >= next {
				n--
			}
		}
	}
	for _, number := range all.summary.Behind {
		if !all.chunk.Pending(number) {
			n++
		}
	}
	return max(n-len(all.notTakenIn()), 0)
}
