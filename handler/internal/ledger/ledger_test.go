package ledger

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fhirmigration/sandbox/azurite"
)

var emulator *azurite.Server

func TestMain(m *testing.M) { os.Exit(azurite.RunTests(m.Run, &emulator)) }

var tables atomic.Int32

// onEach runs test on a ledger in the storage emulator and on one in memory: the twin must not be told from it.
func onEach(t *testing.T, test func(t *testing.T, l *Ledger)) {
	t.Helper()
	for name, open := range map[string]func(Options) (*Ledger, error){
		"storage": Open,
		"memory":  func(o Options) (*Ledger, error) { return OpenMemory(NewMemory(), o), nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := tables.Add(1)
			l, err := open(Options{ConnectionString: emulator.ConnectionString(), ExportTable: fmt.Sprintf("export%d", n), ChunkTable: fmt.Sprintf("chunk%d", n), ExceptionTable: fmt.Sprintf("exceptions%d", n),
				PartitionKey: "it's a key", RowKey: "row"})
			if err != nil {
				t.Fatal(err)
			}
			test(t, l)
		})
	}
}

// onEachWithTables is onEach after the tables have been created.
func onEachWithTables(t *testing.T, test func(t *testing.T, l *Ledger)) {
	t.Helper()
	onEach(t, func(t *testing.T, l *Ledger) {
		if err := l.CreateTables(t.Context()); err != nil {
			t.Fatal(err)
		}
		test(t, l)
	})
}

var (
	t0  = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	t1  = t0.AddDate(0, 1, 0)
	now = time.Date(2026, 3, 4, 5, 6, 7, 891_000_000, time.UTC)
)

// full is a window with every column set.
func full() Window {
	return Window{Number: 7, Since: t0, Till: t1,
		ExportStatusURL: "https://s/_operations/export/1", ImportStatusURL: "https://d/_operations/import/2", ExportRunning: "Completed", ImportRunning: "Running",
		ExportComplete: true, ImportComplete: true, First: true, Processed: true, ImportRequest: "Yes", ResourceType: "Patient",
		StartTime: now, ExportEndTime: now, ImportStartTime: now, EndTime: now,
		ExportedCount: "3", FailedExportCount: "0", FailedExports: "x", ImportedCount: "2", FailedImportCount: "1", FailedImports: "Patient:1",
		SearchParameterCount: 3_000_000_000, PayloadCount: 1, CompletedCount: 1, ExportID: "1", ImportNo: "import_payload_1.json",
		SourceTotal: "1", DestinationTotal: "2", SourceError: "a", DestinationError: "b", FailureReason: "c",
		Attempts: 1, Posts: 2, UnknownPolls: 1, CountTries: 2, MaxCount: 1000, NotBefore: now, ClaimOwner: "me", ClaimedUntil: now, SplitAt: t0.Add(time.Hour), SplitNumber: 9, HeldReason: "why",
		Payloads:     []Payload{{Blob: "import_payload_1.json", Post: 2, StatusURL: "https://d/_operations/import/2", State: Posted, Lines: 3, To: 2, Only: []int{1}, NotBefore: millisOf(now)}},
		CountsByType: map[string]int64{"Patient": 3_000_000_000}, AttemptLog: []Attempt{{At: now, What: "it failed"}},
		SourceCount: 3_000_000_000, RefusedCount: 1, Frontier: true, EmptyTill: t0.Add(time.Minute), LinesBefore: 3_000_000_000, TakenOver: now, OriginalFiles: true}
}

