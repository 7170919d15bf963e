package fhirservice

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxLinesPerFile is the server's default, and its upper bound, for _maxCount.
const maxLinesPerFile = 10000

// exportOptions are the parameters of a $export after validation.
type exportOptions struct {
	since, till *period
	types       []string // nil: every type
	filters     map[string][]*query
	container   string
	parallel    bool
	history     bool
	deleted     bool
	perFile     int
	anonymize   *anonymization // nil: as it is
	patients    bool           // Patient/$export or Group/{id}/$export
	group       string         // the id of the Group
}

// anonymization names a configuration blob in the container "anonymization".
type anonymization struct{ file, etag string }

var exportParameters = []string{"_outputFormat", "_since", "_till", "_type", "_typeFilter", "_container", "_isParallel", "includeAssociatedData", "_maxCount",
	"_format", "_anonymizationConfig", "_anonymizationConfigEtag", "_anonymizationConfigCollectionReference"}

// export answers GET $export. Each accepted call makes a job of its own: nothing is de-duplicated.
func (s *Service) export(_ context.Context, q *request) (*reply, error) {
	if err := checkExportHeaders(q.header); err != nil {
		return nil, err
	}
	o, err := s.parseExport(q)
	if err != nil {
		return nil, err
	}
	s.schedule.mu.Lock()
	defer s.schedule.mu.Unlock()
	j := &job{op: Export, request: q.full}
	w := &exportWork{service: s, job: j, options: o, faults: s.faults.takeJob(Export)}
	j.work, j.stuck = w, w.faults.stuck()
	s.schedule.addLocked(j)
	return accepted(q, "export", j.id), nil
}

// accepted is the answer to a kick-off.
func accepted(q *request, operation string, id int64) *reply {
	out := newReply(http.StatusAccepted, "", nil)
	out.header.Set("Content-Location", fmt.Sprintf("%s/_operations/%s/%d", q.base, operation, id))
	return out
}

// checkExportHeaders wants Accept once and exactly, and Prefer with respond-async and nothing but handling beside it.
func checkExportHeaders(h http.Header) error {
	if accept := h.Values("Accept"); len(accept) != 1 || !strings.EqualFold(accept[0], "application/fhir+json") {
		return badRequest("Value supplied for the \"Accept\" header is not supported: send application/fhir+json alone.")
	}
	async := false
	for _, p := range preferences(h) {
		switch p {
		case "respond-async":
			async = true
		case "handling=lenient", "handling=strict":
		default:
			return badRequest("Value supplied for the \"Prefer\" header is not supported: %s.", p)
		}
	}
	if !async {
		return badRequest("Value supplied for the \"Prefer\" header is not supported: send respond-async.")
	}
	return nil
}

func (s *Service) parseExport(q *request) (*exportOptions, error) {
	for name := range q.query {
		if !slices.Contains(exportParameters, name) {
			return nil, badRequest("The request contains an unsupported parameter \"%s\".", name)
		}
	}
	o := &exportOptions{container: q.query.Get("_container"), parallel: s.o.Kind == SQL, perFile: s.o.LinesPerFile}
	steps := []func(*request) error{o.parseRoute, o.parseFormats, o.parseTimes, o.parseTypes, o.parseContainer, o.parseFlags, o.parseMaxCount, o.parseAnonymization}
	for _, step := range steps {
		if err := step(q); err != nil {
			return nil, err
		}
	}
	if o.patients {
		// These routes take the two parameters and ignore them: neither history nor deletes, silently.
		o.history, o.deleted, o.parallel = false, false, false
	}
	return o, nil
}

// parseRoute knows $export, Patient/$export and Group/{id}/$export.
func (o *exportOptions) parseRoute(q *request) error {
	switch n := len(q.segments); {
	case n == 1:
		return nil
	case n == 2 && q.segments[0] == "Patient":
		o.patients = true
		return nil
	case n == 3 && q.segments[0] == "Group":
		o.patients, o.group = true, q.segments[1]
		return nil
	}
	return badRequest("The requested resource type '%s' is not supported for export.", q.segment(0))
}

func (o *exportOptions) parseFormats(q *request) error {
	for _, f := range q.query["_outputFormat"] {
		if f != "application/fhir+ndjson" && f != "application/ndjson" && f != "ndjson" {
			return badRequest("The _outputFormat '%s' is not supported: use application/fhir+ndjson and encode the +.", f)
		}
	}
	if q.query.Has("_format") {
		return badRequest("The export format '%s' is not configured: _format names a folder layout here.", q.query.Get("_format"))
	}
	return nil
}

