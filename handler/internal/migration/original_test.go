package migration

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/sandbox/fhirservice"
)

// original writes the tables and blobs as the durable original does, by hand: its rows are property bags here, and its jobs are real ones at
// the services of the rig.
type original struct {
	*rig
	exports, chunks *aztables.Client
	blobs           *azblob.Client
	fileCount       int
	importID        int
}

// job is an export of the original, as far as it has got.
type job struct {
	number      int
	since, till time.Time
	url, id     string
	files       []map[string]any // the manifest's output, SearchParameter left out
	lines       int
	row         map[string]any
}

// newOriginal is a rig in whose tables the original was at work: data on days 1 to 39, four resources a file, two files a payload.
func newOriginal(t *testing.T, o rigOptions) *original {
	t.Helper()
	o.settings = append([]string{"StartDate=2024-01-01", "ExportWithHistory=true", "SpecificRun=true", "EndDate=2024-02-10", "ExportChunkTime=10", "MigrateSearchParameters=false"}, o.settings...)
	o.source.LinesPerFile = 4
	r := newRig(t, o)
	r.load(39, day(1), 24*time.Hour)
	tables, err := aztables.NewServiceClientFromConnectionString(r.emulator.ConnectionString(), nil)
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := azblob.NewClientFromConnectionString(r.emulator.ConnectionString(), nil)
	if err != nil {
		t.Fatal(err)
	}
	org := &original{rig: r, exports: tables.NewClient("export" + r.tables), chunks: tables.NewClient("chunk" + r.tables), blobs: blobs, fileCount: 2}
	for _, c := range []*aztables.Client{org.exports, org.chunks} {
		if _, err := c.CreateTable(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	return org
}

// originalEnd is where the range run of an original ends.
var originalEnd = time.Date(2024, 2, 10, 0, 0, 0, 0, time.UTC)

func (o *original) put(c *aztables.Client, key string, columns map[string]any) {
	o.t.Helper()
	row := map[string]any{"PartitionKey": "mypartitionkey", "RowKey": key}
	for name, v := range columns {
		if at, ok := v.(time.Time); ok {
			row[name], row[name+"@odata.type"] = at.UTC().Format(time.RFC3339Nano), "Edm.DateTime"
			continue
		}
		row[name] = v
	}
	body, err := json.Marshal(row)
	if err == nil {
		_, err = c.UpsertEntity(o.t.Context(), body, &aztables.UpsertEntityOptions{UpdateMode: aztables.UpdateModeReplace})
	}
	if err != nil {
		o.t.Fatal(err)
	}
}

// chunkRow writes the chunk row. since is the watermark, zero for none. Exporting everything at once, the original moves globalSinceExportType with it.
func (o *original) chunkRow(jobID int, since time.Time, more map[string]any) {
	o.t.Helper()
	row := map[string]any{"JobId": jobID, "ImportId": o.importID, "SearchParameterMigration": true,
		"noOfResources": 144, "resourceTypeIndex": 0, "multiExport": "", "globalSinceExportType": "", "globalTillExportType": "", "subSinceExportType": "", "subTillExportType": ""}
	if !since.IsZero() {
		row["since"] = ledger.FormatInstant(since)
		row["globalSinceExportType"] = row["since"]
	}
	maps.Copy(row, more)
	o.put(o.chunks, "myrowkey", row)
}

// call is a call of the original's to one of the services.
func (o *original) call(method, target string, body io.Reader) (*http.Response, []byte) {
	o.t.Helper()
	q, err := http.NewRequestWithContext(o.t.Context(), method, target, body)
	if err != nil {
		o.t.Fatal(err)
	}
	q.Header.Set("Prefer", "respond-async")
	q.Header.Set("Accept", "application/fhir+json")
	q.Header.Set("Content-Type", "application/fhir+json")
	reply, err := http.DefaultClient.Do(q)
	if err != nil {
		o.t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return reply, text
}

// started starts an export of days from and till, and writes its row as it is then: without the columns that come when it has ended.
func (o *original) started(number int, from, till float64) *job {
	o.t.Helper()
	return o.startedFor("", number, from, till)
}

// startedFor is started for one type, as the original does it type by type.
func (o *original) startedFor(typ string, number int, from, till float64) *job {
	o.t.Helper()
	j := &job{number: number, since: day(from), till: day(till)}
	scope := "_isParallel=true"
	if typ != "" {
		scope = "_type=" + typ
	}
	reply, text := o.call("GET", o.source.URL()+"/$export?"+scope+"&includeAssociatedData=_history,_deleted&_since="+
		url.QueryEscape(ledger.FormatInstant(j.since))+"&_till="+url.QueryEscape(ledger.FormatInstant(j.till)), nil)
	if reply.StatusCode != http.StatusAccepted {
		o.t.Fatalf("export: %d %s", reply.StatusCode, text)
	}
	j.url = reply.Header.Get("Content-Location")
	j.id = path.Base(j.url)
	j.row = map[string]any{"exportContentLocation": j.url, "importContentLocation": "", "IsExportComplete": false, "IsExportRunning": "Started",
		"IsImportComplete": false, "IsImportRunning": "Not Started", "ImportRequest": "", "Since": ledger.FormatInstant(j.since), "Till": ledger.FormatInstant(j.till),
		"StartTime": o.clock.Now(), "resourceTypeValue": typ}
	o.save(j)
	return j
}

func (o *original) save(j *job) { o.put(o.exports, fmt.Sprintf("myrowkey%d", j.number), j.row) }

// read asks for the manifest of an export.
func (o *original) read(j *job) {
	o.t.Helper()
	o.clock.Advance(time.Minute)
	reply, text := o.call("GET", j.url, nil)
	if reply.StatusCode != http.StatusOK {
		o.t.Fatalf("export %s: %d %s", j.id, reply.StatusCode, text)
	}
	var manifest struct{ Output []map[string]any }
	if err := json.Unmarshal(text, &manifest); err != nil {
		o.t.Fatal(err)
	}
	j.files, j.lines = manifest.Output, 0
	for _, f := range j.files {
		j.lines += int(f["count"].(float64))
	}
}

// bodies saves the request bodies of the first n payloads, of all with n < 0, and returns their number.
func (o *original) bodies(j *job, n int) (saved int) {
	o.t.Helper()
	o.container("import-" + j.id)
	for from := 0; from < len(j.files) && saved != n; from += o.fileCount {
		parameters := []any{map[string]any{"name": "inputFormat", "valueString": "application/fhir+ndjson"}, map[string]any{"name": "mode", "valueString": "IncrementalLoad"}}
		for _, f := range j.files[from:min(from+o.fileCount, len(j.files))] {
			parameters = append(parameters, map[string]any{"name": "input", "part": []any{
				map[string]any{"name": "type", "valueString": f["type"]}, map[string]any{"name": "url", "valueString": f["url"]}}})
		}
		body, err := json.Marshal(map[string]any{"resourceType": "Parameters", "parameter": parameters})
		if err != nil {
			o.t.Fatal(err)
		}
		saved++
		o.blob("import-"+j.id, payloadName(saved), body)
	}
	return saved
}

func payloadName(n int) string { return fmt.Sprintf("import_payload_%d.json", n) }

func (o *original) container(name string) {
	o.t.Helper()
	if _, err := o.blobs.CreateContainer(o.t.Context(), name, nil); err != nil && !strings.Contains(err.Error(), "ContainerAlreadyExists") {
		o.t.Fatal(err)
	}
}

func (o *original) blob(container, name string, body []byte) {
	o.t.Helper()
	if _, err := o.blobs.UploadBuffer(o.t.Context(), container, name, body, nil); err != nil {
		o.t.Fatal(err)
	}
}

// exported follows an export to its end and saves all its request bodies: the row as it is then.
func (o *original) exported(number int, from, till float64) *job {
	o.t.Helper()
	return o.ended(o.started(number, from, till))
}

// ended follows an export that was started to its end.
func (o *original) ended(j *job) *job {
	o.t.Helper()
	o.read(j)
	n := o.bodies(j, -1)
	maps.Copy(j.row, map[string]any{"IsExportComplete": true, "IsExportRunning": "Completed", "ImportRequest": "Yes", "ExportEndTime": o.clock.Now(), "ExportId": j.id,
		"TotalExportResourceCount": fmt.Sprint(j.lines), "IsFirst": true, "IsProcessed": false, "PayloadCount": n, "CompletedCount": 0})
	o.save(j)
	return j
}

// post posts payload n of an export and moves its body. It returns the status URL; no row says so yet.
func (o *original) post(j *job, n int) (statusURL string) {
	o.t.Helper()
	body, err := o.blobs.DownloadStream(o.t.Context(), "import-"+j.id, payloadName(n), nil)
	if err != nil {
		o.t.Fatal(err)
	}
	text, err := io.ReadAll(body.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	reply, answer := o.call("POST", o.destination.URL()+"/$import", strings.NewReader(string(text)))
	if reply.StatusCode != http.StatusAccepted {
		o.t.Fatalf("import: %d %s", reply.StatusCode, answer)
	}
	o.container("importprocessed-" + j.id)
	o.blob("importprocessed-"+j.id, payloadName(n), text)
	if _, err := o.blobs.DeleteBlob(o.t.Context(), "import-"+j.id, payloadName(n), nil); err != nil {
		o.t.Fatal(err)
	}
	return reply.Header.Get("Content-Location")
}

// posted posts payload n and writes the row that stands for it: the window's own for the first, else one of its own.
func (o *original) posted(j *job, n int) {
	o.t.Helper()
	statusURL := o.post(j, n)
	if j.row["ImportNo"] == nil {
		maps.Copy(j.row, map[string]any{"IsImportRunning": "Started", "importContentLocation": statusURL, "ImportStartTime": o.clock.Now(), "ImportNo": payloadName(n)})
		o.save(j)
		return
	}
	o.payloadRow(j, n, map[string]any{"importContentLocation": statusURL, "IsImportRunning": "Started"})
}

// payloadRow writes the row of payload n, which is not the first that was posted.
func (o *original) payloadRow(j *job, n int, more map[string]any) {
	o.t.Helper()
	row := map[string]any{"exportContentLocation": j.url, "IsExportComplete": true, "IsExportRunning": "Completed", "IsImportComplete": false, "ImportRequest": "Yes",
		"Since": j.row["Since"], "Till": j.row["Till"], "StartTime": j.row["StartTime"], "TotalExportResourceCount": j.row["TotalExportResourceCount"],
		"ExportEndTime": j.row["ExportEndTime"], "ExportId": j.id, "ImportNo": payloadName(n)}
	maps.Copy(row, more)
	o.put(o.exports, fmt.Sprintf("myrowkey%s%d", j.id, o.importID), row)
	o.importID++
}

// done migrates days from to till to the end, every payload, and writes the row as it is when all is well.
func (o *original) done(number int, from, till float64) *job {
	o.t.Helper()
	return o.finished(o.exported(number, from, till))
}

// finished imports an export that has ended.
func (o *original) finished(j *job) *job {
	o.t.Helper()
	n := j.row["PayloadCount"].(int)
	first := o.post(j, 1)
	for i := 2; i <= n; i++ {
		lines := o.imported(o.post(j, i))
		o.payloadRow(j, i, map[string]any{"IsImportRunning": "Completed", "IsImportComplete": true, "TotalImportResourceCount": lines, "EndTime": o.clock.Now()})
	}
	maps.Copy(j.row, map[string]any{"IsImportRunning": "Completed", "IsImportComplete": true, "importContentLocation": first, "ImportNo": payloadName(1), "IsProcessed": true,
		"CompletedCount": n, "TotalImportResourceCount": o.imported(first), "EndTime": o.clock.Now(), "ImportStartTime": o.clock.Now()})
	o.save(j)
	return j
}

// imported asks for an import that has ended, and sums its output as the original does: what was refused is not looked at.
func (o *original) imported(statusURL string) string {
	o.t.Helper()
	o.clock.Advance(time.Minute)
	reply, text := o.call("GET", statusURL, nil)
	if reply.StatusCode != http.StatusOK {
		o.t.Fatalf("import: %d %s", reply.StatusCode, text)
	}
	var result struct{ Output []struct{ Count int } }
	if err := json.Unmarshal(text, &result); err != nil {
		o.t.Fatal(err)
	}
	lines := 0
	for _, e := range result.Output {
		lines += e.Count
	}
	return fmt.Sprint(lines)
}

// forgets has the source not know an export any more, as after thirty days.
func (o *original) forgets(j *job) {
	o.t.Helper()
	if reply, text := o.call("DELETE", j.url, nil); reply.StatusCode != http.StatusAccepted {
		o.t.Fatalf("delete: %d %s", reply.StatusCode, text)
	}
}

// rows are all rows of the table "export", by key.
func (o *original) rows() map[string]map[string]any {
	o.t.Helper()
	all := map[string]map[string]any{}
	pages := o.exports.NewListEntitiesPager(&aztables.ListEntitiesOptions{Top: to.Ptr(int32(1000))})
	for pages.More() {
		page, err := pages.NextPage(o.t.Context())
		if err != nil {
			o.t.Fatal(err)
		}
		for _, body := range page.Entities {
			var row map[string]any
			if err := json.Unmarshal(body, &row); err != nil {
				o.t.Fatal(err)
			}
			all[row["RowKey"].(string)] = row
		}
	}
	return all
}

// exportedAgain are the windows of which an export was started after the first before of them, as since/till.
func (o *original) exportedAfter(before int) (windows []string) {
	for i, c := range o.exportCalls() {
		if i >= before {
			q, _ := url.ParseQuery(c.RawQuery)
			windows = append(windows, q.Get("_since")[:10]+"/"+q.Get("_till")[:10])
		}
	}
	return windows
}

func (r *rig) exportCalls() (calls []fhirservice.Call) {
	for _, c := range r.source.Calls() {
		if c.Kind == fhirservice.Export {
			calls = append(calls, c)
		}
	}
	return calls
}

func decoded(t *testing.T, body []byte) (row map[string]any) {
	t.Helper()
	if err := json.Unmarshal(body, &row); err != nil {
		t.Fatal(err)
	}
	return row
}
