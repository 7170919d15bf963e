package ledger

import (
	"fmt"
	"slices"
	"time"
)

// TypePlan is where planning by type stands. A stretch of time, the global window [PlannedTill, Till), is planned type by type;
// PlannedTill stays where it is until the last of them is planned. The zero TypePlan has planned nothing by type.
type TypePlan struct {
	Types    []string  `json:"types,omitempty"`    // of the global window under way, else of the last one
	Original int       `json:"original,omitempty"` // so many are the durable original's list: the first ones in its order, where resourceTypeIndex counts, unless Mixed
	Mixed    bool      `json:"mixed,omitempty"`
	Before   int       `json:"before,omitempty"` // the first so many were in every global window before: the others begin at the very beginning
	Till     time.Time `json:"till,omitzero"`    // where the global window under way ends; zero: none is
	From     time.Time `json:"from,omitzero"`    // up to here the type at hand is planned; zero: nothing of it is
	Index    int       `json:"-"`                // of the type at hand in Types; a column of its own

	// Reached is how far types were exported when the migration was taken over, those that are behind PlannedTill.
	Reached map[string]time.Time `json:"reached,omitempty"`
}

// UnderWay says whether a global window is planned in part.
func (p TypePlan) UnderWay() bool { return !p.Till.IsZero() }

// Position is where planning stands: the next window begins at At. Type is "" when all types are planned together. At is zero for
// a type that is planned from the very beginning.
type Position struct {
	Type string
	At   time.Time
}

// Is says whether both are the same position.
func (p Position) Is(o Position) bool { return p.Type == o.Type && p.At.Equal(o.At) }

// Position is where planning stands.
func (c Chunk) Position() Position {
	if !c.Types.UnderWay() {
		return Position{At: c.PlannedTill}
	}
	return c.positionOf(c.Types.Index)
}

// positionOf is where the planning of type i of the global window under way stands, or begins.
func (c Chunk) positionOf(i int) Position {
	p := Position{Type: c.Types.Types[i], At: c.PlannedTill}
	if i >= c.Types.Before {
		p.At = time.Time{}
	}
	if reached := c.Types.Reached[p.Type]; reached.After(p.At) && !p.At.IsZero() {
		p.At = reached
	}
	if i == c.Types.Index && c.Types.From.After(p.At) {
		p.At = c.Types.From
	}
	return p
}

// Ahead are the positions of the type at hand and of those after it.
func (c Chunk) Ahead() (ahead []Position) {
	if !c.Types.UnderWay() {
		return nil
	}
	for i := c.Types.Index; i < len(c.Types.Types); i++ {
		ahead = append(ahead, c.positionOf(i))
	}
	return ahead
}

// BeginTypes begins the global window [PlannedTill, till). The first original of types are the durable original's list, as it has them. Types
// that the last global window did not have are put at the end and planned from the very beginning: what they held before is migrated
// with them. ok is false when a global window is under way, or when till is not ahead.
func (c Chunk) BeginTypes(types []string, original int, till time.Time) (_ Chunk, ok bool) {
	if c.Foreign || c.Types.UnderWay() || len(types) == 0 || !till.After(c.PlannedTill) {
		return c, false
	}
	next, _ := c.globalWindow(types, original, till)
	c.Types, c.Given = next, GivenTypes{}
	return c.forOriginal(), true
}

// JoinTypes begins a global window of no length at PlannedTill, in which those of types are planned alone that the last one did not have, from the very
// beginning on: where no other comes after it, they would never be. ok is false when a global window is under way, or none of types joins.
func (c Chunk) JoinTypes(types []string, original int) (_ Chunk, ok bool) {
	if c.Foreign || c.Types.UnderWay() || c.PlannedTill.IsZero() || len(types) == 0 {
		return c, false
	}
	next, joined := c.globalWindow(types, original, c.PlannedTill)
	if !joined {
		return c, false
	}
	next.Index, next.Mixed = next.Before, true
	c.Types, c.Given = next, GivenTypes{}
	return c.forOriginal(), true
}

// globalWindow is the one that ends at till, with those of types last that join.
func (c Chunk) globalWindow(types []string, original int, till time.Time) (next TypePlan, joins bool) {
	next = TypePlan{Types: slices.Clone(types), Original: original, Before: len(types), Till: till.UTC()}
	joined := c.Joined(types, original)
	if len(joined) == 0 {
		return next, false
	}
	next.Types = slices.DeleteFunc(next.Types, func(t string) bool { return slices.Contains(joined, t) })
	next.Before = len(next.Types)
	next.Types = append(next.Types, joined...)
	next.Mixed = !slices.Equal(next.Types[:original], types[:original])
	return next, true
}

