package migration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/staging"
	"fhirmigration/sandbox/fhirservice"
)

// A window with more payloads than fit its row, because the addresses of its jobs are long, is split before it is imported.
func TestPayloadsThatDoNotFitTheRowAreSplit(t *testing.T) {
	t.Parallel()
	path := "/" + strings.Repeat("a-long-path/", 60) + "fhir"
	r := newRig(t, rigOptions{inMemory: true, source: fhirservice.Options{LinesPerFile: 1}, destination: fhirservice.Options{BasePath: path},
		settings: append([]string{"FileCount=1", "PayloadCount=100", "MigrateSearchParameters=false"}, rangeRun...)})
	room := r.maxPayloads()
	if room > 40 || room < 10 {
		t.Fatalf("room for %d payloads", room)
	}
	r.load(room+5, day(1), time.Hour)
	r.run(rangeEnd)
	r.wantEqual()
	if all := r.allWindows(); len(all) < 2 || !strings.Contains(fmt.Sprint(all[0].AttemptLog), fmt.Sprintf("more than %d", room)) {
		t.Errorf("%d windows: %v", len(all), all[0].AttemptLog)
	}
	r.checkTiling()
}

// The files of one payload are gone while the job of another one runs. That job is cancelled before anything is exported again, and a destination that
// cannot take that is asked until it can.
func TestFilesGoneBesideARunningImport(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{inMemory: true, source: fhirservice.Options{LinesPerFile: 5}, settings: append([]string{"FileCount=1", "MigrateSearchParameters=false"}, rangeRun...)})
	r.load(10, day(1), time.Hour)
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, FailJob: &fhirservice.Failure{Status: http.StatusNotFound, Reason: "the blob is not there"}})
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, After: 1, Times: 1, StuckJob: true})
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.ImportCancel, Times: 2, Status: http.StatusServiceUnavailable})
	cancels, exported := 0, 0
	for range 60 {
		r.tick()
		if n := r.calls(r.source, fhirservice.Export); n > 1 && exported == 0 {
			exported, cancels = n, r.calls(r.destination, fhirservice.ImportCancel)
		}
		if r.chunk().Watermark.Equal(rangeEnd) {
			break
		}
	}
	if w := r.window(1); w.Phase() != ledger.Done || !strings.Contains(fmt.Sprint(w.AttemptLog), "exported files are gone") {
		t.Errorf("%s: %v", w.Phase(), w.AttemptLog)
	}
	if cancels != 3 {
		t.Errorf("when it was exported again, the other job had been cancelled in %d tries, want the third", cancels)
	}
	r.wantEqual()
}

// Two ticks come upon the end of a window at the same time, and keep its refused lines as exceptions side by side: each line once, and neither
// tick fails.
func TestTwoTicksKeepTheSameExceptions(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: rangeRun})
	r.load(60, day(1), time.Hour)
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, RefuseLines: 40})
	r.exportFirst()
	if _, err := r.ImportStep(t.Context()); err != nil { // copies search parameters and posts
		t.Fatal(err)
	}
	r.clock.Advance(3 * time.Minute)
	dies := r.gated(func(_ context.Context, c ledger.Call, do func() error) error { // all imports have ended, and no exception is kept yet
		if strings.HasPrefix(c.Table, "exceptions") && c.Writes() {
			return errKilled
		}
		return do()
	}, nil)
	if _, err := dies.ImportStep(t.Context()); !errors.Is(err, errKilled) {
		t.Fatalf("a tick that dies before the first exception: %v", err)
	}
	meet := make(chan struct{})
	var arrive sync.WaitGroup
	arrive.Add(2)
	go func() { arrive.Wait(); close(meet) }()
	errs := make(chan error, 2)
	for range 2 {
		var once sync.Once
		m := r.gated(func(_ context.Context, c ledger.Call, do func() error) error {
			if strings.HasPrefix(c.Table, "exceptions") && c.Writes() {
				once.Do(func() {
					arrive.Done()
					select {
					case <-meet:
					case <-t.Context().Done():
					}
				})
			}
			return do()
		}, nil)
		go func() {
			_, err := m.ImportStep(t.Context())
			errs <- err
		}()
	}
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if rows := r.exceptionRows(); len(rows) != 40 {
		t.Errorf("%d exceptions for 40 lines", len(rows))
	}
	if w := r.window(1); w.Phase() != ledger.Done || w.RefusedCount != 40 {
		t.Errorf("%s, %d refused", w.Phase(), w.RefusedCount)
	}
	r.run(rangeEnd)
	if c := r.chunk(); c.Totals.Refused != 40 || c.Totals.Imported != 20 {
		t.Errorf("totals: %+v", c.Totals)
	}
}

