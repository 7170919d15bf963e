package status

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/settings"
)

const (
	// sideBySide bounds the calls to tables that are under way at the same time.
	sideBySide = 16
	// recentKept windows that are done are shown one by one, out of the recentLooked highest numbers.
	recentKept, recentLooked = 10, 20
	// detailed open windows are shown one by one; the others are in the timeline.
	detailed = 40
	// exceptionsRead bounds one look at the table of exceptions, exceptionsShown what is shown of it.
	exceptionsRead, exceptionsShown = 200, 20
)

// Options are what a Reader works with.
type Options struct {
	Settings  settings.Settings
	Ledger    *ledger.Ledger
	Clock     func() time.Time
	Build     Build
	Schedules map[string]string // the app setting <timer>Schedule by timer, "" where it is missing
	// Check says how a run of a check is.
	Check func(ledger.Run) Check
	// CountServers counts what both services hold, and asks for the source's clock; Tick calls it now and then.
	CountServers func(ctx context.Context, watermark time.Time) ledger.ServerTotals
}

// Reader reads how the migration stands. It keeps nothing between calls.
type Reader struct{ Options }

// New makes a Reader; it calls nothing.
func New(o Options) *Reader { return &Reader{o} }

// rows are what is read for a status.
type rows struct {
	now        time.Time // by the handler's clock
	begun      bool      // there is a chunk row that says where to start
	chunk      ledger.Chunk
	control    ledger.Control
	summary    ledger.Summary
	parameters ledger.SearchParameters
	checks     []ledger.Run // the last of each kind
	open       []ledger.Window
	recent     []ledger.Window // done, the highest number first
	exceptions []ledger.Exception
	allListed  bool // exceptions are all there are
}

// Read reads how the migration stands: some rows side by side, then the windows that they name.
func (r *Reader) Read(ctx context.Context) (Status, error) {
	all, err := r.rows(ctx)
	if err != nil {
		return Status{}, err
	}
	return r.status(all), nil
}

func (r *Reader) rows(ctx context.Context) (all rows, _ error) {
	all.now = r.Clock()
	g, first := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		all.chunk, err = r.Ledger.Chunk(first)
		all.begun = err == nil && !all.chunk.PlannedTill.IsZero()
		return absent(err)
	})
	g.Go(func() (err error) { all.control, err = r.Ledger.Control(first); return err })
	g.Go(func() (err error) { all.summary, err = r.Ledger.Summary(first); return err })
	g.Go(func() (err error) { all.parameters, err = r.Ledger.SearchParameters(first); return err })
	g.Go(func() (err error) { all.checks, err = r.lastRuns(first); return err })
	g.Go(func() (err error) {
		all.exceptions, err = r.Ledger.Exceptions(first, "", exceptionsRead)
		all.allListed = len(all.exceptions) < exceptionsRead
		return absent(err)
	})
	if err := g.Wait(); err != nil {
		return all, fmt.Errorf("read the ledger: %w", err)
	}
	return all, r.windows(ctx, &all)
}

// absent takes a row or table that is not there yet for no error.
func absent(err error) error {
	if errors.Is(err, ledger.ErrNotFound) {
		return nil
	}
	return err
}

// lastRuns are the runs that were started last, one of each check.
func (r *Reader) lastRuns(ctx context.Context) (runs []ledger.Run, _ error) {
	checks, err := r.Ledger.Checks(ctx)
	if err != nil {
		return nil, absent(err)
	}
	for _, number := range []int{checks.LastSurface, checks.LastDeep} {
		if number == 0 {
			continue
		}
		run, err := r.Ledger.Run(ctx, number)
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	return runs, nil
}

// windows reads every open window, and the last numbers that are not open.
func (r *Reader) windows(ctx context.Context, all *rows) error {
	var open, last []int
	for _, o := range all.chunk.Open {
		open = append(open, o.Number)
	}
	for n := all.chunk.JobID - 1; n >= 0 && len(last) < recentLooked; n-- {
		if !all.chunk.Pending(n) {
			last = append(last, n)
		}
	}
	found, err := r.byNumber(ctx, append(open, last...))
	if err != nil {
		return fmt.Errorf("read windows: %w", err)
	}
	for _, w := range found {
		switch listed := all.chunk.Lists(w.Number); {
		case listed:
			all.open = append(all.open, w)
		case w.Phase() == ledger.Done && len(all.recent) < recentKept:
			all.recent = append(all.recent, w)
		}
	}
	slices.SortFunc(all.open, func(a, b ledger.Window) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Number, b.Number))
	})
	return nil
}

// byNumber reads windows side by side and returns them in that order, without the numbers under which there is none.
func (r *Reader) byNumber(ctx context.Context, numbers []int) (found []ledger.Window, _ error) {
	read, there := make([]ledger.Window, len(numbers)), make([]bool, len(numbers))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(sideBySide)
	for i, number := range numbers {
		g.Go(func() error {
			w, err := r.Ledger.Window(ctx, number)
			if errors.Is(err, ledger.ErrNotWindow) || errors.Is(err, ledger.ErrNotFound) {
				return nil
			}
			read[i], there[i] = w, err == nil
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for i, w := range read {
		if there[i] {
			found = append(found, w)
		}
	}
	return found, nil
}
