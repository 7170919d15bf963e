package demo

import (
	"path/filepath"
	"strconv"
	"time"

	"fhirmigration/sandbox/functionshost"
	"fhirmigration/sandbox/progress"
)

// windowDays is the length of a window.
const windowDays = 60

const windowLength = windowDays * 24 * time.Hour

// tableNames are where the migration keeps its state: the names that its settings have by default, spelled out.
var tableNames = progress.Names{ExportTable: "export", ChunkTable: "chunk", PartitionKey: "mypartitionkey", RowKey: "myrowkey"}

// hostOptions are the function app's settings: those of a real one, but for what makes it quick, and for what the mode is about. A
// poll interval and a schedule under a second stand for minutes, and a short functionTimeout lets the claim of a handler that was
// killed run out soon.
func (p *platform) hostOptions(o Options, s span) functionshost.Options {
	settings := p.settings(s)
	for name, value := range p.mode.settings {
		if settings[name] = value; value == "" {
			delete(settings, name)
		}
	}
	root, err := filepath.Abs(o.Root)
	if err != nil {
		root = o.Root // no working directory; the host will say so
	}
	return functionshost.Options{Root: root, Log: p.log, Identity: p.identity, Settings: settings}
}

// settings are the app settings of the mode system.
func (p *platform) settings(s span) map[string]string {
	const instant = "2006-01-02T15:04:05.000Z"
	return map[string]string{
		"FUNCTIONS_WORKER_RUNTIME":               "custom",
		"AzureWebJobsStorage":                    p.storage.ConnectionString(),
		"AzureFunctionsJobHost__functionTimeout": "00:00:30",
		"ExportTimerSchedule":                    "00:00:00.5",
		"ImportTimerSchedule":                    "00:00:00.5",
		"VerifyTimerSchedule":                    "00:00:00.5",

		"AZURE_SourceUri":               p.source.URL(),
		"AZURE_DestinationUri":          p.destination.URL(),
		"AZURE_SourceCredential":        "default",
		"AZURE_DestinationCredential":   "default",
		"AZURE_StorageConnectionString": p.storage.ConnectionString(),
		"AZURE_ExportTableName":         tableNames.ExportTable,
		"AZURE_ChunkTableName":          tableNames.ChunkTable,
		"AZURE_PartitionKey":            tableNames.PartitionKey,
		"AZURE_RowKey":                  tableNames.RowKey,

		"AZURE_SpecificRun":            "true",
		"AZURE_EndDate":                s.end.Format(instant),
		"AZURE_ExportChunkTime":        strconv.Itoa(windowDays),
		"AZURE_ExportChunkDuration":    "Days",
		"AZURE_ExportWithHistory":      "true",
		"AZURE_ExportWithDelete":       "true",
		"AZURE_MaxParallelExports":     "4",
		"AZURE_PayloadCount":           "5",
		"AZURE_ScheduleInterval":       "0.01", // minutes
		"AZURE_FunctionTimeoutMinutes": "0.5",  // as functionTimeout above
	}
}
