package fhir

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/tidwall/gjson"
)

const reindexJob = "reindex"

// Reindex is how a $reindex is doing.
type Reindex struct {
	Status      string // as the service says it: Queued, Running, Completed, Failed, Canceled
	Done, Total int64  // resources, as far as the service says
	Failure     string // why it failed, as far as the service says
}

// Completed says whether all search parameters that were known at the start can be searched by.
func (r Reindex) Completed() bool { return r.Status == "Completed" }

// Ended says whether the job will not go on.
func (r Reindex) Ended() bool {
	return r.Completed() || r.Status == "Failed" || r.Status == "Canceled" || r.Status == "Cancelled"
}

// StartReindex starts a $reindex and returns its status URL, on the service's own base. While one runs, a service
// gives that one.
func (s *Service) StartReindex(ctx context.Context) (statusURL string, err error) {
	return s.start(ctx, reindexJob, call{op: "start reindex", method: http.MethodPost, path: "/$reindex", body: []byte(`{"resourceType":"Parameters"}`),
		contentType: "application/fhir+json", accept: "application/fhir+json", want: []int{http.StatusCreated, http.StatusOK}})
}

// PollReindex asks how a reindex is doing. The service answers 200 in every state; a job that it does not know is NotFound.
func (s *Service) PollReindex(ctx context.Context, statusURL string) (Reindex, error) {
	op := "poll reindex " + line(JobID(statusURL), 128)
	path, err := statusPath(reindexJob, statusURL)
	if err != nil {
		return Reindex{}, &Error{Op: op, Kind: Refused, Err: err}
	}
	a, err := s.do(ctx, call{op: op, method: http.MethodGet, path: path, accept: "application/fhir+json", want: []int{http.StatusOK}})
	if err != nil {
		return Reindex{}, err
	}
	defer a.close()
	raw, err := a.read(maxBulkPage)
	if errors.Is(err, errPageTooLong) {
		return Reindex{}, a.unreadable("longer than is ever asked for")
	}
	if err != nil {
		return Reindex{}, err
	}
	if !gjson.Valid(raw) || gjson.Get(raw, "resourceType").Str != "Parameters" {
		return Reindex{}, a.unreadable("not a Parameters resource")
	}
	r := Reindex{}
	gjson.Get(raw, "parameter").ForEach(func(_, p gjson.Result) bool {
		value := parameterValue(p)
		switch p.Get("name").Str {
		case "status":
			r.Status = line(value.String(), 40)
		case "totalResourcesToReindex":
			r.Total = value.Int()
		case "resourcesSuccessfullyReindexed":
			r.Done = value.Int()
		case "failureDetails":
			r.Failure = line(value.String(), maxText)
		}
		return true
	})
	if r.Status == "" {
		return Reindex{}, a.unreadable("the Parameters say no status")
	}
	return r, nil
}

// parameterValue is the value of a parameter, whatever its type.
func parameterValue(p gjson.Result) (value gjson.Result) {
	p.ForEach(func(name, v gjson.Result) bool {
		if len(name.Str) > len("value") && name.Str[:len("value")] == "value" {
			value = v
		}
		return true
	})
	return value
}

// String is how far the job is, for logs and pages.
func (r Reindex) String() string {
	text := r.Status
	if r.Total > 0 {
		text += fmt.Sprintf(", %d of %d resources", r.Done, r.Total)
	}
	if r.Failure != "" {
		text += ": " + r.Failure
	}
	return text
}
