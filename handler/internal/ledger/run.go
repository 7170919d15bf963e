package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// RunState says where a run of a check stands.
type RunState string

// The states of a run.
const (
	RunRunning   RunState = "running"
	RunDone      RunState = "done"
	RunCancelled RunState = "cancelled"
	RunFailed    RunState = "failed" // it cannot go on; Reason says why
)

// Run is one run of a check, in a row of its own in the table "export": a cursor that is advanced step by step, and what was counted so far. What the JSON
// columns mean is the check's business.
type Run struct {
	Number    int    // row number: the row key is <RowKey>-run-<number>
	Kind      string // "surface" or "deep"
	State     RunState
	Reason    string
	Seed      int64
	Request   json.RawMessage // what was asked for; never changes
	Cursor    json.RawMessage // what is left to do
	Result    json.RawMessage // what was found so far
	Steps     int             // saved so far
	StartTime time.Time
	EndTime   time.Time
	Updated   time.Time

	ClaimOwner   string // who advances the run, until ClaimedUntil
	ClaimedUntil time.Time
	NotBefore    time.Time // nothing is asked before

	etag azcore.ETag
	kept properties
}

// NewRun is a run that has not begun, to be inserted under number.
func NewRun(number int, kind string, seed int64, request, cursor json.RawMessage, now time.Time) Run {
	return Run{Number: number, Kind: kind, State: RunRunning, Seed: seed, Request: request, Cursor: cursor, StartTime: now, Updated: now}
}

// Ended says whether nothing more will happen to the run.
func (r Run) Ended() bool { return r.State != RunRunning }

// Claim lets owner advance the run until the given time. ok is false while somebody else does, before NotBefore, and at the end.
func (r Run) Claim(owner string, now, until time.Time) (_ Run, ok bool) {
	if r.Ended() || now.Before(r.NotBefore) || r.ClaimOwner != "" && now.Before(r.ClaimedUntil) {
		return r, false
	}
	r.ClaimOwner, r.ClaimedUntil, r.NotBefore = owner, until, time.Time{}
	return r, true
}

// Advance notes what was found and what is left.
func (r Run) Advance(cursor, result json.RawMessage, now time.Time) (Run, error) {
	if r.Ended() || r.ClaimOwner == "" {
		return r, fmt.Errorf("run %d is %s, claimed by %q: it cannot be advanced", r.Number, r.State, r.ClaimOwner)
	}
	r.Cursor, r.Result, r.Updated = cursor, result, now
	r.Steps++
	return r, nil
}

// Release gives the claim back; the run is not claimed again before notBefore.
func (r Run) Release(notBefore time.Time) Run {
	r.ClaimOwner, r.ClaimedUntil, r.NotBefore = "", time.Time{}, notBefore
	return r
}

// End ends the run. ok is false when it has ended.
func (r Run) End(state RunState, reason string, now time.Time) (_ Run, ok bool) {
	if r.Ended() || state == RunRunning {
		return r, false
	}
	r.State, r.Reason, r.EndTime, r.Updated = state, reason, now, now
	return r.Release(time.Time{}), true
}

func (r *Run) row() row { return row{r.columns(), &r.etag, &r.kept} }

func (r *Run) columns() []column {
	return []column{
		textColumn("Kind", &r.Kind), textColumn("State", (*string)(&r.State)), textColumn("Reason", &r.Reason), int64Column("Seed", &r.Seed),
		jsonColumn("Request", &r.Request, noJSON), jsonColumn("Cursor", &r.Cursor, noJSON), jsonColumn("Result", &r.Result, noJSON),
		int32Column("Steps", &r.Steps), timeColumn("StartTime", &r.StartTime), timeColumn("EndTime", &r.EndTime), timeColumn("Updated", &r.Updated),
		textColumn("ClaimOwner", &r.ClaimOwner), timeColumn("ClaimedUntil", &r.ClaimedUntil), timeColumn("NotBefore", &r.NotBefore),
	}
}

func noJSON(j json.RawMessage) bool { return len(j) == 0 }

func (l *Ledger) runKey(number int) string { return l.rowKey + "-run-" + strconv.Itoa(number) }

// Run reads a run. ErrNotFound.
func (l *Ledger) Run(ctx context.Context, number int) (Run, error) {
	r := Run{Number: number}
	err := l.readRow(ctx, l.export, l.runKey(number), r.row())
	return r, err
}

// InsertRun inserts a run under its number. ErrExists.
func (l *Ledger) InsertRun(ctx context.Context, r Run) (Run, error) {
	err := l.insertRow(ctx, l.export, l.runKey(r.Number), r.row())
	return r, err
}

// SaveRun saves a run that was read, inserted or saved before. ErrConflict: somebody cancelled it or took it over, or it is the echo of our own save.
func (l *Ledger) SaveRun(ctx context.Context, r Run) (Run, error) {
	err := l.replaceRow(ctx, l.export, l.runKey(r.Number), r.row())
	return r, err
}
