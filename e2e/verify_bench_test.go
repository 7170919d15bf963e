package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"fhirmigration/sandbox/fhirservice"
	"fhirmigration/sandbox/functionshost"
)

// What BenchmarkDeepCheckOfAMillion compares: files of an export as the services write them.
const (
	million      = 1_000_000
	linesPerFile = 10_000
	mostResident = 150 << 20
)

// BenchmarkDeepCheckOfAMillion compares a million resources from staged files with the destination, through the built handler, which is killed on the way. It measures the
// handler's largest resident set.
func BenchmarkDeepCheckOfAMillion(b *testing.B) {
	for b.Loop() {
		destination, err := fhirservice.Start(b.Context(), fhirservice.Options{})
		if err != nil {
			b.Fatal(err)
		}
		source, err := fhirservice.Start(b.Context(), fhirservice.Options{}) // empty: it is not asked
		if err != nil {
			b.Fatal(err)
		}
		stageMillion(b, destination)
		host, err := functionshost.Start(b.Context(), functionshost.Options{Root: appRoot, Settings: map[string]string{
			"FUNCTIONS_WORKER_RUNTIME": "custom", "AzureWebJobsStorage": emulators.For(b).ConnectionString(),
			"ExportTimerSchedule": "0 0 0 1 1 *", "ImportTimerSchedule": "0 0 0 1 1 *", "VerifyTimerSchedule": "0 0 0 1 1 *",
			"AZURE_StorageConnectionString": emulators.For(b).ConnectionString(), "AZURE_SourceUri": source.URL(), "AZURE_SourceCredential": "none",
			"AZURE_DestinationUri": destination.URL(), "AZURE_DestinationCredential": "none", "AZURE_ExportTableName": "exportmillion", "AZURE_ChunkTableName": "chunkmillion",
			"AZURE_ExceptionTableName": "exceptionsmillion", "AZURE_FunctionTimeoutMinutes": "0.2",
		}})
		if err != nil {
			b.Fatal(err)
		}
		before := time.Now()
		peak := compareMillion(b, host)
		b.ReportMetric(million/time.Since(before).Seconds(), "resources/s")
		b.ReportMetric(float64(peak)/(1<<20), "MB-resident")
		if peak > mostResident {
			b.Errorf("%d MB resident", peak>>20)
		}
		host.Close()
		destination.Close()
		source.Close()
	}
}

// compareMillion runs the check to its end, with a kill on the way, and returns the largest resident set, in bytes.
func compareMillion(b *testing.B, host *functionshost.Host) (peak int64) {
	b.Helper()
	try := func(method, path string) (report checkReport, err error) {
		request, err := http.NewRequestWithContext(b.Context(), method, host.URL()+path, nil)
		if err != nil {
			return report, err
		}
		request.Header.Set("x-functions-key", host.FunctionKey())
		reply, err := http.DefaultClient.Do(request)
		if err != nil {
			return report, err
		}
		defer reply.Body.Close()
		body, err := io.ReadAll(reply.Body)
		if err == nil && reply.StatusCode >= 300 {
			err = fmt.Errorf("%s %s: %d %s", method, path, reply.StatusCode, body)
		}
		if err != nil {
			return report, err
		}
		return report, json.Unmarshal(body, &report)
	}
	ask := func() checkReport {
		report, err := try("GET", "/api/DeepCheck")
		if err != nil {
			b.Fatal(err)
		}
		return report
	}

	// Killed in the first step, as soon as that has saved something: a fast machine is through before there is a second one.
	posted := make(chan struct{})
	go func() {
		defer close(posted)
		try("POST", "/api/DeepCheck?count=all&source=staged") // in vain
	}()
	for deadline := time.Now().Add(time.Minute); ; {
		report, err := try("GET", "/api/DeepCheck") // 404 until the run is there
		if err == nil && report.Progress.Done > 0 {
			break
		}
		if time.Now().After(deadline) {
			b.Fatalf("nothing is compared: %+v (%v)", report, err)
		}
		<-time.After(20 * time.Millisecond)
	}
	peak = resident(b, host.PID())
	if err := syscall.Kill(host.PID(), syscall.SIGKILL); err != nil {
		b.Fatal(err)
	}
	<-posted

	report := ask()
	if report.State != "running" || report.Progress.Done >= million {
		b.Fatalf("the run was over before the handler was killed: %+v", report)
	}
	for ; report.State == "running"; report = ask() {
		if _, err := host.Invoke(b.Context(), "VerifyTimer"); err != nil {
			b.Fatal(err)
		}
	}
	if report.Counts["equal"] != million-1 || report.Counts["different"] != 1 || len(report.Counts) != 2 {
		b.Fatalf("%+v, want all equal but one", report.Counts)
	}
	return max(peak, resident(b, host.PID()))
}

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

