package status

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fhirmigration/handler/internal/ledger"
)

var rangeRun = []string{"StartDate=2024-01-01T00:00:00Z", "EndDate=2024-12-31T00:00:00Z", "SpecificRun=true"}

// The states, each from the rows that make it.
func TestStates(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		settings []string
		rows     func(r *rig)
		want     State
		headline string
		waits    string // what must be among what is waited for
	}{
		"empty":     {want: NotBegun, headline: "Nothing is migrated yet"},
		"no window": {rows: func(r *rig) { r.begin() }, want: Running, headline: "The next window is about to be planned"},
		"running": {rows: func(r *rig) {
			r.begin().window(0, 30, r.done(10, 0))
			r.window(30, 60, r.importing(10))
			r.window(60, 90, r.exporting)
		}, want: Running, headline: "1 window is being exported, 1 window is being imported"},
		"held, others go on": {rows: func(r *rig) {
			r.begin().window(0, 30, r.held("the books do not balance: file 3"))
			r.window(30, 60, r.exporting)
		}, want: Held, headline: "1 window is held and waits for an operator; others go on", waits: "Window 1 is held"},
		"only held": {rows: func(r *rig) { r.begin().window(0, 30, r.held("no")) }, want: Held, headline: "1 window is held and waits for an operator"},
		"paused by hours": {settings: []string{"PauseDm=true", "StartTime=23", "EndTime=17"}, rows: func(r *rig) { r.begin() },
			want: Paused, headline: "Paused until 2025-01-01 17:00 UTC", waits: "Paused until 2025-01-01 17:00 UTC"},
		"paused by hand": {rows: func(r *rig) {
			r.begin().control(func(c *ledger.Control) { c.Pause = ledger.Wish{Action: "1", By: "dr. who", At: r.now} })
		}, want: Paused, headline: "Paused by dr. who", waits: "Paused by dr. who"},
		"outage": {rows: func(r *rig) {
			r.begin().control(func(c *ledger.Control) { c.Source = c.Source.Missed("503", r.now, r.now.Add(time.Minute)) })
		}, want: Waiting, headline: "Waiting for a service", waits: "The source gives no answer and is asked again at 2025-01-01 00:01 UTC"},
		"throttled": {rows: func(r *rig) {
			r.begin().control(func(c *ledger.Control) {
				c.Source = c.Source.Missed("429", r.now, r.now.Add(time.Minute))
				c.Source.Throttled = true
			})
		}, want: Waiting, headline: "Waiting for a service that is throttled", waits: "The source is throttled and is asked again at 2025-01-01 00:01 UTC"},
		"halted": {rows: func(r *rig) {
			r.begin()
			for range 5 {
				r.chunk, _ = r.chunk.TickFailed()
			}
			r.chunk = got[ledger.Chunk](r.t)(r.Ledger.SaveChunk(r.t.Context(), r.chunk))
		}, want: Halted, headline: "Halted after 5 failed ticks in a row", waits: "Halted after 5 failed"},
		"drained": {rows: func(r *rig) {
			r.begin().control(func(c *ledger.Control) { c.Drain = ledger.Wish{Action: "1", By: "dr. who", At: r.now} })
		}, want: Drained, headline: "What is open is ended", waits: "Given back to the original for dr. who"},
		"says itself why": {rows: func(r *rig) {
			r.begin().control(func(c *ledger.Control) { c.Export, _ = c.Export.Ended("", "the configuration is missing", r.now) })
		}, want: Running, waits: "ExportTimer waits"},
		"pinned setting": {rows: func(r *rig) {
			r.begin().chunk.Pinned["SourceUri"] = "https://other.example"
			r.chunk = got[ledger.Chunk](r.t)(r.Ledger.SaveChunk(r.t.Context(), r.chunk))
		}, want: Blocked, headline: "App settings changed", waits: "App settings changed"},
		"configuration": {settings: []string{"IsExportDeidentified=true", "ConfigFile=rules"}, rows: func(r *rig) { r.configured("0x1", "0x2") },
			want: Blocked, headline: "The de-identification configuration is not the one", waits: "The de-identification configuration"},
		"configuration as it was": {settings: []string{"IsExportDeidentified=true", "ConfigFile=rules"}, rows: func(r *rig) { r.configured("0x1", "0x1") }, want: Running},
		"trouble": {rows: func(r *rig) {
			r.begin().control(func(c *ledger.Control) { c.Import, _ = c.Import.Ended("give the role FHIR Data Importer", "", r.now) })
		}, want: Blocked, headline: "ImportTimer's last tick failed", waits: "ImportTimer's last tick failed"},
		"silent timer": {rows: func(r *rig) {
			r.begin().control(func(c *ledger.Control) { c.Export, _ = c.Export.Ended("", "", r.now.Add(-time.Hour)) })
		}, want: Blocked, headline: "ExportTimer does not fire", waits: "ExportTimer does not fire"},
		"following": {rows: func(r *rig) { r.begin().jump(365.99) }, want: Following, headline: "Up to date"},
		"finished":  {settings: rangeRun, rows: func(r *rig) { r.begin().jump(365) }, want: Finished, headline: "Everything up to 2024-12-31 00:00 UTC is migrated"},
		"a type joins": {settings: append([]string{"IsParallel=false"}, rangeRun...), rows: func(r *rig) {
			r.begin()
			r.chunk, _ = r.chunk.BeginTypes([]string{"Patient"}, 1, day(365))
			r.chunk, _ = r.chunk.PassTypes(r.chunk.Position(), 1, 1)
			r.chunk, _ = r.chunk.JoinTypes([]string{"Patient", "Observation"}, 2)
			r.chunk = got[ledger.Chunk](r.t)(r.Ledger.SaveChunk(r.t.Context(), r.chunk))
		}, want: Running},
		"range run under way": {settings: rangeRun, rows: func(r *rig) { r.begin().jump(300) }, want: Running},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, test.settings...)
			if test.rows != nil {
				test.rows(r)
			}
			s := r.read()
			if s.State != test.want || !strings.Contains(s.Headline, test.headline) {
				t.Errorf("%s: %q, want %s: %q", s.State, s.Headline, test.want, test.headline)
			}
			if test.waits == "" {
				if len(s.Waiting) > 0 && test.want == Running {
					t.Errorf("it waits for %+v", s.Waiting)
				}
				return
			}
			for _, w := range s.Waiting {
				if w.What == test.waits || strings.HasPrefix(w.What, test.waits) {
					if w.Who == "" {
						t.Errorf("nobody can end it: %+v", w)
					}
					return
				}
			}
			t.Errorf("it waits for %+v, want %q", s.Waiting, test.waits)
		})
	}
}

