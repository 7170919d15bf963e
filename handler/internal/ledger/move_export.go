package ledger

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// attemptsKept bounds AttemptLog, attemptText each entry's text: with both the column stays below its limit.
const (
	attemptsKept = 20
	attemptText  = 500
)

// illegal is the error of a move that w's phase does not allow: a bug, or a row edited by hand.
func (w Window) illegal(move string) error {
	return fmt.Errorf("%s: %s is not possible while it is %s", w.Name(), move, w.Phase())
}

func (w Window) logged(now time.Time, what string) Window {
	if r := []rune(what); len(r) > attemptText {
		what = string(r[:attemptText]) + " ... (cut)"
	}
	log := append(slices.Clone(w.AttemptLog), Attempt{At: now.UTC().Truncate(time.Millisecond), What: what})
	w.AttemptLog = log[max(0, len(log)-attemptsKept):]
	return w
}

// Claim reserves a planned window for owner, who is about to start its export: intent before effect. Taking over a claim
// that ran out without a status URL records that its owner may have started an export that nobody knows.
func (w Window) Claim(owner string, now, until time.Time) (Window, error) {
	if w.Phase() != Planned || w.Claimed(now) {
		return w, w.illegal("a claim")
	}
	if w.ClaimOwner != "" {
		w = w.logged(now, "possible orphan export: the claim of "+w.ClaimOwner+" ran out without a status URL")
	}
	w.ClaimOwner, w.ClaimedUntil = owner, until
	return w, nil
}

// ClaimDropped gives a claim back after a kick-off that was refused, or that may have been lost (orphan: it is recorded).
// Nothing is started before notBefore.
func (w Window) ClaimDropped(owner, reason string, orphan bool, now, notBefore time.Time) (Window, error) {
	if w.Phase() != Planned || w.ClaimOwner != owner {
		return w, w.illegal("dropping the claim of " + owner)
	}
	if orphan {
		w = w.logged(now, "possible orphan export: "+reason)
	}
	w.ClaimOwner, w.ClaimedUntil, w.NotBefore = "", time.Time{}, notBefore
	w.FailureReason = reason
	return w, nil
}

// ExportStarted: the source accepted $export for the owner of the claim.
func (w Window) ExportStarted(owner, statusURL, exportID string, now, notBefore time.Time) (Window, error) {
	if w.Phase() != Planned || w.ClaimOwner != owner {
		return w, w.illegal("an export started by " + owner)
	}
	w.ClaimOwner, w.ClaimedUntil = "", time.Time{}
	w.ExportStatusURL, w.ExportID, w.ExportRunning = statusURL, exportID, runStarted
	w.StartTime, w.NotBefore = now, notBefore
	w.UnknownPolls, w.CountTries = 0, 0
	return w, nil
}

// ExportStillRunning: the job was asked and goes on. It is not asked again before notBefore.
func (w Window) ExportStillRunning(notBefore time.Time) (Window, error) {
	if w.Phase() != Exporting {
		return w, w.illegal("a running export")
	}
	w.ExportRunning, w.NotBefore, w.UnknownPolls = runRunning, notBefore, 0
	return w, nil
}

// ExportUnknown: the source did not know the job. Once may be a blip; the caller fails the attempt the second time.
func (w Window) ExportUnknown(notBefore time.Time) (Window, error) {
	if w.Phase() != Exporting {
		return w, w.illegal("an unknown export")
	}
	w.UnknownPolls++
	w.NotBefore = notBefore
	return w, nil
}

// CountMissing: the export ended, but the source's own count of the window could not be had.
func (w Window) CountMissing(reason string, notBefore time.Time) (Window, error) {
	if w.Phase() != Exporting {
		return w, w.illegal("a missing count")
	}
	w.CountTries++
	w.SourceError, w.NotBefore = reason, notBefore
	return w, nil
}

// Waiting keeps an open window as it is until notBefore: waiting is not failing.
func (w Window) Waiting(notBefore time.Time) (Window, error) {
	if p := w.Phase(); p == Done || p == Held || p == Splitting {
		return w, w.illegal("waiting")
	}
	w.NotBefore = notBefore
	return w, nil
}

// ExportFailed: the job ended badly, or is not believed. The window is planned again, or held when it failed
// maxAttempts times.
func (w Window) ExportFailed(reason string, now, notBefore time.Time, maxAttempts int) (Window, error) {
	if p := w.Phase(); p != Exporting && p != Planned {
		return w, w.illegal("a failed export")
	}
	w = w.attemptFailed(FailedExport, "export "+w.ExportID+": "+reason, now, notBefore, maxAttempts)
	w.ExportRunning = runFailed
	return w.unexported(), nil
}

// FilesGone: an import found that the exported files are no longer there, so the window is exported again.
func (w Window) FilesGone(reason string, now, notBefore time.Time, maxAttempts int) (Window, error) {
	if p := w.Phase(); p != Exported && p != Importing {
		return w, w.illegal("exporting again")
	}
	w = w.attemptFailed(FailedImport, "exported files are gone: "+reason, now, notBefore, maxAttempts)
	w.ExportRunning, w.ImportRunning = runFailed, runNotStarted
	return w.unexported(), nil
}

