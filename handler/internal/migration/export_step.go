package migration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/staging"
)

// ExportStep is one tick of ExportTimer: follows the exports that run, closes and splits what is due, plans windows, and
// starts exports. What can be waited for is no error.
func (m *Migration) ExportStep(ctx context.Context) (Summary, error) {
	ctx, cancel := context.WithTimeout(ctx, m.Settings.StepBudget())
	defer cancel()
	t, err := m.begin(ctx, "export")
	if err != nil && t.chunk.JobID == 0 && !errors.Is(err, ledger.ErrNotFound) {
		return t.summary(), err // the chunk row could not be read
	}
	if t.chunk.JobID == 0 {
		err = nil // there is none yet
	}
	if t.chunk.Foreign {
		if given, err := t.givenBack(ctx); given || err != nil {
			return t.summary(), err
		}
		if done, err := t.takeOver(ctx); !done || err != nil {
			return t.summary(), err
		}
		if t, err = m.begin(ctx, "export"); t.chunk.Foreign {
			return t.summary(), err
		}
	}
	err = errors.Join(err, t.watched(ctx, sourceSide, t.exportParts), t.closeDone(ctx), t.countRetries(ctx), t.giveBack(ctx))
	return t.summary(), errors.Join(err, t.noteTick(ctx, sourceSide, err))
}

