package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/tidwall/gjson"

	"fhirmigration/handler/internal/fhir"
)

// pair compares a resource of the source with one of the destination that should be the same.
func (j *job) pair(source, destination fhir.Resource) Finding {
	f := Finding{Type: source.Type, ID: source.ID, VersionID: source.VersionID, Outcome: Equal}
	switch {
	case !source.Deleted && !destination.Deleted && source.Raw == destination.Raw: // nearly all
	case source.Deleted && !destination.Deleted:
		f.Outcome = DeletedAtSource
		f.Proposal = "delete it at the destination: DELETE " + source.Type + "/" + source.ID
	case !source.Deleted && destination.Deleted:
		f.Outcome = DeletedAtDestination
	case source.Deleted:
		return deletions(f, source, destination, j.request.rules())
	default:
		differences, err := Compare(source.Raw, destination.Raw, j.rules(source))
		if err != nil {
			f.Outcome, f.Note = NotVerifiable, err.Error()
		} else if len(differences) > 0 {
			f.Outcome, f.Differences = Different, differences
		}
	}
	return f
}

// rules are those for one resource: a version that is no whole number of 32 bits is not kept by the import.
func (j *job) rules(source fhir.Resource) Rules {
	rules := j.request.rules()
	if _, err := strconv.ParseInt(source.VersionID, 10, 32); err != nil {
		rules.Ignore = append(slices.Clone(rules.Ignore), "/meta/versionId")
	}
	return rules
}

// deletions compares two of them by what a deletion is: its version and its time.
func deletions(f Finding, source, destination fhir.Resource, rules Rules) Finding {
	if rules.NewVersions {
		return f
	}
	if source.VersionID != destination.VersionID {
		f.Differences = append(f.Differences, Difference{"/meta/versionId", Changed, strconv.Quote(source.VersionID), strconv.Quote(destination.VersionID)})
	}
	if !sameMillisecond(source.LastUpdated, destination.LastUpdated) {
		f.Differences = append(f.Differences, Difference{"/meta/lastUpdated", Changed, strconv.Quote(source.LastUpdated.Format(time.RFC3339Nano)),
			strconv.Quote(destination.LastUpdated.Format(time.RFC3339Nano))})
	}
	if len(f.Differences) > 0 {
		f.Outcome = Different
	}
	return f
}

func sameMillisecond(a, b time.Time) bool {
	return a.Truncate(time.Millisecond).Equal(b.Truncate(time.Millisecond))
}

// stub says whether a resource holds nothing but its id and meta. A search by id may show deleted ones so.
func stub(r fhir.Resource) bool {
	n := 0
	gjson.Parse(r.Raw).ForEach(func(name, _ gjson.Result) bool {
		if name.Str != "resourceType" && name.Str != "id" && name.Str != "meta" {
			n++
		}
		return n == 0
	})
	return n == 0
}

// batch makes any number of reads at one service.
func batch(ctx context.Context, s *fhir.Service, urls []string) (all []fhir.Answer, err error) {
	for chunk := range slices.Chunk(urls, fhir.MaxBatch) {
		answers, err := s.Batch(ctx, chunk)
		if err != nil {
			return nil, err
		}
		all = append(all, answers...)
	}
	return all, nil
}

// unanswered decides about one answer of a batch that says nothing: while the unit may be tried again the whole is, then it is not verifiable.
func unanswered(f Finding, err error, last bool) (Finding, error) {
	if !last {
		return f, err
	}
	f.Outcome, f.Differences, f.Note = NotVerifiable, nil, shortened(err.Error())
	return f, nil
}

// current finds the current state at the destination of resources that the source has. Deleted ones and those that never were are not in it.
func current(ctx context.Context, s *fhir.Service, items []fhir.Resource) (map[string]fhir.Resource, error) {
	ids := map[string]bool{}
	for _, r := range items {
		ids[r.ID] = true
	}
	found := make(map[string]fhir.Resource, len(ids))
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(ids)), fhir.MaxIDs) {
		all, err := s.ResourcesByID(ctx, items[0].Type, chunk)
		if err != nil {
			return nil, err
		}
		for _, r := range all {
			if !stub(r) {
				found[r.ID] = r
			}
		}
	}
	return found, nil
}

