package progress

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Progress is how far a migration is at one moment.
type Progress struct {
	PlannedTill time.Time // up to here every instant has a window or was found empty; zero before the first one
	Listed      int       // windows there are so far
	Done        int       // windows that are exported and imported
	Open        []Window  // the others, as their rows say

	// Lines of NDJSON of the windows that are done.
	ExportedLines, ImportedLines, RefusedLines int64
}

// Window is a row of the table export, in the columns a reader needs.
type Window struct {
	Number           int       `json:"-"` // set by Read alone
	Since            string    `json:"Since"`
	Till             string    `json:"Till"`
	ExportURL        string    `json:"exportContentLocation"`
	ExportRunning    string    `json:"IsExportRunning"`
	ExportComplete   bool      `json:"IsExportComplete"`
	ImportRunning    string    `json:"IsImportRunning"`
	ImportComplete   bool      `json:"IsImportComplete"`
	ExportedLines    string    `json:"TotalExportResourceCount"` // a number as text, "" when unknown
	StartTime        time.Time `json:"StartTime"`
	ExportEndTime    time.Time `json:"ExportEndTime"`
	ImportStartTime  time.Time `json:"ImportStartTime"`
	EndTime          time.Time `json:"EndTime"`
	Held             string    `json:"Held"` // why it waits for an operator, "" when it does not
	PayloadCount     int       `json:"PayloadCount"`
	CompletedPayload int       `json:"CompletedCount"`
}

// Name says which window it is, in words.
func (w Window) Name() string { return fmt.Sprintf("window %d [%s, %s)", w.Number, w.Since, w.Till) }

// Exporting tells whether a job is at work on the window's export.
func (w Window) Exporting() bool {
	return !w.ExportComplete && w.ExportURL != "" && (w.ExportRunning == "Started" || w.ExportRunning == "Running")
}

// Importing tells whether a job is at work on the window's import.
func (w Window) Importing() bool {
	return w.ExportComplete && !w.ImportComplete && (w.ImportRunning == "Started" || w.ImportRunning == "Running")
}

// Exported counts the windows whose export is complete, and the lines in them.
func (p Progress) Exported() (windows int, lines int64) {
	windows, lines = p.Done, p.ExportedLines
	for _, w := range p.Open {
		if w.ExportComplete {
			windows++
			lines += w.lines()
		}
	}
	return windows, lines
}

// Imported counts the windows whose import is complete too, and the lines that are at the destination.
func (p Progress) Imported() (windows int, lines int64) {
	windows, lines = p.Done, p.ImportedLines
	for _, w := range p.Open {
		if w.ExportComplete && w.ImportComplete {
			windows++
			lines += w.lines()
		}
	}
	return windows, lines
}

// lines is the number of lines exported, 0 when the row does not say.
func (w Window) lines() int64 {
	n, err := strconv.ParseInt(w.ExportedLines, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// InFlight counts the windows that jobs are at work on.
func (p Progress) InFlight() (exports, imports int) {
	for _, w := range p.Open {
		if w.Exporting() {
			exports++
		}
		if w.Importing() {
			imports++
		}
	}
	return exports, imports
}

// Finished tells whether nothing is left of a migration that goes up to end.
func (p Progress) Finished(end time.Time) bool {
	return !p.PlannedTill.IsZero() && !p.PlannedTill.Before(end) && p.Listed == p.Done
}

// Expected is how many windows there will be when the migration reaches end, as far as one can tell: those there are, and
// one for each length of the time not planned yet. Empty stretches make it too many.
func (p Progress) Expected(end time.Time, length time.Duration) int {
	if p.PlannedTill.IsZero() || !p.PlannedTill.Before(end) {
		return p.Listed
	}
	left := end.Sub(p.PlannedTill)
	return p.Listed + int((left+length-1)/length)
}

// Held names the windows that wait for an operator, each with its reason.
func (p Progress) Held() []string {
	var held []string
	for _, w := range p.Open {
		if w.Held != "" {
			held = append(held, w.Name()+": "+w.Held)
		}
	}
	return held
}

// mark is the same for two readings between which nothing moved. Times at which a row is looked at again are left out:
// a migration that only waits does not move.
func (p Progress) mark() string {
	var b strings.Builder
	fmt.Fprint(&b, p.PlannedTill, p.Listed, p.Done)
	for _, w := range p.Open {
		fmt.Fprint(&b, ";", w.Number, w.ExportURL, w.ExportRunning, w.ExportComplete, w.ImportRunning, w.ImportComplete, w.CompletedPayload, w.Held)
	}
	return b.String()
}

// Moved tells whether the migration got anywhere since before.
func (p Progress) Moved(before Progress) bool { return p.mark() != before.mark() }

// Together is how many exports, and how many imports, were under way at the same time at most, by what the rows of the
// windows say about their starts and ends.
func Together(windows []Window) (exports, imports int) {
	exports = overlap(windows, func(w Window) (from, to time.Time) { return w.StartTime, w.ExportEndTime })
	imports = overlap(windows, func(w Window) (from, to time.Time) { return w.ImportStartTime, w.EndTime })
	return exports, imports
}

// overlap is the largest number of intervals that share an instant. One that lacks an end counts for nothing.
func overlap(windows []Window, interval func(Window) (from, to time.Time)) int {
	type edge struct {
		at   time.Time
		step int
	}
	var edges []edge
	for _, w := range windows {
		if from, to := interval(w); !from.IsZero() && to.After(from) {
			edges = append(edges, edge{from, 1}, edge{to, -1})
		}
	}
	// At the same instant what ends comes first: one after the other is not together.
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.step, b.step)) })
	most, now := 0, 0
	for _, e := range edges {
		now += e.step
		most = max(most, now)
	}
	return most
}
