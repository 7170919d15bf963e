package verify

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/sandbox/fhirservice"
)

// TestRunSurvivesDyingSteps: a run whose steps die again and again, with whatever they had not saved, ends with the same result.
func TestRunSurvivesDyingSteps(t *testing.T) {
	t.Parallel()
	for _, source := range []SourceOf{Live, Staged} {
		t.Run(string(source), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			data := clinic(600)
			load(t, r.source, data)
			load(t, r.destination, drop("claim-11", "")(spoilOne(data)))
			r.stage(data, 100)
			want := r.check(Request{Kind: Deep, All: true, Source: source})

			started, err := r.Start(t.Context(), Request{Kind: Deep, All: true, Source: source})
			if err != nil {
				t.Fatal(err)
			}
			report := started
			deaths := 0
			for ; report.State == ledger.RunRunning && deaths < 200; deaths++ {
				// The step ends after its n-th unit, as if the process died: the claim stays.
				report = r.dyingStep(report.Run, 1+deaths%4)
				r.clock.Advance(r.Settings.ClaimTime())
			}
			if deaths < 3 {
				t.Errorf("the run took %d steps: it was not interrupted", deaths)
			}
			if diff := cmp.Diff(want.Counts, report.Counts); diff != "" {
				t.Errorf("after %d deaths (-want +got):\n%s", deaths, diff)
			}
			if got, want := len(r.all(report)), len(r.all(want)); got != want {
				t.Errorf("%d findings, want %d", got, want)
			}
		})
	}
}

// spoilOne changes one resource.
func spoilOne(all []fhirservice.Version) []fhirservice.Version {
	spoilt := append([]fhirservice.Version{}, all...)
	return move("observation-5", "1", func(v fhirservice.Version) fhirservice.Version {
		v.Raw = []byte(strings.Replace(string(v.Raw), ".10", ".1", 1))
		return v
	})(spoilt)
}

