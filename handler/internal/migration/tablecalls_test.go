package migration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/sandbox/fhirservice"
)

func exportRequest(since, till time.Time) fhir.ExportRequest {
	return fhir.ExportRequest{Since: since, Till: till}
}

// A tick with nothing to do costs at most three table calls, however many windows there are behind it; one more every few minutes,
// to note that the timer fires.
func TestIdleTickCostsThreeTableCalls(t *testing.T) {
	t.Parallel()
	for _, windows := range []int{100, 10_000} {
		t.Run(fmt.Sprint(windows), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{settings: rangeRun, source: fhirservice.Options{}})
			r.load(1, day(1), 1)
			r.fillWithDoneWindows(windows)
			calls := r.countTableCalls()
			for step, run := range map[string]func() (Summary, error){
				"export": func() (Summary, error) { return r.ExportStep(t.Context()) },
				"import": func() (Summary, error) { return r.ImportStep(t.Context()) },
			} {
				var s Summary
				for noted, most := range []int64{4, 3, 3} {
					calls.Store(0)
					var err error
					if s, err = run(); err != nil {
						t.Fatal(err)
					}
					if n := calls.Load(); n > most || n == 0 {
						t.Errorf("idle %s step %d makes %d table calls", step, noted+1, n)
					}
				}
				if s.Open != 0 || s.Planned != 0 || !s.Watermark.Equal(rangeEnd) {
					t.Errorf("the step was not idle: %+v", s)
				}
			}
		})
	}
}

// fillWithDoneWindows writes rows as a finished migration leaves them, a hundred in a transaction.
func (r *rig) fillWithDoneWindows(n int) {
	r.t.Helper()
	ctx := r.t.Context()
	if err := r.Ledger.CreateTables(ctx); err != nil {
		r.t.Fatal(err)
	}
	service, err := aztables.NewServiceClientFromConnectionString(r.emulator.ConnectionString(), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	client := service.NewClient("export" + r.tables)
	var batch []aztables.TransactionAction
	for i := 1; i <= n; i++ {
		row, err := json.Marshal(map[string]any{"PartitionKey": "mypartitionkey", "RowKey": fmt.Sprintf("myrowkey%d", i), "IsFirst": true,
			"Since": ledger.FormatInstant(day0), "Till": ledger.FormatInstant(day(1)), "IsExportComplete": true, "IsImportComplete": true, "IsProcessed": true})
		if err != nil {
			r.t.Fatal(err)
		}
		if batch = append(batch, aztables.TransactionAction{ActionType: aztables.TransactionTypeAdd, Entity: row}); len(batch) == 100 || i == n {
			if _, err := client.SubmitTransaction(ctx, batch, nil); err != nil {
				r.t.Fatal(err)
			}
			batch = nil
		}
	}
	c := ledger.NewChunk(rangeEnd)
	c, _ = c.Skip(n)
	c, _ = c.Pin(r.Settings.Pinned())
	c, _ = c.SearchParametersAt(true, true)
	if _, err := r.Ledger.InsertChunk(ctx, c); err != nil {
		r.t.Fatal(err)
	}
}

// countTableCalls puts a proxy before the table service, makes the handler anew behind it, and counts.
func (r *rig) countTableCalls() *atomic.Int64 {
	r.t.Helper()
	calls := &atomic.Int64{}
	target, err := url.Parse(r.emulator.TableURL())
	if err != nil {
		r.t.Fatal(err)
	}
	target.Path = ""
	proxy := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		calls.Add(1)
		proxy.ServeHTTP(w, q)
	}))
	r.t.Cleanup(server.Close)
	r.Migration = r.handler("StorageConnectionString=" + strings.Replace(r.emulator.ConnectionString(), "TableEndpoint="+target.String(), "TableEndpoint="+server.URL, 1))
	return calls
}
