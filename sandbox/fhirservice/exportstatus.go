package fhirservice

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// manifestLayout is how times appear in the JSON of finished jobs.
const manifestLayout = "2006-01-02T15:04:05.9999999-07:00"

// jobRetention is how long Cosmos keeps the document of a job after its last change.
const jobRetention = 30 * 24 * time.Hour

// findJobLocked returns the job that a URL names, or a 404. On Cosmos one that ended long ago is unknown, and its manifest lost.
func (s *Service) findJobLocked(q *request, op Operation) (*job, error) {
	if id, err := strconv.ParseInt(q.segment(2), 10, 64); err == nil {
		j := s.schedule.findLocked(op, id)
		expired := j != nil && s.o.Kind == Cosmos && j.state == stopped && q.now.Sub(j.ended) >= jobRetention
		if j != nil && !expired {
			return j, nil
		}
	}
	return nil, refuse(http.StatusNotFound, codeNotFound, "The requested %s job '%s' was not found.", op, q.segment(2))
}

// exportStatus answers a poll: 202 without a body, the manifest, the failure of the job with its own status, or 404 when a DELETE has hidden it.
func (s *Service) exportStatus(_ context.Context, q *request) (*reply, error) {
	s.schedule.mu.Lock()
	defer s.schedule.mu.Unlock()
	j, err := s.findJobLocked(q, Export)
	if err == nil && j.cancelled {
		err = refuse(http.StatusNotFound, codeNotFound, "The requested export job '%s' was not found.", q.segment(2))
	}
	if err != nil {
		return nil, err
	}
	w := j.work.(*exportWork)
	if !w.finished {
		return newReply(http.StatusAccepted, "", nil), nil
	}
	if w.failure != nil {
		return nil, jobFailed(Export, w.failure)
	}
	return newReply(http.StatusOK, plainJSON, encode(manifest{
		TransactionTime: j.created.UTC().Format(manifestLayout), Request: j.request,
		Output: append([]exportFile{}, w.output...), Error: []exportFile{}, Issues: []issue{},
	})), nil
}

// manifest is the body of a finished export. Error and Issues are always empty: the service does not gather them from its sub-jobs.
type manifest struct {
	TransactionTime     string       `json:"transactionTime"` // when the job was created, not _till
	Request             string       `json:"request"`
	RequiresAccessToken bool         `json:"requiresAccessToken"` // always false
	Output              []exportFile `json:"output"`
	Error               []exportFile `json:"error"`
	Issues              []issue      `json:"issues"`
}

// jobFailed is how a status endpoint reports that a job has failed for good, whatever the status.
func jobFailed(op Operation, f *Failure) error {
	return refuse(f.Status, codeProcessing, "%s operation failed for reason: %s", op, f.Reason)
}

// exportCancel answers 202 for any job that is not deleted yet, finished ones included; afterwards the job is unknown.
func (s *Service) exportCancel(_ context.Context, q *request) (*reply, error) {
	s.schedule.mu.Lock()
	defer s.schedule.mu.Unlock()
	j, err := s.findJobLocked(q, Export)
	if err == nil && j.cancelled {
		err = refuse(http.StatusNotFound, codeNotFound, "The requested export job '%s' was not found.", q.segment(2))
	}
	if err != nil {
		return nil, err
	}
	s.schedule.cancelLocked(j, s.schedule.now())
	return newReply(http.StatusAccepted, "", nil), nil
}
