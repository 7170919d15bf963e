package cutover

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/verify"
)

// lag: the migration is close enough behind the source, or was so when the last full DeepCheck began: the timers may be off since then, for what was
// written or migrated later fails the conditions on the source and on the DeepCheck. Or a range run is through.
func (c *Cutover) lag(ctx context.Context, l look) (Condition, error) {
	till := ledger.FormatInstant(l.chunk.Watermark)
	if c.Settings.SpecificRun {
		end := c.Settings.EndDate.Truncate(time.Millisecond)
		return Condition{Name: "lag", Met: !l.chunk.Watermark.Before(end), Do: "wait until the range run is through",
			Evidence: fmt.Sprintf("a range run, migrated till %s of %s", till, ledger.FormatInstant(end))}.told(), nil
	}
	now, err := c.Source.Now(ctx)
	if err != nil {
		return Condition{Name: "lag", Evidence: "migrated till " + till + "; the source's time is not known: " + err.Error(), Do: "ask again"}, nil
	}
	behind := now.Sub(l.chunk.Watermark).Round(time.Second)
	if then := l.full.Started.Sub(l.full.Till).Round(time.Second); l.hasFull && behind > c.Settings.CutoverMaxLag() && then <= c.Settings.CutoverMaxLag() {
		return Condition{Name: "lag", Met: true, Evidence: fmt.Sprintf("migrated till %s, %s behind the source; when run %d began to compare everything up to %s, it was %s; the limit is %s",
			till, behind, l.full.Run, ledger.FormatInstant(l.full.Till), then, c.Settings.CutoverMaxLag())}, nil
	}
	return Condition{Name: "lag", Met: behind <= c.Settings.CutoverMaxLag(),
		Evidence: fmt.Sprintf("migrated till %s, %s behind the source; the limit is %s", till, behind, c.Settings.CutoverMaxLag()),
		Do:       "stop writing to the source, then POST /api/StartNow"}.told(), nil
}

// windows: none is open or held, none that the original closed is still to be opened again, and the tables are ours: what the original's
// leave open is not known before they are taken over.
func (c *Cutover) windows(ctx context.Context, l look) (Condition, error) {
	const shown = 20
	if l.chunk.Foreign {
		return Condition{Name: "windows", Evidence: "the tables are not taken over, or were given back to the original: what is open is not known",
			Do: "see that the timers fire, so that the tables are taken over; if they were given back, POST /api/Resume"}, nil
	}
	if l.chunk.Types.UnderWay() {
		return Condition{Name: "windows", Evidence: "the newest stretch of time is planned for some types only", Do: "wait until it is planned for all"}, nil
	}
	if repairs := len(l.chunk.Repairs); repairs > 0 {
		return Condition{Name: "windows", Evidence: fmt.Sprintf("%d windows that the original closed are still to be opened again, %d are open", repairs, len(l.chunk.Open)),
			Do: "wait for them; release those that are held"}, nil
	}
	if len(l.chunk.Open) == 0 {
		return Condition{Name: "windows", Met: true, Evidence: fmt.Sprintf("%d windows are closed, none is open", l.chunk.Totals.Windows)}, nil
	}
	var named []string
	for i, o := range l.chunk.Open {
		if i == shown {
			named = append(named, "...")
			break
		}
		w, err := c.Ledger.Window(ctx, o.Number)
		if err != nil {
			return Condition{}, err
		}
		named = append(named, fmt.Sprintf("%d is %s", w.Number, w.Phase()))
	}
	return Condition{Name: "windows", Evidence: fmt.Sprintf("%d windows are open: %s", len(l.chunk.Open), strings.Join(named, ", ")),
		Do: "wait for them; release those that are held"}, nil
}

// settled: no setting that must not change half-way differs, nor the de-identification configuration.
func (c *Cutover) settled(ctx context.Context, l look) (Condition, error) {
	pinned := c.Settings.Pinned()
	if c.Settings.IsExportDeidentified {
		etag, err := c.Staging.AnonymizationETag(ctx, c.Settings.AnonymizationFile())
		if err != nil {
			return Condition{Name: "settings", Evidence: "not known: " + err.Error(), Do: "put the configuration back, or ask again"}, nil
		}
		pinned[ledger.AnonymizationPin] = etag
	}
	if diff := l.chunk.PinnedDifference(pinned); diff != "" {
		return Condition{Name: "settings", Evidence: "changed since the start: " + diff, Do: "set them back, or POST /api/AcceptSettings"}, nil
	}
	return Condition{Name: "settings", Met: true, Evidence: "those that must not change half-way are as they were at the start, or were accepted"}, nil
}

