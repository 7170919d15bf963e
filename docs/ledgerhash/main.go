// Command ledgerhash computes the SHA-256 that a certificate prints, from the tables as the storage service lists them. It shares no code
// with the handler: docs/verification.md describes what it does.
//
//	go run ./docs/ledgerhash -endpoint https://<account>.table.core.windows.net
//
// It calls with the identity that is logged in (az login), which needs Storage Table Data Reader; for an emulator there is -connection.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run prints the digest and how many rows it is over.
func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("ledgerhash", flag.ContinueOnError)
	endpoint := flags.String("endpoint", "", "the table endpoint, AZURE_StagingStorageUri")
	connection := flags.String("connection", "", "a connection string, in the place of the endpoint")
	partition := flags.String("partition", "mypartitionkey", "AZURE_PartitionKey")
	rowKey := flags.String("row", "myrowkey", "AZURE_RowKey")
	tables := [3]*string{
		flags.String("chunk", "chunk", "AZURE_ChunkTableName"), flags.String("export", "export", "AZURE_ExportTableName"), flags.String("exceptions", "exceptions", "AZURE_ExceptionTableName"),
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	service, err := open(*endpoint, *connection)
	if err != nil {
		return err
	}
	sum, rows := sha256.New(), 0
	for i, role := range []string{"chunk", "export", "exceptions"} {
		n, err := digest(ctx, service.NewClient(*tables[i]), role, *partition, *rowKey, sum)
		if err != nil {
			return fmt.Errorf("table %s: %w", *tables[i], err)
		}
		rows += n
	}
	_, err = fmt.Fprintf(out, "%x %d rows\n", sum.Sum(nil), rows)
	return err
}

func open(endpoint, connection string) (*aztables.ServiceClient, error) {
	if connection != "" {
		return aztables.NewServiceClientFromConnectionString(connection, nil)
	}
	credential, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return nil, err
	}
	return aztables.NewServiceClient(endpoint, credential, nil)
}

// digest writes the rows of one table in the order in which the service lists them, which is that of their keys.
func digest(ctx context.Context, table *aztables.Client, role, partition, rowKey string, sum hash.Hash) (rows int, _ error) {
	filter := "PartitionKey eq '" + strings.ReplaceAll(partition, "'", "''") + "'"
	for pages := table.NewListEntitiesPager(&aztables.ListEntitiesOptions{Filter: &filter}); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return rows, err
		}
		for _, body := range page.Entities {
			var row map[string]json.RawMessage
			if err := json.Unmarshal(body, &row); err != nil {
				return rows, err
			}
			key := text(row["RowKey"])
			if key == rowKey+"-control" || key == rowKey+"-summary" || strings.HasPrefix(key, rowKey+"-probe-") {
				continue
			}
			if err := write(sum, role, key, row); err != nil {
				return rows, fmt.Errorf("row %s: %w", key, err)
			}
			rows++
		}
	}
	return rows, nil
}

// write writes one row: a line with the table, the key and the number of columns, and a line for each column by name.
func write(sum hash.Hash, role, key string, row map[string]json.RawMessage) error {
	var names []string
	for name, value := range row {
		if name != "PartitionKey" && name != "RowKey" && name != "Timestamp" && !strings.Contains(name, "odata.") && string(value) != "null" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	fmt.Fprintf(sum, "%s\t%s\t%d\n", role, key, len(names))
	for _, name := range names {
		kind, value, err := column(text(row[name+"@odata.type"]), row[name])
		if err != nil {
			return fmt.Errorf("column %s: %w", name, err)
		}
		fmt.Fprintf(sum, "%s\t%s\t%d\t%s\n", name, kind, len(value), value)
	}
	return nil
}

// column is the type and the value of a column. The service names the type where JSON does not show it.
func column(kind string, raw json.RawMessage) (string, string, error) {
	switch first := raw[0]; {
	case kind == "Edm.DateTime":
		at, err := time.Parse(time.RFC3339Nano, text(raw))
		return kind, at.UTC().Format("2006-01-02T15:04:05.0000000Z"), err
	case kind == "Edm.Int64", kind == "" && first == '"', kind == "Edm.String":
		if kind == "" {
			kind = "Edm.String"
		}
		return kind, text(raw), nil
	case first == 't' || first == 'f':
		return "Edm.Boolean", string(raw), nil
	case kind == "" && !strings.ContainsAny(string(raw), ".eE"), kind == "Edm.Int32":
		return "Edm.Int32", string(raw), nil
	}
	return "", "", fmt.Errorf("type %q has no canonical form", kind)
}

func text(raw json.RawMessage) (s string) {
	if len(raw) > 0 {
		_ = json.Unmarshal(raw, &s) // what is no text is ""
	}
	return s
}
