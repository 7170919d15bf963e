package ledger

import "time"

// Drained windows and chunk rows are the original's again: its own queries find nothing in flight, and a watermark from which it goes on.
// The original asks for rows with IsExportRunning Started or Running, with IsImportRunning Started, Running or Not Started, or with
// IsProcessed false; a window that it has not exported yet has no row at all.

// GivenBack leaves a window that is planned or held to whoever goes on from the watermark: its row says that it failed, as a failed
// attempt of the original does.
func (w Window) GivenBack(now time.Time) (Window, error) {
	if p := w.Phase(); p != Planned && p != Held || w.Claimed(now) {
		return w, w.illegal("giving it back")
	}
	reason := w.HeldReason
	if reason != "" {
		reason = ", held because " + reason
	}
	w = w.logged(now, "given back to the original"+reason).unexported()
	w.HeldReason, w.NotBefore = "", time.Time{}
	w.ExportRunning, w.ImportRunning, w.ImportComplete, w.Processed = runFailed, runFailed, false, true
	return w, nil
}

// TakenBack plans a window anew that was given back: the migration goes on here.
func (w Window) TakenBack(now time.Time) (Window, error) {
	if w.Phase() != Superseded || w.ExportComplete {
		return w, w.illegal("taking it back")
	}
	w.Processed, w.ExportRunning, w.ImportRunning = false, "", runNotStarted
	return w.logged(now, "taken back"), nil
}

// GivenBack makes the row the original's again: its watermark is before every window that was given back, and its counters go on
// where ours are. checks are those of the checks. It is taken over anew when the migration is to go on here.
func (c Chunk) GivenBack(checks Checks) (_ Chunk, ok bool) {
	if c.Foreign {
		return c, false
	}
	c.Repairs = nil // they are found again; the original had passed over them
	c = c.watermarked()
	if len(c.Types.Types) > 0 {
		c.Given = c.givenTypes()
		if till := c.PlannedTill; len(c.Open) > 0 { // some types of a global window were given back: all of them are planned again from there
			if c.Types.UnderWay() {
				till = c.Types.Till
			}
			c.Original = OriginalPlan{Since: c.Watermark, Till: till, Types: c.Original.Types}
		}
		c.Types = TypePlan{}
	}
	c.Foreign, c.Open, c.PlannedTill = true, nil, time.Time{}
	c.SurfaceJobID, c.DeepJobID = max(c.SurfaceJobID, checks.SurfaceJobID), max(c.DeepJobID, checks.DeepJobID)
	return c, true
}

// DrainWished is the row of a migration that is to be given back to the original. ok is false when it is.
func (c Control) DrainWished(w Wish) (_ Control, ok bool) {
	if c.Drain.Set() {
		return c, false
	}
	c.Drain, c.Drained = w, time.Time{}
	return c, true
}

// DrainDone notes that the original may go on. ok is false when that is noted, or not wished.
func (c Control) DrainDone(now time.Time) (_ Control, ok bool) {
	if !c.Drain.Set() || !c.Drained.IsZero() {
		return c, false
	}
	c.Drained = now
	return c, true
}

// DrainEnded is the row of a migration that goes on here. ok is false when it was not to be given back.
func (c Control) DrainEnded() (_ Control, ok bool) {
	if !c.Drain.Set() {
		return c, false
	}
	c.Drain, c.Drained = Wish{}, time.Time{}
	return c, true
}
