package fhir

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
)

// start makes a call that starts a job and returns the job's status URL.
func (s *Service) start(ctx context.Context, kind string, c call) (statusURL string, err error) {
	a, err := s.do(ctx, c)
	if err != nil {
		return "", err
	}
	defer a.close()
	location := a.header.Get("Content-Location")
	if location == "" {
		return "", a.unreadable("no Content-Location: where the job can be asked for is not known")
	}
	path, err := statusPath(kind, location)
	if err != nil {
		e := a.fail(Unreadable)
		e.Err = err
		return "", e
	}
	return s.base.String() + path, nil
}

func (s *Service) poll(ctx context.Context, kind, statusURL string, partial, read func(io.Reader) error) (done bool, err error) {
	op := "poll " + kind + " " + line(JobID(statusURL), 128)
	path, err := statusPath(kind, statusURL)
	if err != nil {
		return false, &Error{Op: op, Kind: Refused, Err: err}
	}
	a, err := s.do(ctx, call{op: op, method: http.MethodGet, path: path, accept: "application/json", job: true,
		want: []int{http.StatusOK, http.StatusAccepted}})
	if err != nil {
		return false, err
	}
	defer a.close()
	if a.status == http.StatusAccepted {
		if partial != nil {
			_ = partial(a.body) // what a job has done so far is a courtesy: most answers have none
		}
		return false, nil
	}
	if err := a.result(read); err != nil {
		return false, err
	}
	return true, nil
}

// resultReaders are kept: hundreds of jobs may be asked for in a minute.
var resultReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, maxErrorBody) }}

// result hands the body of a job that has ended well to read, after a look at whether it can be one.
func (a *answer) result(read func(io.Reader) error) error {
	wire := &bounded{from: a.body, left: 1<<63 - 1}
	body := resultReaders.Get().(*bufio.Reader)
	body.Reset(wire)
	defer func() {
		body.Reset(nil)
		resultReaders.Put(body)
	}()
	// A short reply is in the buffer as a whole, and an outcome is short.
	beginning, err := body.Peek(maxErrorBody)
	if err != nil && err != io.EOF {
		return err
	}
	if trimmed := bytes.TrimLeft(beginning, " \t\r\n\uFEFF"); len(trimmed) == 0 || trimmed[0] != '{' {
		return a.unreadable("the job has ended, but its result is no JSON object")
	}
	if said, ok := readOutcome(beginning); ok && said.ResourceType != "" {
		return a.unreadable("the job has ended, but its result is an OperationOutcome")
	}
	if err := read(body); err != nil {
		return err
	}
	return wire.err // read may have taken a break on the wire for the end
}

func (s *Service) cancel(ctx context.Context, kind, statusURL string) error {
	op := "cancel " + kind + " " + line(JobID(statusURL), 128)
	path, err := statusPath(kind, statusURL)
	if err != nil {
		return &Error{Op: op, Kind: Refused, Err: err}
	}
	a, err := s.do(ctx, call{op: op, method: http.MethodDelete, path: path, accept: "application/json",
		want: []int{http.StatusAccepted}}) // no other: a 200 is that of a gateway, and nothing is cancelled
	var refused *Error
	if errors.As(err, &refused) && refused.Kind == NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	a.close()
	return nil
}
