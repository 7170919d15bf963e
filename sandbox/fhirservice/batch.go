package fhirservice

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// maxBatch is how many entries a bundle may have.
const maxBatch = 500

// verbOrder is the order in which the entries of a batch are carried out, whatever their order in the bundle.
var verbOrder = []string{http.MethodDelete, http.MethodPost, http.MethodPut, http.MethodGet}

// batch answers POST / with a Bundle of type batch. The answers come in the order of the entries.
func (s *Service) batch(ctx context.Context, q *request) (*reply, error) {
	if !gjson.ValidBytes(q.body) || gjson.GetBytes(q.body, "resourceType").String() != "Bundle" {
		return nil, badRequest("The body of a POST to the FHIR base must be a Bundle.")
	}
	if t := gjson.GetBytes(q.body, "type").String(); t != "batch" {
		return nil, badRequest("The bundle type '%s' is not supported: use batch.", t)
	}
	entries := gjson.GetBytes(q.body, "entry").Array()
	if len(entries) > maxBatch {
		return nil, badRequest("The number of entries in the bundle exceeded the limit of %d.", maxBatch)
	}
	replies := make([]*reply, len(entries))
	parallel := strings.EqualFold(q.header.Get("X-Bundle-Processing-Logic"), "parallel")
	if err := checkBundle(entries); parallel && err != nil {
		return nil, err
	}
	var throttled *reply // in a sequential batch, the 429 that every later entry gets, too
	for _, verb := range append([]string{""}, verbOrder...) {
		for i, e := range entries {
			if batchVerb(e) != verb {
				continue
			}
			if throttled != nil {
				replies[i] = throttled
				continue
			}
			replies[i] = s.batchEntry(ctx, q, e)
			if replies[i].status == http.StatusTooManyRequests && !parallel {
				replies[i] = s.batchEntry(ctx, q, e) // once more; the service waits for Retry-After first
			}
			if replies[i].status == http.StatusTooManyRequests && !parallel {
				throttled = replies[i]
			}
		}
	}
	out := &bundle{typ: "batch-response", total: -1}
	for _, r := range replies {
		out.entries = append(out.entries, responseEntry(r))
	}
	return newReply(http.StatusOK, fhirJSON, out.encode(q)), nil
}

// batchVerb is the method of an entry, "" for one that the service does not know.
func batchVerb(e gjson.Result) string {
	method := e.Get("request.method").String()
	for _, v := range verbOrder {
		if v == method {
			return v
		}
	}
	return ""
}

// batchEntry carries out one entry as if it had come by itself. Faults hit it by its own kind.
func (s *Service) batchEntry(ctx context.Context, q *request, e gjson.Result) *reply {
	u, err := url.Parse(strings.TrimPrefix(strings.TrimPrefix(e.Get("request.url").String(), q.base), "/"))
	if err != nil || batchVerb(e) == "" || u.Host != "" {
		return s.errorReply(q, badRequest("The request of the entry is not valid: %s %s", e.Get("request.method").String(), e.Get("request.url").String()))
	}
	sub := &request{
		method: batchVerb(e), query: u.Query(), header: http.Header{}, body: []byte(e.Get("resource").Raw),
		origin: q.origin, base: q.base, full: q.base + "/" + u.String(), id: q.id, now: q.now,
	}
	sub.header.Set("Content-Type", fhirJSON)
	if match := e.Get("request.ifMatch").String(); match != "" {
		sub.header.Set("If-Match", match)
	}
	if path := strings.Trim(u.Path, "/"); path != "" {
		sub.segments = strings.Split(path, "/")
	}
	op, handle := s.route(sub)
	switch op {
	case Search, Count, History, HistoryCount, Read, Write, Metadata:
	default:
		return s.errorReply(q, refuse(http.StatusNotFound, codeNotFound, "The entry %s %s cannot be part of a batch.", sub.method, u.String()))
	}
	if early, err := s.faults.takeCall(op, sub).before(ctx, sub); err != nil {
		return s.errorReply(q, err)
	} else if early != nil {
		return early
	}
	out, err := handle(ctx, sub)
	if err != nil {
		return s.errorReply(q, err)
	}
	return out
}

// responseEntry puts an answer into the bundle: status is the bare number as a string.
func responseEntry(r *reply) bundleEntry {
	response := map[string]any{"status": strconv.Itoa(r.status)}
	for member, header := range map[string]string{"etag": "ETag", "location": "Location", "lastModified": "Last-Modified"} {
		if v := r.header.Get(header); v != "" {
			response[member] = v
		}
	}
	if at, err := http.ParseTime(r.header.Get("Last-Modified")); err == nil {
		response["lastModified"] = formatInstant(at)
	}
	e := bundleEntry{}
	if gjson.ValidBytes(r.body) {
		if r.status >= 400 {
			response["outcome"] = json.RawMessage(r.body)
		} else {
			e.resource = r.body
		}
	}
	e.parts = []part{{"response", response}}
	return e
}
