package status

import (
	"cmp"
	"slices"
	"time"

	"fhirmigration/handler/internal/ledger"
)

const (
	// typesShown of a window are listed, the largest; the others are summed up.
	typesShown = 12
	// storyShown entries of a window's story are listed, the newest.
	storyShown = 8
	// failuresShown failed attempts are listed.
	failuresShown = 20
	// textShown bounds a text that came from a service, in characters; the whole is in the ledger.
	textShown = 300
)

// Window is a window that is open, or was closed lately.
type Window struct {
	Number int       `json:"number"`
	Phase  string    `json:"phase"`
	Type   string    `json:"type,omitempty"` // in type mode
	Since  time.Time `json:"since"`
	Till   time.Time `json:"till"`

	ExportStarted *time.Time `json:"exportStarted,omitempty"`
	ExportEnded   *time.Time `json:"exportEnded,omitempty"`
	ImportStarted *time.Time `json:"importStarted,omitempty"`
	Ended         *time.Time `json:"ended,omitempty"`
	NotBefore     *time.Time `json:"notBefore,omitempty"` // nothing is asked or started before

	Lines       *int64      `json:"lines,omitempty"` // exported and to be imported; absent before the export has ended
	Imported    int64       `json:"imported"`        // what a running import says of itself included
	Refused     int64       `json:"refused"`
	SourceCount *int64      `json:"sourceCount,omitempty"` // the source's own, taken after the export
	ByType      []TypeLines `json:"byType,omitempty"`
	OtherTypes  int64       `json:"otherTypes,omitempty"` // lines of the types that are not listed
	Payloads    int         `json:"payloads,omitempty"`   // imports that it takes
	Completed   int         `json:"completed,omitempty"`  // of them

	Attempts int      `json:"failedAttempts,omitempty"` // since it was last released
	Problem  string   `json:"problem,omitempty"`        // what last went wrong
	Held     string   `json:"held,omitempty"`           // why it waits for an operator
	Story    []Entry  `json:"story,omitempty"`          // the oldest first
	Do       []Action `json:"actions,omitempty"`
}

// Entry is one of a window's story.
type Entry struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
	Bad  bool      `json:"failed,omitempty"` // it was a failed attempt
}

// view is a window as it is shown.
func view(w ledger.Window, now time.Time) Window {
	v := Window{
		Number: w.Number, Phase: string(w.Phase()), Type: w.ResourceType, Since: w.Since, Till: w.Till,
		ExportStarted: Instant(w.StartTime), ExportEnded: Instant(w.ExportEndTime), ImportStarted: Instant(w.ImportStartTime),
		Ended: Instant(w.EndTime), Refused: w.RefusedCount,
		Payloads: len(w.Payloads), Completed: w.CompletedCount, Attempts: w.Attempts, Problem: cut(w.FailureReason), Held: cut(w.HeldReason),
		Do: windowActions(w),
	}
	if w.ExportComplete {
		lines := w.ExportedLines()
		v.Lines, v.SourceCount = &lines, known(w.SourceCount)
	}
	for _, p := range w.Payloads {
		v.Imported += max(p.Imported, p.Moved)
	}
	switch p := w.Phase(); {
	case p == ledger.Done:
		v.Problem = ""
	case p != ledger.Held && w.NotBefore.After(now):
		v.NotBefore = Instant(w.NotBefore)
	}
	v.ByType, v.OtherTypes = byLines(w.CountsByType, typesShown)
	for _, a := range w.AttemptLog[max(0, len(w.AttemptLog)-storyShown):] {
		v.Story = append(v.Story, Entry{At: a.At, What: cut(a.What), Bad: a.Kind != ""})
	}
	return v
}

// byLines lists the n types with the most lines, and sums up the others. SearchParameter is never imported and left out.
func byLines(counts map[string]int64, n int) (all []TypeLines, others int64) {
	for typ, lines := range counts {
		if typ != "SearchParameter" {
			all = append(all, TypeLines{typ, lines})
		}
	}
	slices.SortFunc(all, func(a, b TypeLines) int { return cmp.Or(cmp.Compare(b.Lines, a.Lines), cmp.Compare(a.Type, b.Type)) })
	for _, t := range all[min(n, len(all)):] {
		others += t.Lines
	}
	return all[:min(n, len(all))], others
}

// cut shortens a text that came from a service.
func cut(text string) string {
	if r := []rune(text); len(r) > textShown {
		return string(r[:textShown]) + " …"
	}
	return text
}

// openWindows are the open windows one by one, the held ones first, and how many more there are.
func openWindows(open []ledger.Window, now time.Time) (shown []Window, more int) {
	sorted := slices.SortedStableFunc(slices.Values(open), func(a, b ledger.Window) int { return cmp.Compare(rank(a), rank(b)) })
	for _, w := range sorted[:min(detailed, len(sorted))] {
		shown = append(shown, view(w, now))
	}
	return shown, len(sorted) - len(shown)
}

// rank sorts windows by how much they are worth a look.
func rank(w ledger.Window) int {
	switch w.Phase() {
	case ledger.Held:
		return 0
	case ledger.Planned:
		if w.Attempts == 0 {
			return 2
		}
	}
	return 1
}

// failures are the newest failed attempts of windows open and closed, and how many there were of each kind.
func failures(all rows) (newest []Failure, exports, imports int64) {
	exports, imports = all.summary.FailedExports, all.summary.FailedImports
	for _, f := range all.summary.Failures {
		newest = append(newest, Failure{f.Window, f.At, cut(f.What)})
	}
	for _, w := range slices.Concat(all.open, all.notTakenIn()) {
		for _, a := range w.AttemptLog {
			switch a.Kind {
			case ledger.FailedExport:
				exports++
			case ledger.FailedImport:
				imports++
			default:
				continue
			}
			newest = append(newest, Failure{w.Number, a.At, cut(a.What)})
		}
	}
	slices.SortStableFunc(newest, func(a, b Failure) int { return b.At.Compare(a.At) })
	return newest[:min(failuresShown, len(newest))], exports, imports
}

// notTakenIn are those of the windows closed last that the summary does not know yet.
func (all rows) notTakenIn() (rest []ledger.Window) {
	for _, w := range all.recent {
		if w.Number >= all.summary.Next || slices.Contains(all.summary.Behind, w.Number) {
			rest = append(rest, w)
		}
	}
	return rest
}
