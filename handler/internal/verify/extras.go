package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"fhirmigration/handler/internal/fhir"
)

// extras looks for what the destination has in the time of a window and the window did not export, where the counts say that there may be something.
func (j *job) extras(ctx context.Context, u unit, missing map[string]bool) (part, error) {
	if u.Type != "" {
		return j.extrasOf(ctx, u)
	}
	w, ok, err := j.windowIn(ctx, u.Window, j.request.period())
	if err != nil || !ok {
		return part{}, err
	}
	var types, urls []string
	from := min(u.From, len(j.request.Types))
	for _, typ := range j.request.Types[from:] {
		if !w.Holds(typ) {
			continue
		}
		types = append(types, typ)
		urls = append(urls, fhir.CountURL(typ, fhir.Versions, fhir.Period{Since: w.Since, Till: w.Till}))
	}
	answers, err := batch(ctx, j.Destination, urls)
	if err != nil {
		return part{}, fmt.Errorf("destination: %w", err)
	}
	var p part
	for i, typ := range types {
		n, err := answers[i].Total()
		if err != nil {
			return part{}, fmt.Errorf("destination: %w", err)
		}
		// Where something is missing, something else may be there in its place.
		if n > 0 && (n != w.CountsByType[typ] || missing[typ]) {
			if len(p.more) == extrasAtATime {
				p.more = append(p.more, unit{Task: taskExtras, Window: u.Window, From: slices.Index(j.request.Types, typ)})
				break
			}
			p.more = append(p.more, unit{Task: taskExtras, Type: typ, Window: u.Window, Since: max(w.Since.UnixMilli(), toMilliseconds(j.request.Since)),
				Till: min(w.Till.UnixMilli(), j.request.Till.UnixMilli())})
		}
	}
	return p, nil
}

// extrasOf compares the versions of one type that the destination has in a stretch with those that were exported, by their ids: at most 50,000 at a time.
func (j *job) extrasOf(ctx context.Context, u unit) (part, error) {
	count, err := j.Destination.CountType(ctx, u.Type, fhir.Versions, u.period())
	if err != nil {
		return part{}, fmt.Errorf("destination: %w", err)
	}
	if n := min(count.N/maxSet+1, maxPieces, u.Till-u.Since); count.N > maxSet && n > 1 {
		var p part
		for i := range n {
			piece := u
			piece.Since, piece.Till = u.Since+(u.Till-u.Since)*i/n, u.Since+(u.Till-u.Since)*(i+1)/n
			p.more = append(p.more, piece)
		}
		return p, nil
	}
	type version struct{ id, version string }
	left := map[version]bool{} // true: a deletion
	err = j.Destination.Resources(ctx, u.Type, fhir.Versions, u.period(), func(page []fhir.Resource) error {
		for _, r := range page {
			// Clones, or each would keep the page that it is a part of.
			left[version{strings.Clone(r.ID), strings.Clone(r.VersionID)}] = r.Deleted
		}
		return nil
	})
	if err != nil {
		return part{}, fmt.Errorf("destination: %w", err)
	}
	_, files, err := j.exportedFiles(ctx, u.Window)
	if err != nil {
		return part{}, err
	}
	for _, f := range files {
		if f.Type != u.Type {
			continue
		}
		err := j.Staging.Lines(ctx, f.URL, 0, func(line string) (bool, error) {
			found := gjson.GetMany(line, "id", "meta.versionId")
			delete(left, version{found[0].String(), found[1].String()})
			return len(left) > 0, nil
		})
		if err != nil {
			return part{}, err
		}
	}
	var p part
	for v, deleted := range left {
		f := Finding{Type: u.Type, ID: v.id, VersionID: v.version}.stray("it was not exported")
		if deleted {
			f.Outcome, f.Proposal = DeletedAtDestination, ""
		}
		p.add(f, false)
	}
	return p, nil
}

// extrasAtATime is for how many types of a window a look for extras is queued at a time; the cursor has to hold them, those of several windows.
const extrasAtATime = 20

// maxSet is how many versions are held in memory by their ids alone.
const maxSet = 50_000
