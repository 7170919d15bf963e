package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"fhirmigration/sandbox/compare"
	"fhirmigration/sandbox/fhirservice"
)

// T25: an import that fails for one line is explained; an operator accepts over HTTP that it is left out, the rest arrives, and the line is an
// exception that can be accepted or posted again.
func TestT25FindingsAcceptedOverHTTP(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun())
	a.seed(clinic(t, 50)...)
	at := a.source.Versions()[3].LastUpdated.Add(time.Millisecond)
	a.seed(fhirservice.Version{Type: "Observation", ID: "huge", VersionID: "1", LastUpdated: at,
		Raw: []byte(`{"resourceType":"Observation","id":"huge","status":"final","valueQuantity":{"value":123456789012345678901}}`)})
	held := 0
	for range 200 {
		a.fire("ExportTimer")
		a.fire("ImportTimer")
		for n, w := range a.windows() {
			if w["Held"] != "" {
				held = n + 1
			}
		}
		if held > 0 {
			break
		}
	}
	if held == 0 {
		t.Fatal("no window is held")
	}
	if text := fmt.Sprint(a.windows()[held-1]["Held"]); strings.Contains(text, "123456789012345678901") || !strings.Contains(text, "number too large") || !strings.Contains(text, "acceptFindings") {
		t.Errorf("held: %s", text)
	}
	path := fmt.Sprintf("/api/Windows/%d/acceptFindings", held)
	for _, c := range []struct {
		path, body string
		want       int
	}{{path, "{}", 400}, {"/api/Windows/999/acceptFindings", signed, 404}, {path, signed, 200}, {path, signed, 409}} {
		if status, body := a.post(c.path, c.body); status != c.want {
			t.Errorf("POST %s: %d %s, want %d", c.path, status, body, c.want)
		}
	}
	a.runTo(end, nil)
	report := compare.Versions(a.source.Versions(), a.destination.Versions())
	if len(report.Findings) != 1 || report.Findings[0].ID != "huge" {
		t.Errorf("what is not there: %v", report.Findings)
	}
	list := a.exceptions("?state=open")
	if len(list.Exceptions) != 1 || list.Exceptions[0].ResourceID != "huge" || !strings.Contains(list.Exceptions[0].Reason, "dr. who") {
		t.Fatalf("exceptions: %+v", list)
	}
	if status, body := a.post("/api/Exceptions/"+list.Exceptions[0].ID+"/retry", ""); status != http.StatusAccepted {
		t.Errorf("retry: %d %s", status, body)
	}
	for range 200 { // it fails the import of its own, too
		if a.fire("ImportTimer"); strings.Contains(a.exceptions("").Exceptions[0].Reason, "Arithmetic overflow") {
			return
		}
	}
	t.Errorf("posted again: %+v", a.exceptions(""))
}
