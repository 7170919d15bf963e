package verify

import (
	"context"
	"fmt"
	"slices"

	"github.com/tidwall/gjson"

	"fhirmigration/handler/internal/fhir"
)

const (
	// searchesPerUnit is how many searches one unit of a run makes on each side.
	searchesPerUnit = 16
	// maxNamedSearches bounds the searches that are named.
	maxNamedSearches = 50
)

// Searches is what became of the search by each custom search parameter, on both sides: one for each type that it is for.
type Searches struct {
	Done         bool     `json:"done"` // all were made
	Equal        int64    `json:"equal"`
	Different    int64    `json:"different"`
	NotPossible  int64    `json:"notPossible"` // the source itself cannot search by it, so there is nothing to compare
	NotKnown     int64    `json:"notKnown"`
	Named        []string `json:"named,omitempty"` // those that are not equal, with the reason, maxNamedSearches at most
	SearchesMade int64    `json:"made"`
}

// name keeps the first reasons.
func (s *Searches) name(text string) {
	if len(s.Named) < maxNamedSearches {
		s.Named = append(s.Named, within(text, maxNamedSearch))
	}
}

// search is one to make.
type search struct{ typ, code string }

// searches compares what some of the custom search parameters find, and leaves the others to the next unit. A parameter for all types is
// tried with patients.
func (j *job) searches(ctx context.Context, u unit) (part, error) {
	parameters, err := j.Source.SearchParameters(ctx)
	if err != nil {
		return part{}, fmt.Errorf("source: %w", err)
	}
	all := searchesBy(parameters)
	from := min(int(u.Line), len(all))
	to := min(from+searchesPerUnit, len(all))
	var made Searches
	for _, s := range all[from:to] {
		if err := j.compareSearch(ctx, s, &made, u.last()); err != nil {
			return part{}, err
		}
	}
	made.Done = to == len(all)
	p := part{apply: func(_ *cursor, r *result) { r.searched(made) }}
	if !made.Done {
		p.more = []unit{{Task: taskSearches, Line: int64(to)}}
	}
	return p, nil
}

// searchesBy lists what there is to search by, always in the same order.
func searchesBy(parameters []fhir.SearchParameter) (all []search) {
	for _, p := range parameters {
		code := gjson.Get(p.Raw, "code").String()
		for _, base := range gjson.Get(p.Raw, "base").Array() {
			typ := base.String()
			if typ == "Resource" || typ == "DomainResource" {
				typ = "Patient"
			}
			all = append(all, search{typ, code})
		}
	}
	slices.SortFunc(all, func(a, b search) int { return slices.Compare([]string{a.typ, a.code}, []string{b.typ, b.code}) })
	return slices.Compact(all)
}

// compareSearch makes one search on both sides. An error that goes away has the unit tried again, but the last time.
func (j *job) compareSearch(ctx context.Context, s search, made *Searches, last bool) error {
	made.SearchesMade++
	name := s.typ + "?" + s.code
	source, err := j.Source.SearchBy(ctx, s.typ, s.code, j.request.period())
	if fhir.KindOf(err) == fhir.Refused {
		made.NotPossible++
		return nil
	}
	if err != nil {
		return j.searchMissed(made, name, fmt.Errorf("source: %w", err), last)
	}
	destination, err := j.Destination.SearchBy(ctx, s.typ, s.code, j.request.period())
	switch {
	case fhir.KindOf(err) == fhir.Refused:
		made.Different++
		made.name(fmt.Sprintf("%s: the destination cannot search by it: %v", name, err))
	case err != nil:
		return j.searchMissed(made, name, fmt.Errorf("destination: %w", err), last)
	case source.N != destination.N:
		made.Different++
		made.name(fmt.Sprintf("%s: %d at the source, %d at the destination", name, source.N, destination.N))
	case !sameIDs(source.IDs, destination.IDs):
		made.Different++
		made.name(fmt.Sprintf("%s: %d on both sides, but others", name, source.N))
	default:
		made.Equal++
	}
	return nil
}

func (j *job) searchMissed(made *Searches, name string, err error, last bool) error {
	if !last {
		return err
	}
	made.NotKnown++
	made.name(name + ": " + err.Error())
	return nil
}

// sameIDs compares without the order: what has the same time may come in either.
func sameIDs(a, b []string) bool {
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

func (r *result) searched(made Searches) {
	if r.Searches == nil {
		r.Searches = &Searches{}
	}
	s := r.Searches
	s.Done = made.Done
	s.Equal, s.Different, s.NotPossible, s.NotKnown = s.Equal+made.Equal, s.Different+made.Different, s.NotPossible+made.NotPossible, s.NotKnown+made.NotKnown
	s.SearchesMade += made.SearchesMade
	for _, text := range made.Named {
		s.name(text)
	}
}
