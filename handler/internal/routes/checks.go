package routes

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"fhirmigration/handler/internal/event"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/verify"
)

// checkTime is how long a POST works on the run that it starts, before the rest is left to VerifyTimer.
const checkTime = 8 * time.Second

// checks are the routes of SurfaceCheck and DeepCheck: POST starts a run, GET reads one, POST .../cancel ends it.
func (o Options) checks(r chi.Router) {
	for path, kind := range map[string]verify.Kind{"/api/SurfaceCheck": verify.Surface, "/api/DeepCheck": verify.Deep} {
		r.Get(path, o.check(func(ctx context.Context, r *http.Request) (int, verify.Report, error) {
			number, err := runNumber(r.URL.Query())
			if err != nil {
				return 0, verify.Report{}, err
			}
			report, err := o.verify(ctx).Get(ctx, kind, number)
			return http.StatusOK, report, err
		}))
		r.Post(path, o.check(func(ctx context.Context, r *http.Request) (int, verify.Report, error) {
			return o.startCheck(ctx, kind, r.URL.Query())
		}))
		r.Post(path+"/cancel", o.check(func(ctx context.Context, r *http.Request) (int, verify.Report, error) {
			number, err := runNumber(r.URL.Query())
			if err != nil {
				return 0, verify.Report{}, err
			}
			report, err := o.verify(ctx).Cancel(ctx, kind, number)
			return http.StatusOK, report, err
		}))
	}
}

// check answers with a report, and with where to ask for it again.
func (o Options) check(answer func(context.Context, *http.Request) (int, verify.Report, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		o.function(func(ctx context.Context, r *http.Request) (int, any, error) {
			status, report, err := answer(ctx, r)
			if err != nil {
				return 0, nil, asked(err)
			}
			if status == http.StatusAccepted {
				w.Header().Set("Location", report.URL)
			}
			return status, report, nil
		})(w, r)
	}
}

// asked gives an error of verify the status that it means.
func asked(err error) error {
	switch {
	case errors.Is(err, verify.ErrInvalid):
		return badRequest(err.Error())
	case errors.Is(err, verify.ErrNotFound):
		return answerError{http.StatusNotFound, err}
	case errors.Is(err, verify.ErrBusy):
		return answerError{http.StatusConflict, err}
	}
	return err
}

// answerError is an error with the status of its answer.
type answerError struct {
	status int
	error
}

func (e answerError) Unwrap() error { return e.error }

// startCheck starts a run and works on it for some seconds: 200 with the result when that is enough, else 202.
func (o Options) startCheck(ctx context.Context, kind verify.Kind, q url.Values) (int, verify.Report, error) {
	request, err := checkRequest(kind, q)
	if err != nil {
		return 0, verify.Report{}, err
	}
	report, err := o.verify(ctx).Start(ctx, request)
	if err != nil {
		return 0, report, err
	}
	stepped, err := o.verify(ctx).Step(ctx, report.Run, checkTime)
	if err != nil { // the run is there, and the timer goes on with it
		o.log(ctx).Error("first step failed", "event", event.Step, "function", kind, "run", report.Run, "error", err.Error())
		return http.StatusAccepted, report, nil
	}
	if stepped.State == ledger.RunRunning {
		return http.StatusAccepted, stepped, nil
	}
	return http.StatusOK, stepped, nil
}

// checkParameters are what may be asked of each check. A misspelt one is refused: it would silently check something else.
var checkParameters = map[verify.Kind][]string{
	verify.Surface: {"types", "since", "till", "windows", "code"},
	verify.Deep:    {"types", "since", "till", "source", "count", "ignore", "seed", "code"},
}

// checkRequest reads the query of a POST. Lists are separated by commas.
func checkRequest(kind verify.Kind, q url.Values) (r verify.Request, err error) {
	r = verify.Request{Kind: kind, Types: list(q, "types"), Ignore: list(q, "ignore"), Source: verify.SourceOf(strings.ToLower(q.Get("source")))}
	for name := range q {
		if !slices.Contains(checkParameters[kind], name) {
			return r, badRequest(fmt.Sprintf("%.40q is no parameter: there are %s", name, strings.Join(checkParameters[kind], ", ")))
		}
	}
	for name, into := range map[string]*time.Time{"since": &r.Since, "till": &r.Till} {
		if *into, err = ledger.ParseInstant(q.Get(name)); err != nil {
			return r, badRequest(fmt.Sprintf("%s=%.40q: give an instant with its zone such as 2024-01-31T00:00:00Z, with + written as %%2B", name, q.Get(name)))
		}
	}
	if text := q.Get("seed"); text != "" {
		if r.Seed, err = strconv.ParseInt(text, 10, 64); err != nil {
			return r, badRequest(fmt.Sprintf("seed=%.40q: give the number that an earlier run reported", text))
		}
	}
	if text := q.Get("windows"); text != "" {
		if r.Windows, err = strconv.ParseBool(text); err != nil {
			return r, badRequest(fmt.Sprintf("windows=%.40q: give true or false", text))
		}
	}
	switch text := q.Get("count"); {
	case text == "all":
		r.All = true
	case text != "":
		if r.Count, err = strconv.ParseInt(text, 10, 64); err != nil || r.Count < 1 {
			return r, badRequest(fmt.Sprintf("count=%.40q: give a number from 1 on, or all", text))
		}
	}
	return r, nil
}

func list(q url.Values, name string) (all []string) {
	for _, text := range strings.Split(q.Get(name), ",") {
		if text = strings.TrimSpace(text); text != "" {
			all = append(all, text)
		}
	}
	return all
}

// runNumber is the run that is asked for, 0 for the last one.
func runNumber(q url.Values) (int, error) {
	text := q.Get("run")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, badRequest(fmt.Sprintf("run=%.40q: give the number of a run", text))
	}
	return n, nil
}
