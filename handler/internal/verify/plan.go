package verify

import (
	"context"
	"maps"
	"math/big"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
)

// plan counts every type, so that the run knows what there is to do, how much it is and, for a sample, which part of it to take of which type. A type
// that cannot be counted now is looked at all the same.
func (j *job) plan(ctx context.Context) (part, error) {
	if j.request.Source == Staged {
		return j.planStaged(ctx)
	}
	var mu sync.Mutex
	var types []string
	atSource, sizes := map[string]int64{}, map[string]int64{}
	var expected int64
	g, within := errgroup.WithContext(ctx)
	g.SetLimit(countsSideBySide)
	for _, typ := range j.request.Types {
		g.Go(func() error {
			source, destination, err := j.countBoth(within, typ, j.request.Plan.View, j.request.period())
			mu.Lock()
			defer mu.Unlock()
			if err != nil || source > 0 || destination > 0 {
				types = append(types, typ)
				expected += max(source, destination)
				if err == nil {
					sizes[typ] = max(source, destination)
				}
				if err == nil && source > 0 {
					atSource[typ] = source
				}
			}
			return within.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return part{}, err
	}
	slices.Sort(types)
	p := part{apply: func(c *cursor, r *result) {
		c.Types, c.Sizes, r.Expected = types, sizes, expected
		if !j.request.All {
			c.Sizes = nil
			c.Quotas = quotas(atSource, j.request.Count)
			r.Expected = took(c.Quotas)
		}
	}}
	p.more = []unit{{Task: taskChanged}}
	if j.request.All && j.Settings.MigrateSearchParameters {
		p.more = append(p.more, unit{Task: taskSearches})
	}
	if !j.request.Plan.NewVersions {
		p.more = append(p.more, unit{Task: taskTail})
	}
	return p, nil
}

// quotas shares a sample out among the types: one of each at least, the rest by their sizes.
func quotas(sizes map[string]int64, count int64) map[string]quota {
	var total int64
	for _, n := range sizes {
		total += n
	}
	shares := make(map[string]quota, len(sizes))
	rest := max(count-int64(len(sizes)), 0)
	for typ, n := range sizes {
		share := new(big.Int).Mul(big.NewInt(rest), big.NewInt(n)) // may be above 2^63
		share.Div(share, big.NewInt(max(total, 1)))
		shares[typ] = quota{Take: min(1+share.Int64(), n), Of: n}
	}
	// What the rounding left goes to the largest.
	left := count - took(shares)
	for _, typ := range slices.SortedFunc(maps.Keys(sizes), func(a, b string) int {
		if sizes[a] != sizes[b] {
			return int(max(min(sizes[b]-sizes[a], 1), -1))
		}
		return slices.Compare([]byte(a), []byte(b))
	}) {
		q := shares[typ]
		more := max(min(left, q.Of-q.Take), 0)
		shares[typ] = quota{q.Take + more, q.Of}
		left -= more
	}
	return shares
}

func took(shares map[string]quota) (n int64) {
	for _, q := range shares {
		n += q.Take
	}
	return n
}

// planStaged adds up what the manifests say.
func (j *job) planStaged(ctx context.Context) (part, error) {
	sizes, err := j.exported(ctx, fhir.Period{Since: j.request.Since, Till: j.request.Till})
	if err != nil {
		return part{}, err
	}
	var expected int64
	for _, n := range sizes {
		expected += n
	}
	p := part{apply: func(c *cursor, r *result) {
		c.Window, c.Extras, r.Expected = 1, 1, expected
		if !j.request.All {
			c.Quotas = quotas(sizes, j.request.Count)
			r.Expected, c.Extras = took(c.Quotas), 0
		}
	}}
	if j.request.Plan.Settled && !j.request.Plan.NewVersions {
		p.more = []unit{{Task: taskTail}}
	}
	return p, nil
}

// exported is how many lines of each type the windows in a period exported.
func (j *job) exported(ctx context.Context, period fhir.Period) (map[string]int64, error) {
	sizes := map[string]int64{}
	for number := range j.request.Plan.Windows {
		w, ok, err := j.windowIn(ctx, number, period)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		for typ, n := range w.CountsByType {
			if j.wants(typ) {
				sizes[typ] += n
			}
		}
	}
	return sizes, nil
}

func (j *job) wants(typ string) bool { return slices.Contains(j.request.Types, typ) }

// windowIn reads a window that is done and lies within a period as a whole or in part. ok is false for any other row.
func (j *job) windowIn(ctx context.Context, number int, period fhir.Period) (w ledger.Window, ok bool, err error) {
	w, err = j.Ledger.Window(ctx, number)
	if notWindow(err) {
		return w, false, nil
	}
	if err != nil {
		return w, false, err
	}
	inside := w.Till.After(period.Since) && w.Since.Before(period.Till)
	return w, inside && w.Phase() == ledger.Done, nil
}
