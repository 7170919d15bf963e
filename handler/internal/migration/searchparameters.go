package migration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/staging"
)

const (
	// roleContributor may write search parameters and reindex.
	roleContributor = fhir.RoleContributor
	// deferredPause is how long copying is put off when the destination or the source cannot have it now.
	deferredPause = time.Hour
)

// importAfterSearchParameters runs the parts of the import step that ask the destination. Custom search parameters come first: what is
// imported after them is indexed while it is loaded. Until they are copied nothing is posted; what runs is followed.
func (t *tick) importAfterSearchParameters(ctx context.Context) error {
	// Jobs of another destination are not to be asked for at this one, and nothing is imported there that belongs with the rest.
	if err := t.pinnedChanged("DestinationUri", "ImportMode"); err != nil {
		return err
	}
	ready, err := t.searchParameters(ctx)
	parts := t.importParts
	if !ready {
		parts = t.pollImports
	}
	return errors.Join(err, t.watched(ctx, destinationSide, parts))
}

// searchParameters brings the custom search parameters a step further: copied, then the destination reindexed. ready says that imports
// need not wait for them (any more).
func (t *tick) searchParameters(ctx context.Context) (ready bool, _ error) {
	if !t.Settings.MigrateSearchParameters || t.chunk.SearchParametersReady {
		return true, nil
	}
	row, err := t.Ledger.SearchParameters(ctx)
	if err != nil {
		return false, err
	}
	if !t.Clock().Before(row.NotBefore) {
		if row, err = t.advanceParameters(ctx, row); errors.Is(err, ledger.ErrConflict) {
			t.Log.Info("the row of the search parameters was changed meanwhile; left for the next tick")
			return false, nil
		}
		if err == nil { // else it is not known whether the row says so
			err = t.noteParameters(ctx, row)
		}
	}
	if !row.ImportsMayBegin() {
		t.sum.Waiting = "custom search parameters are copied before the first import"
		if row.Reason != "" {
			t.sum.Waiting += ": " + row.Reason
		}
	}
	return row.ImportsMayBegin(), err
}

// noteParameters keeps the chunk row in step with the row of the search parameters.
func (t *tick) noteParameters(ctx context.Context, row ledger.SearchParameters) error {
	copied := row.State != ledger.ParametersCopying && row.State != ledger.ParametersDeferred
	_, err := t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) { return c.SearchParametersAt(copied, row.Ended()) })
	return err
}

// advanceParameters does what is due. It returns the row as it is in the ledger.
func (t *tick) advanceParameters(ctx context.Context, row ledger.SearchParameters) (ledger.SearchParameters, error) {
	var err error
	if row.State == ledger.ParametersCopying || row.State == ledger.ParametersDeferred {
		if row, err = t.copyParameters(ctx, row); err != nil {
			return row, err
		}
	}
	if row.State == ledger.ParametersReindexing && !t.Clock().Before(row.NotBefore) {
		err = t.watched(ctx, destinationSide, func(ctx context.Context) (err error) {
			if row.ReindexURL != "" || !t.operatorPause() {
				row, err = t.reindex(ctx, row)
			}
			return err
		})
	}
	return row, err
}

// copyParameters writes to the destination what it lacks. Nothing remembers what is written: what the destination has by now is
// looked up, so a copy that was broken off goes on where it was.
func (t *tick) copyParameters(ctx context.Context, row ledger.SearchParameters) (ledger.SearchParameters, error) {
	if t.chunk.ExportOnly {
		return t.copyExportedParameters(ctx, row)
	}
	var source []fhir.SearchParameter
	asked := false
	err := t.watched(ctx, sourceSide, func(ctx context.Context) (err error) {
		if t.operatorPause() {
			return nil
		}
		asked = true
		source, err = t.Source.SearchParameters(ctx)
		return withRole(err, roleReader, "source")
	})
	if kindOf(err) == fhir.Gone { // the export step exports them, as the chunk row says by now
		return row, nil
	}
	if err != nil {
		return t.parametersWait(ctx, row, err)
	}
	if !asked { // the source is out, or an operator has paused the migration
		return row, nil
	}
	return t.writeCopies(ctx, row, source)
}

