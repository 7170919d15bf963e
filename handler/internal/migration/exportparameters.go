package migration

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/staging"
)

// searchParameterType is the type of the resources that define custom search parameters.
const searchParameterType = "SearchParameter"

// A source that answers exports alone has its custom search parameters exported, before any window is. The export step has that done, with the
// protocol of a window's export; the import step reads what came of it (copyParameters).

// readParameters reads the row of the search parameters where it matters for the export step.
func (t *tick) readParameters(ctx context.Context) (err error) {
	if !t.Settings.MigrateSearchParameters || !t.chunk.ExportOnly || t.chunk.SearchParametersReady || t.parameters != nil {
		return nil
	}
	row, err := t.Ledger.SearchParameters(ctx)
	if err == nil {
		t.parameters = &row
	}
	return err
}

// windowsMayStart says whether the search parameters are on their way, so that the exports of windows may follow.
func (t *tick) windowsMayStart() bool { return t.parameters == nil || t.parameters.ExportBegun() }

// followParameters asks for the export of the search parameters, if it runs and is due.
func (t *tick) followParameters(ctx context.Context) error {
	if err := t.readParameters(ctx); err != nil || t.parameters == nil {
		return err
	}
	row := *t.parameters
	if !row.ExportNeeded() || row.Export.StatusURL == "" || t.Clock().Before(row.NotBefore) || !t.hasTime(ctx) {
		return nil
	}
	t.sum.Polled++
	return t.pollParameters(ctx, row)
}

// startParameters starts the export of the search parameters, when it is due: it is claimed, $export is called, and the status URL saved, in
// that order.
func (t *tick) startParameters(ctx context.Context) error {
	if err := t.readParameters(ctx); err != nil || t.parameters == nil || t.pinnedChanged() != nil {
		return err
	}
	if t.Clock().Before(t.parameters.NotBefore) || !t.hasTime(ctx) {
		return nil
	}
	id, err := uuid.NewRandomFromReader(t.Random)
	if err != nil {
		return fmt.Errorf("claim the export of search parameters: %w", err)
	}
	owner := id.String()
	claimed, ok := t.parameters.ExportClaimed(owner, t.Clock(), t.Clock().Add(t.Settings.ClaimTime()))
	if !ok {
		return nil
	}
	now, err := t.Source.Now(ctx)
	if err != nil {
		return t.planLater(ctx, err)
	}
	if ok, err = t.saveParametersExport(ctx, claimed, func(r ledger.SearchParameters) bool { return r.Export.ClaimOwner == owner }); !ok || err != nil {
		return err
	}
	till := now.Add(-t.Settings.SafetyLag())
	statusURL, err := t.Source.StartExport(ctx, fhir.ExportRequest{Type: searchParameterType, Till: till})
	if err == nil {
		err = staging.CheckExportID(fhir.JobID(statusURL))
	}
	if err != nil {
		cause := fmt.Errorf("export search parameters: %w", withRole(err, roleExporter, "source"))
		dropped := t.parameters.ExportDropped(cause.Error(), maybeStarted(err), t.Clock(), t.nextPoll(err))
		_, err = t.saveParametersExport(ctx, dropped, nil)
		if passing(cause) {
			return err
		}
		return errors.Join(cause, err)
	}
	t.sum.Started++
	return t.saveParametersStarted(ctx, owner, statusURL)
}

// saveParametersStarted saves the status URL of the job that runs. One that the row does not name in the end is an orphan: it cannot be cancelled at
// such a source.
func (t *tick) saveParametersStarted(ctx context.Context, owner, statusURL string) error {
	ctx, cancel := afterEffect(ctx)
	defer cancel()
	for range 5 {
		next, ok := t.parameters.ExportStarted(owner, statusURL, fhir.JobID(statusURL), t.Clock(), t.nextPoll(nil))
		if !ok {
			next = t.parameters.ExportOrphan(statusURL, t.Clock())
		}
		saved, err := t.saveParametersExport(ctx, next, func(r ledger.SearchParameters) bool { return r.Export.StatusURL == statusURL })
		if err != nil {
			return err
		}
		if saved {
			t.Log.Info("export of search parameters started", "event", "SearchParameters", "exportId", fhir.JobID(statusURL), "orphan", !ok)
			return nil
		}
	}
	return fmt.Errorf("note the export of search parameters %s: %w five times in a row", statusURL, ledger.ErrConflict)
}

