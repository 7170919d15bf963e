package settings

import (
	"strings"
	"testing"
)

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		changes []string
		want    string // in the one line of the error
	}{
		{"source missing", []string{"AZURE_SourceUri="}, "AZURE_SourceUri is missing: set it to the base URL of the FHIR service to export from"},
		{"destination missing", []string{"AZURE_DestinationUri="}, "AZURE_DestinationUri is missing: set it to the base URL of the FHIR service to import into"},
		{"no URL", []string{"AZURE_SourceUri=source.example"}, "AZURE_SourceUri is not a URL"},
		{"other scheme", []string{"AZURE_SourceUri=ftp://source.example"}, "AZURE_SourceUri is not a URL"},
		{"plain http", []string{"AZURE_SourceUri=http://source.example"}, "AZURE_SourceUri begins with http: use https"},
		{"http to a host called like loopback", []string{"AZURE_SourceUri=http://localhost.example"}, "AZURE_SourceUri begins with http"},
		{"user info", []string{"AZURE_SourceUri=https://u:hidden@source.example"}, "AZURE_SourceUri holds a user name"},
		{"query", []string{"AZURE_BlobStorageUri=https://a.blob.core.windows.net?sig=hidden"}, "AZURE_BlobStorageUri has a query"},
		{"fragment", []string{"AZURE_SourceUri=https://source.example/#"}, "AZURE_SourceUri has a query or a fragment"},
		{"same service", []string{"AZURE_DestinationUri=https://SOURCE.example/"}, "AZURE_DestinationUri is the same as AZURE_SourceUri"},
		{"no credential", []string{"AZURE_SourceCredential=none"}, "AZURE_SourceCredential is none, but AZURE_SourceUri is not on this machine"},
		{"no credential", []string{"AZURE_DestinationCredential=none"}, "AZURE_DestinationCredential is none, but AZURE_DestinationUri"},
		{"unknown credential", []string{"AZURE_SourceCredential=basic"}, `AZURE_SourceCredential is "basic": set it to default or none`},
		{"tables missing", []string{"AZURE_StagingStorageUri="}, "AZURE_StagingStorageUri is missing: set it to the table endpoint"},
		{"blobs missing", []string{"AZURE_BlobStorageUri="}, "AZURE_BlobStorageUri is missing: set it to the blob endpoint"},
		{"table name", []string{"AZURE_ExportTableName=my-table"}, `AZURE_ExportTableName is "my-table"`},
		{"reserved table name", []string{"AZURE_ChunkTableName=Tables"}, `AZURE_ChunkTableName is "Tables"`},
		{"short table name", []string{"AZURE_ChunkTableName=ab"}, `AZURE_ChunkTableName is "ab"`},
		{"same tables", []string{"AZURE_ChunkTableName=EXPORT"}, "AZURE_ChunkTableName is the same as AZURE_ExportTableName"},
		{"slash in key", []string{"AZURE_RowKey=a/b"}, `AZURE_RowKey is "a/b"`},
		{"control character in key", []string{"AZURE_PartitionKey=a\u0085b"}, `AZURE_PartitionKey is "a`},
		{"long key", []string{"AZURE_RowKey=" + strings.Repeat("k", 257)}, "AZURE_RowKey is 257 bytes long"},
		{"no date", []string{"AZURE_StartDate=31.1.2024"}, `AZURE_StartDate is "31.1.2024": write a date`},
		{"instant without zone", []string{"AZURE_StartDate=2024-01-31T00:00:00"}, "AZURE_StartDate is"},
		{"microseconds", []string{"AZURE_EndDate=2024-01-31T00:00:00.000001Z"}, "give at most milliseconds"},
		{"range without end", []string{"AZURE_SpecificRun=true"}, "AZURE_SpecificRun is true without AZURE_EndDate"},
		{"end before start", []string{"AZURE_StartDate=2024-02-01", "AZURE_EndDate=2024-02-01"}, "AZURE_EndDate (2024-02-01T00:00:00Z) is not after AZURE_StartDate"},
		{"unit", []string{"AZURE_ExportChunkDuration=Weeks"}, `AZURE_ExportChunkDuration is "Weeks": set it to Days or Hours or Minutes`},
		{"import mode", []string{"AZURE_ImportMode=Bulk"}, "set it to IncrementalLoad or InitialLoad"},
		{"deletes off", []string{"AZURE_ExportWithDelete=false"}, "comes back alive at the destination"},
		{"user agent", []string{"AZURE_UserAgent=a\x01b"}, "AZURE_UserAgent cannot be sent as a header"},
		{"no number", []string{"AZURE_FileCount=many"}, `AZURE_FileCount is "many": write a whole number`},
		{"octal", []string{"AZURE_FileCount=010"}, `AZURE_FileCount is "010": write a whole number in plain decimal digits`},
		{"too big to read", []string{"AZURE_FileCount=99999999999999999999"}, `AZURE_FileCount is "99999999999999999999"`},
		{"no bool", []string{"AZURE_MaxCount=yes"}, `AZURE_MaxCount is "yes": write true or false`},
		{"no fraction", []string{"AZURE_ScheduleInterval=2,5"}, `AZURE_ScheduleInterval is "2,5": write a number`},
		{"not a number", []string{"AZURE_ScheduleInterval=NaN"}, "AZURE_ScheduleInterval is NaN minutes"},
		{"infinite", []string{"AZURE_FunctionTimeoutMinutes=Inf"}, "AZURE_FunctionTimeoutMinutes is +Inf minutes"},
		{"conflict", []string{"azure_sourceuri=https://other.example"}, "AZURE_SourceUri and azure_sourceuri are one setting with different values"},
		{"one spelling twice", []string{"AZURE_RowKey=a", "AZURE_RowKey=b"}, "AZURE_RowKey are one setting with different values"},
		{"emulator elsewhere", []string{"AZURE_StorageConnectionString=" + emulatorString("127.0.0.1", "10.0.0.1")}, "a BlobEndpoint that is not on this machine"},
		{"endpoint left out", []string{"AZURE_StorageConnectionString=" + emulatorString("TableEndpoint", "TheTable")}, "holds no TableEndpoint"},
		{"endpoint in another case", []string{"AZURE_StorageConnectionString=" + emulatorString("BlobEndpoint", "blobendpoint")}, "holds no BlobEndpoint"},
		{"further endpoint", []string{"AZURE_StorageConnectionString=" + emulatorString() + "QueueEndpoint=https://a.queue.core.windows.net"}, "a QueueEndpoint that is not"},
		{"suffix", []string{"AZURE_StorageConnectionString=" + emulatorString() + "EndpointSuffix=core.windows.net"}, "holds EndpointSuffix"},
		{"signature", []string{"AZURE_StorageConnectionString=" + emulatorString() + "SharedAccessSignature=hidden"}, "holds SharedAccessSignature"},
		{"no pairs", []string{"AZURE_StorageConnectionString=hidden"}, "AZURE_StorageConnectionString is not a connection string"},
	}
	for _, bound := range []struct{ name, low, high string }{
		{"ExportChunkTime", "0", "36501"}, {"ChunkLimit", "0", "1000000000001"}, {"MaxCountValue", "0", "10001"},
		{"FileCount", "0", "50001"}, {"PayloadCount", "-1", "101"}, {"MaxParallelExports", "0", "51"}, {"MaxOpenWindows", "-1", "201"},
		{"SafetyLagMinutes", "0", "1441"}, {"TailIntervalMinutes", "0", "10081"}, {"MaxExportRetries", "0", "101"},
		{"ScheduleInterval", "0", "1441"}, {"FunctionTimeoutMinutes", "-1", "1440.5"},
	} {
		for _, value := range []string{bound.low, bound.high} {
			tests = append(tests, struct {
				name    string
				changes []string
				want    string
			}{bound.name + " " + value, []string{"AZURE_" + bound.name + "=" + value}, "AZURE_" + bound.name + " is " + value})
		}
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := Load(good(test.changes...))
			if err == nil {
				t.Fatalf("accepted, want an error with %q", test.want)
			}
			if text := err.Error(); !strings.Contains(text, test.want) || strings.Contains(text, "\n") || strings.Contains(text, "hidden") {
				t.Errorf("error %q, want one line with %q and nothing hidden", text, test.want)
			}
		})
	}
}

func TestLoadNamesEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := Load([]string{"AZURE_FileCount=many", "AZURE_PayloadCount=1000", "AZURE_ImportMode=Bulk", "AZURE_ExportChunkDuration=Weeks"})
	if err == nil {
		t.Fatal("accepted")
	}
	named := make(map[string]int)
	for line := range strings.Lines(err.Error()) {
		name, _, _ := strings.Cut(line, " ")
		named[name]++
	}
	for _, name := range []string{"SourceUri", "DestinationUri", "StagingStorageUri", "BlobStorageUri", "FileCount", "PayloadCount", "ImportMode", "ExportChunkDuration"} {
		if named["AZURE_"+name] != 1 {
			t.Errorf("AZURE_%s named %d times, want once, in:\n%v", name, named["AZURE_"+name], err)
		}
	}
	if len(named) != 8 {
		t.Errorf("%d settings named, want 8:\n%v", len(named), err)
	}
}