// copyExportedParameters does the same with what a source that answers exports alone has exported, once that is there.
func (t *tick) copyExportedParameters(ctx context.Context, row ledger.SearchParameters) (ledger.SearchParameters, error) {
	if !row.Export.Done {
		return row, nil
	}
	source, err := t.exportedParameters(ctx, row.Export.ID)
	if errors.Is(err, staging.ErrNotFound) || errors.Is(err, errManifest) {
		return t.saveParameters(ctx, row.ExportFailed(err.Error(), t.Clock(), t.nextPoll(nil)))
	}
	if err != nil {
		return row, err
	}
	return t.writeCopies(ctx, row, source)
}

func (t *tick) writeCopies(ctx context.Context, row ledger.SearchParameters, source []fhir.SearchParameter) (ledger.SearchParameters, error) {
	takenOver := row.StartTime.IsZero() && t.chunk.SearchParameterMigration // by the original, which never reindexes
	err := t.watched(ctx, destinationSide, func(ctx context.Context) (err error) {
		if t.operatorPause() {
			return nil
		}
		row, err = t.writeParameters(ctx, row, source, takenOver)
		return err
	})
	if err != nil {
		return t.parametersWait(ctx, row, err)
	}
	return row, nil
}

// writeParameters compares the services and writes what is missing. Those that are refused are tried once more when all others are written:
// one may be made of others, and two ticks that write at once are refused for no other reason.
func (t *tick) writeParameters(ctx context.Context, row ledger.SearchParameters, source []fhir.SearchParameter, takenOver bool) (ledger.SearchParameters, error) {
	there, err := t.Destination.SearchParameters(ctx)
	if err != nil {
		return row, withRole(err, roleReader, "destination")
	}
	missing, different := lacking(source, there)
	if row.StartTime.IsZero() {
		row.StartTime = t.Clock()
	}
	row = row.Counted(len(source), len(source)-len(missing))
	if len(missing) > 0 || takenOver {
		row = row.Writing()
	}
	var refused []refusedParameter
	if len(missing) > 0 {
		if row, err = t.Ledger.SaveSearchParameters(ctx, row); err != nil { // intent before effect
			return row, err
		}
		if refused, err = t.putParameters(ctx, missing); err == nil {
			refused, err = t.putParameters(ctx, parametersOf(refused))
		}
		if err != nil {
			return row, withRole(err, roleContributor, "destination")
		}
	}
	if row, err = t.saveParameters(ctx, row.CopyEnded(forLedger(refused), t.Clock())); err != nil {
		return row, err
	}
	for _, r := range refused {
		t.Log.Warn("search parameter refused", "event", "SearchParameters", "url", r.URL, "id", r.ID, "reason", r.why.Error())
	}
	for _, p := range different {
		t.Log.Warn("search parameter left as the destination has it, which differs", "event", "SearchParameters", "url", p.URL, "id", p.ID)
	}
	t.Log.Info("search parameters copied", "event", "SearchParameters", "found", row.Found, "existing", row.Existing, "copied", row.Copied, "refused", row.Refused)
	return row, nil
}

// lacking are the parameters of the source of whose URL the destination has none; different are those that mean something else there,
// or whose id another one has there, which would be replaced.
func lacking(source, destination []fhir.SearchParameter) (missing, different []fhir.SearchParameter) {
	byURL := make(map[string]fhir.SearchParameter, len(destination))
	taken := make(map[string]bool, len(destination))
	for _, p := range destination {
		byURL[p.URL] = p
		taken[p.ID] = true
	}
	for _, p := range source {
		there, defined := byURL[p.URL]
		switch {
		case !defined && taken[p.ID]:
			different = append(different, p)
		case !defined:
			missing = append(missing, p)
		case !p.Same(there):
			different = append(different, p)
		}
	}
	return missing, different
}

// refusedParameter is one that the destination did not take.
type refusedParameter struct {
	fhir.SearchParameter
	why error
}

func parametersOf(refused []refusedParameter) []fhir.SearchParameter {
	var all []fhir.SearchParameter
	for _, r := range refused {
		all = append(all, r.SearchParameter)
	}
	return all
}

