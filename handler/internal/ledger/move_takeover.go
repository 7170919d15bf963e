package ledger

import (
	"fmt"
	"slices"
	"time"
)

// OriginalPayload is a payload of the original as its blobs and rows say: files From up to, not including, To of those of the window.
type OriginalPayload struct {
	Blob      string // name of the request body's blob, "" when there is none: files that are in no payload of the original
	From, To  int
	Lines     int64  // Unknown when the export's manifest is not to be had any more
	StatusURL string // of its job, "" when it is not known
	Failed    bool   // the original says so: it is posted again with a body of our own
}

// Reopened begins the repair of a window that the original closed although something of it was not imported. It is legal once, and on rows
// of the original alone.
func (w Window) Reopened(now time.Time) (Window, error) {
	if len(w.Payloads) > 0 || !w.TakenOver.IsZero() || w.ExportRunning == runFailed {
		return w, w.illegal("opening it again")
	}
	w.ExportComplete, w.ImportComplete, w.Processed, w.EndTime = true, false, false, time.Time{}
	w.TakenOver = now
	return w.logged(now, "taken over closed, and opened again: lines of it were refused or not imported, or an import of it failed"), nil
}

// ClosedAgain takes Reopened back, as the tables were given back to the original before the window was listed: its row is again as was, which was read
// before.
func (w Window) ClosedAgain(was Window) (Window, error) {
	if w.Phase() != Adopting || w.TakenOver.IsZero() || w.Number != was.Number || !was.TakenOver.IsZero() {
		return w, w.illegal("closing it again")
	}
	was.etag = w.etag
	return was, nil
}

// Adopted lists what the original made of an export. What it posted is followed, what it is not known to have posted is posted as it stands,
// and what failed is posted again with another body. Their order is that of the blobs' numbers.
func (w Window) Adopted(payloads []OriginalPayload, countsByType map[string]int64, sourceCount int64, now time.Time) (Window, error) {
	if w.Phase() != Adopting || len(payloads) == 0 {
		return w, w.illegal("adopting its imports")
	}
	w.OriginalFiles, w.CountsByType, w.SourceCount = true, countsByType, sourceCount
	w.ImportRunning, w.ImportRequest = runStarted, importRequested
	w.Payloads = make([]Payload, len(payloads))
	for i, o := range payloads {
		p := Payload{Blob: o.Blob, From: o.From, To: o.To, Lines: o.Lines}
		switch {
		case o.Blob == "" || o.Failed:
			w.Posts++
			p.Post, p.Blob = w.Posts, postedBlob(i+1, w.Posts)
		case o.StatusURL != "":
			p.State, p.StatusURL = Posted, o.StatusURL
			p.PostedAt, p.MovedAt = millisOf(now), millisOf(now)
		}
		w.Payloads[i] = p
	}
	if w.TakenOver.IsZero() {
		w.TakenOver = now
	}
	w.NotBefore = time.Time{}
	return w.logged(now, fmt.Sprintf("taken over exported: %d imports", len(payloads))).counted(), nil
}

// FollowedAgain has the export of a window that the original calls exported asked for once more: none of its imports is known.
func (w Window) FollowedAgain(reason string, now time.Time) (Window, error) {
	if w.Phase() != Adopting || w.ExportStatusURL == "" {
		return w, w.illegal("following its export")
	}
	w.ExportComplete, w.ImportComplete, w.Processed = false, false, false
	w.ExportRunning, w.ImportRunning, w.ImportRequest = runRunning, runNotStarted, ""
	w.StartTime, w.TakenOver = now, now
	return w.logged(now, "taken over exported: its export is asked for again: "+reason), nil
}

// NotAdopted gives up what the original exported of a window: it is exported again.
func (w Window) NotAdopted(reason string, now time.Time) (Window, error) {
	if w.Phase() != Adopting {
		return w, w.illegal("exporting again")
	}
	w = w.logged(now, "taken over exported, and exported again: "+reason).unexported()
	w.ImportComplete, w.Processed, w.TakenOver = false, false, now
	w.ExportRunning, w.ImportRunning, w.NotBefore = "", runNotStarted, time.Time{}
	return w, nil
}

// ImportAgain has files of payload i imported again whose lines the original's import refused: a second chance, as they were
// never looked at. imported counts the lines of its other files. Too many files are imported again all.
func (w Window) ImportAgain(i int, only []int, imported int64, reason string, now time.Time) (Window, error) {
	w, p, err := w.payload(i, "importing again", Posted)
	if err != nil {
		return w, err
	}
	earlier, all := w.PayloadBlob(i), len(only)
	if p.Post != 0 || len(only) == 0 {
		return w, w.illegal(fmt.Sprintf("importing files of payload %d again", i+1))
	}
	for j, q := range w.Payloads {
		if j != i {
			all += len(q.Only)
		}
	}
	w = w.repost(i, time.Time{}).logged(now, reason)
	if all <= filesAgain && len(only) < p.To-p.From {
		p.Only, p.Earlier, p.Imported = slices.Clone(only), earlier, imported
	}
	return w.counted(), nil
}
