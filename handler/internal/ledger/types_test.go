package ledger

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// typed is a plan under way of three types, [day 0, day 10), where one of them is not the original's.
func typed(t *testing.T) Chunk {
	t.Helper()
	c, ok := NewChunk(t0).BeginTypes([]string{"A", "B", "X"}, 2, tenth)
	if !ok {
		t.Fatal("not begun")
	}
	return c
}

var tenth = t0.AddDate(0, 0, 10)

// A global window is planned type by type: plannedTill and the watermark stay until the last one is planned, and the columns of the original
// say what it would do next.
func TestTypePlan(t *testing.T) {
	t.Parallel()
	fifth, twelfth := t0.AddDate(0, 0, 5), t0.AddDate(0, 0, 12)
	c := typed(t)
	step := func(what string, next Chunk, ok bool) {
		t.Helper()
		if !ok {
			t.Fatalf("%s: not possible", what)
		}
		c = next
	}
	want := func(what string, at Position, planned, watermark time.Time, o OriginalPlan) {
		t.Helper()
		if !c.Position().Is(at) || !c.PlannedTill.Equal(planned) || !c.Watermark.Equal(watermark) {
			t.Errorf("%s: position %v, planned till %s, watermark %s", what, c.Position(), c.PlannedTill, c.Watermark)
		}
		if diff := cmp.Diff(o, c.Original); diff != "" {
			t.Errorf("%s: the original's columns (-want +got):\n%s", what, diff)
		}
	}
	want("begun", Position{"A", t0}, t0, t0, OriginalPlan{Since: t0, Till: tenth, Types: 2})
	next, ok := c.List(NewWindow(1, t0, fifth).OfType("A"))
	step("a part of A", next, ok)
	want("a part of A", Position{"A", fifth}, t0, t0, OriginalPlan{Since: t0, Till: tenth, Types: 2, Multi: "Running", SubSince: fifth, SubTill: tenth})
	next, ok = c.List(NewWindow(2, t0, tenth).OfType("B"))
	step("a row of another type", next, ok)
	want("a row of another type moves nothing", Position{"A", fifth}, t0, t0, c.Original)
	next, ok = c.List(NewWindow(3, t0.AddDate(0, 0, 2), fifth).OfType("A"))
	step("half of a window", next, ok)
	want("half of a window moves nothing", Position{"A", fifth}, t0, t0, c.Original)
	if _, ok := c.Jump(Position{"B", fifth}, tenth, 4); ok {
		t.Error("a jump from where planning is not")
	}
	if _, ok := c.Jump(c.Position(), tenth, 3); ok {
		t.Error("a jump although a window was listed meanwhile")
	}
	next, ok = c.Jump(c.Position(), tenth, 4)
	step("the rest of A", next, ok)
	want("the rest of A", Position{"B", t0}, t0, t0, OriginalPlan{Since: t0, Till: tenth, Types: 2, Index: 1})
	if _, ok := c.PassTypes(c.Position(), 3, 4); ok {
		t.Error("more types are passed over than there are")
	}
	next, ok = c.PassTypes(c.Position(), 1, 4)
	step("nothing of B", next, ok)
	want("the original's types are planned: its next global window", Position{"X", t0}, t0, t0, OriginalPlan{Since: tenth, Types: 2})
	next, ok = c.List(NewWindow(4, t0, tenth).OfType("X"))
	step("X", next, ok)
	want("all planned", Position{"", tenth}, tenth, t0, OriginalPlan{Since: tenth, Types: 2})
	if next, ok = c.List(NewWindow(5, t0, twelfth).OfType("A")); !ok || !next.PlannedTill.Equal(tenth) {
		t.Error("a row of one type moves what is planned of all")
	}
	next, ok = c.BeginTypes([]string{"A", "B", "X", "Y"}, 2, twelfth)
	step("the next one", next, ok)
	ahead := []Position{{"A", tenth}, {"B", tenth}, {"X", tenth}, {"Y", time.Time{}}}
	if got := c.Ahead(); !slices.EqualFunc(got, ahead, Position.Is) {
		t.Errorf("ahead %v, want %v: what joins begins at the beginning", got, ahead)
	}
	if _, ok := c.BeginTypes([]string{"A"}, 1, twelfth.AddDate(0, 0, 1)); ok {
		t.Error("begun while one is under way")
	}
}

