package routes

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/migration"
)

// windowView is a window as an operator's action leaves it behind.
type windowView struct {
	Window   int       `json:"window"`
	Since    time.Time `json:"since"`
	Till     time.Time `json:"till"`
	Phase    string    `json:"phase"`
	Held     string    `json:"held,omitempty"` // why
	Attempts int       `json:"attempts"`
	Next     string    `json:"next"`
}

// operator are the routes of an operator's actions. Each takes {"by", "reason"} and is noted in the ledger.
func (o Options) operator(r chi.Router) {
	r.Post("/api/Pause", o.action(func(ctx context.Context, _ *http.Request, c migration.Caller) (any, error) {
		wish, err := o.migration(ctx).Pause(ctx, c)
		return map[string]any{"paused": true, "since": wish.At, "next": "what runs is followed; POST /api/Resume ends the pause"}, err
	}))
	r.Post("/api/Resume", o.action(func(ctx context.Context, _ *http.Request, c migration.Caller) (any, error) {
		return map[string]any{"paused": false}, o.migration(ctx).Resume(ctx, c)
	}))
	r.Post("/api/StartNow", o.action(func(ctx context.Context, _ *http.Request, c migration.Caller) (any, error) {
		return map[string]string{"next": "the next tick of ExportTimer plans up to the live end, less the safety lag"}, o.migration(ctx).StartNow(ctx, c)
	}))
	r.Post("/api/Drain", o.action(func(ctx context.Context, _ *http.Request, c migration.Caller) (any, error) {
		wish, err := o.migration(ctx).Drain(ctx, c)
		return map[string]any{"draining": true, "since": wish.At,
			"next": "what is open is ended and nothing new starts; then the tables are given back to the original, which the log and the status say; POST /api/Resume ends it"}, err
	}))
	r.Post("/api/ClearMaxExportRetries", o.action(func(ctx context.Context, _ *http.Request, c migration.Caller) (any, error) {
		cleared, err := o.migration(ctx).ClearRetries(ctx, c)
		return map[string]any{"maxExportRetries": 0, "was": cleared, "next": "what is due starts with the next tick"}, err
	}))
	r.Post("/api/AcceptSettings", o.action(func(ctx context.Context, _ *http.Request, c migration.Caller) (any, error) {
		changed, err := o.migration(ctx).AcceptSettings(ctx, c)
		return map[string]string{"accepted": changed, "next": "planning goes on with the next tick; what was migrated before stays as it is"}, err
	}))
	r.Post("/api/Windows/{number}/release", o.windowAction("it goes on from where it stood with the next tick",
		func(ctx context.Context, n int, c migration.Caller) (ledger.Window, error) {
			return o.migration(ctx).ReleaseWindow(ctx, n, c)
		}))
	r.Post("/api/Windows/{number}/retry", o.windowAction("the next tick makes a new attempt",
		func(ctx context.Context, n int, c migration.Caller) (ledger.Window, error) {
			return o.migration(ctx).RetryWindow(ctx, n, c)
		}))
	r.Post("/api/Windows/{number}/acceptFindings", o.windowAction("its files are written without the lines that were found, then imported; those lines become exceptions",
		func(ctx context.Context, n int, c migration.Caller) (ledger.Window, error) {
			return o.migration(ctx).AcceptFindings(ctx, n, c)
		}))
	r.Post("/api/Windows/{number}/cancel", o.windowAction("the next attempt is made when the cancelled job has ended",
		func(ctx context.Context, n int, c migration.Caller) (ledger.Window, error) {
			return o.migration(ctx).CancelWindow(ctx, n, c)
		}))
}

// action answers an operator's action: who asks and why is in the body.
func (o Options) action(do func(context.Context, *http.Request, migration.Caller) (any, error)) http.HandlerFunc {
	return o.function(func(ctx context.Context, r *http.Request) (int, any, error) {
		by, reason, err := acceptance(r)
		if err != nil {
			return 0, nil, err
		}
		body, err := do(ctx, r, migration.Caller{By: by, Reason: reason})
		return http.StatusOK, body, err
	})
}

// windowAction answers an operator's action on the window that the path names. next says what happens then.
func (o Options) windowAction(next string, do func(context.Context, int, migration.Caller) (ledger.Window, error)) http.HandlerFunc {
	return o.action(func(ctx context.Context, r *http.Request, c migration.Caller) (any, error) {
		text := chi.URLParam(r, "number")
		number, err := strconv.Atoi(text)
		if err != nil || number < 0 {
			return nil, badRequest(fmt.Sprintf("%.40q is no window: give its number", text))
		}
		w, err := do(ctx, number, c)
		return windowView{Window: w.Number, Since: w.Since, Till: w.Till, Phase: string(w.Phase()), Held: w.HeldReason, Attempts: w.Attempts, Next: next}, err
	})
}
