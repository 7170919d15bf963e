package migration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/settings"
	"fhirmigration/handler/internal/staging"
)

const (
	// maxHeld windows may wait for an operator before planning stops: whatever holds them would hold the next ones too.
	maxHeld = 50
	// sideBySide bounds the calls that one tick has under way at the same time.
	sideBySide = 8
	// saveTime is how long the save after an effect may take when the tick's budget is already over.
	saveTime = 30 * time.Second
	// longestPause between attempts of a window.
	longestPause = time.Hour
	// maxUnknownPolls in a row say that a job is gone; one may be a blip.
	maxUnknownPolls = 2
	// maxCountTries is how often a count is asked for before the migration goes on without it.
	maxCountTries = 3
)

// Options are what a Migration works with. All fields are required.
type Options struct {
	Settings            settings.Settings
	Source, Destination *fhir.Service
	Ledger              *ledger.Ledger
	Staging             *staging.Store
	Clock               func() time.Time // the handler's own clock; the bounds of windows are the source's time
	Random              io.Reader        // for the owners of claims, and for what is taken off pauses by chance
	Log                 *slog.Logger
}

// Migration moves data from Source to Destination. It holds no state of its own.
type Migration struct {
	Options
	callTime time.Duration // one call to a FHIR service takes at most this long
}

// New makes a Migration; it calls nothing.
func New(o Options) *Migration {
	return &Migration{Options: o, callTime: CallTime(o.Settings)}
}

// Logging is m with another log: that of one invocation.
func (m *Migration) Logging(log *slog.Logger) *Migration {
	logging := *m
	logging.Log = log
	return &logging
}

// maxPayloads is how many payloads a window's row has room for; a window that needs more is split.
func (m *Migration) maxPayloads() int {
	return ledger.PayloadRoom(len(m.Settings.DestinationUri) + len("/_operations/import/") + len("9223372036854775807"))
}

// CallTime is how long one call to a FHIR service may take: 100 s, as the status of an import answers up to 60 s late, but
// never more than three quarters of a step's budget.
func CallTime(s settings.Settings) time.Duration {
	return min(100*time.Second, s.StepBudget()*3/4)
}

// Summary says what a step did. Its JSON goes to the invocation's log.
type Summary struct {
	Step      string    `json:"step"`
	Watermark time.Time `json:"migratedTill,omitzero"`
	Planned   int       `json:"planned,omitempty"`
	Started   int       `json:"started,omitempty"`
	Polled    int       `json:"polled,omitempty"`
	Exported  int       `json:"exported,omitempty"`
	Posted    int       `json:"posted,omitempty"`
	Imported  int       `json:"imported,omitempty"`
	Closed    int       `json:"closed,omitempty"`
	Open      int       `json:"open"`
	Held      int       `json:"held,omitempty"`
	Waiting   string    `json:"waiting,omitempty"` // for what, when nothing can be done
}

// tick is one run of a step: the rows as last read or saved, and what became of them.
type tick struct {
	*Migration
	chunk   ledger.Chunk
	control ledger.Control
	windows []ledger.Window // open ones, by Since

	parameters *ledger.SearchParameters // as read or saved last, where the step concerns itself with their export
	looked     look

	anonymizationETag string // with IsExportDeidentified: of the configuration as it is now; "": not read yet, or it cannot be

	sum Summary

	controlRead bool

	failed, succeeded atomic.Bool // what saves of this tick told of
}

// begin reads the chunk row and every open window: one read each, however many windows are closed.
func (m *Migration) begin(ctx context.Context, step string) (*tick, error) {
	t := &tick{Migration: m, sum: Summary{Step: step}}
	var err error
	if t.chunk, err = m.Ledger.Chunk(ctx); err != nil {
		return t, err
	}
	windows := make([]ledger.Window, len(t.chunk.Open))
	errs := make([]error, len(t.chunk.Open))
	g := errgroup.Group{}
	g.SetLimit(sideBySide)
	for i, o := range t.chunk.Open {
		g.Go(func() error {
			windows[i], errs[i] = m.Ledger.Window(ctx, o.Number)
			return nil
		})
	}
	g.Wait()
	for i, w := range windows {
		if errs[i] == nil {
			t.windows = append(t.windows, w)
		}
	}
	slices.SortFunc(t.windows, func(a, b ledger.Window) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Number, b.Number))
	})
	return t, errors.Join(errs...)
}

// summary completes what the step reports.
func (t *tick) summary() Summary {
	t.sum.Watermark = t.chunk.Watermark
	t.sum.Open = len(t.chunk.Open)
	t.sum.Held = t.count(ledger.Held)
	return t.sum
}

