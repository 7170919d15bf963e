package settings

import (
	"time"
)

// Settings are the app settings, checked: whoever holds one need not check again. The field names are the
// names of the settings; envconfig relies on that, so a field is never renamed and has no envconfig tag
// (with a tag, envconfig would also take the variable without the prefix, such as a stray DEBUG).
type Settings struct {
	// SourceUri and DestinationUri are the base URLs of the FHIR services, without a trailing slash; they may have a
	// path. https, or http on loopback.
	SourceUri      string
	DestinationUri string

	// SourceCredential and DestinationCredential say how calls to the two services are authorised.
	// CredentialNone is accepted for a service on loopback alone.
	SourceCredential      Credential `default:"default"`
	DestinationCredential Credential `default:"default"`

	// StagingStorageUri is the table endpoint and BlobStorageUri the blob endpoint of the tool's own storage account,
	// without a trailing slash. Both are set unless StorageConnectionString is.
	StagingStorageUri string
	BlobStorageUri    string

	// StorageConnectionString is for a storage emulator: all its endpoints are on loopback. When set, it is
	// what tables and blobs are reached with, and the two URIs are not used.
	StorageConnectionString Secret

	// ExportTableName and ChunkTableName name the two tables; they differ.
	ExportTableName string `default:"export"`
	ChunkTableName  string `default:"chunk"`

	// PartitionKey is the partition of every row; RowKey is the key of the chunk row and the prefix of the window rows.
	PartitionKey string `default:"mypartitionkey"`
	RowKey       string `default:"myrowkey"`

	// StartDate is where the migration begins, zero: at the oldest resource. EndDate is where a range run ends,
	// zero: not set. Both in UTC, whole milliseconds; EndDate is after StartDate.
	StartDate time.Time
	EndDate   time.Time

	// SpecificRun makes this a range run, which ends at EndDate; it is set then.
	SpecificRun bool

	// ExportChunkTime is the longest length of a window, in units of ExportChunkDuration: at least 1, at most a
	// hundred years. See ChunkLength.
	ExportChunkTime     int       `default:"30"`
	ExportChunkDuration ChunkUnit `default:"Days"`

	// ChunkLimit is the number of resources above which a window is cut.
	ChunkLimit int64 `default:"100000000"`

	// MaxCount says whether _maxCount is sent with $export, MaxCountValue what: 1 to 10,000 resources a page.
	MaxCount      bool
	MaxCountValue int `default:"10000"`

	// FileCount is the number of files of one $import, PayloadCount the number of $import jobs at a time.
	FileCount    int `default:"10000"`
	PayloadCount int `default:"5"`

	// ScheduleInterval is the time between two polls of one job, in minutes. See PollInterval.
	ScheduleInterval float64 `default:"2"`

	// ExportWithHistory exports every version of a resource, ExportWithDelete the soft deletes.
	ExportWithHistory bool
	ExportWithDelete  bool `default:"true"`

	// AllowDeletedToReturn accepts that without ExportWithDelete, resources deleted at the source come back alive
	// at the destination: the window in which one was created exports it as it was at that window's end.
	AllowDeletedToReturn bool

	// ImportMode is the mode of $import.
	ImportMode ImportMode `default:"IncrementalLoad"`

	// UserAgent is sent with every call to a FHIR service.
	UserAgent string `default:"fhir-migration-tool"`

	// MaxParallelExports is the number of $export jobs at a time.
	MaxParallelExports int `default:"2"`

	// MaxOpenWindows is the number of windows that are planned and not done, at most 200. 0 in the app settings
	// stands for 2 x (MaxParallelExports + PayloadCount); Load puts that number here.
	MaxOpenWindows int

	// SafetyLagMinutes is how far the end of a window stays behind the source's clock, TailIntervalMinutes the
	// length of the shortest window at the live end.
	SafetyLagMinutes    int `default:"5"`
	TailIntervalMinutes int `default:"60"`

	// MaxExportRetries is the number of attempts of a window before it is held for an operator.
	MaxExportRetries int `default:"5"`

	// FunctionTimeoutMinutes must be what host.json says as functionTimeout. See StepBudget and ClaimTime.
	FunctionTimeoutMinutes float64 `default:"10"`
}

// ChunkLength is the longest length of a window.
func (s Settings) ChunkLength() time.Duration {
	return time.Duration(s.ExportChunkTime) * s.ExportChunkDuration.length()
}

// PollInterval is the shortest time between two polls of one job, at least a millisecond.
func (s Settings) PollInterval() time.Duration { return minutes(s.ScheduleInterval) }

// SafetyLag is how far the end of a window stays behind the source's clock.
func (s Settings) SafetyLag() time.Duration {
	return time.Duration(s.SafetyLagMinutes) * time.Minute
}

// TailInterval is the length of the shortest window at the live end.
func (s Settings) TailInterval() time.Duration {
	return time.Duration(s.TailIntervalMinutes) * time.Minute
}

// StepBudget is the time one step may take: 40% of the function's time-out, so that the host never kills a step that keeps to it.
func (s Settings) StepBudget() time.Duration { return minutes(s.FunctionTimeoutMinutes) * 4 / 10 }

// ClaimTime is how long a claim holds: the function's time-out, a tenth of it and five seconds, so that no
// claim ends while the function call that took it can still be running.
func (s Settings) ClaimTime() time.Duration {
	timeout := minutes(s.FunctionTimeoutMinutes)
	return timeout + timeout/10 + 5*time.Second
}

func minutes(n float64) time.Duration { return time.Duration(n * float64(time.Minute)) }
