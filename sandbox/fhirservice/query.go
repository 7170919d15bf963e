package fhirservice

import (
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// Limits of a search page.
const (
	defaultPage = 10
	maxPage     = 1000
)

// order is how the rows of a search or history come.
type order struct {
	byType     bool // type by type, in the order of their names, by time within; else by time alone
	descending bool
}

// query is a search after parsing.
type query struct {
	types     []string // sorted; nil: every type
	ids       map[string]bool
	times     []timeTest // each must hold
	order     order
	pageSize  int
	countOnly bool
	total     bool
	cursor    *cursor
	issues    []issue
	onlyIDs   bool // nothing but _id narrows the search
	custom    []parameterTest
}

// timeTest is one _lastUpdated parameter: any of its comma-separated values may hold.
type timeTest []comparison

// comparison is a prefix and a period, as ge2024-05-01.
type comparison struct {
	prefix string
	period period
}

func (c comparison) holds(t time.Time) bool {
	switch c.prefix {
	case "ge":
		return !t.Before(c.period.start)
	case "gt", "sa":
		return t.After(c.period.end)
	case "le":
		return !t.After(c.period.end)
	case "lt", "eb":
		return t.Before(c.period.start)
	case "ne":
		return t.Before(c.period.start) || t.After(c.period.end)
	default:
		return !t.Before(c.period.start) && !t.After(c.period.end)
	}
}

// span is the stretch of milliseconds [from, to) outside of which the comparison cannot hold.
func (c comparison) span() (from, to int64) {
	from, to = math.MinInt64, math.MaxInt64
	switch c.prefix {
	case "ge":
		from = c.period.start.UnixMilli()
	case "gt", "sa":
		from = c.period.end.UnixMilli()
	case "le":
		to = c.period.end.UnixMilli() + 1
	case "lt", "eb":
		to = c.period.start.UnixMilli() + 1
	case "eq":
		from, to = c.period.start.UnixMilli(), c.period.end.UnixMilli()+1
	}
	return from, to
}

func parseTimeTest(value string) (timeTest, error) {
	var test timeTest
	for _, v := range strings.Split(value, ",") {
		c := comparison{prefix: "eq"}
		if len(v) > 2 && slices.Contains([]string{"eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"}, v[:2]) {
			c.prefix, v = v[:2], v[2:]
		}
		var err error
		if c.period, err = parsePeriod(v); err != nil {
			return nil, badRequest("_lastUpdated: %v", err)
		}
		test = append(test, c)
	}
	return test, nil
}

// holds says whether a row meets the filters on time, id and content; types are looked after by who walks the timelines.
func (q *query) holds(r *row) bool {
	if q.ids != nil && !q.ids[r.ID] {
		return false
	}
	for _, test := range q.times {
		if !slices.ContainsFunc(test, func(c comparison) bool { return c.holds(r.LastUpdated) }) {
			return false
		}
	}
	return !slices.ContainsFunc(q.custom, func(test parameterTest) bool { return !test.holds(r) })
}

// span is the stretch of milliseconds [from, to) in which rows can be; an unbounded side is at the end of int64.
func (q *query) span() (from, to int64) {
	from, to = math.MinInt64, math.MaxInt64
	for _, test := range q.times {
		if len(test) == 1 {
			f, t := test[0].span()
			from, to = max(from, f), min(to, t)
		}
	}
	return from, to
}

// parseQuery reads the parameters of a search at system level, or of one type when path is not empty.
func (s *Service) parseQuery(r *request, path string) (*query, error) {
	q := &query{pageSize: defaultPage, order: order{byType: s.o.Kind == SQL}, onlyIDs: true}
	if path != "" {
		q.types = []string{path}
	}
	names := make([]string, 0, len(r.query))
	for name := range r.query {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		for _, value := range r.query[name] {
			if err := s.parseParameter(q, name, value, r.strict()); err != nil {
				return nil, err
			}
		}
	}
	q.onlyIDs = q.onlyIDs && q.ids != nil
	return q, nil
}

func (s *Service) parseParameter(q *query, name, value string, strict bool) error {
	switch name {
	case "_lastUpdated":
		test, err := parseTimeTest(value)
		if err != nil {
			return err
		}
		q.times, q.onlyIDs = append(q.times, test), false
		return nil
	case "_id":
		q.narrowIDs(strings.Split(value, ","))
		return nil
	case "_type":
		q.onlyIDs = false
		q.narrowTypes(strings.Split(value, ","))
		return nil
	case "_sort":
		return s.parseSort(q, value, strict)
	case "_count":
		return q.parseCount(value)
	case "_summary":
		return q.parseSummary(value)
	case "_total":
		return q.parseTotal(value)
	case "ct":
		var err error
		q.cursor, err = decodeCursor(value)
		return err
	case "_format", "_pretty":
		return nil
	}
	if len(q.types) == 1 {
		code, modifier, _ := strings.Cut(name, ":")
		if p := s.parameters.find(s.now(), q.types[0], code); p != nil {
			test, err := newParameterTest(p, modifier, value)
			q.custom, q.onlyIDs = append(q.custom, test), false
			return err
		}
	}
	if strict {
		return badRequest("The search parameter '%s' is not supported.", name)
	}
	q.issues = append(q.issues, warning(codeNotSupported, "The search parameter '%s' is not supported and was ignored.", name))
	return nil
}

func (q *query) narrowIDs(ids []string) {
	set := map[string]bool{}
	for _, id := range ids {
		if q.ids == nil || q.ids[id] {
			set[id] = true
		}
	}
	q.ids = set
}

// narrowTypes drops unknown types with a warning; when none is left the search finds nothing.
func (q *query) narrowTypes(names []string) {
	kept := []string{}
	for _, name := range names {
		switch {
		case !isResourceType(name):
			q.issues = append(q.issues, warning(codeNotSupported, "The resource type '%s' is not known and was ignored.", name))
		case (q.types == nil || slices.Contains(q.types, name)) && !slices.Contains(kept, name):
			kept = append(kept, name)
		}
	}
	slices.Sort(kept)
	q.types = kept
}

// parseSort takes what both stores sort by: _lastUpdated; SQL also the pair _type,_lastUpdated in one direction.
func (s *Service) parseSort(q *query, value string, strict bool) error {
	switch value {
	case "_lastUpdated":
		q.order = order{}
		return nil
	case "-_lastUpdated":
		q.order = order{descending: true}
		return nil
	}
	if s.o.Kind == SQL && (value == "_type,_lastUpdated" || value == "-_type,-_lastUpdated") {
		q.order = order{byType: true, descending: value[0] == '-'}
		return nil
	}
	if strict {
		return badRequest("Sorting by '%s' is not supported.", value)
	}
	q.issues = append(q.issues, warning(codeNotSupported, "Sorting by '%s' is not supported and was ignored.", value))
	return nil
}

func (q *query) parseCount(value string) error {
	n, err := strconv.Atoi(value)
	switch {
	case err != nil || n < 0:
		return badRequest("The value '%s' of _count is not a whole number of at least 0.", value)
	case n == 0:
		q.countOnly = true
	case n > maxPage:
		q.pageSize = maxPage
		q.issues = append(q.issues, issue{Severity: "information", Code: "informational",
			Diagnostics: "The value of _count is above the limit and was lowered to " + strconv.Itoa(maxPage) + "."})
	default:
		q.pageSize = n
	}
	return nil
}

func (q *query) parseSummary(value string) error {
	switch value {
	case "count":
		q.countOnly = true
	case "false":
	default:
		// The service answers with parts of resources; nothing of a migration may want that.
		return badRequest("The value '%s' of _summary is not supported: use count or false.", value)
	}
	return nil
}

func (q *query) parseTotal(value string) error {
	switch value {
	case "none":
	case "accurate":
		q.total = true
	case "estimate":
		return refuse(403, codeNotSupported, "The value 'estimate' of _total is not supported: use none or accurate.")
	default:
		return badRequest("The value '%s' of _total is not valid: use none or accurate.", value)
	}
	return nil
}
