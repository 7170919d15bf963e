// Package progress tells how far a migration is. It reads the two tables in which the migration keeps its state, as a
// dashboard would: nothing is asked of the process that does the work, so a progress bar goes on while that is restarted.
//
// [Ledger] reads the tables, [Progress] is what one reading says, and a [Display] shows it: bars on a terminal, lines
// elsewhere.
package progress

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

// Names say where the migration keeps its state, as its app settings do.
type Names struct {
	ExportTable, ChunkTable string
	PartitionKey, RowKey    string
}

// Ledger reads the tables of one migration.
type Ledger struct {
	names         Names
	export, chunk *aztables.Client
}

// Open prepares reading. It calls nothing; the tables may come to be later.
func Open(connectionString string, names Names) (*Ledger, error) {
	account, err := aztables.NewServiceClientFromConnectionString(connectionString, nil)
	if err != nil {
		return nil, fmt.Errorf("open tables: %w", err)
	}
	return &Ledger{names: names, export: account.NewClient(names.ExportTable), chunk: account.NewClient(names.ChunkTable)}, nil
}

// chunkRow is the row of the table chunk: what is planned and what is open.
type chunkRow struct {
	PlannedTill string `json:"plannedTill"` // instant
	OpenWindows string `json:"openWindows"` // JSON: openWindow
	Totals      string `json:"totals"`      // JSON: totals
}

type openWindow struct {
	Number int `json:"number"`
}

// totals are sums over the windows that are done.
type totals struct {
	Windows  int   `json:"windows"`
	Exported int64 `json:"exported"`
	Imported int64 `json:"imported"`
	Refused  int64 `json:"refused"`
}

// Read tells how far the migration is: one call for the chunk row and one for each open window, all by key. A migration
// that has not begun is the zero Progress.
func (l *Ledger) Read(ctx context.Context) (Progress, error) {
	var row chunkRow
	err := l.get(ctx, l.chunk, l.names.RowKey, &row)
	if isMissing(err) {
		return Progress{}, nil
	}
	if err != nil {
		return Progress{}, fmt.Errorf("read progress: %w", err)
	}
	p, open, err := row.progress()
	if err != nil {
		return Progress{}, fmt.Errorf("read progress: table %s: %w", l.names.ChunkTable, err)
	}
	for _, o := range open {
		var w Window
		err := l.get(ctx, l.export, l.names.RowKey+strconv.Itoa(o.Number), &w)
		if isMissing(err) {
			continue // listed before this reading saw its row
		}
		if err != nil {
			return Progress{}, fmt.Errorf("read progress: window %d: %w", o.Number, err)
		}
		w.Number = o.Number
		p.Open = append(p.Open, w)
	}
	return p, nil
}

// progress is what the chunk row says by itself, and which windows are open.
func (r chunkRow) progress() (Progress, []openWindow, error) {
	var p Progress
	if r.PlannedTill != "" {
		till, err := time.Parse(time.RFC3339Nano, r.PlannedTill)
		if err != nil {
			return p, nil, fmt.Errorf("plannedTill: %w", err)
		}
		p.PlannedTill = till
	}
	var open []openWindow
	if err := column(r.OpenWindows, &open); err != nil {
		return p, nil, fmt.Errorf("openWindows: %w", err)
	}
	var sums totals
	if err := column(r.Totals, &sums); err != nil {
		return p, nil, fmt.Errorf("totals: %w", err)
	}
	p.Done, p.ExportedLines, p.ImportedLines, p.RefusedLines = sums.Windows, sums.Exported, sums.Imported, sums.Refused
	p.Listed = sums.Windows + len(open)
	return p, open, nil
}

// column reads a column that holds JSON. An empty one leaves the value as it is.
func column(text string, into any) error {
	if text == "" {
		return nil
	}
	return json.Unmarshal([]byte(text), into)
}

// Windows reads every window the migration has had, in no particular order. It reads the whole partition: for the end.
func (l *Ledger) Windows(ctx context.Context) ([]Window, error) {
	filter := fmt.Sprintf("PartitionKey eq '%s' and IsFirst eq true", l.names.PartitionKey)
	pages := l.export.NewListEntitiesPager(&aztables.ListEntitiesOptions{Filter: &filter})
	var windows []Window
	for pages.More() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list windows: %w", err)
		}
		for _, entity := range page.Entities {
			var w Window
			if err := json.Unmarshal(entity, &w); err != nil {
				return nil, fmt.Errorf("list windows: %w", err)
			}
			windows = append(windows, w)
		}
	}
	return windows, nil
}

func (l *Ledger) get(ctx context.Context, table *aztables.Client, rowKey string, into any) error {
	found, err := table.GetEntity(ctx, l.names.PartitionKey, rowKey, nil)
	if err != nil {
		return err
	}
	return json.Unmarshal(found.Value, into)
}

// isMissing tells whether a row, or the whole table, is not there.
func isMissing(err error) bool {
	var response *azcore.ResponseError
	return errors.As(err, &response) && response.StatusCode == http.StatusNotFound
}
