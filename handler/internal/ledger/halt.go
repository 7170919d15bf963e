package ledger

// A run of ticks in which an attempt failed and nothing succeeded halts the migration: the cause lies elsewhere than in a window. The
// original's column maxExportRetries counts them. Ticks that had nothing to do, and those that waited for a service, count nothing.

// TickFailed counts one more tick in which an attempt failed and nothing succeeded.
func (c Chunk) TickFailed() (_ Chunk, ok bool) {
	c.FailedTicks++
	return c, true
}

// TickSucceeded ends the run: an export or an import came to a good end. A migration that halted at limit stays so, as what ran then may well
// succeed. ok is false when there is nothing to change.
func (c Chunk) TickSucceeded(limit int) (_ Chunk, ok bool) {
	if c.Halted(limit) {
		return c, false
	}
	return c.RetriesCleared()
}

// RetriesCleared ends the run at an operator's wish. ok is false when there is none.
func (c Chunk) RetriesCleared() (_ Chunk, ok bool) {
	if c.FailedTicks == 0 {
		return c, false
	}
	c.FailedTicks = 0
	return c, true
}

// Halted says whether nothing new may start, as limit ticks or more have failed in a row. Without a limit (0) it never is.
func (c Chunk) Halted(limit int) bool { return limit > 0 && c.FailedTicks >= limit }
