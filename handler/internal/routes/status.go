package routes

import (
	"context"
	"errors"
	"net/http"

	"github.com/go-chi/chi/v5"

	"fhirmigration/handler/internal/status"
	"fhirmigration/handler/internal/verify"
)

// status are the routes of how the migration stands: as JSON and as a page.
func (o Options) status(r chi.Router) {
	r.Get("/api/Status", o.function(func(ctx context.Context, _ *http.Request) (int, any, error) {
		s, err := o.Status.Read(ctx)
		return http.StatusOK, s, err
	}))
}

// verifySummary says what a tick of VerifyTimer did.
type verifySummary struct {
	verify.Summary
	Status status.TickSummary `json:"status"`
}

// verifyTick is a tick of VerifyTimer: what the status page needs is summed up, then the checks advance. The first takes a quarter of a
// step's budget at most, so that both together stay far below the function's time-out.
func (o Options) verifyTick(ctx context.Context) (any, error) {
	summed, err := o.Status.Tick(ctx, o.Status.Settings.StepBudget()/4)
	checked, checkErr := o.Verify.Tick(ctx)
	return verifySummary{checked, summed}, errors.Join(err, checkErr)
}
