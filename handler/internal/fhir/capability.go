package fhir

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/tidwall/gjson"
)

// Capability is what a service says of itself.
type Capability struct {
	Types []string // that it can hold, sorted
	// Unversioned are the types of which it keeps no history.
	Unversioned map[string]bool
}

// Capability reads /metadata, which every service answers, also a retired one.
func (s *Service) Capability(ctx context.Context) (Capability, error) {
	a, err := s.do(ctx, call{op: "read the capabilities", method: http.MethodGet, path: "/metadata", accept: "application/fhir+json", want: []int{http.StatusOK}})
	if err != nil {
		return Capability{}, err
	}
	defer a.close()
	raw, err := a.read(maxBundle)
	if errors.Is(err, errPageTooLong) {
		return Capability{}, a.unreadable("longer than is ever asked for")
	}
	if err != nil {
		return Capability{}, err
	}
	if !gjson.Valid(raw) || gjson.Get(raw, "resourceType").Str != "CapabilityStatement" {
		return Capability{}, a.unreadable("not a CapabilityStatement")
	}
	c := Capability{Unversioned: map[string]bool{}}
	for _, r := range gjson.Get(raw, "rest.0.resource").Array() {
		if typ := r.Get("type").Str; resourceType.MatchString(typ) {
			c.Types = append(c.Types, typ)
			c.Unversioned[typ] = r.Get("versioning").Str == "no-version"
		}
	}
	slices.Sort(c.Types)
	return c, nil
}
