package fhir

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
)

// parameterCode is what a search parameter can be called in a query.
var parameterCode = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,128}$`)

// MaxFound is how many ids SearchBy returns at most: one page.
const MaxFound = 1000

// Found is what a search found.
type Found struct {
	N   int64    // all of them
	IDs []string // the oldest, MaxFound at most
}

// SearchBy looks for the resources of one type, last updated in p, in which a search parameter finds something. A parameter by which the
// service cannot search (it does not know it, or was not reindexed since) is Refused.
func (s *Service) SearchBy(ctx context.Context, typ, code string, p Period) (Found, error) {
	op := fmt.Sprintf("search %s by %s", line(typ, 64), line(code, 128))
	if !resourceType.MatchString(typ) || !parameterCode.MatchString(code) {
		return Found{}, &Error{Op: op, Kind: Refused, Err: errors.New("not a resource type and the code of a search parameter")}
	}
	filter := "&" + url.QueryEscape(code) + ":missing=false" + lastUpdated(p)
	c := searchCall(op, "_summary=count"+filter)
	c.path = "/" + typ
	n, err := s.count(ctx, c)
	if err != nil {
		return Found{}, err
	}
	found := Found{N: n.N}
	c.query = fmt.Sprintf("_sort=_lastUpdated&_count=%d", MaxFound) + filter
	err = s.bulk(ctx, c, nil, func(page []Resource) error {
		for _, r := range page {
			if found.IDs = append(found.IDs, r.ID); len(found.IDs) == MaxFound {
				return errStop
			}
		}
		return nil
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return found, err
}