// quiet: nothing was written to the source behind what is migrated.
func (c *Cutover) quiet(ctx context.Context, l look) (Condition, error) {
	if c.Settings.SpecificRun {
		return Condition{Name: "source is quiet", Met: true, Evidence: "a range run does not follow the source"}, nil
	}
	since := ledger.FormatInstant(l.chunk.Watermark)
	n, err := c.Source.CountType(ctx, "", fhir.Versions, fhir.Period{Since: l.chunk.Watermark})
	switch {
	case fhir.KindOf(err) == fhir.Gone:
		return Condition{Name: "source is quiet", Met: true, Evidence: "the source is retired: nothing can be written to it"}, nil
	case err != nil:
		return Condition{Name: "source is quiet", Evidence: "not known: " + err.Error(), Do: "ask again"}, nil
	case n.N > 0:
		return Condition{Name: "source is quiet", Evidence: fmt.Sprintf("%d versions were written to the source since %s", n.N, since),
			Do: "stop whoever writes to the source, then POST /api/StartNow"}, nil
	}
	return Condition{Name: "source is quiet", Met: true, Evidence: "nothing was written to the source since " + since + "; what was deleted without a trace does not show in this"}, nil
}

// deep: the last full DeepCheck is clean, and no window with lines was closed since it began.
func (c *Cutover) deep(ctx context.Context, l look) (Condition, error) {
	const name, again = "DeepCheck", "POST /api/DeepCheck?count=all"
	if !l.hasFull {
		return Condition{Name: name, Evidence: "there was no DeepCheck of everything that came to its end", Do: again}, nil
	}
	r := l.full
	said := fmt.Sprintf("run %d of everything up to %s, from %s to %s: %s", r.Run, ledger.FormatInstant(r.Till), ledger.FormatInstant(r.Started), ledger.FormatInstant(r.Ended), r.Verdict)
	if r.ExportedLines != l.chunk.Totals.Exported {
		return Condition{Name: name, Evidence: fmt.Sprintf("%s; %d lines were migrated since it began", said, l.chunk.Totals.Exported-r.ExportedLines), Do: again}, nil
	}
	if unknown := r.Counts[verify.NotVerifiable]; unknown > 0 {
		return Condition{Name: name, Evidence: said, Do: "see why some could not be verified, then " + again}, nil
	}
	if r.Counts.Sum() == 0 && l.chunk.Totals.Exported > 0 {
		return Condition{Name: name, Evidence: said, Do: again}, nil
	}
	if r.Counts.Wrong() == 0 {
		return Condition{Name: name, Met: true, Evidence: said}, nil
	}
	unexplained, err := c.unexplained(ctx, l)
	if err != nil {
		return Condition{}, err
	}
	if unexplained == "" {
		return Condition{Name: name, Met: true, Evidence: said + "; each of them is of a refused line that was accepted"}, nil
	}
	return Condition{Name: name, Evidence: said + "; " + unexplained, Do: "mend them or accept the refused lines they come from, then " + again}, nil
}

// unexplained says which differences of the last full DeepCheck are of no resource whose refused line was accepted, "" when none is.
func (c *Cutover) unexplained(ctx context.Context, l look) (string, error) {
	if l.full.NotKept > 0 {
		return "more than are kept, so that they cannot be held against what was accepted", nil
	}
	first, n := "", 0
	err := c.Verify.Differences(ctx, l.full, func(f verify.Finding) bool {
		if l.accepted[f.Type+"/"+f.ID] {
			return true
		}
		if n++; n == 1 {
			first = f.Type + "/" + f.ID
		}
		return true
	})
	if err != nil || n == 0 {
		return "", err
	}
	return fmt.Sprintf("%d are of no line that was accepted, the first is %s", n, first), nil
}

