package migration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/staging"
)

// maxRetrying lines are posted again at a time: each is an import of its own.
const maxRetrying = 20

// What an operator's request can fail with, beyond the services.
var (
	// ErrNoException: there is no exception under that id.
	ErrNoException = errors.New("no such exception")
	// ErrNotNow: it cannot be done in the state that things are in.
	ErrNotNow = errors.New("not possible now")
)

func (m *Migration) exceptionByID(ctx context.Context, id string) (ledger.Exception, error) {
	e, err := m.Ledger.Exception(ctx, id)
	if errors.Is(err, ledger.ErrNotFound) {
		return e, fmt.Errorf("exception %.60q: %w", id, ErrNoException)
	}
	return e, err
}

// saveException maps what a move or a save of an exception fails with to what the operator is told.
func (m *Migration) saveException(ctx context.Context, e ledger.Exception, err error) (ledger.Exception, error) {
	if errors.Is(err, ledger.ErrState) {
		return e, fmt.Errorf("%w: %w", ErrNotNow, err)
	}
	if err != nil {
		return e, err
	}
	ctx, cancel := afterEffect(ctx)
	defer cancel()
	e, err = m.Ledger.SaveException(ctx, e)
	if errors.Is(err, ledger.ErrConflict) {
		return e, fmt.Errorf("%w: exception %s was changed meanwhile: look at it again", ErrNotNow, e.ID)
	}
	return e, err
}

// AcceptException records that the line of an open exception may be missing: who says so, and why.
func (m *Migration) AcceptException(ctx context.Context, id, by, note string) (ledger.Exception, error) {
	e, err := m.exceptionByID(ctx, id)
	if err != nil {
		return e, err
	}
	next, err := e.Accept(by, note, m.Clock())
	return m.saveException(ctx, next, err)
}

// RetryException posts the line of an open exception again, alone: as a file of its own beside the one it came from. The
// import step follows it to its end. It is refused where the line would go to another service than the rest, in another way, or identified
// where de-identified data was asked for.
func (m *Migration) RetryException(ctx context.Context, id string) (ledger.Exception, error) {
	control, err := m.Ledger.Control(ctx)
	if err != nil {
		return ledger.Exception{}, err
	}
	if len(control.Retrying) >= maxRetrying && !slices.Contains(control.Retrying, id) {
		return ledger.Exception{}, fmt.Errorf("%w: %d lines are being imported again: wait until some have ended", ErrNotNow, maxRetrying)
	}
	e, err := m.exceptionByID(ctx, id)
	if err != nil {
		return e, err
	}
	if err := m.mayPost(ctx, e); err != nil {
		return e, err
	}
	next, err := e.Posting(m.Clock()) // the number in the body is saved before it is posted
	if e, err = m.saveException(ctx, next, err); err != nil {
		return e, err
	}
	if err := m.updateControl(ctx, control, func(c ledger.Control) (ledger.Control, bool) {
		if slices.Contains(c.Retrying, id) {
			return c, false
		}
		c.Retrying = append(slices.Clone(c.Retrying), id)
		return c, true
	}); err != nil {
		return e, err
	}
	return m.postLine(ctx, e)
}

// mayPost says why the line of e may not be posted with the settings as they are.
func (m *Migration) mayPost(ctx context.Context, e ledger.Exception) error {
	chunk, err := m.Ledger.Chunk(ctx)
	if err != nil {
		return err
	}
	t := &tick{Migration: m, chunk: chunk}
	if err := t.pinnedChanged("SourceUri", "DestinationUri", "ImportMode", "IsExportDeidentified"); err != nil {
		return fmt.Errorf("%w: exception %s is not posted: %w", ErrNotNow, e.ID, err)
	}
	reason, err := t.identifiedExport(ctx, e.Export)
	if err == nil && reason != "" {
		err = fmt.Errorf("%w: %s", ErrNotNow, reason)
	}
	if err != nil {
		return fmt.Errorf("exception %s is not posted: %w", e.ID, err)
	}
	return nil
}

// postName names the blobs of the last post of e's line.
func postName(e ledger.Exception) string { return fmt.Sprintf("exception_%s_post_%d", e.ID, e.Posts) }

