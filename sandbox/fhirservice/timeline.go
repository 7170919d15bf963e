package fhirservice

import (
	"cmp"
	"slices"
	"sort"
)

// timeline is rows in order of lastUpdated, those of one millisecond in order of insertion. It is extended by making a new one or by appending
// behind its end, so that who has an older one may go on reading it.
type timeline []*row

func compareRows(a, b *row) int { return cmp.Or(cmp.Compare(a.ms, b.ms), cmp.Compare(a.seq, b.seq)) }

// with returns the timeline with a batch of rows, in any order, put in.
func (t timeline) with(batch []*row) timeline {
	batch = slices.Clone(batch)
	slices.SortFunc(batch, compareRows)
	if len(batch) == 0 || len(t) == 0 || compareRows(t[len(t)-1], batch[0]) < 0 {
		return append(t, batch...)
	}
	merged := make(timeline, 0, len(t)+len(batch))
	for len(t) > 0 && len(batch) > 0 {
		if compareRows(t[0], batch[0]) < 0 {
			merged, t = append(merged, t[0]), t[1:]
		} else {
			merged, batch = append(merged, batch[0]), batch[1:]
		}
	}
	return append(append(merged, t...), batch...)
}

func (t timeline) keep(wanted func(*row) bool) timeline {
	var kept timeline
	for _, r := range t {
		if wanted(r) {
			kept = append(kept, r)
		}
	}
	return kept
}

// between returns the rows with from <= lastUpdated < to, in Unix milliseconds.
func (t timeline) between(from, to int64) timeline {
	if from >= to {
		return nil
	}
	lo := sort.Search(len(t), func(i int) bool { return t[i].ms >= from })
	hi := sort.Search(len(t), func(i int) bool { return t[i].ms >= to })
	return t[lo:hi:hi]
}

// after returns the rows behind a place on the timeline; before, those in front of it.
func (t timeline) after(p place) timeline {
	return t[sort.Search(len(t), func(i int) bool { return p.compare(t[i]) < 0 }):]
}

func (t timeline) before(p place) timeline {
	return t[:sort.Search(len(t), func(i int) bool { return p.compare(t[i]) <= 0 })]
}

// place is where a row is on a timeline.
type place struct {
	MS  int64 `json:"m"`
	Seq int64 `json:"s"`
}

func (p place) compare(r *row) int { return cmp.Or(cmp.Compare(p.MS, r.ms), cmp.Compare(p.Seq, r.seq)) }

// ends are the first and last lastUpdated, 0 and 0 when there is no row.
func (t timeline) ends() (oldest, newest int64) {
	if len(t) == 0 {
		return 0, 0
	}
	return t[0].ms, t[len(t)-1].ms
}
