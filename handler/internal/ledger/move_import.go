package ledger

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// payloadBlob names the blob of a payload's request body. The first post keeps the original's name; a later one, whose
// body differs in inputSource, gets a name of its own, so that no body is ever replaced.
func payloadBlob(n, post int, first bool) string {
	if first {
		return fmt.Sprintf("import_payload_%d.json", n)
	}
	return fmt.Sprintf("import_payload_%d_post_%d.json", n, post)
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
	p.StatusURL, p.State, p.NotBefore, p.Unknown = statusURL, Posted, instant(notBefore), 0
	if i == 0 {
		w.ImportStatusURL, w.ImportNo = statusURL, p.Blob
	}
	if w.ImportStartTime.IsZero() {
		w.ImportStartTime = now
	}
	w.ImportRunning = runStarted
	return w.counted(), nil
}

// ImportStillRunning: payload i's job was asked and goes on, or could not be asked. unknown: the destination did not
// know it.
func (w Window) ImportStillRunning(i int, unknown bool, notBefore time.Time) (Window, error) {
	w, p, err := w.payload(i, "polling", Posted)
	if err != nil {
		return w, err
	}
	p.NotBefore = instant(notBefore)
	if p.Unknown++; !unknown {
		p.Unknown = 0
		w.ImportRunning = runRunning
	}
	return w, nil
}

// ImportPostponed: payload i could not be posted now and will be after notBefore.
func (w Window) ImportPostponed(i int, reason string, notBefore time.Time) (Window, error) {
	w, p, err := w.payload(i, "postponing", Unposted)
	if err != nil {
		return w, err
	}
	p.NotBefore, w.DestinationError = instant(notBefore), reason
	return w, nil
}

// ImportDone: payload i's job ended, its result is saved, and its books balance.
func (w Window) ImportDone(i int, imported, refused int64) (Window, error) {
	w, p, err := w.payload(i, "the end", Posted)
	if err != nil {
		return w, err
	}
	if imported+refused != p.Lines {
		return w, fmt.Errorf("%s: payload %d: %d lines imported and %d refused of %d", w.Name(), i+1, imported, refused, p.Lines)
	}
	p.State, p.Imported, p.Refused, p.NotBefore = Complete, imported, refused, nil
	return w.counted(), nil
}

// ImportFailed: payload i's job ended badly. It alone is posted again, with a body that differs, unless the window failed
// maxAttempts times and is held.
func (w Window) ImportFailed(i int, reason string, now, notBefore time.Time, maxAttempts int) (Window, error) {
	w, _, err := w.payload(i, "the failure", Posted)
	if err != nil {
		return w, err
	}
	w = w.repost(i, notBefore).attemptFailed(fmt.Sprintf("import payload %d: %s", i+1, reason), now, time.Time{}, maxAttempts)
	w.DestinationError, w.ImportRunning = reason, runFailed
	return w.counted(), nil
}

// ImportUnbalanced: payload i's job ended well, but its books do not balance, which holds the window. Released, the payload
// is imported again under a body that differs; what is there already counts as imported.
func (w Window) ImportUnbalanced(i int, reason string, now time.Time) (Window, error) {
	w, _, err := w.payload(i, "unbalanced books", Posted)
	if err != nil {
		return w, err
	}
	w = w.repost(i, time.Time{}).logged(now, reason)
	w.FailureReason, w.HeldReason = reason, reason
	return w.counted(), nil
}

func (w Window) repost(i int, notBefore time.Time) Window {
	w.Posts++
	p := &w.Payloads[i]
	*p = Payload{Blob: payloadBlob(i+1, w.Posts, false), Post: w.Posts, Lines: p.Lines, NotBefore: instant(notBefore)}
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
	return w, nil
}

func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Millisecond)
	return &t
}