// Joined are those of types that the last global window did not have, or that a drain left without their beginning; where the durable
// original planned that window, it had its own list, the first original of types. Before the very first there are none: it begins at the beginning.
func (c Chunk) Joined(types []string, original int) (joined []string) {
	before := c.Types.Types
	if c.Given.any() {
		before = c.Given.Planned
	} else if len(before) == 0 {
		if c.Original.Since.IsZero() {
			return nil
		}
		before = types[:original]
	}
	for _, t := range types {
		if !slices.Contains(before, t) {
			joined = append(joined, t)
		}
	}
	return joined
}

// AdoptTypes takes over the global window of the durable original, in its list of types, where OtherTypes has nothing against it. reached says
// how far types are exported beyond PlannedTill. With it the original's place in its list is not needed: every type is looked at that its
// rows do not show exported, as the original passes over a type that it could not count. Without it (nil) planning goes on at that place. ok is
// false when there is nothing to take over.
func (c Chunk) AdoptTypes(types []string, reached map[string]time.Time) (_ Chunk, ok bool) {
	o := c.Original
	types = c.originalTypes(types)
	if c.Foreign || len(c.Types.Types) > 0 || o.Till.IsZero() || !o.Till.After(c.PlannedTill) {
		return c, false
	}
	next := TypePlan{Types: slices.Clone(types), Original: len(types), Before: len(types), Till: o.Till, Reached: reached}
	if reached == nil {
		if o.Index < 0 || o.Index >= len(types) {
			return c, false
		}
		next.Index = o.Index
		if o.Multi != "" && o.SubSince.After(c.PlannedTill) && o.SubSince.Before(o.Till) {
			next.From = o.SubSince
		}
	}
	c.Types = next
	if at := c.Position().At; !at.Before(o.Till) {
		return c.plannedTo(at), true
	}
	return c.forOriginal(), true
}

// KnowTypes keeps the list that the durable original planned by where no global window of it is under way: those types are planned up to PlannedTill,
// others are not. Where one is under way, that has the list.
func (c Chunk) KnowTypes(types []string) Chunk {
	if len(c.Types.Types) == 0 && !c.Given.any() && !c.Original.none() {
		c.Given = GivenTypes{List: slices.Clone(types), Planned: slices.Clone(types)}
	}
	return c
}

// AsAWhole forgets where the durable original stood type by type, when what it left is taken over as one of the whole system: see
// Survey.ByType. What a drain of ours left is kept.
func (c Chunk) AsAWhole() Chunk {
	if !c.Given.any() {
		c.Original = OriginalPlan{Types: c.Original.Types}
	}
	return c
}

// OtherTypes says why types cannot be the list that the durable original planned by: it begins with what its chunk row says. "" when they can,
// and when it planned nothing by type. A type that it did not have would otherwise count as migrated. own says that types are those that it has of
// itself: what was set was added to them, and they come first.
func (c Chunk) OtherTypes(types []string, own bool) string {
	o := c.Original
	if len(c.Types.Types) > 0 || o.none() {
		return ""
	}
	switch n := len(c.originalTypes(types)); {
	case o.Types == 0:
		return "noOfResources in the chunk row does not say how many types the original had"
	case o.Types < n, o.Types > n && !own:
		return fmt.Sprintf("the original had %d types (noOfResources in the chunk row), and there are %d", o.Types, n)
	}
	return ""
}

// OtherTypes is that of the chunk row, and then what the rows of windows say: the original exported a type that is not among types.
func (s Survey) OtherTypes(c Chunk, types []string, own bool) string {
	if why := c.OtherTypes(types, own); why != "" {
		return why
	}
	for _, t := range s.Types {
		if !slices.Contains(c.originalTypes(types), t) {
			return fmt.Sprintf("the original exported %s, which is not among them", t)
		}
	}
	return ""
}

// GivenTypes is what a drain keeps of planning by type, for when the migration is taken over again.
type GivenTypes struct {
	List    []string `json:"list,omitempty"` // of the durable original, where resourceTypeIndex counts, unless it was mixed
	Planned []string `json:"planned"`        // from their beginning on; the others join
}

func (g GivenTypes) any() bool { return len(g.List)+len(g.Planned) > 0 }

// givenTypes are those of the row as it stands. A type that is planned in part begins anew.
func (c Chunk) givenTypes() (g GivenTypes) {
	p := c.Types
	if !p.Mixed {
		g.List = slices.Clone(p.Types[:p.Original])
	}
	g.Planned = slices.Clone(c.Given.Planned)
	if c.Given.any() { // taken over, and no global window was begun since
		return g
	}
	for i, t := range p.Types {
		if i < p.Before || i < p.Index || !p.UnderWay() {
			g.Planned = append(g.Planned, t)
		}
	}
	return g
}