func resident(b testing.TB, pid int) int64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	n, err := strconv.ParseInt(string(highWater.FindSubmatch(status)[1]), 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return n << 10
}

// stageMillion writes the files, the manifest and the rows that a migration of a million resources leaves behind, and fills the destination; one resource differs.
func stageMillion(b *testing.B, destination *fhirservice.Service) {
	b.Helper()
	blobs, err := azblob.NewClientFromConnectionString(emulators.For(b).ConnectionString(), nil)
	if err != nil {
		b.Fatal(err)
	}
	put := func(container, name string, content []byte) {
		blobs.CreateContainer(b.Context(), container, nil)
		if _, err := blobs.UploadBuffer(b.Context(), container, name, content, nil); err != nil {
			b.Fatal(err)
		}
	}
	type file struct {
		Type  string `json:"type"`
		URL   string `json:"url"`
		Count int    `json:"count"`
	}
	var files []file
	counts := map[string]int{}
	first := end.AddDate(-5, 0, 0)
	for n := 0; n < million/linesPerFile; n++ {
		typ := []string{"Observation", "Observation", "Encounter", "Claim"}[n%4]
		var lines bytes.Buffer
		var versions []fhirservice.Version
		for i := range linesPerFile {
			at := first.Add(time.Duration(n*linesPerFile+i) * 2 * time.Minute)
			line := fmt.Sprintf(`{"resourceType":%q,"id":"r-%d","meta":{"versionId":"1","lastUpdated":%q},"status":"final","subject":{"reference":"Patient/p-%d"},"note":%q}`,
				typ, n*linesPerFile+i, at.Format("2006-01-02T15:04:05.000+00:00"), i, strings.Repeat("n", 150))
			lines.WriteString(line + "\n")
			if n == 70 && i == 5000 {
				line = strings.Replace(line, "final", "amended", 1)
			}
			versions = append(versions, fhirservice.Version{Type: typ, ID: fmt.Sprintf("r-%d", n*linesPerFile+i), VersionID: "1", LastUpdated: at, Raw: []byte(line)})
		}
		if err := destination.Load(versions...); err != nil {
			b.Fatal(err)
		}
		name := fmt.Sprintf("%s-%d.ndjson", typ, n)
		put("export-million", name, lines.Bytes())
		files = append(files, file{typ, emulators.For(b).BlobURL() + "/export-million/" + name, linesPerFile})
		counts[typ] += linesPerFile
	}
	body, _ := json.Marshal(map[string]any{"transactionTime": "x", "request": "y", "output": files, "error": []any{}})
	put("import-424242", "manifest.json", body)
	byType, _ := json.Marshal(counts)
	instant := func(t time.Time) string { return t.Format("2006-01-02T15:04:05.000Z") }
	insertRow(b, "chunkmillion", "myrowkey", map[string]any{"JobId": int32(2), "since": instant(end), "plannedTill": instant(end)})
	insertRow(b, "exportmillion", "myrowkey1", map[string]any{"Since": instant(first), "Till": instant(end), "IsFirst": true, "IsExportComplete": true, "IsImportComplete": true,
		"IsProcessed": true, "ExportId": "424242", "CountsByType": string(byType)})
}

func insertRow(b *testing.B, table, key string, columns map[string]any) {
	b.Helper()
	service, err := aztables.NewServiceClientFromConnectionString(emulators.For(b).ConnectionString(), nil)
	if err != nil {
		b.Fatal(err)
	}
	service.NewClient(table).CreateTable(b.Context(), nil)
	row, err := json.Marshal(aztables.EDMEntity{Entity: aztables.Entity{PartitionKey: "mypartitionkey", RowKey: key}, Properties: columns})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := service.NewClient(table).AddEntity(b.Context(), row, nil); err != nil {
		b.Fatal(err)
	}
}
