package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"fhirmigration/sandbox/fhirservice"
	"fhirmigration/sandbox/synthetic"
)

var end = time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)

// clinic is five years of a small clinic's records, with stretches in which it was closed.
func clinic(t *testing.T, resources int) []fhirservice.Version {
	t.Helper()
	versions, err := synthetic.Generate(synthetic.Options{Seed: 7, Resources: resources, Start: end.AddDate(-5, 0, 0), End: end.Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	return versions
}

func rangeRun(more ...string) map[string]string {
	settings := map[string]string{"ExportWithHistory": "true", "SpecificRun": "true", "EndDate": end.Format(time.RFC3339), "ExportChunkTime": "60"}
	for i := 0; i < len(more); i += 2 {
		settings[more[i]] = more[i+1]
	}
	return settings
}

// The main job: five years arrive, with windows in flight together, one row a window in the original's columns, a watermark
// at the end, and no $export where there is nothing. With the default of two exports at a time, and with four.
func TestMigration(t *testing.T) {
	t.Parallel()
	for _, exports := range []int{2, 4} {
		t.Run(fmt.Sprintf("%d exports at a time", exports), func(t *testing.T) {
			t.Parallel()
			settings := rangeRun()
			if exports != 2 {
				settings["MaxParallelExports"] = fmt.Sprint(exports)
			}
			jobs := func(int) time.Duration { return 300 * time.Millisecond }
			a := startApp(t, fhirservice.Options{ExportTime: jobs, Workers: 8}, fhirservice.Options{ImportTime: jobs, Workers: 8}, settings)
			a.seed(clinic(t, 1500)...)
			exporting, importing := 0, 0
			a.runTo(end, func() {
				e, i := inFlight(a.windows())
				exporting, importing = max(exporting, e), max(importing, i)
			})
			a.wantEqual()
			if exporting != exports || importing < 2 {
				t.Errorf("in flight together at most: %d exports, %d imports", exporting, importing)
			}
			checkTables(a)
		})
	}
}

func inFlight(rows []map[string]any) (exports, imports int) {
	for _, r := range rows {
		switch {
		case r["exportContentLocation"] != "" && r["IsExportComplete"] == false:
			exports++
		case r["importContentLocation"] != "" && r["IsImportComplete"] == false:
			imports++
		}
	}
	return exports, imports
}

// checkTables reads the tables as the original's own queries would.
func checkTables(a *app) {
	a.t.Helper()
	rows := a.windows()
	last := ""
	for i, r := range rows {
		for column, want := range map[string]any{"IsExportRunning": "Completed", "IsExportComplete": true, "IsImportRunning": "Completed", "IsImportComplete": true,
			"IsProcessed": true, "IsFirst": true, "ImportRequest": "Yes", "TotalImportResourceCount": r["TotalExportResourceCount"], "TotalFailedImportCount": "0",
			"CompletedCount": r["PayloadCount"], "FailureReason": ""} {
			if r[column] != want {
				a.t.Errorf("window %d: %s is %v, want %v", i+1, column, r[column], want)
			}
		}
		for _, column := range []string{"exportContentLocation", "importContentLocation", "StartTime", "ExportEndTime", "ImportStartTime", "EndTime", "ExportId", "ImportNo", "SearchParameterCount"} {
			if r[column] == nil || r[column] == "" {
				a.t.Errorf("window %d: %s is empty", i+1, column)
			}
		}
		if r["TotalExportResourceCount"] == "0" {
			a.t.Errorf("window %d was exported and holds nothing", i+1)
		}
		if since := r["Since"].(string); since < last {
			a.t.Errorf("window %d begins at %s, before the last one ends", i+1, since)
		}
		last = r["Till"].(string)
	}
	if n := a.calls(a.source, fhirservice.Export); n != len(rows) {
		a.t.Errorf("%d exports were started for %d windows", n, len(rows))
	}
	chunk := a.row("chunk"+a.tables, "myrowkey")
	if chunk["since"] != last || chunk["JobId"] != int32(len(rows)+1) {
		a.t.Errorf("chunk row: since %v, JobId %v; the last window ends at %s, and there are %d", chunk["since"], chunk["JobId"], last, len(rows))
	}
}

// The handler is killed again and again, and the host with it when it gives up. It ends complete all the same.
func TestKilledHandler(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun("MaxParallelExports", "4", "FunctionTimeoutMinutes", "0.02"))
	a.seed(clinic(t, 600)...)
	random := rand.New(rand.NewPCG(1, 2))
	hostRestarts, kills := 0, 0
	for deadline := time.Now().Add(2 * time.Minute); ; {
		if time.Now().After(deadline) {
			t.Fatalf("not migrated in time: %v", a.row("chunk"+a.tables, "myrowkey"))
		}
		select {
		case <-a.host.Stopped(): // the platform starts a host that gave up again
			a.host.Close()
			a.startHost()
			hostRestarts++
		default:
		}
		done := make(chan struct{})
		go func() { // both timers, while the axe falls somewhere in between
			defer close(done)
			a.host.Invoke(t.Context(), "ExportTimer")
			a.host.Invoke(t.Context(), "ImportTimer")
		}()
		if kills < 20 {
			select {
			case <-done:
			case <-time.After(time.Duration(random.IntN(60)) * time.Millisecond):
				if pid := a.host.PID(); pid != 0 && syscall.Kill(pid, syscall.SIGKILL) == nil {
					kills++
				}
			}
		}
		<-done
		chunk := a.row("chunk"+a.tables, "myrowkey")
		if want := end.Format("2006-01-02T15:04:05.000Z"); chunk != nil && chunk["since"] == want && chunk["openWindows"] == "" {
			break
		}
	}
	a.wantEqual()
	if kills < 5 || hostRestarts == 0 {
		t.Errorf("killed %d times, the host restarted %d times: the test shows little", kills, hostRestarts)
	}
}

// A handler that is asked to end, as the host never does, leaves with a code that every host takes for a crash: with 0, older ones would go on
// without it.
func TestTerminatedHandlerIsReplaced(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun())
	if err := syscall.Kill(a.host.PID(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if !a.log.holds("handler exited: exit status 1", 1) {
		t.Error("the host does not know that the handler has left")
	}
	if inv := a.fire("ImportTimer"); !inv.Succeeded {
		t.Errorf("ImportTimer afterwards: %s", inv.Reason)
	}
}

// What an invocation does is done when it is answered: between two of them the handler is frozen, as Azure may do.
func TestFrozenBetweenInvocations(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun("ScheduleInterval", "0.00002")) // a job may be polled in the next invocation
	a.host.Close()
	a.options.Freeze = true
	a.startHost()
	a.seed(clinic(t, 60)...)
	calls := func(timer string, of *fhirservice.Service, kind fhirservice.Operation) {
		t.Helper()
		if a.fire(timer); a.calls(of, kind) == 0 {
			t.Fatalf("%s has answered and made no call of kind %s", timer, kind)
		}
	}
	calls("ExportTimer", a.source, fhirservice.Export)
	calls("ExportTimer", a.source, fhirservice.ExportStatus)
	for deadline := time.Now().Add(time.Minute); a.windows()[0]["IsExportComplete"] != true; a.fire("ExportTimer") { // the job takes its time
		if time.Now().After(deadline) {
			t.Fatalf("not exported in time: %v", a.windows()[0])
		}
	}
	calls("ImportTimer", a.destination, fhirservice.Import)
	a.runTo(end, nil)
	a.wantEqual()
}

// A missing or invalid setting: the process starts and answers, each timer call fails after a line that names the setting,
// and nothing is called.
func TestBadSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		setting, value, names string
	}{
		"missing":                  {"SourceUri", "", "AZURE_SourceUri is missing"},
		"no URL":                   {"DestinationUri", "not a url", "AZURE_DestinationUri"},
		"plain http to a far host": {"SourceUri", "http://fhir.example.com", "AZURE_SourceUri"},
		"a date that is none":      {"EndDate", "soon", "AZURE_EndDate"},
		"deletes off (T27)":        {"ExportWithDelete", "false", "AZURE_AllowDeletedToReturn"},
		"no token for a far host":  {"SourceCredential", "nobody", "AZURE_SourceCredential"},
		"below its bound":          {"FileCount", "0", "AZURE_FileCount"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun(c.setting, c.value))
			a.seed(clinic(t, 10)...)
			for range 2 {
				for _, timer := range []string{"ExportTimer", "ImportTimer"} {
					if inv := a.fire(timer); inv.Succeeded || !strings.Contains(inv.Reason, "500") {
						t.Errorf("%s: succeeded %v, %s", timer, inv.Succeeded, inv.Reason)
					}
				}
			}
			if !a.log.holds(c.names, 4) {
				t.Errorf("the log does not name %q at each call", c.names)
			}
			if n := len(a.source.Calls()) + len(a.destination.Calls()); n != 0 {
				t.Errorf("%d FHIR calls were made", n)
			}
			if a.host.PID() == 0 {
				t.Error("the handler is not running")
			}
		})
	}
}