// configured has a migration begin with one version of the de-identification configuration, and ExportTimer find another one.
func (r *rig) configured(began, found string) {
	r.t.Helper()
	r.begin().chunk.Pinned[ledger.AnonymizationPin] = began
	r.chunk = got[ledger.Chunk](r.t)(r.Ledger.SaveChunk(r.t.Context(), r.chunk))
	r.control(func(c *ledger.Control) { *c, _ = c.AnonymizationFound(found) })
}

// What changed half-way is said once, with what can be done, however the ticks failed over it; and what else they failed over is not lost by it.
func TestChangedIsSaidOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, "IsExportDeidentified=true", "ConfigFile=rules")
	r.configured("0x1", "0x2")
	r.control(func(c *ledger.Control) {
		c.Export, _ = c.Export.Ended("nothing new is planned or begun: ETag of ConfigFile was \"0x1\" and is \"0x2\"; accept it\nexport 7: 403 Forbidden", "", r.now)
	})
	s := r.read()
	if len(s.Waiting) != 2 || !strings.Contains(s.Waiting[0].Detail, `rules.json: ETag of ConfigFile was "0x1" and is "0x2"`) || s.Waiting[0].Do[0].Name != "AcceptSettings" ||
		s.Waiting[1].Detail != "export 7: 403 Forbidden" {
		t.Errorf("it waits for %s", asJSON(t, s.Waiting))
	}
}

// Who looks at a halted migration sees what failed last.
func TestHaltedSaysWhatFailed(t *testing.T) {
	t.Parallel()
	r := newRig(t).begin()
	r.window(0, 30, r.failed("413: too large"))
	for range 5 {
		r.chunk, _ = r.chunk.TickFailed()
	}
	r.chunk = got[ledger.Chunk](r.t)(r.Ledger.SaveChunk(r.t.Context(), r.chunk))
	if s := r.read(); s.State != Halted || !strings.Contains(s.Waiting[0].Detail, "The last failure, of window 1 at 2025-01-01 00:00 UTC: ") || !strings.Contains(s.Waiting[0].Detail, "413: too large") {
		t.Errorf("%s: %s", s.State, asJSON(t, s.Waiting))
	}
}

