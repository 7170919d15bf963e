package routes

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

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
	r.Get("/api/Dashboard", o.dashboard)
}

// dashboard answers with the page, also when there is no status to show.
func (o Options) dashboard(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), answerTime)
	defer cancel()
	var page bytes.Buffer
	code, err := o.page(ctx, &page)
	if err != nil {
		o.Log.Error("function failed", "function", r.URL.Path, "error", err.Error())
		http.Error(w, "the page cannot be made: see the log", http.StatusInternalServerError)
		return
	}
	for name, value := range map[string]string{
		"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": status.SecurityPolicy(), "Cache-Control": "no-store",
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cross-Origin-Opener-Policy": "same-origin",
	} {
		w.Header().Set(name, value)
	}
	w.WriteHeader(code)
	page.WriteTo(w)
}

// page writes the page, and says with which status it is to be answered.
func (o Options) page(ctx context.Context, w io.Writer) (code int, _ error) {
	if o.SettingsError != nil {
		o.Log.Error("nothing is done: "+o.SettingsError.Error(), "function", "Dashboard")
		return http.StatusInternalServerError, status.WriteProblem(w, "The app settings cannot be worked with: nothing is done", strings.Split(o.SettingsError.Error(), "\n"))
	}
	s, err := o.Status.Read(ctx)
	if err != nil {
		o.Log.Error("function failed", "function", "Dashboard", "error", err.Error())
		return http.StatusInternalServerError, status.WriteProblem(w, "The ledger cannot be read", []string{err.Error()})
	}
	return http.StatusOK, status.WritePage(w, s)
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
	checked, checkErr := o.verify(ctx).Tick(ctx)
	return verifySummary{checked, summed}, errors.Join(err, checkErr)
}