// A list in another order than the original's leaves the original to plan the whole global window again.
func TestTypesInAnotherOrder(t *testing.T) {
	t.Parallel()
	c := typed(t)
	c, _ = c.PassTypes(c.Position(), 3, 1)
	c, ok := c.BeginTypes([]string{"A", "C", "B"}, 3, tenth.AddDate(0, 0, 10))
	if want := []string{"A", "B", "C"}; !ok || !slices.Equal(c.Types.Types, want) {
		t.Errorf("types %v, want %v", c.Types.Types, want)
	}
	c, _ = c.PassTypes(c.Position(), 2, 1)
	if want := (OriginalPlan{Since: tenth, Types: 3}); c.Original != want {
		t.Errorf("the original's columns are %+v, want %+v", c.Original, want)
	}
}

func TestAdoptTypes(t *testing.T) {
	t.Parallel()
	types := []string{"A", "B", "C"}
	fifth := t0.AddDate(0, 0, 5)
	for name, c := range map[string]struct {
		original OriginalPlan
		want     Position
	}{
		"at the first type":        {OriginalPlan{Since: t0, Till: tenth}, Position{"A", t0}},
		"at a type":                {OriginalPlan{Since: t0, Till: tenth, Index: 2}, Position{"C", t0}},
		"in the middle of a type":  {OriginalPlan{Since: t0, Till: tenth, Index: 1, Multi: "Running", SubSince: fifth, SubTill: tenth}, Position{"B", fifth}},
		"in the first part of one": {OriginalPlan{Since: t0, Till: tenth, Index: 1, Multi: "Running", SubSince: t0, SubTill: fifth}, Position{"B", t0}},
		"between two":              {OriginalPlan{Since: t0}, Position{"", t0}},
		"with a shorter list":      {OriginalPlan{Since: t0, Till: tenth, Index: 3}, Position{"", t0}},
		"long ago":                 {OriginalPlan{Since: t0, Till: t0.AddDate(0, 0, -1), Index: 1}, Position{"", t0}},
	} {
		chunk := NewChunk(t0)
		chunk.Original = c.original
		next, ok := chunk.AdoptTypes(types, nil)
		if got := next.Position(); !got.Is(c.want) || ok != (c.want.Type != "") {
			t.Errorf("%s: %v %v, want %v", name, ok, got, c.want)
		}
		if _, ok := next.AdoptTypes(types, nil); ok && c.want.Type != "" {
			t.Errorf("%s: taken over twice", name)
		}
	}
	// What the original has migrated before without them, begins for the others at the beginning.
	chunk := NewChunk(t0)
	chunk.Original = OriginalPlan{Since: t0}
	if got := chunk.Joined([]string{"A", "B", "X"}, 2); !slices.Equal(got, []string{"X"}) {
		t.Errorf("joined: %v", got)
	}
}

func TestLeaveTypes(t *testing.T) {
	t.Parallel()
	c := typed(t)
	c, _ = c.PassTypes(c.Position(), 1, 1)
	c, ok := c.LeaveTypes([]string{"A", "B"}, t0)
	if !ok || !c.Position().Is(Position{"", t0}) || c.Original.Till != (time.Time{}) {
		t.Errorf("%v, %v, %+v", ok, c.Position(), c.Original)
	}
	if _, ok := c.LeaveTypes([]string{"A", "B"}, t0); ok {
		t.Error("left twice")
	}
}