func (t *tick) count(p ledger.Phase) (n int) {
	for _, w := range t.windows {
		if w.Phase() == p {
			n++
		}
	}
	return n
}

// paused says whether nothing new may start now. What runs is followed to its end.
func (t *tick) paused() bool {
	if t.operatorPause() || t.draining() || t.halted() {
		return true
	}
	return t.pausedByHours()
}

// importsPaused says whether no import may be posted now. A drain ends what is open, so it posts.
func (t *tick) importsPaused() bool {
	switch {
	case t.operatorPause():
		return true
	case t.draining():
		return false
	case t.halted():
		return true
	}
	return !t.Settings.ContinueLastImportDuringPause && t.pausedByHours()
}

// pausedByHours says whether AZURE_PauseDm pauses the migration now.
func (t *tick) pausedByHours() bool {
	paused, until := t.Settings.Paused(t.Clock())
	if paused {
		t.sum.Waiting = "paused until " + ledger.FormatInstant(until)
	}
	return paused
}

// hasTime says whether a call that starts now can end within the tick's budget.
func (t *tick) hasTime(ctx context.Context) bool {
	deadline, bounded := ctx.Deadline()
	return ctx.Err() == nil && (!bounded || time.Until(deadline) >= t.callTime)
}

// afterEffect is a context for the save that records an effect: it outlives the tick's budget, or the effect would be
// forgotten.
func afterEffect(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), saveTime)
}

// updateChunk applies change to the chunk row and saves it. When the row was changed meanwhile (by the other timer, or by
// our own save whose reply was lost) it is read again and change decides anew; it returns false where there is nothing
// (left) to do.
func (t *tick) updateChunk(ctx context.Context, change func(ledger.Chunk) (ledger.Chunk, bool)) (bool, error) {
	return ledger.Again(ctx, func() (bool, error) {
		next, ok := change(t.chunk)
		if !ok {
			return false, nil
		}
		saved, err := t.Ledger.SaveChunk(ctx, next)
		if errors.Is(err, ledger.ErrConflict) {
			if read, readErr := t.Ledger.Chunk(ctx); readErr == nil {
				t.chunk = read
			} else {
				err = readErr
			}
		}
		if err != nil {
			return false, err
		}
		if !saved.Watermark.Equal(t.chunk.Watermark) {
			t.Log.Info("migrated till", "event", "ImportTill", "till", ledger.FormatInstant(saved.Watermark), "openWindows", len(saved.Open), "Till", ledger.FormatInstant(saved.Watermark))
		}
		t.chunk = saved
		return true, nil
	})
}

// closeDone takes every window that is done off the chunk row.
func (t *tick) closeDone(ctx context.Context) error {
	var errs []error
	for _, w := range t.windows {
		if w.Phase() != ledger.Done {
			continue
		}
		closed, err := t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) {
			next, ok, err := c.Close(w)
			return next, ok && err == nil
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", w.Name(), err))
			continue
		}
		if closed {
			t.sum.Closed++
			t.Log.Info("window closed", "event", "Import", "window", w.Number, "since", ledger.FormatInstant(w.Since), "till", ledger.FormatInstant(w.Till),
				"exported", w.ExportedLines(), "imported", w.Imported(), "refused", w.RefusedCount)
		}
	}
	t.windows = slices.DeleteFunc(t.windows, func(w ledger.Window) bool {
		return w.Phase() == ledger.Done && !t.chunk.Lists(w.Number)
	})
	return errors.Join(errs...)
}

// save saves next, what a move made of was. It returns the row as it now is in the ledger as far as this tick knows: next
// when it was saved, else was. A conflict is no error: another tick owns the row now, or the save was ours and its reply was
// lost; either way the next tick reads what is there.
func (t *tick) save(ctx context.Context, was, next ledger.Window, moveErr error) (_ ledger.Window, saved bool, _ error) {
	if moveErr != nil {
		return was, false, moveErr
	}
	ctx, cancel := afterEffect(ctx)
	defer cancel()
	t.noteAttempt(was, next)
	next, err := t.Ledger.SaveWindow(ctx, next)
	if errors.Is(err, ledger.ErrConflict) {
		t.Log.Info("the row was changed meanwhile; left for the next tick", "window", was.Number)
		return was, false, nil
	}
	if err != nil {
		return was, false, err
	}
	if next.Phase() == ledger.Held && was.Phase() != ledger.Held {
		t.Log.Error("window held: it waits for an operator, others go on", "event", "Held", "window", next.Number, "reason", next.HeldReason)
	}
	return next, true, nil
}
