package migration

import (
	"context"
	"errors"
	"net/http"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
)

// maxReindexes are started one after the other before an operator is asked.
const maxReindexes = 3

// reindex starts the reindex of the destination, or asks how it is doing. A tick that dies in between starts it again, and gets the
// job that runs.
func (t *tick) reindex(ctx context.Context, row ledger.SearchParameters) (ledger.SearchParameters, error) {
	if row.ReindexURL == "" {
		statusURL, err := t.Destination.StartReindex(ctx)
		if err != nil {
			return t.reindexMissed(ctx, row, err)
		}
		t.Log.Info("reindex started", "event", "SearchParameters", "reindexId", fhir.JobID(statusURL))
		return t.saveParameters(ctx, row.ReindexStarted(statusURL, t.nextPoll(nil)))
	}
	job, err := t.Destination.PollReindex(ctx, row.ReindexURL)
	switch {
	case err != nil:
		return t.reindexMissed(ctx, row, err)
	case job.Completed():
		t.Log.Info("reindex completed: the search parameters can be used", "event", "SearchParameters", "reindexId", fhir.JobID(row.ReindexURL), "status", job.String())
		return t.saveParameters(ctx, row.ReindexEnded(job.String(), t.Clock()))
	case job.Ended():
		return t.reindexFailed(ctx, row, job.String())
	}
	return t.saveParameters(ctx, row.ReindexRuns(job.String(), t.nextPoll(nil)))
}

// reindexMissed is what becomes of a call that did not start or find a reindex.
func (t *tick) reindexMissed(ctx context.Context, row ledger.SearchParameters, cause error) (ledger.SearchParameters, error) {
	cause = withRole(cause, roleContributor, "destination")
	switch {
	case kindOf(cause) == 0:
		return row, cause
	case statusOf(cause) == http.StatusLocked:
		return t.saveParameters(ctx, row.Waiting(cause.Error(), t.Clock().Add(deferredPause)))
	case passing(cause), postponing(cause):
		return t.saveParameters(ctx, row.Waiting(cause.Error(), t.nextPoll(cause)))
	case halting(cause):
		saved, err := t.saveParameters(ctx, row.Waiting(cause.Error(), t.nextPoll(cause)))
		return saved, errors.Join(cause, err)
	}
	return t.reindexFailed(ctx, row, cause.Error())
}

func (t *tick) reindexFailed(ctx context.Context, row ledger.SearchParameters, reason string) (ledger.SearchParameters, error) {
	next := row.ReindexFailed(reason, t.Clock(), t.nextAttempt(row.Attempts), maxReindexes)
	if next.State == ledger.ParametersFailed {
		t.Log.Error("the destination could not be reindexed: search parameters that were copied cannot be used; have it done again", "event", "SearchParameters", "reason", reason)
	} else {
		t.Log.Warn("reindex failed; another is started", "event", "SearchParameters", "reason", reason)
	}
	return t.saveParameters(ctx, next)
}
