package synthetic

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Stretch is a time in which nothing was written: [From, To).
type Stretch struct {
	From, To time.Time
}

// emptyShares are the empty stretches of every clinic, as shares of its time: where one begins at the earliest, how far
// chance may move it, and how long it is. In five years they last about 4, 6, 2 and 4 months.
var emptyShares = []struct{ from, drift, length float64 }{
	{0.10, 0.03, 0.07},
	{0.36, 0.05, 0.10},
	{0.58, 0.03, 0.03},
	{0.74, 0.06, 0.06},
}

// EmptyStretches tells when nothing was written, in order. Only Seed, Start and End matter.
func EmptyStretches(o Options) []Stretch {
	random := newRandom(o.Seed, "empty stretches")
	start, whole := o.Start.Truncate(time.Millisecond).UTC(), o.End.Sub(o.Start)
	stretches := make([]Stretch, 0, len(emptyShares))
	for _, share := range emptyShares {
		begin := share.from + random.Float64()*share.drift
		from := start.Add(time.Duration(begin * float64(whole))).Truncate(time.Millisecond)
		to := from.Add(time.Duration(share.length * float64(whole))).Truncate(time.Millisecond)
		stretches = append(stretches, Stretch{From: from, To: to})
	}
	return stretches
}

// timeline counts the milliseconds in which something could be written, the empty stretches left out: a number drawn
// evenly from [0, length) is an instant that lies in no stretch.
type timeline struct {
	start   time.Time
	length  int64
	stretch []Stretch
}

func newTimeline(o Options) (*timeline, error) {
	start, end := o.Start.Truncate(time.Millisecond).UTC(), o.End.Truncate(time.Millisecond).UTC()
	line := &timeline{start: start, length: end.Sub(start).Milliseconds(), stretch: EmptyStretches(o)}
	for _, s := range line.stretch {
		line.length -= s.To.Sub(s.From).Milliseconds()
	}
	// Every version wants a millisecond; a resource has at most six of them.
	if line.length < int64(o.Resources)*1000 {
		return nil, fmt.Errorf("synthetic data: from %s to %s is too short for %d resources: give them a second each",
			start.Format(time.RFC3339), end.Format(time.RFC3339), o.Resources)
	}
	return line, nil
}

// at turns the number of a busy millisecond into its instant.
func (l *timeline) at(ms int64) time.Time {
	t := l.start.Add(time.Duration(ms) * time.Millisecond)
	for _, s := range l.stretch {
		if !t.Before(s.From) {
			t = t.Add(s.To.Sub(s.From))
		}
	}
	return t
}

// instants draws when n resources were created, as busy milliseconds in order: the first at the very start, the last in
// the very last millisecond. About one in twenty shares the millisecond of the one before it, never more than three.
func (l *timeline) instants(random *rand.Rand, n int) []int64 {
	drawn := make([]int64, n)
	for i := range drawn {
		drawn[i] = random.Int64N(l.length)
	}
	slices.Sort(drawn)
	drawn[0] = 0
	if n > 1 {
		drawn[n-1] = l.length - 1
	}
	for i := 1; i < n-1; i++ {
		twice := i > 1 && drawn[i-2] == drawn[i-1]
		if !twice && random.IntN(20) == 0 {
			drawn[i] = drawn[i-1]
		}
	}
	return drawn
}

// later draws n instants after ms, in order and all different; fewer when there is no room for them.
func (l *timeline) later(random *rand.Rand, ms int64, n int) []int64 {
	room := l.length - 1 - ms
	if room <= 0 {
		return nil
	}
	drawn := make([]int64, n)
	for i := range drawn {
		drawn[i] = ms + 1 + random.Int64N(room)
	}
	slices.Sort(drawn)
	return slices.Compact(drawn)
}
