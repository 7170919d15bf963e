package migration

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/sandbox/fhirservice"
)

// withoutParameters are the settings of a range run that does not ask for search parameters.
func withoutParameters(more ...string) []string {
	return append([]string{"MigrateSearchParameters=false", "SpecificRun=true", "EndDate=2024-12-01", "ExportChunkTime=30"}, more...)
}

// newRetired is a rig whose source is retired: it answers exports alone.
func newRetired(t *testing.T, o rigOptions) *rig {
	t.Helper()
	o.source.Kind = fhirservice.Cosmos
	r := newRig(t, o)
	r.source.Inject(fhirservice.Fault{Gone: true})
	return r
}

// checkRetired looks at what a migration of a retired source must be like at the end: equal, in windows that do not overlap, with no more
// than so many exports, and with nothing asked for that is refused, but for what found out that it is.
func (r *rig) checkRetired(exports int) {
	r.t.Helper()
	r.wantEqual()
	r.checkTiling()
	refused := 0
	for _, c := range r.source.Calls() {
		if c.Status == http.StatusGone {
			refused++
		}
	}
	n := r.calls(r.source, fhirservice.Export)
	r.t.Logf("%d exports", n)
	if n > exports || refused > 3 {
		r.t.Errorf("%d exports were started, at most %d are enough; %d calls were refused", n, exports, refused)
	}
	c, lines := r.chunk(), int64(0)
	for _, w := range r.allWindows() {
		if w.Phase() != ledger.Done || w.Frontier {
			r.t.Errorf("%s is %s: %s", w.Name(), w.Phase(), w.HeldReason)
		}
		if w.SourceCount != ledger.Unknown {
			r.t.Errorf("%s: the source counted %d, which it cannot", w.Name(), w.SourceCount)
		}
		lines += w.ExportedLines()
	}
	if !c.ExportOnly || c.Totals.Exported != lines || c.Totals.Imported != lines {
		r.t.Errorf("chunk row: %+v, with %d lines in the windows", c, lines)
	}
}

// A retired source, found at the first call: windows begin at StartDate or in 2010, grow over what is empty and are few.
func TestRetiredSource(t *testing.T) {
	t.Parallel()
	late := func(n int, first time.Time, step time.Duration) func(*rig) {
		return func(r *rig) { r.load(n, first, step) }
	}
	for name, test := range map[string]struct {
		settings []string
		load     func(*rig)
		exports  int
	}{
		"everything since 2010":          {nil, late(300, day(1), 24*time.Hour), 12},
		"StartDate":                      {[]string{"StartDate=2024-01-01"}, late(300, day(1), 24*time.Hour), 5},
		"five years empty, then a month": {[]string{"StartDate=2019-01-01"}, late(300, day(1), time.Hour), 10},
		"two moments":                    {[]string{"StartDate=2019-01-01"}, func(r *rig) { r.load(1, day(-1800), 1); r.load(1, day(300), 1) }, 11},
		"dense for its limit":            {[]string{"StartDate=2024-01-01", "ChunkLimit=20"}, late(600, day(1), 12*time.Hour), 45},
		"nothing in it":                  {[]string{"StartDate=2019-01-01"}, func(r *rig) {}, 9},
		"the last instants":              {[]string{"StartDate=2019-01-01"}, late(3, rangeEnd.Add(-time.Second), 100*time.Millisecond), 9},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRetired(t, rigOptions{inMemory: true, settings: withoutParameters(test.settings...)})
			test.load(r)
			r.run(rangeEnd)
			if n := r.calls(r.source, fhirservice.Export); len(r.source.Versions()) == 0 {
				if n > test.exports || r.chunk().Totals.Exported > 0 {
					t.Errorf("%d exports, %+v", n, r.chunk())
				}
				return
			}
			r.checkRetired(test.exports)
		})
	}
}

// tooLarge fails every export with more than limit lines for its size, as a service does that runs out of memory.
type tooLarge struct {
	source *fhirservice.Service
	limit  int
}

