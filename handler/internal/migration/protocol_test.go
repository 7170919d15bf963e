package migration

import (
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/sandbox/fhirservice"
)

// The tests of this file begin where a tick died, or lost a race against another: each is a trace by which a careless
// reading of the protocol loses data or counts it twice.

// begun is a rig whose chunk row exists, planned up to day 0, with data on days 1 to 60 and on days 201 to 203.
func begun(t *testing.T, o rigOptions) *rig {
	t.Helper()
	o.settings = append(append([]string{"StartDate=2024-01-01"}, rangeRun...), o.settings...)
	r := newRig(t, o)
	r.load(60, day(1), 24*time.Hour)
	r.load(3, day(201), 24*time.Hour)
	if err := r.Ledger.CreateTables(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Ledger.InsertChunk(t.Context(), ledger.NewChunk(day0)); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) insert(number int, since, till time.Time) ledger.Window {
	r.t.Helper()
	w, err := r.Ledger.InsertWindow(r.t.Context(), ledger.NewWindow(number, since, till))
	if err != nil {
		r.t.Fatal(err)
	}
	return w
}

func (r *rig) saveWindow(w ledger.Window, err error) ledger.Window {
	r.t.Helper()
	if err == nil {
		w, err = r.Ledger.SaveWindow(r.t.Context(), w)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return w
}

func (r *rig) saveChunk(change func(ledger.Chunk) (ledger.Chunk, bool)) {
	r.t.Helper()
	c, ok := change(r.chunk())
	if !ok {
		r.t.Fatal("the chunk row does not change")
	}
	if _, err := r.Ledger.SaveChunk(r.t.Context(), c); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) list(w ledger.Window) {
	r.t.Helper()
	r.saveChunk(func(c ledger.Chunk) (ledger.Chunk, bool) { return c.List(w) })
}

// finish ends the migration and checks everything that must hold then.
func (r *rig) finish() {
	r.t.Helper()
	r.run(rangeEnd)
	r.wantEqual()
	r.checkTiling()
	c := r.chunk()
	if n := int64(len(r.source.Versions())); c.Totals.Imported != n || c.Totals.Exported != n {
		r.t.Errorf("totals are %+v, the source holds %d versions", c.Totals, n)
	}
}

// A tick died between inserting a window and listing it. The row is adopted as it stands, whatever its length.
func TestAnInsertedWindowIsAdoptedAsItStands(t *testing.T) {
	t.Parallel()
	r := begun(t, rigOptions{})
	r.insert(1, day0, day(3))
	r.finish()
	if w := r.window(1); !w.Till.Equal(day(3)) {
		t.Errorf("the row was cut anew: %s", w.Name())
	}
}

// The same where planning sees nothing to plan: before a jump, and at the end.
func TestAnInsertedWindowIsLookedForBeforeAJump(t *testing.T) {
	t.Parallel()
	for name, planned := range map[string]time.Time{"before a jump": day(61), "at the end": rangeEnd} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := begun(t, rigOptions{})
			r.list(r.insert(1, day0, day(61)))
			if planned.Equal(rangeEnd) {
				r.list(r.insert(2, day(200), day(210)))
				r.saveChunk(func(c ledger.Chunk) (ledger.Chunk, bool) { return c.Jump(c.Position(), rangeEnd, c.JobID) })
				r.insert(3, day(210), day(300)) // over empty time: a count that failed
			} else {
				r.insert(2, day(61), day(90))
			}
			r.finish()
			c := r.chunk()
			for n := 1; n < c.JobID; n++ {
				if w := r.window(n); w.Phase() != ledger.Done {
					t.Errorf("%s is %s", w.Name(), w.Phase())
				}
			}
			if c.JobID < 4 && planned.Equal(rangeEnd) || c.JobID < 3 {
				t.Errorf("the row was not adopted: next number %d", c.JobID)
			}
			adopted, jumped := r.log.first("window planned", "window=2"), r.log.first("empty stretch passed over")
			if !planned.Equal(rangeEnd) && (adopted < 0 || jumped < adopted) {
				t.Errorf("adopted at line %d of the log, jumped at line %d", adopted, jumped)
			}
		})
	}
}

