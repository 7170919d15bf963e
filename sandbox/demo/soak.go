package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"fhirmigration/sandbox/progress"

	"golang.org/x/sync/errgroup"
)

// SoakOptions say how long the app is mistreated, and what chance begins with.
type SoakOptions struct {
	// Duration is for how long faults are injected and the handler is killed. The round that is under way then ends in peace.
	Duration time.Duration
	// Seed decides the data, the kills and the faults of the first round; each further round has the next one. When which call is hit
	// also depends on how quick the machine is.
	Seed uint64
	// Resources is how many synthetic resources a round migrates.
	Resources int
	// Root is the folder of the function app.
	Root string

	Out   io.Writer
	Clock func() time.Time
}

// soakPace makes jobs so short that a round takes well under a minute.
const soakPace = 0.15

// Soak migrates again and again, each time between new services, while services fail in every way there is, replies of storage get lost and
// the handler is killed every few seconds. An operator releases what is held, accepts findings and has refused lines posted again. Each
// round must end with every version at the destination, or an exception for it; the first that does not ends the soak with an error.
func Soak(ctx context.Context, o SoakOptions) error {
	deadline := o.Clock().Add(o.Duration)
	done := tally{}
	for round := 0; round == 0 || o.Clock().Before(deadline); round++ {
		seed := o.Seed + uint64(round)
		t, err := o.round(ctx, seed, deadline)
		done.add(t)
		if err != nil {
			return fmt.Errorf("round %d, seed %d: %w", round+1, seed, err)
		}
		fmt.Fprintf(o.Out, "Round %d, seed %d: %s.\n", round+1, seed, t)
	}
	fmt.Fprintf(o.Out, "In %s, beginning with seed %d: %s. Everything is at the destination, or listed as an exception.\n", o.Duration, o.Seed, done)
	return nil
}

// tally counts what was done in a soak, by what it was.
type tally map[string]int

func (t tally) add(other tally) {
	for what, n := range other {
		t[what] += n
	}
}

// String is a list, in order.
func (t tally) String() string {
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(t)) {
		if t[what] > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", progress.Thousands(int64(t[what])), what))
		}
	}
	return strings.Join(parts, ", ")
}

// soak is one round.
type soak struct {
	*platform
	seed uint64
	out  io.Writer

	mu   sync.Mutex
	done tally
}

func (s *soak) did(what string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done[what] += n
}

// round is one migration from beginning to end.
func (o SoakOptions) round(ctx context.Context, seed uint64, deadline time.Time) (_ tally, err error) {
	settings := map[string]string{
		"AZURE_MaxExportRetries": "4", "AZURE_ExportDeadlineMinutes": "1", "AZURE_ImportDeadlineMinutes": "1", "AZURE_StuckAfterMinutes": "1",
		"AZURE_FileCount": "3", "AZURE_ExportChunkTime": "25", "AZURE_MaxExceptionsPerWindow": "10000",
	}
	var lossy *lossyStorage
	harsh := mode{about: "everything, while everything fails", settings: settings, prepare: func(_ context.Context, p *platform, _ span) (err error) {
		lossy, err = newLossyStorage(p.storage, seed)
		if err == nil {
			settings["AZURE_StorageConnectionString"] = lossy.connectionString
		}
		return err
	}}
	demo := Options{Resources: o.Resources, Seed: seed, Pace: soakPace, Root: o.Root, Out: io.Discard, Clock: o.Clock, own: &harsh}
	if err := demo.checkApp(); err != nil {
		return nil, err
	}
	span := newSpan(o.Clock())
	versions, err := demo.data(span)
	if err != nil {
		return nil, err
	}
	versions = append(versions, spoiled(span)...)
	p, err := startPlatform(ctx, demo, span, versions)
	s := &soak{platform: p, seed: seed, out: o.Out, done: tally{"versions": len(versions)}}
	defer func() {
		if p.log != nil && err != nil {
			fmt.Fprintf(o.Out, "The log of host and handler: %s\n", p.log.Name())
		} else {
			err = demo.keepLog(ctx, p, err)
		}
		if lossy != nil {
			lossy.close()
		}
	}()
	if err != nil {
		return s.done, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	versions = p.source.Versions()
	if err = s.mistreat(ctx, o.Clock, deadline, span, lossy); err == nil {
		err = s.settle(ctx, versions)
	}
	s.did("replies of storage lost", int(lossy.lost.Load()))
	kills, restarts := p.app.counts()
	s.did("kills", kills)
	s.did("restarts of the host", restarts)
	return s.done, err
}

// mistreat lets the migration run to its end, with kills and faults until the deadline.
func (s *soak) mistreat(ctx context.Context, clock func() time.Time, deadline time.Time, span span, lossy *lossyStorage) error {
	ending, end := context.WithCancel(ctx)
	defer end()
	group, running := errgroup.WithContext(ending)
	quiet := func(string) {}
	group.Go(func() error { return s.app.watch(running, true, quiet) })
	group.Go(func() error {
		harsh, peace := context.WithTimeout(running, deadline.Sub(clock()))
		defer peace()
		hits, hitting := errgroup.WithContext(harsh)
		hits.Go(func() error { return s.app.harass(hitting, s.seed, quiet) })
		hits.Go(func() error { return s.injectFaults(hitting) })
		err := hits.Wait()
		s.source.ClearFaults()
		s.destination.ClearFaults()
		lossy.loseNothing()
		return err
	})
	group.Go(func() error { return s.operate(running) })
	group.Go(func() error {
		defer end()
		_, err := s.follow(running, clock, span.end)
		return err
	})
	err := group.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// soakStall is after how long without any movement a round counts as stalled: a stuck job is noticed after a minute, and
// a window that failed four times in a row is waited for as long.
const soakStall = 4 * time.Minute

// follow waits until the migration is finished. Held windows are the operator's business.
func (s *soak) follow(ctx context.Context, clock func() time.Time, end time.Time) (progress.Progress, error) {
	var latest progress.Progress
	moved := clock()
	for {
		p, err := s.ledger.Read(ctx)
		if err != nil {
			return p, err
		}
		if p.Moved(latest) {
			latest, moved = p, clock()
		}
		switch {
		case p.Finished(end):
			s.did("windows", p.Done)
			return p, nil
		case clock().Sub(moved) > soakStall:
			return p, fmt.Errorf("nothing moved for %s: %s", soakStall, standing(p))
		}
		select {
		case <-ctx.Done():
			return p, ctx.Err()
		case <-time.After(lookEvery):
		}
	}
}
