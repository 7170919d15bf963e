package migration

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/staging"
)

// postImports posts payloads, oldest window first, while fewer than PayloadCount imports run.
func (t *tick) postImports(ctx context.Context) error {
	running := 0
	for _, w := range t.windows {
		running += countPosted(w)
	}
	var errs []error
	for i := range t.windows {
		posted, err := t.postWindow(ctx, i, t.Settings.PayloadCount-running)
		running += posted
		errs = append(errs, err)
		if halting(err) {
			break
		}
	}
	return errors.Join(errs...)
}

// postWindow posts payloads of window i, at most room of them. Its manifest is read once for all.
func (t *tick) postWindow(ctx context.Context, i, room int) (posted int, _ error) {
	if room <= 0 || t.nextPayload(t.windows[i]) < 0 {
		return 0, nil
	}
	payloads, err := t.payloads(ctx, t.windows[i])
	if err != nil {
		return 0, err
	}
	for posted < room && t.hasTime(ctx) {
		w := t.windows[i]
		n := t.nextPayload(w)
		if n < 0 {
			break
		}
		next, err := t.postImport(ctx, w, n, payloads[n])
		t.windows[i] = next
		if err != nil {
			return posted, fmt.Errorf("%s: post payload %d: %w", w.Name(), n+1, err)
		}
		if countPosted(next) == countPosted(w) {
			break // postponed, or another tick has the row
		}
		posted++
	}
	return posted, nil
}

func countPosted(w ledger.Window) (n int) {
	for _, p := range w.Payloads {
		if p.State == ledger.Posted {
			n++
		}
	}
	return n
}

// nextPayload is the first payload of w that may be posted now, -1 when none may.
func (t *tick) nextPayload(w ledger.Window) int {
	if p := w.Phase(); p != ledger.Exported && p != ledger.Importing {
		return -1
	}
	for i, p := range w.Payloads {
		if p.State == ledger.Unposted && (p.NotBefore == nil || !t.Clock().Before(*p.NotBefore)) {
			return i
		}
	}
	return -1
}

// postImport saves the exact request body as a blob, posts it, and saves the status URL. A tick that dies in between, or
// another one that does the same, posts the same bytes and gets the same job.
func (t *tick) postImport(ctx context.Context, w ledger.Window, i int, files []staging.File) (ledger.Window, error) {
	p := w.Payloads[i]
	body, err := staging.ImportRequest{
		Mode:   string(t.Settings.ImportMode),
		Source: fmt.Sprintf("urn:fhir-migration:window-%d:export-%s:payload-%d:post-%d", w.Number, w.ExportID, i+1, p.Post),
		Files:  files,
	}.Body()
	if err != nil {
		return w, err
	}
	if err := t.Staging.PutPayload(ctx, w.ExportID, p.Blob, body); err != nil {
		return w, err
	}
	statusURL, err := t.Destination.StartImport(ctx, body)
	if err != nil {
		err = withRole(err, roleImporter, "destination")
		t.Log.Info("the destination did not take the import now", "window", w.Number, "payload", i+1, "error", err.Error())
		next, moveErr := w.ImportPostponed(i, err.Error(), t.nextPoll(err))
		next, _, saveErr := t.save(ctx, w, next, moveErr)
		if passing(err) {
			err = nil
		}
		return next, errors.Join(err, saveErr)
	}
	t.sum.Posted++
	next, moveErr := w.ImportStarted(i, statusURL, fhir.JobID(statusURL), t.Clock(), t.nextPoll(nil))
	next, saved, err := t.save(ctx, w, next, moveErr)
	if saved {
		t.Log.Info("import started", "event", "Import", "window", w.Number, "payload", i+1, "importId", fhir.JobID(statusURL), "lines", p.Lines)
	}
	return next, err
}

// importOutcome is what one poll of an import said.
type importOutcome struct {
	err              error // of the call, nil: it answered
	done             bool
	unbalanced       []string
	imported, refuse int64
}

// pollImport asks for payload i's job once. A final answer is saved as a blob before anything is made of it.
func (t *tick) pollImport(ctx context.Context, w ledger.Window, i int, files []staging.File) (o importOutcome) {
	o.done, o.err = t.Destination.PollImport(ctx, w.Payloads[i].StatusURL, func(body io.Reader) error {
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
		if err := t.Staging.PutImportResult(ctx, w.ExportID, w.Payloads[i].Blob, f); err != nil {
			return err
		}
		o.imported, o.refuse, o.unbalanced = result.Books(files)
		return nil
	})
	return o
}

// applyImport makes of a poll's outcome the move that it stands for. The error is what the operator should hear.
func (t *tick) applyImport(w ledger.Window, i int, o importOutcome) (ledger.Window, error) {
	err := o.err
	p := w.Payloads[i]
	switch {
	case err == nil && !o.done:
		return w.ImportStillRunning(i, false, t.nextPoll(nil))
	case err == nil && len(o.unbalanced) > 0:
		return t.unbalanced(w, i, o.unbalanced)
	case err == nil:
		return w.ImportDone(i, o.imported, o.refuse)
	case jobStatus(err) == http.StatusNotFound: // the storage service's own 404: an input file is not there
		t.Log.Warn("exported files are gone", "event", "Import", "window", w.Number, "payload", i+1, "reason", err.Error())
		return w.FilesGone(err.Error(), t.Clock(), t.nextAttempt(w.Attempts), t.Settings.MaxExportRetries)
	case kindOf(err) == fhir.JobFailed, kindOf(err) == fhir.NotFound && p.Unknown+1 >= maxUnknownPolls:
		t.Log.Warn("import failed", "event", "Import", "window", w.Number, "payload", i+1, "importId", fhir.JobID(p.StatusURL), "reason", err.Error())
		return w.ImportFailed(i, err.Error(), t.Clock(), t.nextAttempt(w.Attempts), t.Settings.MaxExportRetries)
	}
	unknown := kindOf(err) == fhir.NotFound
	err = withRole(err, roleImporter, "destination")
	t.Log.Info("waiting", "window", w.Number, "payload", i+1, "error", err.Error())
	next, moveErr := w.ImportStillRunning(i, unknown, t.nextPoll(err))
	if unknown || passing(err) {
		return next, moveErr
	}
	return next, errors.Join(fmt.Errorf("%s: payload %d: %w", w.Name(), i+1, err), moveErr)
}

// unbalanced holds a window whose books do not balance, and names the files.
func (t *tick) unbalanced(w ledger.Window, i int, files []string) (ledger.Window, error) {
	const named = 5
	more := ""
	if len(files) > named {
		more = fmt.Sprintf("; and %d files more", len(files)-named)
		files = files[:named]
	}
	reason := fmt.Sprintf("the books of payload %d do not balance: %s%s", i+1, strings.Join(files, "; "), more)
	t.Log.Error("window held", "event", "Import", "window", w.Number, "reason", reason)
	return w.ImportUnbalanced(i, reason, t.Clock())
}
