package status

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fhirmigration/handler/internal/ledger"
)

const (
	// takenAtOnce windows are read for one save of the summary.
	takenAtOnce = 500
	// countEvery is how much time passes between two counts of both services while windows are open. They are counted too when none is
	// open any more and the watermark has moved.
	countEvery = time.Hour
	// exceptionsEvery is how much time passes between two readings of the table of exceptions, where it is too long for every GET.
	exceptionsEvery = time.Hour
	// sampleEvery is the shortest time between two samples of progress.
	sampleEvery = 10 * time.Second
)

// TickSummary says what a Tick did.
type TickSummary struct {
	TakenIn int  `json:"takenIn,omitempty"` // numbers of windows
	Behind  int  `json:"behind,omitempty"`  // that are left
	Counted bool `json:"counted,omitempty"`
}

// Tick brings the summary row up to date, for as long as budget allows: windows that were closed, now and then the totals of both
// services, a sample of the pace. It goes on where the last one was; a ledger with a hundred thousand closed windows takes a few
// ticks. One with nothing to do costs two reads.
func (r *Reader) Tick(ctx context.Context, budget time.Duration) (t TickSummary, _ error) {
	within, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	chunk, err := r.Ledger.Chunk(within)
	if errors.Is(err, ledger.ErrNotFound) || err == nil && (chunk.Foreign || len(chunk.Pinned) == 0) {
		return t, nil // nothing is planned yet; rows that are there are the original's, which are still to be taken over
	}
	if err != nil {
		return t, err
	}
	s, err := r.Ledger.Summary(within)
	if err != nil {
		return t, err
	}
	if s, err = r.takeIn(ctx, within, s, chunk, &t); err != nil || within.Err() != nil {
		return t, conflicting(err)
	}
	s, moved := s.Sampled(chunk, r.Clock(), sampleEvery)
	listed, err := r.countExceptions(within, &s)
	if err != nil {
		return t, err
	}
	if t.Counted = r.countDue(s, chunk); t.Counted {
		s = s.Counted(r.CountServers(within, chunk.Watermark))
	}
	if !moved && !listed && !t.Counted {
		return t, nil
	}
	_, err = r.save(ctx, s)
	return t, conflicting(err)
}

// takeIn takes closed windows in, a batch a save, until none is left or the budget is over.
func (r *Reader) takeIn(ctx, within context.Context, s ledger.Summary, chunk ledger.Chunk, t *TickSummary) (ledger.Summary, error) {
	for within.Err() == nil {
		due := s.Due(chunk, takenAtOnce)
		if len(due.Numbers) == 0 {
			return s, nil
		}
		t.Behind = chunk.JobID - due.Next
		windows, err := r.byNumber(within, due.Numbers)
		if within.Err() != nil {
			return s, nil
		}
		if err != nil {
			return s, fmt.Errorf("read closed windows: %w", err)
		}
		next, _ := s.TakeIn(due, windows).Sampled(chunk, r.Clock(), sampleEvery)
		if s, err = r.save(ctx, next); err != nil {
			return s, err
		}
		t.TakenIn += len(due.Numbers)
	}
	return s, nil
}

// countDue says whether both services are to be counted.
func (r *Reader) countDue(s ledger.Summary, chunk ledger.Chunk) bool {
	idle := len(chunk.Open) == 0 && !chunk.Watermark.Equal(s.Servers.Watermark)
	return idle || r.Clock().Sub(s.Servers.At) >= countEvery
}

// countExceptions reads on in the table of exceptions, where it is longer than a GET reads. It says whether s has changed.
func (r *Reader) countExceptions(ctx context.Context, s *ledger.Summary) (changed bool, _ error) {
	if s.Exceptions.From == "" && r.Clock().Sub(s.Exceptions.At) < exceptionsEvery {
		return false, nil
	}
	const page = 1000
	for ctx.Err() == nil {
		read, err := r.Ledger.Exceptions(ctx, s.Exceptions.From, page)
		if absent(err) != nil {
			return false, err
		}
		*s = s.CountedExceptions(read, len(read) == page, r.Clock())
		if len(read) < page {
			break
		}
	}
	return true, nil
}

// save saves the summary, also when the budget is over: what was read for it would be read again.
func (r *Reader) save(ctx context.Context, s ledger.Summary) (ledger.Summary, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	return r.Ledger.SaveSummary(ctx, s, r.Clock())
}

// conflicting takes a save that another tick came before for no error: the next one reads what is there.
func conflicting(err error) error {
	if errors.Is(err, ledger.ErrConflict) {
		return nil
	}
	return err
}
