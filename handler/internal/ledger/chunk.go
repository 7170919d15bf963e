package ledger

import (
	"fmt"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// Chunk is the one row of the table "chunk": what is planned, what is open, and how far everything is migrated. Fields
// are read freely and changed by its moves alone, which keep these in step:
//
//   - PlannedTill: up to here every instant is covered by a window or was found empty.
//   - Open: every window that was listed and is not closed yet.
//   - Watermark: the smallest Since in Open and Repairs, else PlannedTill. Behind it everything is migrated. It may step back over
//     empty time, and for a type that joins late, so nothing may rely on its never doing so.
//   - Types: which types of the time behind PlannedTill are planned already, where planning goes type by type.
type Chunk struct {
	JobID       int // the number that the next window row gets; a lower number has been listed, or is no window
	PlannedTill time.Time
	Open        []OpenWindow
	Watermark   time.Time // the original's "since"
	Totals      Totals
	Pinned      map[string]string // settings that must not change half-way, as the first window found them
	CountTries  int               // counts of the stretch behind PlannedTill in a row that could not be had
	NotBefore   time.Time         // planning asks the source for nothing before
	ExportOnly  bool              // the source is retired and answers exports alone
	LastExport  Pace              // with ExportOnly: of the window before PlannedTill, once that is closed
	Types       TypePlan
	Given       GivenTypes // of a migration that was given back, until a global window is begun again

	Foreign  bool       // the row is the original's: what it left open was not read yet, and all of the above but JobID and Watermark says nothing
	Repairs  repairList // windows that the original closed and that hide something: they are opened again as there is room, the oldest first
	Takeover TakenOver  // what was found when the migration was taken over

	FailedTicks int // ticks in a row in which an attempt failed and nothing succeeded: the original's maxExportRetries

	// Columns of the original that are carried along for it.
	ImportID, SurfaceJobID, DeepJobID int
	Original                          OriginalPlan // derived from Types

	SearchParameterMigration bool // custom search parameters are copied
	SearchParametersReady    bool // and the destination is reindexed: their own row need not be read any more

	etag azcore.ETag
	kept properties
}

// OpenWindow is an entry of the column openWindows.
type OpenWindow struct {
	Number int       `json:"number"`
	Since  time.Time `json:"since"`
}

// Totals are sums over the windows closed, and over them exactly. Lines leave SearchParameter out.
type Totals struct {
	Windows  int64 `json:"windows"`
	Exported int64 `json:"exported"`
	Imported int64 `json:"imported"`
	Refused  int64 `json:"refused"`
}

// NewChunk is the row of a migration that starts at start.
func NewChunk(start time.Time) Chunk {
	return Chunk{JobID: 1, PlannedTill: start}.watermarked()
}

// Begin sets where a migration starts on a row that does not say so yet. ok is false when it does, and when the row is the original's.
func (c Chunk) Begin(start time.Time) (_ Chunk, ok bool) {
	if c.Foreign || !c.PlannedTill.IsZero() {
		return c, false
	}
	c.PlannedTill = start
	return c.watermarked(), true
}

// Pin notes the settings that must not change half-way. ok is false when they are noted.
func (c Chunk) Pin(pinned map[string]string) (_ Chunk, ok bool) {
	if len(c.Pinned) > 0 {
		return c, false
	}
	c.Pinned = pinned
	return c, true
}

// Lists says whether window number is open.
func (c Chunk) Lists(number int) bool {
	return slices.ContainsFunc(c.Open, func(o OpenWindow) bool { return o.Number == number })
}

// Pending says whether window number is open, or is to be opened again.
func (c Chunk) Pending(number int) bool {
	return c.Lists(number) || slices.ContainsFunc(c.Repairs, func(o OpenWindow) bool { return o.Number == number })
}

// List puts a window among the open ones; planning and splitting both do it with this. ok is false when there is nothing
// to save: a number below JobID was listed once and is never listed again, whatever became of it, and a row that was given back to
// the original takes no window, as its watermark would pass over what was given back.
func (c Chunk) List(w Window) (_ Chunk, ok bool) {
	if c.Foreign || w.Number < c.JobID {
		return c, false
	}
	c.JobID = w.Number + 1
	// Never back: an adopted row may lie before the position, or be of another type.
	if p := c.Position(); w.ResourceType == p.Type && w.Till.After(p.At) {
		switch {
		case !c.Types.UnderWay():
			c.PlannedTill = w.Till
		case !w.Since.After(p.At):
			c = c.plannedTo(w.Till)
		}
	}
	c.Open = append(slices.Clone(c.Open), OpenWindow{Number: w.Number, Since: w.Since})
	c.CountTries, c.NotBefore = 0, time.Time{}
	return c.forOriginal().watermarked(), true
}

// Skip passes over a number whose row is no window.
func (c Chunk) Skip(number int) (_ Chunk, ok bool) {
	if number < c.JobID {
		return c, false
	}
	c.JobID = number + 1
	return c, true
}

// Close takes a done window off the open ones and adds its numbers. ok is false when it is not listed: somebody closed it.
func (c Chunk) Close(w Window) (_ Chunk, ok bool, err error) {
	if w.Phase() != Done {
		return c, false, w.illegal("closing")
	}
	if !c.Lists(w.Number) {
		return c, false, nil
	}
	c.Open = slices.DeleteFunc(slices.Clone(c.Open), func(o OpenWindow) bool { return o.Number == w.Number })
	c.Totals.Windows++
	c.Totals.Exported += w.ExportedLines()
	c.Totals.Imported += w.Imported()
	c.Totals.Refused += w.RefusedCount
	return c.paced(w).watermarked(), true, nil
}

// Jump moves the position from over time that was found empty. ok is false when the plan moved meanwhile.
func (c Chunk) Jump(from Position, to time.Time, number int) (_ Chunk, ok bool) {
	if !c.Position().Is(from) || c.JobID != number || !to.After(from.At) {
		return c, false
	}
	if c.Types.UnderWay() {
		c = c.plannedTo(to)
	} else {
		c.PlannedTill = to.UTC().Truncate(time.Millisecond)
	}
	c.CountTries, c.NotBefore = 0, time.Time{}
	return c.forOriginal().watermarked(), true
}

// CountMissing notes that the stretch behind the position could not be counted; it is not asked again before notBefore.
func (c Chunk) CountMissing(from Position, notBefore time.Time) (_ Chunk, ok bool) {
	if !c.Position().Is(from) {
		return c, false
	}
	c.CountTries++
	c.NotBefore = notBefore
	return c, true
}

// AnonymizationPin is the name under which the version of the de-identification configuration, its ETag, is pinned with the settings.
const AnonymizationPin = "ETag of ConfigFile"

// PinnedDifference names the settings that differ from those of the first window, "" when none does.
func (c Chunk) PinnedDifference(now map[string]string) string {
	var diff []string
	for name, was := range c.Pinned {
		if is, there := now[name]; there && is != was {
			diff = append(diff, fmt.Sprintf("%s was %q and is %q", name, was, is))
		}
	}
	slices.Sort(diff)
	text := ""
	for i, d := range diff {
		if i > 0 {
			text += "; "
		}
		text += d
	}
	return text
}

// Repin notes the settings as they are now in the place of those of the first window: an operator has accepted the difference. ok is
// false when there is none.
func (c Chunk) Repin(now map[string]string) (_ Chunk, ok bool) {
	if c.PinnedDifference(now) == "" {
		return c, false
	}
	if c.Pinned["SourceUri"] != now["SourceUri"] { // what is known of the source is known of another one
		c.ExportOnly, c.LastExport = false, Pace{}
	}
	c.Pinned = now
	return c, true
}

func (c Chunk) watermarked() Chunk {
	c.Watermark = c.PlannedTill
	for _, open := range [][]OpenWindow{c.Open, c.Repairs} {
		for _, o := range open {
			if o.Since.Before(c.Watermark) {
				c.Watermark = o.Since
			}
		}
	}
	return c
}

func (c *Chunk) row() row { return row{c.columns(), &c.etag, &c.kept} }

func (c *Chunk) columns() []column {
	return []column{
		int32Column("JobId", &c.JobID), int32Column("ImportId", &c.ImportID),
		int32Column("SurfaceJobId", &c.SurfaceJobID), int32Column("DeepJobId", &c.DeepJobID),
		instantColumn("since", &c.Watermark), instantColumn("plannedTill", &c.PlannedTill),
		jsonColumn("openWindows", &c.Open, func(o []OpenWindow) bool { return len(o) == 0 }),
		jsonColumn("totals", &c.Totals, func(t Totals) bool { return t == Totals{} }),
		jsonColumn("pinned", &c.Pinned, func(m map[string]string) bool { return len(m) == 0 }),
		int32Column("maxExportRetries", &c.FailedTicks),
		jsonColumn("repairs", &c.Repairs, func(r repairList) bool { return len(r) == 0 }),
		jsonColumn("takenOver", &c.Takeover, func(t TakenOver) bool { return t == TakenOver{} }),
		boolColumn("SearchParameterMigration", &c.SearchParameterMigration), boolColumn("searchParametersReady", &c.SearchParametersReady),
		int32Column("countTries", &c.CountTries), timeColumn("planNotBefore", &c.NotBefore),
		boolColumn("exportOnly", &c.ExportOnly), jsonColumn("lastExport", &c.LastExport, func(p Pace) bool { return p == Pace{} }),
		jsonColumn("planningTypes", &c.Types, func(p TypePlan) bool { return len(p.Types) == 0 }), int32Column("planningType", &c.Types.Index),
		jsonColumn("givenTypes", &c.Given, func(g GivenTypes) bool { return !g.any() }),
		instantColumn("globalSinceExportType", &c.Original.Since), instantColumn("globalTillExportType", &c.Original.Till),
		instantColumn("subSinceExportType", &c.Original.SubSince), instantColumn("subTillExportType", &c.Original.SubTill),
		textColumn("multiExport", &c.Original.Multi),
		int32Column("noOfResources", &c.Original.Types), int32Column("resourceTypeIndex", &c.Original.Index),
	}
}
