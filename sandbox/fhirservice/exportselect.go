package fhirservice

import (
	"bytes"
	"errors"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// subJob is a part of an export: rows in the order in which they are written, one page after the other.
type subJob struct {
	id   int64
	rows []*row
}

var errUnknownType = errors.New("unknown error")

// lastSurrogate is about when the surrogate ids of SQL, made of milliseconds, overflow; a _till beyond it throws.
var lastSurrogate = time.Date(3653, 1, 1, 0, 0, 0, 0, time.UTC)

// selectLocked decides what an export that is created at an instant contains. Each sub-job becomes files of its own.
func (s *Service) selectLocked(o *exportOptions, created time.Time) ([]subJob, error) {
	if s.o.Kind == SQL && o.parallel {
		return s.selectSnapshotLocked(o, created)
	}
	rows := s.selectCurrentLocked(o, created)
	switch {
	case s.o.Kind == SQL:
		return []subJob{{rows: rows}}, nil
	case o.parallel:
		return pages(byFeedRange(rows), cosmosPage*o.perFile), nil
	}
	return pages([][]*row{rows}, cosmosPage*o.perFile), nil
}

// selectSnapshotLocked is the default on SQL: one sub-job for each type and range of rows; since inclusive, till exclusive, both to the millisecond;
// without history the last version as of till, even when it is superseded by now.
func (s *Service) selectSnapshotLocked(o *exportOptions, created time.Time) ([]subJob, error) {
	from, till := int64(math.MinInt64), created
	if o.since != nil {
		from = o.since.start.UnixMilli()
	}
	if o.till != nil {
		till = o.till.start
	}
	if till.After(lastSurrogate) {
		return nil, errUnknownType
	}
	types := o.types
	if types == nil {
		types = s.store.typeNamesLocked()
	}
	var subs []subJob
	for _, t := range types {
		if !isResourceType(t) {
			return nil, errUnknownType
		}
		window := s.store.types[t].between(from, till.UnixMilli())
		last := lastOfEach(window)
		for chunk := range slices.Chunk(window, o.perFile) {
			wanted := func(r *row) bool { return (o.deleted || !r.Deleted) && (o.history || last[r.key()] == r) }
			subs = append(subs, subJob{rows: timeline(chunk).keep(wanted)})
		}
	}
	if subs == nil {
		// An empty window is given to one generic job, whose upper bound is inclusive: a resource stamped exactly at till leaks in.
		return []subJob{{rows: s.selectCurrentLocked(o, created)}}, nil
	}
	return subs, nil
}

// lastOfEach finds the version of each resource that comes last in a window.
func lastOfEach(window timeline) map[key]*row {
	last := make(map[key]*row, len(window))
	for _, r := range window {
		last[r.key()] = r
	}
	return last
}

// selectCurrentLocked is Cosmos, and SQL when it is not parallel: a search with both bounds inclusive, a partial till reaching to the end of its period, and
// without history only what is current now.
func (s *Service) selectCurrentLocked(o *exportOptions, created time.Time) []*row {
	since, till := time.Time{}, created
	if o.since != nil {
		since = o.since.start
	}
	if o.till != nil {
		till = o.till.end
	}
	inPatients := s.compartmentLocked(o)
	var rows []*row
	for _, r := range s.store.all {
		if r.LastUpdated.Before(since) || r.LastUpdated.After(till) {
			continue
		}
		if o.types != nil && !slices.Contains(o.types, r.Type) || r.Deleted && !o.deleted || !o.history && !s.store.isCurrentLocked(r) {
			continue
		}
		if o.passes(r) && inPatients(r) {
			rows = append(rows, r)
		}
	}
	return rows
}

// passes says whether one of the filters of the row's type lets it through; a type without a filter is exported whole.
func (o *exportOptions) passes(r *row) bool {
	filters := o.filters[r.Type]
	return len(filters) == 0 || slices.ContainsFunc(filters, func(f *query) bool { return f.holds(r) })
}

// compartmentLocked narrows an export of patients to what belongs to them: the patients themselves and every resource with a reference to one of them.
// (The service knows which references make a compartment; here any does.)
func (s *Service) compartmentLocked(o *exportOptions) func(*row) bool {
	if !o.patients {
		return func(*row) bool { return true }
	}
	if o.group == "" {
		return func(r *row) bool { return r.Type == "Patient" || bytes.Contains(r.Raw, []byte(`"Patient/`)) }
	}
	members := map[string]bool{}
	if rec := s.store.records[key{"Group", o.group}]; rec != nil && !rec.current().Deleted {
		for _, m := range gjson.GetBytes(rec.current().Raw, "member.#.entity.reference").Array() {
			if id, ok := strings.CutPrefix(m.String(), "Patient/"); ok {
				members[id] = true
			}
		}
	}
	return func(r *row) bool {
		if r.Type == "Patient" {
			return members[r.ID]
		}
		for id := range members {
			if bytes.Contains(r.Raw, []byte(`"Patient/`+id+`"`)) {
				return true
			}
		}
		return false
	}
}

// cosmosPage is by how much the pages of a Cosmos export are larger than was asked for: a file may hold twice _maxCount.
const cosmosPage = 2

// feedRanges is how many physical partitions a Cosmos store has here.
const feedRanges = 2

// byFeedRange splits rows by type and physical partition, as a parallel export of Cosmos does.
func byFeedRange(rows []*row) [][]*row {
	type part struct {
		typ   string
		place uint32
	}
	parts := map[part][]*row{}
	var order []part
	for _, r := range rows {
		h := fnv.New32a()
		_, _ = h.Write([]byte(r.ID))
		p := part{r.Type, h.Sum32() % feedRanges}
		if parts[p] == nil {
			order = append(order, p)
		}
		parts[p] = append(parts[p], r)
	}
	out := make([][]*row, len(order))
	for i, p := range order {
		out[i] = parts[p]
	}
	return out
}

// pages makes one sub-job of each page of each run of rows.
func pages(runs [][]*row, size int) []subJob {
	var subs []subJob
	for _, rows := range runs {
		for page := range slices.Chunk(rows, size) {
			subs = append(subs, subJob{rows: page})
		}
	}
	return subs
}
