package fhirservice

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Operation is what a call asks for.
type Operation string

// The operations, a closed set: every call is one of them.
const (
	Metadata      Operation = "metadata"
	Search        Operation = "search"
	Count         Operation = "count" // a search with _summary=count or _count=0
	History       Operation = "history"
	HistoryCount  Operation = "historycount"
	Read          Operation = "read" // of a resource or of one version
	Write         Operation = "write"
	Batch         Operation = "batch"
	Export        Operation = "export"
	ExportStatus  Operation = "exportstatus"
	ExportCancel  Operation = "exportcancel"
	Import        Operation = "import"
	ImportStatus  Operation = "importstatus"
	ImportCancel  Operation = "importcancel"
	Reindex       Operation = "reindex" // the start of one
	ReindexStatus Operation = "reindexstatus"
	ReindexCancel Operation = "reindexcancel"
	Other         Operation = "other" // nothing that the service knows
)

var operations = []Operation{Metadata, Search, Count, History, HistoryCount, Read, Write, Batch, Export, ExportStatus, ExportCancel,
	Import, ImportStatus, ImportCancel, Reindex, ReindexStatus, ReindexCancel, Other}

// request is a call, or an entry of a batch, with its body read.
type request struct {
	method   string
	segments []string   // of the path below the FHIR base
	query    url.Values // of the URL and, for a search by POST, of the form
	header   http.Header
	body     []byte
	origin   string // scheme://host as the caller addressed it
	base     string // origin and base path
	full     string // the whole URL
	id       string // the server's id of the call
	now      time.Time
}

// segment is the i-th segment of the path, "" when there are fewer.
func (q *request) segment(i int) string {
	if i >= 0 && i < len(q.segments) {
		return q.segments[i]
	}
	return ""
}

// strict says whether the caller wants an error, not a warning, for what the service does not understand.
func (q *request) strict() bool { return slices.Contains(preferences(q.header), "handling=strict") }

// preferences are the values of Prefer, from all its lines, split at commas and semicolons.
func preferences(h http.Header) []string {
	var all []string
	for _, line := range h.Values("Prefer") {
		for _, p := range strings.FieldsFunc(line, func(r rune) bool { return r == ',' || r == ';' }) {
			all = append(all, strings.ToLower(strings.TrimSpace(p)))
		}
	}
	return all
}

type handler func(context.Context, *request) (*reply, error)

// route finds what a call asks for and who answers it.
func (s *Service) route(q *request) (Operation, handler) {
	get, post := q.method == http.MethodGet, q.method == http.MethodPost
	first, last := q.segment(0), q.segment(len(q.segments)-1)
	switch n := len(q.segments); {
	case slices.Contains(q.segments, ""):
		return Other, unknownRoute // two slashes, one behind the other, are no separator
	case n == 0 && get:
		return countOr(q, Count, Search), s.search
	case n == 0 && post:
		return Batch, s.batch
	case n == 1 && get && first == "metadata":
		return Metadata, s.metadata
	case n == 3 && first == "_operations":
		return s.routeJob(q)
	case last == "$export" && get:
		return Export, s.export
	case last == "$import" && n == 1 && post:
		return Import, s.importData
	case last == "$reindex" && n == 1 && post:
		return Reindex, s.reindex
	case last == "$reindex" && n == 1 && get:
		return ReindexStatus, s.reindexActive
	case n == 2 && first == "SearchParameter" && last == "$status" && get:
		return Read, s.parameterStatus
	case last == "_search" && post && (n == 1 || n == 2):
		return countOr(q, Count, Search), s.search
	case last == "_history" && get && n <= 3:
		return countOr(q, HistoryCount, History), s.history
	case strings.HasPrefix(first, "_") || strings.HasPrefix(first, "$"):
		return Other, unknownRoute
	case n == 1 && get:
		return countOr(q, Count, Search), s.search
	case n == 1 && post, n == 2 && (q.method == http.MethodPut || q.method == http.MethodDelete):
		return Write, s.write
	case n == 2 && get, n == 4 && get && q.segment(2) == "_history":
		return Read, s.read
	}
	return Other, unknownRoute
}

// routeJob routes the paths of running jobs, _operations/{export|import|reindex}/{id}.
func (s *Service) routeJob(q *request) (Operation, handler) {
	switch q.method + " " + q.segment(1) {
	case "GET export":
		return ExportStatus, s.exportStatus
	case "DELETE export":
		return ExportCancel, s.exportCancel
	case "GET import":
		return ImportStatus, s.importStatus
	case "DELETE import":
		return ImportCancel, s.importCancel
	case "GET reindex":
		return ReindexStatus, s.reindexStatus
	case "DELETE reindex":
		return ReindexCancel, s.reindexCancel
	}
	return Other, unknownRoute
}

// countOr tells a count, which is a search or history with _summary=count or, equivalently, _count=0.
func countOr(q *request, count, other Operation) Operation {
	if q.query.Get("_summary") == "count" || q.query.Get("_count") == "0" {
		return count
	}
	return other
}

func unknownRoute(_ context.Context, q *request) (*reply, error) {
	return nil, refuse(http.StatusNotFound, codeNotFound, "There is nothing at %s /%s.", q.method, strings.Join(q.segments, "/"))
}
