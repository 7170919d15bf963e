package preflight

import (
	"fmt"
	"math"
)

const (
	// generation is how many versions are remembered before the older half is forgotten.
	generation = 200_000
	// maxChain is how many versions of one resource are compared with a new one.
	maxChain = 1_000
)

// versions remembers versions by resource, for those that contradict one another. Two generations: a full one becomes the old one, and
// what was the old one is forgotten.
type versions struct {
	Old, New memory
}

// memory is one generation: chains of records, a chain a resource, the newest first.
type memory struct {
	Heads   map[uint64]int32 // index in Records, plus 1
	Records []record
}

// record is one version of a resource.
type record struct {
	Version int32
	Millis  int64
	Place   Place
	Next    int32 // index of the next one of the resource, plus 1; 0: none
}

// forgotten marks a record that is left out: nothing is compared with it.
const forgotten = math.MinInt32

func newVersions() (v versions) {
	v.complete()
	return v
}

// complete makes the maps that gob leaves out when they are empty.
func (v *versions) complete() {
	for _, m := range []*memory{&v.Old, &v.New} {
		if m.Heads == nil {
			m.Heads = map[uint64]int32{}
		}
	}
}

// add compares a version with those of its resource that are remembered, and remembers it. Of two that contradict one another the lower version
// is at fault, whichever comes first, so that which are kept does not depend on the order of the lines. The newest version always is.
func (v *versions) add(resource uint64, r record, found func(record, Kind, string)) {
	keep, older := v.compare(resource, r, found)
	if !keep {
		return
	}
	for _, o := range older {
		found(*o, Order, contradiction(*o, r))
		o.Version = forgotten
	}
	if len(v.New.Records) >= generation {
		v.Old, v.New = v.New, memory{Heads: make(map[uint64]int32, len(v.New.Heads))}
	}
	r.Next = v.New.Heads[resource]
	v.New.Records = append(v.New.Records, r)
	v.New.Heads[resource] = int32(len(v.New.Records))
}

// compare says whether r is to be remembered, and which versions before it contradict it.
func (v *versions) compare(resource uint64, r record, found func(record, Kind, string)) (keep bool, older []*record) {
	seen := 0
	for _, m := range []*memory{&v.New, &v.Old} {
		for i := m.Heads[resource]; i > 0 && seen < maxChain; seen++ {
			o := &m.Records[i-1]
			i = o.Next
			switch {
			case o.Version == forgotten:
			case o.Version == r.Version && o.Millis == r.Millis:
				if o.Place.File == r.Place.File { // from another file it is taken as what is there already
					found(r, Duplicate, fmt.Sprintf("version %d is on line %d, too", r.Version, o.Place.Line+1))
				}
				return false, nil
			case o.Version > r.Version && o.Millis <= r.Millis, o.Version == r.Version && o.Millis > r.Millis:
				found(r, Order, contradiction(r, *o))
				return false, nil
			case o.Version < r.Version && o.Millis >= r.Millis, o.Version == r.Version:
				older = append(older, o)
			}
		}
	}
	return true, older
}

// contradiction says what is wrong with o beside r, whose version is not lower.
func contradiction(o, r record) string {
	if o.Version == r.Version {
		return fmt.Sprintf("version %d of %s comes again with %s", o.Version, instant(o.Millis), instant(r.Millis))
	}
	return fmt.Sprintf("version %d of %s is not before version %d of %s", o.Version, instant(o.Millis), r.Version, instant(r.Millis))
}
