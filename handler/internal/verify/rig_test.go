package verify

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/settings"
	"fhirmigration/handler/internal/staging"
	"fhirmigration/sandbox/fhirservice"
	"fhirmigration/sandbox/testclock"
)

// day0 is where the data of the tests begin, watermark up to where they are migrated, and now what the services' clocks show.
var (
	day0      = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	watermark = day0.AddDate(1, 0, 0)
	now       = watermark.AddDate(0, 0, 7)
)

// rig is a Verify between two FHIR services of the sandbox; tables and blobs are in memory.
type rig struct {
	*Verify
	t                   testing.TB
	clock               *testclock.Clock
	tables              *ledger.Memory
	blobs               *staging.Memory
	source, destination *fhirservice.Service
	waits               int
}

func newRig(t testing.TB, settingsOf ...string) *rig {
	t.Helper()
	r := &rig{t: t, clock: testclock.New(now), tables: ledger.NewMemory(), blobs: staging.NewMemory()}
	start := func(kind fhirservice.Kind) *fhirservice.Service {
		s, err := fhirservice.Start(t.Context(), fhirservice.Options{Kind: kind, Clock: r.clock.Now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	kind := fhirservice.SQL
	if slices.Contains(settingsOf, "cosmos") {
		kind = fhirservice.Cosmos
		settingsOf = slices.DeleteFunc(slices.Clone(settingsOf), func(s string) bool { return s == "cosmos" })
	}
	r.source, r.destination = start(kind), start(fhirservice.SQL)
	r.Verify = r.handler(r.source.URL(), r.destination.URL(), settingsOf...)
	return r
}

// handler makes a Verify as a handler that has just started does.
func (r *rig) handler(source, destination string, settingsOf ...string) *Verify {
	r.t.Helper()
	environ := []string{"AZURE_SourceUri=" + source, "AZURE_SourceCredential=none", "AZURE_DestinationUri=" + destination, "AZURE_DestinationCredential=none",
		"AZURE_StorageConnectionString=DefaultEndpointsProtocol=http;AccountName=a;AccountKey=Zm9v;BlobEndpoint=http://127.0.0.1:1/a;TableEndpoint=http://127.0.0.1:1/a"}
	for _, s := range settingsOf {
		environ = append(environ, "AZURE_"+s)
	}
	set, err := settings.Load(environ)
	if err != nil {
		r.t.Fatal(err)
	}
	service := func(base string) *fhir.Service {
		s, err := fhir.New(fhir.Options{Base: base, Clock: r.clock.Now, Timeout: 20 * time.Second})
		if err != nil {
			r.t.Fatal(err)
		}
		return s
	}
	tables := ledger.OpenMemory(r.tables, ledger.Options{ExportTable: set.ExportTableName, ChunkTable: set.ChunkTableName, PartitionKey: set.PartitionKey, RowKey: set.RowKey})
	if err := tables.CreateTables(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	return New(Options{Settings: set, Source: service(source), Destination: service(destination), Ledger: tables, Staging: staging.OpenMemory(r.blobs), Clock: r.clock.Now,
		Random: rand.Reader, Log: slog.New(slog.NewTextHandler(testLog{r.t}, nil)),
		Wait: func(ctx context.Context, _ time.Duration) error { r.waits++; return ctx.Err() }})
}

// testLog shows the log when the test fails.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

// version makes one version of a resource; content is further members of its JSON.
func version(typ, id string, number int, at time.Time, content string) fhirservice.Version {
	return fhirservice.Version{Type: typ, ID: id, VersionID: strconv.Itoa(number), LastUpdated: at,
		Raw: []byte(fmt.Sprintf(`{"resourceType":%q,"id":%q%s}`, typ, id, content))}
}

func deletion(typ, id string, number int, at time.Time) fhirservice.Version {
	return fhirservice.Version{Type: typ, ID: id, VersionID: strconv.Itoa(number), LastUpdated: at, Deleted: true}
}

// clinic is n resources of each of three types, spread over the year; every tenth has three versions, every twenty-fifth is deleted in the end.
func clinic(n int) (all []fhirservice.Version) {
	step := watermark.Sub(day0) / time.Duration(n+2)
	for i := range n {
		at := day0.Add(step * time.Duration(i))
		for _, typ := range []string{"Patient", "Observation", "Claim"} {
			id := fmt.Sprintf("%s-%d", strings.ToLower(typ), i)
			versions := 1
			if i%10 == 3 {
				versions = 3
			}
			for v := 1; v <= versions; v++ {
				all = append(all, version(typ, id, v, at.Add(time.Duration(v)*time.Minute), fmt.Sprintf(`,"status":"final","valueQuantity":{"value":%d.10},"note":[{"text":"v%d"}]`, i, v)))
			}
			if i%25 == 7 {
				all = append(all, deletion(typ, id, versions+1, at.Add(time.Hour)))
			}
		}
	}
	return all
}

// load fills a service.
func load(t testing.TB, s *fhirservice.Service, versions []fhirservice.Version) {
	t.Helper()
	if err := s.Load(versions...); err != nil {
		t.Fatal(err)
	}
}

// migrated says that everything up to the watermark is at the destination, as one window.
func (r *rig) migrated() {
	r.t.Helper()
	chunk := ledger.NewChunk(watermark)
	chunk.JobID = 2
	if _, err := r.Ledger.InsertChunk(r.t.Context(), chunk); err != nil {
		r.t.Fatal(err)
	}
}

// stage writes what an export of [day0, watermark) would, in files of so many lines, and its window.
func (r *rig) stage(versions []fhirservice.Version, lines int) {
	r.t.Helper()
	byType := map[string][]string{}
	for _, v := range versions {
		raw := string(v.Raw)
		if v.Deleted {
			raw = fmt.Sprintf(`{"resourceType":%q,"id":%q,"meta":{"extension":[{"url":%q,"valueString":%q}]}}`, v.Type, v.ID, deletedStateURL, deletedStateValue)
		}
		raw = strings.Replace(withMeta(raw), `"meta":{`, fmt.Sprintf(`"meta":{"versionId":%q,"lastUpdated":%q,`, v.VersionID, v.LastUpdated.Format("2006-01-02T15:04:05.000Z")), 1)
		byType[v.Type] = append(byType[v.Type], strings.Replace(raw, `,}`, `}`, 1))
	}
	type file struct {
		Type  string `json:"type"`
		URL   string `json:"url"`
		Count int    `json:"count"`
	}
	var files []file
	w := ledger.NewWindow(1, day0, watermark)
	w.CountsByType = map[string]int64{}
	for typ, all := range byType {
		w.CountsByType[typ] = int64(len(all))
		for n, chunk := 0, all; len(chunk) > 0; n++ {
			take := min(lines, len(chunk))
			name := fmt.Sprintf("staged/%s-%d.ndjson", typ, n)
			where, err := r.Staging.PutFindings(r.t.Context(), name, []byte(strings.Join(chunk[:take], "\n")+"\n"))
			if err != nil {
				r.t.Fatal(err)
			}
			files = append(files, file{typ, "http://127.0.0.1:1/a/" + where, take})
			chunk = chunk[take:]
		}
	}
	body, err := json.Marshal(map[string]any{"transactionTime": "x", "request": "y", "output": files, "error": []any{}})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.Staging.PutManifest(r.t.Context(), "7", bytes.NewReader(body)); err != nil {
		r.t.Fatal(err)
	}
	w.ExportID, w.ExportComplete, w.ImportComplete, w.Processed = "7", true, true, true
	if _, err := r.Ledger.InsertWindow(r.t.Context(), w); err != nil {
		r.t.Fatal(err)
	}
	r.migrated()
}

func withMeta(raw string) string {
	if strings.Contains(raw, `"meta":{`) {
		return raw
	}
	return strings.TrimSuffix(raw, "}") + `,"meta":{}}`
}

// check runs a check to its end.
func (r *rig) check(q Request) Report {
	r.t.Helper()
	report, err := r.Start(r.t.Context(), q)
	if err != nil {
		r.t.Fatal(err)
	}
	for range 50 {
		if report, err = r.Step(r.t.Context(), report.Run, time.Minute); err != nil {
			r.t.Fatal(err)
		}
		if report.State != ledger.RunRunning {
			return report
		}
		r.clock.Advance(time.Hour) // whatever was asked to wait may go on
	}
	r.t.Fatalf("the run does not end: %+v", report)
	return report
}

// all are the findings of a report that are not equal.
func (r *rig) all(report Report) (found []Finding) {
	r.t.Helper()
	err := r.findings(r.t.Context(), report.FindingBlobs, func(f Finding) bool {
		if f.Outcome != Equal {
			found = append(found, f)
		}
		return true
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return found
}

// sharedData reads all the test data that lies beside the project, and gives each resource a time of its own; nil when there is none.
func sharedData(t testing.TB) (all []fhirservice.Version) {
	t.Helper()
	folder := os.Getenv("FHIR_TEST_DATA")
	if folder == "" {
		return nil
	}
	files, err := filepath.Glob(filepath.Join(folder, "*", "*.ndjson.gz"))
	if err != nil {
		t.Fatal(err)
	}
	more, _ := filepath.Glob(filepath.Join(folder, "*.ndjson.gz"))
	for _, file := range append(files, more...) {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		unpacked, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		var content bytes.Buffer
		if _, err := content.ReadFrom(unpacked); err != nil {
			t.Fatal(err)
		}
		f.Close()
		for line := range bytes.Lines(content.Bytes()) {
			var named struct{ ResourceType, ID string }
			if err := json.Unmarshal(line, &named); err != nil {
				t.Fatal(err)
			}
			all = append(all, fhirservice.Version{Type: named.ResourceType, ID: named.ID, VersionID: "1", Raw: bytes.Clone(bytes.TrimSpace(line)),
				LastUpdated: day0.Add(time.Duration(len(all)) * time.Second)})
		}
	}
	return all
}
