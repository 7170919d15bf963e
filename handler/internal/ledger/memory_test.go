package ledger

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/google/go-cmp/cmp"
)

const partition = "it's a key"

func TestAbsence(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, l *Ledger) {
		ctx := t.Context()
		if _, err := l.InsertWindow(ctx, NewWindow(1, t0, t1)); !errors.Is(err, ErrNotFound) {
			t.Errorf("an insert before there is a table: %v, want ErrNotFound", err)
		}
		if _, err := l.Chunk(ctx); !errors.Is(err, ErrNotFound) {
			t.Errorf("a read before there is a table: %v, want ErrNotFound", err)
		}
		for range 2 {
			if err := l.CreateTables(ctx); err != nil {
				t.Fatalf("create the tables, perhaps again: %v", err)
			}
		}
		if _, _, err := l.export.get(ctx, partition, "row1"); !errors.Is(err, ErrNotFound) {
			t.Errorf("a read of no row: %v, want ErrNotFound", err)
		}
		etag, err := l.export.insert(ctx, partition, "row1", properties{"A": "a"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.export.replace(ctx, partition, "row2", properties{"A": "b"}, etag); !errors.Is(err, ErrNotFound) {
			t.Errorf("a save of no row: %v, want ErrNotFound", err)
		}
		if _, _, err := l.export.get(ctx, "another key", "row1"); !errors.Is(err, ErrNotFound) {
			t.Errorf("a read in another partition: %v, want ErrNotFound", err)
		}
		if _, _, err := l.chunk.get(ctx, partition, "row1"); !errors.Is(err, ErrNotFound) {
			t.Errorf("a read in another table: %v, want ErrNotFound", err)
		}
	})
}

// Every save gives another ETag, one that changes nothing too: else the echo of a save would go unnoticed.
func TestEverySaveChangesTheETag(t *testing.T) {
	t.Parallel()
	onEachWithTables(t, func(t *testing.T, l *Ledger) {
		ctx, p := t.Context(), properties{"A": "a"}
		etag, err := l.export.insert(ctx, partition, "row1", p)
		if err != nil {
			t.Fatal(err)
		}
		first := etag
		for range 3 {
			next, err := l.export.replace(ctx, partition, "row1", p, etag)
			if err != nil {
				t.Fatal(err)
			}
			if next == etag || next == "" {
				t.Errorf("a save gives the ETag %q after %q", next, etag)
			}
			etag = next
		}
		if _, read, err := l.export.get(ctx, partition, "row1"); err != nil || read != etag {
			t.Errorf("a read gives the ETag %q, %v; the last save gave %q", read, err, etag)
		}
		if _, err := l.export.replace(ctx, partition, "row1", p, first); !errors.Is(err, ErrConflict) {
			t.Errorf("a save under the first ETag: %v, want ErrConflict", err)
		}
		if _, err := l.export.insert(ctx, partition, "row1", p); !errors.Is(err, ErrExists) {
			t.Errorf("an insert over a row: %v, want ErrExists", err)
		}
	})
}

// A save puts the row in the place of the old one, column by column in the types of the service, and what the caller does
// with its own afterwards does not matter.
func TestARowIsReplacedAsAWhole(t *testing.T) {
	t.Parallel()
	onEachWithTables(t, func(t *testing.T, l *Ledger) {
		ctx := t.Context()
		etag, err := l.export.insert(ctx, partition, "row1", properties{"Old": "x"})
		if err != nil {
			t.Fatal(err)
		}
		at := aztables.EDMDateTime(time.Date(2024, 2, 29, 23, 59, 59, 123_456_700, time.UTC))
		p := properties{"Text": "é", "Empty": "", "Yes": true, "Small": int32(-1), "Large": aztables.EDMInt64(1 << 60), "Real": 1.5, "At": at, "Nothing": nil}
		if _, err := l.export.replace(ctx, partition, "row1", p, etag); err != nil {
			t.Fatal(err)
		}
		p["Text"] = "changed"
		got, _, err := l.export.get(ctx, partition, "row1")
		if err != nil {
			t.Fatal(err)
		}
		want := properties{"Text": "é", "Empty": "", "Yes": true, "Small": int32(-1), "Large": aztables.EDMInt64(1 << 60), "Real": 1.5, "At": at}
		same := cmp.Comparer(func(a, b aztables.EDMDateTime) bool { return time.Time(a).Equal(time.Time(b)) })
		if diff := cmp.Diff(want, got, same); diff != "" {
			t.Errorf("the row (-want +got):\n%s", diff)
		}
		got["Text"] = "changed"
		if again, _, _ := l.export.get(ctx, partition, "row1"); again["Text"] != "é" {
			t.Error("the row is changed through what was read of it")
		}
	})
}

