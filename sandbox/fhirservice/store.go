package fhirservice

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Version is one stored version of a resource.
type Version struct {
	Type, ID    string
	VersionID   string    // a whole number of 32 bits; negative ones are history that an import slotted in below version 1
	LastUpdated time.Time // to the millisecond
	Deleted     bool
	Raw         []byte // the JSON as the service returns it: id, meta.versionId, meta.lastUpdated set; a deleted one has only resourceType, id, meta
}

var idPattern = regexp.MustCompile(`^[A-Za-z0-9\-.]{1,64}$`)

// row is a version in the store. It is never changed once it is there, so that readers may keep it without a lock.
type row struct {
	Version
	number int   // VersionID
	ms     int64 // LastUpdated, Unix milliseconds
	seq    int64 // order of insertion, which tells rows of one millisecond apart
	of     *record
}

type key struct{ typ, id string }

func (r *row) key() key { return key{r.Type, r.ID} }

// newRow checks a version and makes its raw JSON agree with its fields.
func newRow(v Version) (*row, error) {
	number, err := strconv.ParseInt(v.VersionID, 10, 32)
	switch {
	case !isResourceType(v.Type):
		return nil, errors.New("not an R4 resource type")
	case !idPattern.MatchString(v.ID):
		return nil, errors.New("the id is not 1 to 64 of [A-Za-z0-9-.]")
	case err != nil:
		return nil, errors.New("the version is not a whole number of 32 bits")
	case v.LastUpdated.IsZero():
		return nil, errors.New("lastUpdated is missing")
	}
	v.LastUpdated = v.LastUpdated.Truncate(time.Millisecond)
	v.VersionID = strconv.FormatInt(number, 10)
	if len(v.Raw) == 0 && v.Deleted {
		v.Raw = tombstone(v.Type, v.ID)
	}
	if v.Raw, err = stamp(v.Raw, v); err != nil {
		return nil, err
	}
	return &row{Version: v, number: int(number), ms: v.LastUpdated.UnixMilli()}, nil
}

// record is all versions of one resource, ascending by number.
type record struct{ rows []*row }

func (r *record) current() *row { return r.rows[len(r.rows)-1] }

// find returns the version with a number, or nil.
func (r *record) find(number int) *row {
	if i, ok := slices.BinarySearchFunc(r.rows, number, func(a *row, n int) int { return cmp.Compare(a.number, n) }); ok {
		return r.rows[i]
	}
	return nil
}

// at returns the version with a lastUpdated, or nil.
func (r *record) at(ms int64) *row {
	for _, x := range r.rows {
		if x.ms == ms {
			return x
		}
	}
	return nil
}

// store holds every version. Its methods lock it; those whose name ends in Locked expect the caller to.
type store struct {
	mu      sync.RWMutex
	records map[key]*record
	all     timeline
	types   map[string]timeline
	seq     int64
}

func newStore() *store {
	return &store{records: map[key]*record{}, types: map[string]timeline{}}
}

// insert adds rows, or none of them when one has a version that is there already.
func (s *store) insert(rows []*row) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	type versioned struct {
		key
		number int
	}
	seen := make(map[versioned]bool, len(rows))
	for _, r := range rows {
		k := versioned{r.key(), r.number}
		if rec := s.records[r.key()]; seen[k] || rec != nil && rec.find(r.number) != nil {
			return fmt.Errorf("%s/%s has a version %d already", r.Type, r.ID, r.number)
		}
		seen[k] = true
	}
	for _, r := range rows {
		s.addToRecordLocked(r)
	}
	s.addToTimelinesLocked(rows)
	return nil
}

// addToRecordLocked makes a row findable by its key; addToTimelinesLocked must follow before the lock is given back.
func (s *store) addToRecordLocked(r *row) {
	s.seq++
	r.seq = s.seq
	rec := s.records[r.key()]
	if rec == nil {
		rec = &record{}
		s.records[r.key()] = rec
	}
	r.of = rec
	i, _ := slices.BinarySearchFunc(rec.rows, r.number, func(a *row, n int) int { return cmp.Compare(a.number, n) })
	rec.rows = slices.Insert(rec.rows, i, r)
}

// addToTimelinesLocked takes many rows at once, because each call may copy a timeline.
func (s *store) addToTimelinesLocked(rows []*row) {
	byType := map[string][]*row{}
	for _, r := range rows {
		byType[r.Type] = append(byType[r.Type], r)
	}
	for t, of := range byType {
		s.types[t] = s.types[t].with(of)
	}
	s.all = s.all.with(rows)
}

// removeLocked takes rows of one resource away without a trace, as a hard delete does.
func (s *store) removeLocked(k key) {
	delete(s.records, k)
	other := func(r *row) bool { return r.key() != k }
	s.all = s.all.keep(other)
	s.types[k.typ] = s.types[k.typ].keep(other)
	if len(s.types[k.typ]) == 0 {
		delete(s.types, k.typ)
	}
}

// isCurrentLocked tells the latest version of a resource from its history.
func (s *store) isCurrentLocked(r *row) bool { return r.of.current() == r }

// typeNamesLocked lists the types that have a row, sorted.
func (s *store) typeNamesLocked() []string {
	names := make([]string, 0, len(s.types))
	for t := range s.types {
		names = append(names, t)
	}
	slices.Sort(names)
	return names
}

func (s *store) versions() []Version {
	s.mu.RLock()
	rows := slices.Clone(s.all)
	s.mu.RUnlock()
	slices.SortFunc(rows, func(a, b *row) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.ID, b.ID), cmp.Compare(a.number, b.number))
	})
	out := make([]Version, len(rows))
	for i, r := range rows {
		out[i] = r.Version
	}
	return out
}
