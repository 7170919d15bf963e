package migration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/sandbox/compare"
	"fhirmigration/sandbox/fhirservice"
)

// order says which of the two timers fires first.
type order bool

const (
	exportFirst order = false
	importFirst order = true
)

// String names the order, for tests.
func (o order) String() string {
	if o == importFirst {
		return "import step first"
	}
	return "export step first"
}

// step is one of the two steps of a handler.
type step func(l *life) error

func exportStep(l *life) error { _, err := l.ExportStep(l.ctx); return err }
func importStep(l *life) error { _, err := l.ImportStep(l.ctx); return err }

func (o order) steps() []step {
	if o == importFirst {
		return []step{importStep, exportStep}
	}
	return []step{exportStep, importStep}
}

// migrate ticks until everything is migrated, at most so many times. A handler that dies is replaced by one that has just
// started. An error of a step is let pass only when it was dealt a blow, and not for a mere pause.
func (w *world) migrate(ctx context.Context, o order, maxTicks int) (ticks int, err error) {
	l, err := w.start(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { l.kill() }()
	for n := 1; n <= maxTicks; n++ {
		fmt.Fprintf(&w.log, "tick %d\n", n)
		for _, run := range o.steps() {
			hurt := w.plan.hurt
			err := run(l)
			if l.dead {
				break
			}
			if err != nil && w.plan.hurt == hurt {
				return n, fmt.Errorf("tick %d: %w", n, err)
			}
		}
		if w.plan.err != nil {
			return n, fmt.Errorf("tick %d of the other handler: %w", n, w.plan.err)
		}
		if l.dead {
			if l, err = w.start(ctx); err != nil {
				return n, err
			}
		}
		c, err := w.witness.rows.Chunk(ctx)
		if err == nil && c.Watermark.Equal(rangeEnd) && len(c.Open) == 0 && (w.scenario.uncopied == "" || c.SearchParametersReady) {
			return n, nil
		}
		if err != nil && !errors.Is(err, ledger.ErrNotFound) {
			return n, err
		}
		w.clock.Advance(2*time.Minute + time.Second)
	}
	return maxTicks, errors.New("the migration stalls")
}

// meanwhile is what happens in a world while a handler is paused.
type meanwhile func(ctx context.Context, w *world) error

// anotherTicks runs steps of another handler, from beginning to end unless it is hurt itself.
func anotherTicks(steps ...step) meanwhile {
	return func(ctx context.Context, w *world) error {
		fmt.Fprintln(&w.log, "another handler ticks")
		defer fmt.Fprintln(&w.log, "the other handler is done")
		l, err := w.start(ctx)
		if err != nil {
			return err
		}
		defer l.kill()
		for _, run := range steps {
			hurt := w.plan.hurt
			if err := run(l); err != nil && w.plan.hurt == hurt {
				return err
			}
			if l.dead {
				break
			}
		}
		return nil
	}
}

// othersTakeOver lets as much time pass as no tick may live, and another handler tick once: it may take over what the frozen
// one has claimed.
func othersTakeOver(ctx context.Context, w *world) error {
	w.plan.frozen = true
	w.clock.Advance(w.settings.ClaimTime() + time.Minute)
	return anotherTicks(exportStep, importStep)(ctx, w)
}

// othersFinish lets others end the whole migration.
func othersFinish(ctx context.Context, w *world) error {
	fmt.Fprintln(&w.log, "other handlers tick until everything is migrated")
	defer fmt.Fprintln(&w.log, "the frozen handler goes on")
	w.plan.frozen = true
	_, err := w.migrate(ctx, exportFirst, maxCrashTicks)
	return err
}

// check says what is wrong with a world at the end: nil when all that the source holds is at the destination but for the line
// that is refused, every number is right, and nothing happened on the way that may not.
func (w *world) check(ctx context.Context) error {
	wrong := slices.Clone(w.witness.wrong)
	refused := w.scenario.refused
	for _, f := range compare.Versions(w.imported(w.source), w.imported(w.destination)).Findings {
		if f.Outcome != compare.Different || f.Type != refused.Type || f.ID != refused.ID || f.VersionID != refused.VersionID {
			wrong = append(wrong, f.String())
		}
	}
	c, err := w.witness.rows.Chunk(ctx)
	if err != nil {
		return err
	}
	windows := make([]ledger.Window, 0, c.JobID)
	for n := 1; n < c.JobID; n++ {
		row, err := w.witness.rows.Window(ctx, n)
		if err != nil {
			return err
		}
		windows = append(windows, row)
	}
	if row, err := w.witness.rows.Window(ctx, c.JobID); !errors.Is(err, ledger.ErrNotFound) {
		wrong = append(wrong, fmt.Sprintf("%s was never listed (%v)", row.Name(), err))
	}
	wrong = append(wrong, checkRows(c, windows, int64(len(w.imported(w.source))))...)
	exceptions, err := w.witness.rows.Exceptions(ctx, "", 10)
	if err != nil {
		return err
	}
	if e := exceptions; len(e) != 1 || e[0].Kind != ledger.Conflict || e[0].ResourceID != refused.ID || e[0].Lines != 1 || e[0].Line < 0 {
		wrong = append(wrong, fmt.Sprintf("one line is refused, the exceptions are %+v", e))
	}
	wrong = append(wrong, tiling(windows, w.imported(w.source))...)
	parameters, err := w.witness.rows.SearchParameters(ctx)
	if err != nil {
		return err
	}
	if w.scenario.uncopied != "" && (parameters.State != ledger.ParametersDone || parameters.Copied != 1) {
		wrong = append(wrong, fmt.Sprintf("the search parameters are %+v", parameters))
	}
	recorded := recordedOrphans(parameters.Export.Log)
	for _, row := range windows {
		recorded += recordedOrphans(row.AttemptLog)
	}
	may := w.plan.hurt
	if w.plan.frozen && w.scenario.source == fhirservice.Cosmos { // who comes too late cannot cancel at a source that is retired
		may++
	}
	if n := w.witness.orphans(); n > recorded || n > may {
		wrong = append(wrong, fmt.Sprintf("%d exports run that nobody knows of, %d are recorded, a handler was hurt %d times", n, recorded, w.plan.hurt))
	}
	if len(wrong) == 0 {
		return nil
	}
	return errors.New(strings.Join(wrong, "\n"))
}

// checkWatermark notes what is not at the destination although the chunk row, which a call has saved, says so.
func (w *world) checkWatermark(ctx context.Context, c ledger.Call) {
	if w.witness.kind(c.Table) != "chunk" || c.Op == "create" {
		return
	}
	chunk, err := w.witness.rows.Chunk(ctx)
	if err != nil || chunk.Watermark.Equal(w.checked) {
		return // the call was not for that row, or the handler has died of it; or nothing more is said than before
	}
	w.checked = chunk.Watermark
	arrived := map[string]bool{}
	for _, v := range w.destination.Versions() {
		arrived[v.Type+v.ID+v.VersionID] = true
	}
	for _, v := range w.imported(w.source) {
		if v.LastUpdated.Before(chunk.Watermark) && !arrived[v.Type+v.ID+v.VersionID] {
			w.witness.complain("everything till %s is said to be migrated, and %s/%s version %s is not", chunk.Watermark, v.Type, v.ID, v.VersionID)
		}
	}
}

// imported is what a service holds of the types that are imported.
func (w *world) imported(s *fhirservice.Service) []fhirservice.Version {
	return slices.DeleteFunc(s.Versions(), func(v fhirservice.Version) bool { return v.Type == w.scenario.uncopied })
}

func checkRows(c ledger.Chunk, windows []ledger.Window, lines int64) (wrong []string) {
	for _, row := range windows {
		if row.Phase() != ledger.Done {
			wrong = append(wrong, fmt.Sprintf("%s is %s at the end", row.Name(), row.Phase()))
		}
	}
	want := ledger.Totals{Windows: int64(len(windows)), Exported: lines, Imported: lines - 1, Refused: 1}
	if c.Totals != want {
		wrong = append(wrong, fmt.Sprintf("the totals are %+v, want %+v", c.Totals, want))
	}
	if !c.PlannedTill.Equal(rangeEnd) || !c.Watermark.Equal(rangeEnd) || len(c.Open) > 0 {
		wrong = append(wrong, fmt.Sprintf("the chunk row says: planned till %s, migrated till %s, open %v", c.PlannedTill, c.Watermark, c.Open))
	}
	return wrong
}

func recordedOrphans(log []ledger.Attempt) (n int) {
	for _, a := range log {
		if strings.Contains(a.What, "orphan export") {
			n++
		}
	}
	return n
}
