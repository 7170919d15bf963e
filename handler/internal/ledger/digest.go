package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

// Digest is a SHA-256 over the rows of the ledger, in a form that anybody can put together from the tables (docs/verification.md says how), and
// how many rows of each table it is over.
type Digest struct {
	SHA256     string `json:"sha256"`
	Chunk      int64  `json:"chunkRows"`
	Export     int64  `json:"exportRows"`
	Exceptions int64  `json:"exceptionRows"`
}

// Reader is handed the rows of a ledger as Read comes upon them. A nil function is not called.
type Reader struct {
	Window    func(Window)
	Run       func(Run)
	Exception func(Exception)
	Action    func(Action)
}

const (
	// pageRows is how many rows Read holds at a time.
	pageRows = 1000
	// lastKey sorts behind every key: what comes after it is no character, which a filter may not name.
	lastKey = "\uFFFD"
)

// Read reads every row of the ledger once, page by page, hands those of r's kinds to it, and returns the digest of all. Rows that change
// though nothing of the migration does are not part of it: what is waited for, what a page shows, and what an access check leaves behind.
func (l *Ledger) Read(ctx context.Context, r Reader) (Digest, error) {
	var d Digest
	sum := sha256.New()
	for _, t := range []struct {
		table
		name  string
		count *int64
		visit func(listed) error
	}{
		{l.chunk, "chunk", &d.Chunk, func(row listed) error { return l.visitAction(row, r.Action) }},
		{l.export, "export", &d.Export, func(row listed) error { return l.visitExport(row, r) }},
		{l.exceptions, "exceptions", &d.Exceptions, func(row listed) error { return l.visitException(row, r.Exception) }},
	} {
		err := l.eachRow(ctx, t.table, func(row listed) error {
			if l.passing(row.key) {
				return nil
			}
			*t.count++
			if err := digestRow(sum, t.name, row); err != nil {
				return fmt.Errorf("row %s of table %s: %w", row.key, t.table.name(), err)
			}
			return t.visit(row)
		})
		if err != nil {
			return d, err
		}
	}
	d.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return d, nil
}

// passing says whether a row is no part of what the ledger proves.
func (l *Ledger) passing(key string) bool {
	return key == l.controlKey() || key == l.summaryKey() || strings.HasPrefix(key, l.rowKey+"-probe-")
}

// eachRow hands every row of a table's partition on, in the order of the keys.
func (l *Ledger) eachRow(ctx context.Context, t table, yield func(listed) error) error {
	for from := ""; ; {
		rows, err := t.list(ctx, l.partition, from, lastKey, pageRows)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := yield(row); err != nil {
				return err
			}
		}
		if len(rows) < pageRows {
			return nil
		}
		from = rows[len(rows)-1].key + " " // right behind it: no key has what sorts before a space
	}
}

// digestRow writes a row in its canonical form: a line with the table, the key and the number of columns, then a line for each column by
// name, with its type, the length of its value in bytes, and the value.
func digestRow(sum hash.Hash, table string, row listed) error {
	var names []string
	for name, v := range row.properties {
		if v != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	fmt.Fprintf(sum, "%s\t%s\t%d\n", table, row.key, len(names))
	for _, name := range names {
		kind, value, err := canonical(row.properties[name])
		if err != nil {
			return fmt.Errorf("column %s: %w", name, err)
		}
		fmt.Fprintf(sum, "%s\t%s\t%d\t%s\n", name, kind, len(value), value)
	}
	return nil
}

// canonical is a property's type as the table service names it, and its value as text.
func canonical(v any) (kind, value string, _ error) {
	switch v := v.(type) {
	case string:
		return "Edm.String", v, nil
	case bool:
		return "Edm.Boolean", strconv.FormatBool(v), nil
	case int32:
		return "Edm.Int32", strconv.FormatInt(int64(v), 10), nil
	case aztables.EDMInt64:
		return "Edm.Int64", strconv.FormatInt(int64(v), 10), nil
	case aztables.EDMDateTime:
		return "Edm.DateTime", time.Time(v).UTC().Format("2006-01-02T15:04:05.0000000Z"), nil
	}
	return "", "", fmt.Errorf("a value of type %T has no canonical form", v)
}

func (l *Ledger) visitAction(row listed, visit func(Action)) error {
	id, is := strings.CutPrefix(row.key, l.actionKey(""))
	if !is || visit == nil {
		return nil
	}
	a := Action{ID: id}
	if err := a.row().read(l.chunk, row.key, row.properties, row.etag); err != nil {
		return err
	}
	visit(a)
	return nil
}

// visitExport tells windows and runs from the other rows of the table: payloads of the original, results of checks.
func (l *Ledger) visitExport(row listed, r Reader) error {
	rest, ours := strings.CutPrefix(row.key, l.rowKey)
	if !ours {
		return nil
	}
	if text, is := strings.CutPrefix(rest, "-run-"); is {
		number, err := strconv.Atoi(text)
		if err != nil || r.Run == nil {
			return nil
		}
		run := Run{Number: number}
		if err := run.row().read(l.export, row.key, row.properties, row.etag); err != nil {
			return err
		}
		r.Run(run)
		return nil
	}
	number, err := strconv.Atoi(rest)
	if err != nil || r.Window == nil {
		return nil
	}
	w := Window{Number: number, SourceCount: Unknown}
	if err := w.row().read(l.export, row.key, row.properties, row.etag); err != nil {
		return err
	}
	if w.First && w.Since.Before(w.Till) {
		r.Window(w)
	}
	return nil
}

func (l *Ledger) visitException(row listed, visit func(Exception)) error {
	if visit == nil {
		return nil
	}
	e, err := l.exception(row)
	if err == nil {
		visit(e)
	}
	return err
}