// RoundTrip makes the call.
func (s tooLarge) RoundTrip(q *http.Request) (*http.Response, error) {
	if strings.HasSuffix(q.URL.Path, "/$export") && s.lines(q.URL.Query()) > s.limit {
		s.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 1, FailJob: &fhirservice.Failure{Status: http.StatusRequestEntityTooLarge, Reason: "out of memory"}})
	}
	return http.DefaultTransport.RoundTrip(q)
}

func (s tooLarge) lines(q url.Values) (n int) {
	since, _ := time.Parse(time.RFC3339Nano, q.Get("_since"))
	till, _ := time.Parse(time.RFC3339Nano, q.Get("_till"))
	for _, v := range s.source.Versions() {
		if !v.LastUpdated.Before(since) && v.LastUpdated.Before(till) {
			n++
		}
	}
	return n
}

// A retired source whose exports fail for their size: windows shrink until they do not.
func TestRetiredSourceTooLarge(t *testing.T) {
	t.Parallel()
	r := newRetired(t, rigOptions{inMemory: true, settings: withoutParameters("StartDate=2019-01-01")})
	r.load(400, day(200), 4*time.Hour)
	var err error
	if r.Source, err = fhir.New(fhir.Options{Base: r.source.URL(), Clock: r.clock.Now, Client: &http.Client{Transport: tooLarge{r.source, 50}}}); err != nil {
		t.Fatal(err)
	}
	r.run(rangeEnd)
	r.checkRetired(40)
	for _, w := range r.allWindows() {
		if w.ExportedLines() > 50 {
			t.Errorf("%s has %d lines", w.Name(), w.ExportedLines())
		}
	}
}

// A source that is retired half-way: what runs is followed, what was planned is exported, and the rest is planned without counts.
func TestSourceIsRetiredHalfWay(t *testing.T) {
	t.Parallel()
	for ticks := range 7 {
		t.Run(fmt.Sprintf("after %d ticks", ticks), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{inMemory: true, source: fhirservice.Options{Kind: fhirservice.Cosmos, ExportTime: func(int) time.Duration { return 3 * time.Minute }},
				settings: append([]string{"MaxOpenWindows=2"}, rangeRun...)})
			r.load(60, day(1), 36*time.Hour)
			r.load(10, day(280), 24*time.Hour)
			for range ticks {
				r.tick()
			}
			r.source.Inject(fhirservice.Fault{Gone: true})
			r.run(rangeEnd)
			r.wantEqual()
			r.checkTiling()
			if !r.chunk().ExportOnly || r.log.with("event=Retired") != 1 {
				t.Errorf("said %d times that the source is retired: %+v", r.log.with("event=Retired"), r.chunk())
			}
		})
	}
}

// An answer of nothing is not believed from a retired source either: the next export has the same beginning, and one that has brought lines once
// may not bring nothing later.
func TestRetiredSourceNothingIsNotBelieved(t *testing.T) {
	t.Parallel()
	t.Run("once", func(t *testing.T) {
		t.Parallel()
		r := newRetired(t, rigOptions{inMemory: true, settings: withoutParameters("StartDate=2024-01-01")})
		r.load(20, day(1), 24*time.Hour)
		r.load(1, rangeEnd.Add(-time.Hour), 1)
		r.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 1, EmptyResult: true})
		r.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, After: 3, Times: 1, EmptyResult: true})
		r.run(rangeEnd)
		r.checkRetired(8)
	})
	t.Run("after the files are gone", func(t *testing.T) {
		t.Parallel()
		r := newRetired(t, rigOptions{inMemory: true, settings: withoutParameters("StartDate=2024-01-01", "ExportChunkTime=400")})
		r.load(20, day(1), 24*time.Hour)
		r.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, After: 1, EmptyResult: true})
		r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, FailJob: &fhirservice.Failure{Status: 404, Reason: "BlobNotFound"}})
		r.run(rangeEnd)
		if w := r.window(1); w.Phase() != ledger.Held || !strings.Contains(w.HeldReason, "one before had 20 lines") {
			t.Errorf("%s: %s", w.Phase(), w.HeldReason)
		}
	})
}