// A call whose context is over changes nothing.
func TestACallAfterTheEndOfItsContext(t *testing.T) {
	t.Parallel()
	onEachWithTables(t, func(t *testing.T, l *Ledger) {
		over, cancel := context.WithCancel(t.Context())
		cancel()
		etag, err := l.export.insert(t.Context(), partition, "row1", properties{"A": "a"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.export.insert(over, partition, "row2", properties{}); !errors.Is(err, context.Canceled) {
			t.Errorf("an insert: %v", err)
		}
		if _, err := l.export.replace(over, partition, "row1", properties{"A": "b"}, etag); !errors.Is(err, context.Canceled) {
			t.Errorf("a save: %v", err)
		}
		if _, _, err := l.export.get(over, partition, "row1"); !errors.Is(err, context.Canceled) {
			t.Errorf("a read: %v", err)
		}
		if err := l.CreateTables(over); !errors.Is(err, context.Canceled) {
			t.Errorf("creating the tables: %v", err)
		}
		if p, read, err := l.export.get(t.Context(), partition, "row1"); err != nil || read != etag || p["A"] != "a" {
			t.Errorf("the row is %v, %v", p, err)
		}
	})
}

// Ledgers on one Memory are handlers on one storage account.
func TestLedgersOnOneMemorySeeTheSameRows(t *testing.T) {
	t.Parallel()
	m, o, ctx := NewMemory(), Options{ExportTable: "export", ChunkTable: "chunk", ExceptionTable: "exceptions", PartitionKey: partition, RowKey: "row"}, t.Context()
	one, other := OpenMemory(m, o), OpenMemory(m, o)
	if err := one.CreateTables(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := one.InsertWindow(ctx, NewWindow(1, t0, t1)); err != nil {
		t.Fatal(err)
	}
	theirs, err := other.Window(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	mine, err := one.Window(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if mine, err = mine.Claim("one", now, now.Add(time.Hour)); err == nil {
		_, err = one.SaveWindow(ctx, mine)
	}
	if err != nil {
		t.Fatal(err)
	}
	if theirs, err = theirs.Claim("other", now, now.Add(time.Hour)); err == nil {
		_, err = other.SaveWindow(ctx, theirs)
	}
	if !errors.Is(err, ErrConflict) {
		t.Errorf("both claims are saved: %v", err)
	}
	if got := slices.Sorted(maps.Keys(m.tables)); !slices.Equal(got, []string{"chunk", "exceptions", "export"}) {
		t.Errorf("tables %v", got)
	}
}

// A gate sees every call, can keep it from being made, and can keep its answer to itself.
func TestGate(t *testing.T) {
	t.Parallel()
	onEachWithTables(t, func(t *testing.T, plain *Ledger) {
		ctx := t.Context()
		var calls []string
		undone, lost := errors.New("not made"), errors.New("reply lost")
		l := plain.Gated(func(_ context.Context, c Call, do func() error) error {
			calls = append(calls, c.Op+" "+c.Row)
			switch {
			case c.Row == "row8" && c.Writes():
				return undone
			case c.Row == "row9" && c.Op != "read":
				if err := do(); err != nil {
					return err
				}
				return lost
			}
			return do()
		})
		if err := l.CreateTables(ctx); err != nil {
			t.Fatal(err)
		}
		w, err := l.InsertWindow(ctx, NewWindow(7, t0, t1))
		if err == nil {
			_, err = l.SaveWindow(ctx, w)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.InsertWindow(ctx, NewWindow(8, t0, t1)); !errors.Is(err, undone) {
			t.Errorf("a call that is not made: %v", err)
		}
		if _, err := l.InsertWindow(ctx, NewWindow(9, t0, t1)); !errors.Is(err, lost) {
			t.Errorf("a call whose answer is lost: %v", err)
		}
		if _, err := l.InsertWindow(ctx, NewWindow(9, t0, t1)); !errors.Is(err, ErrExists) {
			t.Errorf("the same again: %v", err)
		}
		if _, err := l.Window(ctx, 8); !errors.Is(err, ErrNotFound) {
			t.Errorf("the row whose insert was not made: %v", err)
		}
		if _, err := l.Window(ctx, 9); err != nil {
			t.Errorf("the row whose insert was made: %v", err)
		}
		want := []string{"create ", "create ", "create ", "insert row7", "save row7", "insert row8", "insert row9", "insert row9", "read row8", "read row9"}
		if diff := cmp.Diff(want, calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
	})
}
