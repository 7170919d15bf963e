package verify

import (
	"context"
	"errors"
	"fmt"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
)

const (
	// maxTail bounds the resources behind Till that are looked at: while a migration runs, windows behind it may be imported already.
	maxTail = 20_000
	// maxChanges bounds the changes of the source that are named.
	maxChanges = 20
	// newer stands for a type where what the destination has from Till on could not be looked at.
	newer = "newer than till"
)

// tail looks at what the destination has from Till on. What the source has in the same version was migrated ahead of the watermark; the rest was written there by somebody else.
func (j *job) tail(ctx context.Context, u unit) (part, error) {
	period := fhir.Period{Since: j.request.Till}
	count, err := j.Destination.CountType(ctx, "", j.request.Plan.View, period)
	if err != nil {
		return part{}, fmt.Errorf("destination: %w", err)
	}
	if count.N > maxTail {
		p := part{size: count.N, reasons: []string{fmt.Sprintf("the destination has %d resources newer than %s, too many to tell stray writes from what is migrated ahead", count.N,
			ledger.FormatInstant(j.request.Till))}}
		if j.request.Plan.Settled { // nothing is migrated ahead
			p.counts = map[string]Counts{newer: {NotVerifiable: count.N}}
		}
		return p, nil
	}
	p := part{size: count.N}
	if count.N == 0 {
		return p, nil
	}
	strays := collector{lookup: func(ctx context.Context, items []fhir.Resource) error { return j.strays(ctx, items, u, &p) }}
	err = j.Destination.Resources(ctx, "", j.request.Plan.View, period, func(page []fhir.Resource) error {
		for _, r := range page {
			if !j.wants(r.Type) {
				continue
			}
			if err := strays.add(ctx, r); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = strays.flush(ctx)
	}
	return p, err
}

// strays decides about resources that the destination got after Till.
func (j *job) strays(ctx context.Context, items []fhir.Resource, u unit, p *part) error {
	if j.request.Source == Staged {
		for _, r := range items {
			p.add(Finding{Type: r.Type, ID: r.ID, VersionID: r.VersionID}.stray("written to the destination after the last window"), false)
		}
		return nil
	}
	urls := make([]string, 0, 2*len(items))
	for _, r := range items {
		urls = append(urls, fhir.VersionURL(r.Type, r.ID, r.VersionID), fhir.NewestURL(r.Type, r.ID, fhir.Period{Till: j.request.Till}))
	}
	answers, err := batch(ctx, j.Source, urls)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	for i, r := range items {
		f, ok, err := j.strayOne(r, answers[2*i], answers[2*i+1], u.last())
		if err != nil {
			return fmt.Errorf("source: %w", err)
		}
		if ok {
			p.add(f, false)
		}
	}
	return nil
}

// strayOne decides about one resource by the same version and by the state at Till, both of the source. ok is false when there is nothing to report here.
func (j *job) strayOne(r fhir.Resource, same, before fhir.Answer, last bool) (f Finding, ok bool, err error) {
	f = Finding{Type: r.Type, ID: r.ID, VersionID: r.VersionID, Outcome: Extra}
	switch {
	case same.Err == nil:
		source, err := fhir.ParseResource(same.Raw)
		if err == nil && sameMillisecond(source.LastUpdated, r.LastUpdated) {
			return f, false, nil
		}
	case same.Gone():
		return f, false, nil // a deletion, at the source too
	case fhir.KindOf(same.Err) != fhir.NotFound:
		f, err = unanswered(f, same.Err, last)
		return f, true, err
	}
	source, known, err := newestAtSource(before)
	switch {
	case err != nil:
		f, err = unanswered(f, err, last)
		return f, true, err
	case !known:
		return f.stray("the source does not know it: it was written to the destination by somebody else"), true, nil
	case j.request.Plan.View == fhir.Current && !source.Deleted && j.request.holds(source.LastUpdated):
		return f, false, nil // it is the slice of the source's version that finds this one in its place
	}
	f.Note = "the source has no such version: it was written to the destination by somebody else"
	return f, true, nil
}

// changed looks at what happened at the source from Till on: after a cutover, nothing should.
func (j *job) changed(ctx context.Context) (part, error) {
	period := fhir.Period{Since: j.request.Till}
	count, err := j.Source.CountType(ctx, "", fhir.Versions, period)
	if err != nil {
		return part{}, fmt.Errorf("source: %w", err)
	}
	var changes []string
	err = j.Source.Resources(ctx, "", fhir.Versions, period, func(page []fhir.Resource) error {
		for _, r := range page {
			if len(changes) == maxChanges {
				return errEnough
			}
			what := "written"
			if r.Deleted {
				what = "deleted"
			}
			changes = append(changes, fmt.Sprintf("%s/%s version %s %s at %s", r.Type, r.ID, r.VersionID, what, ledger.FormatInstant(r.LastUpdated)))
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return part{}, fmt.Errorf("source: %w", err)
	}
	return part{apply: func(_ *cursor, r *result) { r.ChangedAtSource, r.Changes = count.N, changes }}, nil
}
