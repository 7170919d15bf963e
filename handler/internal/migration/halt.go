package migration

import (
	"context"
	"fmt"

	"fhirmigration/handler/internal/event"
	"fhirmigration/handler/internal/ledger"
)

// noteAttempt remembers of a save whether it tells of an attempt that failed, or of an export or an import that came to a good end.
func (t *tick) noteAttempt(was, next ledger.Window) {
	if next.Attempts > was.Attempts {
		t.failed.Store(true)
	}
	if next.ExportComplete && !was.ExportComplete || next.CompletedCount > was.CompletedCount {
		t.succeeded.Store(true)
	}
}

// countRetries counts the ticks in a row in which an attempt failed and nothing succeeded. A tick that did neither changes nothing.
func (t *tick) countRetries(ctx context.Context) error {
	ctx, cancel := afterEffect(ctx)
	defer cancel()
	if t.succeeded.Load() {
		_, err := t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) { return c.TickSucceeded(t.Settings.MaxAttempts()) })
		return err
	}
	if !t.failed.Load() {
		return nil
	}
	if _, err := t.updateChunk(ctx, ledger.Chunk.TickFailed); err != nil {
		return err
	}
	limit := t.Settings.MaxAttempts()
	t.Log.Warn("attempts failed in this tick, and nothing succeeded", "event", event.ExportRetries, "maxExportRetries", t.chunk.FailedTicks, "limit", limit)
	if t.chunk.Halted(limit) {
		t.Log.Error("the migration halts: nothing new starts until somebody has found the cause and called POST /api/ClearMaxExportRetries", "event", event.ExportRetries,
			"maxExportRetries", t.chunk.FailedTicks, "limit", limit, "halted", true)
	}
	return nil
}

// halted says whether too many ticks failed in a row, here or in the original. What runs is followed.
func (t *tick) halted() bool {
	limit := t.Settings.MaxAttempts()
	if !t.chunk.Halted(limit) {
		return false
	}
	t.sum.Waiting = fmt.Sprintf("halted: %d ticks in a row failed and nothing succeeded (AZURE_MaxExportRetries is %d); find the cause in the windows and the log, then POST /api/ClearMaxExportRetries",
		t.chunk.FailedTicks, limit)
	return true
}

// ClearRetries sets the count of failed ticks back, so that a halted migration goes on. It returns what the count was.
func (m *Migration) ClearRetries(ctx context.Context, c Caller) (cleared int, _ error) {
	t := &tick{Migration: m}
	var err error
	if t.chunk, err = m.begun(ctx); err != nil {
		return 0, err
	}
	if cleared = t.chunk.FailedTicks; cleared == 0 {
		return 0, fmt.Errorf("%w: no failed ticks are counted", ErrNotNow)
	}
	return cleared, m.act(ctx, "ClearMaxExportRetries", 0, c, func(ctx context.Context, a ledger.Action) (string, error) {
		_, err := t.updateChunk(ctx, ledger.Chunk.RetriesCleared)
		if err == nil {
			m.Log.Info("failed ticks are counted from zero again", "event", event.MaxExportRetriesCleared, "maxExportRetries", cleared, "by", c.By)
		}
		return fmt.Sprintf("%d failed ticks forgotten", cleared), err
	})
}
