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
	items := make([][]fhir.Resource, len(all))
	g, within := errgroup.WithContext(ctx)
	g.SetLimit(sideBySide)
	for i, s := range all {
		if j.differs(s) {
			p.more = append(p.more, unit{Task: taskSlice, Type: u.Type, Since: s.from, Till: s.till})
			continue // all of it is compared
		}
		g.Go(func() (err error) {
			items[i], err = j.draw(within, u.Type, s, begins[i], shares[i])
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return part{size: take}, fmt.Errorf("source: %w", err)
	}
	for _, chosen := range items {
		if err := j.expect(ctx, chosen, u, &p, j.keeps()); err != nil {
			return part{size: take}, err
		}
	}
	return p, nil
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

// draw takes n resources of a stretch, the first from a moment on, and where the stretch ends too early, those at its beginning.
func (j *job) draw(ctx context.Context, typ string, s stretch, begin, n int64) ([]fhir.Resource, error) {
	if n == 0 {
		return nil, nil
	}
	late := stretch{from: begin, till: s.till}
	items, err := j.some(ctx, typ, late, n)
	if err != nil || int64(len(items)) >= n || begin == s.from {
		return items, err
	}
	early, err := j.some(ctx, typ, stretch{from: s.from, till: begin}, n-int64(len(items)))
	return append(items, early...), err
}

func (j *job) some(ctx context.Context, typ string, s stretch, n int64) (items []fhir.Resource, err error) {
	if n <= fhir.MaxIDs {
		return j.Source.Oldest(ctx, typ, j.request.Plan.View, s.period(), int(n))
	}
	err = j.Source.Resources(ctx, typ, j.request.Plan.View, s.period(), func(page []fhir.Resource) error {
		if items = append(items, page...); int64(len(items)) >= n {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return items[:min(int64(len(items)), n)], err
}

// keeps says whether the run is so small that its matches are listed, too.
func (j *job) keeps() bool { return !j.request.All && took(j.cursor.Quotas) <= smallRun }
