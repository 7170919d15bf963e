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
		{"unknown name", []string{"AZURE_FileCont=7"}, "AZURE_FileCont is not a setting: did you mean AZURE_FileCount? Correct the name, or take the setting away"},
		{"unknown name in another case", []string{"AZURE_souceuri=hidden"}, "AZURE_souceuri is not a setting: did you mean AZURE_SourceUri?"},
		{"Azure's own in another case", []string{"AZURE_Client_Id=hidden"}, "AZURE_Client_Id is not a setting: did you mean AZURE_ClientId?"},
		{"element of what is no list", []string{"AZURE_FileCount__0=7"}, "AZURE_FileCount__0 is not a setting: did you mean AZURE_FileCount?"},
		{"T05 de-identification misspelt", []string{"AZURE_IsExportDeidentifed=true"}, "AZURE_IsExportDeidentifed is not a setting: did you mean AZURE_IsExportDeidentified?"},
		{"T05 de-identification misspelt in the template's form", []string{"AZURE_ExportDeIdentification=true"}, "AZURE_ExportDeIdentification is not a setting: did you mean AZURE_ExportDeidentified?"},
		{"T05 de-identification by two names that differ", []string{"AZURE_IsExportDeidentified=false", "AZURE_ExportDeidentified=true"},
			"AZURE_ExportDeidentified and AZURE_IsExportDeidentified are one setting with different values"},
		{"T05 configuration without a decision", []string{"AZURE_ConfigFile=anonymization.json"}, "AZURE_ConfigFile is set, but AZURE_IsExportDeidentified is not"},
		{"T05 de-identification without a configuration", []string{"AZURE_ExportDeidentified=true"}, "AZURE_ConfigFile is missing"},
		{"T05 a configuration without a name", []string{"AZURE_ExportDeidentified=true", "AZURE_ConfigFile=.json"}, `AZURE_ConfigFile is ".json"`},
		{"T05 a configuration elsewhere", []string{"AZURE_ExportDeidentified=true", "AZURE_ConfigFile=../a.json"}, `AZURE_ConfigFile is "../a.json"`},
		{"de-identification by type", []string{"AZURE_IsExportDeidentified=true", "AZURE_ConfigFile=a", "AZURE_IsParallel=false"}, "only the whole system is exported de-identified"},
		{"list in two forms", []string{"AZURE_ResourceTypes=Patient", "AZURE_ResourceTypes__0=List"}, "AZURE_ResourceTypes and AZURE_ResourceTypes__0 and so on are one setting with different values"},
		{"element twice", []string{"AZURE_ResourceTypes__0=Patient", "azure_resourcetypes__0=List"}, "AZURE_ResourceTypes__0 and azure_resourcetypes__0 are one setting with different values"},
		{"empty element", []string{"AZURE_ResourceTypes=Patient,,List"}, `AZURE_ResourceTypes is "Patient,,List": an element between the commas is empty`},
		{"no type", []string{"AZURE_ResourceTypes=Patient,patients"}, `AZURE_ResourceTypes holds "patients", which is no resource type of FHIR R4: did you mean Patient?`},
		{"type twice", []string{"AZURE_ResourceTypes=List,Patient,List"}, "AZURE_ResourceTypes holds List twice"},
		{"equal hours", []string{"AZURE_PauseDm=true", "AZURE_StartTime=8", "AZURE_EndTime=8"}, "AZURE_EndTime is 8 like AZURE_StartTime"},
		{"client without tenant", []string{"AZURE_ClientCredential=true", "AZURE_ClientId=a", "AZURE_ClientSecret=hidden"}, "AZURE_TenantId is missing: AZURE_ClientCredential is true"},
		{"client without id", []string{"AZURE_ClientCredential=true", "AZURE_TenantId=t", "AZURE_ClientSecret=hidden"}, "AZURE_ClientId is missing"},
		{"client without secret", []string{"AZURE_ClientCredential=true", "AZURE_TenantId=t", "AZURE_ClientId=a", "AZURE_CLIENT_SECRET=hidden"}, "AZURE_ClientSecret is missing"},
		{"tenant that is a URL", []string{"AZURE_TenantId=https://login.example/t"}, "AZURE_TenantId is"},
		{"two kinds of credential", []string{"AZURE_SourceUri=http://127.0.0.1:1", "AZURE_SourceCredential=none", "AZURE_ClientCredential=true", "AZURE_TenantId=t",
			"AZURE_ClientId=a", "AZURE_ClientSecret=hidden"}, "AZURE_ClientCredential is true and AZURE_SourceCredential is none"},
		{"scope for an audience", []string{"AZURE_SourceAudience=https://a.example/.default"}, "AZURE_SourceAudience is \"https://a.example/.default\": leave /.default away"},
		{"two audiences", []string{"AZURE_DestinationAudience=https://a.example https://b.example"}, "AZURE_DestinationAudience is"},
		{"authority without TLS", []string{"AZURE_AUTHORITY_HOST=http://login.example"}, "AZURE_AUTHORITY_HOST is http://login.example: set it to the https URL"},
		{"another account", []string{"AZURE_StagingStorageAccountName=other"}, `AZURE_StagingStorageAccountName is "other", but AZURE_StagingStorageUri leads to the account "account"`},
		{"rows that meet", []string{"AZURE_DeepRowKey=myrowkey1"}, `AZURE_DeepRowKey is "myrowkey1" and AZURE_RowKey "myrowkey"`},
		{"slash in a check's key", []string{"AZURE_SurfaceRowKey=a/b"}, `AZURE_SurfaceRowKey is "a/b"`},
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
		{"SafetyLagMinutes", "0", "1441"}, {"TailIntervalMinutes", "0", "10081"}, {"MaxExportRetries", "0", "101"}, {"StartTime", "-1", "24"}, {"EndTime", "-1", "24"},
		{"ResourceExportChunkTime", "0", "36501"},
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
