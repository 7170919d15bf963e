package fhirservice

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// reindexJob makes the search parameters that are known when it starts searchable when it ends. It needs no worker of its own: the
// service's partitions share the work.
type reindexJob struct {
	id        string
	started   time.Time
	took      time.Duration
	resources int
	covers    []*parameter
	stuck     bool
	failure   *Failure
	cancelled bool
	settled   bool
}

// status is one of Queued, Running, Completed, Failed, Canceled.
func (j *reindexJob) status(now time.Time) string {
	switch {
	case j.cancelled:
		return "Canceled"
	case j.stuck || now.Before(j.started.Add(j.took)):
		return "Running"
	case j.failure != nil:
		return "Failed"
	}
	return "Completed"
}

// activeLocked returns the job that runs now, or nil; there is one at most.
func (s *searchParameters) activeLocked(now time.Time) *reindexJob {
	s.settleLocked(now)
	for _, j := range s.jobs {
		if j.status(now) == "Running" {
			return j
		}
	}
	return nil
}

// settleLocked lets the jobs that have ended by now take effect.
func (s *searchParameters) settleLocked(now time.Time) {
	for _, j := range s.jobs {
		if !j.settled && j.status(now) == "Completed" {
			j.settled = true
			for _, p := range j.covers {
				p.enabled = true
			}
		}
	}
}

func (s *searchParameters) findJobLocked(id string) (*reindexJob, error) {
	for _, j := range s.jobs {
		if j.id == id {
			return j, nil
		}
	}
	return nil, refuse(http.StatusNotFound, codeNotFound, "The requested reindex job '%s' was not found.", id)
}

// reindex answers POST /$reindex: 201 with the job that runs already, or with a new one.
func (s *Service) reindex(_ context.Context, q *request) (*reply, error) {
	for _, p := range preferences(q.header) {
		if p != "respond-sync" {
			return nil, badRequest("Value supplied for the \"Prefer\" header is not supported: send respond-sync or nothing.")
		}
	}
	if gjson.GetBytes(q.body, "resourceType").String() != "Parameters" || !gjson.ValidBytes(q.body) {
		return nil, badRequest("The body of a $reindex must be a Parameters resource.")
	}
	s.schedule.mu.Lock()
	id := strconv.FormatInt(s.schedule.nextIDLocked(), 10)
	s.schedule.mu.Unlock()
	s.store.mu.RLock()
	resources := len(s.store.records)
	s.store.mu.RUnlock()

	s.parameters.mu.Lock()
	defer s.parameters.mu.Unlock()
	j := s.parameters.activeLocked(q.now)
	if j == nil {
		j = &reindexJob{id: id, started: q.now, resources: resources, took: workTime(s.o.ReindexTime, resources)}
		faults := s.faults.takeJob(Reindex)
		j.stuck = faults.first(func(f *Fault) bool { return f.StuckJob }) != nil
		if f := faults.first(func(f *Fault) bool { return f.FailJob != nil }); f != nil {
			j.failure = f.FailJob
		}
		for _, p := range s.parameters.byURL {
			j.covers = append(j.covers, p)
		}
		s.parameters.jobs = append(s.parameters.jobs, j)
	}
	out := newReply(http.StatusCreated, fhirJSON, j.describe(q.now))
	out.header.Set("Content-Location", q.base+"/_operations/reindex/"+j.id)
	return out, nil
}

// reindexActive answers GET /$reindex: the job that runs, or 405.
func (s *Service) reindexActive(_ context.Context, q *request) (*reply, error) {
	s.parameters.mu.Lock()
	defer s.parameters.mu.Unlock()
	j := s.parameters.activeLocked(q.now)
	if j == nil {
		return nil, refuse(http.StatusMethodNotAllowed, codeNotSupported, "There is no active reindex job.")
	}
	return newReply(http.StatusOK, fhirJSON, j.describe(q.now)), nil
}

// reindexStatus answers a poll: always 200, in whatever state the job is.
func (s *Service) reindexStatus(_ context.Context, q *request) (*reply, error) {
	s.parameters.mu.Lock()
	defer s.parameters.mu.Unlock()
	s.parameters.settleLocked(q.now)
	j, err := s.parameters.findJobLocked(q.segment(2))
	if err != nil {
		return nil, err
	}
	return newReply(http.StatusOK, fhirJSON, j.describe(q.now)), nil
}

// reindexCancel answers DELETE: 202, or 400 for a job that has ended.
func (s *Service) reindexCancel(_ context.Context, q *request) (*reply, error) {
	s.parameters.mu.Lock()
	defer s.parameters.mu.Unlock()
	s.parameters.settleLocked(q.now)
	j, err := s.parameters.findJobLocked(q.segment(2))
	if err != nil {
		return nil, err
	}
	if status := j.status(q.now); status != "Running" {
		return nil, badRequest("The reindex job '%s' has ended: it is %s.", j.id, status)
	}
	j.cancelled = true
	return newReply(http.StatusAccepted, fhirJSON, j.describe(q.now)), nil
}

func (j *reindexJob) describe(now time.Time) []byte {
	done, status := j.resources, j.status(now)
	if status != "Completed" {
		done = 0
		if j.took > 0 {
			done = min(int(float64(j.resources)*float64(now.Sub(j.started))/float64(j.took)), j.resources)
		}
	}
	progress := 100.0
	if j.resources > 0 {
		progress = 100 * float64(done) / float64(j.resources)
	}
	type value struct {
		Name    string   `json:"name"`
		Text    string   `json:"valueString,omitempty"`
		Decimal *float64 `json:"valueDecimal,omitempty"`
	}
	number := func(n float64) *float64 { return &n }
	all := []value{
		{Name: "id", Text: j.id}, {Name: "status", Text: status},
		{Name: "totalResourcesToReindex", Decimal: number(float64(j.resources))}, {Name: "resourcesSuccessfullyReindexed", Decimal: number(float64(done))},
		{Name: "progress", Decimal: number(progress)},
	}
	if status == "Failed" {
		all = append(all, value{Name: "failureDetails", Text: j.failure.Reason})
	}
	return encode(map[string]any{"resourceType": "Parameters", "id": j.id, "parameter": all})
}

// parameterStatus answers GET /SearchParameter/$status: the state of each custom search parameter, or of the one with a url.
func (s *Service) parameterStatus(_ context.Context, q *request) (*reply, error) {
	s.parameters.mu.Lock()
	defer s.parameters.mu.Unlock()
	s.parameters.settleLocked(q.now)
	type part struct {
		Name   string `json:"name"`
		URL    string `json:"valueUrl,omitempty"`
		Status string `json:"valueString,omitempty"`
	}
	type entry struct {
		Name string `json:"name"`
		Part []part `json:"part"`
	}
	all := []entry{}
	for u, p := range s.parameters.byURL {
		if wanted := q.query.Get("url"); wanted != "" && wanted != u || q.query.Get("code") != "" && !strings.EqualFold(q.query.Get("code"), p.code) {
			continue
		}
		status := "Supported"
		if p.enabled {
			status = "Enabled"
		}
		all = append(all, entry{Name: "searchParameterStatus", Part: []part{{Name: "url", URL: u}, {Name: "status", Status: status}}})
	}
	return newReply(http.StatusOK, fhirJSON, encode(map[string]any{"resourceType": "Parameters", "parameter": all})), nil
}