// exportParts are the parts of the step that ask the source.
func (t *tick) exportParts(ctx context.Context) error {
	if t.chunk.PlannedTill.IsZero() {
		if t.paused() {
			return nil
		}
		if err := t.startMigration(ctx); passing(err) {
			t.sum.Waiting = err.Error()
			return nil
		} else if err != nil || t.chunk.PlannedTill.IsZero() {
			return err // or there is nothing to migrate yet
		}
	}
	if err := t.pinnedChanged("SourceUri"); err != nil { // jobs of the other source are not to be asked for at this one
		return err
	}
	parts := []func(context.Context) error{t.adoptWindows, t.pollExports, t.followParameters, t.closeDone, t.completeSplits}
	if !t.draining() {
		parts = append(parts, t.takeBack)
	}
	if !t.paused() {
		parts = append(parts, t.reopen, t.plan, t.startParameters, t.startExports)
	}
	var errs []error
	for _, part := range parts {
		err := part(ctx)
		errs = append(errs, err)
		if halting(err) || ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// pollExports asks, side by side, for every export that is due.
func (t *tick) pollExports(ctx context.Context) error {
	errs := make([]error, len(t.windows))
	tooLarge := make([]string, len(t.windows))
	exported := make([]bool, len(t.windows))
	g := errgroup.Group{}
	g.SetLimit(sideBySide)
	for i, w := range t.windows {
		if w.Phase() != ledger.Exporting || t.Clock().Before(w.NotBefore) {
			continue
		}
		t.sum.Polled++
		g.Go(func() error {
			if t.hasTime(ctx) {
				t.windows[i], tooLarge[i], errs[i] = t.pollExport(ctx, w)
				exported[i] = t.windows[i].ExportComplete
			}
			return nil
		})
	}
	g.Wait()
	for i, reason := range tooLarge {
		if reason != "" && errs[i] == nil {
			errs[i] = t.split(ctx, i, reason)
		}
	}
	for _, ended := range exported {
		if ended {
			t.sum.Exported++
		}
	}
	return errors.Join(errs...)
}

// pollExport asks for the export of w once. tooLarge says why w is to be split.
func (t *tick) pollExport(ctx context.Context, w ledger.Window) (_ ledger.Window, tooLarge string, _ error) {
	var body *manifestBody
	done, err := t.Source.PollExport(ctx, w.ExportStatusURL, spoolManifest(&body))
	defer body.close()
	switch {
	case err == nil && !done && t.runsFor(w) >= t.Settings.ExportDeadline():
		return t.cancelStuckExport(ctx, w)
	case err == nil && !done:
		next, moveErr := w.ExportStillRunning(t.nextPoll(nil))
		next, _, err = t.save(ctx, w, next, moveErr)
		return next, "", err
	case err == nil:
		return t.exportEnded(ctx, w, body)
	case jobStatus(err) == http.StatusRequestEntityTooLarge && t.canBeSmaller(w):
		t.Log.Warn("export too large, again with a smaller _maxCount", "event", "Export", "window", w.Number, "maxCount", smallMaxCount, "reason", err.Error())
		next, moveErr := w.ExportSmaller(smallMaxCount, err.Error(), t.Clock(), t.nextAttempt(w.Attempts))
		next, _, err = t.save(ctx, w, next, moveErr)
		return next, "", err
	case jobStatus(err) == http.StatusRequestEntityTooLarge && splittable(w):
		return w, err.Error(), nil
	case kindOf(err) == fhir.JobFailed, errors.Is(err, errManifest):
		return t.failExport(ctx, w, err.Error())
	case kindOf(err) == fhir.NotFound && w.UnknownPolls+1 >= maxUnknownPolls:
		return t.failExport(ctx, w, fmt.Sprintf("the source does not know the job: %v", err))
	case kindOf(err) == fhir.NotFound:
		next, moveErr := w.ExportUnknown(t.nextPoll(nil))
		next, _, err = t.save(ctx, w, next, moveErr)
		return next, "", err
	}
	if kindOf(err) == fhir.Transient && t.runsFor(w) >= t.Settings.ExportDeadline() {
		return t.cancelStuckExport(ctx, w) // the service is there, or cancelling waits too, but this job's status never comes
	}
	next, err := t.wait(ctx, w, withRole(err, roleExporter, "source"))
	return next, "", err
}

// runsFor is how long the export of w is followed; that of the original since it was taken over.
func (t *tick) runsFor(w ledger.Window) time.Duration {
	from := w.StartTime
	if at := t.chunk.Takeover.At; at.After(from) {
		from = at
	}
	return t.Clock().Sub(from)
}

// cancelStuckExport cancels an export that runs longer than any may. What is left of it reads only; the window is tried again
// in two halves, unless it is out of attempts.
func (t *tick) cancelStuckExport(ctx context.Context, w ledger.Window) (_ ledger.Window, tooLarge string, _ error) {
	reason := fmt.Sprintf("no end %s after it was started", t.runsFor(w).Round(time.Second))
	t.Log.Warn("export is stuck", "event", "Export", "window", w.Number, "exportId", w.ExportID, "reason", reason, exportTelemetry(w, jobFailed, ledger.Unknown, reason))
	cancelled := w
	if err := t.Source.CancelExport(ctx, w.ExportStatusURL); passing(err) {
		next, err := t.wait(ctx, w, err)
		return next, "", err
	} else if err != nil { // a retired service refuses to cancel
		cancelled = w.OrphanRecorded(w.ExportStatusURL, t.Clock())
	}
	next, moveErr := cancelled.ExportFailed(reason, t.Clock(), t.nextAttempt(w.Attempts), t.maxAttempts())
	next, saved, err := t.save(ctx, w, next, moveErr)
	if saved && next.Phase() == ledger.Planned && splittable(next) {
		return next, reason, nil
	}
	return next, "", err
}

// exportEnded takes an export's 200: the manifest is saved before anything else, then it is compared with what the source
// counts itself, then the row says exported.
func (t *tick) exportEnded(ctx context.Context, w ledger.Window, body *manifestBody) (_ ledger.Window, tooLarge string, _ error) {
	if err := t.Staging.PutManifest(ctx, w.ExportID, body); err != nil {
		return t.manifestNotSaved(ctx, w, err)
	}
	m := body.manifest
	if reason := t.identified(m); reason != "" {
		return t.failExport(ctx, w, reason)
	}
	if other := m.OtherThan(w.ResourceType); other != "" {
		return t.failExport(ctx, w, fmt.Sprintf("%s was exported, and the manifest has a file of %s", w.ResourceType, other))
	}
	counted, disbelief, err := t.believe(ctx, w, m.Lines())
	switch {
	case err != nil && !uncountable(err):
		return t.waitForCount(ctx, w, withRole(err, roleReader, "source"))
	case err != nil && w.CountTries+1 < maxCountTries && kindOf(err) == fhir.Refused:
		t.Log.Info("the source could not be counted after the export", "window", w.Number, "error", err.Error())
		next, moveErr := w.CountMissing(err.Error(), t.nextPoll(err))
		next, _, err = t.save(ctx, w, next, moveErr)
		return next, "", err
	case err != nil && m.Lines() == 0 && w.LinesBefore > 0:
		return t.failExport(ctx, w, fmt.Sprintf("the export is empty, and one before had %d lines", w.LinesBefore))
	case err != nil && m.Lines() == 0:
		if next, closed, err := t.exportedNothing(ctx, w); !closed {
			return next, "", err
		}
	case disbelief != "":
		return t.failExport(ctx, w, disbelief)
	}
	payloads := payloadSlices(m.ToImport(), t.Settings.FileCount)
	if room := t.maxPayloads(); len(payloads) > room {
		if splittable(w) {
			return w, fmt.Sprintf("%d files need %d imports, more than %d", len(m.Files), len(payloads), room), nil
		}
		next, moveErr := w.Hold(fmt.Sprintf("%d files need %d imports, more than %d, and the window cannot be split: raise AZURE_FileCount", len(m.Files), len(payloads), room), t.Clock())
		next, _, err := t.save(ctx, w, next, moveErr)
		return next, "", err
	}
	next, moveErr := w.ExportDone(ledger.Manifest{CountsByType: m.CountsByType(), SearchParameters: m.SearchParameters(), Payloads: payloads}, counted, t.Clock())
	next, saved, err := t.save(ctx, w, next, moveErr)
	if saved {
		t.Log.Info("export completed", "event", "Export", "window", w.Number, "exportId", w.ExportID, "lines", m.Lines(), "files", len(m.Files), "sourceCount", counted, "payloads", len(payloads),
			exportTelemetry(w, jobCompleted, m.Lines(), ""))
	}
	return next, "", err
}

// waitForCount asks for the count, and with it for the export, again later. One that cannot be had until the export's deadline holds
// the window.
func (t *tick) waitForCount(ctx context.Context, w ledger.Window, cause error) (_ ledger.Window, tooLarge string, _ error) {
	if t.runsFor(w) < t.Settings.ExportDeadline() {
		next, err := t.wait(ctx, w, cause)
		return next, "", err
	}
	next, moveErr := w.Hold("the export has ended, but the source cannot be counted to verify it: "+cause.Error(), t.Clock())
	next, _, err := t.save(ctx, w, next, moveErr)
	return next, "", err
}

// payloadSlices cuts files into payloads of at most fileCount.
func payloadSlices(files []staging.File, fileCount int) (payloads []ledger.Slice) {
	for from := 0; from < len(files); from += fileCount {
		to := min(from+fileCount, len(files))
		payloads = append(payloads, ledger.Slice{From: from, To: to, Lines: staging.Lines(files[from:to])})
	}
	return payloads
}

// failExport records a failed attempt of an export.
func (t *tick) failExport(ctx context.Context, w ledger.Window, reason string) (_ ledger.Window, tooLarge string, _ error) {
	t.Log.Warn("export failed", "event", "Export", "window", w.Number, "exportId", w.ExportID, "reason", reason, exportTelemetry(w, jobFailed, ledger.Unknown, reason))
	next, moveErr := w.ExportFailed(reason, t.Clock(), t.nextAttempt(w.Attempts), t.maxAttempts())
	next, _, err := t.save(ctx, w, next, moveErr)
	return next, "", err
}

// wait leaves w as it is for a while. cause is returned unless it goes away by itself.
func (t *tick) wait(ctx context.Context, w ledger.Window, cause error) (ledger.Window, error) {
	t.Log.Info("waiting", "window", w.Number, "error", cause.Error())
	next, moveErr := w.Waiting(t.nextPoll(cause))
	next, _, err := t.save(ctx, w, next, moveErr)
	if passing(cause) {
		return next, err
	}
	return next, errors.Join(fmt.Errorf("%s: %w", w.Name(), cause), err)
}
