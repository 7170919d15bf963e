package ledger

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// Checks is the row of counters of the checks, in the table "chunk" under <RowKey>-checks. It is a row of its own so that a check never contends with the
// migration for the chunk row.
type Checks struct {
	SurfaceJobID, DeepJobID int // the numbers that the next result rows get; they continue the original's
	NextRun                 int
	OpenRuns                []int
	LastSurface, LastDeep   int // the runs started last, 0 for none

	etag azcore.ETag
	kept properties
}

func (c *Checks) row() row { return row{c.columns(), &c.etag, &c.kept} }

func (c *Checks) columns() []column {
	return []column{
		int32Column("SurfaceJobId", &c.SurfaceJobID), int32Column("DeepJobId", &c.DeepJobID), int32Column("NextRun", &c.NextRun),
		jsonColumn("OpenRuns", &c.OpenRuns, func(n []int) bool { return len(n) == 0 }),
		int32Column("LastSurface", &c.LastSurface), int32Column("LastDeep", &c.LastDeep),
	}
}

// Open lists a run that was inserted. ok is false when it is listed.
func (c Checks) Open(r Run) (_ Checks, ok bool) {
	if slices.Contains(c.OpenRuns, r.Number) {
		return c, false
	}
	c.NextRun = max(c.NextRun, r.Number+1)
	c.OpenRuns = append(slices.Clone(c.OpenRuns), r.Number)
	if r.Kind == "surface" {
		c.LastSurface = max(c.LastSurface, r.Number)
	} else {
		c.LastDeep = max(c.LastDeep, r.Number)
	}
	return c, true
}

// Close takes a run that has ended off the open ones. ok is false when it is not among them.
func (c Checks) Close(number int) (_ Checks, ok bool) {
	if !slices.Contains(c.OpenRuns, number) {
		return c, false
	}
	c.OpenRuns = slices.DeleteFunc(slices.Clone(c.OpenRuns), func(n int) bool { return n == number })
	return c, true
}

func (l *Ledger) checksKey() string { return l.rowKey + "-checks" }

// Checks reads the counters. Before the first check they are those of the original's chunk row, or begin at 1.
func (l *Ledger) Checks(ctx context.Context) (Checks, error) {
	var c Checks
	err := l.readRow(ctx, l.chunk, l.checksKey(), c.row())
	if errors.Is(err, ErrNotFound) {
		return l.firstChecks(ctx)
	}
	return c, err
}

func (l *Ledger) firstChecks(ctx context.Context) (Checks, error) {
	chunk, err := l.Chunk(ctx)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Checks{}, err
	}
	return Checks{SurfaceJobID: max(chunk.SurfaceJobID, 1), DeepJobID: max(chunk.DeepJobID, 1), NextRun: 1}, nil
}

// SaveChecks saves the counters as they were read, the first time by inserting their row. ErrConflict: read them again and decide anew.
func (l *Ledger) SaveChecks(ctx context.Context, c Checks) (Checks, error) {
	err := l.saveRow(ctx, l.chunk, l.checksKey(), c.row())
	return c, err
}

// CheckResult is a row of the original's kind for one result of a check. SurfaceCheck sets the counts, DeepCheck the id.
type CheckResult struct {
	Resource                      string
	ID                            string
	SourceCount, DestinationCount string
	Result                        string // Pass, Fail, or NotVerifiable
	Detail                        string // what differs, a column of our own
}

// InsertCheckResult inserts a result under key and number. A row that is there already is left as it is: it is our own, from before a crash.
func (l *Ledger) InsertCheckResult(ctx context.Context, key string, number int, r CheckResult) error {
	p := properties{"Resource": r.Resource, "Result": r.Result}
	for name, text := range map[string]string{"id": r.ID, "SourceCount": r.SourceCount, "DestinationCount": r.DestinationCount, "Detail": r.Detail} {
		if text != "" {
			p[name] = cutText(text)
		}
	}
	_, err := l.export.insert(ctx, l.partition, key+strconv.Itoa(number), p)
	if errors.Is(err, ErrExists) {
		return nil
	}
	return err
}
