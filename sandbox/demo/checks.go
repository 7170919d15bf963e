package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"fhirmigration/sandbox/progress"
)

// The checks, as the demo names them.
const (
	surfaceCheck = "SurfaceCheck"
	deepCheck    = "DeepCheck of everything"
)

// checkPause is how long the demo waits before it asks again how a check is.
const checkPause = 500 * time.Millisecond

// errChecks says that a check of the app found something where the demo's own comparison found nothing.
var errChecks = errors.New("the checks disagree with the comparison: see above")

// checkAnswer is what the demo shows of a check.
type checkAnswer struct {
	URL, State, Verdict, Error string
	Source                     string // what stood for it
	Counts                     map[string]int64
	Progress                   struct {
		Done, Of int64
		Unit     string
	}
}

// checks runs the app's own checks as an operator would, over HTTP, and prints what they say.
func (p *platform) checks(ctx context.Context, o Options) error {
	fmt.Fprintln(o.Out, "\nThe function app's own checks, over HTTP:")
	for _, check := range []struct{ name, path string }{{surfaceCheck, "/api/SurfaceCheck"}, {deepCheck, "/api/DeepCheck?count=all"}} {
		began := o.Clock()
		answer, err := p.check(ctx, check.path)
		if err != nil {
			return fmt.Errorf("%s: %w", check.name, err)
		}
		fmt.Fprintf(o.Out, "  %s (source: %s): %s; %s %s in %s\n", check.name, answer.Source, answer.Verdict, progress.Thousands(answer.Progress.Done), answer.Progress.Unit, seconds(o.Clock().Sub(began)))
		if answer.State != "done" || !p.mode.agrees(answer.Counts) || slices.Contains(p.mode.staged, check.name) == (answer.Source == "live") {
			return errChecks
		}
	}
	return nil
}

// agrees says whether what a check counted, by outcome, fits a comparison that found nothing.
func (m mode) agrees(counts map[string]int64) bool {
	for outcome, n := range counts {
		if n > 0 && outcome != "equal" && !(m.uncounted && outcome == "notVerifiable") {
			return false
		}
	}
	return counts["equal"] > 0
}

// check starts a check and follows it to its end.
func (p *platform) check(ctx context.Context, path string) (checkAnswer, error) {
	answer, err := p.ask(ctx, http.MethodPost, path)
	for err == nil && answer.State == "running" {
		select {
		case <-ctx.Done():
			return answer, ctx.Err()
		case <-time.After(checkPause):
		}
		answer, err = p.ask(ctx, http.MethodGet, answer.URL)
	}
	return answer, err
}

// ask calls the function app with its key.
func (p *platform) ask(ctx context.Context, method, path string) (answer checkAnswer, err error) {
	host := p.app.current()
	request, err := http.NewRequestWithContext(ctx, method, host.URL()+path, nil)
	if err != nil {
		return answer, err
	}
	request.Header.Set("x-functions-key", host.FunctionKey())
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return answer, err
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	if err != nil || reply.StatusCode >= 300 {
		return answer, fmt.Errorf("%s %s: %s: %.200q", method, path, reply.Status, body)
	}
	return answer, nil
}