// originalTypes is the durable original's list: the one that a drain left, as far as the original counts in it, else types.
func (c Chunk) originalTypes(types []string) []string {
	if n := len(c.Given.List); n > 0 && n == c.Original.Types {
		return c.Given.List
	}
	return types
}

// LeaveTypes forgets where planning by type stood: all types are planned together from PlannedTill on, or, where one of every type is NotPlanned
// up to there, from start on: what was migrated of the others is migrated once more. ok is false when nothing was planned by type.
func (c Chunk) LeaveTypes(every []string, start time.Time) (_ Chunk, ok bool) {
	if c.Foreign || !c.ByType() {
		return c, false
	}
	if len(c.NotPlanned(every)) > 0 && start.Before(c.PlannedTill) {
		c.PlannedTill = start.UTC().Truncate(time.Millisecond)
	}
	c.Types, c.Given, c.Original = TypePlan{}, GivenTypes{}, OriginalPlan{Types: c.Original.Types}
	c.CountTries, c.NotBefore = 0, time.Time{}
	return c.watermarked(), true
}

// ByType says whether what lies before PlannedTill was planned by type.
func (c Chunk) ByType() bool { return len(c.Types.Types) > 0 || c.Given.any() }

// NotPlanned are those of every type of which, planning by type, not all is planned up to PlannedTill.
func (c Chunk) NotPlanned(every []string) []string {
	planned := c.givenTypes().Planned
	return slices.DeleteFunc(slices.Clone(every), func(t string) bool { return slices.Contains(planned, t) })
}

// PassTypes passes over the type at hand and those after it, count in all: from their positions on nothing was found of them. ok is
// false when the plan moved meanwhile.
func (c Chunk) PassTypes(from Position, count, number int) (_ Chunk, ok bool) {
	if !c.Types.UnderWay() || !c.Position().Is(from) || c.JobID != number || count < 1 || c.Types.Index+count > len(c.Types.Types) {
		return c, false
	}
	c.Types.Index, c.Types.From = c.Types.Index+count-1, time.Time{} // plannedTo passes over types by itself: it comes once, behind what was looked at
	c = c.plannedTo(c.Types.Till)
	c.CountTries, c.NotBefore = 0, time.Time{}
	return c.watermarked(), true
}

// plannedTo moves the position of the type at hand, and to the next type when this one is planned to the end of the global window.
func (c Chunk) plannedTo(to time.Time) Chunk {
	c.Types.From = to.UTC().Truncate(time.Millisecond)
	if to.Before(c.Types.Till) {
		return c.forOriginal()
	}
	c.Types.Index, c.Types.From = c.Types.Index+1, time.Time{}
	for c.Types.Index < len(c.Types.Types) && !c.positionOf(c.Types.Index).At.Before(c.Types.Till) { // those that were exported before
		c.Types.Index++
	}
	if c.Types.Index == len(c.Types.Types) {
		c.PlannedTill = c.Types.Till
		c.Types.Index, c.Types.Till, c.Types.Reached = 0, time.Time{}, nil
	}
	return c.forOriginal()
}

// OriginalPlan is where planning by type stands in the columns of the durable original, with its meaning: it could go on from there once
// no window is open.
type OriginalPlan struct {
	Since, Till       time.Time // the global window; Till zero: none is under way
	SubSince, SubTill time.Time // of the type at hand, once it was cut
	Multi             string    // "Running" while the type at hand is cut, else ""
	Types, Index      int       // the length of its list of types, and the place of the type at hand
}

// none says whether the original planned nothing by type.
func (o OriginalPlan) none() bool { return o.Since.IsZero() && o.Till.IsZero() }

// multiRunning is multiExport of a type that is planned in part.
const multiRunning = "Running"

// forOriginal keeps the original's columns in step. Types that it does not know come last; when its own are planned, its next global
// window begins where this one ends.
func (c Chunk) forOriginal() Chunk {
	p := c.Types
	if len(p.Types) == 0 {
		return c
	}
	o := OriginalPlan{Since: c.PlannedTill, Types: p.Original}
	switch {
	case !p.UnderWay(), p.Mixed: // the latter: it plans the whole global window again
	case p.Index >= p.Original:
		o.Since = p.Till
	default:
		o.Till, o.Index = p.Till, p.Index
		if !p.From.IsZero() {
			o.Multi, o.SubSince, o.SubTill = multiRunning, p.From, p.Till
		}
	}
	c.Original = o
	return c
}
