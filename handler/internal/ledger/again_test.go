package ledger

import (
	"context"
	"errors"
	"sync"
	"testing"
)

// Eight who change one row at the same time, each many times, all get their turns.
func TestAgainGivesEverybodyATurn(t *testing.T) {
	t.Parallel()
	onEachWithTables(t, func(t *testing.T, l *Ledger) {
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for range 15 {
					_, err := Again(t.Context(), func() (Checks, error) {
						c, err := l.Checks(t.Context())
						if err != nil {
							return c, err
						}
						c.NextRun++
						return l.SaveChecks(t.Context(), c)
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		group.Wait()
		if c, err := l.Checks(t.Context()); err != nil || c.NextRun != 1+8*15 {
			t.Errorf("%d after 120 turns: %v", c.NextRun, err)
		}
	})
}

func TestAgainEnds(t *testing.T) {
	t.Parallel()
	broken := errors.New("the disk is full")
	tries := 0
	_, err := Again(t.Context(), func() (int, error) { tries++; return 0, broken })
	if !errors.Is(err, broken) || tries != 1 {
		t.Errorf("%d tries: %v", tries, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	tries = 0
	_, err = Again(ctx, func() (int, error) {
		if tries++; tries == 3 {
			cancel()
		}
		return 0, ErrConflict
	})
	if !errors.Is(err, context.Canceled) || tries != 3 {
		t.Errorf("%d tries: %v", tries, err)
	}
}