// T32 with real tokens: the handler takes its tokens from the managed identity, one for each FHIR service, and neither goes
// anywhere else, whatever a Content-Location or a next link says.
func TestT32NoTokenGoesToAnotherHost(t *testing.T) {
	t.Parallel()
	visits := make(chan string, 1000)
	foreign := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		visits <- r.Method + " " + r.URL.String() + " " + r.Header.Get("Authorization")
	}))
	defer foreign.Close()
	a := startApp(t, fhirservice.Options{Kind: fhirservice.Cosmos}, fhirservice.Options{}, rangeRun("ExportWithHistory", "false", "ExportChunkTime", "5"))
	a.seed(clinic(t, 30)...)
	for _, kind := range []fhirservice.Operation{fhirservice.Export, fhirservice.History, fhirservice.Search} {
		a.source.Inject(fhirservice.Fault{Kind: kind, ForeignHost: foreign.URL})
	}
	a.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, ForeignHost: foreign.URL})
	a.runTo(end, nil)
	select {
	case v := <-visits:
		t.Errorf("a call went to the other host: %s", v)
	default:
	}
	for _, s := range []*fhirservice.Service{a.source, a.destination} {
		if n := a.identity.Issued(s.URL()); n != 1 {
			t.Errorf("%d tokens were issued for one service", n)
		}
	}
	if n := a.calls(a.destination, fhirservice.Import); n == 0 {
		t.Error("nothing was imported")
	}
	// A status URL on the row that somebody changed: rebuilt or refused, never followed.
	if strings.Contains(a.log.String(), foreign.URL) {
		t.Error("the other host's address is kept")
	}
}

// A token that is refused is renewed once, and the migration goes on.
func TestRevokedTokens(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun())
	a.seed(clinic(t, 100)...)
	a.fire("ExportTimer")
	a.identity.RevokeAll()
	a.runTo(end, a.identity.RevokeAll)
	a.wantEqual()
}

// The handler sends nothing secret to its log: no token, no account key, no content of a resource.
func TestLogHoldsNoSecret(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun())
	a.seed(clinic(t, 100)...)
	a.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, FailJob: &fhirservice.Failure{Status: 500, Reason: "InternalServerError"}})
	a.runTo(end, nil)
	if !a.log.holds(`"event":"ImportTill"`, 2) {
		t.Error("the log does not tell of the watermark")
	}
	log := a.log.String()
	for _, secret := range []string{"Bearer ", "AccountKey", "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq", `"resourceType"`, a.host.MasterKey(), a.host.FunctionKey()} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}
