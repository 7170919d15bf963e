package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"fhirmigration/sandbox/compare"
	"fhirmigration/sandbox/fhirservice"
)

// operate does what an operator would: a window that is held is released, and findings are accepted. A host that is down is asked
// again a second later.
func (s *soak) operate(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
		p, err := s.ledger.Read(ctx)
		if err != nil {
			continue // the migration has not begun, or the round is over
		}
		for _, w := range p.Open {
			if w.Held == "" {
				continue
			}
			action := "release"
			if strings.Contains(w.Held, "acceptFindings") {
				action = "acceptFindings"
			}
			status, _, err := s.call(ctx, http.MethodPost, fmt.Sprintf("/api/Windows/%d/%s", w.Number, action), `{"by":"soak","reason":"the faults are our own"}`)
			if err == nil && status == http.StatusOK {
				s.did("× "+action, 1)
			}
		}
	}
}

// call calls the function app with its key.
func (s *soak) call(ctx context.Context, method, path, body string) (int, []byte, error) {
	host := s.app.current()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, host.URL()+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("x-functions-key", host.FunctionKey())
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	return reply.StatusCode, text, err
}

// listedException is what is looked at of an exception.
type listedException struct {
	ID, State, ResourceType, ResourceID, Reason string
	Line                                        *int64
	Lines                                       int64
}

// exceptions lists all of them.
func (s *soak) exceptions(ctx context.Context) (all []listedException, _ error) {
	from := ""
	for {
		status, body, err := s.call(ctx, http.MethodGet, "/api/Exceptions?max=1000&from="+from, "")
		if err != nil {
			return nil, err
		}
		var page struct {
			Exceptions []listedException
			Next       string
		}
		if err := json.Unmarshal(body, &page); err != nil || status != http.StatusOK {
			return nil, fmt.Errorf("list exceptions: %d %.200q", status, body)
		}
		all = append(all, page.Exceptions...)
		if from = page.Next; from == "" {
			return all, nil
		}
	}
}

// settle has refused lines posted again, now that nothing fails any more, and judges what is at the destination then.
func (s *soak) settle(ctx context.Context, versions []fhirservice.Version) error {
	if err := s.app.revive(ctx); err != nil {
		return err
	}
	if err := s.retryRefused(ctx); err != nil {
		return err
	}
	all, err := s.exceptions(ctx)
	if err != nil {
		return err
	}
	open := 0
	for _, e := range all {
		if e.State == "open" {
			open++
		}
	}
	s.did("lines refused or left out", len(all))
	s.did("exceptions open in the end", open)
	if source := compare.Versions(versions, s.source.Versions()); !source.Same() {
		return fmt.Errorf("the source changed during the migration: %s", source.Findings[0])
	}
	report := compare.Versions(s.source.Versions(), s.destination.Versions())
	unlisted := unlisted(report, all)
	for i, f := range unlisted {
		if i < 20 {
			fmt.Fprintln(s.out, "  neither at the destination nor listed:", f)
		}
	}
	if len(unlisted) > 0 {
		return fmt.Errorf("%d versions are neither at the destination nor listed as exceptions", len(unlisted))
	}
	return nil
}

// unlisted are the findings that no open exception stands for.
func unlisted(report compare.Report, all []listedException) (findings []compare.Finding) {
	listed := map[string]bool{}
	for _, e := range all {
		if e.State == "open" && e.ResourceID != "" {
			listed[e.ResourceType+"/"+e.ResourceID] = true
		}
	}
	for _, f := range report.Findings {
		if f.Outcome == compare.Extra || !listed[f.Type+"/"+f.ID] {
			findings = append(findings, f)
		}
	}
	return findings
}

const (
	// retriesAtATime is how many refused lines are posted again side by side; the app takes 20.
	retriesAtATime = 15
	// settleLimit is how long it may take until a line that was posted again has ended.
	settleLimit = 2 * time.Minute
)

// retryRefused posts each open exception again, once, and waits until all have ended.
func (s *soak) retryRefused(ctx context.Context) error {
	tried := map[string]bool{}
	for deadline := time.Now().Add(settleLimit); ; {
		all, err := s.exceptions(ctx)
		if err != nil {
			return err
		}
		posted, left := 0, 0
		for _, e := range all {
			if e.State == "posted" {
				posted++
			}
		}
		for _, e := range all {
			if e.State != "open" || e.Line == nil || tried[e.ID] {
				continue
			}
			if left++; posted >= retriesAtATime {
				continue
			}
			status, body, err := s.call(ctx, http.MethodPost, "/api/Exceptions/"+e.ID+"/retry", "")
			if err != nil || status >= http.StatusInternalServerError {
				return fmt.Errorf("retry exception %s: %d %.200q, %w", e.ID, status, body, err)
			}
			if status == http.StatusAccepted {
				tried[e.ID] = true
				deadline = time.Now().Add(settleLimit)
				posted++
				s.did("× retry of a line", 1)
			}
		}
		if posted == 0 && left == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d refused lines were posted again and do not end, %d wait", posted, left)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookEvery):
		}
	}
}
