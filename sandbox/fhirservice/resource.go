package fhirservice

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/tidwall/gjson"
)

func weakETag(r *row) string { return `W/"` + r.VersionID + `"` }

func notFound(typ, id string) error {
	return refuse(http.StatusNotFound, codeNotFound, "Resource type '%s' with id '%s' couldn't be found.", typ, id)
}

// read answers GET {type}/{id}, the current version, and GET {type}/{id}/_history/{version}. A deleted version is 410.
func (s *Service) read(_ context.Context, q *request) (*reply, error) {
	typ, id := q.segment(0), q.segment(1)
	if !isResourceType(typ) {
		return nil, unknownType(typ)
	}
	s.store.mu.RLock()
	rec := s.store.records[key{typ, id}]
	var found *row
	switch {
	case rec == nil:
	case len(q.segments) == 2:
		found = rec.current()
	default:
		if number, err := strconv.ParseInt(q.segment(3), 10, 32); err == nil {
			found = rec.find(int(number))
		}
	}
	s.store.mu.RUnlock()
	switch {
	case found == nil:
		return nil, notFound(typ, id)
	case found.Deleted:
		gone := refuse(http.StatusGone, codeDeleted, "Resource type '%s' with id '%s' has been deleted.", typ, id)
		gone.header.Set("ETag", weakETag(found))
		return nil, gone
	}
	return resourceReply(http.StatusOK, q, found), nil
}

func resourceReply(status int, q *request, r *row) *reply {
	out := newReply(status, fhirJSON, r.Raw)
	out.header.Set("ETag", weakETag(r))
	out.header.Set("Last-Modified", r.LastUpdated.UTC().Format(http.TimeFormat))
	if status == http.StatusCreated {
		out.header.Set("Location", q.base+"/"+r.Type+"/"+r.ID+"/_history/"+r.VersionID)
	}
	return out
}

// write answers POST {type}, PUT {type}/{id} and DELETE {type}/{id}: a new version, stamped with the clock cut to milliseconds.
func (s *Service) write(_ context.Context, q *request) (*reply, error) {
	typ, id := q.segment(0), q.segment(1)
	if !isResourceType(typ) {
		return nil, unknownType(typ)
	}
	if q.method == http.MethodDelete {
		return s.remove(q, key{typ, id})
	}
	if err := checkBody(q, typ, id); err != nil {
		return nil, err
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if id == "" {
		id = numberedID(resourceSpace, s.store.seq+1)
	}
	if err := s.matchLocked(q, key{typ, id}); err != nil {
		return nil, err
	}
	if typ == "SearchParameter" {
		if err := s.parameters.check(q.now, q.method, readParameter(id, q.body)); err != nil {
			return nil, err
		}
	}
	r, err := s.appendLocked(q, Version{Type: typ, ID: id, Raw: q.body})
	if err != nil {
		return nil, badRequest("The body cannot be stored: %v", err)
	}
	if typ == "SearchParameter" {
		s.parameters.put(readParameter(id, r.Raw))
	}
	status := http.StatusOK
	if r.number == 1 {
		status = http.StatusCreated
	}
	return resourceReply(status, q, r), nil
}

// resourceSpace makes ids of resources created by POST, the same in each run.
var resourceSpace = uuid.MustParse("6f0d3c39-8a8c-4b0b-9d7e-3f6a0c0de002")

// checkBody refuses a resource that is not what the URL says.
func checkBody(q *request, typ, id string) error {
	if t := q.header.Get("Content-Type"); !strings.Contains(t, "json") {
		return refuse(http.StatusUnsupportedMediaType, codeNotSupported, "The Content-Type '%s' is not supported: use application/fhir+json.", t)
	}
	if !gjson.ValidBytes(q.body) {
		return badRequest("The body is not valid JSON.")
	}
	found := gjson.GetManyBytes(q.body, "resourceType", "id")
	switch {
	case found[0].String() != typ:
		return badRequest("The resource type '%s' in the body does not match '%s' in the URL.", found[0].String(), typ)
	case id != "" && !idPattern.MatchString(id):
		return badRequest("The id '%s' is not 1 to 64 of [A-Za-z0-9-.].", id)
	case id != "" && found[1].String() != id:
		return badRequest("The id '%s' in the body does not match '%s' in the URL.", found[1].String(), id)
	}
	return nil
}

// matchLocked keeps a write from going on when If-Match names another version than the current one.
func (s *Service) matchLocked(q *request, k key) error {
	want := q.header.Get("If-Match")
	if want == "" {
		return nil
	}
	rec := s.store.records[k]
	if rec == nil {
		return notFound(k.typ, k.id)
	}
	if have := weakETag(rec.current()); have != want {
		return refuse(http.StatusPreconditionFailed, codeConflict, "The version %s was given, the current one is %s.", want, have)
	}
	return nil
}

// appendLocked stores v as the version after the current one.
func (s *Service) appendLocked(q *request, v Version) (*row, error) {
	next := 1
	if rec := s.store.records[key{v.Type, v.ID}]; rec != nil {
		next = max(rec.current().number, 0) + 1
	}
	v.VersionID, v.LastUpdated = strconv.Itoa(next), q.now
	if !v.Deleted && len(v.Raw) == 0 {
		return nil, errors.New("the body is empty")
	}
	r, err := newRow(v)
	if err != nil {
		return nil, err
	}
	s.store.addToRecordLocked(r)
	s.store.addToTimelinesLocked([]*row{r})
	return r, nil
}

// remove deletes softly, or with hardDelete=true without a trace. What is not there or deleted already is 204 as well.
func (s *Service) remove(q *request, k key) (*reply, error) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if err := s.matchLocked(q, k); err != nil {
		return nil, err
	}
	out := newReply(http.StatusNoContent, "", nil)
	rec := s.store.records[k]
	switch {
	case rec == nil:
	case q.query.Get("_hardDelete") == "true" || q.query.Get("hardDelete") == "true":
		s.store.removeLocked(k)
	case rec.current().Deleted:
		out.header.Set("ETag", weakETag(rec.current()))
	default:
		r, err := s.appendLocked(q, Version{Type: k.typ, ID: k.id, Deleted: true})
		if err != nil {
			return nil, err
		}
		out.header.Set("ETag", weakETag(r))
	}
	if k.typ == "SearchParameter" {
		s.parameters.remove(k.id)
	}
	return out, nil
}