// expectCurrent looks for resources of one type, current at the source up to Till, at the destination.
func (j *job) expectCurrent(ctx context.Context, items []fhir.Resource, u unit, p *part, keep bool) error {
	if len(items) == 0 {
		return nil
	}
	there, err := current(ctx, j.Destination, items)
	if err != nil {
		return fmt.Errorf("destination: %w", err)
	}
	var lost []fhir.Resource
	var urls []string
	for _, r := range items {
		if found, ok := there[r.ID]; ok {
			p.add(j.pair(r, found), keep)
			continue
		}
		lost = append(lost, r)
		urls = append(urls, fhir.NewestURL(r.Type, r.ID, fhir.Period{}))
	}
	answers, err := batch(ctx, j.Destination, urls)
	if err != nil {
		return fmt.Errorf("destination: %w", err)
	}
	for i, r := range lost {
		f, err := j.newestAtDestination(r, answers[i], u.last())
		if err != nil {
			return fmt.Errorf("destination: %w", err)
		}
		p.add(f, keep)
	}
	return nil
}

// newestAtDestination decides about a resource that a search did not find, by its history.
func (j *job) newestAtDestination(r fhir.Resource, a fhir.Answer, last bool) (Finding, error) {
	f := Finding{Type: r.Type, ID: r.ID, VersionID: r.VersionID, Outcome: Missing}
	newest, err := a.Resources()
	switch {
	case fhir.KindOf(err) == fhir.NotFound || err == nil && len(newest) == 0:
		return f, nil
	case err != nil:
		return unanswered(f, err, last)
	}
	return j.pair(r, newest[0]), nil
}

// expectVersions looks for versions of resources of one type at the destination.
func (j *job) expectVersions(ctx context.Context, items []fhir.Resource, u unit, p *part, keep bool) error {
	urls := make([]string, len(items))
	for i, r := range items {
		urls[i] = fhir.VersionURL(r.Type, r.ID, r.VersionID)
	}
	answers, err := batch(ctx, j.Destination, urls)
	if err != nil {
		return fmt.Errorf("destination: %w", err)
	}
	var unknown []fhir.Resource
	for i, r := range items {
		f := Finding{Type: r.Type, ID: r.ID, VersionID: r.VersionID, Outcome: Equal}
		switch a := answers[i]; {
		case a.Err == nil:
			found, err := fhir.ParseResource(a.Raw)
			if err != nil {
				f.Outcome, f.Note = NotVerifiable, err.Error()
			} else {
				f = j.pair(r, found)
			}
		case a.Gone() && r.Deleted:
		case a.Gone():
			f.Outcome = DeletedAtDestination
		case fhir.KindOf(a.Err) == fhir.NotFound:
			unknown = append(unknown, r)
			continue
		default:
			if f, err = unanswered(f, a.Err, u.last()); err != nil {
				return fmt.Errorf("destination: %w", err)
			}
		}
		p.add(f, keep)
	}
	return j.withoutVersion(ctx, unknown, u, p, keep)
}

// withoutVersion decides about versions that the destination does not know, by the newest ones that it does.
func (j *job) withoutVersion(ctx context.Context, items []fhir.Resource, u unit, p *part, keep bool) error {
	urls := make([]string, len(items))
	for i, r := range items {
		urls[i] = fhir.NewestURL(r.Type, r.ID, fhir.Period{})
	}
	answers, err := batch(ctx, j.Destination, urls)
	if err != nil {
		return fmt.Errorf("destination: %w", err)
	}
	for i, r := range items {
		f := Finding{Type: r.Type, ID: r.ID, VersionID: r.VersionID, Outcome: Missing}
		newest, err := answers[i].Resources()
		switch {
		case fhir.KindOf(err) == fhir.NotFound || err == nil && len(newest) == 0:
		case err != nil:
			if f, err = unanswered(f, err, u.last()); err != nil {
				return fmt.Errorf("destination: %w", err)
			}
		case r.Deleted && !newest[0].Deleted && newest[0].LastUpdated.Before(r.LastUpdated):
			f.Outcome = DeletedAtSource
			f.Proposal = "delete it at the destination: DELETE " + r.Type + "/" + r.ID
		case j.request.Plan.Unversioned[r.Type] && newest[0].LastUpdated.After(r.LastUpdated):
			f.Outcome = Superseded
		default:
			f.Note = fmt.Sprintf("the newest version there is %s", newest[0].VersionID)
		}
		p.add(f, keep)
	}
	return nil
}

var errEnough = errors.New("enough")
