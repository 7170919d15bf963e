package verify

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
)

// CountServers counts the current resources on both services, and those at the source that were last updated before the watermark, and
// compares the source's clock with the handler's. What cannot be had is Unknown, with the reason.
func (v *Verify) CountServers(ctx context.Context, watermark time.Time) ledger.ServerTotals {
	t := ledger.ServerTotals{At: v.Clock(), Source: ledger.Unknown, Destination: ledger.Unknown, SourceBefore: ledger.Unknown, Watermark: watermark}
	var all, before, there fhir.Count
	var sourceErr, beforeErr, destinationErr error
	var g errgroup.Group
	g.Go(func() error { all, sourceErr = v.Source.CountResources(ctx, fhir.Period{}); return nil })
	g.Go(func() error {
		before, beforeErr = v.Source.CountResources(ctx, fhir.Period{Till: watermark})
		return nil
	})
	g.Go(func() error { there, destinationErr = v.Destination.CountResources(ctx, fhir.Period{}); return nil })
	g.Go(func() error {
		if now, err := v.Source.Now(ctx); err == nil {
			t.ClockAt = v.Clock()
			t.ClockAhead = ledger.Millis(now.Sub(t.ClockAt).Milliseconds())
		}
		return nil
	})
	g.Wait()
	if sourceErr != nil {
		t.SourceError = sourceErr.Error()
	} else {
		t.Source = all.N
	}
	if beforeErr == nil && sourceErr == nil {
		t.SourceBefore = before.N
	}
	if destinationErr != nil {
		t.DestinationError = destinationErr.Error()
	} else {
		t.Destination = there.N
	}
	return t
}

// Brief is how a run is, from its row alone.
type Brief struct {
	Kind     Kind
	Event    string // the name of the check's function
	Verdict  string
	Clean    bool // something was compared, and all of it is equal
	Full     bool // a DeepCheck of everything, with nothing left out
	Counts   Counts
	Till     time.Time
	Progress Progress
}

// Brief says how a run is without reading its findings.
func (v *Verify) Brief(run ledger.Run) (Brief, error) {
	j, err := v.newJob(run)
	if err != nil {
		return Brief{}, err
	}
	r := Report{Kind: Kind(run.Kind), State: run.State, Counts: j.result.Counts}
	b := Brief{Kind: r.Kind, Event: eventOf(r.Kind), Verdict: r.verdict(), Counts: r.Counts, Full: j.request.Plan.Full,
		Clean: run.State == ledger.RunDone && r.Counts.Sum() > 0 && r.Counts.Wrong() == 0 && r.Counts[NotVerifiable] == 0, Till: j.request.Till}
	if r.Kind == Surface {
		checked := int64(len(j.request.Types) - len(j.cursor.Types))
		b.Progress = j.progress(checked, int64(len(j.request.Types)), "types")
	} else {
		b.Progress = j.progress(j.result.Counts.Sum(), j.result.Expected, "resources")
	}
	return b, nil
}
