package ledger

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

// rowReaders read each kind of row, and save it again as it was read.
var rowReaders = []struct {
	key  string
	read func(t *testing.T, l *Ledger) (save func() error, err error)
}{
	{"row7", func(t *testing.T, l *Ledger) (func() error, error) {
		w, err := l.Window(t.Context(), 7)
		_, _, _, _ = w.Phase(), w.Name(), w.ExportedLines(), w.Imported()
		return func() error { _, err := l.SaveWindow(t.Context(), w); return err }, err
	}},
	{"row", func(t *testing.T, l *Ledger) (func() error, error) {
		c, err := l.Chunk(t.Context())
		_ = c.PinnedDifference(map[string]string{"SourceUri": "x"})
		return func() error { _, err := l.SaveChunk(t.Context(), c); return err }, err
	}},
	{"row-control", func(t *testing.T, l *Ledger) (func() error, error) {
		c, err := l.Control(t.Context())
		return func() error { _, err := l.SaveControl(t.Context(), c); return err }, err
	}},
	{"row-checks", func(t *testing.T, l *Ledger) (func() error, error) {
		c, err := l.Checks(t.Context())
		return func() error { _, err := l.SaveChecks(t.Context(), c); return err }, err
	}},
	{"row-run-3", func(t *testing.T, l *Ledger) (func() error, error) {
		r, err := l.Run(t.Context(), 3)
		return func() error { _, err := l.SaveRun(t.Context(), r); return err }, err
	}},
	{"row-searchparameters", func(t *testing.T, l *Ledger) (func() error, error) {
		s, err := l.SearchParameters(t.Context())
		return func() error { _, err := l.SaveSearchParameters(t.Context(), s); return err }, err
	}},
	{"row-summary", func(t *testing.T, l *Ledger) (func() error, error) {
		s, err := l.Summary(t.Context())
		return func() error { _, err := l.SaveSummary(t.Context(), s, now); return err }, err
	}},
	{"0000000001-1-ab", func(t *testing.T, l *Ledger) (func() error, error) {
		e, err := l.Exception(t.Context(), "0000000001-1-ab")
		_, listErr := l.Exceptions(t.Context(), "", 10)
		if (err == nil) != (listErr == nil) {
			t.Errorf("read alone: %v, in a list: %v", err, listErr)
		}
		return func() error { _, err := l.SaveException(t.Context(), e); return err }, err
	}},
	{"row-action-0000000000001-ab", func(t *testing.T, l *Ledger) (func() error, error) {
		all, err := l.Actions(t.Context(), "", 10)
		return func() error {
			for _, a := range all {
				if _, err := l.SaveAction(t.Context(), a); err != nil {
					return err
				}
			}
			return nil
		}, err
	}},
}

// Rows are written by others, too: the durable original, and people with a storage browser. Whatever a row holds, in whatever type, reading it does not
// panic, an error names the row and the column, and a row that was read can be saved, or the error says which column is at fault.
func FuzzRow(f *testing.F) {
	window, err := writeColumns((&Window{Number: 7, Since: t0, Till: t1, First: true, StartTime: now, Payloads: []Payload{{From: 0, To: 2, Only: []int{1}, Lines: 3}},
		AttemptLog: []Attempt{{At: now, What: "it failed"}}, Preflight: Preflight{State: PreflightFound, Look: 1}}).columns(), nil)
	if err != nil {
		f.Fatal(err)
	}
	text, err := json.Marshal(aztables.EDMEntity{Properties: window})
	if err != nil {
		f.Fatal(err)
	}
	for i := range rowReaders {
		for _, seed := range []string{string(text), "{}", `{"JobId":"7","since":5,"openWindows":"[{}]","plannedTill":"yesterday","Payloads":"[{\"from\":-1}]"}`,
			`{"Since@odata.type":"Edm.DateTime","Since":"2024-01-01T00:00:00Z","Posts@odata.type":"Edm.Int64","Posts":"99999999999","Held":true}`,
			`{"State":1.5,"Cursor":"{","NotBefore":"x","retrying":"[1]","Line":null,"IsFirst":"true"}`} {
			f.Add(uint8(i), []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, kind uint8, text []byte) {
		var e aztables.EDMEntity
		if err := json.Unmarshal(text, &e); err != nil {
			return // the service does not give such a body
		}
		reader, m := rowReaders[int(kind)%len(rowReaders)], NewMemory()
		l := OpenMemory(m, Options{ExportTable: "export", ChunkTable: "chunk", ExceptionTable: "exceptions", PartitionKey: "p", RowKey: "row"})
		if err := l.CreateTables(t.Context()); err != nil {
			t.Fatal(err)
		}
		for table := range maps.Keys(m.tables) {
			m.tables[table][rowKey{"p", reader.key}] = entity{properties(e.Properties), "etag"}
		}
		save, err := reader.read(t, l)
		switch {
		case errors.Is(err, ErrNotWindow):
		case err != nil && (!strings.Contains(err.Error(), reader.key) || !namesColumn(err, e.Properties)):
			t.Errorf("the error does not name row %s and a column: %v", reader.key, err)
		case err == nil:
			if err := save(); err != nil && !namesColumn(err, e.Properties) && !strings.Contains(err.Error(), "columns, more than") {
				t.Errorf("saved again: %v", err)
			}
		}
	})
}

func namesColumn(err error, columns map[string]any) bool {
	return slices.ContainsFunc(slices.Collect(maps.Keys(columns)), func(name string) bool { return strings.Contains(err.Error(), "column "+name) })
}