// Rows of the original's payloads lie under numbers that windows would get.
func TestARowThatIsNoWindowIsSkipped(t *testing.T) {
	t.Parallel()
	r := begun(t, rigOptions{})
	service, err := aztables.NewServiceClientFromConnectionString(r.emulator.ConnectionString(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{"myrowkey1", "myrowkey3"} {
		body := `{"PartitionKey":"mypartitionkey","RowKey":"` + row + `","IsFirst":false,"IsImportRunning":"Completed"}`
		if _, err := service.NewClient("export"+r.tables).AddEntity(t.Context(), []byte(body), nil); err != nil {
			t.Fatal(err)
		}
	}
	r.run(rangeEnd)
	r.wantEqual()
	for _, number := range []int{1, 3} {
		if _, err := r.Ledger.Window(t.Context(), number); err == nil {
			t.Errorf("row %d was overwritten", number)
		}
	}
}

// A split died after each of its saves, or its number was taken by another tick's window.
func TestASplitIsCompleted(t *testing.T) {
	t.Parallel()
	at := day(20)
	marked := func(r *rig, number int) ledger.Window {
		w := r.insert(1, day0, day(40))
		r.list(w)
		next, err := w.SplitMarked(at, number, "too large", start)
		return r.saveWindow(next, err)
	}
	for name, die := range map[string]func(r *rig){
		"marked":                  func(r *rig) { marked(r, 2) },
		"second half inserted":    func(r *rig) { marked(r, 2); r.insert(2, at, day(40)) },
		"second half listed":      func(r *rig) { marked(r, 2); r.list(r.insert(2, at, day(40))) },
		"number taken, listed":    func(r *rig) { marked(r, 2); r.list(r.insert(2, day(40), day(50))) },
		"number taken, unlisted":  func(r *rig) { marked(r, 2); r.insert(2, day(40), day(50)) },
		"behind a planned window": func(r *rig) { marked(r, 3); r.list(r.insert(2, day(40), day(50))); r.insert(3, at, day(40)) },
		"second half split itself": func(r *rig) {
			marked(r, 2)
			half := r.insert(2, at, day(40))
			r.list(half)
			third := r.insert(3, day(30), day(40))
			r.list(third)
			next, err := half.SplitMarked(day(30), 3, "too large", start)
			half = r.saveWindow(next, err)
			next, err = half.SplitDone()
			r.saveWindow(next, err)
		},
		"second half done before the first is shortened": func(r *rig) {
			marked(r, 2)
			half := r.insert(2, at, day(40))
			r.list(half)
			for range 10 { // the other window goes its way; this one's split stays as it is
				t := &tick{Migration: r.Migration, chunk: r.chunk(), windows: []ledger.Window{r.window(2)}}
				t.pollExports(r.t.Context())
				t.startExports(r.t.Context())
				t.pollImports(r.t.Context())
				t.postImports(r.t.Context())
				t.closeDone(r.t.Context())
				r.clock.Advance(3 * time.Minute)
			}
			if r.window(2).Phase() != ledger.Done || r.window(1).Phase() != ledger.Splitting {
				r.t.Fatalf("windows are %s and %s", r.window(1).Phase(), r.window(2).Phase())
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := begun(t, rigOptions{inMemory: true})
			die(r)
			r.finish()
			if w := r.window(1); !w.Till.Equal(at) {
				t.Errorf("the first half: %s", w.Name())
			}
		})
	}
}

// T28: a window is split for its size; the second half fails while later windows finish. The watermark stays before it.
func TestT28WatermarkStaysBeforeTheSecondHalf(t *testing.T) {
	t.Parallel()
	r := begun(t, rigOptions{})
	w := r.insert(1, day0, day(40))
	r.list(w)
	next, err := w.SplitMarked(day(20), 2, "too large", start)
	r.saveWindow(next, err)
	half := r.insert(2, day(20), day(40))
	r.list(half)
	next, err = half.Hold("it fails", start)
	r.saveWindow(next, err)
	r.run(rangeEnd)
	if c := r.chunk(); !c.Watermark.Equal(day(20)) || !c.PlannedTill.Equal(rangeEnd) || c.Totals.Windows < 2 {
		t.Errorf("the chunk row: %+v", c)
	}
}

// A claim whose owner died: nothing starts while it holds, then it is taken over and a possible orphan is recorded.
func TestADeadOwnersClaimIsTakenOver(t *testing.T) {
	t.Parallel()
	r := begun(t, rigOptions{})
	w := r.insert(1, day0, day(70))
	r.list(w)
	next, err := w.Claim("the dead", r.clock.Now(), r.clock.Now().Add(11*time.Minute))
	r.saveWindow(next, err)
	r.tick()
	if w := r.window(1); w.Phase() != ledger.Planned || w.ClaimOwner != "the dead" {
		t.Errorf("the claim was not respected: %+v", w)
	}
	r.clock.Advance(11 * time.Minute)
	r.finish()
	if w := r.window(1); len(w.AttemptLog) != 1 || !strings.Contains(w.AttemptLog[0].What, "possible orphan export: the claim of the dead") {
		t.Errorf("log: %v", w.AttemptLog)
	}
}

// Two ticks save the same claim's outcome: the one whose URL the row names keeps its job, even when another tick has saved
// something else since; one whose URL it does not name cancels its own.
func TestTheEchoOfASaveIsRecognisedByItsColumn(t *testing.T) {
	t.Parallel()
	r := begun(t, rigOptions{source: fhirservice.Options{ExportTime: jobTime}})
	r.list(r.insert(1, day0, day(70)))
	ctx := t.Context()
	tk := &tick{Migration: r.Migration, chunk: r.chunk()}
	claimed, owner, err := tk.claim(ctx, r.window(1))
	if err != nil {
		t.Fatal(err)
	}
	url := r.startExport(day0, day(70))
	mine, err := tk.saveExportStarted(ctx, claimed, owner, url)
	if err != nil {
		t.Fatal(err)
	}
	next, err := mine.ExportStillRunning(r.clock.Now().Add(time.Hour)) // another tick has polled meanwhile
	r.saveWindow(next, err)
	if _, err := tk.saveExportStarted(ctx, claimed, owner, url); err != nil { // our save again: its reply was lost
		t.Errorf("the echo: %v", err)
	}
	if n := r.calls(r.source, fhirservice.ExportCancel); n != 0 {
		t.Fatal("a tick cancelled the job that the window names")
	}
	stray := r.startExport(day0, day(70))
	if _, err := tk.saveExportStarted(ctx, claimed, owner, stray); err != nil {
		t.Errorf("a stray job: %v", err)
	}
	if n := r.calls(r.source, fhirservice.ExportCancel); n != 1 {
		t.Errorf("%d cancels: a job that no row names is cancelled by who started it", n)
	}
	r.source.Inject(fhirservice.Fault{Kind: fhirservice.ExportCancel, Status: 500})
	stray = r.startExport(day0, day(70))
	if _, err := tk.saveExportStarted(ctx, claimed, owner, stray); err != nil {
		t.Errorf("a stray job that cannot be cancelled: %v", err)
	}
	if w := r.window(1); w.ExportStatusURL != url || len(w.AttemptLog) != 1 || !strings.Contains(w.AttemptLog[0].What, "orphan export: "+stray) {
		t.Errorf("the row: %+v", w)
	}
}

func (r *rig) startExport(since, till time.Time) string {
	r.t.Helper()
	url, err := r.Source.StartExport(r.t.Context(), exportRequest(since, till))
	if err != nil {
		r.t.Fatal(err)
	}
	return url
}

// T14: two handlers tick at the same time against the same tables: one wins each save, the other leaves, nothing breaks.
func TestT14TwoHandlersAtOnce(t *testing.T) {
	t.Parallel()
	r := begun(t, rigOptions{settings: []string{"ExportChunkTime=5", "MaxParallelExports=4"}, source: fhirservice.Options{LinesPerFile: 2, Workers: 8}})
	other := r.handler()
	for range 200 {
		errs := make(chan error, 4)
		for _, m := range []*Migration{r.Migration, other} {
			go func() { _, err := m.ExportStep(t.Context()); errs <- err }()
			go func() { _, err := m.ImportStep(t.Context()); errs <- err }()
		}
		for range 4 {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
		r.clock.Advance(2*time.Minute + time.Second)
		if r.chunk().Watermark.Equal(rangeEnd) {
			break
		}
	}
	r.finish()
	windows := r.allWindows()
	started, cancelled := r.calls(r.source, fhirservice.Export), r.calls(r.source, fhirservice.ExportCancel)
	if started-cancelled != len(windows) {
		t.Errorf("%d exports started, %d cancelled, for %d windows", started, cancelled, len(windows))
	}
}