// A search parameter whose id another one has at the destination does not replace that one: it is left out, and named.
func TestASearchParameterWhoseIDIsTaken(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: lastYear})
	r.seed(parameterVersions(2)...)
	r.seed(version("p", 1, day(20), false))
	taken := parameterVersion(1, "https://contoso.example/sp/1", "https://fabrikam.example/else", "sp1", "else", `"code":"sp-1"`, `"code":"else"`, "urn:contoso:1", "urn:fabrikam")
	if err := r.destination.Load(taken); err != nil {
		t.Fatal(err)
	}
	if row := r.untilEnded(); row.State != ledger.ParametersDone || row.Copied != 1 {
		t.Errorf("row: %+v", row)
	}
	if r.log.with("which differs", "https://contoso.example/sp/1") != 1 {
		t.Error("the log does not name the one whose id is taken")
	}
	for _, v := range r.destination.Versions() {
		if v.Type == "SearchParameter" && v.ID == "sp-1" && (v.VersionID != "1" || !strings.Contains(string(v.Raw), "fabrikam")) {
			t.Errorf("it was replaced: version %s, %s", v.VersionID, v.Raw)
		}
	}
}

// A step whose context is over before it begins saves nothing, asks nothing, and says so.
func TestAStepThatIsOverBeforeItBegins(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: rangeRun})
	r.load(5, day(1), time.Hour)
	r.exportFirst()
	before, window, calls := r.chunk(), r.window(1), len(r.source.Calls())+len(r.destination.Calls())
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for name, step := range map[string]func(context.Context) (Summary, error){"export": r.ExportStep, "import": r.ImportStep} {
		if _, err := step(over); !errors.Is(err, context.Canceled) {
			t.Errorf("%s step: %v", name, err)
		}
	}
	if n := len(r.source.Calls()) + len(r.destination.Calls()); n != calls {
		t.Errorf("%d calls", n-calls)
	}
	if after := r.chunk(); after.JobID != before.JobID || !after.PlannedTill.Equal(before.PlannedTill) {
		t.Errorf("the chunk row: %+v", after)
	}
	if diff := cmp.Diff(window.Payloads, r.window(1).Payloads); diff != "" {
		t.Error(diff)
	}
}

// A step's time is over in the middle of it, at each call in turn: nothing is half saved. The next step goes on, nothing is done twice but
// what only reads, and what was started is known.
func TestAStepThatIsOverInTheMiddle(t *testing.T) {
	t.Parallel()
	migrate := func(t *testing.T, stop int) (calls int) {
		t.Helper()
		r := newRig(t, rigOptions{inMemory: true, source: fhirservice.Options{LinesPerFile: 4}, settings: append([]string{"FileCount=1", "MigrateSearchParameters=false"}, rangeRun...)})
		r.load(10, day(1), time.Hour)
		r.load(3, day(100), time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var turn sync.Mutex // calls are made side by side
		count := func() {
			turn.Lock()
			defer turn.Unlock()
			if calls++; calls == stop {
				cancel()
			}
		}
		m := r.gated(func(_ context.Context, _ ledger.Call, do func() error) error { count(); return do() },
			func(_ context.Context, _ staging.Call, do func() error) error { count(); return do() })
		for _, s := range []**fhir.Service{&m.Source, &m.Destination} {
			*s = r.countedService((*s).Base(), count)
		}
		r.Migration = m
		for range 100 {
			for _, step := range []func(context.Context) (Summary, error){r.ExportStep, r.ImportStep} {
				if _, err := step(ctx); err != nil && ctx.Err() == nil {
					t.Fatalf("stopped at call %d: %v", stop, err)
				}
			}
			if ctx.Err() != nil {
				ctx = context.WithoutCancel(ctx)
			}
			r.clock.Advance(2*time.Minute + time.Second)
			if c, err := r.Ledger.Chunk(t.Context()); err == nil && c.Watermark.Equal(rangeEnd) {
				break
			}
		}
		c := r.chunk()
		if !c.Watermark.Equal(rangeEnd) || c.Totals.Imported != 13 || c.Totals.Refused != 0 {
			t.Errorf("stopped at call %d: %+v", stop, c)
		}
		if n := r.calls(r.destination, fhirservice.Import); n > 5 { // four payloads, one of them perhaps posted again with the same body
			t.Errorf("stopped at call %d: %d imports were posted", stop, n)
		}
		r.wantEqual()
		return calls
	}
	calls := migrate(t, 0)
	if calls < 60 {
		t.Fatalf("%d calls", calls)
	}
	for n := 1; n <= calls; n += crashEvery {
		t.Run(fmt.Sprintf("call %d", n), func(t *testing.T) {
			t.Parallel()
			migrate(t, n)
		})
	}
}

// countedService is a client of a FHIR service that counts its calls.
func (r *rig) countedService(base string, count func()) *fhir.Service {
	r.t.Helper()
	s, err := fhir.New(fhir.Options{Base: base, Clock: r.clock.Now, Timeout: r.callTime, Client: &http.Client{Transport: countedTransport(count)}})
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

type countedTransport func()

// RoundTrip counts a call and makes it.
func (c countedTransport) RoundTrip(q *http.Request) (*http.Response, error) {
	c()
	return http.DefaultTransport.RoundTrip(q)
}
