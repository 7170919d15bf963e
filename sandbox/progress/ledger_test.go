package progress_test

import (
	"encoding/json"
	"testing"
	"time"

	"fhirmigration/sandbox/azurite"
	"fhirmigration/sandbox/progress"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var names = progress.Names{ExportTable: "export", ChunkTable: "chunk", PartitionKey: "part", RowKey: "row"}

// tables is a storage account with the two tables, and a way to write a row into one of them.
func tables(t *testing.T) (ledger *progress.Ledger, write func(table, rowKey string, columns map[string]any)) {
	t.Helper()
	server, err := azurite.Start(t.Context(), azurite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	account, err := aztables.NewServiceClientFromConnectionString(server.ConnectionString(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ledger, err = progress.Open(server.ConnectionString(), names)
	if err != nil {
		t.Fatal(err)
	}
	return ledger, func(table, rowKey string, columns map[string]any) {
		t.Helper()
		client := account.NewClient(table)
		_, _ = client.CreateTable(t.Context(), nil) // may be there
		columns["PartitionKey"], columns["RowKey"] = names.PartitionKey, rowKey
		row, err := json.Marshal(columns)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.UpsertEntity(t.Context(), row, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadsTheTables(t *testing.T) {
	t.Parallel()
	ledger, write := tables(t)

	nothing, err := ledger.Read(t.Context())
	if err != nil {
		t.Fatalf("before the first window: %v", err)
	}
	if diff := cmp.Diff(progress.Progress{}, nothing); diff != "" {
		t.Errorf("before the first window (-want +got):\n%s", diff)
	}

	write("chunk", "row", map[string]any{
		"plannedTill": "2024-03-01T00:00:00.000Z",
		"openWindows": `[{"number":2,"since":"2024-01-01T00:00:00Z"},{"number":3,"since":"2024-02-01T00:00:00Z"},{"number":4}]`,
		"totals":      `{"windows":1,"exported":30,"imported":29,"refused":1}`,
		"JobId":       5,
	})
	write("export", "row1", map[string]any{"IsFirst": true, "IsExportComplete": true, "IsImportComplete": true})
	write("export", "row2", map[string]any{
		"IsFirst": true, "Since": "2024-01-01T00:00:00.000Z", "Till": "2024-02-01T00:00:00.000Z",
		"exportContentLocation": "http://source/_operations/export/1", "IsExportRunning": "Completed", "IsExportComplete": true,
		"IsImportRunning": "Running", "TotalExportResourceCount": "12", "PayloadCount": 2, "CompletedCount": 1,
		"StartTime": "2026-03-01T10:00:00Z", "StartTime@odata.type": "Edm.DateTime",
	})
	write("export", "row3", map[string]any{
		"IsFirst": true, "exportContentLocation": "http://source/_operations/export/2", "IsExportRunning": "Running",
		"IsExportComplete": false, "IsImportRunning": "Not Started", "Held": "the books do not balance",
	})
	write("export", "row99", map[string]any{"IsFirst": false})

	got, err := ledger.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := progress.Progress{
		PlannedTill: time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC),
		Listed:      4, Done: 1, ExportedLines: 30, ImportedLines: 29, RefusedLines: 1,
		Open: []progress.Window{
			{
				Number: 2, Since: "2024-01-01T00:00:00.000Z", Till: "2024-02-01T00:00:00.000Z",
				ExportURL: "http://source/_operations/export/1", ExportRunning: "Completed", ExportComplete: true,
				ImportRunning: "Running", ExportedLines: "12", PayloadCount: 2, CompletedPayload: 1,
				StartTime: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC),
			},
			{
				Number: 3, ExportURL: "http://source/_operations/export/2", ExportRunning: "Running", ImportRunning: "Not Started",
				Held: "the books do not balance",
			},
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateApproxTime(0)); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}

	all, err := ledger.Windows(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 3 {
		t.Errorf("%d windows, want 3: rows that are not a window's own do not count", len(all))
	}
}

func TestNamesTheColumnItCannotRead(t *testing.T) {
	t.Parallel()
	ledger, write := tables(t)
	write("chunk", "row", map[string]any{"plannedTill": "yesterday"})
	if _, err := ledger.Read(t.Context()); err == nil {
		t.Error("no error for a plannedTill that is no instant")
	}
}
