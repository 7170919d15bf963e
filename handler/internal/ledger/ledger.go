package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

// ErrNotWindow: the row under a window's number is none. The original keeps the rows of payloads beyond the first in the
// same name space.
var ErrNotWindow = errors.New("the row is no window")

// Options say which tables, and how to reach them: a ConnectionString (emulators), or an Endpoint with a Credential.
type Options struct {
	Endpoint         string
	Credential       azcore.TokenCredential
	ConnectionString string

	ExportTable, ChunkTable, ExceptionTable string
	PartitionKey, RowKey                    string
}

// Ledger reads and saves the rows of all tables. It keeps nothing between calls and is safe for concurrent use.
type Ledger struct {
	export, chunk, exceptions table
	partition, rowKey         string
}

// Open makes a ledger; it calls nothing.
func Open(o Options) (*Ledger, error) {
	// One call is retried a few times by the SDK. A lost reply then shows as a conflict, which callers take for a possible
	// echo.
	opts := &aztables.ClientOptions{ClientOptions: azcore.ClientOptions{
		Retry:     policy.RetryOptions{MaxRetries: 3, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: 5 * time.Second, TryTimeout: 20 * time.Second},
		Telemetry: policy.TelemetryOptions{Disabled: true},
	}}
	var service *aztables.ServiceClient
	var err error
	if o.ConnectionString != "" {
		service, err = aztables.NewServiceClientFromConnectionString(o.ConnectionString, opts)
	} else {
		service, err = aztables.NewServiceClient(o.Endpoint, o.Credential, opts)
	}
	if err != nil {
		return nil, fmt.Errorf("open the table service: %w", err)
	}
	return &Ledger{
		export:     storageTable{service.NewClient(o.ExportTable), o.ExportTable},
		chunk:      storageTable{service.NewClient(o.ChunkTable), o.ChunkTable},
		exceptions: storageTable{service.NewClient(o.ExceptionTable), o.ExceptionTable},
		partition:  o.PartitionKey,
		rowKey:     o.RowKey,
	}, nil
}

// CreateTables makes the tables where they are missing.
func (l *Ledger) CreateTables(ctx context.Context) error {
	return errors.Join(l.export.create(ctx), l.chunk.create(ctx), l.exceptions.create(ctx))
}

func (l *Ledger) windowKey(number int) string { return l.rowKey + strconv.Itoa(number) }

// Chunk reads the chunk row. ErrNotFound: the migration has not begun. A row of the original reads as Foreign: it is taken over
// before anything else.
func (l *Ledger) Chunk(ctx context.Context) (Chunk, error) {
	var c Chunk
	if err := l.readRow(ctx, l.chunk, l.rowKey, c.row()); err != nil {
		return Chunk{}, err
	}
	_, ours := c.kept["openWindows"]
	c.Foreign = !ours
	c.JobID = max(c.JobID, 1)
	return c, nil
}

// InsertChunk inserts the chunk row. ErrExists: another tick did.
func (l *Ledger) InsertChunk(ctx context.Context, c Chunk) (Chunk, error) {
	err := l.insertRow(ctx, l.chunk, l.rowKey, c.row())
	return c, err
}

// SaveChunk saves a chunk row that was read or saved before. ErrConflict: reload and decide anew.
func (l *Ledger) SaveChunk(ctx context.Context, c Chunk) (Chunk, error) {
	r := c.row()
	if c.Foreign { // whatever else is noted on it, it stays the original's
		r.columns = append(r.columns, column{name: "openWindows", write: func() (any, error) { return nil, nil }})
	}
	err := l.replaceRow(ctx, l.chunk, l.rowKey, r)
	return c, err
}

// Window reads the window under number. ErrNotFound, ErrNotWindow.
func (l *Ledger) Window(ctx context.Context, number int) (Window, error) {
	w := Window{Number: number, SourceCount: Unknown}
	if err := l.readRow(ctx, l.export, l.windowKey(number), w.row()); err != nil {
		return Window{}, err
	}
	p := w.kept
	w = w.completed(p)
	if !isWindow(p) || !w.Since.Before(w.Till) {
		return Window{}, fmt.Errorf("row %s of table %s: %w", l.windowKey(number), l.export.name(), ErrNotWindow)
	}
	return w, nil
}

// InsertWindow inserts a window under its number. ErrExists: look at what is there.
func (l *Ledger) InsertWindow(ctx context.Context, w Window) (Window, error) {
	err := l.insertRow(ctx, l.export, l.windowKey(w.Number), w.row())
	return w, err
}

// SaveWindow saves a window that was read, inserted or saved before. ErrConflict: reload and decide anew.
func (l *Ledger) SaveWindow(ctx context.Context, w Window) (Window, error) {
	err := l.replaceRow(ctx, l.export, l.windowKey(w.Number), w.row())
	return w, err
}
