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

// ParseResource reads what identifies a resource out of its JSON, which is kept as it is. raw must be valid JSON.
func ParseResource(raw string) (Resource, error) {
	found := gjson.GetMany(raw, "resourceType", "id", "meta.versionId", "meta.lastUpdated")
	r := Resource{Raw: raw, Ref: Ref{Type: found[0].String(), ID: found[1].String(), VersionID: found[2].String()}}
	if !resourceType.MatchString(r.Type) || !resourceID.MatchString(r.ID) {
		return Resource{}, fmt.Errorf("no resource: type %q, id %q", line(r.Type, 64), line(r.ID, 64))
	}
	at, err := time.Parse(time.RFC3339, found[3].String())
	if err != nil {
		return Resource{}, fmt.Errorf("%s/%s has lastUpdated %q", r.Type, r.ID, line(found[3].String(), 40))
	}
	r.LastUpdated = at.UTC()
	return r, nil
}

// parseEntry reads an entry of a search or history. ok is false for what was not searched for: a warning, or something that came along.
func parseEntry(e gjson.Result) (r Resource, ok bool, err error) {
	resource := e.Get("resource")
	mode := e.Get("search.mode").Str
	if mode != "" && mode != "match" || resource.Get("resourceType").Str == "OperationOutcome" {
		return Resource{}, false, nil
	}
	deleted := e.Get("request.method").Str == "DELETE"
	if resource.Exists() {
		if r, err = ParseResource(resource.Raw); err == nil || !deleted {
			r.Deleted = deleted
			return r, true, err
		}
	}
	// A deletion may come without its resource: then the entry says whose it is.
	r = Resource{Ref: Ref{Deleted: deleted, VersionID: strings.Trim(strings.TrimPrefix(e.Get("response.etag").Str, "W/"), `"`)}}
	r.Type, r.ID = identity(e.Get("request.url").Str, e.Get("fullUrl").Str)
	at, err := time.Parse(time.RFC3339, e.Get("response.lastModified").Str)
	if r.Type == "" || err != nil {
		return Resource{}, false, notBundle{"an entry does not say which resource it is, and of when"}
	}
	r.LastUpdated = at.UTC()
	return r, true, nil
}
