package migration

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
)

// startMigration inserts the chunk row, or completes one that does not say where to start: at StartDate, else at what is
// oldest at the source, or well before that where it cannot be asked. An empty source without a StartDate leaves nothing behind and is asked again.
func (t *tick) startMigration(ctx context.Context) error {
	start, found, err := t.Settings.StartDate, true, error(nil)
	if start.IsZero() {
		start, found, err = t.first(ctx, "", fhir.Period{})
	}
	if kindOf(err) == fhir.Gone { // planning finds it out again, and notes it
		start, found, err = firstInstant, true, nil
	}
	if err != nil {
		return fmt.Errorf("find the oldest resource: %w", withRole(err, roleReader, "source"))
	}
	if !found {
		t.sum.Waiting = "the source is empty"
		return nil
	}
	start = start.UTC().Truncate(time.Millisecond)
	if t.chunk.JobID > 0 {
		_, err := t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) { return c.Begin(start) })
		return err
	}
	if err := t.Ledger.CreateTables(ctx); err != nil {
		return err
	}
	chunk, err := t.Ledger.InsertChunk(ctx, ledger.NewChunk(start))
	if errors.Is(err, ledger.ErrExists) { // another tick, or our own insert whose reply was lost
		chunk, err = t.Ledger.Chunk(ctx)
	}
	if err != nil {
		return err
	}
	t.chunk = chunk
	t.Log.Info("migration started", "event", "Export", "from", ledger.FormatInstant(t.chunk.PlannedTill))
	return nil
}

// pinnedChanged names what differs of settings that must not change half-way: of names, or of all of them without names. While
// something does, nothing is begun with the other value: windows would hold other data than the rest, or jobs be asked for at a
// service that never had them.
func (t *tick) pinnedChanged(names ...string) error {
	now := t.Settings.Pinned()
	if len(names) == 0 && t.Settings.IsExportDeidentified {
		if t.anonymizationETag == "" {
			return errIdentified
		}
		now[ledger.AnonymizationPin] = t.anonymizationETag
	}
	if len(names) > 0 {
		maps.DeleteFunc(now, func(name, _ string) bool { return !slices.Contains(names, name) })
	}
	if diff := t.chunk.PinnedDifference(now); diff != "" {
		return fmt.Errorf("nothing new is planned or begun: settings changed that must not change half-way: %s; set them back, accept them (POST /api/AcceptSettings), or use new table names for a new migration", diff)
	}
	return nil
}

// plan makes windows until enough are open or nothing is left to plan.
func (t *tick) plan(ctx context.Context) error {
	pinned, err := t.pinned(ctx)
	if err != nil {
		return t.shown(fmt.Errorf("nothing is exported: %w", err))
	}
	t.anonymizationETag = pinned[ledger.AnonymizationPin]
	if _, err := t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) { return c.Pin(pinned) }); err != nil {
		return err
	}
	if err := t.pinnedChanged(); err != nil {
		return t.shown(err)
	}
	if err := t.reach(ctx); err != nil {
		return err
	}
	if t.count(ledger.Held) >= maxHeld {
		t.sum.Waiting = fmt.Sprintf("%d windows are held", maxHeld)
		return nil
	}
	if t.Clock().Before(t.chunk.NotBefore) || !t.roomForOne() {
		return nil
	}
	now, err := t.Source.Now(ctx)
	if err != nil {
		return t.planLater(ctx, err)
	}
	till, final := t.planTill(now)
	next := t.planNext
	if !t.Settings.IsParallel {
		next = t.planNextByType
	} else if err := t.leaveTypes(ctx); err != nil { // an operator accepted another mode
		return t.planLater(ctx, err)
	}
	for !t.chunk.Foreign && t.roomForOne() && t.hasTime(ctx) { // it may be given back meanwhile
		moved, err := next(ctx, till, final)
		if err != nil {
			return t.planLater(ctx, err)
		}
		if !moved {
			return t.liveEndPlanned(ctx)
		}
	}
	return nil
}

func (t *tick) roomForOne() bool {
	return len(t.chunk.Open)-t.count(ledger.Held) < t.Settings.MaxOpenWindows
}

// planTill is how far windows may be planned: the source's now less the safety lag, or EndDate in a range run. final says
// that nothing comes after it.
func (t *tick) planTill(now time.Time) (till time.Time, final bool) {
	till = now.Add(-t.Settings.SafetyLag()).Truncate(time.Millisecond)
	if end := t.Settings.EndDate; t.Settings.SpecificRun && !end.After(till) {
		return end.Truncate(time.Millisecond), true
	}
	return till, false
}

