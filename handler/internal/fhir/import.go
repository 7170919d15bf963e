package fhir

import (
	"context"
	"io"
	"net/http"
)

// StartImport posts body, a Parameters resource, and returns the job's status URL, on the service's own base. Posting the same bytes again gives
// the same job, in whatever state it is, also when it has failed or was cancelled.
func (s *Service) StartImport(ctx context.Context, body []byte) (statusURL string, err error) {
	return s.start(ctx, importJob, call{op: "start import", method: http.MethodPost, path: "/$import", body: body,
		contentType: "application/fhir+json", accept: "application/fhir+json", prefer: "respond-async", want: []int{http.StatusAccepted}})
}

// PollImport asks how an import is doing; see PollExport. A 202 with numbers in it is an import that still runs: its body is
// handed to partial, whose error is of no consequence. An import that failed or was cancelled is JobFailed. The service may
// take a minute to answer.
func (s *Service) PollImport(ctx context.Context, statusURL string, partial, read func(io.Reader) error) (done bool, err error) {
	return s.poll(ctx, importJob, statusURL, partial, read)
}

// CancelImport cancels an import. One that the service does not know counts as cancelled; one that has ended is Refused with status 409, and
// so is one of which a part has failed while another may still run: only PollImport says when it has ended.
func (s *Service) CancelImport(ctx context.Context, statusURL string) error {
	return s.cancel(ctx, importJob, statusURL)
}