// searchParameters: copied, the destination reindexed, and each finds the same on both sides, as the last full DeepCheck saw it.
func (c *Cutover) searchParameters(ctx context.Context, l look) (Condition, error) {
	const name, again = "search parameters", "POST /api/SearchParameters/copy"
	if !c.Settings.MigrateSearchParameters {
		return Condition{Name: name, Met: true, Evidence: "left alone: AZURE_MigrateSearchParameters is false"}, nil
	}
	row, err := c.Ledger.SearchParameters(ctx)
	if err != nil {
		return Condition{}, err
	}
	said := fmt.Sprintf("%d at the source, %d of them were there, %d copied, %d refused", row.Found, row.Existing, row.Copied, row.Refused)
	switch {
	case row.State != ledger.ParametersDone:
		return Condition{Name: name, Evidence: strings.TrimSpace(said + "; " + string(row.State) + " " + row.Reason), Do: "wait for it; where it failed or some were refused, mend the cause, then " + again}, nil
	case row.Refused > 0:
		return Condition{Name: name, Evidence: said + ": see GET /api/SearchParameters", Do: "mend or remove them at the source, then " + again}, nil
	case !l.hasFull:
		return Condition{Name: name, Evidence: said + ", reindexed; nobody has searched by them on both sides", Do: "POST /api/DeepCheck?count=all"}, nil
	case l.full.Source == string(verify.Staged):
		return Condition{Name: name, Met: true, Evidence: said + ", reindexed; the source cannot be searched, so there is nothing to compare them with"}, nil
	}
	s := l.full.Searches
	if s == nil || !s.Done || s.Different+s.NotKnown > 0 {
		found := "the searches by them did not come to an end"
		if s != nil && s.Different+s.NotKnown > 0 {
			found = fmt.Sprintf("of %d searches by them %d differ and %d are not known: %s", s.SearchesMade, s.Different, s.NotKnown, strings.Join(s.Named, "; "))
		}
		return Condition{Name: name, Evidence: said + ", reindexed; " + found, Do: "see the run, then POST /api/DeepCheck?count=all"}, nil
	}
	return Condition{Name: name, Met: true, Evidence: fmt.Sprintf("%s, reindexed; %d searches by them find the same on both sides (run %d), %d are not possible at the source either", said, s.Equal, l.full.Run, s.NotPossible)}, nil
}

// told leaves out what to do where the condition is met.
func (c Condition) told() Condition {
	if c.Met {
		c.Do = ""
	}
	return c
}

// accepted are the resources of refused lines that somebody has accepted, as Type/id.
type accepted map[string]bool

// pageExceptions is how many refused lines are read at a time.
const pageExceptions = 1000

// exceptions: no refused line is open. Those accepted are gathered along the way, for the DeepCheck finds them too.
func (c *Cutover) exceptions(ctx context.Context) (Condition, accepted, error) {
	const name = "refused lines"
	ctx, cancel := context.WithTimeout(ctx, askTime/2) // the other conditions need some, too
	defer cancel()
	states, known, first := map[ledger.ExceptionState]int64{}, accepted{}, ""
	for from := ""; ; {
		page, err := c.Ledger.Exceptions(ctx, from, pageExceptions)
		if errors.Is(err, context.DeadlineExceeded) {
			return Condition{Name: name, Evidence: "too many to read them all in time", Do: "see GET /api/Exceptions?state=open"}, known, nil
		}
		if err != nil {
			return Condition{}, nil, err
		}
		for _, e := range page {
			states[e.State] += e.Lines
			switch {
			case e.State == ledger.ExceptionAccepted && e.ResourceID != "":
				known[e.ResourceType+"/"+e.ResourceID] = true
			case first == "" && (e.State == ledger.ExceptionOpen || e.State == ledger.ExceptionPosted):
				first = e.ID
			}
		}
		if len(page) < pageExceptions {
			break
		}
		from = page[len(page)-1].ID + " "
	}
	said := fmt.Sprintf("%d open, %d being imported again, %d imported after all, %d accepted", states[ledger.ExceptionOpen], states[ledger.ExceptionPosted], states[ledger.ExceptionImported], states[ledger.ExceptionAccepted])
	if first != "" {
		return Condition{Name: name, Evidence: said + "; the first is " + first, Do: "post them again or accept them: GET /api/Exceptions?state=open"}, known, nil
	}
	return Condition{Name: name, Met: true, Evidence: said}, known, nil
}
