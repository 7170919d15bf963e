package verify

import (
	"context"
	"errors"
	"fmt"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
)

// maxLocated bounds the windows that are named for one type, and in all.
const maxLocated, maxLocatedInAll = 12, 40

// countType is SurfaceCheck's work on one type.
func (j *job) countType(ctx context.Context, u unit) (part, error) {
	c, err := j.counted(ctx, u.Type)
	if err != nil {
		return part{}, err
	}
	if c.SourceCount == 0 && c.DestinationCount == 0 {
		return part{}, nil
	}
	p := part{apply: func(_ *cursor, r *result) { r.surface(c) }}
	if c.Outcome == Different && j.request.Windows {
		p.more = []unit{{Task: taskLocate, Type: u.Type}}
	}
	return p, nil
}

// surface notes what was found of a type, with the reason as long as there is room; those of the others are among the reasons of the run.
func (r *result) surface(c TypeCount) {
	if c.Reason != "" {
		r.note(c.Resource + ": " + c.Reason)
		c.Reason = within(c.Reason, maxReason)
		room := maxSurfaceReasons
		for _, t := range r.Surface {
			room -= len(encode(t.Reason))
		}
		if len(encode(c.Reason)) > room {
			c.Reason = ""
		}
	}
	if r.Counts == nil {
		r.Counts = Counts{}
	}
	r.Counts[c.Outcome]++
	r.Surface = append(r.Surface, c)
}

func (j *job) counted(ctx context.Context, typ string) (TypeCount, error) {
	period := j.request.period()
	if j.request.Plan.Manifests {
		return j.countedByManifests(ctx, typ)
	}
	source, destination, err := j.countBoth(ctx, typ, j.request.Plan.View, period)
	if err != nil {
		return TypeCount{}, err
	}
	c := TypeCount{Resource: typ, SourceCount: source, DestinationCount: destination, Outcome: Equal}
	switch {
	case source == destination:
		return c, nil
	case source > destination && j.request.Plan.View == fhir.Versions && !j.request.Plan.Deletes:
		c.Outcome, c.Reason = NotVerifiable, "the source's number has deletions in it, which are not migrated and cannot be counted apart: use a DeepCheck"
		return c, nil
	case source > destination:
		c.Outcome = Different
		return c, nil
	}
	// A resource that the source changed or deleted since is no longer counted there, and still is at the destination.
	changed, err := j.Source.CountType(ctx, typ, fhir.Versions, fhir.Period{Since: period.Till})
	if err != nil {
		return c, fmt.Errorf("source: %w", err)
	}
	c.Outcome = Different
	if destination-source <= changed.N {
		c.Outcome = NotVerifiable
		c.Reason = fmt.Sprintf("the source changed %d times since %s, which can explain the surplus: use a DeepCheck", changed.N, ledger.FormatInstant(period.Till))
	}
	return c, nil
}

// countedByManifests takes the lines of the manifests for a source that cannot be asked. They are versions.
func (j *job) countedByManifests(ctx context.Context, typ string) (TypeCount, error) {
	lines, windows, err := j.lines(ctx, typ)
	if err != nil {
		return TypeCount{}, err
	}
	count, err := j.Destination.CountType(ctx, typ, fhir.Versions, j.request.period())
	if err != nil {
		return TypeCount{}, fmt.Errorf("destination: %w", err)
	}
	c := TypeCount{Resource: typ, SourceCount: lines, DestinationCount: count.N, Outcome: Equal}
	switch surplus := lines - count.N; {
	case surplus == 0:
	case j.request.Plan.Unversioned[typ]:
		c.Outcome, c.Reason = NotVerifiable, "the manifests count versions, and the destination keeps none of this type: use a DeepCheck"
	case surplus > 0 && surplus < windows:
		c.Outcome, c.Reason = NotVerifiable, "a resource stamped exactly at the end of a window is exported by two windows: use a DeepCheck"
	default:
		c.Outcome = Different
	}
	return c, nil
}

// lines are those of one type in all windows, and how many windows there are.
func (j *job) lines(ctx context.Context, typ string) (lines, windows int64, err error) {
	for number := range j.request.Plan.Windows {
		w, ok, err := j.windowIn(ctx, number, j.request.period())
		if err != nil {
			return 0, 0, err
		}
		if ok && w.Holds(typ) {
			lines += w.CountsByType[typ]
			windows++
		}
	}
	return lines, windows, nil
}

// locate counts a type that differs by window, all of them in a few calls.
func (j *job) locate(ctx context.Context, u unit) (part, error) {
	var windows []ledger.Window
	var urls []string
	for number := range j.request.Plan.Windows {
		w, ok, err := j.windowIn(ctx, number, j.request.period())
		if err != nil {
			return part{}, err
		}
		if ok && w.Holds(u.Type) {
			windows = append(windows, w)
			urls = append(urls, fhir.CountURL(u.Type, j.request.Plan.View, fhir.Period{Since: w.Since, Till: w.Till}))
		}
	}
	var source []fhir.Answer
	var err error
	if !j.request.Plan.Manifests {
		if source, err = batch(ctx, j.Source, urls); err != nil {
			return part{}, fmt.Errorf("source: %w", err)
		}
	}
	destination, err := batch(ctx, j.Destination, urls)
	if err != nil {
		return part{}, fmt.Errorf("destination: %w", err)
	}
	var found []WindowCount
	for i, w := range windows {
		there, err := destination[i].Total()
		if err != nil {
			return part{}, fmt.Errorf("destination: %w", err)
		}
		here := w.CountsByType[u.Type]
		if source != nil {
			if here, err = source[i].Total(); err != nil {
				return part{}, fmt.Errorf("source: %w", err)
			}
		}
		if here != there {
			found = append(found, WindowCount{u.Type, w.Since, w.Till, here, there})
		}
	}
	return part{apply: func(_ *cursor, r *result) { r.locate(found) }}, nil
}

func (r *result) locate(found []WindowCount) {
	kept := max(min(len(found), maxLocated, maxLocatedInAll-len(r.Windows)), 0)
	r.Windows = append(r.Windows, found[:kept]...)
	if kept < len(found) {
		r.note(fmt.Sprintf("%s differs in %d windows, of which %d are shown", found[0].Resource, len(found), kept))
	}
}

// notWindow says whether an error of Ledger.Window means that there is no window under the number.
func notWindow(err error) bool {
	return errors.Is(err, ledger.ErrNotWindow) || errors.Is(err, ledger.ErrNotFound)
}
