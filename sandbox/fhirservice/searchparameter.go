package fhirservice

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"
)

// parameter is a custom search parameter that the service knows.
type parameter struct {
	id, url, code, typ string
	bases              []string
	expression         expression
	enabled            bool // a reindex has ended that began after it was written
}

// searchParameters are the custom search parameters, and the reindex jobs that make them searchable. Those that were loaded with the data
// are searchable from the start; those that are written wait for a reindex. What an import brings is only a resource.
type searchParameters struct {
	mu    sync.Mutex
	byURL map[string]*parameter
	jobs  []*reindexJob
}

// specified is what the URLs of the search parameters of the specification begin with.
const specified = "http://hl7.org/fhir/SearchParameter/"

const longestURL = 128

// knownTypes are the types of search parameter that the service supports; special is the one that it does not.
var knownTypes = []string{"number", "date", "string", "token", "reference", "composite", "quantity", "uri"}

func readParameter(id string, raw []byte) *parameter {
	found := gjson.GetManyBytes(raw, "url", "code", "type", "base", "expression")
	p := &parameter{id: id, url: found[0].String(), code: found[1].String(), typ: found[2].String()}
	for _, b := range found[3].Array() {
		p.bases = append(p.bases, b.String())
	}
	p.expression = expression(found[4].String())
	return p
}

// check refuses a search parameter that the service would, with its statuses. now is for jobs that may have ended.
func (s *searchParameters) check(now time.Time, method string, p *parameter) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.activeLocked(now); j != nil {
		return refuse(http.StatusConflict, codeConflict, "A reindex operation is currently active with id %s. Search parameters cannot be changed until it has ended.", j.id)
	}
	if u, err := url.Parse(p.url); err != nil || !u.IsAbs() || len(p.url) > longestURL {
		return badRequest("The url of the search parameter must be an absolute URL of at most %d characters, not '%s'.", longestURL, p.url)
	}
	if strings.HasPrefix(p.url, specified) && method == http.MethodPost {
		return badRequest("A search parameter with the url '%s' exists.", p.url)
	}
	if strings.HasPrefix(p.url, specified) {
		return refuse(http.StatusMethodNotAllowed, codeNotSupported, "The search parameter '%s' is defined by the specification and cannot be changed.", p.url)
	}
	if known := s.byURL[p.url]; known != nil && (method == http.MethodPost || known.id != p.id) {
		return badRequest("A search parameter with the url '%s' exists.", p.url)
	}
	if !slices.Contains(knownTypes, p.typ) || !p.expression.valid() || p.code == "" || len(p.bases) == 0 {
		refused := badRequest("The search parameter '%s' has a type or an expression that is not supported: %s '%s'.", p.url, p.typ, p.expression)
		refused.further = []issue{{Severity: "error", Code: codeInvalid, Diagnostics: "The search parameter was not added."}}
		return refused
	}
	for _, other := range s.byURL {
		if other.id != p.id && p.contradicts(other) {
			return badRequest("The code '%s' is taken by the search parameter '%s' for the same type, with another meaning.", p.code, other.url)
		}
	}
	return nil
}

// contradicts says whether two parameters of one code and one type mean different things; one expression may be part of the other.
func (p *parameter) contradicts(other *parameter) bool {
	if p.code != other.code || !slices.ContainsFunc(p.bases, func(b string) bool { return slices.Contains(other.bases, b) }) {
		return false
	}
	return p.typ != other.typ || !p.expression.includes(other.expression) && !other.expression.includes(p.expression)
}

// put makes a parameter known, in place of the one that had its id.
func (s *searchParameters) put(p *parameter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLocked(p.id)
	s.byURL[p.url] = p
}

func (s *searchParameters) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLocked(id)
}

func (s *searchParameters) removeLocked(id string) {
	for u, p := range s.byURL {
		if p.id == id {
			delete(s.byURL, u)
		}
	}
}

// load takes over the search parameters that a store was seeded with.
func (s *searchParameters) load(rows []*row) {
	for _, r := range rows {
		if r.Type == "SearchParameter" && !r.Deleted {
			p := readParameter(r.ID, r.Raw)
			p.enabled = true
			s.put(p)
		}
	}
}

// find returns the searchable parameter of a type by its code, or nil.
func (s *searchParameters) find(now time.Time, typ, code string) *parameter {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settleLocked(now)
	for _, p := range s.byURL {
		if p.enabled && p.code == code && slices.Contains(p.bases, typ) {
			return p
		}
	}
	return nil
}

// checkBundle refuses a parallel batch with two search parameters of one url or code: 400 for the whole of it.
func checkBundle(entries []gjson.Result) error {
	seen := map[string]bool{}
	for _, e := range entries {
		if e.Get("resource.resourceType").String() != "SearchParameter" {
			continue
		}
		for _, member := range []string{"url", "code"} {
			name := member + " " + e.Get("resource."+member).String()
			if seen[name] {
				return badRequest("The bundle holds several search parameters with the %s.", name)
			}
			seen[name] = true
		}
	}
	return nil
}
