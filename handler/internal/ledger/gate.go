package ledger

import (
	"context"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// Call is one call to a table, as a Gate sees it.
type Call struct {
	Op    string // "create", "read", "list", "insert", "save" or "remove"
	Table string
	Row   string // its row key, "" for create
}

// Writes says whether the call changes something.
func (c Call) Writes() bool { return c.Op != "read" && c.Op != "list" }

// A Gate stands before every call of a ledger. do makes the call; the Gate may leave it undone, and what the Gate returns is
// what the caller gets: nil only when do was called and returned nil. So it can let a process die before or after a call and
// lose a reply, or call do twice, as the SDK does when it misses a reply: the tests do.
type Gate func(ctx context.Context, c Call, do func() error) error

// Gated returns a ledger on the same tables of which every call goes through gate.
func (l *Ledger) Gated(gate Gate) *Ledger {
	g := *l
	g.export, g.chunk, g.exceptions = gatedTable{l.export, gate}, gatedTable{l.chunk, gate}, gatedTable{l.exceptions, gate}
	return &g
}

type gatedTable struct {
	table
	gate Gate
}

func (t gatedTable) create(ctx context.Context) error {
	return t.gate(ctx, Call{Op: "create", Table: t.name()}, func() error { return t.table.create(ctx) })
}

func (t gatedTable) get(ctx context.Context, partition, row string) (p properties, etag azcore.ETag, err error) {
	err = t.gate(ctx, Call{Op: "read", Table: t.name(), Row: row}, func() (err error) {
		p, etag, err = t.table.get(ctx, partition, row)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return p, etag, nil
}

func (t gatedTable) insert(ctx context.Context, partition, row string, p properties) (etag azcore.ETag, err error) {
	err = t.gate(ctx, Call{Op: "insert", Table: t.name(), Row: row}, func() (err error) {
		etag, err = t.table.insert(ctx, partition, row, p)
		return err
	})
	if err != nil {
		return "", err
	}
	return etag, nil
}

func (t gatedTable) replace(ctx context.Context, partition, row string, p properties, read azcore.ETag) (etag azcore.ETag, err error) {
	err = t.gate(ctx, Call{Op: "save", Table: t.name(), Row: row}, func() (err error) {
		etag, err = t.table.replace(ctx, partition, row, p, read)
		return err
	})
	if err != nil {
		return "", err
	}
	return etag, nil
}

func (t gatedTable) remove(ctx context.Context, partition, row string, read azcore.ETag) error {
	return t.gate(ctx, Call{Op: "remove", Table: t.name(), Row: row}, func() error { return t.table.remove(ctx, partition, row, read) })
}

func (t gatedTable) list(ctx context.Context, partition, from, till string, limit int) (rows []listed, err error) {
	err = t.gate(ctx, Call{Op: "list", Table: t.name(), Row: from}, func() (err error) {
		rows, err = t.table.list(ctx, partition, from, till, limit)
		return err
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}
