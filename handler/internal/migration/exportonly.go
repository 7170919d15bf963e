package migration

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
)

// firstInstant is where the migration of a source begins that cannot say what is oldest in it: no FHIR service was there before.
var firstInstant = time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC)

const (
	// longestStretch is the longest time that a window of an export-only source is made to cover.
	longestStretch = 100 * 365 * 24 * time.Hour
	// longestTail is the longest time for which a window at the live end of an export-only source is waited for: nothing can be
	// written there any more.
	longestTail = 24 * time.Hour
)

// errNoCount: the source answers exports alone, so nothing is asked for that it would refuse.
var errNoCount = errors.New("the source is retired: it can be exported, and neither searched nor counted")

// uncountable says whether a count will never be had: the service is retired, or refuses to count so much. Any other error is
// waited for: nothing is called done unverified because a service was busy.
func uncountable(err error) bool {
	return kindOf(err) == fhir.Gone || kindOf(err) == fhir.Refused || errors.Is(err, errNoCount)
}

// noteRetired notes that the source answers exports alone. From then on windows are cut by what exports bring.
func (t *tick) noteRetired(ctx context.Context) error {
	if t.chunk.JobID == 0 { // the migration has not begun, and finds out when it does
		return nil
	}
	ctx, cancel := afterEffect(ctx)
	defer cancel()
	noted, err := t.updateChunk(ctx, ledger.Chunk.Retired)
	if noted {
		t.logRetired()
	}
	return err
}

func (t *tick) logRetired() {
	t.Log.Warn("the source is retired: it lets data be exported, and nothing be searched for or counted; windows are cut by what exports bring", "event", "Retired")
}

// returned finds out whether a source that was retired can be counted again, and notes it: services are switched off for hours before it is for good.
// Nothing is asked while a frontier is open, as nothing is planned behind that.
func (t *tick) returned(ctx context.Context) (back bool, _ error) {
	if t.frontierOpen() {
		return false, nil
	}
	number := t.chunk.JobID
	if found, err := t.adopt(ctx, number); found || err != nil { // it may be one
		return found, err
	}
	if _, err := t.Source.CountResources(ctx, fhir.Period{Since: firstInstant, Till: firstInstant.Add(time.Millisecond)}); err != nil {
		return false, nil // whatever it is: what is known stays
	}
	back, err := t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) { return c.Returned(number) })
	if back {
		t.Log.Warn("the source that was retired can be searched and counted again; windows are cut by its counts", "event", "Retired")
	}
	return back, err
}

// planFrontier plans the next window of an export-only source, when the one before has shown how long it should be.
func (t *tick) planFrontier(ctx context.Context, limit time.Time, final bool) (moved bool, err error) {
	if t.frontierOpen() {
		return false, nil
	}
	length, maxCount := t.nextLength()
	since := t.chunk.PlannedTill
	till := since.Add(length)
	if till.After(limit) {
		till = limit
	}
	tooShort := till.Equal(limit) && !final && till.Sub(since) < t.tail() && !t.control.StartNow.Set()
	if !till.After(since) || tooShort {
		return t.adopt(ctx, t.chunk.JobID)
	}
	if till.Equal(limit) && !final { // once a window: what was written since it came back is waited for less long, and counted
		if back, err := t.returned(ctx); back || err != nil {
			return back, err
		}
	}
	return true, t.insertWindow(ctx, ledger.NewFrontier(t.chunk.JobID, since, till, maxCount))
}

// reach moves PlannedTill to where a frontier was made longer to. Both are one decision in two rows; the window's is saved first.
func (t *tick) reach(ctx context.Context) error {
	for _, w := range t.windows {
		if _, err := t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) { return c.Reach(w) }); err != nil {
			return fmt.Errorf("plan till the end of %s: %w", w.Name(), err)
		}
	}
	return nil
}

// frontierOpen says whether the end of the newest window is still open, or whether that cannot be told: another tick has listed one that
// this one has not read.
func (t *tick) frontierOpen() bool {
	seen := make(map[int]bool, len(t.windows))
	for _, w := range t.windows {
		if w.Frontier {
			return true
		}
		seen[w.Number] = true
	}
	for _, o := range t.chunk.Open {
		if !seen[o.Number] {
			return true
		}
	}
	return false
}

