package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"fhirmigration/handler/internal/fhir"
)

// stream is one side of a join: the resources of a stretch, oldest first, page by page.
type stream struct {
	pages chan []fhir.Resource
	page  []fhir.Resource
}

// peek is the next resource; ok is false at the end.
func (s *stream) peek() (r *fhir.Resource, ok bool) {
	for len(s.page) == 0 {
		if s.page, ok = <-s.pages; !ok {
			return nil, false
		}
	}
	return &s.page[0], true
}

// millisecond is when the next resource was updated; at the end it is later than all.
func (s *stream) millisecond() (time.Time, bool) {
	r, ok := s.peek()
	if !ok {
		return time.Time{}, false
	}
	return r.LastUpdated.Truncate(time.Millisecond), true
}

var errOrder = errors.New("the answers are not in the order of lastUpdated")

// take takes all resources of one millisecond. Nearly always they are neighbours on one page, and then a part of it.
func (s *stream) take(at time.Time) (all []fhir.Resource, err error) {
	for {
		next, ok := s.millisecond()
		if !ok || !next.Equal(at) {
			if ok && next.Before(at) {
				return nil, errOrder
			}
			return all, nil
		}
		n := 1
		for n < len(s.page) && sameMillisecond(s.page[n].LastUpdated, at) {
			n++
		}
		if all == nil {
			all = s.page[:n:n]
		} else {
			all = append(all, s.page[:n]...)
		}
		s.page = s.page[n:]
	}
}

// pairs is what a join hands on: resources of both sides that belong together, and those that only one side has in the stretch.
type pairs struct {
	both          func(source, destination fhir.Resource)
	atSource      func(context.Context, fhir.Resource) error
	atDestination func(context.Context, fhir.Resource) error
}

// join walks through a stretch of a type on both sides at once. Both come in the order of time, and an import keeps the time to the millisecond, so that
// what belongs together comes together: in memory are two pages of each side, and the resources of one millisecond.
func (j *job) join(ctx context.Context, typ string, period fhir.Period, to pairs) error {
	g, ctx := errgroup.WithContext(ctx)
	here, there := fhir.NewBeside()
	read := func(s *fhir.Service, name string, beside *fhir.Beside) *stream {
		side := &stream{pages: make(chan []fhir.Resource)}
		g.Go(func() error {
			defer close(side.pages)
			err := s.ResourcesBeside(ctx, typ, j.request.Plan.View, period, beside, func(page []fhir.Resource) error {
				select {
				case side.pages <- page:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			})
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
		return side
	}
	source, destination := read(j.Source, "source", here), read(j.Destination, "destination", there)
	g.Go(func() error { return j.zip(ctx, source, destination, to) })
	return g.Wait()
}

func (j *job) zip(ctx context.Context, source, destination *stream, to pairs) error {
	for {
		left, more := source.millisecond()
		right, also := destination.millisecond()
		if ctx.Err() != nil { // a side that broke off looks like one that ended
			return ctx.Err()
		}
		at := left
		switch {
		case !more && !also:
			return nil
		case !more || also && right.Before(left):
			at = right
		}
		atSource, err := source.take(at)
		if err != nil {
			return fmt.Errorf("source: %w", err)
		}
		atDestination, err := destination.take(at)
		if err != nil {
			return fmt.Errorf("destination: %w", err)
		}
		if err := j.match(ctx, atSource, atDestination, to); err != nil {
			return err
		}
	}
}

// match finds the pairs among the resources of one millisecond, by id. Two versions of a resource cannot share a millisecond at the
// destination; where they do at the source, the version decides.
func (j *job) match(ctx context.Context, source, destination []fhir.Resource, to pairs) error {
	if len(source) == 1 && len(destination) == 1 && source[0].ID == destination[0].ID && !j.unwanted(source[0]) {
		to.both(source[0], destination[0])
		return nil
	}
	byID := make(map[string][]fhir.Resource, len(destination))
	for _, r := range destination {
		byID[r.ID] = append(byID[r.ID], r)
	}
	for _, r := range source {
		if j.unwanted(r) {
			continue
		}
		candidates := byID[r.ID]
		if len(candidates) == 0 {
			if err := to.atSource(ctx, r); err != nil {
				return err
			}
			continue
		}
		best := 0
		for i, c := range candidates {
			if c.VersionID == r.VersionID {
				best = i
			}
		}
		to.both(r, candidates[best])
		byID[r.ID] = append(candidates[:best:best], candidates[best+1:]...)
	}
	for _, r := range destination {
		left := byID[r.ID]
		if len(left) == 0 {
			continue
		}
		byID[r.ID] = left[1:]
		if err := to.atDestination(ctx, left[0]); err != nil {
			return err
		}
	}
	return nil
}

// unwanted is a deletion that was not migrated because that was switched off.
func (j *job) unwanted(r fhir.Resource) bool { return r.Deleted && !j.request.Plan.Deletes }