// Types that were exported before the takeover are passed over with those that nothing is found of, and no type besides.
func TestPassTypesThatWereExportedBefore(t *testing.T) {
	t.Parallel()
	c := NewChunk(t0)
	c.Original = OriginalPlan{Since: t0, Till: tenth, Types: 5}
	c, ok := c.AdoptTypes([]string{"A", "B", "C", "D", "E"}, map[string]time.Time{"B": tenth, "D": tenth})
	if !ok {
		t.Fatal("not taken over")
	}
	for count, want := range map[int]Position{1: {"C", t0}, 2: {"C", t0}, 3: {"E", t0}, 4: {"E", t0}, 5: {"", tenth}} {
		next, ok := c.PassTypes(c.Position(), count, 1)
		if got := next.Position(); !ok || !got.Is(want) {
			t.Errorf("%d passed over: %v %v, want %v", count, ok, got, want)
		}
	}
}

// From some types to all: those that were not planned from their beginning take planning back there.
func TestLeaveTypesThatWereNotPlanned(t *testing.T) {
	t.Parallel()
	c, start := typed(t), t0.AddDate(-1, 0, 0)
	c, _ = c.PassTypes(c.Position(), 3, 1)
	c, _ = c.BeginTypes([]string{"A", "B", "X", "Y"}, 2, tenth.AddDate(0, 0, 10))
	if left, ok := c.LeaveTypes([]string{"A", "X"}, start); !ok || !left.PlannedTill.Equal(tenth) {
		t.Errorf("all were planned: %v, from %s", ok, left.PlannedTill)
	}
	for _, missing := range []string{"Y", "Z"} { // one that joins, and one that was never there
		if left, ok := c.LeaveTypes([]string{"A", missing}, start); !ok || !left.PlannedTill.Equal(start) || !left.Watermark.Equal(start) {
			t.Errorf("%s was not planned: %v, from %s, watermark %s", missing, ok, left.PlannedTill, left.Watermark)
		}
	}
}

// Where no global window comes any more, types that join get one of their own, of no length: they are planned from the very beginning, the others not once
// more, and the durable original has nothing to plan in it.
func TestTypesJoinAfterTheLastGlobalWindow(t *testing.T) {
	t.Parallel()
	c := typed(t)
	c, ok := c.PassTypes(c.Position(), 3, 1)
	if !ok || c.Types.UnderWay() {
		t.Fatalf("not planned to the end: %+v", c.Types)
	}
	if _, ok := c.JoinTypes([]string{"X", "B", "A"}, 2); ok {
		t.Error("a global window of no length, and no type joins")
	}
	c, ok = c.JoinTypes([]string{"A", "Y", "B", "X", "Z"}, 4)
	if !ok {
		t.Fatal("not begun")
	}
	if got, want := c.Ahead(), []Position{{Type: "Y"}, {Type: "Z"}}; !slices.EqualFunc(got, want, Position.Is) {
		t.Errorf("ahead %v, want %v", got, want)
	}
	if diff := cmp.Diff(OriginalPlan{Since: tenth, Types: 4}, c.Original); diff != "" {
		t.Errorf("the original's columns (-want +got):\n%s", diff)
	}
	if _, ok := c.JoinTypes([]string{"A", "Y", "B", "X", "Z", "V"}, 4); ok {
		t.Error("begun anew while it is under way")
	}
	c, ok = c.List(NewWindow(1, t0, tenth).OfType("Y")) // a row of a type that is at hand, but does not cover its beginning
	if !ok || c.Position().Type != "Y" {
		t.Fatalf("position %v", c.Position())
	}
	c, _ = c.Jump(c.Position(), t0, 2)
	c, _ = c.List(NewWindow(2, t0, tenth).OfType("Y"))
	c, ok = c.PassTypes(c.Position(), 1, 3)
	if !ok || c.Types.UnderWay() || !c.PlannedTill.Equal(tenth) || !c.Watermark.Equal(t0) {
		t.Errorf("planned till %s, watermark %s, %+v", c.PlannedTill, c.Watermark, c.Types)
	}
	if joined := c.Joined([]string{"A", "Y", "B", "X", "Z"}, 4); len(joined) > 0 {
		t.Errorf("joins once more: %v", joined)
	}
}