// postLine posts e's line as an import of its own.
func (m *Migration) postLine(ctx context.Context, e ledger.Exception) (ledger.Exception, error) {
	line, err := m.Staging.LineAt(ctx, e.File, e.Line, e.Offset)
	if err != nil {
		return e, fmt.Errorf("exception %s: %w", e.ID, err)
	}
	if err := isLineOf(line, e); err != nil {
		return e, fmt.Errorf("%w: exception %s: %w", ErrNotNow, e.ID, err)
	}
	name := postName(e)
	url, err := m.Staging.PutLine(ctx, e.File, name+".ndjson", line)
	if err != nil {
		return e, fmt.Errorf("exception %s: %w", e.ID, err)
	}
	body, err := staging.ImportRequest{Mode: string(m.Settings.ImportMode), Files: []staging.File{{Type: e.ResourceType, URL: url, Count: 1}},
		Source: fmt.Sprintf("urn:fhir-migration:exception-%s:post-%d", e.ID, e.Posts)}.Body()
	if err != nil {
		return e, err
	}
	if err := m.Staging.PutPayload(ctx, e.Export, name+".json", body); err != nil {
		return e, err
	}
	statusURL, err := m.Destination.StartImport(ctx, body)
	if err != nil {
		return e, fmt.Errorf("exception %s: %w", e.ID, withRole(err, roleImporter, "destination"))
	}
	next, err := e.Post(statusURL, m.Clock(), m.nextPoll(nil))
	return m.saveException(ctx, next, err)
}

// isLineOf makes sure that the line found is the one that was refused: where it is, is taken from a text.
func isLineOf(line []byte, e ledger.Exception) error {
	var r struct{ ResourceType, ID string }
	if err := json.NewDecoder(bytes.NewReader(line)).Decode(&r); err != nil {
		return fmt.Errorf("line %d from byte %d on of %s is no JSON: it cannot be imported as it is", e.Line, e.Offset, e.File)
	}
	if e.ResourceID != "" && r.ID != e.ResourceID {
		return fmt.Errorf("line %d from byte %d on of %s is %s/%s, not %s: it is not posted", e.Line, e.Offset, e.File, r.ResourceType, r.ID, e.ResourceID)
	}
	return nil
}

// followRetries asks for the lines that were posted again, and takes those that have ended off the control row.
func (t *tick) followRetries(ctx context.Context) error {
	var errs []error
	var ended []string
	for _, id := range t.control.Retrying {
		if !t.hasTime(ctx) {
			break
		}
		over, err := t.followRetry(ctx, id)
		errs = append(errs, err)
		if over {
			ended = append(ended, id)
		}
	}
	if len(ended) > 0 {
		errs = append(errs, t.updateControl(ctx, t.control, func(c ledger.Control) (ledger.Control, bool) {
			c.Retrying = slices.DeleteFunc(slices.Clone(c.Retrying), func(id string) bool { return slices.Contains(ended, id) })
			return c, true
		}))
	}
	return errors.Join(errs...)
}

// followRetry asks for one. over says that nothing more is to come of it.
func (t *tick) followRetry(ctx context.Context, id string) (over bool, _ error) {
	e, err := t.exceptionByID(ctx, id)
	if err != nil {
		return errors.Is(err, ErrNoException), err
	}
	if e.State != ledger.ExceptionPosted {
		return e.State != ledger.ExceptionOpen || t.Clock().Sub(e.Changed) > t.Settings.ClaimTime(), nil // else it is about to be posted
	}
	if t.Clock().Before(e.NotBefore) {
		return false, nil
	}
	posted, err := staging.LineURL(e.File, postName(e)+".ndjson")
	if err != nil {
		return false, fmt.Errorf("exception %s: %w", e.ID, err)
	}
	taken, reason := false, ""
	done, err := t.Destination.PollImport(ctx, e.StatusURL, nil, func(body io.Reader) error {
		result, err := staging.ReadImportResult(body)
		if err != nil {
			return err
		}
		taken, reason = result.Imported[posted] > 0 && len(result.Errors) == 0, t.refusedAgain(ctx, result)
		if !taken && reason == "" {
			reason = "the result of its import does not say that it has taken a line of " + posted
		}
		return nil
	})
	switch {
	case err == nil && !done, err != nil && kindOf(err) != fhir.JobFailed && kindOf(err) != fhir.NotFound:
		_, saveErr := t.saveException(ctx, e.Running(t.nextPoll(err)), nil)
		if passing(err) {
			err = nil
		}
		return false, errors.Join(err, saveErr)
	case err != nil:
		reason = err.Error()
	}
	next, err := e.Ended(taken, reason, t.Clock())
	_, err = t.saveException(ctx, next, err)
	t.Log.Info("a refused line was imported again", "event", "Import", "exception", e.ID, "taken", taken, "reason", reason)
	return err == nil, err
}

// refusedAgain is why a line was refused once more, as its error log says.
func (t *tick) refusedAgain(ctx context.Context, result staging.ImportResult) (reason string) {
	for _, e := range result.Errors {
		reason = "refused again"
		err := t.Staging.ErrorLog(ctx, e.LogURL, func(r staging.Refusal) (bool, error) {
			reason = r.Text
			return false, nil
		})
		if err != nil {
			reason += ": " + err.Error()
		}
	}
	return reason
}
