// The app settings that a deployer chooses. Made from handler/internal/settings/settings.go by go generate; a test keeps it current.

@export()
@sealed()
@description('App settings, without their prefix AZURE_. A list is one text with commas.')
type migrationSettings = {
  @description('What tokens for the source are asked for, where that is not its base URL: behind a gateway, or for a service with an application of its own in Entra. The scope is this text and `/.default`. Default: SourceUri.')
  SourceAudience: string?

  @description('What tokens for the destination are asked for, as SourceAudience says it for the source. Default: DestinationUri.')
  DestinationAudience: string?

  @description('Whether the source is in another tenant and is called with a client secret. TenantId, ClientId and ClientSecret are set then. The destination and storage are called with the default credential all the same. Default: `false`.')
  ClientCredential: bool?

  @description('The tenant of the source, with ClientCredential: its id or one of its domain names. Default: none.')
  TenantId: string?

  @description('The application in TenantId that may export, with ClientCredential. It is not AZURE_CLIENT_ID, which chooses the managed identity. Default: none.')
  ClientId: string?

  @description('Sent as User-Agent with every call to a FHIR service: at most 256 printable ASCII characters. Default: `fhir-migration-tool`.')
  UserAgent: string?

  @description('The table of the windows. Another name begins another migration. Default: `export`.')
  ExportTableName: string?

  @description('The table of the one row that says how far the migration is. Default: `chunk`.')
  ChunkTableName: string?

  @description('The table of refused lines. Default: `exceptions`.')
  ExceptionTableName: string?

  @description('The partition of every row. Default: `mypartitionkey`.')
  PartitionKey: string?

  @description('The key of the chunk row, and the prefix of the window rows. Default: `myrowkey`.')
  RowKey: string?

  @description('The prefix of the rows of surface checks. Default: `surfacerowkey`.')
  SurfaceRowKey: string?

  @description('The prefix of the rows of deep checks. Default: `deeprowkey`.')
  DeepRowKey: string?

  @description('Where the migration begins: a date or an instant with its zone, to the millisecond at most. Default: the oldest resource.')
  StartDate: string?

  @description('Where a range run ends, after StartDate. Default: none.')
  EndDate: string?

  @description('Whether this is a range run, which ends at EndDate. Otherwise the migration follows the source until it is stopped. Default: `false`.')
  SpecificRun: bool?

  @description('Whether the whole system is exported at once. With false, each window is of one resource type. Default: `true`.')
  IsParallel: bool?

  @description('The types to migrate with IsParallel=false, in their order; without effect otherwise. When not set, they are the original\'s 144 in its order and then what the source\'s CapabilityStatement lists beyond them. SearchParameter is left out: see MigrateSearchParameters. Default: the types of the source.')
  ResourceTypes: string?

  @description('Whether every version of a resource is exported, not the current one alone. Default: `false`.')
  ExportWithHistory: bool?

  @description('Whether soft deletes are exported. Default: `true`.')
  ExportWithDelete: bool?

  @description('Accepts that without ExportWithDelete, resources deleted at the source come back alive at the destination: the window in which one was created exports it as it was at that window\'s end. Default: `false`.')
  AllowDeletedToReturn: bool?

  @description('Whether the export is de-identified with ConfigFile, which is then needed. Where the file is missing or has changed, nothing is exported. It takes IsParallel=true. Default: `false`.')
  IsExportDeidentified: bool?

  @description('The de-identification configuration in the container `anonymization` of the account that the source exports to. Whatever extension is given here, the blob\'s is `.json`. Its version, the blob\'s ETag, must not change half-way either. Default: none.')
  ConfigFile: string?

  @description('Whether custom search parameters are copied before the first import, and the destination reindexed. It takes the role FHIR Data Contributor there. Default: `true`.')
  MigrateSearchParameters: bool?

  @description('The mode of $import: `IncrementalLoad` keeps versions and times; `InitialLoad` makes every resource version 1, changed now, and needs a destination in initial-import mode. Default: `IncrementalLoad`.')
  ImportMode: ('IncrementalLoad' | 'InitialLoad')?

  @description('The longest length of a window in system mode, in units of ExportChunkDuration. Where the source is retired and answers exports alone, it is that of the first window, and those that follow grow or shrink with what comes back. Default: `30`.')
  ExportChunkTime: int?

  @description('The longest length of a window in type mode, in units of ExportChunkDuration. Default: `30`.')
  ResourceExportChunkTime: int?

  @description('The unit of ExportChunkTime and ResourceExportChunkTime. A day has 24 hours: windows are in UTC. Default: `Days`.')
  ExportChunkDuration: ('Days' | 'Hours' | 'Minutes')?

  @description('The number of resources above which a window is cut. Default: `100000000`.')
  @minValue(1)
  @maxValue(1000000000000)
  ChunkLimit: int?

  @description('The number of windows that are planned and not done. 0 stands for what it is when not set. Default: 2 × (MaxParallelExports + PayloadCount).')
  @minValue(0)
  @maxValue(200)
  MaxOpenWindows: int?

  @description('How far the end of a window stays behind the source\'s clock, in minutes. Default: `5`.')
  @minValue(1)
  @maxValue(1440)
  SafetyLagMinutes: int?

  @description('The length of the shortest window at the live end, in minutes. Default: `60`.')
  @minValue(1)
  @maxValue(10080)
  TailIntervalMinutes: int?

  @description('The number of $export jobs at a time. Default: `2`.')
  @minValue(1)
  @maxValue(50)
  MaxParallelExports: int?

  @description('Whether MaxCountValue is sent as _maxCount with $export. Default: `false`.')
  MaxCount: bool?

  @description('The resources of one page of an export, with MaxCount. The service refuses more than the upper bound. Default: `10000`.')
  @minValue(1)
  @maxValue(10000)
  MaxCountValue: int?

  @description('The number of files of one $import. Default: `10000`.')
  @minValue(1)
  @maxValue(50000)
  FileCount: int?

  @description('The number of $import jobs at a time. Default: `5`.')
  @minValue(1)
  @maxValue(100)
  PayloadCount: int?

  @description('The time between two polls of one job, in minutes; fractions are allowed. Default: `2`.')
  ScheduleInterval: string?

  @description('Whether the number of attempts is bounded by MaxExportRetries. Without, a window is tried for ever, with pauses that grow to an hour. Default: `true`.')
  MaxExportRetriesEnabled: bool?

  @description('The attempts of a window before it is held for an operator, and the ticks in a row without any success before the whole migration halts. Default: `5`.')
  @minValue(1)
  @maxValue(100)
  MaxExportRetries: int?

  @description('How many of a window\'s refused lines get a row of their own; the others are counted in one more row, and stay in the error log. Default: `1000`.')
  @minValue(1)
  @maxValue(10000)
  MaxExceptionsPerWindow: int?

  @description('When the exported lines are looked at for what an import would stumble over: `failed`, after an import that failed and named a file; `all`, before every import, which reads everything once more; `off`, never. Default: `failed`.')
  Preflight: ('failed' | 'all' | 'off')?

  @description('How long an export may run, in minutes. Then it is cancelled, and the window is tried again in two halves. Default: `1440`.')
  @minValue(1)
  @maxValue(43200)
  ExportDeadlineMinutes: int?

  @description('How long an import may run, in minutes. Then it is cancelled, and once it has ended its files are posted again in two halves. Default: `1440`.')
  @minValue(1)
  @maxValue(43200)
  ImportDeadlineMinutes: int?

  @description('How long an import may say the same number of lines done, in minutes, before it counts as stuck and is cancelled. 0: for ever. Default: `240`.')
  @minValue(0)
  @maxValue(43200)
  StuckAfterMinutes: int?

  @description('Whether the migration pauses every day from StartTime until EndTime: nothing new starts then, and what runs is followed to its end. Default: `false`.')
  PauseDm: bool?

  @description('The hour in UTC at which the pause begins. Later than EndTime, the pause spans midnight. Default: `8`.')
  @minValue(0)
  @maxValue(23)
  StartTime: int?

  @description('The hour in UTC at which the pause ends; it is not part of the pause. It differs from StartTime. Default: `17`.')
  @minValue(0)
  @maxValue(23)
  EndTime: int?

  @description('Whether exports that are done may still be imported during the pause. Default: `false`.')
  ContinueLastImportDuringPause: bool?

  @description('The types that a surface check counts, when its request names none. Default: all types that either service has.')
  SurfaceCheckResources: string?

  @description('The resources that a deep check compares, when its request does not say. Default: `100`.')
  @minValue(1)
  @maxValue(1000000)
  DeepCheckCount: int?

  @description('How far the migration may be behind the source, in minutes, to be ready for the cutover. Default: `90`.')
  @minValue(2)
  @maxValue(10080)
  CutoverMaxLagMinutes: int?
}
