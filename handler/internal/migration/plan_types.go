package migration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/settings"
)

// planNextByType is planNext in type mode: a stretch of time, the global window, is planned one type after the other, and its types
// and its end stay as they are until the last of them is planned.
func (t *tick) planNextByType(ctx context.Context, limit time.Time, final bool) (moved bool, err error) {
	if t.chunk.ExportOnly {
		if back, err := t.returned(ctx); back || err != nil {
			return back, err
		}
		return false, errNotByType
	}
	if !t.chunk.Types.UnderWay() {
		return t.beginTypes(ctx, limit, final)
	}
	if moved, err := t.passTypes(ctx); moved || err != nil {
		return moved, err
	}
	st := stretch{t.chunk.Position(), t.chunk.Types.Till}
	if till, ok := t.openAt(st.Position); ok { // under way already, by what was there when the migration was taken over
		return t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) { return c.Jump(st.Position, till, c.JobID) })
	}
	if st.At.IsZero() {
		return t.findBeginning(ctx, st)
	}
	till := st.At.Add(t.Settings.ChunkLength()) // a type that joined late has more than one
	if till.After(st.limit) {
		till = st.limit
	}
	return t.planStretch(ctx, st, till)
}

// errNotByType: 144 exports of every stretch of time, each of nothing twice, would never come to an end.
var errNotByType = errors.New("the source is retired: what there is of each type can be neither searched for nor counted, so it cannot be migrated type by type; set AZURE_IsParallel=true, which exports all types, and accept it (POST /api/AcceptSettings)")

// leaveTypes goes over from planning by type to planning all types together.
func (t *tick) leaveTypes(ctx context.Context) error {
	if !t.chunk.ByType() {
		return nil
	}
	every, err := t.everyType(ctx)
	if err != nil {
		return fmt.Errorf("find out which types there are: %w", err)
	}
	stood, missing := t.chunk.PlannedTill, len(t.chunk.NotPlanned(every))
	left, err := t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) { return c.LeaveTypes(every, t.earliestStart()) })
	if left && t.chunk.PlannedTill.Before(stood) {
		t.Log.Warn("all types are planned from the beginning: some were not, by type; what was migrated of the others is migrated once more", "event", "Export",
			"types", missing, "from", ledger.FormatInstant(t.chunk.PlannedTill), "plannedTill", ledger.FormatInstant(stood))
	}
	return err
}

// errOtherTypes: types that the original did not have would be taken for migrated up to where it stood.
func errOtherTypes(why string) error {
	return fmt.Errorf("nothing is taken over: AZURE_ResourceTypes is not the list of types of the original: %s; set AZURE_ResourceTypes to the original's list (unset, if that had none, or more than its own 144: it adds to them what is set); types can be changed, and accepted (POST /api/AcceptSettings), once it is taken over", why)
}

// errByType: what its list of types left out would be taken for migrated.
var errByType = errors.New("nothing is taken over: the original went type by type, and with AZURE_IsParallel=true all types would count as migrated up to where it stood; set AZURE_IsParallel=false, and AZURE_ResourceTypes to the original's list (unset, if that had none); the mode can be changed, and accepted (POST /api/AcceptSettings), once it is taken over")

// openAt is how far an open window of a position's type reaches beyond it.
func (t *tick) openAt(at ledger.Position) (till time.Time, ok bool) {
	for _, w := range t.windows {
		if w.ResourceType == at.Type && !w.Since.After(at.At) && w.Till.After(at.At) {
			return w.Till, true
		}
	}
	return time.Time{}, false
}

// beginTypes begins the next global window, or jumps a stretch in which no type has anything.
func (t *tick) beginTypes(ctx context.Context, limit time.Time, final bool) (moved bool, err error) {
	if why := t.chunk.OtherTypes(t.Settings.Types(), len(t.Settings.ResourceTypes) == 0); why != "" {
		return false, t.shown(errOtherTypes(why))
	}
	adopted, err := t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) { return c.AdoptTypes(t.Settings.Types(), nil) })
	if adopted || err != nil {
		return adopted, err
	}
	till, ok := t.chunkTill(limit, final)
	if !ok {
		if found, err := t.adopt(ctx, t.chunk.JobID); found || err != nil || !final {
			return found, err
		}
	}
	types, err := t.types(ctx)
	if err != nil {
		return false, fmt.Errorf("find out which types there are: %w", err)
	}
	original := min(len(t.Settings.Types()), len(types))
	if !ok { // the range run is planned to its end: no other global window comes in which types could join
		joined, err := t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) { return c.JoinTypes(types, original) })
		if joined {
			t.Log.Info("types join after the end of the range run", "event", "Export", "till", ledger.FormatInstant(t.chunk.PlannedTill), "types", len(t.chunk.Ahead()))
		}
		return joined, err
	}
	if len(t.chunk.Joined(types, original)) == 0 {
		if empty, err := t.empty(ctx, "", fhir.Period{Since: t.chunk.PlannedTill, Till: till}); empty && err == nil {
			return t.jump(ctx, stretch{t.chunk.Position(), limit}, till)
		}
	}
	begun, err := t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) { return c.BeginTypes(types, original, till) })
	if begun {
		t.Log.Info("global window begun", "event", "Export", "since", ledger.FormatInstant(t.chunk.PlannedTill), "till", ledger.FormatInstant(till), "types", len(types))
	}
	return begun, err
}

