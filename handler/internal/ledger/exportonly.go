package ledger

import (
	"fmt"
	"time"
)

// A source that was retired answers exports alone: nothing can be searched for or counted. What is planned then follows what earlier
// exports brought, and only the newest window, the frontier, is open to its end: an answer of nothing makes it longer. So that no two windows
// overlap, nothing is planned behind a frontier, and a window that once ceased to be it never becomes it again.

// NewFrontier is the planned window of an export-only source that begins where the plan ends; maxCount is what the one before was exported
// with because it was too large otherwise, or 0.
func NewFrontier(number int, since, till time.Time, maxCount int) Window {
	w := NewWindow(number, since, till)
	w.Frontier, w.MaxCount = true, maxCount
	return w
}

// SecondHalf is the window that a split makes of [SplitAt, Till), as the first half stands.
func (w Window) SecondHalf() Window {
	half := NewWindow(w.SplitNumber, w.SplitAt, w.Till).OfType(w.ResourceType)
	half.Frontier, half.MaxCount = w.Frontier, w.MaxCount
	return half
}

// ExportEmpty: the export brought nothing, and nothing can be counted. One such answer is no proof, so the window is exported again: to a
// later instant while it is the frontier, else, and where there is no later one, as it is. It takes no attempt.
func (w Window) ExportEmpty(till, now, notBefore time.Time) (Window, error) {
	if w.Phase() != Exporting || till.Before(w.Till) || till.After(w.Till) && !w.Frontier {
		return w, w.illegal("an export of nothing, again till " + FormatInstant(till))
	}
	again := "again"
	if till.After(w.Till) {
		again += " till " + FormatInstant(till)
	}
	w = w.logged(now, fmt.Sprintf("export %s brought nothing, %s", w.ExportID, again)).unexported()
	w.EmptyTill, w.Till, w.NotBefore, w.ExportRunning = w.Till, till, notBefore, ""
	return w, nil
}

// EmptyBefore says whether an export of all of w has brought nothing before.
func (w Window) EmptyBefore() bool { return !w.EmptyTill.IsZero() && !w.EmptyTill.Before(w.Till) }

// Pace is what the export of a window has shown of how much there is in how much time.
type Pace struct {
	Since   time.Time `json:"since"` // of what of it was not exported before and found empty
	Till    time.Time `json:"till"`
	Lines   int64     `json:"lines"`   // that it brought, or Unknown: it has not ended
	Minutes float64   `json:"minutes"` // that it took

	MaxCount int `json:"maxCount,omitempty"` // that it was exported with because it was too large without
}

// Length is the time that the lines were in.
func (p Pace) Length() time.Duration { return p.Till.Sub(p.Since) }

// Pace is that of w.
func (w Window) Pace() Pace {
	p := Pace{Since: w.Since, Till: w.Till, Lines: Unknown, MaxCount: w.MaxCount}
	if w.EmptyTill.After(w.Since) && w.EmptyTill.Before(w.Till) {
		p.Since = w.EmptyTill
	}
	if w.ExportComplete {
		p.Lines, p.Minutes = 0, w.ExportEndTime.Sub(w.StartTime).Minutes()
		for _, n := range w.CountsByType {
			p.Lines += n
		}
	}
	return p
}

// Retired notes that the source answers exports alone. It stays so until the source is another one, or has Returned. ok is false when that is
// noted.
func (c Chunk) Retired() (_ Chunk, ok bool) {
	if c.ExportOnly {
		return c, false
	}
	c.ExportOnly = true
	c.CountTries, c.NotBefore = 0, time.Time{}
	return c, true
}

// Returned notes that a source that answered exports alone can be counted again. number is JobID as it was when no frontier was open. ok is false
// when a window was listed since, which may be one, as nothing is planned behind that; and when there is nothing to note.
func (c Chunk) Returned(number int) (_ Chunk, ok bool) {
	if c.Foreign || !c.ExportOnly || c.JobID != number {
		return c, false
	}
	c.ExportOnly, c.LastExport = false, Pace{}
	c.CountTries, c.NotBefore = 0, time.Time{}
	return c, true
}

// Reach moves PlannedTill to the end of a frontier that was made longer. ok is false when there is nothing to save.
func (c Chunk) Reach(w Window) (_ Chunk, ok bool) {
	if c.Foreign || w.EmptyTill.IsZero() || w.ResourceType != "" || !w.Till.After(c.PlannedTill) {
		return c, false
	}
	c.PlannedTill = w.Till
	return c.watermarked(), true
}

// paced keeps, of a window that is being closed, what the next one's length is made from.
func (c Chunk) paced(w Window) Chunk {
	c, _ = c.Reach(w)
	if c.ExportOnly && w.ResourceType == "" && w.Till.Equal(c.PlannedTill) {
		c.LastExport = w.Pace()
	}
	return c
}
