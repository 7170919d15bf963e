package migration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/staging"
)

// importOutcome is what one poll of an import said.
type importOutcome struct {
	err   error // of the call, nil: it answered
	done  bool
	books staging.Books // of a job that is done
	moved int64         // lines that a running job has done, or ledger.Unknown

	refusing []int // the files of a job that is done of which lines were refused
	taken    int64 // lines imported of the others
}

// pollImport asks for payload i's job once. A final answer is saved as a blob before anything is made of it.
func (t *tick) pollImport(ctx context.Context, w ledger.Window, i int, files []staging.File) importOutcome {
	o := importOutcome{moved: ledger.Unknown}
	partial := func(body io.Reader) error {
		result, err := staging.ReadImportResult(body)
		if err == nil {
			o.moved = result.Lines()
		}
		return err
	}
	o.done, o.err = t.Destination.PollImport(ctx, w.Payloads[i].StatusURL, partial, func(body io.Reader) error {
		f, err := spool(body)
		if err != nil {
			return err
		}
		defer f.Close()
		result, err := staging.ReadImportResult(f)
		if err != nil {
			return err
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err := t.Staging.PutImportResult(ctx, w.ExportID, w.PayloadBlob(i), f); err != nil {
			return err
		}
		o.books = result.Books(files)
		o.refusing, o.taken = result.Refusing(files)
		return nil
	})
	return o
}

// applyImport makes of a poll's outcome the move that it stands for. The error is what the operator should hear.
func (t *tick) applyImport(ctx context.Context, w ledger.Window, i int, o importOutcome, files []staging.File) (ledger.Window, error) {
	p := w.Payloads[i]
	unknown := kindOf(o.err) == fhir.NotFound
	switch {
	case o.err == nil && !o.done:
		next, err := w.ImportStillRunning(i, o.moved, t.Clock(), t.nextPoll(nil))
		if err != nil {
			return w, err
		}
		return t.cancelStuck(ctx, next, i)
	case o.err == nil && len(o.books.Named) > 0:
		return t.unbalanced(w, i, o.books)
	case o.err == nil && refusedOnce(w, i, o):
		return t.importRefused(w, i, o)
	case o.err == nil:
		return w.ImportDone(i, o.books.Imported, o.books.Refused)
	case jobStatus(o.err) == http.StatusNotFound: // the storage service's own 404: an input file is not there
		return t.filesGone(ctx, w, i, o.err)
	case kindOf(o.err) == fhir.JobFailed, unknown && p.Unknown+1 >= maxUnknownPolls:
		return t.importFailed(w, i, o.err, files)
	case unknown:
		return w.ImportUnknown(i, t.nextPoll(nil))
	}
	err := withRole(o.err, roleImporter, "destination")
	t.Log.Info("waiting", "window", w.Number, "payload", i+1, "error", err.Error())
	next, moveErr := w.ImportStillRunning(i, ledger.Unknown, t.Clock(), t.nextPoll(err))
	if kindOf(err) == fhir.Transient && moveErr == nil { // a status that never comes is stuck as well
		return t.cancelStuck(ctx, next, i)
	}
	if passing(err) {
		return next, moveErr
	}
	return next, errors.Join(fmt.Errorf("%s: payload %d: %w", w.Name(), i+1, err), moveErr)
}

// filesGone has a window exported again of which a file is no longer there. What is exported again must not be imported beside what still runs, so the
// other jobs are cancelled first; while the destination cannot take that, payload i is asked again.
func (t *tick) filesGone(ctx context.Context, w ledger.Window, i int, cause error) (ledger.Window, error) {
	t.Log.Warn("exported files are gone", "event", "Import", "window", w.Number, "payload", i+1, "reason", cause.Error())
	for j, q := range w.Payloads {
		if j == i || q.State != ledger.Posted {
			continue
		}
		err := t.Destination.CancelImport(ctx, q.StatusURL)
		if passing(err) {
			return w.ImportStillRunning(i, ledger.Unknown, t.Clock(), t.nextPoll(err))
		}
		if err != nil {
			t.Log.Info("an import could not be cancelled", "window", w.Number, "payload", j+1, "error", err.Error())
		}
	}
	return w.FilesGone(cause.Error(), t.Clock(), t.nextAttempt(w.Attempts), t.maxAttempts())
}

// importFailed records a failed attempt of payload i. One that was cancelled because it did not move is posted again in two
// halves; after another one its files are looked at where they may be the cause.
func (t *tick) importFailed(w ledger.Window, i int, cause error, files []staging.File) (ledger.Window, error) {
	p, reason := w.Payloads[i], cause.Error()
	t.Log.Warn("import failed", "event", "Import", "window", w.Number, "payload", i+1, "importId", fhir.JobID(p.StatusURL), "reason", reason, importTelemetry(w, i, jobFailed, reason))
	next, err := w.ImportFailed(i, reason, t.Clock(), t.nextAttempt(w.Attempts), t.maxAttempts())
	if err != nil || next.Phase() == ledger.Held {
		return next, err
	}
	if !p.Cancelled {
		return t.lookAfterFailure(next, i, cause, files)
	}
	if len(p.Only) > 0 || p.To-p.From < 2 || len(w.Payloads) >= t.maxPayloads() {
		return next, nil
	}
	at := (p.From + p.To) / 2
	return next.ImportHalved(i, at, staging.Lines(files[at:p.To]))
}

// cancelStuck cancels an import that runs longer than any may, or that has not moved for long. It is not posted again
// before its job has reached an end; a job that has ended meanwhile (409) is asked once more for its result.
func (t *tick) cancelStuck(ctx context.Context, w ledger.Window, i int) (ledger.Window, error) {
	p := w.Payloads[i]
	reason := t.stuck(p)
	if reason == "" && !p.Cancelled {
		return w, nil
	}
	if !p.Cancelled {
		t.Log.Warn("import is stuck", "event", "Import", "window", w.Number, "payload", i+1, "importId", fhir.JobID(p.StatusURL), "reason", reason)
	}
	err := t.Destination.CancelImport(ctx, p.StatusURL) // once more, where it was: the first one may not have arrived
	if p.Cancelled && t.Clock().Sub(p.PostedAt.Time()) >= 2*t.Settings.ImportDeadline() {
		return w.Hold(fmt.Sprintf("import payload %d was cancelled and does not end: %s; the destination has to be looked at", i+1, p.StatusURL), t.Clock())
	}
	if p.Cancelled {
		return w, nil
	}
	switch status := statusOf(err); {
	case err == nil, status == http.StatusConflict:
		return w.ImportCancelled(i, reason, t.Clock(), t.nextPoll(nil))
	case passing(err):
		return w, nil
	}
	return w, fmt.Errorf("%s: payload %d: %w", w.Name(), i+1, withRole(err, roleImporter, "destination"))
}

// stuck says why a running import is not waited for any longer, "" when it is.
func (t *tick) stuck(p ledger.Payload) string {
	now, posted, moved := t.Clock(), p.PostedAt.Time(), p.MovedAt.Time()
	switch limit, still := t.Settings.ImportDeadline(), t.Settings.StuckAfter(); {
	case now.Sub(posted) >= limit:
		return fmt.Sprintf("no end %s after it was posted", now.Sub(posted).Round(time.Second))
	case still > 0 && p.Moved > 0 && now.Sub(moved) >= still:
		return fmt.Sprintf("%d lines done, and no more for %s", p.Moved, now.Sub(moved).Round(time.Second))
	}
	return ""
}

// unbalanced names the files whose books do not balance. They alone are imported again, once; then the window is held.
func (t *tick) unbalanced(w ledger.Window, i int, b staging.Books) (ledger.Window, error) {
	const shown = 5
	named, more := b.Named, ""
	if len(named) > shown {
		more = fmt.Sprintf("; and %d files more", len(named)-shown)
		named = named[:shown]
	}
	reason := fmt.Sprintf("the books of payload %d do not balance: %s%s", i+1, strings.Join(named, "; "), more)
	p := w.Payloads[i]
	only := make([]int, 0, len(b.Unbalanced))
	for _, n := range b.Unbalanced {
		if len(p.Only) > 0 {
			only = append(only, p.Only[n])
			continue
		}
		only = append(only, p.From+n)
	}
	next, err := w.ImportUnbalanced(i, only, b.Imported, b.Refused, reason, t.Clock())
	t.Log.Warn("files are not imported as they were exported", "event", "Import", "window", w.Number, "reason", reason)
	return next, err
}
