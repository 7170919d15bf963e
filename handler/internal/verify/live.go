package verify

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"fhirmigration/handler/internal/fhir"
)

const (
	// sliceSize is how many resources, at either side, a slice may have before it is cut: far below the 50,000 that memory allows, so that there are
	// enough slices to work on side by side.
	sliceSize = 6_000
	// maxPieces is into about how many a slice is cut at a time; the cursor has to hold them, those of every level.
	maxPieces = 8
	// lookupSize is how many resources that only one side has are looked up together.
	lookupSize = fhir.MaxBatch
)

// countBoth counts a type in a stretch at both services, side by side.
func (j *job) countBoth(ctx context.Context, typ string, view fhir.View, period fhir.Period) (source, destination int64, err error) {
	g, ctx := errgroup.WithContext(ctx)
	for name, side := range map[string]struct {
		service *fhir.Service
		n       *int64
	}{"source": {j.Source, &source}, "destination": {j.Destination, &destination}} {
		g.Go(func() error {
			count, err := side.service.CountType(ctx, typ, view, period)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			*side.n = count.N
			return nil
		})
	}
	return source, destination, g.Wait()
}

// slice compares everything of a type in a stretch of time.
func (j *job) slice(ctx context.Context, u unit) (part, error) {
	period := u.period()
	size := u.Size
	if size == 0 {
		source, destination, err := j.countBoth(ctx, u.Type, j.request.Plan.View, period)
		if err != nil {
			return part{}, err
		}
		size = max(source, destination)
	}
	if size > sliceSize {
		pieces, err := j.cut(ctx, u)
		if err != nil || len(pieces) > 0 {
			p := part{more: pieces, size: size}
			if err == nil {
				err = j.surplus(ctx, u, &p)
			}
			return p, err
		}
	}
	if j.request.Plan.NewVersions {
		return j.byID(ctx, u)
	}
	p := part{size: size}
	if size == 0 {
		return p, nil
	}
	keep := j.keeps()
	missing, extra := j.oneSided(u, &p)
	err := j.join(ctx, u.Type, period, pairs{
		both:          func(source, destination fhir.Resource) { p.add(j.pair(source, destination), keep) },
		atSource:      missing.add,
		atDestination: extra.add,
	})
	if err == nil {
		err = missing.flush(ctx)
	}
	if err == nil {
		err = extra.flush(ctx)
	}
	return p, err
}

// cut cuts a slice that is too large into pieces by what both sides have in each stretch of its time. Where neither has anything, there is nothing to
// compare. nil: it cannot be cut, as all is of one millisecond.
func (j *job) cut(ctx context.Context, u unit) ([]unit, error) {
	all, err := j.stretches(ctx, u)
	if err != nil {
		return nil, err
	}
	pieces := group(u, all)
	if len(pieces) == 1 && pieces[0].Since == u.Since && pieces[0].Till == u.Till {
		return nil, nil
	}
	return pieces, nil
}

// group puts neighbouring stretches together, up to the size of a slice, or an eighth of all if that is much more.
func group(u unit, all []stretch) (pieces []unit) {
	var total int64
	for _, s := range all {
		total += s.size()
	}
	target := max(sliceSize, total/maxPieces)
	if target <= 2*sliceSize { // a few pieces more, none of which has to be cut again
		target = sliceSize
	}
	for _, s := range all {
		if s.size() == 0 {
			continue
		}
		// Where a stretch between them is empty, they are neighbours all the same: or a time with many gaps would come into many pieces.
		if last := len(pieces) - 1; last >= 0 && pieces[last].Size+s.size() <= target {
			pieces[last].Till, pieces[last].Size = s.till, pieces[last].Size+s.size()
			continue
		}
		pieces = append(pieces, unit{Task: u.Task, Type: u.Type, Since: s.from, Till: s.till, Size: s.size()})
	}
	return pieces
}

// collector gathers resources until there are enough to look up together.
type collector struct {
	items  []fhir.Resource
	lookup func(context.Context, []fhir.Resource) error
}

func (c *collector) add(ctx context.Context, r fhir.Resource) error {
	c.items = append(c.items, r)
	if len(c.items) < lookupSize {
		return nil
	}
	return c.flush(ctx)
}

func (c *collector) flush(ctx context.Context) error {
	items := c.items
	c.items = nil
	if len(items) == 0 {
		return nil
	}
	return c.lookup(ctx, items)
}

// oneSided looks up what only one side has in the stretch of a unit.
func (j *job) oneSided(u unit, p *part) (missing, extra *collector) {
	missing = &collector{lookup: func(ctx context.Context, items []fhir.Resource) error {
		if j.request.Plan.View == fhir.Versions {
			return j.expectVersions(ctx, items, u, p, false)
		}
		return j.expectCurrent(ctx, items, u, p, false)
	}}
	extra = &collector{lookup: func(ctx context.Context, items []fhir.Resource) error {
		if j.request.Plan.View == fhir.Versions {
			return j.extraVersions(ctx, items, u, p)
		}
		return j.extraCurrent(ctx, items, u, p)
	}}
	return missing, extra
}

