package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"fhirmigration/sandbox/fhirservice"
)

// difference is how a setting is seen to change behaviour: the same is done in two scenes, with and without the change.
type difference struct {
	base     []string // settings of both scenes
	change   []string // what is set in one of them: the setting, and others without which it cannot be
	services func(name string, o *fhirservice.Options)
	seen     func(*scene) string // does something, and says what is seen
}

var (
	typed     = []string{"IsParallel=false", "ResourceTypes=Patient,Observation", "StartDate=2024-01-01"}
	live      = []string{"SpecificRun=-", "EndDate=-", "StartDate=2024-12-30"}
	tenanted  = []string{"SourceCredential=default", "ClientCredential=true", "TenantId=contoso.example", "ClientId=client", "ClientSecret=secret"}
	endpoint  = []string{"StorageConnectionString=-", "StagingStorageUri={elsewhere}/a", "BlobStorageUri={elsewhere}/b"}
	deleteOff = []string{"ExportWithDelete=false"}
)

// differences has an entry for every setting of docs/settings.md.
func differences() map[string]difference {
	quarter := func(int) time.Duration { return 15 * time.Minute }
	slowExports := func(name string, o *fhirservice.Options) { o.ExportTime, o.Workers = quarter, 20 }
	slowImports := func(name string, o *fhirservice.Options) { o.ImportTime, o.LinesPerFile, o.Workers = quarter, 1, 20 }
	small := func(name string, o *fhirservice.Options) { o.LinesPerFile = 2 }
	return map[string]difference{
		"SourceUri":             {change: []string{"SourceUri={other}"}, seen: migrated(func(s *scene) string { return fmt.Sprint(len(s.source.Calls()) > 0, len(s.other.Calls()) > 0) })},
		"DestinationUri":        {change: []string{"DestinationUri={other}"}, seen: migrated(func(s *scene) string { return fmt.Sprint(len(s.destination.Versions()), len(s.other.Versions())) })},
		"SourceCredential":      {base: []string{"SourceCredential=default"}, change: []string{"SourceCredential=none"}, seen: tokens},
		"DestinationCredential": {base: []string{"DestinationCredential=default"}, change: []string{"DestinationCredential=none"}, seen: tokens},
		"SourceAudience":        {base: []string{"SourceCredential=default"}, change: []string{"SourceAudience=api://records"}, seen: tokens},
		"DestinationAudience":   {base: []string{"DestinationCredential=default"}, change: []string{"DestinationAudience=api://records"}, seen: tokens},
		"ClientCredential":      {base: []string{"SourceCredential=default", "TenantId=contoso.example", "ClientId=client", "ClientSecret=secret"}, change: []string{"ClientCredential=true"}, seen: tokens},
		"TenantId":              {base: tenanted, change: []string{"TenantId=other.example"}, seen: tokens},
		"ClientId":              {base: tenanted, change: []string{"ClientId=another"}, seen: tokens},
		"ClientSecret":          {base: tenanted, change: []string{"ClientSecret=renewed"}, seen: tokens},
		"UserAgent":             {change: []string{"UserAgent=contoso"}, seen: migrated(func(s *scene) string { return s.source.Calls()[0].Agent })},

		"StagingStorageUri": {base: endpoint, change: []string{"StagingStorageUri={elsewhere}/c"}, seen: askedElsewhere},
		"BlobStorageUri":    {base: endpoint, change: []string{"BlobStorageUri={elsewhere}/c"}, seen: askedElsewhere},
		"ExportStorageUri":  {base: endpoint, change: []string{"ExportStorageUri={elsewhere}/c"}, seen: askedElsewhere},
		"StagingStorageAccountName": {base: []string{"StorageConnectionString=-", "StagingStorageUri=https://contoso.table.core.windows.net", "BlobStorageUri=https://contoso.blob.core.windows.net", "StagingStorageAccountName=contoso"},
			change: []string{"StagingStorageAccountName=fabrikam"}, seen: worksWithSettings},
		"StorageConnectionString": {base: endpoint, change: []string{"StorageConnectionString={emulator}"}, seen: askedElsewhere},
		"ExportTableName":         {change: []string{"ExportTableName=elsewhere{n}"}, seen: migrated(keys)},
		"ChunkTableName":          {change: []string{"ChunkTableName=elsewhere{n}"}, seen: migrated(keys)},
		"ExceptionTableName":      {change: []string{"ExceptionTableName=elsewhere{n}"}, seen: refusedLines},
		"PartitionKey":            {change: []string{"PartitionKey=other"}, seen: migrated(keys)},
		"RowKey":                  {change: []string{"RowKey=other"}, seen: migrated(keys)},
		"SurfaceRowKey":           {change: []string{"SurfaceRowKey=other"}, seen: checked("/api/SurfaceCheck", keys)},
		"DeepRowKey":              {change: []string{"DeepRowKey=other"}, seen: checked("/api/DeepCheck", keys)},

		"StartDate":               {change: []string{"StartDate=2024-01-03"}, seen: migrated((*scene).arrived)},
		"EndDate":                 {change: []string{"EndDate=2024-01-03"}, seen: migrated((*scene).arrived)},
		"SpecificRun":             {base: []string{"EndDate=2024-01-03"}, change: []string{"SpecificRun=false"}, seen: migrated((*scene).arrived)},
		"IsParallel":              {base: typed, change: []string{"IsParallel=true"}, seen: migrated(kickOffs("_type"))},
		"ResourceTypes":           {base: typed, change: []string{"ResourceTypes=Observation"}, seen: migrated((*scene).arrived)},
		"ExportWithHistory":       {change: []string{"ExportWithHistory=true"}, seen: migrated(kickOffs("includeAssociatedData"))},
		"ExportWithDelete":        {base: []string{"AllowDeletedToReturn=true"}, change: deleteOff, seen: migrated(kickOffs("includeAssociatedData"))},
		"AllowDeletedToReturn":    {base: deleteOff, change: []string{"AllowDeletedToReturn=true"}, seen: worksWithSettings},
		"IsExportDeidentified":    {base: []string{"IsExportDeidentified=false", "ConfigFile=a"}, change: []string{"IsExportDeidentified=true"}, seen: migrated(kickOffs("_container", "_anonymizationConfig"))},
		"ConfigFile":              {base: []string{"IsExportDeidentified=true", "ConfigFile=a"}, change: []string{"ConfigFile=b"}, seen: migrated(kickOffs("_container", "_anonymizationConfig"))},
		"MigrateSearchParameters": {change: []string{"MigrateSearchParameters=false"}, seen: migrated(func(s *scene) string { return fmt.Sprint(calls(s.destination, fhirservice.Search)) })},
		"ImportMode":              {change: []string{"ImportMode=InitialLoad"}, seen: migrated((*scene).arrived)},

		"ExportChunkTime":         {change: []string{"ExportChunkTime=2"}, seen: migrated(windows)},
		"ResourceExportChunkTime": {base: typed, change: []string{"ResourceExportChunkTime=2"}, seen: migrated(windows)},
		"ExportChunkDuration":     {change: []string{"ExportChunkDuration=Hours"}, seen: migrated(windows)},
		"ChunkLimit":              {change: []string{"ChunkLimit=3"}, seen: migrated(windows)},
		"MaxOpenWindows":          {base: []string{"ExportChunkTime=1"}, change: []string{"MaxOpenWindows=1"}, seen: afterTicks(1, windows)},
		"SafetyLagMinutes":        {base: live, change: []string{"SafetyLagMinutes=600"}, seen: liveEnd},
		"TailIntervalMinutes":     {base: live, change: []string{"TailIntervalMinutes=10"}, seen: liveEnd},

		"MaxParallelExports":      {base: []string{"ExportChunkTime=1"}, change: []string{"MaxParallelExports=4"}, services: slowExports, seen: afterTicks(1, exports)},
		"MaxCount":                {base: []string{"MaxCountValue=7"}, change: []string{"MaxCount=true"}, seen: migrated(kickOffs("_maxCount"))},
		"MaxCountValue":           {base: []string{"MaxCount=true"}, change: []string{"MaxCountValue=7"}, seen: migrated(kickOffs("_maxCount"))},
		"FileCount":               {change: []string{"FileCount=1"}, services: small, seen: migrated(imports)},
		"PayloadCount":            {base: []string{"FileCount=1"}, change: []string{"PayloadCount=2"}, services: slowImports, seen: afterTicks(4, imports)},
		"ScheduleInterval":        {change: []string{"ScheduleInterval=10"}, services: slowExports, seen: afterTicks(7, func(s *scene) string { return fmt.Sprint(calls(s.source, fhirservice.ExportStatus)) })},
		"MaxExportRetriesEnabled": {base: []string{"MaxExportRetries=1"}, change: []string{"MaxExportRetriesEnabled=false"}, seen: failing},
		"MaxExportRetries":        {change: []string{"MaxExportRetries=1"}, seen: failing},
		"MaxExceptionsPerWindow":  {change: []string{"MaxExceptionsPerWindow=1"}, seen: refusedLines},
		"Preflight":               {change: []string{"Preflight=all"}, seen: migrated(func(s *scene) string { return s.windows("Preflight") })},
		"ExportDeadlineMinutes":   {change: []string{"ExportDeadlineMinutes=30"}, seen: stuck(fhirservice.Export, fhirservice.ExportCancel)},
		"ImportDeadlineMinutes":   {change: []string{"ImportDeadlineMinutes=30"}, seen: stuck(fhirservice.Import, fhirservice.ImportCancel)},
		"StuckAfterMinutes":       {change: []string{"StuckAfterMinutes=10"}, services: slowImportUnit, seen: stuckCounting},
		"FunctionTimeoutMinutes":  {change: []string{"FunctionTimeoutMinutes=0.02"}, seen: slowKickOff},

		"PauseDm":                       {base: []string{"StartTime=23", "EndTime=2"}, change: []string{"PauseDm=true"}, seen: afterTicks(1, exports)},
		"StartTime":                     {base: []string{"PauseDm=true", "StartTime=1", "EndTime=2"}, change: []string{"StartTime=0"}, seen: afterTicks(1, exports)},
		"EndTime":                       {base: []string{"PauseDm=true", "StartTime=23", "EndTime=2"}, change: []string{"EndTime=0"}, seen: afterTicks(1, exports)},
		"ContinueLastImportDuringPause": {base: []string{"PauseDm=true", "StartTime=1", "EndTime=2"}, change: []string{"ContinueLastImportDuringPause=true"}, seen: intoThePause},

		"SurfaceCheckResources": {change: []string{"SurfaceCheckResources=Patient"}, seen: checked("/api/SurfaceCheck", typesCounted)},
		"DeepCheckCount":        {change: []string{"DeepCheckCount=2"}, seen: checked("/api/DeepCheck", nothingMore)},
		"CutoverMaxLagMinutes":  {base: live, change: []string{"CutoverMaxLagMinutes=10000"}, seen: lagOfCutover},
	}
}

