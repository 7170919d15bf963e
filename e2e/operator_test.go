package e2e

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"fhirmigration/sandbox/fhirservice"
)

// post calls a POST route with the key of the function app and returns status and body.
func (a *app) post(path, body string) (int, string) {
	a.t.Helper()
	return a.call("POST", path, a.host.FunctionKey(), body)
}

const signed = `{"by":"dr. who","reason":"the clinic closes"}`

// An operator steers over HTTP: what is wrong is refused with its status and changes nothing, what is right is done.
func TestOperatorActions(t *testing.T) {
	t.Parallel()
	settings := rangeRun()
	settings["MaxExportRetries"] = "1"
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, settings)
	a.seed(clinic(t, 100)...)
	a.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 1, FailJob: &fhirservice.Failure{Status: 500, Reason: "unknown error"}})
	for _, c := range []struct {
		path, body string
		want       int
		says       string
	}{
		{"/api/Pause", "", 400, "by"},
		{"/api/Pause", `{"by":"dr. who"}`, 400, "reason"},
		{"/api/Resume", signed, 409, "no operator has paused it"},
		{"/api/AcceptSettings", signed, 409, "has not begun"},
		{"/api/Windows/1/release", signed, 404, "no such window"},
		{"/api/Windows/-1/release", signed, 400, "give its number"},
		{"/api/ClearMaxExportRetries", signed, 409, "has not begun"},
		{"/api/Drain", signed, 409, "has not begun"},
		{"/api/Windows/x/cancel", signed, 400, "give its number"},
		{"/api/Pause", signed, 200, `"paused":true`},
		{"/api/Pause", signed, 409, "paused by dr. who"},
	} {
		if status, body := a.post(c.path, c.body); status != c.want || !strings.Contains(body, c.says) || !json.Valid([]byte(body)) {
			t.Errorf("POST %s %s: %d %s, want %d with %s", c.path, c.body, status, body, c.want, c.says)
		}
	}
	a.fire("ExportTimer")
	if n := a.calls(a.source, fhirservice.Export); n != 0 {
		t.Errorf("%d exports while it is paused", n)
	}
	if status, body := a.post("/api/Resume", signed); status != http.StatusOK {
		t.Errorf("resume: %d %s", status, body)
	}
	for range 50 {
		if a.fire("ExportTimer"); len(a.windows()) > 0 && a.windows()[0]["Held"] != "" {
			break
		}
	}
	if status, body := a.post("/api/Windows/1/cancel", signed); status != http.StatusConflict || !strings.Contains(body, "held") || !strings.Contains(body, "unknown error") {
		t.Errorf("cancel a held window: %d %s", status, body)
	}
	if status, body := a.post("/api/Windows/1/release", signed); status != http.StatusOK || !strings.Contains(body, `"phase":"planned"`) {
		t.Errorf("release: %d %s", status, body)
	}
	// Whether it halted too depends on whether the other export ended in the tick that failed.
	if status, body := a.post("/api/ClearMaxExportRetries", signed); status != http.StatusOK && !strings.Contains(body, "no failed ticks are counted") {
		t.Errorf("clear the failed ticks: %d %s", status, body)
	}
	if status, body := a.post("/api/StartNow", signed); status != http.StatusOK {
		t.Errorf("start now: %d %s", status, body)
	}
	a.runTo(end, nil)
	a.wantEqual()
}