func TestWindowKeepsEveryColumnInTheOriginalsTypes(t *testing.T) {
	t.Parallel()
	onEachWithTables(t, func(t *testing.T, l *Ledger) {
		if _, err := l.InsertWindow(t.Context(), full()); err != nil {
			t.Fatal(err)
		}
		got, err := l.Window(t.Context(), 7)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(full(), got, cmpopts.IgnoreUnexported(Window{})); diff != "" {
			t.Errorf("the row read is not the row written (-want +got):\n%s", diff)
		}
		columns, _, err := l.export.get(t.Context(), "it's a key", "row7")
		if err != nil {
			t.Fatal(err)
		}
		types := map[string]string{}
		for name, v := range columns {
			types[name] = strings.TrimPrefix(fmt.Sprintf("%T", v), "aztables.EDM")
		}
		want := map[string]string{}
		for typ, names := range map[string]string{
			"string": "exportContentLocation importContentLocation IsExportRunning IsImportRunning ImportRequest Since Till resourceTypeValue " +
				"TotalExportResourceCount TotalFailedExportCount FailedExportResources TotalImportResourceCount TotalFailedImportCount FailedImportResources " +
				"ExportId ImportNo SourceResourceCount DestinationResourceCount SourceError DestinationError FailureReason " +
				"ClaimOwner SplitAt Held Payloads Preflight CountsByType AttemptLog EmptyTill",
			"bool":     "OriginalFiles IsExportComplete IsImportComplete IsFirst IsProcessed Frontier",
			"DateTime": "TakenOver StartTime ExportEndTime ImportStartTime EndTime NotBefore ClaimedUntil",
			"int32":    "PayloadCount CompletedCount Attempts Posts UnknownPolls CountTries MaxCount SplitNumber",
			"Int64":    "SearchParameterCount SourceCount RefusedCount LinesBefore",
		} {
			for _, name := range strings.Fields(names) {
				want[name] = typ
			}
		}
		if diff := cmp.Diff(want, types); diff != "" {
			t.Errorf("column types (-want +got):\n%s", diff)
		}
		if got := columns["Since"]; got != "2024-01-01T00:00:00.000Z" {
			t.Errorf("Since is written as %v", got)
		}
	})
}

func TestSaveKeepsColumnsThatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	onEachWithTables(t, func(t *testing.T, l *Ledger) {
		add(t, l, map[string]any{"RowKey": "row3", "Since": "2024-01-01T00:00:00.000Z", "Till": "2024-02-01T00:00:00.000Z", "IsFirst": true, "Colour": "red",
			"Big": aztables.EDMInt64(5_000_000_000)})
		w, err := l.Window(t.Context(), 3)
		if err != nil {
			t.Fatal(err)
		}
		if w, err = w.Claim("me", now, now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if _, err := l.SaveWindow(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		p, _, err := l.export.get(t.Context(), "it's a key", "row3")
		if err != nil {
			t.Fatal(err)
		}
		if p["Colour"] != "red" || p["Big"] != aztables.EDMInt64(5_000_000_000) || p["ClaimOwner"] != "me" {
			t.Errorf("after the save: %v", p)
		}
	})
}

func TestRowsOfTheOriginal(t *testing.T) {
	t.Parallel()
	onEachWithTables(t, func(t *testing.T, l *Ledger) {
		started := map[string]any{"RowKey": "row1", "Since": "2024-01-01T00:00:00.000Z", "Till": "2024-02-01T00:00:00.0000000+00:00", "IsFirst": true,
			"exportContentLocation": "https://s/_operations/export/1", "IsExportComplete": false, "IsExportRunning": "Started"}
		add(t, l, started)
		add(t, l, map[string]any{"RowKey": "row2", "IsFirst": false, "importContentLocation": "https://d/_operations/import/2"})
		add(t, l, map[string]any{"RowKey": "row3", "IsFirst": true, "IsExportRunning": "Failed"})
		w, err := l.Window(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if w.Phase() != Exporting || w.SourceCount != Unknown || !w.Till.Equal(t1) {
			t.Errorf("a started export reads as %s, source count %d, till %s", w.Phase(), w.SourceCount, w.Till)
		}
		for _, n := range []int{2, 3} {
			if _, err := l.Window(t.Context(), n); !errors.Is(err, ErrNotWindow) {
				t.Errorf("row %d: %v, want ErrNotWindow", n, err)
			}
		}
		if _, err := l.Window(t.Context(), 4); !errors.Is(err, ErrNotFound) {
			t.Errorf("row 4: %v, want ErrNotFound", err)
		}
	})
}

func TestSavesNameTheETagTheyRead(t *testing.T) {
	t.Parallel()
	onEachWithTables(t, func(t *testing.T, l *Ledger) {
		ctx := t.Context()
		if _, err := l.SaveWindow(ctx, NewWindow(1, t0, t1)); !errors.Is(err, errNoETag) {
			t.Errorf("a save without an ETag: %v", err)
		}
		if _, err := l.SaveChunk(ctx, NewChunk(t0)); !errors.Is(err, errNoETag) {
			t.Errorf("a chunk save without an ETag: %v", err)
		}
		if _, err := l.SaveRun(ctx, Run{Number: 1}); !errors.Is(err, errNoETag) {
			t.Errorf("a save of a run without an ETag: %v", err)
		}
		if _, err := l.SaveException(ctx, Exception{ID: ExceptionKey(1, "a")}); !errors.Is(err, errNoETag) {
			t.Errorf("a save of an exception without an ETag: %v", err)
		}
		w, err := l.InsertWindow(ctx, NewWindow(1, t0, t1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.InsertWindow(ctx, NewWindow(1, t0, t1)); !errors.Is(err, ErrExists) {
			t.Errorf("a second insert: %v", err)
		}
		first, _ := w.Claim("first", now, now.Add(time.Hour))
		second, _ := w.Claim("second", now, now.Add(time.Hour))
		if first, err = l.SaveWindow(ctx, first); err != nil {
			t.Fatal(err)
		}
		if _, err := l.SaveWindow(ctx, second); !errors.Is(err, ErrConflict) {
			t.Errorf("a save on a stale row: %v", err)
		}
		if first, err = first.ExportStarted("first", "https://s/_operations/export/1", "1", now, now); err != nil {
			t.Fatal(err)
		}
		if _, err = l.SaveWindow(ctx, first); err != nil {
			t.Errorf("a save on what was saved before: %v", err)
		}
	})
}

func TestChunkRow(t *testing.T) {
	t.Parallel()
	onEachWithTables(t, func(t *testing.T, l *Ledger) {
		ctx := t.Context()
		if _, err := l.Chunk(ctx); !errors.Is(err, ErrNotFound) {
			t.Fatalf("no chunk row yet: %v", err)
		}
		c, err := l.InsertChunk(ctx, NewChunk(t0))
		if err != nil {
			t.Fatal(err)
		}
		c, _ = c.List(NewWindow(1, t0, t1))
		c, _ = c.Pin(map[string]string{"SourceUri": "https://s"})
		c, _ = c.CountMissing(Position{At: t1}, now)
		c, _ = c.BeginTypes([]string{"Account", "Patient"}, 2, t1.AddDate(0, 1, 0))
		c, _ = c.List(NewWindow(2, t1, t1.AddDate(0, 1, 0)).OfType("Account"))
		c, _ = c.Jump(Position{"Patient", t1}, t1.AddDate(0, 0, 1), 3)
		c.Totals = Totals{Windows: 1, Exported: 3_000_000_000, Imported: 2_999_999_999, Refused: 1}
		if c, err = l.SaveChunk(ctx, c); err != nil {
			t.Fatal(err)
		}
		got, err := l.Chunk(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, got, cmpopts.IgnoreUnexported(Chunk{})); diff != "" {
			t.Errorf("the chunk row read is not the one saved (-want +got):\n%s", diff)
		}
		p, _, _ := l.chunk.get(ctx, "it's a key", "row")
		if p["since"] != "2024-01-01T00:00:00.000Z" || p["plannedTill"] != "2024-02-01T00:00:00.000Z" || p["JobId"] != int32(3) ||
			p["openWindows"] != `[{"number":1,"since":"2024-01-01T00:00:00Z"},{"number":2,"since":"2024-02-01T00:00:00Z"}]` || p["planningType"] != int32(1) ||
			p["planningTypes"] != `{"types":["Account","Patient"],"original":2,"before":2,"till":"2024-03-01T00:00:00Z","from":"2024-02-02T00:00:00Z"}` ||
			p["resourceTypeIndex"] != int32(1) || p["noOfResources"] != int32(2) || p["multiExport"] != "Running" || p["subSinceExportType"] != "2024-02-02T00:00:00.000Z" {
			t.Errorf("columns: %v", p)
		}
	})
}

func TestChunkRowOfTheOriginalStaysForeignUntilItIsTakenOver(t *testing.T) {
	t.Parallel()
	onEachWithTables(t, func(t *testing.T, l *Ledger) {
		if _, err := l.chunk.insert(t.Context(), "it's a key", "row", properties{"JobId": int32(5), "since": "2024-02-01T00:00:00.000Z", "multiExport": "Running"}); err != nil {
			t.Fatal(err)
		}
		c, err := l.Chunk(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !c.Foreign || !c.Watermark.Equal(t1) || c.JobID != 5 || len(c.Open) != 0 {
			t.Errorf("read as %+v", c)
		}
		c, _ = c.SearchParametersAt(true, false)
		if c, err = l.SaveChunk(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if c, err = l.Chunk(t.Context()); err != nil || !c.Foreign {
			t.Fatalf("after a save of something else: %+v, %v", c, err)
		}
		c, ok := c.TakenOver(Survey{JobID: 5, PlannedTill: t1, Repairs: []OpenWindow{{3, t0}}, Figures: TakenOver{At: now.Truncate(time.Second), Complete: 2}})
		if !ok {
			t.Fatal("not taken over")
		}
		if _, err = l.SaveChunk(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		got, err := l.Chunk(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, got, cmpopts.IgnoreUnexported(Chunk{}), cmpopts.EquateEmpty()); diff != "" || !got.Watermark.Equal(t0) {
			t.Errorf("taken over (-want +got):\n%s", diff)
		}
		if _, again := got.TakenOver(Survey{}); again {
			t.Error("taken over twice")
		}
	})
}

func TestColumnsStayWithinTheServicesBounds(t *testing.T) {
	t.Parallel()
	onEachWithTables(t, func(t *testing.T, l *Ledger) {
		w := full()
		w.FailureReason = strings.Repeat("é", 40_000)
		w.Payloads = nil
		for i := range 100 {
			w.Payloads = append(w.Payloads, Payload{Blob: postedBlob(i+1, 250), Post: 250, From: 10_000 * i, To: 10_000 * (i + 1), State: Posted, Lines: 123_456_789,
				Moved: 123_456_000, NotBefore: millisOf(now), PostedAt: millisOf(now), MovedAt: millisOf(now),
				StatusURL: "https://a-rather-long-workspace-name-service.fhir.azurehealthcareapis.com/_operations/import/12345678901234"})
		}
		if _, err := l.InsertWindow(t.Context(), w); err != nil {
			t.Fatalf("100 payloads: %v", err)
		}
		got, err := l.Window(t.Context(), 7)
		if err != nil {
			t.Fatal(err)
		}
		if n := len([]rune(got.FailureReason)); n > maxText+20 || !strings.HasSuffix(got.FailureReason, "(cut)") {
			t.Errorf("a text of 40,000 characters was stored with %d", n)
		}
		w.Payloads = append(w.Payloads, w.Payloads...)
		if _, err := l.InsertWindow(t.Context(), w); err == nil || !strings.Contains(err.Error(), "Payloads") {
			t.Errorf("JSON beyond a property's bound: %v", err)
		}
	})
}

func add(t *testing.T, l *Ledger, p map[string]any) {
	t.Helper()
	row := p["RowKey"].(string)
	delete(p, "RowKey")
	if _, err := l.export.insert(t.Context(), l.partition, row, p); err != nil {
		t.Fatal(err)
	}
}
