package preflight

const (
	// maxCrowd is how many lines may share a millisecond. The service's own words are: keep them below 10,000; it gives up at about 80,000,
	// those counted that it holds already.
	maxCrowd = 10_000
	// maxCounted is how many milliseconds are counted at a time.
	maxCounted = 100_000
)

// crowd counts lines by millisecond, those that come most often (Misra and Gries, 1982): when there is no counter left, every one is
// decremented, which can happen at most once for each maxCounted lines. A counter is never too high.
type crowd map[int64]int32

// add counts a line. It returns true for those beyond maxCrowd of a millisecond.
func (c crowd) add(ms int64) bool {
	n, counted := c[ms]
	if counted || len(c) < maxCounted {
		if n == maxCrowd {
			return true
		}
		c[ms] = n + 1
		return false
	}
	for ms, n := range c {
		if n == 1 {
			delete(c, ms)
			continue
		}
		c[ms] = n - 1
	}
	return false
}
