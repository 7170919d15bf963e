package verify

import (
	"slices"
	"time"

	"fhirmigration/handler/internal/fhir"
)

// task says what a unit is about.
type task string

// The tasks. Short, because a cursor lives in one string of a row.
const (
	taskPlan    task = "plan"    // counts all types, and decides what there is to do
	taskCount   task = "count"   // SurfaceCheck: one type
	taskLocate  task = "locate"  // SurfaceCheck: one type that differs, by window
	taskSlice   task = "slice"   // a type and a stretch of time, on both sides
	taskSample  task = "sample"  // a sample of a type
	taskTail    task = "tail"    // what is at the destination from Till on
	taskChanged task = "changed" // what happened at the source from Till on
	taskWindow  task = "window"  // the manifest of a window
	taskFiles   task = "files"   // exported files [From, To) of a window
	taskPick    task = "pick"    // a sample of one type from the exported files of a window
	taskExtras  task = "extras"  // what the destination has beyond a window's files

	taskSearches task = "searches" // searches by custom search parameters, Line of them done
)

// unit is a part of a run that is done as a whole or done again.
type unit struct {
	Task   task   `json:"k"`
	Type   string `json:"t,omitempty"`
	Since  int64  `json:"s,omitempty"` // Unix milliseconds; 0: open
	Till   int64  `json:"e,omitempty"`
	Window int    `json:"w,omitempty"`
	From   int    `json:"a,omitempty"`
	To     int    `json:"b,omitempty"`
	Line   int64  `json:"l,omitempty"` // lines of the file From that are done; for a pick, lines of the type in windows before
	Tries  int    `json:"n,omitempty"`
	Size   int64  `json:"z,omitempty"` // how many resources it is about, 0 when that is not known
}

func (u unit) period() fhir.Period {
	return fhir.Period{Since: fromMilliseconds(u.Since), Till: fromMilliseconds(u.Till)}
}

func (u unit) last() bool { return u.Tries+1 >= maxTries }

// mayLeave is how many units may have to be done in its place, at most.
func (u unit) mayLeave() int {
	switch {
	case u.Task == taskSample:
		return stretches / 2
	case u.Task == taskSlice && (u.Size == 0 || u.Size > sliceSize):
		return 4 * maxPieces
	case u.Task == taskFiles && u.To-u.From > 1, u.Task == taskWindow:
		return filePieces
	case u.Task == taskExtras && u.Type == "":
		return extrasAtATime + 1
	case u.Task == taskExtras:
		return maxPieces
	}
	return 0
}

// maxUnits is for how many units the cursor, which is one string of a row, has room beside the rest of it.
const maxUnits = 200

// crowded says whether the next unit has to wait until others are done, because what all of them leave might be too much for the row.
func (c *cursor) crowded(r Request, underWay map[int]unit) bool {
	if len(underWay) == 0 { // one has to go on: it goes depth first
		return false
	}
	probe := *c
	next, ok := probe.next(r, false)
	leaves := next.mayLeave()
	if !ok || leaves == 0 {
		return false
	}
	units := len(probe.Units) + len(underWay) + leaves
	for _, u := range underWay {
		units += u.mayLeave()
	}
	return units > maxUnits
}

func fromMilliseconds(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func toMilliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// quota is how many of how many resources of a type are in the sample.
type quota struct {
	Take int64 `json:"k"`
	Of   int64 `json:"n"`
}

// cursor is what is left to do. Types and windows become units when their turn comes, so that it stays short; the units of a slice that
// is cut go first, for the same reason.
type cursor struct {
	Types  []string         `json:"types,omitempty"` // not begun
	Units  []unit           `json:"units,omitempty"` // under way when it was saved, or waiting
	Sizes  map[string]int64 `json:"sizes,omitempty"` // of types, as far as they are known
	Quotas map[string]quota `json:"quotas,omitempty"`
	// Window is the next window of a pass over the windows and one more (the original counted them from 0), 0 when there is no pass to make;
	// Extras is the same for the second pass.
	Window int              `json:"window,omitempty"`
	Extras int              `json:"extras,omitempty"`
	Before map[string]int64 `json:"before,omitempty"` // lines of a type in the windows before Window
}

// next takes the next unit off the cursor; idle says that nothing is under way.
func (c *cursor) next(r Request, idle bool) (u unit, ok bool) {
	switch {
	case len(c.Units) > 0:
		u = c.Units[0]
		c.Units = c.Units[1:]
		return u, true
	case len(c.Types) > 0:
		u = c.begin(c.Types[0], r)
		c.Types = c.Types[1:]
		return u, true
	case c.Window > 0 && c.Window <= r.Plan.Windows && (c.Quotas == nil || idle): // a sample counts lines through all windows, one after the other
		c.Window++
		return unit{Task: taskWindow, Window: c.Window - 2}, true
	case c.Extras > 0 && c.Extras <= r.Plan.Windows && (c.Extras > 1 || idle):
		c.Extras++
		return unit{Task: taskExtras, Window: c.Extras - 2}, true
	}
	return unit{}, false
}

func (c *cursor) begin(typ string, r Request) unit {
	if r.Kind == Surface {
		return unit{Task: taskCount, Type: typ}
	}
	u := unit{Task: taskSlice, Type: typ, Since: toMilliseconds(r.Since), Till: toMilliseconds(r.Till), Size: c.Sizes[typ]}
	if q, sampled := c.Quotas[typ]; sampled && q.Take < q.Of {
		u.Task = taskSample
	}
	return u
}

// with is the cursor to save while units are under way.
func (c cursor) with(underWay []unit) cursor {
	c.Units = slices.Concat(underWay, c.Units)
	return c
}
