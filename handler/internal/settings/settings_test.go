package settings

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const emulatorKey = "c2VjcmV0LWtleQ=="

// good is the least environment that Load accepts, with what a test adds or, by an empty value, takes away.
func good(changes ...string) []string {
	values := map[string]string{
		"AZURE_SourceUri":         "https://source.example",
		"AZURE_DestinationUri":    "https://destination.example",
		"AZURE_StagingStorageUri": "https://account.table.core.windows.net",
		"AZURE_BlobStorageUri":    "https://account.blob.core.windows.net",
	}
	var more []string
	for _, change := range changes {
		name, value, _ := strings.Cut(change, "=")
		if _, known := values[name]; known {
			values[name] = value
		} else {
			more = append(more, change)
		}
	}
	var environ []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		environ = append(environ, name+"="+values[name])
	}
	return append(environ, more...)
}

func emulatorString(replace ...string) string {
	return strings.NewReplacer(replace...).Replace("DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=" + emulatorKey +
		";BlobEndpoint=http://127.0.0.1:10000/devstoreaccount1;TableEndpoint=http://localhost:10002/devstoreaccount1;")
}

func TestLoadDefaults(t *testing.T) {
	t.Parallel()
	got, err := Load(good())
	if err != nil {
		t.Fatal(err)
	}
	want := Settings{
		SourceUri: "https://source.example", DestinationUri: "https://destination.example",
		SourceCredential: CredentialDefault, DestinationCredential: CredentialDefault,
		StagingStorageUri: "https://account.table.core.windows.net", BlobStorageUri: "https://account.blob.core.windows.net",
		ExportTableName: "export", ChunkTableName: "chunk", ExceptionTableName: "exceptions", MaxExceptionsPerWindow: 1000, Preflight: PreflightFailed, PartitionKey: "mypartitionkey", RowKey: "myrowkey",
		SurfaceRowKey: "surfacerowkey", DeepRowKey: "deeprowkey", IsParallel: true, MigrateSearchParameters: true, ResourceExportChunkTime: 30,
		MaxExportRetriesEnabled: true, ExportDeadlineMinutes: 1440, ImportDeadlineMinutes: 1440, StuckAfterMinutes: 240, StartTime: 8, EndTime: 17,
		ExportChunkTime: 30, ExportChunkDuration: Days, ChunkLimit: 100_000_000, MaxCountValue: 10_000,
		FileCount: 10_000, PayloadCount: 5, ScheduleInterval: 2, ExportWithDelete: true, ImportMode: IncrementalLoad,
		UserAgent: "fhir-migration-tool", MaxParallelExports: 2, MaxOpenWindows: 14, SafetyLagMinutes: 5,
		TailIntervalMinutes: 60, MaxExportRetries: 5, FunctionTimeoutMinutes: 10, DeepCheckCount: 100, CutoverMaxLagMinutes: 90,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	durations := map[string][2]time.Duration{
		"ChunkLength":  {got.ChunkLength(), 30 * 24 * time.Hour},
		"PollInterval": {got.PollInterval(), 2 * time.Minute},
		"SafetyLag":    {got.SafetyLag(), 5 * time.Minute},
		"TailInterval": {got.TailInterval(), time.Hour},
		"StepBudget":   {got.StepBudget(), 4 * time.Minute},
		"ClaimTime":    {got.ClaimTime(), 11*time.Minute + 5*time.Second},
	}
	for name, d := range durations {
		if d[0] != d[1] {
			t.Errorf("%s() = %v, want %v", name, d[0], d[1])
		}
	}
}

func TestLoadReads(t *testing.T) {
	t.Parallel()
	day := time.Date(2024, 1, 31, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		name    string
		changes []string
		value   func(Settings) any
		want    any
	}{
		{"upper case", []string{"AZURE_FILECOUNT=7"}, func(s Settings) any { return s.FileCount }, 7},
		{"lower case", []string{"azure_filecount=7"}, func(s Settings) any { return s.FileCount }, 7},
		{"two spellings that agree", []string{"AZURE_FILECOUNT=7", "AZURE_FileCount=7"}, func(s Settings) any { return s.FileCount }, 7},
		{"no prefix", []string{"FILECOUNT=7", "FileCount=7"}, func(s Settings) any { return s.FileCount }, 10_000},
		{"stray USERAGENT", []string{"USERAGENT=curl", "UserAgent=curl"}, func(s Settings) any { return s.UserAgent }, "fhir-migration-tool"},
		{"empty is not set", []string{"AZURE_FileCount= ", "AZURE_MaxCount="}, func(s Settings) any { return s.FileCount }, 10_000},
		{"spaces around", []string{"AZURE_FileCount= 7 "}, func(s Settings) any { return s.FileCount }, 7},
		{"value with an equals sign", []string{"AZURE_UserAgent=a=b"}, func(s Settings) any { return s.UserAgent }, "a=b"},
		{"True as .NET writes it", []string{"AZURE_ExportWithHistory=True"}, func(s Settings) any { return s.ExportWithHistory }, true},
		{"trailing slash", []string{"AZURE_SourceUri=https://Gateway.example/fhir/"}, func(s Settings) any { return s.SourceUri }, "https://gateway.example/fhir"},
		{"loopback http", []string{"AZURE_SourceUri=http://[::1]:8080/"}, func(s Settings) any { return s.SourceUri }, "http://[::1]:8080"},
		{"no credential on loopback", []string{"AZURE_SourceUri=http://127.0.0.1:8080", "AZURE_SourceCredential=NONE"},
			func(s Settings) any { return s.SourceCredential }, CredentialNone},
		{"date", []string{"AZURE_StartDate=2024-01-31"}, func(s Settings) any { return s.StartDate }, day},
		{"month", []string{"AZURE_StartDate=2024-01"}, func(s Settings) any { return s.StartDate }, day.AddDate(0, 0, -30)},
		{"instant with offset", []string{"AZURE_StartDate=2024-01-31T02:00:00.5000000+02:00"},
			func(s Settings) any { return s.StartDate }, day.Add(500 * time.Millisecond)},
		{"hours", []string{"AZURE_ExportChunkTime=6", "AZURE_ExportChunkDuration=hours"}, func(s Settings) any { return s.ChunkLength() }, 6 * time.Hour},
		{"minutes", []string{"AZURE_ExportChunkTime=90", "AZURE_ExportChunkDuration=MINUTES"},
			func(s Settings) any { return s.ChunkLength() }, 90 * time.Minute},
		{"longest window", []string{"AZURE_ExportChunkTime=36500"}, func(s Settings) any { return s.ChunkLength() }, 36500 * 24 * time.Hour},
		{"fraction of a minute", []string{"AZURE_ScheduleInterval=0.5"}, func(s Settings) any { return s.PollInterval() }, 30 * time.Second},
		{"64 bits", []string{"AZURE_ChunkLimit=3000000000"}, func(s Settings) any { return s.ChunkLimit }, int64(3_000_000_000)},
		{"import mode", []string{"AZURE_ImportMode=initialload"}, func(s Settings) any { return s.ImportMode }, InitialLoad},
		{"open windows by themselves", []string{"AZURE_MaxParallelExports=4"}, func(s Settings) any { return s.MaxOpenWindows }, 18},
		{"open windows capped", []string{"AZURE_PayloadCount=100"}, func(s Settings) any { return s.MaxOpenWindows }, 200},
		{"open windows as set", []string{"AZURE_MaxOpenWindows=3"}, func(s Settings) any { return s.MaxOpenWindows }, 3},
		{"no deletes, accepted", []string{"AZURE_ExportWithDelete=false", "AZURE_AllowDeletedToReturn=true"},
			func(s Settings) any { return s.ExportWithDelete }, false},
		{"range run", []string{"AZURE_SpecificRun=true", "AZURE_EndDate=2024-01-31"}, func(s Settings) any { return s.EndDate }, day},
		{"list with commas", []string{"AZURE_ResourceTypes= Patient, List "}, func(s Settings) any { return s.ResourceTypes }, []string{"Patient", "List"}},
		{"list by elements, in order", []string{"AZURE_ResourceTypes__10=List", "azure_resourcetypes__2=Group", "AZURE_ResourceTypes:0=Patient"},
			func(s Settings) any { return s.Types() }, []string{"Patient", "Group", "List"}},
		{"list in two forms that agree", []string{"AZURE_ResourceTypes__0=Patient", "AZURE_ResourceTypes__1=List", "AZURE_RESOURCETYPES=Patient,List"},
			func(s Settings) any { return s.ResourceTypes }, []string{"Patient", "List"}},
		{"list not set", nil, func(s Settings) any { return []any{len(s.ResourceTypes), len(s.Types()), s.Types()[143]} }, []any{0, 144, "VisionPrescription"}},
		{"search parameters left out", []string{"AZURE_ResourceTypes=Patient,SearchParameter"}, func(s Settings) any { return s.ResourceTypes }, []string{"Patient"}},
		{"de-identification declined by both names", []string{"AZURE_IsExportDeidentified=False", "AZURE_ExportDeidentified=0"},
			func(s Settings) any { return s.IsExportDeidentified }, false},
		{"another name that is empty", []string{"AZURE_IsExportDeidentified=false", "AZURE_ExportDeidentified="},
			func(s Settings) any { return s.IsExportDeidentified }, false},
		{"ClientId is not AZURE_CLIENT_ID", []string{"AZURE_CLIENT_ID=identity", "AZURE_TENANT_ID=t", "AZURE_CLIENT_SECRET=s"},
			func(s Settings) any { return []string{s.ClientId, s.TenantId, s.ClientSecret.Reveal()} }, []string{"", "", ""}},
		{"client secret", []string{"AZURE_ClientCredential=true", "AZURE_TenantId=contoso.onmicrosoft.com", "AZURE_ClientId=app", "AZURE_ClientSecret=s=1", "AZURE_CLIENT_ID=identity"},
			func(s Settings) any { return []string{s.ClientId, s.TenantId, s.ClientSecret.Reveal()} }, []string{"app", "contoso.onmicrosoft.com", "s=1"}},
		{"authority", []string{"AZURE_AUTHORITY_HOST=https://login.microsoftonline.us/"}, func(s Settings) any { return s.AuthorityHost }, "https://login.microsoftonline.us/"},
		{"retries without end", []string{"AZURE_MaxExportRetriesEnabled=false", "AZURE_MaxExportRetries=7"}, func(s Settings) any { return s.MaxAttempts() }, 0},
		{"retries", []string{"AZURE_MaxExportRetries=7"}, func(s Settings) any { return s.MaxAttempts() }, 7},
		{"account name", []string{"AZURE_StagingStorageAccountName=Account"}, func(s Settings) any { return s.StagingStorageAccountName }, "Account"},
		{"equal hours without a pause", []string{"AZURE_StartTime=8", "AZURE_EndTime=8"}, func(s Settings) any { return s.EndTime }, 8},
		{"emulator without URIs", []string{"AZURE_StagingStorageUri=", "AZURE_BlobStorageUri=", "AZURE_StorageConnectionString=" + emulatorString()},
			func(s Settings) any { return s.StorageConnectionString.Reveal() }, emulatorString()},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s, err := Load(good(test.changes...))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, test.value(s)); diff != "" {
				t.Errorf("value (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLoadConcurrently has many environments read at once, and a process environment that must be neither seen nor changed.
func TestLoadConcurrently(t *testing.T) {
	t.Setenv("AZURE_FILECOUNT", "4321") // folded name, in the process but not in what Load is given
	t.Setenv("AZURE_FileCount", "1234")
	var all sync.WaitGroup
	for n := range 20 {
		all.Go(func() {
			s, err := Load(good(fmt.Sprintf("AZURE_PayloadCount=%d", n+1)))
			if err != nil || s.PayloadCount != n+1 || s.FileCount != 10_000 {
				t.Errorf("PayloadCount %d, FileCount %d, %v; want %d, 10000", s.PayloadCount, s.FileCount, err, n+1)
			}
		})
	}
	all.Wait()
	if got := os.Getenv("AZURE_FILECOUNT") + " " + os.Getenv("AZURE_FileCount"); got != "4321 1234" {
		t.Errorf("process environment afterwards: %q", got)
	}
	if value, left := os.LookupEnv("AZURE_PAYLOADCOUNT"); left {
		t.Errorf("AZURE_PAYLOADCOUNT=%s was left in the process environment", value)
	}
}

func TestRedactedHidesSecrets(t *testing.T) {
	t.Parallel()
	s, err := Load(good("AZURE_StorageConnectionString="+emulatorString(), "AZURE_StartDate=2024-01-31", "AZURE_ResourceTypes=Patient,List",
		"AZURE_ClientCredential=true", "AZURE_TenantId=contoso.example", "AZURE_ClientId=app", "AZURE_ClientSecret="+emulatorKey))
	if err != nil {
		t.Fatal(err)
	}
	redacted := s.Redacted()
	want := map[string]string{"StorageConnectionString": "set", "ClientSecret": "set", "ResourceTypes": "Patient,List", "ClientId": "app", "SourceUri": "https://source.example", "StartDate": "2024-01-31T00:00:00Z",
		"EndDate": "", "ScheduleInterval": "2", "ExportChunkDuration": "Days"}
	for name, text := range want {
		if redacted[name] != text {
			t.Errorf("Redacted()[%s] = %q, want %q", name, redacted[name], text)
		}
	}
	if got, want := len(redacted), len(fields()); got != want {
		t.Errorf("%d settings shown, want %d", got, want)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("settings", "settings", s)
	asJSON, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	for way, text := range map[string]string{"log": log.String(), "json": string(asJSON), "%v": fmt.Sprintf("%v", s), "%+v": fmt.Sprintf("%+v", s),
		"%#v": fmt.Sprintf("%#v", s)} {
		if strings.Contains(text, emulatorKey) {
			t.Errorf("%s shows a secret: %s", way, text)
		}
	}
	if !strings.Contains(log.String(), `"StorageConnectionString":"set"`) || !strings.Contains(log.String(), `"ClientSecret":"set"`) {
		t.Errorf("log does not say that the secrets are set: %s", log.String())
	}
}
