package verify

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
)

// job is one step of one run: what the row said, and what has been found since.
type job struct {
	*Verify
	run     ledger.Run
	request Request
	cursor  cursor
	result  result
	fresh   []Finding // found since the last save

	// What units read while others are settled: never changed in a step.
	seed int64

	underWay  map[int]unit // by the order in which they began
	begun     int
	manifests manifests
	until     time.Time // nothing begins after
	cancel    func()    // ends what is under way
	notBefore time.Time // asked for by a service, longer than a step waits
}

// errLost: the run was cancelled, or another step took it over. What this one found since its last save counts for nothing.
var errLost = errors.New("the run is another's now, or was cancelled")

// newJob reads a run's row.
func (v *Verify) newJob(run ledger.Run) (*job, error) {
	j := &job{Verify: v, run: run, seed: run.Seed, underWay: map[int]unit{}}
	for _, part := range []struct {
		raw  json.RawMessage
		into any
	}{{run.Request, &j.request}, {run.Cursor, &j.cursor}, {run.Result, &j.result}} {
		if len(part.raw) == 0 {
			continue
		}
		if err := json.Unmarshal(part.raw, part.into); err != nil {
			return nil, fmt.Errorf("row of run %d: %w", run.Number, err)
		}
	}
	return j, nil
}

// done is how a unit ended.
type done struct {
	number int
	unit   unit
	part   part
	err    error
	took   time.Duration
}

// work does units until nothing is left or the budget is used up, and saves along the way. It returns whether the run is through.
func (j *job) work(ctx context.Context, budget time.Duration) (through bool, err error) {
	within, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	j.cancel = cancel
	deadline, _ := within.Deadline()
	j.until = deadline.Add(-budget / 4)
	results := make(chan done, countsSideBySide) // room for all: nobody is left behind when work ends early
	saved := budget                              // of the budget left at the last save
	for {
		j.begin(within, results)
		if len(j.underWay) == 0 {
			return j.saveLast(ctx)
		}
		d := <-results
		delete(j.underWay, d.number)
		if err := j.settle(within, d); err != nil {
			return false, j.drained(results, err)
		}
		if left := time.Until(deadline); saved-left >= saveEvery && left > 0 {
			if err := j.save(within); err != nil {
				return false, j.drained(results, err)
			}
			saved = left
		}
	}
}

// begin starts units while there is room.
func (j *job) begin(ctx context.Context, results chan<- done) {
	room := sideBySide
	if j.request.Kind == Surface {
		room = countsSideBySide
	}
	for len(j.underWay) < room && ctx.Err() == nil && time.Until(j.until) > 0 && j.notBefore.IsZero() {
		if j.cursor.crowded(j.request, j.underWay) {
			return
		}
		u, ok := j.cursor.next(j.request, len(j.underWay) == 0)
		if !ok {
			return
		}
		number := j.begun
		j.begun++
		j.underWay[number] = u
		missing := j.missing()
		go func() {
			began := time.Now()
			p, err := j.do(ctx, u, missing)
			results <- done{number, u, p, err, time.Since(began)}
		}()
	}
}

// missing are the types of which something is missing at the destination, as far as is known.
func (j *job) missing() map[string]bool {
	types := map[string]bool{}
	for typ, counts := range j.result.ByType {
		types[typ] = counts[Missing] > 0
	}
	return types
}

// drained waits for what is under way when the step ends by an error.
func (j *job) drained(results <-chan done, err error) error {
	j.cancel()
	for range j.underWay {
		<-results
	}
	return err
}

// settle takes over what a unit found, or puts it back.
func (j *job) settle(ctx context.Context, d done) error {
	switch {
	case d.err == nil:
		j.take(d.part)
		return nil
	case ctx.Err() != nil: // the budget is used up: the unit is as it was
		if d.took > j.Settings.StepBudget()/2 { // no step is long enough for it: it must not be begun for ever
			if d.unit.Tries++; d.unit.Tries >= maxTries {
				j.take(giveUp(d.unit, fmt.Errorf("it takes longer than %s, which is what a step has", j.Settings.StepBudget())))
				return nil
			}
		}
		j.cursor.Units = append([]unit{d.unit}, j.cursor.Units...)
		return nil
	}
	if d.unit.Task == taskPlan { // without it there is no run: the next step begins with it again
		j.cursor.Units = append([]unit{d.unit}, j.cursor.Units...)
		return d.err
	}
	d.unit.Tries++
	d.unit.Size = max(d.unit.Size, d.part.size)
	if d.unit.Tries >= maxTries {
		j.take(giveUp(d.unit, d.err))
		return nil
	}
	j.Log.Info("tried again later", "run", j.run.Number, "unit", d.unit.Task, "type", d.unit.Type, "try", d.unit.Tries, "error", d.err.Error())
	j.cursor.Units = append(j.cursor.Units, d.unit) // behind the others
	return j.pause(ctx, d)
}

// take counts what a unit found and queues what it left. Its findings are kept as long as there is room.
func (j *job) take(p part) {
	j.result.take(p)
	j.cursor.Units = append(p.more, j.cursor.Units...)
	if p.apply != nil {
		p.apply(&j.cursor, &j.result)
	}
	for _, f := range p.findings {
		if j.result.Findings+int64(len(j.fresh)) >= maxFindings || len(j.result.Blobs) >= maxBlobs {
			j.result.Dropped++
			continue
		}
		j.fresh = append(j.fresh, f)
	}
}

