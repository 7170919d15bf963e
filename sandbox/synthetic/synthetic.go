// Package synthetic writes the records of a clinic that never existed: valid FHIR R4 resources that refer to one
// another, spread over years, updated and deleted as real ones are.
//
// What makes the data worth migrating:
//   - The years have empty stretches of several months in which nothing was written at all.
//   - One resource in ten is updated several times, some of them years later, so that its versions lie in different
//     windows of a migration.
//   - One resource in fifty ends soft-deleted, most of them in a much later window than the one they were created in.
//   - Decimals keep digits that a careless copy loses: 1.10, 70.500, 0.000000000000000001.
//   - Some resources share a millisecond, as those of one transaction do, and some carry profiles and security labels.
//
// The same options give the same bytes. Nothing here reads a clock or an environment.
package synthetic

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"fhirmigration/sandbox/fhirservice"
)

// Shares of the resources that are updated and deleted.
const (
	updatedOneIn = 10
	deletedOneIn = 50
)

// Options say what to write.
type Options struct {
	// Seed decides everything that is left to chance.
	Seed uint64
	// Resources is how many resources there are, those that end deleted included. Their versions are more.
	Resources int
	// Start is the instant of the first version, End lies just after the last one. Both are cut to milliseconds.
	Start, End time.Time
}

// Generate writes the versions of the clinic's resources, ordered by time. There are no versions outside
// [Start, End), and none in the stretches that EmptyStretches names.
//
// It refuses less than one resource, and a time too short for them to have instants of their own.
func Generate(o Options) ([]fhirservice.Version, error) {
	if o.Resources < 1 {
		return nil, fmt.Errorf("synthetic data: %d resources asked for: ask for one or more", o.Resources)
	}
	line, err := newTimeline(o)
	if err != nil {
		return nil, err
	}
	random := newRandom(o.Seed, "clinic")
	c := newClinic(random)
	created := line.instants(random, o.Resources)
	updated := chosen(random, o.Resources, o.Resources/updatedOneIn)
	histories := make([]history, 0, o.Resources)
	for i, at := range created {
		h, err := c.write(at, updated[i], line)
		if err != nil {
			return nil, err
		}
		histories = append(histories, h)
	}
	deleteSome(random, c, line, histories, o.Resources/deletedOneIn)
	return inOrder(histories), nil
}

// newRandom makes the source of chance for one purpose, so that more draws for one purpose leave another as it was.
func newRandom(seed uint64, purpose string) *rand.Rand {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	copy(key[8:], purpose)
	return rand.New(rand.NewChaCha8(key))
}

// chosen marks exactly k of n.
func chosen(random *rand.Rand, n, k int) []bool {
	marks := make([]bool, n)
	for _, i := range random.Perm(n)[:k] {
		marks[i] = true
	}
	return marks
}

// inOrder lays the histories out as they were written: by time, then by type, id and version.
func inOrder(histories []history) []fhirservice.Version {
	var versions []fhirservice.Version
	for _, h := range histories {
		versions = append(versions, h.versions...)
	}
	slices.SortFunc(versions, func(a, b fhirservice.Version) int {
		return cmp.Or(a.LastUpdated.Compare(b.LastUpdated), cmp.Compare(a.Type, b.Type), cmp.Compare(a.ID, b.ID))
	})
	return versions
}
