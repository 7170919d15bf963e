package migration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// The crash suite: a migration is struck at every single effect that it has on the world (each write of a row or a blob, each
// call to a FHIR service), in every way there is, and goes on from what is in storage. Whatever happened, it must end as the
// one that was left in peace: every version at the destination but the one that is refused, exact totals, no window open,
// one body for one attempt of an import, and no export running that nobody knows of.

// reported logs what the suite has shown, and adds it to the file that CRASH_REPORT names: go test hides the logs of what passes, and
// make test prints the file.
func reported(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Logf(format, args...)
	name := os.Getenv("CRASH_REPORT")
	if name == "" {
		return
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, t.Name()+": "+format+"\n", args...); err != nil {
		t.Error(err)
	}
}

// maxCrashTicks bounds a run: an undisturbed one needs a quarter of it.
const maxCrashTicks = 50

// peace is a migration that nobody disturbs.
type peace struct {
	order            order
	effects          []string // in their order
	ticks            int
	imports, exports int // jobs started
}

// inPeace runs a migration undisturbed. A look at what happens in it keeps the suite from showing nothing.
func (ws *worlds) inPeace(t *testing.T, o order) peace {
	t.Helper()
	w, err := ws.inMemory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer w.end()
	ticks, err := w.migrate(t.Context(), o, maxCrashTicks/2)
	if err == nil {
		err = w.check(t.Context())
	}
	if err != nil {
		t.Fatalf("left in peace: %v\n%s", err, w.log.String())
	}
	p := peace{o, w.witness.effects, ticks, w.witness.imports(), len(w.witness.started)}
	for what, is := range ws.scenario.shows {
		if !slices.ContainsFunc(p.effects, is) {
			t.Errorf("%s is missing: the scenario is not what it was: %q", what, p.effects)
		}
	}
	return p
}