// The live end of a retired source: what is there is migrated, and then it is asked less and less.
func TestRetiredSourceLiveEnd(t *testing.T) {
	t.Parallel()
	r := newRetired(t, rigOptions{inMemory: true, settings: []string{"MigrateSearchParameters=false", "StartDate=2024-01-01"}})
	r.load(10, start.Add(-30*24*time.Hour), 71*time.Hour)
	for !r.chunkReaches(start.Add(-time.Hour)) {
		r.tick()
	}
	r.checkRetired(10)
	before := r.calls(r.source, fhirservice.Export)
	for n := 0; n < 7*24/2; n++ { // a week
		r.tick()
		r.clock.Advance(2 * time.Hour)
	}
	if n := r.calls(r.source, fhirservice.Export) - before; n > 30 {
		t.Errorf("%d exports of nothing in a week", n)
	}
	if c := r.chunk(); c.Watermark.Before(r.clock.Now().Add(-2 * longestTail)) {
		t.Errorf("at %s everything is migrated till %s", r.clock.Now(), c.Watermark)
	}
}

func (r *rig) chunkReaches(at time.Time) bool {
	c, err := r.Ledger.Chunk(r.t.Context())
	return err == nil && len(c.Open) == 0 && !c.Watermark.Before(at)
}

// While the end of a window is open, nothing is planned behind it; once its export has ended the next one is, although nothing is imported yet. A
// window that is held keeps the others from nothing.
func TestNothingIsPlannedBehindAFrontier(t *testing.T) {
	t.Parallel()
	r := newRetired(t, rigOptions{inMemory: true, source: fhirservice.Options{ExportTime: jobTime}, settings: withoutParameters("StartDate=2024-01-01", "MaxExportRetries=1")})
	r.load(100, day(1), 72*time.Hour)
	r.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, After: 1, Times: 1, FailJob: &fhirservice.Failure{Status: 500, Reason: "unknown error"}})
	for range 60 {
		if _, err := r.ExportStep(t.Context()); err != nil {
			t.Fatal(err)
		}
		frontiers := 0
		for _, o := range r.chunk().Open {
			w := r.window(o.Number)
			if w.Frontier {
				frontiers++
			}
			if w.Phase() == ledger.Exporting && !w.Till.Equal(r.chunk().PlannedTill) {
				t.Fatalf("%s is exported, and planned is till %s", w.Name(), r.chunk().PlannedTill)
			}
		}
		if frontiers > 1 {
			t.Fatalf("%d frontiers", frontiers)
		}
		if r.chunk().Halted(1) { // by the failure that holds window 2: no export had ended in that tick
			r.clearRetries()
		}
		r.clock.Advance(2*time.Minute + time.Second)
	}
	c := r.chunk()
	if held := r.window(2); held.Phase() != ledger.Held || !c.PlannedTill.Equal(rangeEnd) || c.JobID < 4 {
		t.Errorf("%s is %s; %+v", held.Name(), held.Phase(), c)
	}
}

// An export that never ends cannot be cancelled at a retired source: it is recorded, and the window goes on in two halves. The halves end where
// windows behind them begin.
func TestRetiredSourceStuckExport(t *testing.T) {
	t.Parallel()
	r := newRetired(t, rigOptions{inMemory: true, source: fhirservice.Options{Workers: 4}, settings: withoutParameters("StartDate=2024-01-01", "ExportDeadlineMinutes=60")})
	r.load(60, day(1), 24*time.Hour)
	r.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 1, StuckJob: true})
	r.run(rangeEnd)
	r.checkRetired(12)
	w := r.window(1)
	if n := r.calls(r.source, fhirservice.ExportCancel); n != 1 || !strings.Contains(fmt.Sprint(w.AttemptLog), "orphan export: "+r.source.URL()) || !w.Till.Equal(day(15)) {
		t.Errorf("%d cancels, %s, log %v", n, w.Name(), w.AttemptLog)
	}
}

