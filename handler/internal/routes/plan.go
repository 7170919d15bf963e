package routes

import (
	"context"
	"net/http"

	"github.com/go-chi/chi/v5"
)

// plan is the route of a dry run: which windows would be made. It starts and saves nothing.
func (o Options) plan(r chi.Router) {
	r.Get("/api/Plan", o.function(func(ctx context.Context, _ *http.Request) (int, any, error) {
		d, err := o.migration(ctx).DryRun(ctx)
		return http.StatusOK, d, err
	}))
}