func (w Window) attemptFailed(kind AttemptKind, reason string, now, notBefore time.Time, maxAttempts int) Window {
	w = w.logged(now, reason)
	w.AttemptLog[len(w.AttemptLog)-1].Kind = kind
	w.Attempts++
	w.FailureReason, w.NotBefore = reason, notBefore
	if w.Attempts >= maxAttempts {
		w.HeldReason = fmt.Sprintf("failed %d times, the last time: %s", w.Attempts, reason)
		if w.Attempts == 1 {
			w.HeldReason = "failed at the first attempt: " + reason
		}
		w.Frontier = false // others are planned behind it
	}
	return w
}

// unexported forgets the export. Posts stays: it only ever grows.
func (w Window) unexported() Window {
	w.ExportStatusURL, w.ExportID, w.ImportStatusURL, w.ImportNo, w.ImportRequest = "", "", "", "", ""
	w.ClaimOwner, w.ClaimedUntil = "", time.Time{}
	w.ExportComplete, w.Payloads, w.CountsByType = false, nil, nil
	w.ExportedCount, w.ImportedCount = "", ""
	w.SearchParameterCount, w.SourceCount, w.RefusedCount = 0, Unknown, 0
	w.UnknownPolls, w.CountTries, w.Preflight = 0, 0, Preflight{}
	w.OriginalFiles = false
	return w.counted()
}

// Manifest is what ExportDone needs to know of an export's files.
type Manifest struct {
	CountsByType     map[string]int64 // lines, SearchParameter included
	SearchParameters int64            // lines of SearchParameter, which $import refuses and which are left out
	Payloads         []Slice          // what each payload imports
}

// Slice is a stretch of a manifest's files to import, sorted by URL: From up to, not including, To.
type Slice struct {
	From, To int
	Lines    int64
}

// ExportDone: the job ended, its manifest is saved, and the source's own count (or Unknown) does not exceed it. Without a
// payload there is nothing to import and the window is done.
func (w Window) ExportDone(m Manifest, sourceCount int64, now time.Time) (Window, error) {
	if w.Phase() != Exporting {
		return w, w.illegal("the end of an export")
	}
	w.ExportComplete, w.ExportRunning, w.ExportEndTime = true, runCompleted, now
	w.CountsByType, w.SearchParameterCount, w.SourceCount = maps.Clone(m.CountsByType), m.SearchParameters, sourceCount
	total := int64(0)
	for _, n := range m.CountsByType {
		total += n
	}
	w.Frontier, w.LinesBefore = false, max(w.LinesBefore, total)
	w.ExportedCount, w.FailedExportCount = strconv.FormatInt(total, 10), "0"
	w.NotBefore, w.FailureReason, w.SourceError = time.Time{}, "", ""
	if len(m.Payloads) == 0 {
		w.ImportRequest, w.ImportedCount, w.FailedImportCount = importNothing, "0", "0"
		return w.done(now), nil
	}
	w.ImportRequest, w.ImportRunning = importRequested, runNotStarted
	w.Payloads = make([]Payload, len(m.Payloads))
	for i, s := range m.Payloads {
		w.Posts++
		w.Payloads[i] = Payload{Post: w.Posts, From: s.From, To: s.To, Lines: s.Lines}
	}
	return w.counted(), nil
}

// ExportSmaller: the job failed for its size. It is started again with a smaller _maxCount, which takes no attempt.
func (w Window) ExportSmaller(maxCount int, reason string, now, notBefore time.Time) (Window, error) {
	if w.Phase() != Exporting {
		return w, w.illegal("an export with a smaller _maxCount")
	}
	w = w.logged(now, fmt.Sprintf("again with _maxCount=%d: %s", maxCount, reason)).unexported()
	w.MaxCount, w.NotBefore, w.FailureReason, w.ExportRunning = maxCount, notBefore, reason, runFailed
	return w, nil
}

// SplitMarked begins a split: [at, Till) becomes a window of its own under number. What was exported is forgotten.
func (w Window) SplitMarked(at time.Time, number int, reason string, now time.Time) (Window, error) {
	if p := w.Phase(); p != Exporting && p != Planned && p != Exported {
		return w, w.illegal("a split")
	}
	if !at.After(w.Since) || !at.Before(w.Till) {
		return w, fmt.Errorf("%s: a split at %s is not inside it", w.Name(), FormatInstant(at))
	}
	w = w.logged(now, "split at "+FormatInstant(at)+": "+reason).unexported()
	w.SplitAt, w.SplitNumber, w.NotBefore, w.LinesBefore = at, number, time.Time{}, 0
	w.ExportRunning, w.FailureReason = runFailed, reason
	return w, nil
}

// SplitRenumbered gives the second half another number: the row under the first one is somebody else's.
func (w Window) SplitRenumbered(number int) (Window, error) {
	if w.Phase() != Splitting {
		return w, w.illegal("renumbering a split")
	}
	w.SplitNumber = number
	return w, nil
}

// SplitDone ends a split: the second half is inserted and listed, so w ends where it begins.
func (w Window) SplitDone() (Window, error) {
	if w.Phase() != Splitting {
		return w, w.illegal("the end of a split")
	}
	w.Till, w.SplitAt, w.SplitNumber = w.SplitAt, time.Time{}, 0
	w.Frontier = false // that is the second half
	return w, nil
}

// OrphanRecorded notes an export that was started for w, that w does not name, and that could not be cancelled. It
// changes nothing else and is legal in every phase.
func (w Window) OrphanRecorded(statusURL string, now time.Time) Window {
	return w.logged(now, "orphan export: "+statusURL)
}