// types are the types to plan: ResourceTypes, or the durable original's list and then what the source's CapabilityStatement lists beyond it. A type
// that was planned once stays.
func (t *tick) types(ctx context.Context) ([]string, error) {
	if len(t.Settings.ResourceTypes) > 0 {
		return t.Settings.Types(), nil
	}
	return t.everyType(ctx)
}

// everyType is types without ResourceTypes.
func (t *tick) everyType(ctx context.Context) ([]string, error) {
	types := settings.OriginalTypes()
	said, err := t.Source.Capability(ctx)
	if err != nil {
		return nil, err
	}
	for _, further := range append(slices.Clone(t.chunk.Types.Types), said.Types...) {
		if further != searchParameterType && !slices.Contains(types, further) {
			types = append(types, further)
		}
	}
	return types, nil
}

// empty says whether there is nothing of a type in p: it counts 0, and a search that is exhausted finds nothing.
func (t *tick) empty(ctx context.Context, typ string, p fhir.Period) (bool, error) {
	n, err := t.countWindow(ctx, typ, p)
	if err != nil || n > 0 {
		return false, err
	}
	_, found, err := t.first(ctx, typ, p)
	return !found && err == nil, err
}

// passTypes passes over the type at hand and those behind it, as far as they have nothing in the global window. Whatever cannot be
// counted ends it, and is planned by itself.
func (t *tick) passTypes(ctx context.Context) (moved bool, err error) {
	from, number := t.chunk.Position(), t.chunk.JobID
	ahead, passed := t.chunk.Ahead(), 0
	for passed < len(ahead) && t.hasTime(ctx) {
		together := ahead[passed:min(len(ahead), passed+sideBySide)] // most of the 144 types are empty at most sources
		empty := t.emptyTypes(ctx, together)
		if passed += empty; empty < len(together) {
			break
		}
	}
	if passed == 0 {
		return false, nil
	}
	if found, err := t.adopt(ctx, number); found || err != nil {
		return found, err
	}
	moved, err = t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) { return c.PassTypes(from, passed, number) })
	if moved {
		t.Log.Info("types without anything passed over", "event", "Export", "from", from.Type, "types", passed, "till", ledger.FormatInstant(t.chunk.Types.Till))
	}
	return moved, err
}

// emptyTypes is how many of the first of them have nothing. What was seen to hold something is not asked again in this tick.
func (t *tick) emptyTypes(ctx context.Context, at []ledger.Position) (n int) {
	till := t.chunk.Types.Till
	if !t.looked.till.Equal(till) {
		t.looked = look{till: till, empty: map[string]bool{}}
	}
	unknown := slices.DeleteFunc(slices.Clone(at), func(p ledger.Position) bool {
		_, known := t.looked.empty[p.Type]
		return known
	})
	var mu sync.Mutex // from here on until they have all answered, around t.looked.empty
	g := errgroup.Group{}
	for _, p := range unknown {
		g.Go(func() error {
			empty, err := t.empty(ctx, p.Type, fhir.Period{Since: t.beginning(p), Till: till})
			if kindOf(err) == fhir.NotFound && t.unsupported(ctx, p.Type) {
				empty, err = true, nil
			}
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				t.looked.empty[p.Type] = empty
			}
			return nil
		})
	}
	g.Wait()
	for n < len(at) && t.looked.empty[at[n].Type] {
		n++
	}
	return n
}

// look is what a tick has seen of the types of the global window that ends at till: which have something.
type look struct {
	till  time.Time
	empty map[string]bool
}

// unsupported says whether the source knows no such type: it answers 404 and does not list it.
func (t *tick) unsupported(ctx context.Context, typ string) bool {
	said, err := t.Source.Capability(ctx)
	return err == nil && len(said.Types) > 0 && !slices.Contains(said.Types, typ)
}

// beginning is where a position begins: one without a time begins where the migration may begin.
func (t *tick) beginning(p ledger.Position) time.Time {
	if p.At.IsZero() {
		return t.Settings.StartDate
	}
	return p.At
}

// earliestStart is where a type begins of which the beginning cannot be found out.
func (t *tick) earliestStart() time.Time {
	if !t.Settings.StartDate.IsZero() {
		return t.Settings.StartDate
	}
	return firstInstant
}

// findBeginning moves the position of a type that joined late to the first thing of it that there is.
func (t *tick) findBeginning(ctx context.Context, st stretch) (moved bool, err error) {
	at, found, err := t.first(ctx, st.Type, fhir.Period{Since: t.beginning(st.Position), Till: st.limit})
	if err != nil {
		return t.planUncounted(ctx, st, err)
	}
	if !found { // although it was counted
		at = t.earliestStart()
	}
	at = at.Truncate(time.Millisecond)
	moved, err = t.updateChunk(ctx, func(c ledger.Chunk) (ledger.Chunk, bool) { return c.Jump(st.Position, at, c.JobID) })
	if moved {
		t.Log.Info("a type joins: it is migrated from its beginning on", "event", "Export", "type", st.Type, "since", ledger.FormatInstant(at))
	}
	return moved, err
}
