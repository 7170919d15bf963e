package migration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/sandbox/fhirservice"
)

// A type that was not in the last global window is migrated from its very beginning, once: one that the source lists only later, and one that the durable original
// does not know, when it had migrated before.
func TestTypesThatJoinLate(t *testing.T) {
	t.Parallel()
	t.Run("listed later", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, rigOptions{inMemory: true, settings: append([]string{"StartDate=2024-01-01", "MaxOpenWindows=1"}, typeRun...)})
		r.seed(resource("Patient", "a", 1, day(1)), resource("Patient", "b", 1, day(50)), resource("Patient", "c", 1, day(100)))
		for r.chunk0().PlannedTill.Before(day(40)) {
			r.tick()
		}
		for i := range 8 {
			r.seed(resource("SubstanceNucleicAcid", fmt.Sprint(i), 1, day(float64(2+10*i))))
		}
		r.run(rangeEnd)
		r.wantEqual()
		r.wantTypes()
	})
	t.Run("taken over", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, rigOptions{inMemory: true, settings: typeRun})
		r.seed(ward()...)
		before := func(v fhirservice.Version) bool {
			return v.Type != "SubstanceNucleicAcid" && v.LastUpdated.Before(day(60))
		}
		for _, v := range r.source.Versions() {
			if before(v) {
				if err := r.destination.Load(v); err != nil {
					t.Fatal(err)
				}
			}
		}
		r.takeOver(ledger.Chunk{JobID: 7, PlannedTill: day(60), Original: ledger.OriginalPlan{Since: day(60), Types: 144}})
		for r.chunk0().PlannedTill.Before(rangeEnd) || len(r.chunk0().Open) > 0 {
			r.tick()
		}
		r.wantEqual()
		for n := 7; n < r.chunk().JobID; n++ {
			if w := r.window(n); w.ResourceType != "SubstanceNucleicAcid" && w.Since.Before(day(60)) {
				t.Errorf("%s was migrated before", w.Name())
			}
		}
	})
}

// chunk0 is the chunk row, or an empty one before there is any.
func (r *rig) chunk0() ledger.Chunk {
	c, _ := r.Ledger.Chunk(r.t.Context())
	return c
}

// takeOver inserts the chunk row as something else left it.
func (r *rig) takeOver(c ledger.Chunk) {
	r.t.Helper()
	if err := r.Ledger.CreateTables(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.Ledger.InsertChunk(r.t.Context(), c); err != nil {
		r.t.Fatal(err)
	}
}

// The position of the durable original is taken over, in the middle of its list and in the middle of a type: types before it are not
// exported again, and the one at hand only from where it stood.
func TestTypePositionOfTheOriginalIsTakenOver(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{inMemory: true, settings: append([]string{"ResourceTypes=Account,Patient,Observation,VisionPrescription,SubstanceNucleicAcid"}, typeRun...)})
	r.seed(ward()...)
	r.takeOver(ledger.Chunk{JobID: 3, PlannedTill: day0, Original: ledger.OriginalPlan{Since: day0, Till: day(30), SubSince: day(14), SubTill: day(30), Multi: "Running", Types: 5, Index: 2}})
	for r.chunk().PlannedTill.Before(day(30)) {
		r.tick()
	}
	var planned []string
	for n := 3; n < r.chunk().JobID; n++ {
		if w := r.window(n); w.Till.Equal(day(30)) {
			planned = append(planned, fmt.Sprintf("%s from day %.0f", w.ResourceType, w.Since.Sub(day0).Hours()/24))
		}
	}
	if want := []string{"Observation from day 14", "VisionPrescription from day 0", "SubstanceNucleicAcid from day 0"}; !slices.Equal(planned, want) {
		t.Errorf("planned %q, want %q", planned, want)
	}
}

