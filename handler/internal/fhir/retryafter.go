package fhir

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// longestRetryAfter bounds what a service may ask for: a window must not sleep for hours on one header.
const longestRetryAfter = 10 * time.Minute

// retryAfter is how long a reply asks to wait: x-ms-retry-after-ms, else Retry-After in seconds or as a date, which
// is compared with the reply's own Date. Nonsense is 0.
func retryAfter(h http.Header, clock func() time.Time) time.Duration {
	if wait, ok := count(h.Get("X-Ms-Retry-After-Ms"), time.Millisecond); ok {
		return wait
	}
	value := h.Get("Retry-After")
	if wait, ok := count(value, time.Second); ok {
		return wait
	}
	at, err := http.ParseTime(strings.TrimSpace(value))
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = clock()
	}
	return min(max(at.Sub(now), 0), longestRetryAfter)
}

// count reads a whole number of units; one that is too large for a number is the longest wait.
func count(text string, unit time.Duration) (time.Duration, bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	if n < 0 {
		return 0, true
	}
	if n >= int64(longestRetryAfter/unit) {
		return longestRetryAfter, true
	}
	return time.Duration(n) * unit, true
}
