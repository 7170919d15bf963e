package ledger

import (
	"fmt"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

// The digest is the same on the storage service and on its twin, whatever page a row is on, and another one when a value, a name, a type or a key
// is another one. What is waited for is not part of it.
func TestDigest(t *testing.T) {
	t.Parallel()
	fill := func(t *testing.T, l *Ledger) {
		if err := l.CreateTables(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			if _, err := l.export.insert(t.Context(), l.partition, fmt.Sprintf("%s%d", l.rowKey, i), properties{"Text": "tab\t, break\n and ü", "Number": int32(i), "Long": aztables.EDMInt64(1 << 40),
				"At": aztables.EDMDateTime(now), "Is": true, "Empty": ""}); err != nil {
				t.Fatal(err)
			}
		}
	}
	digest := func(t *testing.T, l *Ledger) Digest {
		t.Helper()
		d, err := l.Read(t.Context(), Reader{})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	const want = "the digest of the twin in memory"
	digests := map[string]string{}
	memory := OpenMemory(NewMemory(), Options{ExportTable: "e", ChunkTable: "c", ExceptionTable: "x", PartitionKey: "p", RowKey: "row"})
	fill(t, memory)
	digests[want] = digest(t, memory).SHA256
	onEach(t, func(t *testing.T, l *Ledger) {
		l.rowKey = "row"
		fill(t, l)
		first := digest(t, l)
		if first.SHA256 != digests[want] || first.Export != 5 {
			t.Errorf("%+v, want %s", first, digests[want])
		}
		if _, err := l.SaveControl(t.Context(), Control{Retrying: []string{"x"}}); err != nil {
			t.Fatal(err)
		}
		if again := digest(t, l); again != first {
			t.Errorf("what is waited for changes it: %+v", again)
		}
		if _, err := l.InsertAction(t.Context(), anAction); err != nil {
			t.Fatal(err)
		}
		if again := digest(t, l); again.SHA256 == first.SHA256 || again.Chunk != first.Chunk+1 {
			t.Errorf("an action does not change it: %+v", again)
		}
	})
	for name, p := range map[string]properties{
		"value": {"A": "b"}, "name": {"B": "a"}, "type": {"A": int32(1)}, "number as text": {"A": "1"}, "none": {}, "two": {"A": "a", "B": ""},
	} {
		l := OpenMemory(NewMemory(), Options{ExportTable: "e", ChunkTable: "c", ExceptionTable: "x", PartitionKey: "p", RowKey: "row"})
		if err := l.CreateTables(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := l.export.insert(t.Context(), l.partition, "row1", p); err != nil {
			t.Fatal(err)
		}
		sum := digest(t, l).SHA256
		for other, seen := range digests {
			if seen == sum {
				t.Errorf("the digests of %q and %q are the same", name, other)
			}
		}
		digests[name] = sum
	}
}

// Rows come page by page, each once.
func TestReadGoesThroughAllPages(t *testing.T) {
	t.Parallel()
	l := OpenMemory(NewMemory(), Options{ExportTable: "e", ChunkTable: "c", ExceptionTable: "x", PartitionKey: "p", RowKey: "row"})
	if err := l.CreateTables(t.Context()); err != nil {
		t.Fatal(err)
	}
	const windows = 2*pageRows + 1
	for i := range windows {
		if _, err := l.InsertWindow(t.Context(), NewWindow(i+1, t0, t1)); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[int]int{}
	d, err := l.Read(t.Context(), Reader{Window: func(w Window) { seen[w.Number]++ }})
	if err != nil || d.Export != windows || len(seen) != windows {
		t.Errorf("%v: %d rows, %d windows", err, d.Export, len(seen))
	}
}