// T20: every documented setting is set to something else once, and a difference in behaviour is seen.
func TestT20EverySettingChangesBehaviour(t *testing.T) {
	t.Parallel()
	entries, documented := differences(), documentedSettings(t)
	for name := range entries {
		if !slices.Contains(documented, name) {
			t.Errorf("docs/settings.md has no %s", name)
		}
	}
	for _, name := range documented {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, known := entries[name]
			if !known {
				t.Fatal("nobody has said how a change of this setting is seen: add an entry")
			}
			if len(d.change) == 0 || !strings.HasPrefix(d.change[0], name+"=") {
				t.Fatalf("%v does not change it", d.change)
			}
			without, again := d.seen(newScene(t, d.services, d.base...)), d.seen(newScene(t, d.services, d.base...))
			if without != again {
				t.Fatalf("what is seen differs by itself:\n%s\n%s", without, again)
			}
			with := d.seen(newScene(t, d.services, append(slices.Clone(d.base), d.change...)...))
			if without == with {
				t.Errorf("with %v and without, the same is seen: %s", d.change, with)
			}
			t.Logf("without %v: %s\nwith: %s", d.change, without, with)
		})
	}
}

// documentedSettings are the names in the tables of docs/settings.md.
func documentedSettings(t *testing.T) (names []string) {
	t.Helper()
	file, err := os.Open("../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	row := regexp.MustCompile("^\\| `([A-Za-z]+)` \\|")
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if found := row.FindStringSubmatch(lines.Text()); found != nil {
			names = append(names, found[1])
		}
	}
	if err := lines.Err(); err != nil || len(names) < 50 {
		t.Fatalf("%d settings are documented (%v)", len(names), err)
	}
	return names
}