// nextLength is the length of the window behind PlannedTill: that of the one before, longer or shorter by what came of it. What was too large
// for its pages leaves a smaller _maxCount to all that follow.
func (t *tick) nextLength() (length time.Duration, maxCount int) {
	last, held := t.chunk.LastExport, false
	for _, w := range t.windows {
		if w.Till.Equal(t.chunk.PlannedTill) {
			last, held = w.Pace(), w.Phase() == ledger.Held
		}
	}
	switch {
	case last.Till.IsZero():
		return t.Settings.ChunkLength(), 0
	case held:
		return max(last.Length()/2, time.Second), last.MaxCount
	}
	return paced(last, t.Settings.ChunkLimit, t.Settings.ExportDeadline()), last.MaxCount
}

// paced is the length of a window that follows one of a pace. What brought up to half of limit in a short time is followed by one of
// twice the length, what brought more than limit by one that should bring less, and what took more than half of the time there is by one
// of half the length.
func paced(p ledger.Pace, limit int64, deadline time.Duration) time.Duration {
	length, took := p.Length(), time.Duration(p.Minutes*float64(time.Minute))
	switch {
	case p.Lines > limit:
		length = time.Duration(float64(length) * 0.75 * float64(limit) / float64(p.Lines))
	case took > deadline/2:
		length /= 2
	case p.Lines != ledger.Unknown && p.Lines <= limit/2 && took < deadline/8:
		length = 2 * min(length, longestStretch/2)
	}
	return max(length.Truncate(time.Millisecond), time.Second)
}

// tail is the length of the shortest window at the live end. Where exports bring nothing, it grows to a day.
func (t *tick) tail() time.Duration {
	tail := t.Settings.TailInterval()
	if last := t.chunk.LastExport; !last.Till.IsZero() && last.Lines == 0 {
		tail = max(tail, min(2*min(last.Length(), longestTail), longestTail))
	}
	return tail
}

// exportedNothing decides what follows an export of nothing where the source cannot be counted: another export of the window, longer while it is
// the frontier and there is time to cover. closed says that all of it has come back empty twice, which is all the proof there is.
func (t *tick) exportedNothing(ctx context.Context, w ledger.Window) (_ ledger.Window, closed bool, _ error) {
	if w.EmptyBefore() {
		return w, true, nil
	}
	till, err := t.longer(ctx, w)
	if err != nil {
		next, err := t.wait(ctx, w, err)
		return next, false, err
	}
	notBefore := time.Time{} // a longer one is another export, which may start at once
	if till.Equal(w.Till) {
		notBefore = t.nextPoll(nil)
	}
	next, moveErr := w.ExportEmpty(till, t.Clock(), notBefore)
	next, saved, err := t.save(ctx, w, next, moveErr)
	if saved {
		t.Log.Info("export brought nothing, once more", "event", "Export", "window", w.Number, "exportId", w.ExportID, "till", ledger.FormatInstant(till))
	}
	return next, false, err
}

// longer is the end of a window that brought nothing when it is exported again: twice as far, as far as there is something to export. A
// step too small to be worth it is none, or a source whose exports take their time would have its live end run away for ever. One behind which
// something is planned, since the source had returned, stays as it is.
func (t *tick) longer(ctx context.Context, w ledger.Window) (time.Time, error) {
	if !w.Frontier || !t.chunk.ExportOnly || w.Till.Before(t.chunk.PlannedTill) {
		return w.Till, nil
	}
	now, err := t.Source.Now(ctx)
	if err != nil {
		return time.Time{}, err
	}
	limit, final := t.planTill(now)
	length := w.Till.Sub(w.Since)
	till := w.Till.Add(min(length, longestStretch))
	if !till.After(limit) {
		return till, nil
	}
	step := limit.Sub(w.Till)
	if step <= 0 || !final && step < max(t.Settings.TailInterval(), length/8) {
		return w.Till, nil
	}
	return limit, nil
}
