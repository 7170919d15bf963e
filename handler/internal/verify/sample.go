package verify

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"

	"golang.org/x/sync/errgroup"

	"fhirmigration/handler/internal/fhir"
)

// stretches is into how many stretches the time of a type is cut for a sample. Each that has anything gives its share.
const stretches = 64

// drawsSideBySide is how many stretches of one type are drawn from together; other types are drawn from at the same time.
const drawsSideBySide = 4

// stretch is one of them, with what both sides have in it.
type stretch struct {
	from, till          int64 // Unix milliseconds
	source, destination int64
}

func (s stretch) size() int64 { return max(s.source, s.destination) }

func (s stretch) period() fhir.Period {
	return fhir.Period{Since: fromMilliseconds(s.from), Till: fromMilliseconds(s.till)}
}

// random gives the numbers for one type: the same for the same seed, whatever else the run does.
func (j *job) random(typ string) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(typ))
	return rand.New(rand.NewPCG(uint64(j.seed), h.Sum64()))
}

// sample compares a part of a type, spread over the whole time, and everything in those stretches of time in which the counts differ.
func (j *job) sample(ctx context.Context, u unit) (part, error) {
	take := j.cursor.Quotas[u.Type].Take
	p := part{size: take}
	all, err := j.stretches(ctx, u)
	if err != nil || len(all) == 0 {
		return p, err
	}
	random := j.random(u.Type)
	shares := share(all, take, random)
	begins := make([]int64, len(all))
	for i, s := range all {
		begins[i] = s.from + random.Int64N(max(s.till-s.from, 1)) // drawn in order, so that they depend on the seed alone
	}
	parts := make([]part, len(all))
	g, within := errgroup.WithContext(ctx)
	g.SetLimit(drawsSideBySide)
	for i, s := range all {
		if j.differs(s) {
			p.more = whole(p.more, unit{Task: taskSlice, Type: u.Type, Since: s.from, Till: s.till, Size: s.size()})
			continue // all of it is compared
		}
		g.Go(func() error {
			return j.draw(within, u.Type, s, begins[i], shares[i], func(chosen []fhir.Resource) error {
				return j.expect(within, chosen, u, &parts[i], j.keeps())
			})
		})
	}
	if err := g.Wait(); err != nil {
		return part{size: take}, err
	}
	for _, found := range parts {
		p.merge(found)
	}
	return p, nil
}

// whole adds a slice to those that are compared as a whole, or to the last of them when it goes on from there.
func whole(slices []unit, u unit) []unit {
	if last := len(slices) - 1; last >= 0 && slices[last].Till == u.Since {
		slices[last].Till, slices[last].Size = u.Till, slices[last].Size+u.Size
		return slices
	}
	return append(slices, u)
}

func (j *job) differs(s stretch) bool {
	return s.source != s.destination && !j.request.Plan.NewVersions
}