// giveUp is what is said of a unit that could not be done.
func giveUp(u unit, err error) part {
	p := part{reasons: []string{err.Error()}}
	switch u.Task {
	case taskChanged, taskLocate, taskSearches:
		if u.Task == taskSearches {
			p.apply = func(_ *cursor, r *result) {
				r.searched(Searches{NotKnown: 1, Named: []string{within(err.Error(), maxNamedSearch)}})
			}
		}
		if u.Task == taskChanged {
			p.apply = func(_ *cursor, r *result) { r.ChangedAtSource = -1 }
		}
		return p // these are about no resource of the destination, and have a place of their own in the report
	case taskCount:
		p.reasons = nil // it comes with the type
		p.apply = func(_ *cursor, r *result) {
			r.surface(TypeCount{Resource: u.Type, SourceCount: -1, DestinationCount: -1, Outcome: NotVerifiable, Reason: shortened(err.Error())})
		}
		return p
	}
	note := err.Error()
	if u.Size == 0 {
		note = "how many is not known: " + note
	}
	typ := u.Type
	switch {
	case u.Task == taskTail:
		typ = newer
	case u.Task == taskPlan:
		typ = "all types"
	case typ == "":
		typ = fmt.Sprintf("window %d", u.Window)
	}
	p.counts = map[string]Counts{typ: {NotVerifiable: max(u.Size, 1)}}
	p.findings = []Finding{{Type: typ, Outcome: NotVerifiable, Note: shortened(note)}}
	return p
}

// pause waits before anything else begins: a service that is overloaded is not helped by the next unit.
func (j *job) pause(ctx context.Context, d done) error {
	pause := 250 * time.Millisecond << d.unit.Tries
	var failed *fhir.Error
	if errors.As(d.err, &failed) {
		pause = max(pause, failed.RetryAfter)
	}
	if pause > longestWait {
		j.notBefore = j.Clock().Add(pause)
		return nil
	}
	if err := j.Wait(ctx, pause); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// saveLast is the save at the end of a step, which may come after its budget.
func (j *job) saveLast(ctx context.Context) (through bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	probe := j.cursor
	_, more := probe.next(j.request, true)
	return !more, j.save(ctx)
}

// save keeps the findings in a blob of their own, then the row.
func (j *job) save(ctx context.Context) error {
	if err := j.saveFindings(ctx); err != nil {
		return err
	}
	var waiting []unit
	for _, u := range j.underWay {
		waiting = append(waiting, u)
	}
	next, err := j.run.Advance(encode(j.cursor.with(waiting)), encode(j.result), j.Clock())
	if err != nil {
		return err
	}
	return j.saveRun(ctx, next)
}

// saveRun saves the row. A conflict may be the echo of our own save; then the row shows our claim and as many steps as we meant.
func (j *job) saveRun(ctx context.Context, next ledger.Run) error {
	saved, err := j.Ledger.SaveRun(ctx, next)
	if errors.Is(err, ledger.ErrConflict) {
		if saved, err = j.Ledger.Run(ctx, next.Number); err == nil && (saved.ClaimOwner != next.ClaimOwner || saved.Steps != next.Steps || saved.State != next.State) {
			return errLost
		}
	}
	if err != nil {
		return err
	}
	j.run = saved
	return nil
}

// saveFindings writes what was found since the last save. The name holds the step and the claim, so that nobody overwrites it.
func (j *job) saveFindings(ctx context.Context) error {
	if len(j.fresh) == 0 {
		return nil
	}
	var lines strings.Builder
	for _, f := range j.fresh {
		lines.Write(encode(f))
		lines.WriteByte('\n')
	}
	name := fmt.Sprintf("%s-run-%d/findings-%d-%s.ndjson", strings.ToLower(j.Settings.ExportTableName), j.run.Number, j.run.Steps+1, j.run.ClaimOwner)
	if _, err := j.Staging.PutFindings(ctx, name, []byte(lines.String())); err != nil {
		return err
	}
	j.result.Blobs = append(j.result.Blobs, name)
	j.result.Findings += int64(len(j.fresh))
	j.fresh = nil
	return nil
}

// do does a unit.
func (j *job) do(ctx context.Context, u unit, missing map[string]bool) (part, error) {
	switch u.Task {
	case taskPlan:
		return j.plan(ctx)
	case taskCount:
		return j.countType(ctx, u)
	case taskLocate:
		return j.locate(ctx, u)
	case taskSlice:
		return j.slice(ctx, u)
	case taskSample:
		return j.sample(ctx, u)
	case taskTail:
		return j.tail(ctx, u)
	case taskChanged:
		return j.changed(ctx)
	case taskWindow:
		return j.window(ctx, u)
	case taskFiles:
		return j.files(ctx, u)
	case taskPick:
		return j.pick(ctx, u)
	case taskExtras:
		return j.extras(ctx, u, missing)
	case taskSearches:
		return j.searches(ctx, u)
	}
	return part{}, fmt.Errorf("unit %q is not known: the run was started by another version of the handler, start it again", u.Task)
}

func shortened(text string) string {
	if runes := []rune(text); len(runes) > 300 {
		return string(runes[:300]) + "…"
	}
	return text
}

// newOwner names a claim.
func newOwner(random io.Reader) (string, error) {
	var b [8]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("random bytes: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}