// newestAtSource is the newest state at the source before a time, as a batch says it. found is false for a resource that the source does not know.
func newestAtSource(a fhir.Answer) (r fhir.Resource, found bool, err error) {
	newest, err := a.Resources()
	if fhir.KindOf(err) == fhir.NotFound || err == nil && len(newest) == 0 {
		return fhir.Resource{}, false, nil
	}
	if err != nil {
		return fhir.Resource{}, false, err
	}
	return newest[0], true, nil
}

// extraCurrent decides about resources that are alive at the destination and that the source does not have as current ones in the same stretch: it may have deleted
// them, changed them since Till, or never had them.
func (j *job) extraCurrent(ctx context.Context, items []fhir.Resource, u unit, p *part) error {
	urls := make([]string, len(items))
	for i, r := range items {
		urls[i] = fhir.NewestURL(r.Type, r.ID, fhir.Period{Till: j.request.Till})
	}
	answers, err := batch(ctx, j.Source, urls)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	for i, r := range items {
		f := Finding{Type: r.Type, ID: r.ID, VersionID: r.VersionID, Outcome: Extra}
		source, found, err := newestAtSource(answers[i])
		switch {
		case err != nil:
			if f, err = unanswered(f, err, u.last()); err != nil {
				return fmt.Errorf("source: %w", err)
			}
		case !found:
			f = f.stray("the source does not know it: it was deleted there without a trace, or written to the destination by somebody else")
		case !sameMillisecond(source.LastUpdated, r.LastUpdated) && !source.Deleted && j.request.holds(source.LastUpdated):
			continue // the slice of the source's version tells what became of it
		default:
			f = j.pair(source, r)
		}
		p.add(f, false)
	}
	return nil
}

// stray says what to do with a resource that the source does not know.
func (f Finding) stray(note string) Finding {
	f.Outcome, f.Note = Extra, note
	f.Proposal = "if it must not be there, delete it at the destination: DELETE " + f.Type + "/" + f.ID
	return f
}

// extraVersions decides about versions that the destination has in a stretch and the source has not.
func (j *job) extraVersions(ctx context.Context, items []fhir.Resource, u unit, p *part) error {
	urls := make([]string, 0, 2*len(items))
	for _, r := range items {
		urls = append(urls, fhir.VersionURL(r.Type, r.ID, r.VersionID), fhir.NewestURL(r.Type, r.ID, fhir.Period{}))
	}
	answers, err := batch(ctx, j.Source, urls)
	if err != nil {
		return fmt.Errorf("source: %w", err)
	}
	for i, r := range items {
		version, newest := answers[2*i], answers[2*i+1]
		f := Finding{Type: r.Type, ID: r.ID, VersionID: r.VersionID, Outcome: Extra}
		if version.Err != nil && !version.Gone() && fhir.KindOf(version.Err) != fhir.NotFound {
			if f, err = unanswered(f, version.Err, u.last()); err != nil {
				return fmt.Errorf("source: %w", err)
			}
			p.add(f, false)
			continue
		}
		_, known, err := newestAtSource(newest)
		switch {
		case err != nil:
			if f, err = unanswered(f, err, u.last()); err != nil {
				return fmt.Errorf("source: %w", err)
			}
		case !known:
			f = f.stray("the source does not know it: it was deleted there without a trace, or written to the destination by somebody else")
		case version.Err == nil || version.Gone():
			source, parseErr := fhir.ParseResource(version.Raw)
			if parseErr != nil || j.request.holds(source.LastUpdated) {
				continue // at the source with another time, under which its own slice reports it
			}
			f = j.pair(source, r)
		case r.Deleted:
			f.Outcome, f.Note = DeletedAtDestination, "the source has no such version"
		default:
			f.Note = "the source has no such version: it was written to the destination by somebody else"
		}
		p.add(f, false)
	}
	return nil
}

// byID compares a stretch of the source with a destination to which the import gave new versions and times, so that only ids can be matched.
func (j *job) byID(ctx context.Context, u unit) (part, error) {
	var p part
	err := j.Source.Resources(ctx, u.Type, fhir.Current, u.period(), func(page []fhir.Resource) error {
		p.size += int64(len(page))
		return j.expectCurrent(ctx, page, u, &p, false)
	})
	if err == nil {
		err = j.surplus(ctx, u, &p)
	}
	return p, err
}

// surplus counts, once for a type, what a destination with versions and times of its own has beyond the source.
func (j *job) surplus(ctx context.Context, u unit, p *part) error {
	if !j.request.Plan.NewVersions || u.Since != toMilliseconds(j.request.Since) || u.Till != toMilliseconds(j.request.Till) {
		return nil
	}
	source, destination, err := j.countBoth(ctx, u.Type, fhir.Current, fhir.Period{})
	if err != nil {
		return err
	}
	if more := destination - source; more > 0 {
		p.merge(part{counts: map[string]Counts{u.Type: {NotVerifiable: more}},
			reasons: []string{fmt.Sprintf("%s: the destination has %d more than the source; after an InitialLoad they cannot be told from the others", u.Type, more)}})
	}
	return nil
}
