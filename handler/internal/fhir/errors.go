package fhir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// Kind says what an error means for whoever made the call.
type Kind int

const (
	// JobFailed is the outcome of a job: it has failed or was cancelled and will not go on.
	JobFailed Kind = iota + 1
	// Transient says nothing about what was asked: ask again later.
	Transient
	// Unauthorized is a token that could not be had, or that was refused even after it was renewed.
	Unauthorized
	// Forbidden is a role that the caller lacks; it may be granted at any time.
	Forbidden
	// NotFound is a job or resource that the service does not know.
	NotFound
	// Gone is a retired service, which answers $export and its status alone.
	Gone
	// Refused is a request that is wrong in the service's eyes, or in ours: repeating it changes nothing.
	Refused
	// Unreadable is an answer that is not what FHIR says it is: HTML, nothing, not a bundle.
	Unreadable
)

var kindNames = [...]string{"none", "job failed", "transient", "unauthorized", "forbidden", "not found", "gone", "refused", "unreadable"}

// String is the kind in words.
func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("Kind(%d)", int(k))
	}
	return kindNames[k]
}

// Error is how a call to a FHIR service failed.
type Error struct {
	Op     string // what was being done: "count resources ..."
	Kind   Kind
	Status int // of the reply, 0 without one; for JobFailed the status the job ended with

	Code        string // of the issue, "" without an OperationOutcome
	Diagnostics string // of the issue, at most 64 KiB, may have several lines
	Excerpt     string // the first 200 characters of a reply that is no OperationOutcome, on one line

	RetryAfter time.Duration // what the service asked for, 0 to 10 minutes
	RequestID  string        // the service's X-Request-Id

	Err error // what went wrong where there is no reply, or with it
}

// Error is one line: what was being done, the status, and what the service said.
func (e *Error) Error() string {
	parts := []string{e.Op}
	if e.Status != 0 {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status))))
	}
	if e.Err != nil {
		parts = append(parts, line(e.Err.Error(), maxText))
	}
	for _, text := range []string{e.Code, line(e.Diagnostics, maxText)} {
		if text != "" {
			parts = append(parts, text)
		}
	}
	if e.Excerpt != "" {
		parts = append(parts, fmt.Sprintf("%q", e.Excerpt))
	}
	if e.RequestID != "" {
		return strings.Join(parts, ": ") + " (request " + e.RequestID + ")"
	}
	return strings.Join(parts, ": ")
}

// Unwrap is what went wrong on the way, nil when a service said it.
func (e *Error) Unwrap() error { return e.Err }

// KindOf is the kind of the *Error in err's chain, 0 if there is none.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return 0
}

const (
	maxText    = 1000 // characters of diagnostics in an error's text
	maxExcerpt = 200  // characters quoted of a body that is no FHIR
)

// line is text on one line, without control characters and at most limit characters long.
func line(text string, limit int) string {
	text = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))), " ")
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit]) + "…"
	}
	return text
}

// refusal reads the reply to a call whose status was not wanted, and classifies it.
func (s *Service) refusal(a *answer) error {
	_, err := io.CopyN(io.Discard, a.body, maxErrorBody)
	body := a.head.bytes()
	e := a.fail(0)
	said, isOutcome := readOutcome(body)
	e.Kind = classify(a.status, said, isOutcome, a.call.job)
	if broken := err != nil && err != io.EOF; broken && (KindOf(err) == 0 || !isOutcome && e.Kind != Transient) {
		return err // the caller gave up, or the part that would say what this means is lost
	}
	if !isOutcome {
		e.Excerpt = line(string(body), maxExcerpt)
	} else {
		found := said.decisive(a.call.job)
		e.Code, e.Diagnostics = found.Code, found.text()
	}
	e.RetryAfter = retryAfter(a.header, s.clock)
	switch {
	case a.status >= 300 && a.status < 400:
		e.Err = fmt.Errorf("redirected%s: set the base URL to where the service really is", elsewhere(a.header.Get("Location")))
	case a.status < 300:
		e.Err = errors.New("not the answer that was asked for")
	case !isOutcome:
		e.Err = errors.New("the answer is no OperationOutcome")
	}
	return e
}

// fail starts an error about an answer.
func (a *answer) fail(kind Kind) *Error {
	return &Error{Op: a.call.op, Kind: kind, Status: a.status, RequestID: line(a.header.Get("X-Request-Id"), maxExcerpt)}
}

// unreadable is the error for an answer that is not what it should be, with what has been read of it.
func (a *answer) unreadable(why string) *Error {
	e := a.fail(Unreadable)
	e.Err = errors.New(why)
	if said, ok := readOutcome(a.head.bytes()); ok {
		found := said.decisive(false)
		e.Code, e.Diagnostics = found.Code, found.text()
	} else {
		e.Excerpt = line(string(a.head.bytes()), maxExcerpt)
	}
	return e
}

// classify says what a status and an outcome mean. The order matters: a job's end may come with any status.
func classify(status int, said outcome, isOutcome, job bool) Kind {
	if job && isOutcome && said.jobEnded(status) {
		return JobFailed
	}
	switch {
	case said.has("throttled"):
		return Transient
	case status == http.StatusUnauthorized:
		return Unauthorized
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests:
		return Transient
	case status == http.StatusForbidden && (said.has("forbidden") || !isOutcome): // without an outcome it is the network's rules
		return Forbidden
	case status == http.StatusNotFound && said.has("not-found"):
		return NotFound
	case status == http.StatusGone && said.retired():
		return Gone
	case status == http.StatusNotImplemented:
		return Refused
	case status >= 500:
		return Transient
	case status < 300 || status == http.StatusNotFound && !isOutcome: // some other server's page
		return Unreadable
	default:
		return Refused
	}
}

// tokenError is what a call ends with for want of a token.
func tokenError(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	kind := Unauthorized
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, errTokenLate) {
		kind = Transient
	}
	return &Error{Op: op, Kind: kind, Err: err}
}

// elsewhere says where a Location points, host alone: the rest may hold anything.
func elsewhere(location string) string {
	u, err := url.Parse(location)
	if err != nil || u.Host == "" {
		return ""
	}
	return " to " + u.Scheme + "://" + u.Host
}
