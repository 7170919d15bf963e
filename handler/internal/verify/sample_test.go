package verify

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fhirmigration/handler/internal/settings"
	"fhirmigration/sandbox/fhirservice"
)

// sampled are the resources that a run compared.
func (r *rig) sampled(report Report) map[string]bool {
	r.t.Helper()
	ids := map[string]bool{}
	err := r.findings(r.t.Context(), report.FindingBlobs, func(f Finding) bool {
		ids[f.Type+"/"+f.ID] = true
		return true
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return ids
}

func TestSampleCoversEveryTypeAndTheWholeTime(t *testing.T) {
	t.Parallel()
	for _, source := range []SourceOf{Live, Staged} {
		for _, kind := range []string{"sql", "cosmos"} {
			t.Run(fmt.Sprint(source, kind), func(t *testing.T) {
				t.Parallel()
				options := []string{}
				if kind == "cosmos" {
					options = append(options, kind)
				}
				r := newRig(t, options...)
				data := append(clinic(500), version("Device", "only", 1, day0, ""))
				load(t, r.source, data)
				load(t, r.destination, data)
				r.stage(data, 70)
				q := Request{Kind: Deep, Count: 60, Seed: 42, Source: source}
				report := r.check(q)
				if report.Counts[Equal] != 60 || report.Counts.Sum() != 60 || report.Seed != 42 {
					t.Errorf("%v, seed %d, want 60 equal", report.Counts, report.Seed)
				}
				ids := r.sampled(report)
				if !ids["Device/only"] || len(report.ByType) != 4 {
					t.Errorf("types %v", report.ByType)
				}
				quarters := map[string]bool{}
				for _, v := range data {
					if ids[v.Type+"/"+v.ID] {
						quarters[fmt.Sprint(v.Type, " ", int(v.LastUpdated.Sub(day0)/(watermark.Sub(day0)/4)))] = true
					}
				}
				if len(quarters) != 13 {
					t.Errorf("quarters of the year with a sample: %v, want 4 of each type", quarters)
				}
				if diff := cmp.Diff(ids, r.sampled(r.check(q))); diff != "" {
					t.Errorf("the same seed, another sample:\n%s", diff)
				}
				q.Seed = 43
				if cmp.Equal(ids, r.sampled(r.check(q))) {
					t.Error("another seed, the same sample")
				}
			})
		}
	}
}

func TestSampleLooksForExtrasWhereCountsDiffer(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	data := clinic(500)
	load(t, r.source, data)
	load(t, r.destination, append(drop("claim-123", "")(data), version("Patient", "stray", 1, day0.AddDate(0, 3, 3), "")))
	r.migrated()
	report := r.check(Request{Kind: Deep, Count: 5})
	found := map[string]Outcome{}
	for _, f := range r.all(report) {
		found[f.ID] = f.Outcome
	}
	if diff := cmp.Diff(map[string]Outcome{"claim-123": Missing, "stray": Extra}, found); diff != "" {
		t.Errorf("found (-want +got):\n%s", diff)
	}
}

func TestSampleReadsInBulk(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	load(t, r.source, clinic(1000))
	load(t, r.destination, clinic(1000))
	r.migrated()
	report := r.check(Request{Kind: Deep, Count: 1500})
	if report.Counts[Equal] != 1500 {
		t.Errorf("%v", report.Counts)
	}
	for _, s := range []*fhirservice.Service{r.source, r.destination} {
		calls := s.Calls()
		if len(calls) > 500 {
			t.Errorf("%d calls for 1500 resources", len(calls))
		}
		for _, c := range calls {
			if c.Kind == fhirservice.Read {
				t.Fatalf("one resource was read by a call of its own: %+v", c)
			}
		}
	}
}

func TestQuotas(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		sizes map[string]int64
		count int64
		want  map[string]int64
	}{
		{map[string]int64{"A": 1000, "B": 10, "C": 1}, 30, map[string]int64{"A": 28, "B": 1, "C": 1}},
		{map[string]int64{"A": 1000, "B": 10, "C": 1}, 1, map[string]int64{"A": 1, "B": 1, "C": 1}},
		{map[string]int64{"A": 5, "B": 6}, 100, map[string]int64{"A": 5, "B": 6}},
		{map[string]int64{"A": 3_000_000_000, "B": 6_000_000_000_000}, 1_000_000, map[string]int64{"A": 500, "B": 999_500}},
		{map[string]int64{}, 10, map[string]int64{}},
	} {
		got := map[string]int64{}
		for typ, q := range quotas(test.sizes, test.count) {
			got[typ] = q.Take
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%v of %v (-want +got):\n%s", test.count, test.sizes, diff)
		}
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	all := []stretch{{source: 100}, {source: 0}, {source: 1}, {source: 50}}
	for _, test := range []struct {
		take int64
		want []int64
	}{{151, []int64{100, 0, 1, 50}}, {500, []int64{100, 0, 1, 50}}, {3, []int64{1, 0, 1, 1}}, {0, []int64{0, 0, 0, 0}}} {
		if diff := cmp.Diff(test.want, share(all, test.take, random)); diff != "" {
			t.Errorf("%d (-want +got):\n%s", test.take, diff)
		}
	}
	var sum int64
	for _, n := range share(all, 2, random) {
		sum += n
	}
	if sum != 2 {
		t.Errorf("2 shared out as %d", sum)
	}
}

func TestGroupCoversWhatThereIs(t *testing.T) {
	t.Parallel()
	u := unit{Task: taskSlice, Type: "Patient", Till: 1000}
	all := []stretch{{0, 100, 3000, 10}, {100, 200, 10, 900}, {200, 300, 500, 0}, {300, 400, 0, 0}, {400, 500, 1, 1}, {500, 1000, 90_000, 0}}
	want := []unit{
		{Task: taskSlice, Type: "Patient", Since: 0, Till: 500, Size: 4401},
		{Task: taskSlice, Type: "Patient", Since: 500, Till: 1000, Size: 90_000},
	}
	if diff := cmp.Diff(want, group(u, all)); diff != "" {
		t.Errorf("pieces (-want +got):\n%s", diff)
	}
	if at := fromMilliseconds(toMilliseconds(time.Time{})); !at.IsZero() {
		t.Errorf("an open bound became %s", at)
	}
}

// Half of what is at the source is missing in every stretch that has anything: all of them are compared as a whole.
func TestSampleOfADestinationWithHalfOfIt(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var data []fhirservice.Version
	types := []string{"Account", "Basic", "CarePlan", "CareTeam", "Claim", "Condition", "Consent", "Device", "Encounter", "Goal", "Group", "Immunization"}
	for _, typ := range types {
		for i := range 2 * stretches { // in every other stretch
			data = append(data, version(typ, fmt.Sprint(i), 1, day0.Add(time.Duration(i/2*2)*watermark.Sub(day0)/(2*stretches)), ""))
		}
	}
	load(t, r.source, data)
	load(t, r.destination, slices.DeleteFunc(slices.Clone(data), func(v fhirservice.Version) bool { n, _ := strconv.Atoi(v.ID); return n%4 < 2 }))
	r.migrated()
	report := r.check(Request{Kind: Deep, Count: 12})
	if report.Counts[Missing] != int64(len(data)/2) {
		t.Errorf("%v, want %d missing", report.Counts, len(data)/2)
	}
}

func TestCursorIsNotCrowded(t *testing.T) {
	t.Parallel()
	q := Request{Kind: Deep, All: true, Types: settings.OriginalTypes()}
	big := unit{Task: taskSlice, Type: "MedicationAdministration", Since: day0.UnixMilli(), Till: now.UnixMilli(), Size: 3_000_000_000}
	c, underWay, most := cursor{Types: q.Types, Units: []unit{big, big, big, big, big, big, big, big}, Sizes: map[string]int64{}}, map[int]unit{}, 0
	for _, typ := range q.Types {
		c.Sizes[typ] = big.Size
	}
	for begun := 0; ; begun++ {
		for len(underWay) < sideBySide && !c.crowded(q, underWay) {
			u, ok := c.next(q, len(underWay) == 0)
			if !ok {
				break
			}
			underWay[begun] = u
			begun++
		}
		if len(underWay) == 0 {
			break
		}
		most = max(most, len(encode(c.with(slices.Collect(maps.Values(underWay))))))
		first := slices.Min(slices.Collect(maps.Keys(underWay)))
		u := underWay[first]
		delete(underWay, first)
		if u.Type == big.Type && u.Size > sliceSize { // into as many as there may be
			var more []unit
			for range 2 * maxPieces {
				piece := u
				piece.Size = u.Size / maxPieces
				more = append(more, piece)
			}
			c.Units = append(more, c.Units...)
			if c.Units[0].Size < 100_000 {
				c.Units = c.Units[8:] // or it would take for ever
			}
		}
		if begun > 2_000 {
			break
		}
	}
	if most > 32_000 {
		t.Errorf("the cursor had %d characters", most)
	}
}
