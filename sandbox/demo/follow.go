package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"fhirmigration/sandbox/progress"

	"golang.org/x/sync/errgroup"
)

const (
	// lookEvery is the time between two looks at the tables.
	lookEvery = 500 * time.Millisecond
	// heldLimit is after how long windows that are all held count as the end of it.
	heldLimit = 5 * time.Second
	// stallLimit is after how long without any movement the demo gives up: twice as long as a claim can last.
	stallLimit = 90 * time.Second
)

// migrate shows the migration until it is finished, and plays chaos meanwhile if that is wanted.
func (p *platform) migrate(ctx context.Context, o Options, s span) (progress.Progress, error) {
	display := o.display()
	ending, end := context.WithCancel(ctx)
	defer end()
	group, running := errgroup.WithContext(ending)
	group.Go(func() error { return p.app.watch(running, o.Chaos, display.Say) })
	if o.Chaos {
		group.Go(func() error { return p.app.harass(running, o.Seed, display.Say) })
	}
	if o.Screenshot != "" {
		group.Go(func() error { return p.screenshot(running, o.Screenshot) })
	}
	var last progress.Progress
	group.Go(func() error {
		defer end()
		w := watcher{clock: o.Clock, end: s.end}
		var err error
		last, err = w.follow(running, p.ledger, display)
		return err
	})
	err := group.Wait()
	display.Close(err == nil)
	if ctx.Err() != nil {
		return last, ctx.Err()
	}
	return last, err
}

func (o Options) display() progress.Display {
	if o.Terminal {
		return progress.NewBars(o.Out, o.Clock)
	}
	return progress.NewLines(o.Out, o.Clock, 3*time.Second)
}

// reader is where progress is read from.
type reader interface {
	Read(context.Context) (progress.Progress, error)
}

// follow shows progress until the migration is finished. It returns an error when windows are held and nothing else is
// left, and when nothing moves any more.
func (w *watcher) follow(ctx context.Context, from reader, display progress.Display) (progress.Progress, error) {
	looks := time.NewTicker(lookEvery)
	defer looks.Stop()
	for {
		p, err := from.Read(ctx)
		if err != nil {
			return p, err
		}
		display.Show(p, p.Expected(w.end, windowLength))
		if finished, err := w.judge(p); finished || err != nil {
			return p, err
		}
		select {
		case <-ctx.Done():
			return p, ctx.Err()
		case <-looks.C:
		}
	}
}

// watcher tells a migration that moves from one that does not.
type watcher struct {
	clock func() time.Time
	end   time.Time // where the range run ends

	latest progress.Progress
	moved  time.Time // when it last moved; zero before the first look
}

// judge says whether the migration is finished, or will never be.
func (w *watcher) judge(p progress.Progress) (finished bool, err error) {
	now := w.clock()
	if w.moved.IsZero() || p.Moved(w.latest) {
		w.latest, w.moved = p, now
	}
	still, held := now.Sub(w.moved), p.Held()
	switch {
	case p.Finished(w.end):
		return true, nil
	case len(held) > 0 && len(held) == len(p.Open) && still >= heldLimit:
		return false, errors.New("windows are held, and nothing else is left to do:\n" + strings.Join(held, "\n"))
	case still >= stallLimit:
		return false, fmt.Errorf("nothing moved for %s: %s", stallLimit, standing(p))
	}
	return false, nil
}

// standing is where a migration stands, for an error.
func standing(p progress.Progress) string {
	if p.PlannedTill.IsZero() {
		return "no window was planned: the handler may have refused its settings, see the log"
	}
	lines := []string{fmt.Sprintf("planned till %s, %d of %d windows done", p.PlannedTill.Format(time.RFC3339), p.Done, p.Listed)}
	for _, w := range p.Open {
		line := fmt.Sprintf("%s: export %q, import %q", w.Name(), w.ExportRunning, w.ImportRunning)
		if w.Held != "" {
			line += ", held: " + w.Held
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