// planLater: what stands in the way of planning goes away by itself, or is reported.
func (t *tick) planLater(ctx context.Context, cause error) error {
	t.Log.Info("planning waits", "error", cause.Error())
	if passing(cause) {
		return nil
	}
	return fmt.Errorf("plan from %s: %w", ledger.FormatInstant(t.chunk.PlannedTill), withRole(cause, roleReader, "source"))
}

// planNext plans one window of all types or jumps one empty stretch. moved is false when there is nothing to plan for now.
func (t *tick) planNext(ctx context.Context, limit time.Time, final bool) (moved bool, err error) {
	if t.chunk.ExportOnly {
		return t.planFrontier(ctx, limit, final)
	}
	till, ok := t.chunkTill(limit, final)
	if !ok {
		return t.adopt(ctx, t.chunk.JobID)
	}
	return t.planStretch(ctx, stretch{t.chunk.Position(), limit}, till)
}

// chunkTill is where a window, or a global window, that begins at PlannedTill ends at the latest. ok is false when there is not enough
// time before limit.
func (t *tick) chunkTill(limit time.Time, final bool) (till time.Time, ok bool) {
	since := t.chunk.PlannedTill
	till = since.Add(t.Settings.ChunkLength())
	if till.After(limit) {
		till = limit
	}
	tooShort := till.Equal(limit) && !final && till.Sub(since) < t.Settings.TailInterval() && !t.control.StartNow.Set()
	return till, till.After(since) && !tooShort
}

// stretch is the time from a position of the plan up to limit, of one type in type mode.
type stretch struct {
	ledger.Position
	limit time.Time
}

// planStretch plans the window from the beginning of st up to till, or a part of it, or jumps what is empty.
func (t *tick) planStretch(ctx context.Context, st stretch, till time.Time) (moved bool, err error) {
	n, till, err := t.sizeWindow(ctx, st, till)
	if err != nil {
		return t.planUncounted(ctx, st, err)
	}
	if n > 0 {
		return true, t.insertWindow(ctx, t.windowAt(st.Position, till))
	}
	return t.jump(ctx, st, till)
}

// sizeWindow counts a window from the beginning of st up to till and halves it while it holds more than ChunkLimit.
func (t *tick) sizeWindow(ctx context.Context, st stretch, till time.Time) (int64, time.Time, error) {
	for {
		n, err := t.countWindow(ctx, st.Type, fhir.Period{Since: st.At, Till: till})
		if err != nil || n <= t.Settings.ChunkLimit || till.Sub(st.At) < 2*time.Millisecond {
			return n, till, err
		}
		till = st.At.Add(till.Sub(st.At) / 2).Truncate(time.Millisecond)
	}
}

// view is what an export is counted in before it is made: with history or deletes on, versions, so that a window with nothing but
// deletions or superseded versions counts.
func (m *Migration) view() fhir.View {
	if m.Settings.ExportWithHistory || m.Settings.ExportWithDelete {
		return fhir.Versions
	}
	return fhir.Current
}

// countWindow counts what an export of one type in p may hold, or of all types.
func (t *tick) countWindow(ctx context.Context, typ string, p fhir.Period) (int64, error) {
	c, err := t.Source.CountType(ctx, typ, t.view(), p)
	return c.N, err
}

// first finds the oldest of what an export of one type in p may hold, or of all types.
func (t *tick) first(ctx context.Context, typ string, p fhir.Period) (time.Time, bool, error) {
	return t.Source.First(ctx, typ, t.view(), p)
}

// planUncounted: a count that failed is a count we do not have, never zero. It is asked for again on later ticks, and after
// the third time the window is cut like the last one and exported anyway: an export of nothing costs little.
func (t *tick) planUncounted(ctx context.Context, st stretch, cause error) (bool, error) {
	if halting(cause) {
		return false, cause
	}
	if kindOf(cause) == fhir.Gone {
		return true, t.noteRetired(ctx) // and it is planned without counts
	}
	ctx, cancel := afterEffect(ctx) // the try counts, also when it used up the step's budget
	defer cancel()
	if t.chunk.CountTries+1 < maxCountTries {
		notBefore := t.nextPoll(cause)
		_, err := t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) { return c.CountMissing(st.Position, notBefore) })
		return false, errors.Join(cause, err)
	}
	if st.At.IsZero() { // where a type begins cannot be found out
		jumped, err := t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) { return c.Jump(st.Position, t.earliestStart(), c.JobID) })
		return jumped, err
	}
	till := st.At.Add(t.lastLength(st.Position))
	if till.After(st.limit) {
		till = st.limit
	}
	t.Log.Warn("window planned without a count", "event", "Export", "type", st.Type, "since", ledger.FormatInstant(st.At), "till", ledger.FormatInstant(till), "error", cause.Error())
	return true, t.insertWindow(ctx, t.windowAt(st.Position, till))
}

