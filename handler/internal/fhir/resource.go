package fhir

import (
	"fmt"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// Resource is one version of a resource with its JSON as the service wrote it, to the digit.
type Resource struct {
	Ref
	Raw string // of a deleted one: resourceType, id and meta, or nothing
}

// ParseResource reads what identifies a resource out of its JSON, which is kept as it is and may not be valid in what does not identify it.
func ParseResource(raw string) (Resource, error) {
	p := &scanner{s: raw}
	r, lastUpdated := p.resource()
	if p.bad || p.next() != 0 {
		return Resource{}, fmt.Errorf("no JSON object: %q", line(raw, maxExcerpt))
	}
	return r, r.identified(lastUpdated)
}

// identified checks what identifies a resource.
func (r *Resource) identified(lastUpdated string) error {
	if !isType(r.Type) || !isID(r.ID) {
		return fmt.Errorf("no resource: type %q, id %q", line(r.Type, 64), line(r.ID, 64))
	}
	at, err := time.Parse(time.RFC3339, lastUpdated)
	if err != nil {
		return fmt.Errorf("%s/%s has lastUpdated %q", r.Type, r.ID, line(lastUpdated, 40))
	}
	r.LastUpdated = at.UTC()
	return nil
}

// isType and isID are the expressions of history.go, for every resource of a page.
func isType(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && (i == 0 || c < 'a' || c > 'z') {
			return false
		}
	}
	return len(s) >= 2 && len(s) <= 64
}

func isID(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= 64
}

// bulkEntry is an entry of a search or history.
type bulkEntry struct {
	resource                  Resource
	known                     bool // the resource is one that was read before
	lastUpdated               string
	mode                      string
	fullURL, request, respond string
}

func (p *scanner) entry() (e bulkEntry) {
	p.object(func(name string) {
		switch {
		case name == "resource" && p.next() == '{':
			if e.resource, e.known = p.expected(); e.known {
				return
			}
			e.resource, e.lastUpdated = p.resource()
			p.realign(e.resource.ID)
		case name == "search":
			e.mode = gjson.Get(p.skip(), "mode").Str
		case name == "fullUrl":
			e.fullURL = p.string()
		case name == "request":
			e.request = p.skip()
		case name == "response":
			e.respond = p.skip()
		default:
			p.skip()
		}
	})
	return e
}

// read is what the entry is about. ok is false for what was not searched for: a warning, or something that came along.
func (e bulkEntry) read() (r Resource, ok bool, err error) {
	if e.mode != "" && e.mode != "match" || e.resource.Type == "OperationOutcome" {
		return Resource{}, false, nil
	}
	r = e.resource
	r.Deleted = e.request != "" && gjson.Get(e.request, "method").Str == "DELETE"
	if e.known {
		return r, true, nil
	}
	if r.Raw != "" {
		if err = r.identified(e.lastUpdated); err == nil || !r.Deleted {
			return r, true, err
		}
	}
	// A deletion may come without its resource: then the entry says whose it is.
	r = Resource{Ref: Ref{Deleted: r.Deleted, VersionID: strings.Trim(strings.TrimPrefix(gjson.Get(e.respond, "etag").Str, "W/"), `"`)}}
	r.Type, r.ID = identity(gjson.Get(e.request, "url").Str, e.fullURL)
	at, err := time.Parse(time.RFC3339, gjson.Get(e.respond, "lastModified").Str)
	if r.Type == "" || err != nil {
		return Resource{}, false, notBundle{"an entry does not say which resource it is, and of when"}
	}
	r.LastUpdated = at.UTC()
	return r, true, nil
}
