package ledger

import (
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
	next := TypePlan{Types: slices.Clone(types), Original: original, Before: len(types), Till: till.UTC()}
	if joined := c.Joined(types, original); len(joined) > 0 {
		next.Types = slices.DeleteFunc(next.Types, func(t string) bool { return slices.Contains(joined, t) })
		next.Before = len(next.Types)
		next.Types = append(next.Types, joined...)
		next.Mixed = !slices.Equal(next.Types[:original], types[:original])
	}
	c.Types = next
	return c.forOriginal(), true
}

// Joined are those of types that the last global window did not have; where the durable original planned that one, it had its own list, the
// first original of types. Before the very first there are none: it begins at the beginning.
func (c Chunk) Joined(types []string, original int) (joined []string) {
	before := c.Types.Types
	if len(before) == 0 {
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

// AdoptTypes takes over where the durable original stood within its list of types. reached says how far types are exported beyond
// PlannedTill. ok is false when there is nothing to take over.
func (c Chunk) AdoptTypes(types []string, reached map[string]time.Time) (_ Chunk, ok bool) {
	o := c.Original
	if c.Foreign || len(c.Types.Types) > 0 || o.Till.IsZero() || !o.Till.After(c.PlannedTill) || o.Index < 0 || o.Index >= len(types) {
		return c, false
	}
	c.Types = TypePlan{Types: slices.Clone(types), Original: len(types), Before: len(types), Till: o.Till, Index: o.Index, Reached: reached}
	if o.Multi != "" && o.SubSince.After(c.PlannedTill) && o.SubSince.Before(o.Till) {
		c.Types.From = o.SubSince
	}
	if at := c.Position().At; !at.Before(o.Till) {
		return c.plannedTo(at), true
	}
	return c.forOriginal(), true
}

// LeaveTypes forgets where planning by type stood: all types are planned together from PlannedTill on. ok is false when nothing was planned by type.
func (c Chunk) LeaveTypes() (_ Chunk, ok bool) {
	if len(c.Types.Types) == 0 {
		return c, false
	}
	c.Types, c.Original = TypePlan{}, OriginalPlan{Types: c.Original.Types}
	c.CountTries, c.NotBefore = 0, time.Time{}
	return c, true
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
