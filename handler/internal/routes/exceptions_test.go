package routes

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/migration"
)

// The original's windows count from 0, so a list of the first one's refused lines is asked for with window=0. It holds no other window's.
func TestExceptionsOfAWindow(t *testing.T) {
	t.Parallel()
	tables := ledger.OpenMemory(ledger.NewMemory(), ledger.Options{ExportTable: "export", ChunkTable: "chunk", ExceptionTable: "exceptions", PartitionKey: "p", RowKey: "row"})
	if err := tables.CreateTables(t.Context()); err != nil {
		t.Fatal(err)
	}
	for window := range 3 {
		at := time.Unix(1e9, 0)
		e := ledger.Exception{ID: ledger.ExceptionKey(window, "a"), Window: window, State: ledger.ExceptionOpen, Lines: 1, Reason: "conflict", Created: at, Changed: at}
		if err := tables.AddException(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	h := New(Options{Migration: migration.New(migration.Options{Ledger: tables})})
	for query, want := range map[string]int{"": 3, "?window=0": 1, "?window=2": 1, "?window=3": 0, "?window=-1": -1, "?window=x": -1} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/Exceptions"+query, nil))
		var list struct{ Exceptions []exceptionView }
		if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		if refused := w.Code == http.StatusBadRequest; refused != (want < 0) || !refused && len(list.Exceptions) != want {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
}
