package fhirservice

import (
	"bytes"
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// hits are the faults that hit one call or one job.
type hits []Fault

// first returns the first fault with an effect, or nil.
func (h hits) first(has func(*Fault) bool) *Fault {
	for i := range h {
		if has(&h[i]) {
			return &h[i]
		}
	}
	return nil
}

func (h hits) lost() bool { return h.first(func(f *Fault) bool { return f.LostReply }) != nil }

// gone answers 410 to all but the calls that the deprecated state lets through. It looks at whole paths: a base path in front defeats it, as in the service.
func (h hits) gone(r *http.Request) error {
	if h.first(func(f *Fault) bool { return f.Gone }) == nil {
		return nil
	}
	if r.Method == http.MethodGet && survivesDeprecation(strings.Split(strings.Trim(r.URL.Path, "/"), "/")) {
		return nil
	}
	refused := refuse(http.StatusGone, codeBusinessRule, "The service is deprecated and only lets data be exported.")
	refused.details = &codeConcept{Coding: []coding{{
		System: "https://azurehealthcareapis.com/fhir/operation-outcome-code", Code: "service-deprecated",
	}}}
	return refused
}

func survivesDeprecation(path []string) bool {
	switch len(path) {
	case 1:
		return path[0] == "metadata" || path[0] == "$export"
	case 2:
		return path[0] == "health" && path[1] == "check" || path[0] == "Patient" && path[1] == "$export"
	case 3:
		return path[0] == "Group" && path[2] == "$export" || path[0] == "_operations" && path[1] == "export"
	}
	return false
}

// before waits out the delays and returns the answer of a fault that replaces the operation, or nil.
func (h hits) before(ctx context.Context, q *request) (*reply, error) {
	for _, f := range h {
		if f.Delay == 0 {
			continue
		}
		wait := time.NewTimer(f.Delay)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return nil, refuse(http.StatusRequestTimeout, codeTimeout, "The request was cancelled.")
		}
	}
	if f := h.first(func(f *Fault) bool { return f.NotFHIR != "" }); f != nil {
		return newReply(http.StatusOK, f.contentType("text/html; charset=utf-8"), []byte(f.NotFHIR)), nil
	}
	if f := h.first(func(f *Fault) bool { return f.Status != 0 }); f != nil {
		return f.answer(q), nil
	}
	return nil, nil
}

func (f *Fault) contentType(missing string) string {
	if f.ContentType != "" {
		return f.ContentType
	}
	return missing
}

func (f *Fault) answer(q *request) *reply {
	code := f.Code
	if code == "" {
		code = codeFor(f.Status)
	}
	refused := refuse(f.Status, code, "A fault was asked for: %s.", http.StatusText(f.Status))
	out := refused.reply(q.id, formatInstant(q.now))
	if f.Status == http.StatusTooManyRequests {
		out = refused.reducedReply()
	}
	if f.Body != "" {
		out.body = []byte(f.Body)
		out.header.Set("Content-Type", f.contentType(fhirJSON))
	}
	after := f.RetryAfter
	if after == "" && f.Status == http.StatusTooManyRequests {
		after = "1"
	}
	if after != "" {
		out.header.Set("Retry-After", after)
		// Both headers go together in the service. What is no number of seconds has no milliseconds either: the caller has the text alone.
		if seconds, err := strconv.Atoi(after); err == nil && f.Status == http.StatusTooManyRequests {
			out.header.Set("X-Ms-Retry-After-Ms", strconv.Itoa(seconds*1000))
		}
	}
	return out
}

// rewrite puts another host into the place that the caller will follow.
func (h hits) rewrite(out *reply, op Operation, q *request) {
	f := h.first(func(f *Fault) bool { return f.ForeignHost != "" })
	if f == nil || out.status >= 300 {
		return
	}
	if at := out.header.Get("Content-Location"); at != "" {
		out.header.Set("Content-Location", f.ForeignHost+strings.TrimPrefix(at, q.origin))
	}
	if op == Search || op == History {
		out.body = bytes.Replace(out.body, []byte(nextLinkPrefix+q.origin), []byte(nextLinkPrefix+f.ForeignHost), 1)
	}
}
