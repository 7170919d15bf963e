package migration

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/staging"
	"fhirmigration/sandbox/fhirservice"
)

// halfDone is an original that was stopped with everything to do that a takeover has: a closed window that hides a payload that was never posted,
// one that is half imported, and the time behind both.
func halfDone(t *testing.T) *original {
	t.Helper()
	o := newOriginal(t, rigOptions{})
	j := o.exported(0, 0, 10)
	first := o.post(j, 1)
	o.payloadRow(j, 2, map[string]any{"IsImportRunning": "failed", "IsProcessed": true})
	for name, v := range map[string]any{"IsImportRunning": "Completed", "IsImportComplete": true, "importContentLocation": first, "ImportNo": payloadName(1),
		"IsProcessed": true, "CompletedCount": 2, "TotalImportResourceCount": o.imported(first)} {
		j.row[name] = v
	}
	o.save(j)
	o.posted(o.exported(1, 10, 20), 1)
	o.chunkRow(2, day(10), nil)
	return o
}

// checkHalfDone looks at the end of it: nothing but what lay behind was exported, and no import made twice.
func (o *original) checkHalfDone(before int) {
	o.t.Helper()
	o.wantEqual()
	if got := fmt.Sprint(o.exportedAfter(before)); got != "[2024-01-21/2024-01-31 2024-01-31/2024-02-10]" {
		o.t.Errorf("exported after the takeover: %s", got)
	}
	if n := o.importJobs(); n != 2+2+2 {
		o.t.Errorf("%d imports, want two for each window of the original and one for each that comes after", n)
	}
	if c := o.chunk(); c.Takeover.Repairs != 1 || c.Takeover.Open != 1 || c.Totals.Windows != 4 {
		o.t.Errorf("chunk row at the end: %+v, %+v", c.Takeover, c.Totals)
	}
}

var errDead = errors.New("dead")

// dying makes the handler's ledger and blobs die at write number n of both, before it or after, and counts the writes of one that lives.
func (o *original) dying(n int64, after bool) *atomic.Int64 {
	var writes atomic.Int64
	var mu sync.Mutex
	dead := false
	at := func(isWrite bool, do func() error) error {
		mu.Lock()
		defer mu.Unlock()
		if dead {
			return errDead
		}
		if !isWrite || writes.Add(1) != n {
			return do()
		}
		dead = true
		if after {
			if err := do(); err != nil {
				o.t.Error(err)
			}
		}
		return errDead
	}
	o.Ledger = o.Ledger.Gated(func(_ context.Context, c ledger.Call, do func() error) error { return at(c.Writes(), do) })
	o.Staging = o.Staging.Gated(func(_ context.Context, c staging.Call, do func() error) error { return at(c.Writes(), do) })
	return &writes
}

// A takeover dies at its writes, before or after it, and another handler goes on: it ends as one that did not. It is a sample, every third write, as
// what the original left is written with the storage's own clients, and so the storage emulator is needed.
func TestTakeOverDies(t *testing.T) {
	t.Parallel()
	const ticks = 2 // the survey, the adoption and the repair are in the first ticks
	whole := halfDone(t)
	before, writes := len(whole.exportCalls()), whole.dying(-1, false)
	for range ticks {
		whole.tick()
	}
	last := writes.Load()
	whole.Migration = whole.handler()
	whole.run(originalEnd)
	whole.checkHalfDone(before)
	if last < 6 {
		t.Fatalf("%d writes in %d ticks: the test shows nothing", last, ticks)
	}
	for n := int64(1); n <= last; n += 3 { // an odd step: each second one dies after its write
		t.Run(fmt.Sprintf("write %d of %d", n, last), func(t *testing.T) {
			t.Parallel()
			o := halfDone(t)
			before := len(o.exportCalls())
			o.dying(n, n%2 == 0)
			for range ticks { // the errors are those of a handler that is dead
				o.ExportStep(t.Context())
				o.ImportStep(t.Context())
				o.clock.Advance(o.Settings.ClaimTime() + 1)
			}
			o.Migration = o.handler()
			o.run(originalEnd)
			o.wantEqual()
			if c := o.chunk(); c.Takeover.Repairs != 1 || c.Takeover.Open > 1 || c.Totals.Windows < 4-1 {
				t.Errorf("chunk row at the end: %+v, %+v", c.Takeover, c.Totals)
			}
			for _, window := range o.exportedAfter(before) {
				if window < "2024-01-21" {
					t.Errorf("%s was exported again", window)
				}
			}
		})
	}
}

// Two handlers take over at once, and go on side by side.
func TestTwoHandlersTakeOver(t *testing.T) {
	t.Parallel()
	o := halfDone(t)
	before := len(o.exportCalls())
	other := o.handler()
	for range 60 {
		var both sync.WaitGroup
		for _, m := range []*Migration{o.Migration, other} {
			both.Go(func() {
				if _, err := m.ExportStep(t.Context()); err != nil {
					t.Errorf("export step: %v", err)
				}
				if _, err := m.ImportStep(t.Context()); err != nil {
					t.Errorf("import step: %v", err)
				}
			})
		}
		both.Wait()
		o.clock.Advance(o.Settings.PollInterval() + 1)
		if c := o.chunk(); c.Watermark.Equal(originalEnd) && len(c.Open) == 0 {
			break
		}
	}
	o.checkHalfDone(before)
	if n := o.calls(o.source, fhirservice.Export); n != before+2 {
		t.Errorf("%d exports", n-before)
	}
}
