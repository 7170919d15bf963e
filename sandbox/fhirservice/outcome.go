package fhirservice

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
)

// The issue codes of OperationOutcome that the service uses.
const (
	codeInvalid      = "invalid"
	codeNotSupported = "not-supported"
	codeNotFound     = "not-found"
	codeDeleted      = "deleted"
	codeForbidden    = "forbidden"
	codeLogin        = "login"
	codeConflict     = "conflict"
	codeTimeout      = "timeout"
	codeThrottled    = "throttled"
	codeProcessing   = "processing"
	codeException    = "exception"
	codeBusinessRule = "business-rule"
	codeTooCostly    = "too-costly"
)

const (
	fhirJSON  = "application/fhir+json; charset=utf-8"
	plainJSON = "application/json; charset=utf-8"
)

// reply is an answer before it is sent.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func newReply(status int, contentType string, body []byte) *reply {
	r := &reply{status: status, header: http.Header{}, body: body}
	if contentType != "" {
		r.header.Set("Content-Type", contentType)
	}
	return r
}

// issue is one finding of an OperationOutcome.
type issue struct {
	Severity    string       `json:"severity"`
	Code        string       `json:"code,omitempty"`
	Details     *codeConcept `json:"details,omitempty"`
	Diagnostics string       `json:"diagnostics,omitempty"`
}

type codeConcept struct {
	Coding []coding `json:"coding,omitempty"`
	Text   string   `json:"text,omitempty"`
}

type coding struct {
	System string `json:"system"`
	Code   string `json:"code"`
}

func warning(code, format string, args ...any) issue {
	return issue{Severity: "warning", Code: code, Diagnostics: fmt.Sprintf(format, args...)}
}

type operationOutcome struct {
	ResourceType string            `json:"resourceType"`
	ID           string            `json:"id,omitempty"`
	Meta         map[string]string `json:"meta,omitempty"`
	Issue        []issue           `json:"issue"`
}

// refusal is an error that becomes an answer: a status and an OperationOutcome.
type refusal struct {
	status  int
	code    string
	text    string
	details *codeConcept
	further []issue // behind the one that the other fields make
	header  http.Header
}

func (r *refusal) Error() string { return strconv.Itoa(r.status) + " " + r.code + ": " + r.text }

func refuse(status int, code, format string, args ...any) *refusal {
	return &refusal{status: status, code: code, text: fmt.Sprintf(format, args...), header: http.Header{}}
}

func badRequest(format string, args ...any) *refusal {
	return refuse(http.StatusBadRequest, codeInvalid, format, args...)
}

// reply builds the answer; requestID is the server's id of the call, and so of the outcome.
func (r *refusal) reply(requestID, lastUpdated string) *reply {
	outcome := operationOutcome{
		ResourceType: "OperationOutcome", ID: requestID, Meta: map[string]string{"lastUpdated": lastUpdated},
		Issue: append([]issue{{Severity: "error", Code: r.code, Details: r.details, Diagnostics: r.text}}, r.further...),
	}
	out := newReply(r.status, fhirJSON, encode(outcome))
	for k, v := range r.header {
		out.header[k] = v
	}
	return out
}

// reducedReply is the answer of a middleware that throttles: an OperationOutcome without id and meta, and not as FHIR's type of JSON.
func (r *refusal) reducedReply() *reply {
	return newReply(r.status, plainJSON, encode(operationOutcome{ResourceType: "OperationOutcome", Issue: []issue{{Severity: "error", Code: r.code, Diagnostics: r.text}}}))
}

// codeFor is the issue code that goes with a status when nothing else is said.
func codeFor(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return codeLogin
	case http.StatusForbidden:
		return codeForbidden
	case http.StatusNotFound:
		return codeNotFound
	case http.StatusRequestTimeout:
		return codeTimeout
	case http.StatusConflict, http.StatusPreconditionFailed:
		return codeConflict
	case http.StatusGone:
		return codeDeleted
	case http.StatusRequestEntityTooLarge:
		return codeTooCostly
	case http.StatusTooManyRequests:
		return codeThrottled
	case http.StatusServiceUnavailable:
		return codeProcessing
	}
	if status >= 500 {
		return codeException
	}
	return codeInvalid
}

// encode writes JSON without escaping <, > and &, as the service does.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // unreachable unless a type of this package cannot be marshalled
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
