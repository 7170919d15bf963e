package fhir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// call is one request below the service's base.
type call struct {
	op     string // what is being done, for errors: "count resources ..."
	method string
	path   string // escaped, begins with a slash
	query  string // encoded

	accept, prefer, contentType string
	body                        []byte

	// want are the statuses that are an answer; all others are errors.
	want []int
	// job marks the status of a job, where an error may be how the job ended.
	job bool
	// once keeps net/http from sending the request again by itself when a kept-alive connection breaks, which
	// it does with a GET: a $export would be started twice.
	once bool
	// parallel asks a service to work on the entries of a batch side by side.
	parallel bool
}

// answer is a reply with one of the statuses that were wanted. Its body is read through it, at most once.
type answer struct {
	call   call
	status int
	header http.Header
	body   io.Reader // errors are the caller's context error or an *Error
	head   *head     // the beginning of what was read of the body
	close  func()
}

const (
	maxErrorBody = 64 << 10 // bytes read of a reply that is an error
	maxDrain     = 64 << 10 // bytes thrown away to keep a connection
)

// do makes a call and returns its answer, to be closed, or the caller's context error, or an *Error.
func (s *Service) do(ctx context.Context, c call) (_ *answer, err error) {
	defer func() { observe(ctx, err) }()
	if s.tokens == nil {
		return s.send(ctx, c, "")
	}
	token, err := s.tokens.get(ctx)
	if err != nil {
		return nil, tokenError(ctx, c.op, err)
	}
	a, err := s.send(ctx, c, token)
	if KindOf(err) != Unauthorized {
		return a, err
	}
	s.tokens.refused(token)
	if token, err = s.tokens.get(ctx); err != nil {
		return nil, tokenError(ctx, c.op, err)
	}
	return s.send(ctx, c, token)
}

// send makes one request.
func (s *Service) send(ctx context.Context, c call, token string) (*answer, error) {
	within, cancel := context.WithTimeout(ctx, s.timeout)
	request, err := s.request(within, c, token)
	if err != nil {
		cancel()
		return nil, err
	}
	reply, err := s.client.Do(request)
	if err != nil {
		err = s.broken(ctx, within, c.op, err)
		cancel()
		return nil, err
	}
	h := &head{token: token}
	a := &answer{call: c, status: reply.StatusCode, header: reply.Header, head: h}
	a.body = io.TeeReader(&bodyReader{body: reply.Body, fail: func(err error) error { return s.broken(ctx, within, c.op, err) }}, h)
	a.close = func() {
		io.CopyN(io.Discard, reply.Body, maxDrain)
		reply.Body.Close()
		cancel()
	}
	if slices.Contains(c.want, reply.StatusCode) {
		return a, nil
	}
	defer a.close()
	return nil, s.refusal(a)
}

func (s *Service) request(ctx context.Context, c call, token string) (*http.Request, error) {
	target := s.base.String() + c.path
	if c.query != "" {
		target += "?" + c.query
	}
	var body io.Reader
	switch {
	case c.body != nil:
		body = bytes.NewReader(c.body)
	case c.once:
		body = io.MultiReader() // empty, but of a kind that net/http cannot send again
	}
	request, err := http.NewRequestWithContext(ctx, c.method, target, body)
	if err != nil {
		return nil, &Error{Op: c.op, Kind: Refused, Err: fmt.Errorf("make the request: %w", err)}
	}
	if !s.ours(request.URL) { // unreachable as long as every path begins with a slash
		return nil, &Error{Op: c.op, Kind: Refused, Err: fmt.Errorf("%s is outside of %s", request.URL.Host, s.base)}
	}
	for name, value := range map[string]string{"Accept": c.accept, "Prefer": c.prefer, "Content-Type": c.contentType, "User-Agent": s.userAgent} {
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	if c.parallel {
		request.Header.Set("X-Bundle-Processing-Logic", "parallel")
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	return request, nil
}

// ours says whether u is on the service's scheme and host and below its path: where its token may go.
func (s *Service) ours(u *url.URL) bool {
	return u.Scheme == s.base.Scheme && u.Host == s.base.Host && u.User == nil &&
		strings.HasPrefix(u.EscapedPath(), s.base.EscapedPath()+"/")
}

// broken is what a call that got no answer, or only part of one, ends with.
func (s *Service) broken(ctx, within context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if within.Err() != nil { // our own time-out must not look like the caller's
		err = fmt.Errorf("no complete answer within %s", s.timeout.Round(time.Millisecond))
	}
	var failed *url.Error // holds the whole URL, which says nothing that Op does not
	if errors.As(err, &failed) {
		err = failed.Err
	}
	return &Error{Op: op, Kind: Transient, Err: err}
}

// bodyReader turns what goes wrong on the wire into what a call ends with.
type bodyReader struct {
	body io.Reader
	fail func(error) error
}

func (r *bodyReader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	if err != nil && err != io.EOF {
		err = r.fail(err)
	}
	return n, err
}

// head keeps the beginning of a body, for the text of an error.
type head struct {
	kept  []byte
	token string
}

// Write keeps what there is room for and never fails.
func (h *head) Write(p []byte) (int, error) {
	h.kept = append(h.kept, p[:min(len(p), maxErrorBody-len(h.kept))]...)
	return len(p), nil
}

// bytes is the beginning of the body, without the token should the service have echoed it.
func (h *head) bytes() []byte {
	if h.token == "" {
		return h.kept
	}
	return bytes.ReplaceAll(h.kept, []byte(h.token), []byte("[token]"))
}
