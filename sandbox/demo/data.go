package demo

import (
	"fmt"
	"time"

	"fhirmigration/sandbox/fhirservice"
	"fhirmigration/sandbox/ndjson"
	"fhirmigration/sandbox/progress"
	"fhirmigration/sandbox/synthetic"
)

// span is the time that the source's data, and so the range run, covers: five years that end two hours ago.
type span struct {
	start, end time.Time
}

func newSpan(now time.Time) span {
	end := now.UTC().Add(-2 * time.Hour).Truncate(time.Millisecond)
	return span{start: end.AddDate(-5, 0, 0), end: end}
}

// data makes or loads what the source is filled with.
func (o Options) data(s span) ([]fhirservice.Version, error) {
	if o.Data != "" {
		return ndjson.Load(o.Data, s.start, s.end)
	}
	return synthetic.Generate(synthetic.Options{Seed: o.Seed, Resources: o.Resources, Start: s.start, End: s.end})
}

// describe says what was made or loaded, in a line.
func (o Options) describe(versions []fhirservice.Version, s span) string {
	types, resources, deleted := map[string]struct{}{}, map[string]struct{}{}, 0
	for _, v := range versions {
		types[v.Type] = struct{}{}
		resources[v.Type+"/"+v.ID] = struct{}{}
		if v.Deleted {
			deleted++
		}
	}
	from := "synthetic, seed " + fmt.Sprint(o.Seed)
	if o.Data != "" {
		from = o.Data
	}
	return fmt.Sprintf("Data (%s): %s resources of %d types in %s versions, %s of them deletions, from %s to %s.",
		from, progress.Thousands(int64(len(resources))), len(types), progress.Thousands(int64(len(versions))),
		progress.Thousands(int64(deleted)), s.start.Format(time.DateTime), s.end.Format(time.DateTime))
}
