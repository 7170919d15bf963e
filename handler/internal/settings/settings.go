package settings

import (
	"path"
	"reflect"
	"strings"
	"time"
)

//go:generate go test -run=^TestSettingsAre . -update

// Settings are the app settings, checked: whoever holds one need not check again. The field names are the
// names of the settings; envconfig relies on that, so a field is never renamed and has no envconfig tag
// (with a tag, envconfig would also take the variable without the prefix, such as a stray DEBUG).
//
// docs/settings.md is made from this struct: the comments are what an operator reads. The tags are
//
//	default  what a setting that is not set stands for; unset says it in words where it is no plain value
//	min, max the bounds of a whole number, which Load enforces; bounds says others in words
//	alias    another name under which the setting is read
//	pinned   that the setting must not change half-way, and when
//	section  begins a section of the document
//
// Fields with the tag ignored are no settings of their own.
type Settings struct {
	// The base URL of the FHIR service to export from. It may have a path. https, or http on this machine.
	SourceUri string `section:"Services" unset:"required" pinned:"always"`
	// The base URL of the FHIR service to import into. It may have a path. https, or http on this machine.
	DestinationUri string `unset:"required" pinned:"always"`
	// How calls to the source are authorised: `default` is the managed identity, or what else azidentity's DefaultAzureCredential
	// finds; `none` sends no token and is for a service on this machine alone.
	SourceCredential Credential `default:"default"`
	// How calls to the destination are authorised, as SourceCredential says it for the source.
	DestinationCredential Credential `default:"default"`
	// What tokens for the source are asked for, where that is not its base URL: behind a gateway, or for a service with an application
	// of its own in Entra. The scope is this text and `/.default`.
	SourceAudience string `unset:"SourceUri"`
	// What tokens for the destination are asked for, as SourceAudience says it for the source.
	DestinationAudience string `unset:"DestinationUri"`
	// Whether the source is in another tenant and is called with a client secret. TenantId, ClientId and ClientSecret are set then. The
	// destination and storage are called with the default credential all the same.
	ClientCredential bool
	// The tenant of the source, with ClientCredential: its id or one of its domain names.
	TenantId string
	// The application in TenantId that may export, with ClientCredential. It is not AZURE_CLIENT_ID, which chooses
	// the managed identity.
	ClientId string
	// The secret of ClientId, with ClientCredential. Use a Key Vault reference. No log and no page shows it.
	ClientSecret Secret
	// Sent as User-Agent with every call to a FHIR service: at most 256 printable ASCII characters.
	UserAgent string `default:"fhir-migration-tool"`

	// The table endpoint of the tool's own storage account, of whatever cloud, such as `https://<account>.table.core.windows.net`.
	StagingStorageUri string `section:"State and storage" unset:"required, but for an emulator"`
	// The blob endpoint of the storage account, such as `https://<account>.blob.core.windows.net`.
	BlobStorageUri string `unset:"required, but for an emulator"`
	// The blob endpoint of the storage account that the FHIR services export to and import from, where it is another one: error logs and exported lines are read there.
	ExportStorageUri string `unset:"BlobStorageUri"`
	// The name of the storage account of StagingStorageUri. When it is set and another one than that, nothing starts.
	StagingStorageAccountName string
	// For a storage emulator: all its endpoints are on this machine. It goes before StagingStorageUri and BlobStorageUri.
	StorageConnectionString Secret
	// The table of the windows. Another name begins another migration.
	ExportTableName string `default:"export" bounds:"3 to 63 letters and digits"`
	// The table of the one row that says how far the migration is.
	ChunkTableName string `default:"chunk" bounds:"3 to 63 letters and digits"`
	// The table of refused lines.
	ExceptionTableName string `default:"exceptions" bounds:"3 to 63 letters and digits"`
	// The partition of every row.
	PartitionKey string `default:"mypartitionkey" bounds:"up to 256 bytes, none of / \\\\ # ?"`
	// The key of the chunk row, and the prefix of the window rows.
	RowKey string `default:"myrowkey" bounds:"up to 256 bytes, none of / \\\\ # ?"`
	// The prefix of the rows of surface checks.
	SurfaceRowKey string `default:"surfacerowkey" bounds:"up to 256 bytes, none of / \\\\ # ?"`
	// The prefix of the rows of deep checks.
	DeepRowKey string `default:"deeprowkey" bounds:"up to 256 bytes, none of / \\\\ # ?"`

	// Where the migration begins: a date or an instant with its zone, to the millisecond at most.
	StartDate time.Time `section:"What is migrated" unset:"the oldest resource" pinned:"always"`
	// Where a range run ends, after StartDate.
	EndDate time.Time
	// Whether this is a range run, which ends at EndDate. Otherwise the migration follows the source until it is stopped.
	SpecificRun bool
	// Whether the whole system is exported at once. With false, each window is of one resource type.
	IsParallel bool `default:"true" pinned:"always"`
	// The types to migrate with IsParallel=false, in their order; without effect otherwise. When not set, they are the original's 144 in its order and then what
	// the source's CapabilityStatement lists beyond them. SearchParameter is left out: see MigrateSearchParameters.
	ResourceTypes []string `unset:"the types of the source" pinned:"with IsParallel=false"`
	// Whether every version of a resource is exported, not the current one alone.
	ExportWithHistory bool `pinned:"always"`
	// Whether soft deletes are exported.
	ExportWithDelete bool `default:"true" pinned:"always"`
	// Accepts that without ExportWithDelete, resources deleted at the source come back alive at the
	// destination: the window in which one was created exports it as it was at that window's end.
	AllowDeletedToReturn bool
	// Whether the export is de-identified with ConfigFile, which is then needed. Where the file is missing or has changed, nothing is exported. It takes
	// IsParallel=true.
	IsExportDeidentified bool `alias:"ExportDeidentified" pinned:"always"`
	// The de-identification configuration in the container `anonymization` of the account that the source exports to. Whatever extension is given here,
	// the blob's is `.json`. Its version, the blob's ETag, must not change half-way either.
	ConfigFile string `pinned:"with IsExportDeidentified=true"`
	// Whether custom search parameters are copied before the first import, and the destination reindexed. It takes the role FHIR Data Contributor there.
	MigrateSearchParameters bool `default:"true"`
	// The mode of $import: `IncrementalLoad` keeps versions and times; `InitialLoad` makes every resource version 1,
	// changed now, and needs a destination in initial-import mode.
	ImportMode ImportMode `default:"IncrementalLoad" pinned:"always"`

	// The longest length of a window in system mode, in units of ExportChunkDuration. Where the source is retired and answers exports alone, it is
	// that of the first window, and those that follow grow or shrink with what comes back.
	ExportChunkTime int `section:"Windows" default:"30" bounds:"1 to a hundred years"`
	// The longest length of a window in type mode, in units of ExportChunkDuration.
	ResourceExportChunkTime int `default:"30" bounds:"1 to a hundred years"`
	// The unit of ExportChunkTime and ResourceExportChunkTime. A day has 24 hours: windows are in UTC.
	ExportChunkDuration ChunkUnit `default:"Days"`
	// The number of resources above which a window is cut.
	ChunkLimit int64 `default:"100000000" min:"1" max:"1000000000000"`
	// The number of windows that are planned and not done. 0 stands for what it is when not set.
	MaxOpenWindows int `unset:"2 × (MaxParallelExports + PayloadCount)" min:"0" max:"200"`
	// How far the end of a window stays behind the source's clock, in minutes.
	SafetyLagMinutes int `default:"5" min:"1" max:"1440"`
	// The length of the shortest window at the live end, in minutes.
	TailIntervalMinutes int `default:"60" min:"1" max:"10080"`

	// The number of $export jobs at a time.
	MaxParallelExports int `section:"Jobs" default:"2" min:"1" max:"50"`
	// Whether MaxCountValue is sent as _maxCount with $export.
	MaxCount bool
	// The resources of one page of an export, with MaxCount. The service refuses more than the upper bound.
	MaxCountValue int `default:"10000" min:"1" max:"10000"`
	// The number of files of one $import.
	FileCount int `default:"10000" min:"1" max:"50000"`
	// The number of $import jobs at a time.
	PayloadCount int `default:"5" min:"1" max:"100"`
	// The time between two polls of one job, in minutes; fractions are allowed.
	ScheduleInterval float64 `default:"2" bounds:"more than 0, at most 1440"`
	// Whether the number of attempts is bounded by MaxExportRetries. Without, a window is tried for ever, with pauses that grow to an hour.
	MaxExportRetriesEnabled bool `default:"true"`
	// The attempts of a window before it is held for an operator, and the ticks in a row without any success before the whole migration halts.
	MaxExportRetries int `default:"5" min:"1" max:"100"`
	// How many of a window's refused lines get a row of their own; the others are counted in one more row, and stay in the error log.
	MaxExceptionsPerWindow int `default:"1000" min:"1" max:"10000"`
	// When the exported lines are looked at for what an import would stumble over: `failed`, after an import that failed and
	// named a file; `all`, before every import, which reads everything once more; `off`, never.
	Preflight Preflight `default:"failed"`
	// How long an export may run, in minutes. Then it is cancelled, and the window is tried again in two halves.
	ExportDeadlineMinutes int `default:"1440" min:"1" max:"43200"`
	// How long an import may run, in minutes. Then it is cancelled, and once it has ended its files are posted again in two halves.
	ImportDeadlineMinutes int `default:"1440" min:"1" max:"43200"`
	// How long an import may say the same number of lines done, in minutes, before it counts as stuck and is cancelled. 0: for ever.
	StuckAfterMinutes int `default:"240" min:"0" max:"43200"`
	// What host.json says as functionTimeout, in minutes; fractions are allowed.
	FunctionTimeoutMinutes float64 `default:"10" bounds:"1 second to 1440"`

	// Whether the migration pauses every day from StartTime until EndTime: nothing new starts then, and what runs is followed to its end.
	PauseDm bool `section:"Pause"`
	// The hour in UTC at which the pause begins. Later than EndTime, the pause spans midnight.
	StartTime int `default:"8" min:"0" max:"23"`
	// The hour in UTC at which the pause ends; it is not part of the pause. It differs from StartTime.
	EndTime int `default:"17" min:"0" max:"23"`
	// Whether exports that are done may still be imported during the pause.
	ContinueLastImportDuringPause bool

	// The types that a surface check counts, when its request names none.
	SurfaceCheckResources []string `section:"Checks" unset:"all types that either service has"`
	// The resources that a deep check compares, when its request does not say.
	DeepCheckCount int `default:"100" min:"1" max:"1000000"`
	// How far the migration may be behind the source, in minutes, to be ready for the cutover.
	CutoverMaxLagMinutes int `default:"90" min:"2" max:"10080"`

	// AuthorityHost is AZURE_AUTHORITY_HOST, which azidentity reads too: where tokens are asked for in a sovereign cloud. Empty: the public one.
	AuthorityHost string `ignored:"true"`
	// Notices are what an operator should hear of once: settings that are accepted and have no effect.
	Notices []string `ignored:"true"`
}

// Pinned are the settings that must not change half-way, as text by name: changed, some windows would hold more, or something
// else, than others. Settings that do not matter in the mode at hand are left out.
func (s Settings) Pinned() map[string]string {
	value, pinned := reflect.ValueOf(s), make(map[string]string)
	for _, f := range fields() {
		matters := f.pinned
		switch f.name {
		case "ResourceTypes":
			matters = !s.IsParallel
		case "ConfigFile":
			matters = s.IsExportDeidentified
		}
		if matters {
			pinned[f.name] = shown(value.Field(f.index).Interface())
		}
	}
	return pinned
}

// AnonymizationFile is the blob with the de-identification configuration: ConfigFile with .json in the place of its extension, as the
// durable original has it.
func (s Settings) AnonymizationFile() string {
	return strings.TrimSuffix(s.ConfigFile, path.Ext(s.ConfigFile)) + ".json"
}

// MaxAttempts is how often a window, or a run of ticks without success, may fail before an operator is needed. 0: as often as it takes.
func (s Settings) MaxAttempts() int {
	if !s.MaxExportRetriesEnabled {
		return 0
	}
	return s.MaxExportRetries
}
