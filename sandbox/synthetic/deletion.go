package synthetic

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"fhirmigration/sandbox/fhirservice"
)

// deleteSome ends the life of n resources with a soft delete, or of as many as nothing refers to. Most of the deletions
// come at any time up to the end, so in a later window than the creation; one in four follows within two weeks.
func deleteSome(random *rand.Rand, c *clinic, line *timeline, histories []history, n int) {
	for _, i := range random.Perm(len(histories)) {
		if n == 0 {
			return
		}
		h := &histories[i]
		latest := h.versions[len(h.versions)-1]
		if _, needed := c.pointedAt[latest.Type+"/"+latest.ID]; needed {
			continue
		}
		moment, ok := line.deletion(random, h.last)
		if !ok {
			continue
		}
		h.versions = append(h.versions, tombstone(latest, line.at(moment)))
		n--
	}
}

// deletion draws when a resource last written at ms is deleted; false when no time is left for it.
func (l *timeline) deletion(random *rand.Rand, ms int64) (int64, bool) {
	room := l.length - 1 - ms
	if room <= 0 {
		return 0, false
	}
	if fortnight := (14 * 24 * time.Hour).Milliseconds(); random.IntN(4) == 0 {
		room = min(room, fortnight)
	}
	return ms + 1 + random.Int64N(room), true
}

// tombstone is what a FHIR service keeps of a resource after a DELETE: type, id and meta.
func tombstone(latest fhirservice.Version, at time.Time) fhirservice.Version {
	n, _ := strconv.Atoi(latest.VersionID) // written by stamp
	version := strconv.Itoa(n + 1)
	raw := fmt.Sprintf(`{"resourceType":%q,"id":%q,"meta":{"versionId":%q,"lastUpdated":%q}}`,
		latest.Type, latest.ID, version, instant(at))
	return fhirservice.Version{
		Type: latest.Type, ID: latest.ID, VersionID: version, LastUpdated: at, Deleted: true, Raw: []byte(raw),
	}
}
