package fhirservice

import (
	"context"
	"net/http"
)

// importResult is the body of a status answer, partial with 202 and final with 200.
type importResult struct {
	TransactionTime string         `json:"transactionTime"` // when the job was created
	Request         string         `json:"request"`
	Output          []importOutput `json:"output"`
	Error           []importError  `json:"error"`
}

type importOutput struct {
	Type     *string `json:"type"` // as the request gave it
	Count    int     `json:"count"`
	InputURL string  `json:"inputUrl"`
}

type importError struct {
	Type     *string `json:"type"`
	Count    int     `json:"count"`
	InputURL string  `json:"inputUrl"`
	URL      string  `json:"url"` // the error log
}

// importStatus answers a poll. 202 has no body until the orchestrator is done, then what the units have done so far.
func (s *Service) importStatus(_ context.Context, q *request) (*reply, error) {
	s.schedule.mu.Lock()
	defer s.schedule.mu.Unlock()
	j, err := s.findJobLocked(q, Import)
	if err != nil {
		return nil, err
	}
	w := j.work.(*importWork)
	switch {
	case w.finished && w.failure != nil:
		f := *w.failure
		if f.Status == http.StatusInternalServerError {
			f.Reason = "InternalServerError" // the service hides it
		}
		return nil, jobFailed(Import, &f)
	case w.finished:
		return newReply(http.StatusOK, plainJSON, encode(w.result(q.query.Get("_details") == "true"))), nil
	case j.cancelled && (w.orchestrated || j.state == stopped):
		return nil, refuse(http.StatusBadRequest, codeProcessing, "User requested cancellation.")
	case w.orchestrated:
		return newReply(http.StatusAccepted, plainJSON, encode(w.result(q.query.Get("_details") == "true"))), nil
	}
	return newReply(http.StatusAccepted, "", nil), nil
}

// result sums the accepted lines for each input, or not at all with details. The refused ones are never summed: one entry for each unit.
func (w *importWork) result(details bool) importResult {
	out := importResult{TransactionTime: w.job.created.UTC().Format(manifestLayout), Request: w.job.request, Output: []importOutput{}, Error: []importError{}}
	for i, input := range w.definition.Inputs {
		var typ *string
		if input.Type != "" {
			typ = &input.Type
		}
		sum, any := 0, false
		for _, u := range w.units {
			if u.input != i || !u.done {
				continue
			}
			sum, any = sum+u.counts.accepted, true
			if details {
				out.Output = append(out.Output, importOutput{typ, u.counts.accepted, input.URL})
			}
			if u.counts.refused > 0 {
				out.Error = append(out.Error, importError{typ, u.counts.refused, input.URL, u.logURL})
			}
		}
		if any && !details {
			out.Output = append(out.Output, importOutput{typ, sum, input.URL})
		}
	}
	return out
}

// importCancel answers 202 when something can still be cancelled or was cancelled before, and 409 when the import has ended.
func (s *Service) importCancel(_ context.Context, q *request) (*reply, error) {
	s.schedule.mu.Lock()
	defer s.schedule.mu.Unlock()
	j, err := s.findJobLocked(q, Import)
	if err != nil {
		return nil, err
	}
	if w := j.work.(*importWork); w.finished {
		return nil, refuse(http.StatusConflict, codeProcessing, "The import job '%s' has ended and cannot be cancelled.", q.segment(2))
	}
	s.schedule.cancelLocked(j, s.schedule.now())
	return newReply(http.StatusAccepted, "", nil), nil
}
