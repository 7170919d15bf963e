package status

import (
	"fmt"
	"time"

	"fhirmigration/handler/internal/ledger"
)

const (
	// paceOver is the time that the pace is taken from, where there are samples that old.
	paceOver = time.Hour
	// shortestPace is the shortest time that a pace is taken from.
	shortestPace = 5 * time.Second
)

// serverNow is the source's now, and whose clock says so.
func (all rows) serverNow() (time.Time, string) {
	s := all.summary.Servers
	if s.ClockAt.IsZero() {
		return all.now, "handler"
	}
	return all.now.Add(time.Duration(s.ClockAhead) * time.Millisecond), "source"
}

// progress is how far the migration is. from is where it began, as far as the rows still say.
func (r *Reader) progress(all rows) (p Progress) {
	if !all.begun {
		return p
	}
	now, _ := all.serverNow()
	from, to := r.from(all), r.to(now)
	watermark := all.chunk.Watermark
	p = Progress{MigratedTill: Instant(watermark), PlannedTill: Instant(all.chunk.PlannedTill), From: Instant(from), To: Instant(to),
		Exported: all.chunk.Totals.Exported, Imported: all.chunk.Totals.Imported, Refused: all.chunk.Totals.Refused}
	if o := all.chunk.Takeover; !o.At.IsZero() {
		p.TakenOver = &TakenOver{o.At, o.Complete, o.Uncounted}
		p.Exported, p.Imported = p.Exported+o.Exported, p.Imported+o.Imported
	}
	if span := to.Sub(from); span > 0 {
		p.ShareOfTime = share(watermark.Sub(from).Seconds(), span.Seconds())
	}
	if s := all.summary.Servers; s.Source > 0 && s.SourceBefore > 0 { // counted before anything was migrated, it says nothing of now
		p.ShareOfResources = share(float64(s.SourceBefore), float64(s.Source))
	}
	return p
}

func share(part, of float64) *float64 {
	s := min(max(part/of, 0), 1)
	return &s
}

// from is where the migration began: StartDate, else the first instant that a window covers.
func (r *Reader) from(all rows) time.Time {
	if !r.Settings.StartDate.IsZero() {
		return r.Settings.StartDate
	}
	from := all.chunk.Watermark
	if s := all.summary.Segments; len(s) > 0 && s[0].Since.Time().Before(from) {
		from = s[0].Since.Time()
	}
	for _, w := range all.recent {
		if w.Since.Before(from) {
			from = w.Since
		}
	}
	return from
}

// to is where the migration ends: EndDate of a range run, else the live end, which moves.
func (r *Reader) to(now time.Time) time.Time {
	if r.Settings.SpecificRun {
		return r.Settings.EndDate
	}
	return now.Add(-r.Settings.SafetyLag())
}

func (r *Reader) lag(all rows) Lag {
	now, clock := all.serverNow()
	l := Lag{Clock: clock}
	if clock == "handler" {
		l.Note = "by the handler's own clock: the source's is not known yet"
	}
	if !all.begun {
		l.Note = "nothing is migrated yet"
		return l
	}
	if r.Settings.SpecificRun {
		l.Note = "of the range, which ends at " + when(r.Settings.EndDate)
		if r.Settings.EndDate.Before(now) {
			now = r.Settings.EndDate
		}
	}
	seconds := now.Sub(all.chunk.Watermark).Seconds()
	l.Seconds = &seconds
	return l
}

// pace compares the chunk row with a sample that is about an hour old; of a run that is through, the last sample with the first.
func (all rows) pace(state State) Pace {
	samples := all.summary.Samples
	if len(samples) == 0 {
		return Pace{Note: "VerifyTimer has taken no sample yet"}
	}
	base := samples[0]
	if state == Finished {
		return paceBetween(base, samples[len(samples)-1], "over the whole run")
	}
	for _, s := range samples {
		if all.now.Sub(s.At.Time()) >= paceOver {
			base = s
		}
	}
	now := ledger.Sample{At: ledger.Millis(all.now.UnixMilli()), Watermark: ledger.Millis(all.chunk.Watermark.UnixMilli()), Imported: all.chunk.Totals.Imported}
	return paceBetween(base, now, "")
}

func paceBetween(a, b ledger.Sample, note string) Pace {
	over := b.At.Time().Sub(a.At.Time())
	if over < shortestPace {
		return Pace{Note: "too early to tell"}
	}
	lines := float64(b.Imported-a.Imported) / over.Hours()
	days := b.Watermark.Time().Sub(a.Watermark.Time()).Hours() / 24 / over.Hours()
	return Pace{LinesPerHour: &lines, DaysPerHour: &days, Over: over.Round(time.Second).Seconds(), Note: note}
}

// left is how long the rest takes: by resources where both services could be counted, else by the time that is left to migrate.
func (r *Reader) left(all rows, state State, p Progress, pace Pace) Left {
	switch state {
	case NotBegun:
		return Left{Note: "nothing is migrated yet"}
	case Finished:
		zero := 0.0
		return Left{&zero, "the range run is through"}
	case Following:
		zero := 0.0
		return Left{&zero, "up to date: what is written to the source follows"}
	case Blocked:
		return Left{Note: "not known: something must be mended first"}
	case Halted, Paused, Drained:
		return Left{Note: "not known: nothing new starts now"}
	}
	if pace.LinesPerHour == nil {
		return Left{Note: "not known: " + pace.Note}
	}
	if seconds, ok := all.leftByResources(*pace.LinesPerHour); ok {
		return Left{&seconds, "by the resources at the source that are not migrated yet"}
	}
	if held := count(all.open, ledger.Held); held > 0 {
		return Left{Note: fmt.Sprintf("not known: %s held", many(int64(held), "window is", "windows are"))}
	}
	speed := *pace.DaysPerHour * 24 // hours of the source's time in an hour
	if !r.Settings.SpecificRun {
		speed-- // the end moves
	}
	if speed <= 0 || p.To == nil {
		return Left{Note: "not known: it does not come nearer to the end at this pace"}
	}
	seconds := max(p.To.Sub(all.chunk.Watermark).Hours()/speed*3600, 0)
	return Left{&seconds, "by the time that is not migrated yet"}
}

// leftByResources is the time that the resources take which were not migrated when both services were counted, at so many lines an
// hour. A resource may be several lines (versions): as many as those so far were.
func (all rows) leftByResources(linesPerHour float64) (seconds float64, ok bool) {
	s := all.summary.Servers
	if s.Source <= 0 || s.SourceBefore <= 0 || linesPerHour <= 0 {
		return 0, false
	}
	then := int64(0) // lines imported when the services were counted
	for _, sample := range all.summary.Samples {
		if !sample.At.Time().After(s.At) {
			then = sample.Imported
		}
	}
	if then == 0 {
		return 0, false
	}
	lines := float64(s.Source-s.SourceBefore)*float64(then)/float64(s.SourceBefore) - float64(all.chunk.Totals.Imported-then)
	if lines <= 0 {
		return 0, false
	}
	return lines / linesPerHour * 3600, true
}

func count(windows []ledger.Window, p ledger.Phase) (n int) {
	for _, w := range windows {
		if w.Phase() == p {
			n++
		}
	}
	return n
}
