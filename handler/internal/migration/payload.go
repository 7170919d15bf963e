package migration

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/staging"
)

// postImports posts payloads, oldest window first, while fewer than PayloadCount imports run.
func (t *tick) postImports(ctx context.Context) error {
	running := 0
	for _, w := range t.windows {
		if w.Phase() != ledger.Held { // nobody asks for those: they must not keep others from being imported
			running += countPosted(w)
		}
	}
	var errs []error
	for i := range t.windows {
		n, err := t.postWindow(ctx, i, t.Settings.PayloadCount-running)
		running += n
		if passing(err) { // the others would not be taken either
			break
		}
		if errs = append(errs, err); halting(err) {
			break
		}
	}
	return errors.Join(errs...)
}

// postWindow posts payloads of window i, at most room of them. Its manifest is read once for all.
func (t *tick) postWindow(ctx context.Context, i, room int) (count int, _ error) {
	if room <= 0 || t.nextPayload(t.windows[i]) < 0 {
		return 0, nil
	}
	var held bool
	var err error
	if t.windows[i], held, err = t.holdIdentified(ctx, t.windows[i]); held || err != nil {
		return 0, err
	}
	files, err := t.filesOf(ctx, t.windows[i])
	if err != nil {
		return 0, err
	}
	for count < room && t.hasTime(ctx) {
		w := t.windows[i]
		n := t.nextPayload(w)
		if n < 0 {
			break
		}
		next, err := t.postImport(ctx, w, n, posted(files, w.Payloads[n]))
		t.windows[i] = next
		if err != nil {
			return count, fmt.Errorf("%s: post payload %d: %w", w.Name(), n+1, err)
		}
		if countPosted(next) == countPosted(w) {
			break // another tick has the row
		}
		count++
	}
	return count, nil
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
		if p.State == ledger.Unposted && !t.Clock().Before(p.NotBefore.Time()) && w.MayPost(i) && !t.lookFirst(w) {
			return i
		}
	}
	return -1
}

// postImport saves the exact request body as a blob, posts it, and saves the status URL. A tick that dies in between, or
// another one that does the same, posts the same bytes and gets the same job.
func (t *tick) postImport(ctx context.Context, w ledger.Window, i int, files []staging.File) (ledger.Window, error) {
	p := w.Payloads[i]
	body, err := t.requestBody(ctx, w, i, files)
	if err != nil {
		return w, err
	}
	statusURL, err := t.Destination.StartImport(ctx, body)
	if err != nil {
		err = withRole(err, roleImporter, "destination")
		t.Log.Info("the destination did not take the import now", "window", w.Number, "payload", i+1, "error", err.Error())
		next, moveErr := w.ImportPostponed(i, err.Error(), t.nextPoll(err))
		next, _, saveErr := t.save(ctx, w, next, moveErr)
		return next, cmp.Or(saveErr, err)
	}
	t.sum.Posted++
	next, moveErr := w.ImportStarted(i, statusURL, fhir.JobID(statusURL), t.Clock(), t.nextPoll(nil))
	next, saved, err := t.save(ctx, w, next, moveErr)
	if saved {
		t.Log.Info("import started", "event", "Import", "window", w.Number, "payload", i+1, "importId", fhir.JobID(statusURL), "lines", p.Lines, importTelemetry(next, i, jobStarted, ""))
	}
	return next, err
}

// requestBody is the body that payload i is posted with, and that is saved by now. A payload of the original that is not known to have
// failed has the original's own: if it was posted before, it gives the same job.
func (t *tick) requestBody(ctx context.Context, w ledger.Window, i int, files []staging.File) ([]byte, error) {
	p := w.Payloads[i]
	if w.OriginalFiles && p.Post == 0 {
		return t.Staging.OriginalBody(ctx, w.ExportID, w.PayloadBlob(i))
	}
	body, err := staging.ImportRequest{
		Mode:   string(t.Settings.ImportMode),
		Source: fmt.Sprintf("urn:fhir-migration:window-%d:export-%s:payload-%d:post-%d", w.Number, w.ExportID, i+1, p.Post),
		Files:  files,
	}.Body()
	if err != nil {
		return nil, err
	}
	return body, t.Staging.PutPayload(ctx, w.ExportID, w.PayloadBlob(i), body)
}