// expect looks for what was drawn at the destination.
func (j *job) expect(ctx context.Context, items []fhir.Resource, u unit, p *part, keep bool) error {
	wanted := items[:0:0]
	for _, r := range items {
		if !j.unwanted(r) {
			wanted = append(wanted, r)
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	if j.request.Plan.View == fhir.Versions {
		return j.expectVersions(ctx, wanted, u, p, keep)
	}
	return j.expectCurrent(ctx, wanted, u, p, keep)
}

// stretches cuts the time from the oldest resource of a type at either side, and counts both sides in all of them, in one call each.
func (j *job) stretches(ctx context.Context, u unit) (all []stretch, err error) {
	first, err := j.first(ctx, u)
	if err != nil {
		return nil, err
	}
	var urls []string
	n := min(stretches, u.Till-first)
	for i := range n {
		s := stretch{from: first + (u.Till-first)*i/n, till: first + (u.Till-first)*(i+1)/n}
		all = append(all, s)
		urls = append(urls, fhir.CountURL(u.Type, j.request.Plan.View, s.period()))
	}
	return all, j.countStretches(ctx, all, urls)
}

// first is when the oldest resource of a unit is from, at either side; its end when there is none.
func (j *job) first(ctx context.Context, u unit) (int64, error) {
	firsts := [2]int64{u.Till, u.Till}
	g, ctx := errgroup.WithContext(ctx)
	for i, s := range []*fhir.Service{j.Source, j.Destination} {
		g.Go(func() error {
			oldest, err := s.Oldest(ctx, u.Type, j.request.Plan.View, u.period(), 1)
			if err == nil && len(oldest) > 0 {
				firsts[i] = oldest[0].LastUpdated.UnixMilli()
			}
			return err
		})
	}
	err := g.Wait()
	return min(firsts[0], firsts[1]), err
}

func (j *job) countStretches(ctx context.Context, all []stretch, urls []string) error {
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	for name, service := range map[string]*fhir.Service{"source": j.Source, "destination": j.Destination} {
		g.Go(func() error {
			answers, err := batch(ctx, service, urls)
			for i := 0; i < len(answers) && err == nil; i++ {
				var n int64
				n, err = answers[i].Total()
				mu.Lock()
				if name == "source" {
					all[i].source = n
				} else {
					all[i].destination = n
				}
				mu.Unlock()
			}
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// share says how many of take come from each stretch: one of each that has any, in an order drawn at random where there are not enough for all, the rest by size.
func share(all []stretch, take int64, random *rand.Rand) []int64 {
	shares := make([]int64, len(all))
	var total int64
	for _, s := range all {
		total += s.source
	}
	left := min(take, total)
	for _, i := range random.Perm(len(all)) {
		if left > 0 && all[i].source > 0 {
			shares[i]++
			left--
		}
	}
	rest := left
	for i, s := range all {
		more := min(int64(float64(rest)*(float64(s.source)/float64(max(total, 1)))), s.source-shares[i], left)
		shares[i] += more
		left -= more
	}
	for i, s := range all {
		more := min(left, s.source-shares[i])
		shares[i] += more
		left -= more
	}
	return shares
}

// draw hands n resources of a stretch to yield, a page at a time, the first from a moment on, and where the stretch ends too early, those at its beginning.
func (j *job) draw(ctx context.Context, typ string, s stretch, begin, n int64, yield func([]fhir.Resource) error) error {
	left, err := j.some(ctx, typ, stretch{from: begin, till: s.till}, n, yield)
	if err != nil || left == 0 || begin == s.from {
		return err
	}
	_, err = j.some(ctx, typ, stretch{from: s.from, till: begin}, left, yield)
	return err
}

// some hands the n oldest resources of a stretch to yield, and says how many there were not.
func (j *job) some(ctx context.Context, typ string, s stretch, n int64, yield func([]fhir.Resource) error) (left int64, err error) {
	if left = n; n == 0 {
		return 0, nil
	}
	var wrong error // of yield: of the destination
	take := func(page []fhir.Resource) error {
		page = page[:min(int64(len(page)), left)]
		left -= int64(len(page))
		if wrong = yield(page); wrong == nil && left == 0 {
			return errEnough
		}
		return wrong
	}
	if n <= fhir.MaxIDs {
		var items []fhir.Resource
		if items, err = j.Source.Oldest(ctx, typ, j.request.Plan.View, s.period(), int(n)); err == nil {
			err = take(items)
		}
	} else {
		err = j.Source.Resources(ctx, typ, j.request.Plan.View, s.period(), take)
	}
	switch {
	case errors.Is(err, errEnough):
		return 0, nil
	case err != nil && wrong == nil:
		err = fmt.Errorf("source: %w", err)
	}
	return left, err
}

// keeps says whether the run is so small that its matches are listed, too.
func (j *job) keeps() bool { return !j.request.All && took(j.cursor.Quotas) <= smallRun }
