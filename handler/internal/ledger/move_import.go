package ledger

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// PayloadBlob names the blob of payload i's request body. The first post of an export keeps the original's name; a later
// one, whose body differs, has a name of its own, so that no body is ever replaced.
func (w Window) PayloadBlob(i int) string {
	if b := w.Payloads[i].Blob; b != "" {
		return b
	}
	return fmt.Sprintf("import_payload_%d.json", i+1)
}

func (w Window) payload(i int, move string, want PayloadState) (Window, *Payload, error) {
	p := w.Phase()
	if p != Exported && p != Importing || i < 0 || i >= len(w.Payloads) || w.Payloads[i].State != want {
		return w, nil, w.illegal(fmt.Sprintf("%s of payload %d", move, i+1))
	}
	w.Payloads = slices.Clone(w.Payloads)
	return w, &w.Payloads[i], nil
}

// ImportStarted: the destination accepted $import for payload i.
func (w Window) ImportStarted(i int, statusURL, importID string, now, notBefore time.Time) (Window, error) {
	w, p, err := w.payload(i, "the start", Unposted)
	if err != nil {
		return w, err
	}
	p.StatusURL, p.State, p.NotBefore, p.Unknown = statusURL, Posted, millisOf(notBefore), 0
	p.PostedAt, p.MovedAt, p.Moved = millisOf(now), millisOf(now), 0
	if i == 0 {
		w.ImportStatusURL, w.ImportNo = statusURL, w.PayloadBlob(i)
	}
	if w.ImportStartTime.IsZero() {
		w.ImportStartTime = now
	}
	w.ImportRunning = runStarted
	return w.counted(), nil
}

// ImportStillRunning: payload i's job was asked and goes on, or could not be asked. moved is how many lines it says it has
// done, or Unknown.
func (w Window) ImportStillRunning(i int, moved int64, now, notBefore time.Time) (Window, error) {
	w, p, err := w.payload(i, "polling", Posted)
	if err != nil {
		return w, err
	}
	p.NotBefore, p.Unknown = millisOf(notBefore), 0
	if moved > p.Moved {
		p.Moved, p.MovedAt = moved, millisOf(now)
	}
	w.ImportRunning = runRunning
	return w, nil
}

// ImportUnknown: the destination did not know payload i's job. Once may be a blip; the caller fails the attempt the second
// time.
func (w Window) ImportUnknown(i int, notBefore time.Time) (Window, error) {
	w, p, err := w.payload(i, "an unknown job", Posted)
	if err != nil {
		return w, err
	}
	p.NotBefore = millisOf(notBefore)
	p.Unknown++
	return w, nil
}

// ImportCancelled: payload i's job was cancelled because it does not move. It is posted again only when it has reached an
// end.
func (w Window) ImportCancelled(i int, reason string, now, notBefore time.Time) (Window, error) {
	w, p, err := w.payload(i, "cancelling", Posted)
	if err != nil {
		return w, err
	}
	p.Cancelled, p.NotBefore = true, millisOf(notBefore)
	w = w.logged(now, fmt.Sprintf("import payload %d cancelled: %s", i+1, reason))
	w.DestinationError = reason
	return w, nil
}

// ImportPostponed: payload i could not be posted now and will be after notBefore.
func (w Window) ImportPostponed(i int, reason string, notBefore time.Time) (Window, error) {
	w, p, err := w.payload(i, "postponing", Unposted)
	if err != nil {
		return w, err
	}
	p.NotBefore, w.DestinationError = millisOf(notBefore), reason
	return w, nil
}

// ImportDone: payload i's job ended, its result is saved, and its books balance. imported and refused are the job's, without
// the files that an earlier job imported.
func (w Window) ImportDone(i int, imported, refused int64) (Window, error) {
	w, p, err := w.payload(i, "the end", Posted)
	if err != nil {
		return w, err
	}
	if len(p.Only) > 0 {
		imported, refused = imported+p.Imported, refused+p.Refused
	}
	if p.Lines == Unknown { // of a payload of the original: what it posted is not counted anywhere but here
		p.Lines = imported + refused
	}
	if imported+refused != p.Lines {
		return w, fmt.Errorf("%s: payload %d: %d lines imported and %d refused of %d", w.Name(), i+1, imported, refused, p.Lines)
	}
	p.State, p.Imported, p.Refused = Complete, imported, refused
	p.NotBefore, p.MovedAt, p.Moved, p.Unknown = 0, 0, 0, 0
	return w.counted(), nil
}

// ImportFailed: payload i's job ended badly. It alone is posted again, with a body that differs, unless the window failed
// maxAttempts times and is held.
func (w Window) ImportFailed(i int, reason string, now, notBefore time.Time, maxAttempts int) (Window, error) {
	w, _, err := w.payload(i, "the failure", Posted)
	if err != nil {
		return w, err
	}
	w = w.repost(i, notBefore).attemptFailed(FailedImport, fmt.Sprintf("import payload %d: %s", i+1, reason), now, time.Time{}, maxAttempts)
	w.DestinationError, w.ImportRunning = reason, runFailed
	return w.counted(), nil
}

