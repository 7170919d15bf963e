// Package original plays the durable original of the migration tool as far as it is seen from outside: it exports and imports a few windows
// at the FHIR services, one after the other, and leaves the rows and blobs that it leaves. Who starts the handler on them sees it take over.
package original

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
)

// Options say where it works.
type Options struct {
	StorageConnectionString       string
	ExportTable, ChunkTable       string
	PartitionKey, RowKey          string
	Source, Destination           string // base URLs
	SourceToken, DestinationToken string // "" for services without authentication
	FileCount                     int    // files of one payload
}

// Stage is how far a window gets.
type Stage string

// The stages, in their order.
const (
	Exporting  Stage = "exporting"   // its export runs
	Exported   Stage = "exported"    // the request bodies of its imports are saved, none is posted
	HalfPosted Stage = "half posted" // the first import is posted, the others are not
	// HidesFailure: closed, although an import beyond the first was refused and never made.
	HidesFailure Stage = "hides a failure"
	Closed       Stage = "closed"
)

// Original writes to the tables and blobs of one storage account.
type Original struct {
	Options
	exports, chunks *aztables.Client
	blobs           *azblob.Client
	importID        int // number of the next payload's row
}

// Open prepares the tables.
func Open(ctx context.Context, o Options) (*Original, error) {
	tables, err := aztables.NewServiceClientFromConnectionString(o.StorageConnectionString, nil)
	if err != nil {
		return nil, fmt.Errorf("open tables: %w", err)
	}
	blobs, err := azblob.NewClientFromConnectionString(o.StorageConnectionString, nil)
	if err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	original := &Original{Options: o, exports: tables.NewClient(o.ExportTable), chunks: tables.NewClient(o.ChunkTable), blobs: blobs}
	for _, c := range []*aztables.Client{original.exports, original.chunks} {
		if _, err := c.CreateTable(ctx, nil); err != nil {
			return nil, fmt.Errorf("create table: %w", err)
		}
	}
	return original, nil
}

// Chunk writes the chunk row: the number of the next window, and up to where all is closed.
func (o *Original) Chunk(ctx context.Context, jobID int, since time.Time) error {
	return o.put(ctx, o.chunks, o.RowKey, map[string]any{"JobId": jobID, "ImportId": o.importID, "SearchParameterMigration": false, "since": instant(since),
		"globalSinceExportType": instant(since), "globalTillExportType": "", "subSinceExportType": "", "subTillExportType": "", "multiExport": "",
		"noOfResources": 144, "resourceTypeIndex": 0, "maxExportRetries": 0})
}

// Window migrates [since, till) as far as stage, and writes its rows. Its number is that of its row.
func (o *Original) Window(ctx context.Context, number int, since, till time.Time, stage Stage) error {
	if err := o.window(ctx, number, since, till, stage); err != nil {
		return fmt.Errorf("original: window %d: %w", number, err)
	}
	return nil
}

func (o *Original) window(ctx context.Context, number int, since, till time.Time, stage Stage) error {
	key := fmt.Sprintf("%s%d", o.RowKey, number)
	query := "/$export?_isParallel=true&includeAssociatedData=_history,_deleted&_since=" + url.QueryEscape(instant(since)) + "&_till=" + url.QueryEscape(instant(till))
	statusURL, err := o.kickOff(ctx, http.MethodGet, o.Source+query, nil, o.SourceToken)
	if err != nil {
		return err
	}
	id := path.Base(statusURL)
	row := map[string]any{"exportContentLocation": statusURL, "importContentLocation": "", "IsExportComplete": false, "IsExportRunning": "Started",
		"IsImportComplete": false, "IsImportRunning": "Not Started", "ImportRequest": "", "Since": instant(since), "Till": instant(till), "StartTime": time.Now(), "resourceTypeValue": ""}
	if stage == Exporting {
		return o.put(ctx, o.exports, key, row)
	}
	var manifest struct {
		Output []struct {
			Type, URL string
			Count     int
		}
	}
	if err := o.result(ctx, statusURL, o.SourceToken, &manifest); err != nil {
		return err
	}
	lines := 0
	for _, f := range manifest.Output {
		lines += f.Count
	}
	var bodies [][]byte
	for from := 0; from < len(manifest.Output); from += o.FileCount {
		parameters := []any{parameter("inputFormat", "application/fhir+ndjson"), parameter("mode", "IncrementalLoad")}
		for _, f := range manifest.Output[from:min(from+o.FileCount, len(manifest.Output))] {
			parameters = append(parameters, map[string]any{"name": "input", "part": []any{parameter("type", f.Type), parameter("url", f.URL)}})
		}
		body, err := json.Marshal(map[string]any{"resourceType": "Parameters", "parameter": parameters})
		if err != nil {
			return err
		}
		bodies = append(bodies, body)
		if err := o.save(ctx, "import-"+id, payload(len(bodies)), body); err != nil {
			return err
		}
	}
	maps.Copy(row, map[string]any{"IsExportComplete": true, "IsExportRunning": "Completed", "ImportRequest": "Yes", "ExportEndTime": time.Now(), "ExportId": id,
		"TotalExportResourceCount": fmt.Sprint(lines), "IsFirst": true, "IsProcessed": false, "PayloadCount": len(bodies), "CompletedCount": 0})
	if stage != Exported {
		if err := o.imports(ctx, id, row, bodies, stage); err != nil {
			return err
		}
	}
	return o.put(ctx, o.exports, key, row)
}

