package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// Action is what an operator asked for: a row of its own in the table "chunk", under <RowKey>-action-<ID>. It is inserted before the
// action is done and completed after it, so one without an outcome is one of which it is not known how it ended.
type Action struct {
	ID      string // the instant in milliseconds and something random: IDs sort by time
	Name    string // the function: "Pause", "WindowRelease", ...
	Window  int    // 0: it concerns no window
	By      string
	Reason  string
	At      time.Time
	Outcome string // what came of it, "" while that is not known
	EndedAt time.Time

	etag azcore.ETag
	kept properties
}

// NewAction is an action that has not begun. unique tells it from others of the same millisecond.
func NewAction(name string, window int, by, reason, unique string, now time.Time) Action {
	return Action{ID: fmt.Sprintf("%013d-%s", now.UnixMilli(), unique), Name: name, Window: window, By: by, Reason: reason, At: now.UTC().Truncate(time.Millisecond)}
}

// Ended notes what came of it.
func (a Action) Ended(outcome string, now time.Time) Action {
	a.Outcome, a.EndedAt = outcome, now
	return a
}

func (a *Action) row() row { return row{a.columns(), &a.etag, &a.kept} }

func (a *Action) columns() []column {
	return []column{
		textColumn("Action", &a.Name), int32Column("Window", &a.Window), textColumn("By", &a.By), textColumn("Reason", &a.Reason),
		timeColumn("At", &a.At), textColumn("Outcome", &a.Outcome), timeColumn("EndedAt", &a.EndedAt),
	}
}

func (l *Ledger) actionKey(id string) string { return l.rowKey + "-action-" + id }

// InsertAction inserts an action. The tables are made when there are none yet. One that is there is our own, of which the reply was lost.
func (l *Ledger) InsertAction(ctx context.Context, a Action) (Action, error) {
	err := l.insertRow(ctx, l.chunk, l.actionKey(a.ID), a.row())
	if errors.Is(err, ErrNotFound) {
		if err = l.CreateTables(ctx); err == nil {
			err = l.insertRow(ctx, l.chunk, l.actionKey(a.ID), a.row())
		}
	}
	if errors.Is(err, ErrExists) {
		_, a.etag, err = l.chunk.get(ctx, l.partition, l.actionKey(a.ID))
	}
	return a, err
}

// SaveAction saves an action that was inserted. ErrConflict is the echo of our own save: nobody else writes the row.
func (l *Ledger) SaveAction(ctx context.Context, a Action) (Action, error) {
	err := l.replaceRow(ctx, l.chunk, l.actionKey(a.ID), a.row())
	return a, err
}

// Actions lists at most limit of them from the ID from on, the oldest first.
func (l *Ledger) Actions(ctx context.Context, from string, limit int) ([]Action, error) {
	prefix := l.actionKey("")
	rows, err := l.chunk.list(ctx, l.partition, prefix+from, prefix+":", limit) // ":" sorts behind every digit
	if err != nil {
		return nil, err
	}
	all := make([]Action, 0, len(rows))
	for _, r := range rows {
		a := Action{ID: r.key[len(prefix):]}
		if err := a.row().read(l.chunk, r.key, r.properties, r.etag); err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}