func forLedger(refused []refusedParameter) []ledger.RefusedParameter {
	var all []ledger.RefusedParameter
	for _, r := range refused {
		var said *fhir.Error
		reason := r.why.Error()
		if errors.As(r.why, &said) && said.Diagnostics != "" {
			reason = fmt.Sprintf("%d: %s", said.Status, said.Diagnostics)
		}
		all = append(all, ledger.RefusedParameter{URL: r.URL, ID: r.ID, Reason: reason})
	}
	return all
}

// errOutOfTime: the rest is for the next tick.
var errOutOfTime = errors.New("the step's time is over")

// putParameters writes parameters batch by batch. An error is what concerns all of them, or what goes away by itself: then the
// next tick finds out what is written by now.
func (t *tick) putParameters(ctx context.Context, all []fhir.SearchParameter) (refused []refusedParameter, _ error) {
	for len(all) > 0 {
		if !t.hasTime(ctx) {
			return nil, errOutOfTime
		}
		batch := all[:min(len(all), fhir.MaxBatch)]
		all = all[len(batch):]
		errs, err := t.Destination.PutSearchParameters(ctx, batch)
		if err != nil {
			return nil, err
		}
		for i, err := range errs {
			if err == nil {
				continue
			}
			if kind := kindOf(err); kind != fhir.Refused && kind != fhir.NotFound || postponing(err) {
				return nil, err
			}
			refused = append(refused, refusedParameter{batch[i], err})
		}
	}
	return refused, nil
}

// postponing says whether a refusal is not meant for good: 409 while a reindex runs, 423 in initial-import mode.
func postponing(err error) bool {
	return statusOf(err) == http.StatusConflict || statusOf(err) == http.StatusLocked
}

// parametersWait notes why copying did not get to its end.
func (t *tick) parametersWait(ctx context.Context, row ledger.SearchParameters, cause error) (ledger.SearchParameters, error) {
	next, err := row, cause
	switch {
	case errors.Is(cause, errOutOfTime):
		return row, nil
	case kindOf(cause) == 0: // storage, or the end of the step
		return row, cause
	case statusOf(cause) == http.StatusLocked:
		next, err = row.Deferred("the destination is in initial-import mode and takes nothing but imports: they are copied once that mode is off", t.Clock().Add(deferredPause)), nil
	case passing(cause), postponing(cause):
		next, err = row.Waiting(cause.Error(), t.nextPoll(cause)), nil
	default:
		next = row.Waiting(cause.Error(), t.nextPoll(cause))
		err = fmt.Errorf("copy search parameters (AZURE_MigrateSearchParameters=false goes on without them): %w", cause)
	}
	if next.State == ledger.ParametersDeferred && row.State != ledger.ParametersDeferred {
		t.Log.Warn("search parameters are deferred", "event", "SearchParameters", "reason", next.Reason)
	}
	saved, saveErr := t.saveParameters(ctx, next)
	return saved, errors.Join(err, saveErr)
}

func (t *tick) saveParameters(ctx context.Context, row ledger.SearchParameters) (ledger.SearchParameters, error) {
	ctx, cancel := afterEffect(ctx)
	defer cancel()
	return t.Ledger.SaveSearchParameters(ctx, row)
}

// RepeatSearchParameters has the custom search parameters compared and copied again, and the destination reindexed if any was missing: an operator's
// wish, after the refused ones were mended or a reindex failed. The next import ticks do it; until they are copied, no import is posted.
func (m *Migration) RepeatSearchParameters(ctx context.Context) error {
	t := &tick{Migration: m}
	var err error
	if t.chunk, err = m.Ledger.Chunk(ctx); errors.Is(err, ledger.ErrNotFound) {
		return fmt.Errorf("repeat search parameters: %w: the migration has not begun, and copies them by itself", ErrNotNow)
	} else if err != nil {
		return fmt.Errorf("repeat search parameters: %w", err)
	}
	row, err := m.Ledger.SearchParameters(ctx)
	if err != nil {
		return fmt.Errorf("repeat search parameters: %w", err)
	}
	if _, err := m.Ledger.SaveSearchParameters(ctx, row.Again(m.Clock())); err != nil {
		return fmt.Errorf("repeat search parameters: %w", err)
	}
	if _, err := t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) { return c.SearchParametersAt(false, false) }); err != nil {
		return fmt.Errorf("repeat search parameters: %w", err)
	}
	m.Log.Info("search parameters are copied again", "event", "SearchParameters")
	return nil
}
