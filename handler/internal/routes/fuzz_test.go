package routes

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/migration"
	"fhirmigration/handler/internal/settings"
	"fhirmigration/handler/internal/staging"
)

// unpredictable are random bytes that are none: what is made of them does not matter here.
type unpredictable struct{}

func (unpredictable) Read(p []byte) (int, error) { return len(p), nil }

// The host hands on whatever a caller sends, and sends an envelope of its own to timers. Whatever it is, nothing panics, an answer is JSON with
// a status that tells whose fault it is, and a timer is answered with an object that is not empty.
func FuzzRequest(f *testing.F) {
	posts := []string{"/api/Pause", "/api/Resume", "/api/StartNow", "/api/AcceptSettings", "/api/Windows/1/release", "/api/Windows/1/retry", "/api/Windows/1/cancel",
		"/api/Windows/1/acceptFindings", "/api/Exceptions/0000000001-1-ab/accept", "/api/Exceptions/0000000001-1-ab/retry", "/ExportTimer"}
	for i := range posts {
		for _, body := range []string{"", "{}", `{"by":"dr. who","reason":"why"}`, `{"by":7,"reason":[]}`, `{"by":"\u0000\ud800","reason":"x"}{`,
			`{"Data":{"timer":{"Schedule":{"AdjustForDST":true},"ScheduleStatus":null,"IsPastDue":false}},"Metadata":{"sys":{"MethodName":"ExportTimer"}}}`} {
			f.Add(uint8(i), "", []byte(body))
		}
	}
	f.Add(uint8(8), "from=&window=1&max=1000&state=open", []byte{})
	f.Add(uint8(8), "max=-1&window=x", []byte{})
	set, err := settings.Load([]string{"AZURE_StagingStorageUri=https://a.table.core.windows.net", "AZURE_BlobStorageUri=https://a.blob.core.windows.net", "AZURE_SourceUri=http://127.0.0.1:1", "AZURE_SourceCredential=none",
		"AZURE_DestinationUri=http://127.0.0.1:2", "AZURE_DestinationCredential=none"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, route uint8, query string, body []byte) {
		var log bytes.Buffer
		tables := ledger.OpenMemory(ledger.NewMemory(), ledger.Options{ExportTable: "export", ChunkTable: "chunk", ExceptionTable: "exceptions", PartitionKey: "p", RowKey: "row"})
		if err := tables.CreateTables(t.Context()); err != nil {
			t.Fatal(err)
		}
		m := migration.New(migration.Options{Settings: set, Ledger: tables, Staging: staging.OpenMemory(staging.NewMemory()), Clock: func() time.Time { return time.Unix(1e9, 0) },
			Random: unpredictable{}, Log: slog.New(slog.NewTextHandler(&log, nil))})
		o := Options{Migration: m, Log: m.Log}
		path := posts[int(route)%len(posts)]
		timer := strings.HasSuffix(path, "Timer")
		var h http.Handler = New(o)
		if timer { // a step needs services; the envelope is what is of interest
			h = o.timer(path, func(context.Context) (any, error) { return migration.Summary{Step: "export"}, nil })
		}
		requests := []*http.Request{httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body))}
		if !timer {
			list := httptest.NewRequest(http.MethodGet, "/api/Exceptions", nil)
			list.URL.RawQuery = query
			odd := httptest.NewRequest(http.MethodPost, "/api/Exceptions/x/accept", bytes.NewReader(body))
			odd.URL = &url.URL{Path: "/api/Exceptions/" + query + "/accept"}
			requests = append(requests, list, odd)
		}
		for _, r := range requests {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if strings.Contains(log.String(), "panic") || w.Code >= http.StatusInternalServerError {
				t.Errorf("%s %s: %d\n%s", r.Method, r.URL, w.Code, log.String())
			}
			var reply map[string]any
			if w.Header().Get("Content-Type") == "application/json" {
				if err := json.Unmarshal(w.Body.Bytes(), &reply); err != nil || len(reply) == 0 {
					t.Errorf("%s %s: %d %q", r.Method, r.URL, w.Code, w.Body)
				}
			} else if w.Code != http.StatusNotFound && w.Code != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d without JSON: %q", r.Method, r.URL, w.Code, w.Body)
			}
		}
	})
}
