package ledger

import (
	"slices"
	"strings"
	"testing"
)

// lookState makes an exported window whose look is in a state, by the moves that lead there.
func lookState(t *testing.T, s PreflightState) Window {
	t.Helper()
	w := inPhase(t, Exported)
	steps := []struct {
		leads PreflightState
		move  func(Window) (Window, error)
	}{
		{PreflightLooking, func(w Window) (Window, error) { return w.LookStarted([]int{1, 0}) }},
		{PreflightFound, func(w Window) (Window, error) { return w.LookHeld("look at it", now) }},
		{PreflightAccepted, func(w Window) (Window, error) { return w.FindingsAccepted(anAction, now) }},
		{PreflightClean, func(w Window) (Window, error) { return w.LinesLeftOut() }},
	}
	for i := 0; w.Preflight.State != s; i++ {
		var err error
		if w, err = steps[i].move(w); err != nil || w.Preflight.State != steps[i].leads {
			t.Fatalf("%q: %v", w.Preflight.State, err)
		}
	}
	return w
}

// Findings belong to the hold that told of them: released without being accepted they are void, whatever holds the window later.
func TestFindingsAreVoidAfterARelease(t *testing.T) {
	t.Parallel()
	w := inPhase(t, Exported)
	for _, step := range []func() (Window, error){
		func() (Window, error) { return w.LookStarted([]int{0}) },
		func() (Window, error) { return w.LookHeld("1 line overflows", now) },
		func() (Window, error) { return w.Released(anAction, now) },
		func() (Window, error) { return w.ImportStarted(0, "http://d/1", "1", now, now) },
		func() (Window, error) { return w.ImportDone(0, w.Payloads[0].Lines, 0) },
		func() (Window, error) { return w.ImportStarted(1, "http://d/2", "2", now, now) },
		func() (Window, error) { return w.ImportFailed(1, "no", now, now, 1) },
	} {
		var err error
		if w, err = step(); err != nil {
			t.Fatal(err)
		}
	}
	if w.Phase() != Held || w.Preflight.State != PreflightNone {
		t.Errorf("%s, its preflight is %q", w.Phase(), w.Preflight.State)
	}
	if next, err := w.FindingsAccepted(anAction, now); err == nil {
		t.Errorf("held for %q, its old findings are accepted: %+v", w.HeldReason, next.Preflight)
	}
}

// Leaving lines out posts anew what was not posted, and nothing else: a payload that is complete has its lines at the destination.
func TestLinesLeftOutLeavesWhatWasPosted(t *testing.T) {
	t.Parallel()
	w := lookState(t, PreflightAccepted)
	w.Payloads[0].State, w.Payloads[0].Imported = Complete, w.Payloads[0].Lines
	next, err := w.LinesLeftOut()
	if err != nil || next.Payloads[0].State != Complete || next.Payloads[0].Imported != w.Payloads[0].Lines || next.Payloads[1].Post == w.Payloads[1].Post {
		t.Errorf("%+v, %v", next.Payloads, err)
	}
}

// Every move of a look, and where it leads from which state. What is not listed is refused, and so is every one in other phases.
func TestMovesOfALook(t *testing.T) {
	t.Parallel()
	states := []PreflightState{PreflightNone, PreflightLooking, PreflightFound, PreflightAccepted, PreflightClean}
	for _, m := range []struct {
		name string
		move func(Window) (Window, error)
		to   map[PreflightState]PreflightState
	}{
		{"start", func(w Window) (Window, error) { return w.LookStarted([]int{0}) },
			map[PreflightState]PreflightState{PreflightNone: PreflightLooking, PreflightLooking: PreflightLooking, PreflightClean: PreflightLooking}},
		{"start, no such payload", func(w Window) (Window, error) { return w.LookStarted([]int{2}) }, nil},
		{"end", func(w Window) (Window, error) { return w.LookEnded("told", now) }, map[PreflightState]PreflightState{PreflightLooking: PreflightClean}},
		{"hold", func(w Window) (Window, error) { return w.LookHeld("why", now) }, map[PreflightState]PreflightState{PreflightLooking: PreflightFound}},
		{"hold for too many", func(w Window) (Window, error) { return w.LookTooMany("why", now) }, map[PreflightState]PreflightState{PreflightLooking: PreflightNone}},
		{"accept", func(w Window) (Window, error) { return w.FindingsAccepted(anAction, now) }, map[PreflightState]PreflightState{PreflightFound: PreflightAccepted}},
		{"write", func(w Window) (Window, error) { return w.FilesWritten(1) }, map[PreflightState]PreflightState{PreflightAccepted: PreflightAccepted}},
		{"leave out", func(w Window) (Window, error) { return w.LinesLeftOut() }, map[PreflightState]PreflightState{PreflightAccepted: PreflightClean}},
	} {
		for _, from := range states {
			next, err := m.move(lookState(t, from))
			if want, legal := m.to[from]; legal != (err == nil) || legal && next.Preflight.State != want {
				t.Errorf("%s while %q: %q, %v", m.name, from, next.Preflight.State, err)
			}
		}
		for _, p := range []Phase{Planned, Exporting, Splitting, Done} {
			if _, err := m.move(inPhase(t, p)); err == nil {
				t.Errorf("%s while it is %s is accepted", m.name, p)
			}
		}
	}
}

func TestALookKeepsPayloadsFromBeingPosted(t *testing.T) {
	t.Parallel()
	may := func(w Window) []bool { return []bool{w.MayPost(0), w.MayPost(1)} }
	w, err := inPhase(t, Exported).LookStarted([]int{1})
	if err != nil || !slices.Equal(may(w), []bool{true, false}) {
		t.Fatalf("%v %v", may(w), err)
	}
	if w, err = w.LookStarted([]int{0}); err != nil || w.Preflight.Look != 2 || !slices.Equal(w.Preflight.Payloads, []int{0, 1}) || w.Looked(0) {
		t.Errorf("a second payload joins the look: %+v, %v", w.Preflight, err)
	}
	accepted := lookState(t, PreflightAccepted)
	if !slices.Equal(may(accepted), []bool{false, false}) || accepted.Phase() != Exported || accepted.Preflight.By != "dr. who" ||
		!strings.Contains(accepted.AttemptLog[len(accepted.AttemptLog)-1].What, "accepted") {
		t.Errorf("accepted: %+v, %v", accepted.Preflight, may(accepted))
	}
	clean := lookState(t, PreflightClean)
	if !slices.Equal(may(clean), []bool{true, true}) || !clean.Looked(0) || !slices.Equal(clean.Preflight.Applied, []int{1}) {
		t.Errorf("clean: %+v", clean.Preflight)
	}
	for i, p := range clean.Payloads { // the files are others now, so the bodies are
		if p.Post == accepted.Payloads[i].Post || p.Blob == "" || p.Lines != accepted.Payloads[i].Lines {
			t.Errorf("payload %d: %+v", i+1, p)
		}
	}
	again, err := clean.FilesGone("404", now, now, 5)
	if err != nil || again.Preflight.State != PreflightNone || again.Preflight.Applied != nil {
		t.Errorf("exported again: %+v, %v", again.Preflight, err)
	}
	if _, err := inPhase(t, Importing).LookStarted([]int{0}); err == nil {
		t.Error("the files of a payload whose job runs are looked at")
	}
}
