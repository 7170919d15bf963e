package routes

import (
	"context"
	"net/http"

	"github.com/go-chi/chi/v5"
)

// access is the route of the access check. It works without settings, of which it then says what is wrong.
func (o Options) access(r chi.Router) {
	r.Post("/api/CheckAccess", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), answerTime)
		defer cancel()
		writeJSON(w, http.StatusOK, o.Access.Run(ctx))
	})
}
