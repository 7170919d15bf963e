package verify

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"fhirmigration/handler/internal/ledger"
)

// Start starts a run and returns it without having done anything. ErrInvalid, ErrBusy.
func (v *Verify) Start(ctx context.Context, r Request) (Report, error) {
	if err := v.Ledger.CreateTables(ctx); err != nil {
		return Report{}, err
	}
	checks, err := v.Ledger.Checks(ctx)
	if err != nil {
		return Report{}, err
	}
	if last := lastOf(checks, r.Kind); last != 0 {
		running, err := v.Ledger.Run(ctx, last)
		if err != nil {
			return Report{}, err
		}
		if !running.Ended() {
			return Report{}, fmt.Errorf("%w: run %d; wait for it or cancel it", ErrBusy, last)
		}
	}
	if r, err = v.complete(ctx, r); err != nil {
		return Report{}, err
	}
	if r.Seed == 0 {
		if r.Seed, err = v.seed(); err != nil {
			return Report{}, err
		}
	}
	run, err := v.insert(ctx, r, checks.NextRun)
	if err != nil {
		return Report{}, err
	}
	if err := v.updateChecks(ctx, func(c ledger.Checks) (ledger.Checks, bool) { return c.Open(run) }); err != nil {
		return Report{}, err
	}
	v.Log.Info("check started", "event", eventOf(r.Kind), "run", run.Number, "seed", run.Seed, "till", ledger.FormatInstant(r.Till))
	return v.report(ctx, run)
}

func lastOf(c ledger.Checks, kind Kind) int {
	if kind == Surface {
		return c.LastSurface
	}
	return c.LastDeep
}

// eventOf is the name of the original's telemetry event.
func eventOf(kind Kind) string {
	if kind == Surface {
		return "SurfaceCheck"
	}
	return "DeepCheck"
}

// resultOf is the outcome in the original's words.
func resultOf(c Counts) string {
	switch {
	case c.Wrong() > 0:
		return "Fail"
	case c[NotVerifiable] > 0 || c.Sum() == 0:
		return "NotVerifiable"
	}
	return "Pass"
}

func (v *Verify) seed() (int64, error) {
	var b [8]byte
	if _, err := io.ReadFull(v.Random, b[:]); err != nil {
		return 0, fmt.Errorf("random bytes: %w", err)
	}
	return int64(binary.BigEndian.Uint64(b[:])>>12) + 1, nil // 52 bits: a number that JSON readers keep
}

// insert inserts the row of a run under the first free number. A number in use is a start that died before its run was listed, or one that runs now.
func (v *Verify) insert(ctx context.Context, r Request, number int) (ledger.Run, error) {
	first := cursor{Units: []unit{{Task: taskPlan}}}
	if r.Kind == Surface {
		first = cursor{Types: r.Types}
	}
	for range 100 {
		run, err := v.Ledger.InsertRun(ctx, ledger.NewRun(number, string(r.Kind), r.Seed, encode(r), encode(first), v.Clock()))
		if !errors.Is(err, ledger.ErrExists) {
			return run, err
		}
		number++
	}
	return ledger.Run{}, fmt.Errorf("insert run: the numbers up to %d are in use: %w", number-1, ledger.ErrExists)
}

// updateChecks changes the row of the checks. Another start, or our own save whose reply was lost, makes it decide anew.
func (v *Verify) updateChecks(ctx context.Context, change func(ledger.Checks) (ledger.Checks, bool)) error {
	_, err := ledger.Again(ctx, func() (ledger.Checks, error) {
		c, err := v.Ledger.Checks(ctx)
		if err != nil {
			return c, err
		}
		next, ok := change(c)
		if !ok {
			return c, nil
		}
		return v.Ledger.SaveChecks(ctx, next)
	})
	return err
}

// Summary says what a tick did.
type Summary struct {
	Open  int      `json:"open"`
	Runs  []string `json:"runs,omitempty"`
	Ended int      `json:"ended,omitempty"`
}

// Tick advances every run that is open, one after the other, within the step's budget. With none open it costs one read.
func (v *Verify) Tick(ctx context.Context) (Summary, error) {
	checks, err := v.Ledger.Checks(ctx)
	if errors.Is(err, ledger.ErrNotFound) {
		return Summary{}, nil
	}
	if err != nil {
		return Summary{}, err
	}
	s := Summary{Open: len(checks.OpenRuns)}
	var errs []error
	for _, number := range checks.OpenRuns {
		report, err := v.Step(ctx, number, v.Settings.StepBudget()/time.Duration(len(checks.OpenRuns)))
		if err != nil {
			errs = append(errs, fmt.Errorf("run %d: %w", number, err))
			continue
		}
		s.Runs = append(s.Runs, report.line())
		if report.State != ledger.RunRunning {
			s.Ended++
		}
	}
	return s, errors.Join(errs...)
}