// saveParametersExport saves the row. After a conflict it reads what is there: saved is then what echo says of it, as it may have been our own save
// whose reply was lost.
func (t *tick) saveParametersExport(ctx context.Context, next ledger.SearchParameters, echo func(ledger.SearchParameters) bool) (saved bool, _ error) {
	ctx, cancel := afterEffect(ctx)
	defer cancel()
	row, err := t.Ledger.SaveSearchParameters(ctx, next)
	if err == nil {
		t.parameters = &row
		return true, nil
	}
	if !errors.Is(err, ledger.ErrConflict) {
		return false, err
	}
	if row, err = t.Ledger.SearchParameters(ctx); err != nil {
		return false, err
	}
	t.parameters = &row
	return echo != nil && echo(row), nil
}

// pollParameters asks for the export once. One that fails puts the search parameters off: imports do not wait for them.
func (t *tick) pollParameters(ctx context.Context, row ledger.SearchParameters) error {
	var body *manifestBody
	done, err := t.Source.PollExport(ctx, row.Export.StatusURL, spoolManifest(&body))
	defer body.close()
	late := t.Clock().Sub(row.Export.StartTime) >= t.Settings.ExportDeadline()
	next := row.Waiting("", t.nextPoll(err))
	switch {
	case err == nil && done:
		return t.parametersExported(ctx, row, body)
	case kindOf(err) == fhir.JobFailed, errors.Is(err, errManifest), kindOf(err) == fhir.NotFound && row.Export.UnknownPolls+1 >= maxUnknownPolls:
		return t.parametersFailed(ctx, row, err.Error())
	case late && (err == nil || kindOf(err) == fhir.Transient):
		return t.parametersFailed(ctx, row.ExportOrphan(row.Export.StatusURL, t.Clock()), "no end "+t.Settings.ExportDeadline().String()+" after it was started")
	case kindOf(err) == fhir.NotFound:
		next, err = row.ExportUnknown(t.nextPoll(nil)), nil
	case passing(err):
		err = nil
	case err != nil:
		err = fmt.Errorf("export search parameters: %w", withRole(err, roleExporter, "source"))
	}
	_, saveErr := t.saveParametersExport(ctx, next, nil)
	return errors.Join(err, saveErr)
}

// parametersExported takes the export's 200. An answer of nothing needs a second one: it may be a job that was cancelled inside the service.
func (t *tick) parametersExported(ctx context.Context, row ledger.SearchParameters, body *manifestBody) error {
	err := t.Staging.PutManifest(ctx, row.Export.ID, body)
	if errors.Is(err, staging.ErrAnotherManifest) {
		return t.parametersFailed(ctx, row, err.Error()+": delete or rename that container of an earlier migration")
	}
	if err != nil {
		return fmt.Errorf("export search parameters: %w", err)
	}
	next := row.ExportEnded()
	if body.manifest.Lines() == 0 && !row.Export.Empty {
		next = row.ExportNothing(t.Clock(), t.nextPoll(nil))
	}
	saved, err := t.saveParametersExport(ctx, next, nil)
	if saved {
		t.Log.Info("search parameters exported", "event", "SearchParameters", "exportId", row.Export.ID, "found", body.manifest.Lines(), "again", !next.Export.Done)
	}
	return err
}

func (t *tick) parametersFailed(ctx context.Context, row ledger.SearchParameters, reason string) error {
	t.Log.Warn("search parameters are deferred: they could not be exported", "event", "SearchParameters", "exportId", row.Export.ID, "reason", reason)
	_, err := t.saveParametersExport(ctx, row.ExportFailed(reason, t.Clock(), t.Clock().Add(deferredPause)), nil)
	return err
}

// exportedParameters reads the search parameters that were exported.
func (t *tick) exportedParameters(ctx context.Context, exportID string) (all []fhir.SearchParameter, _ error) {
	m, err := t.Staging.Manifest(ctx, exportID)
	if err != nil {
		return nil, fmt.Errorf("search parameters of export %s: %w", exportID, err)
	}
	for _, f := range m.Files {
		lines := int64(0)
		err := t.Staging.Lines(ctx, f.URL, 0, func(line string) (bool, error) {
			p, err := fhir.ReadSearchParameter(line)
			if err != nil {
				return false, fmt.Errorf("%w: %w", errManifest, err)
			}
			lines++
			all = append(all, p)
			return true, nil
		})
		if err == nil && lines != f.Count {
			err = fmt.Errorf("%d lines, not %d as its manifest says: %w", lines, f.Count, errManifest)
		}
		if err != nil {
			return nil, fmt.Errorf("search parameters in %s: %w", f.URL, err)
		}
	}
	return all, nil
}