// ImportHalved makes two payloads of payload i, which waits to be posted: its files from at on become one of their own, with
// lines lines.
func (w Window) ImportHalved(i, at int, lines int64) (Window, error) {
	w, p, err := w.payload(i, "halving", Unposted)
	if err != nil {
		return w, err
	}
	if at <= p.From || at >= p.To || len(p.Only) > 0 {
		return w, fmt.Errorf("%s: payload %d: files %d to %d cannot be halved at %d", w.Name(), i+1, p.From, p.To, at)
	}
	w.Posts++
	n := len(w.Payloads) + 1
	second := Payload{Blob: postedBlob(n, w.Posts), Post: w.Posts, From: at, To: p.To, Lines: lines, NotBefore: p.NotBefore}
	p.To = at
	if p.Lines != Unknown {
		p.Lines -= lines
	}
	w.Payloads = append(w.Payloads, second)
	return w.counted(), nil
}

// ImportUnbalanced: payload i's job ended well, but the books of the files only (numbers in the manifest) do not balance.
// imported and refused are those of its other files. Those files alone are imported again; what is there already counts as
// imported. The second time the window is held, which is also what keeps it from being closed.
func (w Window) ImportUnbalanced(i int, only []int, imported, refused int64, reason string, now time.Time) (Window, error) {
	w, p, err := w.payload(i, "unbalanced books", Posted)
	if err != nil {
		return w, err
	}
	again := len(p.Only) > 0
	if again {
		imported, refused = imported+p.Imported, refused+p.Refused
	}
	earlier := p.Earlier
	if !again {
		earlier = w.PayloadBlob(i)
	}
	w = w.repost(i, time.Time{}).logged(now, reason)
	w.FailureReason = reason
	all := len(only)
	for j, q := range w.Payloads {
		if j != i {
			all += len(q.Only)
		}
	}
	if len(only) == 0 || all > filesAgain { // all is posted again, when an operator says so
		w.HeldReason = reason
		return w.counted(), nil
	}
	if again {
		w.HeldReason = reason
	}
	w.Payloads[i].Only, w.Payloads[i].Earlier = only, earlier
	w.Payloads[i].Imported, w.Payloads[i].Refused = imported, refused
	return w.counted(), nil
}

// filesAgain is how many files of a window are imported again by themselves, at most: their numbers are on the row.
const filesAgain = 50

func postedBlob(n, post int) string { return fmt.Sprintf("import_payload_%d_post_%d.json", n, post) }

func (w Window) repost(i int, notBefore time.Time) Window {
	w.Posts++
	p := &w.Payloads[i]
	next := Payload{Blob: postedBlob(i+1, w.Posts), Post: w.Posts, From: p.From, To: p.To, Only: p.Only, Earlier: p.Earlier, Lines: p.Lines, NotBefore: millisOf(notBefore)}
	if len(p.Only) > 0 {
		next.Imported, next.Refused = p.Imported, p.Refused
	}
	*p = next
	return w
}

// ImportsDone: every payload is complete. refusedByType says of which types lines were refused ("" when none was).
func (w Window) ImportsDone(refusedByType, note string, now time.Time) (Window, error) {
	if p := w.Phase(); p != Importing || w.CompletedCount != len(w.Payloads) {
		return w, w.illegal("the end of its imports")
	}
	w.ImportedCount, w.FailedImportCount = strconv.FormatInt(w.Imported(), 10), strconv.FormatInt(w.RefusedCount, 10)
	w.FailedImports, w.FailureReason, w.DestinationError = refusedByType, note, ""
	return w.done(now), nil
}

func (w Window) done(now time.Time) Window {
	w.ImportRunning, w.ImportComplete, w.Processed, w.EndTime = runCompleted, true, true, now
	w.NotBefore = time.Time{}
	return w
}

// counted computes what is derived from the payloads.
func (w Window) counted() Window {
	w.PayloadCount, w.CompletedCount, w.RefusedCount = len(w.Payloads), 0, 0
	for _, p := range w.Payloads {
		if p.State == Complete {
			w.CompletedCount++
		}
		w.RefusedCount += p.Refused
	}
	return w
}

// Hold stops a window until an operator releases it, and says why.
func (w Window) Hold(reason string, now time.Time) (Window, error) {
	if p := w.Phase(); p == Done || p == Held {
		return w, w.illegal("a hold")
	}
	w = w.logged(now, reason)
	w.HeldReason, w.FailureReason = reason, reason
	w.Frontier = false // others are planned behind it
	return w, nil
}