// imports posts what stage wants of the bodies, and completes the window's own row. The rows of payloads beyond the first are written.
func (o *Original) imports(ctx context.Context, id string, row map[string]any, bodies [][]byte, stage Stage) error {
	for i, body := range bodies {
		if i > 0 && stage == HalfPosted {
			return nil
		}
		own := map[string]any{"exportContentLocation": row["exportContentLocation"], "IsExportComplete": true, "IsExportRunning": "Completed", "IsImportComplete": false,
			"ImportRequest": "Yes", "Since": row["Since"], "Till": row["Till"], "StartTime": row["StartTime"], "ExportEndTime": row["ExportEndTime"],
			"TotalExportResourceCount": row["TotalExportResourceCount"], "ExportId": id, "ImportNo": payload(i + 1)}
		switch {
		case i == len(bodies)-1 && i > 0 && stage == HidesFailure:
			own["IsImportRunning"], own["IsProcessed"], own["FailureReason"] = "failed", true, "the service is busy"
		default:
			statusURL, err := o.kickOff(ctx, http.MethodPost, o.Destination+"/$import", body, o.DestinationToken)
			if err != nil {
				return err
			}
			own["importContentLocation"], own["IsImportRunning"], own["ImportStartTime"] = statusURL, "Started", time.Now()
			if stage != HalfPosted {
				if err := o.ended(ctx, statusURL, own); err != nil {
					return err
				}
			}
		}
		if err := o.move(ctx, id, payload(i+1), body); err != nil {
			return err
		}
		if i == 0 {
			for _, name := range []string{"importContentLocation", "IsImportRunning", "ImportStartTime", "ImportNo", "IsImportComplete", "TotalImportResourceCount", "EndTime"} {
				if v, there := own[name]; there {
					row[name] = v
				}
			}
			continue
		}
		if err := o.put(ctx, o.exports, fmt.Sprintf("%s%s%d", o.RowKey, id, o.importID), own); err != nil {
			return err
		}
		o.importID++
	}
	if stage != HalfPosted {
		row["IsProcessed"], row["CompletedCount"] = true, len(bodies)
	}
	return nil
}

// ended follows an import to its end and sums its output; what it refused is not looked at.
func (o *Original) ended(ctx context.Context, statusURL string, row map[string]any) error {
	var result struct{ Output []struct{ Count int } }
	if err := o.result(ctx, statusURL, o.DestinationToken, &result); err != nil {
		return err
	}
	lines := 0
	for _, e := range result.Output {
		lines += e.Count
	}
	row["IsImportComplete"], row["IsImportRunning"], row["TotalImportResourceCount"], row["EndTime"] = true, "Completed", fmt.Sprint(lines), time.Now()
	return nil
}

func (o *Original) call(ctx context.Context, method, target string, body []byte, token string) (*http.Response, []byte, error) {
	q, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	q.Header.Set("Prefer", "respond-async")
	q.Header.Set("Accept", "application/fhir+json")
	q.Header.Set("Content-Type", "application/fhir+json")
	if token != "" {
		q.Header.Set("Authorization", "Bearer "+token)
	}
	reply, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, nil, err
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	return reply, text, err
}

func (o *Original) kickOff(ctx context.Context, method, target string, body []byte, token string) (statusURL string, _ error) {
	reply, text, err := o.call(ctx, method, target, body, token)
	if err != nil {
		return "", err
	}
	if reply.StatusCode != http.StatusAccepted {
		return "", fmt.Errorf("%s %s: %s: %.300s", method, target, reply.Status, text)
	}
	return reply.Header.Get("Content-Location"), nil
}

// result asks for a job until it has ended.
func (o *Original) result(ctx context.Context, statusURL, token string, into any) error {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		reply, text, err := o.call(ctx, http.MethodGet, statusURL, nil, token)
		switch {
		case err != nil:
			return err
		case reply.StatusCode == http.StatusOK:
			return json.Unmarshal(text, into)
		case reply.StatusCode != http.StatusAccepted:
			return fmt.Errorf("poll %s: %s: %.300s", statusURL, reply.Status, text)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-again.C:
		}
	}
}

func (o *Original) put(ctx context.Context, table *aztables.Client, key string, columns map[string]any) error {
	row := map[string]any{"PartitionKey": o.PartitionKey, "RowKey": key}
	for name, v := range columns {
		if at, ok := v.(time.Time); ok {
			v, row[name+"@odata.type"] = at.UTC().Format(time.RFC3339Nano), "Edm.DateTime"
		}
		row[name] = v
	}
	body, err := json.Marshal(row)
	if err != nil {
		return err
	}
	_, err = table.AddEntity(ctx, body, nil)
	return err
}

func (o *Original) save(ctx context.Context, container, name string, body []byte) error {
	if _, err := o.blobs.CreateContainer(ctx, container, nil); err != nil && !bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
		return err
	}
	_, err := o.blobs.UploadBuffer(ctx, container, name, body, nil)
	return err
}

// move moves the body of a payload that was posted, or refused.
func (o *Original) move(ctx context.Context, id, name string, body []byte) error {
	if err := o.save(ctx, "importprocessed-"+id, name, body); err != nil {
		return err
	}
	_, err := o.blobs.DeleteBlob(ctx, "import-"+id, name, nil)
	return err
}

func payload(n int) string { return fmt.Sprintf("import_payload_%d.json", n) }

func parameter(name, value string) map[string]any {
	return map[string]any{"name": name, "valueString": value}
}

func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