// dyingStep works on n units of a run, saves all but the last, and leaves the claim behind.
func (r *rig) dyingStep(number, n int) Report {
	r.t.Helper()
	run, err := r.Ledger.Run(r.t.Context(), number)
	if err != nil {
		r.t.Fatal(err)
	}
	claimed, ok := run.Claim(fmt.Sprint("dying-", n), r.clock.Now(), r.clock.Now().Add(r.Settings.ClaimTime()))
	if !ok {
		r.t.Fatalf("%+v cannot be claimed", run)
	}
	j, err := r.newJob(claimed)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := j.saveRun(r.t.Context(), claimed); err != nil {
		r.t.Fatal(err)
	}
	for i := range n {
		u, ok := j.cursor.next(j.request, true)
		if !ok {
			if err := j.advance(r.t.Context(), time.Minute); err != nil {
				r.t.Fatal(err)
			}
			break
		}
		j.underWay[0] = u
		p, err := j.do(r.t.Context(), u, j.missing())
		if err != nil {
			r.t.Fatal(err)
		}
		if i == n-1 && n > 1 {
			break // done, and forgotten
		}
		delete(j.underWay, 0)
		j.take(p)
		if err := j.save(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
	}
	report, err := r.Get(r.t.Context(), Deep, number)
	if err != nil {
		r.t.Fatal(err)
	}
	return report
}

func TestOneStepAtATime(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	load(t, r.source, clinic(10))
	r.migrated()
	started, err := r.Start(t.Context(), Request{Kind: Surface})
	if err != nil {
		t.Fatal(err)
	}
	run, err := r.Ledger.Run(t.Context(), started.Run)
	if err != nil {
		t.Fatal(err)
	}
	claimed, _ := run.Claim("another", now, now.Add(time.Hour))
	if _, err := r.Ledger.SaveRun(t.Context(), claimed); err != nil {
		t.Fatal(err)
	}
	before := len(r.source.Calls())
	if report, err := r.Step(t.Context(), started.Run, time.Minute); err != nil || report.State != ledger.RunRunning || len(r.source.Calls()) != before {
		t.Errorf("a claimed run was advanced: %v %v", report.State, err)
	}
	r.clock.Advance(time.Hour)
	if report, err := r.Step(t.Context(), started.Run, time.Minute); err != nil || report.State != ledger.RunDone {
		t.Errorf("a run whose claim ran out: %v %v", report.State, err)
	}
}

func TestCancelledRunIsLeftAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	load(t, r.source, clinic(10))
	r.migrated()
	if _, err := r.Cancel(t.Context(), Deep, 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("nothing to cancel: %v", err)
	}
	started, err := r.Start(t.Context(), Request{Kind: Deep, All: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Start(t.Context(), Request{Kind: Deep}); !errors.Is(err, ErrBusy) {
		t.Errorf("a second one: %v, want ErrBusy", err)
	}
	run, err := r.Ledger.Run(t.Context(), started.Run)
	if err != nil {
		t.Fatal(err)
	}
	j, err := r.newJob(run)
	if err != nil {
		t.Fatal(err)
	}
	claimed, _ := run.Claim("me", now, now.Add(time.Hour))
	if err := j.saveRun(t.Context(), claimed); err != nil {
		t.Fatal(err)
	}
	if report, err := r.Cancel(t.Context(), Deep, started.Run); err != nil || report.State != ledger.RunCancelled {
		t.Errorf("cancelled: %v %v", report.State, err)
	}
	if err := j.advance(t.Context(), time.Minute); !errors.Is(err, errLost) {
		t.Errorf("the step under way: %v, want errLost", err)
	}
	report, err := r.Get(t.Context(), Deep, 0)
	if err != nil || report.State != ledger.RunCancelled || report.Verdict != "cancelled" {
		t.Errorf("%+v %v", report, err)
	}
	if s, err := r.Tick(t.Context()); err != nil || s.Open != 0 {
		t.Errorf("a tick after it: %+v %v", s, err)
	}
	if _, err := r.Start(t.Context(), Request{Kind: Deep}); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

// TestT13ChecksAndMigrationDoNotContend: a run never writes the chunk row or a window, and is not disturbed by who does.
func TestT13ChecksAndMigrationDoNotContend(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	data := clinic(300)
	load(t, r.source, data)
	load(t, r.destination, data)
	r.migrated()
	chunk, err := r.Ledger.Chunk(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// The migration saves its row again and again, from what it read first and saved itself: any other save would be a conflict.
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		saves := 0
		for ; ctx.Err() == nil; saves++ {
			chunk.CountTries = saves
			if chunk, err = r.Ledger.SaveChunk(context.WithoutCancel(ctx), chunk); err != nil {
				break
			}
		}
		if err == nil && saves == 0 {
			err = errors.New("the migration did not write")
		}
		ended <- err
	}()
	for _, q := range []Request{{Kind: Surface}, {Kind: Deep, All: true}, {Kind: Deep}} {
		if report := r.check(q); report.State != ledger.RunDone || report.Counts.Wrong() != 0 || report.Counts[NotVerifiable] != 0 {
			t.Errorf("%s: %s %v", q.Kind, report.State, report.Counts)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the migration: %v", err)
	}
}

func TestTickAdvancesOpenRunsAndCostsOneReadWithout(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	load(t, r.source, clinic(10))
	load(t, r.destination, clinic(10))
	r.migrated()
	if s, err := r.Tick(t.Context()); err != nil || s.Open != 0 {
		t.Errorf("nothing to do: %+v %v", s, err)
	}
	for _, kind := range []Kind{Surface, Deep} {
		if _, err := r.Start(t.Context(), Request{Kind: kind}); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := r.Tick(t.Context()); err != nil || s.Open != 2 || s.Ended != 2 {
		t.Errorf("two runs: %+v %v", s, err)
	}
	if s, err := r.Tick(t.Context()); err != nil || s.Open != 0 {
		t.Errorf("afterwards: %+v %v", s, err)
	}
	for _, kind := range []Kind{Surface, Deep} {
		if report, err := r.Get(t.Context(), kind, 0); err != nil || report.State != ledger.RunDone || !strings.HasPrefix(report.Verdict, "equal") {
			t.Errorf("%s: %s %v", kind, report.Verdict, err)
		}
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if _, err := r.Start(t.Context(), Request{Kind: Deep}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "nothing is migrated yet") {
		t.Errorf("before the first window: %v", err)
	}
	r.migrated()
	for _, q := range []Request{
		{Kind: "x"}, {Kind: Deep, Types: []string{"patient"}}, {Kind: Deep, Types: []string{"SearchParameter"}}, {Kind: Deep, Count: -1}, {Kind: Deep, Ignore: []string{"meta"}},
		{Kind: Deep, Source: "x"}, {Kind: Deep, Till: watermark.Add(time.Hour)}, {Kind: Deep, Since: watermark},
	} {
		if _, err := r.Start(t.Context(), q); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v, want ErrInvalid", q, err)
		}
	}
	if report := r.check(Request{Kind: Deep}); report.Verdict != "there was nothing to compare" {
		t.Errorf("empty services: %s", report.Verdict)
	}
}

func TestDeepCheckOfAStretchWithIgnoredElements(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	data := clinic(100)
	load(t, r.source, data)
	load(t, r.destination, spoilOne(data))
	r.migrated()
	half := day0.AddDate(0, 6, 0)
	if report := r.check(Request{Kind: Deep, All: true, Ignore: []string{"/valueQuantity/value"}}); report.Counts.Wrong() != 0 {
		t.Errorf("with the difference ignored: %v", report.Counts)
	}
	if report := r.check(Request{Kind: Deep, All: true, Since: half}); report.Counts.Wrong() != 0 || report.Counts[Equal] == 0 || report.Counts[Equal] > 3*52 {
		t.Errorf("behind the difference: %v", report.Counts)
	}
	if report := r.check(Request{Kind: Deep, All: true, Till: half}); report.Counts.Wrong() != 1 || report.Counts.Sum() > 3*52 {
		t.Errorf("around the difference: %v", report.Counts)
	}
	if report := r.check(Request{Kind: Deep, All: true, Types: []string{"Patient"}}); report.Counts.Wrong() != 0 || len(report.ByType) != 1 {
		t.Errorf("another type: %v", report.ByType)
	}
}

func TestInitialLoadIsComparedById(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ImportMode=InitialLoad")
	var data, loaded []fhirservice.Version
	for i := range 30 {
		data = append(data, version("Patient", fmt.Sprint("p", i), 3, day0.AddDate(0, 0, i), fmt.Sprintf(`,"multipleBirthInteger":%d`, i)))
		loaded = append(loaded, version("Patient", fmt.Sprint("p", i), 1, now.Add(-time.Hour), fmt.Sprintf(`,"multipleBirthInteger":%d`, i%29)))
	}
	load(t, r.source, data)
	load(t, r.destination, loaded)
	r.migrated()
	found := r.all(r.check(Request{Kind: Deep, All: true}))
	if len(found) != 1 || found[0].ID != "p29" || len(found[0].Differences) != 1 || found[0].Differences[0].Pointer != "/multipleBirthInteger" {
		t.Errorf("found %v", found)
	}
}

func TestResultRowsContinueTheOriginals(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	data := clinic(20)
	load(t, r.source, data)
	load(t, r.destination, drop("claim-11", "")(data))
	chunk := ledger.NewChunk(watermark)
	chunk.SurfaceJobID, chunk.DeepJobID = 41, 42
	if _, err := r.Ledger.InsertChunk(t.Context(), chunk); err != nil {
		t.Fatal(err)
	}
	r.check(Request{Kind: Surface})
	r.check(Request{Kind: Deep, Count: 10})
	checks, err := r.Ledger.Checks(t.Context())
	if err != nil || checks.SurfaceJobID != 41+3 || checks.DeepJobID < 42+10 {
		t.Errorf("%+v %v", checks, err)
	}
	if again, err := r.Ledger.Chunk(t.Context()); err != nil || again.SurfaceJobID != 41 || again.DeepJobID != 42 {
		t.Errorf("the chunk row was changed: %+v %v", again, err)
	}
}

// A unit that no step is long enough for is given up in the end, and counted. One that a short step broke off is as it was.
func TestUnitThatTakesTooLongIsGivenUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	j := &job{Verify: r.Verify, request: Request{Kind: Deep}}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	u := unit{Task: taskSample, Type: "Patient", Size: 1000}
	for n, took := range []time.Duration{time.Second, time.Hour, time.Hour, time.Second, time.Hour, time.Hour} {
		if err := j.settle(over, done{unit: u, err: over.Err(), took: took}); err != nil {
			t.Fatal(err)
		}
		if n == 5 {
			break
		}
		if len(j.cursor.Units) != 1 || j.result.Counts.Sum() != 0 {
			t.Fatalf("after %d: %+v %v", n+1, j.cursor.Units, j.result.Counts)
		}
		u, j.cursor.Units = j.cursor.Units[0], nil
	}
	if len(j.cursor.Units) != 0 || j.result.Counts[NotVerifiable] != 1000 || len(j.result.Reasons) != 1 {
		t.Errorf("%+v %v %v", j.cursor.Units, j.result.Counts, j.result.Reasons)
	}
}

// A type that is too large for a step is cut after an InitialLoad, too, and its surplus is counted once.
func TestInitialLoadOfALargeTypeIsCut(t *testing.T) {
	t.Parallel()
	r := newRig(t, "ImportMode=InitialLoad")
	var data, loaded []fhirservice.Version
	const n = 3 * sliceSize
	for i := range n + 2 {
		id := fmt.Sprint("p", i)
		if i < n {
			data = append(data, version("Patient", id, 3, day0.Add(time.Duration(i)*time.Minute), ""))
		}
		loaded = append(loaded, version("Patient", id, 1, now.Add(-time.Hour), ""))
	}
	load(t, r.source, data)
	load(t, r.destination, loaded)
	r.migrated()
	report := r.check(Request{Kind: Deep, All: true})
	if report.Counts[Equal] != n || report.Counts[NotVerifiable] != 2 || report.Counts.Sum() != n+2 {
		t.Errorf("%v %v", report.Counts, report.Reasons)
	}
	longest := 0
	pages := map[string]int{}
	for _, c := range r.source.Calls() {
		if q, _ := url.ParseQuery(c.RawQuery); c.Kind == fhirservice.Search && q.Get("_count") == "1000" && c.Path == "/Patient" {
			stretch := fmt.Sprint(q["_lastUpdated"])
			pages[stretch]++
			longest = max(longest, pages[stretch])
		}
	}
	if longest == 0 || longest > sliceSize/1000+1 {
		t.Errorf("%d pages in one go", longest)
	}
}