// A source that was retired for a while is noticed at the live end: what is written from then on is counted, and waited for no longer than at any other.
func TestRetiredSourceReturns(t *testing.T) {
	t.Parallel()
	r := newRetired(t, rigOptions{inMemory: true, settings: []string{"ExportWithHistory=true", "MigrateSearchParameters=false", "StartDate=2024-01-01"}})
	r.load(10, start.Add(-30*24*time.Hour), 71*time.Hour)
	for !r.chunkReaches(start.Add(-time.Hour)) {
		r.tick()
	}
	r.source.ClearFaults()
	began := r.clock.Now()
	r.load(3, began, time.Minute)
	for range 30 * 24 * 2 {
		if r.tick(); r.chunkReaches(began.Add(time.Hour)) {
			break
		}
	}
	c := r.chunk()
	if c.ExportOnly || r.log.with("event=Retired", "searched and counted again") != 1 {
		t.Errorf("nobody noticed: %+v", c)
	}
	r.wantEqual()
	r.checkTiling()
	if w := r.window(c.JobID - 1); w.SourceCount != 3 || w.Frontier {
		t.Errorf("%s: the source counted %d", w.Name(), w.SourceCount)
	}
	if waited := r.clock.Now().Sub(began); waited > longestTail+3*time.Hour {
		t.Errorf("it took %s", waited)
	}
}

// Type by type a retired source is refused with the reason, until it returns, or an operator accepts that all types are exported together.
func TestRetiredSourceByType(t *testing.T) {
	t.Parallel()
	for name, returns := range map[string]bool{"it returns": true, "as a whole": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRetired(t, rigOptions{inMemory: true, settings: append([]string{"MigrateSearchParameters=false", "StartDate=2024-01-01", "ResourceTypes=Account,Patient"}, typeRun...)})
			r.load(20, day(1), 24*time.Hour)
			for range 3 {
				s, err := r.ExportStep(t.Context())
				if err == nil || !strings.Contains(err.Error(), "cannot be migrated type by type; set AZURE_IsParallel=true") || s.Planned+s.Started > 0 {
					t.Fatalf("%+v %v", s, err)
				}
				r.clock.Advance(time.Hour)
			}
			if control, err := r.Ledger.Control(t.Context()); err != nil || !strings.Contains(control.Export.Error, "type by type") {
				t.Errorf("the page says %q %v", control.Export.Error, err)
			}
			if returns {
				r.source.ClearFaults()
			} else {
				r.Migration = r.handler("IsParallel=true")
				if _, err := r.AcceptSettings(t.Context(), operator); err != nil {
					t.Fatal(err)
				}
			}
			r.run(rangeEnd)
			r.wantEqual()
			if byType := r.window(1).ResourceType != ""; byType != returns {
				t.Errorf("%+v", r.window(1))
			}
		})
	}
}

// A window whose end was open when the source returned is not made longer when it is retired once more: something is planned behind it.
func TestFrontierIsNotMadeLongerOverOthers(t *testing.T) {
	t.Parallel()
	r := newRetired(t, rigOptions{inMemory: true, source: fhirservice.Options{ExportTime: jobTime}, settings: withoutParameters("StartDate=2024-01-01", "ExportWithHistory=true")})
	r.load(3, day(100), time.Hour)
	for len(r.allWindowsOpen()) == 0 {
		r.tick()
	}
	c := r.chunk()
	w := r.window(c.Open[0].Number)
	c.ExportOnly = false // as a tick may find it that has read the row before another listed the frontier
	c, ok := c.List(ledger.NewWindow(c.JobID, w.Till, w.Till.AddDate(0, 1, 0)))
	if !ok {
		t.Fatal("not listed")
	}
	c.ExportOnly = true
	behind, err := r.Ledger.InsertWindow(t.Context(), ledger.NewWindow(c.JobID-1, w.Till, w.Till.AddDate(0, 1, 0)))
	if err == nil {
		_, err = r.Ledger.SaveChunk(t.Context(), c)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.run(rangeEnd)
	r.wantEqual()
	r.checkTiling()
	if w := r.window(w.Number); w.Till.After(behind.Since) {
		t.Errorf("%s lies over %s", w.Name(), behind.Name())
	}
}

func (r *rig) allWindowsOpen() []ledger.OpenWindow {
	c, err := r.Ledger.Chunk(r.t.Context())
	if err != nil {
		return nil
	}
	return c.Open
}