// lastLength is the length of the open window that ends at a position, as ChunkLimit made it, or that of the settings.
func (t *tick) lastLength(at ledger.Position) time.Duration {
	for i := len(t.windows) - 1; i >= 0; i-- {
		if w := t.windows[i]; w.ResourceType == at.Type && w.Till.Equal(at.At) {
			return w.Till.Sub(w.Since)
		}
	}
	return t.Settings.ChunkLength()
}

// windowAt is the next window, from a position on.
func (t *tick) windowAt(at ledger.Position, till time.Time) ledger.Window {
	return ledger.NewWindow(t.chunk.JobID, at.At, till).OfType(at.Type)
}

// insertWindow inserts a window, whose number is the next one, and lists it. A row that is there already is adopted instead.
func (t *tick) insertWindow(ctx context.Context, w ledger.Window) error {
	number := w.Number
	w, err := t.Ledger.InsertWindow(ctx, w)
	if errors.Is(err, ledger.ErrExists) {
		_, err := t.adopt(ctx, number)
		return err
	}
	if err != nil {
		return err
	}
	if err := t.list(ctx, w); err != nil || !t.chunk.Foreign {
		return err
	}
	return t.notPlanned(ctx, w)
}

// list puts w among the open windows, once in its life.
func (t *tick) list(ctx context.Context, w ledger.Window) error {
	listed, err := t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) { return c.List(w) })
	if err != nil {
		return fmt.Errorf("list %s: %w", w.Name(), err)
	}
	if listed {
		t.windows = append(t.windows, w)
		t.sum.Planned++
		t.Log.Info("window planned", "event", "Export", "window", w.Number, "type", w.ResourceType, "since", ledger.FormatInstant(w.Since), "till", ledger.FormatInstant(w.Till))
	}
	return nil
}

// adopt looks up the row under number. A window was inserted by a tick that died before listing it, and is listed as it
// stands, never cut anew; a row that is no window is a number to skip. found is false when there is no row.
func (t *tick) adopt(ctx context.Context, number int) (found bool, err error) {
	w, err := t.Ledger.Window(ctx, number)
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		return false, nil
	case errors.Is(err, ledger.ErrNotWindow):
		t.Log.Info("row number skipped: the row is no window", "number", number)
		_, err := t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) { return c.Skip(number) })
		return true, err
	case err != nil:
		return false, err
	}
	return true, t.list(ctx, w)
}

// jump moves the position over a stretch in which there is nothing. The first thing behind it must be found by a search that
// is exhausted, and the stretch must count 0; and a row that waits to be adopted goes first.
func (t *tick) jump(ctx context.Context, st stretch, till time.Time) (moved bool, err error) {
	number := t.chunk.JobID
	if found, err := t.adopt(ctx, number); found || err != nil {
		return found, err
	}
	to, found, err := t.first(ctx, st.Type, fhir.Period{Since: st.At, Till: st.limit})
	if err != nil {
		return t.planUncounted(ctx, st, err)
	}
	to = to.Truncate(time.Millisecond)
	if !found {
		to = st.limit
	}
	if to.Before(till) { // the search knows what the count did not
		return true, t.insertWindow(ctx, t.windowAt(st.Position, till))
	}
	if to.After(till) {
		n, err := t.countWindow(ctx, st.Type, fhir.Period{Since: st.At, Till: to})
		if err != nil {
			return t.planUncounted(ctx, st, err)
		}
		if n > 0 {
			return true, t.insertWindow(ctx, t.windowAt(st.Position, till))
		}
	}
	jumped, err := t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) { return c.Jump(st.Position, to, number) })
	if jumped {
		t.Log.Info("empty stretch passed over", "event", "Export", "type", st.Type, "since", ledger.FormatInstant(st.At), "till", ledger.FormatInstant(to))
	}
	return jumped, err
}