// strike runs a migration in a world of its own, with one blow at its n-th effect.
func strike(t *testing.T, make func(context.Context) (*world, error), p peace, b blow, n int, others meanwhile) (ok bool) {
	t.Helper()
	w, err := make(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer w.end()
	w.plan.next = once(b, p.effects[n])
	w.plan.meanwhile = func() error { return others(t.Context(), w) }
	if err = w.endsAsInPeace(t.Context(), p); err == nil && w.plan.dealt != 1 {
		err = errors.New("the effect did not happen: nothing was tested")
	}
	if err != nil {
		t.Errorf("%s effect %d, %s: %v\n%s", b, n+1, p.effects[n], err, w.log.String())
	}
	return err == nil
}

// endsAsInPeace runs a migration and compares it with the one that nobody disturbed.
func (w *world) endsAsInPeace(ctx context.Context, p peace) error {
	if _, err := w.migrate(ctx, p.order, maxCrashTicks); err != nil {
		return err
	}
	if imports := w.witness.imports(); imports != p.imports {
		return fmt.Errorf("%d imports were started, %d when left in peace", imports, p.imports)
	}
	again := w.plan.hurt // an export is started again only for a handler that was kept from using what it had claimed
	if w.plan.frozen {
		again++
	}
	if exports := len(w.witness.started); exports > p.exports+again {
		return fmt.Errorf("%d exports were started, %d when left in peace", exports, p.exports)
	}
	return w.check(ctx)
}

// strikeEverywhere deals one blow at each effect at which it is possible and that is chosen, each in a run of its own.
func (ws *worlds) strikeEverywhere(t *testing.T, p peace, b blow, chosen func(n int) bool, runs *atomic.Int64, others meanwhile) {
	t.Parallel()
	failed := 0
	for n, effect := range p.effects {
		if !b.possible(effect) || !chosen(n) || n%crashEvery != 0 {
			continue
		}
		runs.Add(1)
		if strike(t, ws.inMemory, p, b, n, others) {
			continue
		}
		if failed++; failed == 3 {
			t.Fatal("that is enough")
		}
	}
}

// way is one of those in which a handler is struck.
type way struct {
	name   string
	b      blow
	others meanwhile
}

// crashes are the ways in which a handler dies, or misses what it did.
var crashes = []way{{string(killBefore), killBefore, nil}, {string(killAfter), killAfter, nil}, {string(loseReply), loseReply, nil},
	{string(cutReply), cutReply, nil}, {string(retryEchoed), retryEchoed, nil}, {string(timeOut), timeOut, nil}}

// interruptions are the ways in which others tick while a handler is in the middle of a step.
var interruptions = []way{
	{"paused before, an export step", pauseBefore, anotherTicks(exportStep)},
	{"paused before, an import step", pauseBefore, anotherTicks(importStep)},
	{"paused after, both", pauseAfter, anotherTicks(exportStep, importStep)},
	{"paused after, both, import step first", pauseAfter, anotherTicks(importStep, exportStep)},
	{"frozen until its claim has run out", pauseBefore, othersTakeOver},
	{"frozen until everything is migrated", pauseBefore, othersFinish},
}

// strikeEveryWay strikes at each effect in these ways, with both orders of the timers: in all of them, or in so many turns, which
// are taken one after the other from effect to effect.
func (ws *worlds) strikeEveryWay(t *testing.T, ways []way, turns int) {
	var runs atomic.Int64
	orders := []peace{ws.inPeace(t, exportFirst), ws.inPeace(t, importFirst)}
	t.Run("at", func(t *testing.T) {
		for o, p := range orders {
			for i, c := range ways {
				turn := func(n int) bool { return (n+i+o)%turns == 0 }
				t.Run(fmt.Sprintf("%s, %s", p.order, c.name), func(t *testing.T) { ws.strikeEverywhere(t, p, c.b, turn, &runs, c.others) })
			}
		}
	})
	reported(t, "struck at %d effects (%d when the import step is first) in %d ways, %d migrations in all",
		len(orders[0].effects), len(orders[1].effects), len(ways), runs.Load())
}

// T12, T29: the handler is killed before and after each effect, or a reply gets lost: entirely, in the middle, or so that the
// SDK tries again and meets its own first try; or a call does not get through. The timers fire in either order.
func TestT12CrashAtEveryEffect(t *testing.T) {
	t.Parallel()
	newWorlds(t).strikeEveryWay(t, crashes, 1)
}

// T14: while a handler is in the middle of a step, another one, or its own other timer, runs one from beginning to end; or it
// is frozen for so long that others may take over what it has claimed. The timers fire in either order.
func TestT14AnotherTicksAtEveryEffect(t *testing.T) {
	t.Parallel()
	newWorlds(t).strikeEveryWay(t, interruptions, 1)
}

// While a handler is about to start an export, another one comes upon the same window and dies, after each effect it may have.
// Then the claim that a handler finds need not be its own, nor that of somebody who is alive.
func TestAnotherDiesWhileAnExportIsStarted(t *testing.T) {
	t.Parallel()
	ws := newWorlds(t)
	p := ws.inPeace(t, exportFirst)
	const deaths = 6 // the first look at the plan and the start of an export have no more effects
	runs := 0
	for kickOff, effect := range p.effects {
		if !strings.HasPrefix(effect, "source: start export") {
			continue
		}
		for _, n := range []int{kickOff - 1, kickOff, kickOff + 1} { // the claim, the kick-off, the save of its URL
			for k := 1; k <= deaths; k += crashEvery {
				w, err := ws.inMemory(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				w.plan.next = pauseThenKill(&w.plan, p.effects[n], k)
				w.plan.meanwhile = func() error { return anotherTicks(exportStep)(t.Context(), w) }
				if err := w.endsAsInPeace(t.Context(), p); err != nil {
					t.Fatalf("paused before effect %d, %s, while another one dies after %d effects: %v\n%s", n+1, p.effects[n], k, err, w.log.String())
				}
				w.end()
				runs++
			}
		}
	}
	reported(t, "another handler died while an export was started: %d migrations", runs)
}

// pauseThenKill pauses a handler before an effect, and lets who ticks meanwhile die after k effects.
func pauseThenKill(p *plan, at string, k int) func(string) blow {
	pause, others := once(pauseBefore, at), 0
	return func(effect string) blow {
		if !p.paused {
			return pause(effect)
		}
		if others++; others == k {
			return killAfter
		}
		return noBlow
	}
}

// Blows at random, many in one migration: what one leaves behind meets the next.
func TestBlowsAtRandom(t *testing.T) {
	t.Parallel()
	ws := newWorlds(t)
	p := ws.inPeace(t, exportFirst)
	blows := []blow{killBefore, killAfter, loseReply, cutReply, retryEchoed, timeOut, pauseBefore, pauseAfter}
	dealt := 0
	for seed := range uint64(100 / crashEvery) {
		w, err := ws.inMemory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		chance := rand.New(rand.NewPCG(seed, 0))
		w.plan.next = func(effect string) blow {
			b := blows[chance.IntN(len(blows))]
			nested := w.plan.paused && (b == pauseBefore || b == pauseAfter)
			if chance.IntN(15) > 0 || nested || !b.possible(effect) || w.plan.dealt > 40 {
				return noBlow
			}
			return b
		}
		w.plan.meanwhile = func() error { return anotherTicks(exportStep, importStep)(t.Context(), w) }
		_, err = w.migrate(t.Context(), order(seed%2 == 1), 4*maxCrashTicks)
		if err == nil {
			err = w.check(t.Context())
		}
		if err != nil {
			t.Errorf("seed %d: %v\n%s", seed, err, w.log.String())
		}
		dealt += w.plan.dealt
		w.end()
	}
	reported(t, "%d blows at random in %d migrations of %d effects each", dealt, 100/crashEvery, len(p.effects))
}
