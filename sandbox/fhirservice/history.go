package fhirservice

import (
	"context"
	"net/http"
	"time"
)

// history answers _history of the system, of a type and of one resource. Every version is an entry, deleted ones included.
// Parameters it does not know are ignored without a word.
func (s *Service) history(_ context.Context, r *request) (*reply, error) {
	typ, id := r.segment(0), r.segment(1)
	switch len(r.segments) {
	case 1:
		typ, id = "", ""
	case 2:
		id = ""
	}
	if typ != "" && !isResourceType(typ) {
		return nil, unknownType(typ)
	}
	q, err := parseHistory(r, typ, id)
	if err != nil {
		return nil, err
	}
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	if id != "" && s.store.records[key{typ, id}] == nil {
		return nil, notFound(typ, id)
	}
	out := &bundle{typ: "history", total: -1, self: selfLink(r), issues: q.issues}
	if q.countOnly {
		out.total = s.countLocked(q, q.holds)
		return newReply(http.StatusOK, fhirJSON, out.encode(r)), nil
	}
	rows, next := s.pageLocked(q, q.holds)
	out.next = nextLink(r, next)
	for _, x := range rows {
		out.entries = append(out.entries, historyEntry(r.base, x))
	}
	return newReply(http.StatusOK, fhirJSON, out.encode(r)), nil
}

// parseHistory reads the parameters of a history: _since is inclusive, _before exclusive and not in the future, _at stands alone.
func parseHistory(r *request, typ, id string) (*query, error) {
	q := &query{pageSize: defaultPage, order: order{descending: true}}
	if typ != "" {
		q.types = []string{typ}
	}
	if id != "" {
		q.ids = map[string]bool{id: true}
	}
	if r.query.Has("_at") && (r.query.Has("_since") || r.query.Has("_before")) {
		return nil, refuse(http.StatusForbidden, codeInvalid, "_at cannot be combined with _since or _before.")
	}
	for name, values := range r.query {
		for _, value := range values {
			if err := q.parseHistoryParameter(name, value, r.now, r.strict()); err != nil {
				return nil, err
			}
		}
	}
	return q, nil
}

func (q *query) parseHistoryParameter(name, value string, now time.Time, strict bool) error {
	switch name {
	case "_since", "_before", "_at":
		p, err := parsePeriod(value)
		if err != nil {
			return badRequest("%s: %v", name, err)
		}
		if name == "_before" && p.start.After(now) {
			return refuse(http.StatusForbidden, codeInvalid, "_before cannot be in the future: it is %s, the server's time is %s.", value, formatInstant(now))
		}
		prefix := map[string]string{"_since": "ge", "_before": "lt", "_at": "eq"}[name]
		q.times = append(q.times, timeTest{{prefix: prefix, period: p}})
	case "_count":
		return q.parseCount(value)
	case "_summary":
		return q.parseSummary(value)
	case "_sort":
		switch {
		case value == "_lastUpdated" || value == "-_lastUpdated":
			q.order.descending = value[0] == '-'
		case strict:
			return badRequest("A history can be sorted by _lastUpdated alone, not by '%s'.", value)
		default:
			q.issues = append(q.issues, warning(codeNotSupported, "Sorting by '%s' is not supported and was ignored.", value))
		}
	case "ct":
		var err error
		q.cursor, err = decodeCursor(value)
		return err
	}
	return nil
}

// historyEntry says how a version came to be. Imported rows appear as PUT, or as DELETE when deleted; so does everything here, because the store does not
// remember which rows came by POST.
func historyEntry(base string, x *row) bundleEntry {
	method, status := http.MethodPut, "200"
	switch {
	case x.Deleted:
		method, status = http.MethodDelete, "204"
	case x.number == 1:
		status = "201"
	}
	return bundleEntry{
		fullURL: base + "/" + x.Type + "/" + x.ID + "/_history/" + x.VersionID, resource: x.Raw,
		parts: []part{
			{"request", map[string]string{"method": method, "url": x.Type + "/" + x.ID}},
			{"response", map[string]string{"status": status, "etag": weakETag(x), "lastModified": formatInstant(x.LastUpdated)}},
		},
	}
}