// migrated looks at what a migration of eight resources in two weeks has led to.
func migrated(look func(*scene) string) func(*scene) string {
	return func(s *scene) string {
		s.fill()
		s.ticks(12)
		return look(s)
	}
}

// fill loads eight resources of two types into the source.
func (s *scene) fill() {
	s.t.Helper()
	s.seed(6, day(1), 36*time.Hour)
	for i := range 2 {
		if err := s.source.Load(fhirservice.Version{Type: "Observation", ID: fmt.Sprint("o", i), VersionID: "1", LastUpdated: day(float64(3 + 10*i)),
			Raw: fmt.Appendf(nil, `{"resourceType":"Observation","id":"o%d","status":"final"}`, i)}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// afterTicks looks at what there is after so many ticks.
func afterTicks(n int, look func(*scene) string) func(*scene) string {
	return func(s *scene) string {
		s.fill()
		s.ticks(n)
		return look(s)
	}
}

func kickOffs(names ...string) func(*scene) string {
	return func(s *scene) string { return s.kickOffs(names...) }
}

func windows(s *scene) string { return s.windows("Since", "Till") }
func exports(s *scene) string { return fmt.Sprint(calls(s.source, fhirservice.Export)) }
func imports(s *scene) string { return fmt.Sprint(calls(s.destination, fhirservice.Import)) }

// tokens are what both services were sent.
func tokens(s *scene) string {
	s.fill()
	s.ticks(3)
	return fmt.Sprintf("%q %q", s.token("source", s.source), s.token("destination", s.destination))
}

// worksWithSettings says whether the handler does anything with settings that may contradict each other.
func worksWithSettings(s *scene) string { return fmt.Sprint(s.options.SettingsError == nil) }

// askedElsewhere says which parts of the other account were asked: for a row, for a manifest, and for a file that was exported.
func askedElsewhere(s *scene) string {
	s.step("ImportTimer")
	m := s.options.Migration
	m.Staging.Manifest(s.t.Context(), "1")
	m.Staging.Lines(s.t.Context(), "https://x.blob.core.windows.net/export-1/Patient.ndjson", 0, func(string) (bool, error) { return true, nil })
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprint(s.asked["a"] > 0, s.asked["b"] > 0, s.asked["c"] > 0, s.asked["d"] > 0)
}

// keys are tables, partitions and keys of all rows.
func keys(s *scene) string {
	var all []string
	for key := range s.rows() {
		all = append(all, key)
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// checked runs a check over a migration that has ended.
func checked(path string, look func(*scene) string) func(*scene) string {
	return func(s *scene) string {
		s.fill()
		s.ticks(6)
		status, body := s.call("POST", path, "")
		for range 10 {
			s.step("VerifyTimer")
		}
		if status >= 300 {
			s.t.Fatalf("%s: %d %s", path, status, body)
		}
		_, body = s.call("GET", path, "")
		return regexp.MustCompile(`"progress":\{"done":\d+,"of":\d+`).FindString(body) + look(s)
	}
}

func nothingMore(*scene) string { return "" }

// typesCounted are the types that a surface check has asked the source for.
func typesCounted(s *scene) string {
	types := map[string]bool{}
	for _, c := range s.source.Calls() {
		if c.Kind == fhirservice.Count {
			types[c.Path] = true
		}
	}
	return fmt.Sprint(types)
}

// liveEnd is how far a migration without an end is planned after an hour.
func liveEnd(s *scene) string {
	s.seed(100, begun.Add(-time.Hour), 2*time.Minute)
	s.ticks(30)
	return windows(s)
}

// failing says what becomes of a window of which every export fails.
func failing(s *scene) string {
	s.fill()
	s.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, FailJob: &fhirservice.Failure{Status: http.StatusInternalServerError, Reason: "unknown error"}})
	s.ticks(5)
	return fmt.Sprint(strings.Contains(s.windows("Held"), "failed"))
}

// refusedLines are the rows of lines that an import has refused.
func refusedLines(s *scene) string {
	s.fill()
	s.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, RefuseLines: 4})
	s.ticks(8)
	n := 0
	for key := range s.rows() {
		if strings.HasPrefix(key, "exceptions ") {
			n++
		}
	}
	return fmt.Sprint(n)
}

// stuck says whether a job that never ends is cancelled within an hour.
func stuck(job, cancel fhirservice.Operation) func(*scene) string {
	return func(s *scene) string {
		s.fill()
		service := s.source
		if job == fhirservice.Import {
			service = s.destination
		}
		service.Inject(fhirservice.Fault{Kind: job, StuckJob: true})
		s.ticks(30)
		return fmt.Sprint(calls(service, cancel) > 0)
	}
}

// slowImportUnit makes files of two lines, each of which is imported for half an hour.
func slowImportUnit(_ string, o *fhirservice.Options) {
	o.LinesPerFile, o.ImportTime = 2, func(int) time.Duration { return 2 * time.Hour }
}

// stuckCounting says whether an import that counts no more is cancelled within an hour.
func stuckCounting(s *scene) string {
	s.fill()
	s.ticks(30)
	return fmt.Sprint(calls(s.destination, fhirservice.ImportCancel) > 0)
}

// slowKickOff says whether an export is started whose kick-off is answered after a second: a call may take as long as the function's
// time-out allows.
func slowKickOff(s *scene) string {
	s.fill()
	s.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, Delay: time.Second})
	s.ticks(1)
	return s.windows("IsExportRunning")
}

// intoThePause has an export end when the pause has begun.
func intoThePause(s *scene) string {
	s.fill()
	s.clock.Advance(59 * time.Minute)
	s.ticks(4)
	return imports(s)
}

// lagOfCutover is what the readiness for the cutover says of the time that the migration is behind.
func lagOfCutover(s *scene) string {
	s.seed(10, begun.Add(-time.Hour), time.Minute)
	s.ticks(6)
	_, body := s.call("GET", "/api/Cutover", "")
	return regexp.MustCompile(`the limit is [0-9hms]+`).FindString(body)
}