func (o *exportOptions) parseTimes(q *request) error {
	for name, into := range map[string]**period{"_since": &o.since, "_till": &o.till} {
		if !q.query.Has(name) {
			continue
		}
		p, err := parsePeriod(q.query.Get(name))
		if err != nil {
			return badRequest("%s: %v", name, err)
		}
		*into = &p
	}
	return nil
}

// parseTypes reads _type, which nobody validates here, and _typeFilter, which is split without mercy: a comma starts a new filter, and each of its parameters
// has exactly one =.
func (o *exportOptions) parseTypes(q *request) error {
	if list := q.query.Get("_type"); list != "" {
		o.types = strings.Split(list, ",")
	}
	if !q.query.Has("_typeFilter") {
		return nil
	}
	if o.types == nil {
		return badRequest("_typeFilter without _type is not supported.")
	}
	o.filters = map[string][]*query{}
	for _, filter := range strings.Split(q.query.Get("_typeFilter"), ",") {
		typ, params, ok := strings.Cut(filter, "?")
		if !ok || typ == "" {
			return badRequest("The _typeFilter '%s' is not of the form Type?parameter=value.", filter)
		}
		parsed := &query{}
		for _, p := range strings.Split(params, "&") {
			if err := parsed.parseTypeFilter(p, !slices.Contains(preferences(q.header), "handling=lenient")); err != nil {
				return err
			}
		}
		o.filters[typ] = append(o.filters[typ], parsed)
	}
	o.parallel = false
	return nil
}

func (q *query) parseTypeFilter(param string, strict bool) error {
	if strings.Count(param, "=") != 1 {
		return badRequest("The parameter '%s' of _typeFilter does not have exactly one '='.", param)
	}
	name, value, _ := strings.Cut(param, "=")
	switch name {
	case "_id":
		q.narrowIDs([]string{value})
	case "_lastUpdated":
		test, err := parseTimeTest(value)
		if err != nil {
			return err
		}
		q.times = append(q.times, test)
	default:
		if strict {
			return badRequest("The search parameter '%s' of _typeFilter is not supported.", name)
		}
	}
	return nil
}

// parseContainer keeps paths inside the container; whether the name is one that storage takes shows only when the job runs.
func (o *exportOptions) parseContainer(q *request) error {
	name := o.container
	if decoded, err := url.QueryUnescape(name); err == nil {
		name = decoded
	}
	if slices.Contains(strings.FieldsFunc(name, func(r rune) bool { return r == '/' || r == '\\' }), "..") {
		return badRequest("The container '%s' must not contain path traversal.", o.container)
	}
	return nil
}

func (o *exportOptions) parseFlags(q *request) error {
	if v := q.query.Get("_isParallel"); q.query.Has("_isParallel") {
		parallel, err := strconv.ParseBool(strings.ToLower(v))
		if err != nil || len(v) < 4 {
			return badRequest("The value '%s' of _isParallel is not true or false.", v)
		}
		o.parallel = parallel && o.filters == nil
	}
	if !q.query.Has("includeAssociatedData") {
		return nil
	}
	for _, v := range strings.Split(q.query.Get("includeAssociatedData"), ",") {
		switch v {
		case "_history":
			o.history = true
		case "_deleted":
			o.deleted = true
		default:
			return badRequest("The value '%s' of includeAssociatedData is not supported: use _history and _deleted.", v)
		}
	}
	if o.filters != nil {
		return badRequest("includeAssociatedData cannot be combined with _typeFilter.")
	}
	return nil
}

func (o *exportOptions) parseMaxCount(q *request) error {
	if !q.query.Has("_maxCount") {
		return nil
	}
	n, err := strconv.ParseUint(q.query.Get("_maxCount"), 10, 32)
	if err != nil || n > maxLinesPerFile {
		return badRequest("The value '%s' of _maxCount is not a whole number from 0 to %d.", q.query.Get("_maxCount"), maxLinesPerFile)
	}
	if n > 0 {
		o.perFile = min(o.perFile, int(n))
	}
	return nil
}

func (o *exportOptions) parseAnonymization(q *request) error {
	file, etag, reference := q.query.Get("_anonymizationConfig"), q.query.Get("_anonymizationConfigEtag"), q.query.Get("_anonymizationConfigCollectionReference")
	switch {
	case file == "" && etag == "" && reference == "":
		return nil
	case file == "" || o.container == "":
		return badRequest("An anonymized export needs _anonymizationConfig and _container.")
	case etag != "" && reference != "":
		return badRequest("_anonymizationConfigEtag and _anonymizationConfigCollectionReference exclude each other.")
	case reference != "":
		return badRequest("The collection reference '%s' is not configured on this server.", reference)
	}
	o.anonymize = &anonymization{file: file, etag: strings.Trim(etag, `"`)}
	return nil
}
