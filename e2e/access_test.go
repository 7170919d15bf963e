package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"fhirmigration/sandbox/fhirservice"
)

type accessReport struct {
	OK    bool
	Lines []struct{ Name, Result, Tried, Found, Do string }
}

func (a *app) checkAccess() (report accessReport, byName map[string]string) {
	a.t.Helper()
	status, body := a.post("/api/CheckAccess", "")
	if err := json.Unmarshal([]byte(body), &report); status != http.StatusOK || err != nil {
		a.t.Fatalf("%d %s (%v)", status, body, err)
	}
	byName = map[string]string{}
	for _, l := range report.Lines {
		byName[l.Name] = l.Result + ": " + l.Found + " " + l.Do
	}
	return report, byName
}

// The access check in the function app, with the managed identity: before anything has run, and after, when what the services themselves
// may do has shown.
func TestCheckAccess(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun())
	a.seed(clinic(t, 50)...)
	report, before := a.checkAccess()
	if !report.OK || !strings.HasPrefix(before["export and import on one account"], "not known") || !strings.HasPrefix(before["source: export"], "ok") {
		t.Errorf("before: %+v", report)
	}
	if chunk := a.row("chunk"+a.tables, "myrowkey"); chunk != nil || a.calls(a.source, fhirservice.Export) > 0 || a.calls(a.destination, fhirservice.Import) > 0 {
		t.Errorf("something was begun: %v", chunk)
	}
	a.runTo(end, nil)
	report, after := a.checkAccess()
	for _, name := range []string{"source: its own storage", "destination: its own storage", "export and import on one account"} {
		if !report.OK || !strings.HasPrefix(after[name], "ok: ") {
			t.Errorf("after: %s: %s", name, after[name])
		}
	}
}

// Settings that cannot be worked with: the check is the one function that answers, and says which.
func TestCheckAccessWithoutSettings(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, map[string]string{"ExportChunkTme": "3"})
	report, lines := a.checkAccess()
	if report.OK || !strings.Contains(lines["settings"], "AZURE_ExportChunkTme") || !strings.HasPrefix(lines["schedule of ExportTimer"], "ok: ") {
		t.Errorf("%+v", report)
	}
}

// A dry run over HTTP.
func TestPlan(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun())
	a.seed(clinic(t, 50)...)
	status, body := a.call("GET", "/api/Plan", a.host.FunctionKey(), "")
	var plan struct {
		Windows []struct{ Count, Bytes int64 }
		Total   struct{ Windows, Exports, Imports int64 }
	}
	if err := json.Unmarshal([]byte(body), &plan); status != http.StatusOK || err != nil || len(plan.Windows) == 0 || plan.Windows[0].Count == 0 || plan.Windows[0].Bytes == 0 || plan.Total.Imports == 0 {
		t.Fatalf("%d %s (%v)", status, body, err)
	}
	a.runTo(end, nil)
	if made := len(a.windows()); int64(made) != plan.Total.Windows {
		t.Errorf("%d windows foreseen, %d made", plan.Total.Windows, made)
	}
}