// More windows are held than are listed: the rest are counted, and named as no window.
func TestManyHeld(t *testing.T) {
	t.Parallel()
	r := newRig(t).begin()
	for n := range maxHeldShown + 2 {
		r.window(float64(n), float64(n+1), r.held("no"))
	}
	s := r.read()
	last := s.Waiting[len(s.Waiting)-1]
	if s.State != Held || len(s.Waiting) != maxHeldShown+1 || last.What != "2 windows are held as well" || last.Window != nil {
		t.Errorf("%s: %s", s.State, asJSON(t, last))
	}
}

// The mode says that the source answers exports alone, as long as it does.
func TestModeOfARetiredSource(t *testing.T) {
	t.Parallel()
	const said = "from a retired source by its exports alone"
	r := newRig(t).begin()
	if s := r.read(); strings.Contains(s.Mode, said) {
		t.Errorf("mode: %s", s.Mode)
	}
	r.chunk, _ = r.chunk.Retired()
	r.chunk = got[ledger.Chunk](t)(r.Ledger.SaveChunk(t.Context(), r.chunk))
	if s := r.read(); !strings.Contains(s.Mode, said) {
		t.Errorf("mode: %s", s.Mode)
	}
}

// What an operator can do with the migration as a whole, as far as it makes sense now.
func TestActions(t *testing.T) {
	t.Parallel()
	wish := ledger.Wish{Action: "1", By: "dr. who", At: begun}
	names := func(r *rig) (all string) {
		for _, a := range r.read().Actions {
			all += a.Name + " "
		}
		return all
	}
	r := newRig(t)
	if got := names(r); got != "Pause " {
		t.Errorf("before it has begun: %s", got)
	}
	if got := names(r.begin()); got != "Pause StartNow Drain " {
		t.Errorf("at work: %s", got)
	}
	r.control(func(c *ledger.Control) { c.Pause, c.StartNow = wish, wish })
	if got := names(r); got != "Drain " {
		t.Errorf("paused, and to start afterwards: %s", got)
	}
	r.control(func(c *ledger.Control) { c.Pause, c.Drain = ledger.Wish{}, wish })
	if got := names(r); got != "" {
		t.Errorf("given back: %s", got)
	}
}

