package routes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"fhirmigration/handler/internal/event"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/migration"
)

// answerTime bounds an HTTP function: its caller waits, and what takes longer is followed by a timer.
const answerTime = 30 * time.Second

// maxListed bounds one page of exceptions.
const maxListed = 1000

// exceptionView is an exception as the API shows it.
type exceptionView struct {
	ID           string    `json:"id"`
	Window       int       `json:"window"`
	Kind         string    `json:"kind"`
	State        string    `json:"state"`
	ResourceType string    `json:"resourceType,omitempty"`
	ResourceID   string    `json:"resourceId,omitempty"`
	File         string    `json:"file,omitempty"`
	Line         *int64    `json:"line,omitempty"`   // from 0, of the lines that begin at offset or later
	Offset       *int64    `json:"offset,omitempty"` // bytes
	Lines        int64     `json:"lines"`
	Reason       string    `json:"reason"`
	ErrorLog     string    `json:"errorLog,omitempty"`
	Posts        int       `json:"postedAgain,omitempty"`
	AcceptedBy   string    `json:"acceptedBy,omitempty"`
	Note         string    `json:"acceptedBecause,omitempty"`
	Created      time.Time `json:"created"`
	Changed      time.Time `json:"changed"`
}

func viewOf(e ledger.Exception) exceptionView {
	v := exceptionView{ID: e.ID, Window: e.Window, Kind: string(e.Kind), State: string(e.State), ResourceType: e.ResourceType, ResourceID: e.ResourceID,
		File: e.File, Lines: e.Lines, Reason: e.Reason, ErrorLog: e.ErrorLog, Posts: e.Posts, AcceptedBy: e.By, Note: e.Note, Created: e.Created, Changed: e.Changed}
	if e.Line >= 0 {
		v.Line, v.Offset = &e.Line, &e.Offset
	}
	return v
}

// exceptions are the routes of refused lines: listed by GET, which changes nothing; posted again or accepted by POST.
func (o Options) exceptions(r chi.Router) {
	r.Get("/api/Exceptions", o.function(func(ctx context.Context, r *http.Request) (int, any, error) { return o.listExceptions(ctx, r) }))
	r.Post("/api/Exceptions/{id}/retry", o.function(func(ctx context.Context, r *http.Request) (int, any, error) {
		e, err := o.migration(ctx).RetryException(ctx, chi.URLParam(r, "id"))
		return http.StatusAccepted, viewOf(e), err
	}))
	r.Post("/api/Exceptions/{id}/accept", o.function(func(ctx context.Context, r *http.Request) (int, any, error) {
		by, note, err := acceptance(r)
		if err != nil {
			return 0, nil, err
		}
		e, err := o.migration(ctx).AcceptException(ctx, chi.URLParam(r, "id"), by, note)
		return http.StatusOK, viewOf(e), err
	}))
}

// listExceptions answers GET /api/Exceptions?window=&state=&from=&max=. next is the from of the next page.
func (o Options) listExceptions(ctx context.Context, r *http.Request) (int, any, error) {
	q := r.URL.Query()
	from, limit, window := q.Get("from"), 100, -1
	for _, p := range []struct {
		name  string
		into  *int
		least int
	}{{"max", &limit, 1}, {"window", &window, 0}} { // the original's windows count from 0
		if text := q.Get(p.name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < p.least || p.name == "max" && n > maxListed {
				return 0, nil, badRequest(fmt.Sprintf("%s=%.40q: give a number from %d on (max: at most %d)", p.name, text, p.least, maxListed))
			}
			*p.into = n
		}
	}
	if window >= 0 && from == "" {
		from = ledger.ExceptionKey(window, "")
	}
	list := struct {
		Exceptions []exceptionView `json:"exceptions"`
		Next       string          `json:"next,omitempty"`
	}{Exceptions: []exceptionView{}}
	for ctx.Err() == nil {
		page, err := o.Migration.Ledger.Exceptions(ctx, from, maxListed)
		if err != nil {
			return 0, nil, err
		}
		for _, e := range page {
			if window >= 0 && e.Window > window {
				return http.StatusOK, list, nil
			}
			if state := q.Get("state"); state != "" && string(e.State) != state {
				continue
			}
			if len(list.Exceptions) == limit {
				list.Next = e.ID
				return http.StatusOK, list, nil
			}
			list.Exceptions = append(list.Exceptions, viewOf(e))
		}
		if len(page) < maxListed {
			return http.StatusOK, list, nil
		}
		from = page[len(page)-1].ID + "\x20" // right behind the last one
	}
	return 0, nil, ctx.Err()
}

// acceptance reads the body of what an operator answers for.
func acceptance(r *http.Request) (by, note string, _ error) {
	var body struct{ By, Reason string }
	if err := json.NewDecoder(io.LimitReader(r.Body, 16<<10)).Decode(&body); err != nil {
		return "", "", badRequest(`the body is no JSON such as {"by": "who you are", "reason": "why"}: ` + err.Error())
	}
	by, note = strings.TrimSpace(body.By), strings.TrimSpace(body.Reason)
	if by == "" || note == "" || len(by) > 200 || len(note) > 4000 {
		return "", "", badRequest(`give both "by" (up to 200 characters) and "reason" (up to 4,000)`)
	}
	return by, note, nil
}

// badRequest is an error that is the caller's, with what to do.
type badRequest string

func (e badRequest) Error() string { return string(e) }

// function answers an HTTP function with JSON. The host has checked the key.
func (o Options) function(answer func(context.Context, *http.Request) (int, any, error)) http.HandlerFunc {
	return o.within(answerTime, answer)
}

// within is function with another bound than answerTime.
func (o Options) within(limit time.Duration, answer func(context.Context, *http.Request) (int, any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if o.SettingsError != nil {
			o.log(r.Context()).Error("nothing is done: "+o.SettingsError.Error(), "event", event.Settings, "function", r.URL.Path)
			writeJSON(w, http.StatusInternalServerError, map[string]string{"error": o.SettingsError.Error()})
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), limit)
		defer cancel()
		status, body, err := answer(ctx, r)
		if err == nil {
			writeJSON(w, status, body)
			return
		}
		o.failed(w, r, err)
	}
}

// failed answers with an error, and logs one that is not the caller's.
func (o Options) failed(w http.ResponseWriter, r *http.Request, err error) {
	status := statusOf(err)
	if status >= http.StatusInternalServerError {
		o.log(r.Context()).Error("function failed", "event", event.Step, "function", r.URL.Path, "error", err.Error())
	}
	writeJSON(w, status, map[string]string{"error": err.Error()})
}

func statusOf(err error) int {
	var bad badRequest
	var answer answerError
	switch {
	case errors.As(err, &answer):
		return answer.status
	case errors.As(err, &bad):
		return http.StatusBadRequest
	case errors.Is(err, migration.ErrNoException), errors.Is(err, migration.ErrNoWindow):
		return http.StatusNotFound
	case errors.Is(err, migration.ErrNotNow):
		return http.StatusConflict
	case errors.Is(err, migration.ErrService):
		return http.StatusBadGateway
	}
	return http.StatusInternalServerError
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}
