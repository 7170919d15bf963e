package fhir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// ExportRequest says what a $export takes: everything last updated in [Since, Till), to the millisecond. A service of the Cosmos kind takes what is
// stamped exactly Till as well.
type ExportRequest struct {
	Type        string    // "": all types
	Since, Till time.Time // Till is needed: without it a service takes its own now, without a lag
	History     bool      // every version, not the last one before Till alone
	Deletes     bool      // soft deletes
	MaxCount    int       // resources in one query of the service, at most 10,000; 0: not sent
	Anonymize   *Anonymization
}

// Anonymization is how an export is de-identified: with a configuration file in the container "anonymization" of the account that the service
// exports to. The job fails if the file does not have that ETag any more. What is exported is written into Container.
type Anonymization struct {
	Container, File, ETag string // ETag without quotes; all are needed
}

// query is the request's parameters; their names are case-sensitive and unknown ones are refused.
func (r ExportRequest) query() string {
	query := "_isParallel=true" // also for one type: on SQL it is the snapshot view, whose end is exclusive
	if r.Type != "" {
		query += "&_type=" + url.QueryEscape(r.Type)
	}
	switch {
	case r.History && r.Deletes:
		query += "&includeAssociatedData=" + url.QueryEscape("_history,_deleted")
	case r.History:
		query += "&includeAssociatedData=_history"
	case r.Deletes:
		query += "&includeAssociatedData=_deleted"
	}
	query += bound("_since", "", r.Since) + bound("_till", "", r.Till)
	if r.MaxCount != 0 {
		query += fmt.Sprintf("&_maxCount=%d", r.MaxCount)
	}
	if a := r.Anonymize; a != nil {
		query += "&_container=" + url.QueryEscape(a.Container) + "&_anonymizationConfig=" + url.QueryEscape(a.File) + "&_anonymizationConfigEtag=" + url.QueryEscape(a.ETag)
	}
	return query
}

// StartExport starts an export and returns its status URL, on the service's own base. The request is sent once: if its
// reply is lost (Transient), a job may be running that nobody knows of.
func (s *Service) StartExport(ctx context.Context, r ExportRequest) (statusURL string, err error) {
	op := "start export "
	if r.Type != "" {
		op += "of " + line(r.Type, 64) + " "
	}
	op += Period{r.Since, r.Till}.String()
	if r.Type != "" && !resourceType.MatchString(r.Type) {
		return "", &Error{Op: op, Kind: Refused, Err: errors.New("not a resource type")}
	}
	if a := r.Anonymize; a != nil && (a.Container == "" || a.File == "" || a.ETag == "") { // a service leaves out what is empty
		return "", &Error{Op: op, Kind: Refused, Err: errors.New("a de-identified export without container, configuration or its ETag")}
	}
	if r.Till.IsZero() || !r.Till.After(r.Since) {
		return "", &Error{Op: op, Kind: Refused, Err: errors.New("the end is missing or not after the beginning")}
	}
	return s.start(ctx, exportJob, call{op: op, method: http.MethodGet, path: "/$export", query: r.query(), once: true,
		accept: "application/fhir+json", prefer: "respond-async", want: []int{http.StatusAccepted}})
}

// PollExport asks how an export is doing: done is false while it queues or runs. When it has ended well, its manifest is streamed to read, whose
// error is returned as it is; what the reader handed to read returns is the caller's context error or an *Error. An export that
// failed is JobFailed, one that was deleted or never was is NotFound.
func (s *Service) PollExport(ctx context.Context, statusURL string, read func(io.Reader) error) (done bool, err error) {
	return s.poll(ctx, exportJob, statusURL, nil, read)
}

// CancelExport cancels an export and, if it has ended, throws its manifest away. One that the service does not know counts as cancelled.
func (s *Service) CancelExport(ctx context.Context, statusURL string) error {
	return s.cancel(ctx, exportJob, statusURL)
}
