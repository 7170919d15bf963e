// Package testclock is the clock of tests: it stands still until the test moves it, so that hours pass at once and nothing depends on how
// fast the machine is.
package testclock

import (
	"sync"
	"time"
)

// Clock shows an instant until it is moved. Its Now is what code under test takes for its clock. It is safe for concurrent use.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// New makes a clock that shows at.
func New(at time.Time) *Clock { return &Clock{at: at} }

// Now is what the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Advance moves the clock by d.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}
