package e2e

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"fhirmigration/sandbox/fhirservice"
)

// statusAnswer is what these tests look at of GET /api/Status.
type statusAnswer struct {
	State    string
	Headline string
	Build    struct{ Version, Commit string }
	Progress struct {
		MigratedTill *time.Time
		ShareOfTime  *float64
		Imported     int64
	}
	Windows struct{ Done, Open, Held, Empty int }
	Exports struct{ Running, Done, Failed int }
	Servers struct{ Source, Destination *int64 }
	Summary struct{ Behind int }
	Waiting []struct {
		What, Who, Detail string
		Actions           []struct{ Name string }
	}
	Timers []struct{ Name, Schedule string }
	Checks []struct {
		Name, State, Verdict string
		Clean                *bool
	}
}

func (a *app) status() (s statusAnswer) {
	a.t.Helper()
	status, body := a.call("GET", "/api/Status", a.host.FunctionKey(), "")
	if err := json.Unmarshal([]byte(body), &s); status != http.StatusOK || err != nil {
		a.t.Fatalf("GET /api/Status: %d %s (%v)", status, body, err)
	}
	return s
}

// The status from before the first window to the last check.
func TestStatus(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun())
	a.seed(clinic(t, 100)...)
	if s := a.status(); s.State != "notBegun" || len(s.Timers) != 3 || s.Timers[0].Schedule == "" || s.Build.Version == "" {
		t.Errorf("before anything happened: %+v", s)
	}
	head, _ := exec.CommandContext(t.Context(), "git", "rev-parse", "HEAD").Output() // "" where there is no clone
	if got, want := a.status().Build.Commit, strings.TrimSpace(string(head)); !strings.HasPrefix(got, want) {
		t.Errorf("commit %q, want %q", got, want)
	}
	a.fire("ExportTimer")
	if s := a.status(); s.State != "running" || s.Windows.Open == 0 || s.Progress.MigratedTill == nil {
		t.Errorf("after the first tick: %+v", s)
	}
	a.runTo(end, nil)
	for a.fire("VerifyTimer"); a.status().Summary.Behind > 0; {
		a.fire("VerifyTimer")
	}
	s := a.status()
	if s.State != "finished" || *s.Progress.ShareOfTime != 1 || s.Windows.Open != 0 || s.Exports.Done != s.Windows.Done || len(s.Waiting) != 0 {
		t.Errorf("at the end: %+v", s)
	}
	if s.Servers.Source == nil || s.Servers.Destination == nil || *s.Servers.Source == 0 || *s.Servers.Source != *s.Servers.Destination {
		t.Errorf("totals: %+v", s.Servers)
	}
	if status, body := a.call("POST", "/api/SurfaceCheck", a.host.FunctionKey(), ""); status != http.StatusOK {
		t.Errorf("SurfaceCheck: %d %s", status, body)
	}
	if c := a.status().Checks; c[0].State != "done" || c[0].Clean == nil || !*c[0].Clean || c[1].State != "never" || c[1].Clean != nil {
		t.Errorf("checks: %+v", c)
	}
}