// A row that a tick inserted and did not list is adopted as it stands, and moves the position of its type and of no other; one that is the second
// half of another type's window under the same number is not mistaken for ours.
func TestTypeRowsOfTicksThatDied(t *testing.T) {
	t.Parallel()
	settings := append([]string{"StartDate=2024-01-01", "ResourceTypes=Account,Patient,Observation,VisionPrescription,SubstanceNucleicAcid"}, typeRun...)
	for name, insert := range map[string]ledger.Window{
		"at hand":            ledger.NewWindow(1, day0, day(9)).OfType("Account"),
		"to the very end":    ledger.NewWindow(1, day0, day(30)).OfType("Account"),
		"of all types, once": ledger.NewWindow(1, day0, day(30)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{inMemory: true, settings: settings})
			r.seed(ward()...)
			r.takeOver(ledger.NewChunk(day0))
			if _, err := r.Ledger.InsertWindow(t.Context(), insert); err != nil {
				t.Fatal(err)
			}
			r.run(rangeEnd)
			r.wantEqual()
			if w := r.window(1); !w.Till.Equal(insert.Till) || w.Phase() != ledger.Done {
				t.Errorf("%s is %s", w.Name(), w.Phase())
			}
			if insert.ResourceType != "" {
				r.wantTypes()
			}
		})
	}
	t.Run("another type under the number of a half", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, rigOptions{inMemory: true, settings: append([]string{"MaxOpenWindows=2", "MaxCount=true", "MaxCountValue=500"}, settings...)})
		r.seed(ward()...)
		r.takeOver(ledger.NewChunk(day0))
		r.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 2, FailJob: &fhirservice.Failure{Status: http.StatusRequestEntityTooLarge, Reason: "too large"}})
		r.tick()
		w := r.window(1)
		if _, err := r.Ledger.InsertWindow(t.Context(), ledger.NewWindow(3, middle(w), w.Till).OfType("Observation")); err != nil {
			t.Fatal(err)
		}
		r.run(rangeEnd)
		r.wantEqual()
		splits := 0
		for _, w := range r.allWindows() {
			for _, a := range w.AttemptLog {
				if strings.HasPrefix(a.What, "split at ") {
					splits++
				}
			}
		}
		if splits == 0 {
			t.Error("nothing was split: the test shows nothing")
		}
	})
}

// From some types to the whole system: the others were not migrated at all, so it begins at the beginning, and says so.
func TestFromSomeTypesToTheWholeSystem(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{inMemory: true, settings: append([]string{"MaxOpenWindows=1", "ResourceTypes=Account,Patient"}, typeRun...)})
	r.seed(ward()...)
	for !r.chunk0().PlannedTill.After(day(40)) {
		r.tick()
	}
	r.Migration = r.handler("IsParallel=true", "ResourceTypes=")
	changed, err := r.AcceptSettings(t.Context(), operator)
	if err != nil || !strings.Contains(changed, "all are migrated from the beginning on") {
		t.Errorf("accepted: %q, %v", changed, err)
	}
	r.run(rangeEnd)
	r.wantEqual()
	if r.log.with("all types are planned from the beginning") != 1 {
		t.Error("the log does not say that planning begins again")
	}
}

// An operator accepts another mode half-way: nothing is lost from one to the other.
func TestFromTypeModeToTheWholeSystem(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{inMemory: true, settings: append([]string{"MaxOpenWindows=1"}, typeRun...)})
	r.seed(ward()...)
	for range 8 {
		r.tick()
	}
	if !r.chunk().Types.UnderWay() {
		t.Fatal("no global window is under way: the test shows nothing")
	}
	r.saveChunk(func(c ledger.Chunk) (ledger.Chunk, bool) { c.Pinned = nil; return c, true })
	r.Migration = r.handler("IsParallel=true")
	r.run(rangeEnd)
	r.wantEqual()
}

// A source that is retired half-way cannot be migrated by type any more, which is said; as a whole it goes on, and nothing is lost.
func TestTypeModeOfARetiredSource(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{inMemory: true, source: fhirservice.Options{Kind: fhirservice.Cosmos}, settings: append([]string{"MaxOpenWindows=1"}, typeRun...)})
	r.seed(ward()...)
	for range 8 {
		r.tick()
	}
	r.source.Inject(fhirservice.Fault{Gone: true})
	var err error
	for range 20 {
		_, err = r.ExportStep(t.Context())
		if _, err := r.ImportStep(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.clock.Advance(3 * time.Minute)
	}
	if err == nil || !strings.Contains(err.Error(), "set AZURE_IsParallel=true") {
		t.Errorf("the error: %v", err)
	}
	r.saveChunk(func(c ledger.Chunk) (ledger.Chunk, bool) { c.Pinned = nil; return c, true })
	r.Migration = r.handler("IsParallel=true")
	r.run(rangeEnd)
	r.wantEqual()
}