// Step advances a run for as long as budget allows and returns how it is then. A run that somebody else advances is left alone.
func (v *Verify) Step(ctx context.Context, number int, budget time.Duration) (Report, error) {
	run, err := v.Ledger.Run(ctx, number)
	if err != nil {
		return Report{}, err
	}
	if run.Ended() {
		return v.closed(ctx, run)
	}
	owner, err := newOwner(v.Random)
	if err != nil {
		return Report{}, err
	}
	now := v.Clock()
	claimed, ok := run.Claim(owner, now, now.Add(v.Settings.ClaimTime()))
	if !ok {
		return v.report(ctx, run)
	}
	j, err := v.newJob(claimed)
	if err != nil {
		return Report{}, err
	}
	if err := j.saveRun(ctx, claimed); err == nil {
		err = j.advance(ctx, budget)
		if err != nil && !errors.Is(err, errLost) {
			return Report{}, errors.Join(err, j.release(ctx))
		}
	} else if !errors.Is(err, errLost) {
		return Report{}, err
	}
	if run, err = v.Ledger.Run(ctx, number); err != nil {
		return Report{}, err
	}
	return v.closed(ctx, run)
}

// closed takes a run that has ended off the open ones.
func (v *Verify) closed(ctx context.Context, run ledger.Run) (Report, error) {
	if run.Ended() {
		if err := v.updateChecks(ctx, func(c ledger.Checks) (ledger.Checks, bool) { return c.Close(run.Number) }); err != nil {
			return Report{}, err
		}
	}
	return v.report(ctx, run)
}

// advance works and ends the run, or gives it back.
func (j *job) advance(ctx context.Context, budget time.Duration) error {
	through, err := j.work(ctx, budget)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	if !through {
		return j.release(ctx)
	}
	if err := j.writeRows(ctx); err != nil {
		return err
	}
	next, _ := j.run.End(ledger.RunDone, "", j.Clock())
	if err := j.saveRun(ctx, next); err != nil {
		return err
	}
	j.Log.Info("check done", "event", eventOf(j.request.Kind), "run", j.run.Number, "counts", j.result.Counts, "Result", resultOf(j.result.Counts))
	return nil
}

// release gives the claim back.
func (j *job) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTime)
	defer cancel()
	return j.saveRun(ctx, j.run.Release(j.notBefore))
}

// Cancel ends a run. One that has ended stays as it is.
func (v *Verify) Cancel(ctx context.Context, kind Kind, number int) (Report, error) {
	return ledger.Again(ctx, func() (Report, error) {
		run, err := v.find(ctx, kind, number)
		if err != nil {
			return Report{}, err
		}
		if next, ok := run.End(ledger.RunCancelled, "cancelled by request", v.Clock()); ok {
			if run, err = v.Ledger.SaveRun(ctx, next); err != nil {
				return Report{}, err
			}
		}
		return v.closed(ctx, run)
	})
}

// Get is how a run is; number 0 is the last one of its kind. It changes nothing. ErrNotFound.
func (v *Verify) Get(ctx context.Context, kind Kind, number int) (Report, error) {
	run, err := v.find(ctx, kind, number)
	if err != nil {
		return Report{}, err
	}
	return v.report(ctx, run)
}

func (v *Verify) find(ctx context.Context, kind Kind, number int) (ledger.Run, error) {
	if number == 0 {
		checks, err := v.Ledger.Checks(ctx)
		if errors.Is(err, ledger.ErrNotFound) {
			err = nil
		}
		if err != nil {
			return ledger.Run{}, err
		}
		if number = lastOf(checks, kind); number == 0 {
			return ledger.Run{}, fmt.Errorf("%w: no %s was started yet", ErrNotFound, eventOf(kind))
		}
	}
	run, err := v.Ledger.Run(ctx, number)
	if errors.Is(err, ledger.ErrNotFound) || err == nil && run.Kind != string(kind) {
		return ledger.Run{}, fmt.Errorf("%w: run %d of %s", ErrNotFound, number, eventOf(kind))
	}
	return run, err
}