// A timer without a schedule is named, whatever else there is.
func TestMissingSchedule(t *testing.T) {
	t.Parallel()
	r := newRig(t).begin()
	r.Schedules["ImportTimer"] = ""
	s := r.read()
	if s.State != Blocked || s.Headline != "ImportTimer is not scheduled: the app setting ImportTimerSchedule is missing" || s.Left.Note != "not known: something must be mended first" {
		t.Errorf("%s: %s; left: %s", s.State, s.Headline, s.Left.Note)
	}
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	r := newRig(t, rangeRun...).begin()
	r.window(0, 30, r.done(100, 2))
	r.tick()
	r.now = r.now.Add(30 * time.Minute)
	r.jump(60)
	r.window(60, 90, r.failed("500 from the source"), r.importing(50))
	r.window(90, 120, r.failed("413"))
	r.window(120, 150, r.done(100, 0))
	s := r.read()
	if got, want := *s.Progress.MigratedTill, day(60); !got.Equal(want) {
		t.Errorf("migrated till %s, want %s", got, want)
	}
	if p := s.Progress; p.Exported != 200 || p.Imported != 198 || p.Refused != 2 || *p.ShareOfTime < 0.164 || *p.ShareOfTime > 0.165 || *p.ShareOfResources != 0.4 {
		t.Errorf("progress: %s", asJSON(t, p))
	}
	if got := *s.Lag.Seconds; got != day(365).Sub(day(60)).Seconds() || s.Lag.Clock != "source" { // the range ends before now
		t.Errorf("lag: %s", asJSON(t, s.Lag))
	}
	if p := s.Pace; *p.LinesPerHour != 200 || *p.DaysPerHour != 60 || p.Over != 1800 {
		t.Errorf("pace: %s", asJSON(t, p))
	}
	// 600 resources were left when 98 lines had been imported for 400; of these 147 lines 100 were imported since, at 200 an hour.
	if l := s.Left; *l.Seconds != 47*3600/200 || !strings.HasPrefix(l.Note, "by the resources") {
		t.Errorf("left: %s", asJSON(t, l))
	}
	if diff := cmp.Diff(WindowCounts{Done: 2, Open: 2, Planned: 1, Importing: 1, Empty: 1}, s.Windows); diff != "" {
		t.Errorf("windows (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Jobs{{Running: 0, Done: 3, Failed: 2}, {Running: 1, Done: 2}}, []Jobs{s.Exports, s.Imports}); diff != "" {
		t.Errorf("exports and imports (-want +got):\n%s", diff)
	}
	var kinds []string
	for _, stretch := range s.Timeline.Stretches {
		kinds = append(kinds, fmt.Sprintf("%s %g-%g %d", stretch.Kind, stretch.Since.Sub(day0).Hours()/24, stretch.Till.Sub(day0).Hours()/24, stretch.Lines))
	}
	if diff := cmp.Diff([]string{"done 0-30 98", "empty 30-60 0", "done 120-150 100", "failing 60-90 50", "failing 90-120 0"}, kinds); diff != "" {
		t.Errorf("timeline (-want +got):\n%s", diff)
	}
	if len(s.Failures) != 2 || len(s.Recent) != 2 || s.Recent[0].Number != 4 || len(s.Open) != 2 {
		t.Errorf("failures %v, recent %v, open %v", s.Failures, s.Recent, s.Open)
	}
	if *s.Servers.Source != 1000 || *s.Servers.Destination != 390 || !s.Servers.At.Equal(begun) {
		t.Errorf("servers: %s", asJSON(t, s.Servers))
	}
}

// What is not known is absent, and the reason is there.
func TestUnknownIsAbsent(t *testing.T) {
	t.Parallel()
	r := newRig(t).begin()
	r.window(0, 30, r.exporting)
	text := asJSON(t, r.read())
	for _, absent := range []string{"shareOfResources", `"linesPerHour"`, `"sourceCount"`, `"lines":`} {
		if strings.Contains(text, absent) {
			t.Errorf("%s is there:\n%s", absent, text)
		}
	}
	if s := r.read(); s.Left.Note == "" || s.Pace.Note == "" || s.Lag.Clock != "handler" || s.Lag.Note == "" {
		t.Errorf("without a reason: %s", text)
	}
}

// With ten thousand windows behind it a read costs no more than with twenty, and its answer is not much longer. With as many held as there
// can be, each with a long story, the page is still small.
func TestReadsDoNotGrow(t *testing.T) {
	t.Parallel()
	var calls [2]int64
	var size [2]int
	var r *rig
	for i, windows := range []int{20, 10_000} {
		r = newRig(t).begin()
		for n := range windows {
			r.window(float64(n)/30, float64(n+1)/30, r.done(10, 0))
		}
		r.window(float64(windows)/30, float64(windows+1)/30, r.importing(7))
		for r.tick().TakenIn > 0 {
		}
		r.calls.Store(0)
		s := r.read()
		calls[i], size[i] = r.calls.Load(), len(asJSON(t, s))
		if s.Windows.Done != int64(windows) || s.Summary.Behind != 0 || len(s.Timeline.Stretches) > 201 {
			t.Errorf("%d windows: %d done, %d not summed up, %d stretches", windows, s.Windows.Done, s.Summary.Behind, len(s.Timeline.Stretches))
		}
		lines := int64(0)
		for _, stretch := range s.Timeline.Stretches {
			lines += stretch.Lines
		}
		if lines != int64(windows)*10+7 {
			t.Errorf("%d windows: %d lines in the timeline", windows, lines)
		}
	}
	if calls[1] > calls[0] || calls[1] > 30 || size[1] > 200_000 {
		t.Errorf("calls %v, bytes %v", calls, size)
	}
	long := strings.Repeat("a reason that goes on and on ", 100)
	var stages []stage
	for range 4 {
		stages = append(stages, r.failed(long))
	}
	for n := range 250 {
		r.window(334+float64(n)/10, 334+float64(n+1)/10, append(stages, r.held(long))...)
	}
	fastest, bytes := time.Hour, 0
	for range 10 { // alone on a machine it takes a tenth of a second (BenchmarkPage); other tests may have it wait
		began := time.Now()
		text, _ := pageOf(t, r.read())
		if fastest, bytes = min(fastest, time.Since(began)), len(text); fastest < time.Second {
			break
		}
	}
	if bytes > 500_000 || fastest > time.Second {
		t.Errorf("the page has %d bytes and took %s", bytes, fastest)
	}
}
