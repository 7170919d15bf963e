package fhir

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Period is the time [Since, Till), in milliseconds; a zero bound is open.
type Period struct{ Since, Till time.Time }

// String is the period as errors show it.
func (p Period) String() string { return "[" + stamp(p.Since) + ", " + stamp(p.Till) + ")" }

// contains says whether at is in the period, whose bounds are sent to the millisecond.
func (p Period) contains(at time.Time) bool {
	return (p.Since.IsZero() || !at.Before(p.Since.Truncate(time.Millisecond))) &&
		(p.Till.IsZero() || at.Before(p.Till.Truncate(time.Millisecond)))
}

// Count is a number of resources or versions.
type Count struct {
	N int64
	// Cosmos says that the reply carried x-ms-request-charge: the service keeps its data in Cosmos.
	Cosmos bool
}

// instantFormat is how instants are sent: milliseconds and Z, so that a bound is exact on either kind of service.
const instantFormat = "2006-01-02T15:04:05.000Z"

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(instantFormat)
}

// CountResources counts the current, undeleted resources of all types that were last updated in p. There may be more than a service counts
// at once.
func (s *Service) CountResources(ctx context.Context, p Period) (Count, error) {
	return s.countIn(ctx, p, func(p Period) call {
		return searchCall("count resources "+p.String(), "_summary=count"+lastUpdated(p))
	}, maxHalvings)
}

// searchCall is a search across all types; strict, because a filter that a lenient service does not understand is ignored.
func searchCall(op, query string) call {
	return call{op: op, method: http.MethodGet, path: "/", query: query, accept: "application/fhir+json", prefer: "handling=strict",
		want: []int{http.StatusOK}}
}

func lastUpdated(p Period) string {
	return bound("_lastUpdated", "ge", p.Since) + bound("_lastUpdated", "lt", p.Till)
}

// bound is a further parameter of a query, nothing for an open bound.
func bound(name, comparison string, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return "&" + name + "=" + comparison + url.QueryEscape(stamp(t))
}

func (s *Service) count(ctx context.Context, c call) (Count, error) {
	a, err := s.do(ctx, c)
	if err != nil {
		return Count{}, err
	}
	defer a.close()
	p, err := a.bundle(nil)
	if err != nil {
		return Count{}, err
	}
	if p.total == nil {
		return Count{}, a.unreadable("the bundle has no total")
	}
	return Count{N: *p.total, Cosmos: a.header.Get("X-Ms-Request-Charge") != ""}, nil
}

// first is the time of the oldest match of a call that sorts by time.
func (s *Service) first(ctx context.Context, p Period, c call) (at time.Time, found bool, err error) {
	err = s.refs(ctx, p, c, func(r Ref) (bool, error) {
		at, found = r.LastUpdated, true
		return false, nil
	})
	if err != nil {
		return time.Time{}, false, err
	}
	return at, found, nil
}

// refs hands the matches of a call and of all its next pages to yield. An error of yield is returned as it is; a match
// outside of p is an error, because the service has then not done what it was asked.
func (s *Service) refs(ctx context.Context, p Period, c call, yield func(Ref) (more bool, err error)) error {
	each := func(e entry) error {
		if !e.match() {
			return nil
		}
		r, err := e.ref()
		if err != nil {
			return badEntry{err.Error()}
		}
		if !p.contains(r.LastUpdated) {
			return badEntry{fmt.Sprintf("%s/%s was last updated at %s, outside of the period", r.Type, r.ID, r.LastUpdated.Format(time.RFC3339Nano))}
		}
		more, err := yield(r)
		if err == nil && !more {
			err = errStop
		}
		return err
	}
	seen := make(map[[sha256.Size]byte]bool)
	for {
		seen[sha256.Sum256([]byte(c.query))] = true
		next, err := s.page(ctx, c, each)
		switch {
		case errors.Is(err, errStop):
			return nil
		case err != nil || next == "":
			return err
		case seen[sha256.Sum256([]byte(next))]:
			return &Error{Op: c.op, Kind: Unreadable, Status: http.StatusOK, Err: errors.New("a next link leads back to a page that was read before")}
		}
		c.query = next
	}
}

// page reads one page and returns the query of the next, "" at the end.
func (s *Service) page(ctx context.Context, c call, each func(entry) error) (next string, err error) {
	a, err := s.do(ctx, c)
	if err != nil {
		return "", err
	}
	defer a.close()
	p, err := a.bundle(each)
	if err != nil || p.next == "" {
		return "", err
	}
	if next, err = s.nextQuery(c.path, p.next); err != nil {
		return "", &Error{Op: c.op, Kind: Refused, Status: a.status, Err: err}
	}
	return next, nil
}

// bundle reads an answer as a bundle.
func (a *answer) bundle(each func(entry) error) (page, error) {
	p, err := readBundle(a.body, maxBundle, each)
	var not notBundle
	var bad badEntry
	switch {
	case errors.As(err, &not):
		return page{}, a.unreadable(not.why)
	case errors.As(err, &bad): // the body is one of records: nothing of it is quoted
		e := a.fail(Unreadable)
		e.Err = bad
		return page{}, e
	}
	return p, err
}
