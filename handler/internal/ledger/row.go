package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// row is what a row of any kind has in common: its columns, which are bound to its fields, and what was read. What was read is never
// lost by writing: columns that nobody here knows stay as they are.
type row struct {
	columns []column
	etag    *azcore.ETag
	kept    *properties
}

// read fills the fields from what a table holds.
func (r row) read(t table, key string, p properties, etag azcore.ETag) error {
	if err := readColumns(r.columns, p); err != nil {
		return fmt.Errorf("row %s of table %s: %w", key, t.name(), err)
	}
	*r.etag, *r.kept = etag, p
	return nil
}

// write makes what a table is to hold.
func (r row) write(t table, op, key string) error {
	p, err := writeColumns(r.columns, *r.kept)
	if err != nil {
		return wrap(t, op, key, err)
	}
	*r.kept = p
	return nil
}

// readRow reads the row under key. ErrNotFound.
func (l *Ledger) readRow(ctx context.Context, t table, key string, r row) error {
	p, etag, err := t.get(ctx, l.partition, key)
	if err != nil {
		return err
	}
	return r.read(t, key, p, etag)
}

// insertRow inserts a row under key. ErrExists; ErrNotFound when there is no table yet.
func (l *Ledger) insertRow(ctx context.Context, t table, key string, r row) error {
	err := r.write(t, "insert", key)
	if err == nil {
		*r.etag, err = t.insert(ctx, l.partition, key, *r.kept)
	}
	return err
}

// replaceRow saves a row that was read, inserted or saved before; without the ETag of that it is refused. ErrConflict, ErrNotFound.
func (l *Ledger) replaceRow(ctx context.Context, t table, key string, r row) error {
	err := r.write(t, "save", key)
	if err == nil {
		*r.etag, err = t.replace(ctx, l.partition, key, *r.kept, *r.etag)
	}
	return err
}

// saveRow saves a row of which there is one, or inserts it when there was none. Either finds with ErrConflict that somebody did meanwhile,
// perhaps our own save whose reply was lost.
func (l *Ledger) saveRow(ctx context.Context, t table, key string, r row) error {
	if *r.etag != "" {
		return l.replaceRow(ctx, t, key, r)
	}
	err := l.insertRow(ctx, t, key, r)
	if errors.Is(err, ErrExists) {
		return wrap(t, "save", key, ErrConflict)
	}
	return err
}
