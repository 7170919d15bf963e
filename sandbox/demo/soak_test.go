package demo

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"fhirmigration/sandbox/compare"
	"fhirmigration/sandbox/fhirservice"
)

// Every fault that chance can choose is one that a service takes, and chance chooses the same for the same seed.
func TestFaultsOfASoakMakeSense(t *testing.T) {
	t.Parallel()
	s, err := fhirservice.Start(t.Context(), fhirservice.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	names := map[string]int{}
	one, other := rand.New(rand.NewPCG(7, 1)), rand.New(rand.NewPCG(7, 1))
	for i := range 5000 {
		f, name := nextFault(one, i%2 == 0)
		if again, _ := nextFault(other, i%2 == 0); again.Kind != f.Kind || again.Status != f.Status || again.Times != f.Times {
			t.Fatalf("fault %d is %+v and %+v", i, f, again)
		}
		s.Inject(f) // panics on one that makes no sense
		names[name]++
		if name == "jobs stuck" && !f.StuckJob || f.LoseLines > 0 || f.FlipByte {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if len(names) != 14 {
		t.Errorf("kinds of faults: %v", names)
	}
}

func TestWhatIsUnlisted(t *testing.T) {
	t.Parallel()
	report := compare.Report{Findings: []compare.Finding{
		{Type: "Patient", ID: "listed", Outcome: compare.Missing}, {Type: "Patient", ID: "accepted", Outcome: compare.Missing},
		{Type: "Observation", ID: "listed", Outcome: compare.Missing}, {Type: "Patient", ID: "listed", Outcome: compare.Extra},
	}}
	left := unlisted(report, []listedException{{State: "open", ResourceType: "Patient", ResourceID: "listed"}, {State: "imported", ResourceType: "Patient", ResourceID: "accepted"}})
	if len(left) != 3 || left[0].ID != "accepted" || left[1].Type != "Observation" || left[2].Outcome != compare.Extra {
		t.Errorf("%+v", left)
	}
}

func TestParseSoak(t *testing.T) {
	t.Parallel()
	env := func(name string) (string, bool) {
		v, ok := map[string]string{"DURATION": "90s", "SEED": "7"}[name]
		return v, ok
	}
	var usage strings.Builder
	o, err := ParseSoak([]string{"-resources", "50"}, env, &usage)
	if err != nil || o.Duration != 90*time.Second || o.Seed != 7 || o.Resources != 50 || o.Root != "." {
		t.Errorf("%+v, %v", o, err)
	}
	for _, wrong := range [][]string{{"-duration", "0s"}, {"extra"}, {"-resources", "0"}, {"-unknown"}} {
		if _, err := ParseSoak(wrong, env, &usage); err == nil {
			t.Errorf("%v is taken", wrong)
		}
	}
	if _, err := ParseSoak(nil, func(string) (string, bool) { return "soon", true }, &usage); err == nil || !strings.Contains(err.Error(), "DURATION") {
		t.Errorf("DURATION=soon: %v", err)
	}
}

// A soak of nothing built ends with what to do.
func TestSoakWithoutAHandler(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := Soak(context.Background(), SoakOptions{Duration: time.Second, Seed: 5, Resources: 10, Root: t.TempDir(), Out: &out, Clock: time.Now})
	if err == nil || !strings.Contains(err.Error(), "seed 5") {
		t.Errorf("%v", err)
	}
}
