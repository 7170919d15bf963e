package fhirservice

import (
	"context"
	"math"
	"net/http"
)

// search answers GET / and GET /{type}, and POST _search at both places: current versions of resources that are not deleted.
func (s *Service) search(_ context.Context, r *request) (*reply, error) {
	path := r.segment(0)
	if path == "_search" {
		path = ""
	}
	if path != "" && !isResourceType(path) {
		return nil, unknownType(path)
	}
	q, err := s.parseQuery(r, path)
	if err != nil {
		return nil, err
	}
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	out := &bundle{typ: "searchset", total: -1, self: selfLink(r), issues: q.issues}
	wanted := s.wantedLocked(q, path)
	if q.countOnly || q.total {
		out.total = s.countLocked(q, wanted)
		if out.total > math.MaxInt32 {
			return nil, refuse(http.StatusForbidden, codeNotSupported, "The search count is above the limit: narrow the search.")
		}
	}
	if !q.countOnly {
		rows, next := s.pageLocked(q, wanted)
		out.next = nextLink(r, next)
		for _, x := range rows {
			out.entries = append(out.entries, bundleEntry{fullURL: r.base + "/" + x.Type + "/" + x.ID, resource: x.Raw, parts: matchPart})
		}
	}
	return newReply(http.StatusOK, fhirJSON, out.encode(r)), nil
}

func unknownType(name string) error {
	return refuse(http.StatusNotFound, codeNotSupported, "Resource type '%s' is not supported.", name)
}

// wantedLocked is the filter of a search. SQL looks up a list of ids that fits the page, with no other filter, by a procedure that does not filter deleted
// rows: a stub of a deleted resource comes back as if it were there.
func (s *Service) wantedLocked(q *query, path string) func(*row) bool {
	deletedToo := s.o.Kind == SQL && path != "" && q.onlyIDs && len(q.ids) <= q.pageSize && !q.countOnly
	return func(x *row) bool {
		return q.holds(x) && (!x.Deleted || deletedToo) && s.store.isCurrentLocked(x)
	}
}

func (s *Service) walkLocked(q *query, wanted func(*row) bool) *walk {
	w := &walk{order: q.order, wanted: wanted}
	w.from, w.to = q.span()
	if q.types == nil && !q.order.byType {
		w.lines = []timeline{s.store.all}
		return w
	}
	types := q.types
	if types == nil {
		types = s.store.typeNamesLocked()
	}
	if len(types) == 1 || q.order.byType {
		for _, t := range types {
			w.lines = append(w.lines, s.timelineLocked(t, q.ids))
		}
		return w
	}
	among := map[string]bool{}
	for _, t := range types {
		among[t] = true
	}
	w.lines = []timeline{s.store.all}
	w.wanted = func(r *row) bool { return among[r.Type] && wanted(r) }
	return w
}

// timelineLocked is the timeline of a type, or of a few resources of it: most callers who give ids give few.
func (s *Service) timelineLocked(typ string, ids map[string]bool) timeline {
	if ids == nil {
		return s.store.types[typ]
	}
	var rows []*row
	for id := range ids {
		if rec := s.store.records[key{typ, id}]; rec != nil {
			rows = append(rows, rec.rows...)
		}
	}
	return timeline(nil).with(rows)
}

func (s *Service) pageLocked(q *query, wanted func(*row) bool) ([]*row, *cursor) {
	w := s.walkLocked(q, wanted)
	if s.o.Kind == SQL {
		return w.page(q.cursor, q.pageSize)
	}
	oldest, newest := s.store.all.ends()
	return w.slicedPage(q.cursor, q.pageSize, oldest, newest)
}

func (s *Service) countLocked(q *query, wanted func(*row) bool) int {
	w := s.walkLocked(q, wanted)
	n := 0
	for _, line := range w.lines {
		for _, r := range line.between(w.from, w.to) {
			if w.wanted(r) {
				n++
			}
		}
	}
	return n
}
