// Package routes is what the Functions host sees of the handler: a route for each function, and the envelope in which the
// host calls a timer and reads its answer.
//
// The host is peculiar, and these rules keep it from harm: GET / answers at once and does nothing, as it is the readiness
// probe. A timer is answered with a JSON object that is never empty, and with its content type set: an empty body would
// hang the invocation until the host kills the process. The body of an answer that is not 2xx is thrown away, so the cause
// is logged before.
package routes

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/go-chi/chi/v5"

	"fhirmigration/handler/internal/access"
	"fhirmigration/handler/internal/cutover"
	"fhirmigration/handler/internal/event"
	"fhirmigration/handler/internal/migration"
	"fhirmigration/handler/internal/status"
	"fhirmigration/handler/internal/verify"
)

// Options are what the routes need. Migration, Verify and Status are nil when SettingsError is not.
type Options struct {
	Migration     *migration.Migration
	Verify        *verify.Verify
	Status        *status.Reader
	Cutover       *cutover.Cutover
	Access        access.Check // there in any case: it says what is wrong with the settings
	SettingsError error        // the app settings cannot be worked with: every function answers 500 and logs it
	Log           *slog.Logger
}

// New returns the handler of every route.
func New(o Options) http.Handler {
	r := chi.NewRouter()
	r.Use(o.identified, o.recovered)
	r.Get("/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	r.Post("/ExportTimer", o.timer("ExportTimer", func(ctx context.Context) (any, error) { return o.migration(ctx).ExportStep(ctx) }))
	r.Post("/ImportTimer", o.timer("ImportTimer", func(ctx context.Context) (any, error) { return o.migration(ctx).ImportStep(ctx) }))
	r.Post("/VerifyTimer", o.timer("VerifyTimer", o.verifyTick))
	o.exceptions(r)
	o.searchParameters(r)
	o.checks(r)
	o.operator(r)
	o.access(r)
	o.plan(r)
	o.cutover(r)
	o.status(r)
	return r
}

// invocation is the answer to a timer. Logs go to the invocation's own log.
type invocation struct {
	Outputs map[string]any
	Logs    []string
}

// timer answers a timer function: one step, of the migration or of a check. A step that failed is answered with 500, so that the
// invocation shows as failed; what it did is saved all the same, and the next tick goes on from there.
func (o Options) timer(name string, step func(context.Context) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, io.LimitReader(r.Body, 1<<20)) // nothing in the envelope is needed
		if o.SettingsError != nil {
			o.log(r.Context()).Error("nothing is done: "+o.SettingsError.Error(), "event", event.Settings, "function", name)
			http.Error(w, "app settings", http.StatusInternalServerError)
			return
		}
		summary, err := step(r.Context())
		if err != nil {
			o.log(r.Context()).Error("step failed", "event", event.Step, "function", name, "error", err.Error())
			http.Error(w, "step failed", http.StatusInternalServerError)
			return
		}
		line, err := json.Marshal(summary)
		if err != nil {
			o.log(r.Context()).Error("step summary", "event", event.Step, "function", name, "error", err.Error())
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(invocation{Outputs: map[string]any{}, Logs: []string{string(line)}})
	}
}

// recovered keeps a bug in one invocation from ending those beside it, and logs where it was.
func (o Options) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if cause := recover(); cause != nil {
				o.log(r.Context()).Error("panic", "event", event.Step, "path", r.URL.Path, "cause", cause, "stack", string(debug.Stack()))
				http.Error(w, "internal error", http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(w, r)
	})
}
