package fhir

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// maxHalvings bounds how often a period is halved to be counted: what is left of twenty years then is less than two days.
const maxHalvings = 12

// countIn counts p with the call that makes of it. A service refuses (403) a total above 2^31-1, so what is refused is counted in halves: the
// sum has 64 bits. A refusal for another reason is met by the first half again, and ends it.
func (s *Service) countIn(ctx context.Context, p Period, makes func(Period) call, halvings int) (Count, error) {
	whole, err := s.count(ctx, makes(p))
	at, ok := s.middle(p)
	if halvings == 0 || !ok || !tooMany(err) {
		return whole, err
	}
	sum := Count{}
	for _, half := range []Period{{p.Since, at}, {at, p.Till}} {
		n, halfErr := s.countIn(ctx, half, makes, halvings-1)
		if tooMany(halfErr) { // it was not the size, or there is no telling
			return Count{}, err
		}
		if halfErr != nil {
			return Count{}, halfErr
		}
		sum = Count{N: sum.N + n.N, Cosmos: n.Cosmos}
	}
	return sum, nil
}

// tooMany says whether a count may have been refused for its size. The service's text is not to be relied on.
func tooMany(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == Refused && e.Status == http.StatusForbidden
}

// firstYears is before anything that a FHIR service holds was last updated, but for very little.
var firstYears = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// middle is where a period is cut in two. An open end is an hour ago at the earliest cut: a history is not asked for the future.
func (s *Service) middle(p Period) (at time.Time, ok bool) {
	since := p.Since
	if since.IsZero() {
		since = firstYears
	}
	if p.Till.IsZero() {
		at = s.clock().Add(-time.Hour).Truncate(time.Millisecond)
	} else {
		at = since.Add(p.Till.Sub(since) / 2).Truncate(time.Millisecond)
	}
	return at, at.After(since) && (p.Till.IsZero() || at.Before(p.Till))
}
