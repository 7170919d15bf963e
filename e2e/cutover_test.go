package e2e

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"fhirmigration/sandbox/fhirservice"
)

// From the last window to the cutover: not ready without a proof, ready with it, and a certificate whose digest a program that shares no
// code with the handler computes from the tables.
func TestCutover(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun())
	a.seed(clinic(t, 100)...)
	a.runTo(end, nil)
	if ready, body := a.ready(); ready || !strings.Contains(body, "count=all") {
		t.Errorf("without a DeepCheck: %s", body)
	}
	if status, body := a.post("/api/DeepCheck?count=all", ""); status >= 300 {
		t.Fatalf("DeepCheck: %d %s", status, body)
	}
	ready, body := a.ready()
	for range 100 {
		if ready {
			break
		}
		a.fire("VerifyTimer")
		a.fire("ImportTimer") // the reindex of the search parameters
		ready, body = a.ready()
	}
	if !ready {
		t.Fatalf("not ready: %s", body)
	}
	status, page := a.call("GET", "/api/Certificate", a.host.FunctionKey(), "")
	if status != http.StatusOK || !strings.Contains(page, "is ready for the cutover") || strings.Contains(page, "AccountKey") {
		t.Errorf("the page: %d %s", status, page)
	}
	var certificate struct {
		Ledger struct{ SHA256 string }
		Totals struct{ Imported int64 }
	}
	status, body = a.call("GET", "/api/Certificate?format=json", a.host.FunctionKey(), "")
	if err := json.Unmarshal([]byte(body), &certificate); status != http.StatusOK || err != nil || certificate.Totals.Imported == 0 {
		t.Fatalf("%d %s (%v)", status, body, err)
	}
	out, err := exec.CommandContext(t.Context(), "go", "run", "fhirmigration/docs/ledgerhash", "-connection", emulators.For(t).ConnectionString(),
		"-chunk", "chunk"+a.tables, "-export", "export"+a.tables, "-exceptions", "exceptions"+a.tables).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if hash := certificate.Ledger.SHA256; len(hash) != 64 || !strings.HasPrefix(string(out), hash+" ") || !strings.Contains(page, hash) {
		t.Errorf("the certificate says %s, the program %s", hash, out)
	}
}

func (a *app) ready() (ready bool, body string) {
	a.t.Helper()
	status, body := a.call("GET", "/api/Cutover", a.host.FunctionKey(), "")
	var readiness struct{ Ready bool }
	if err := json.Unmarshal([]byte(body), &readiness); status != http.StatusOK || err != nil {
		a.t.Fatalf("%d %s (%v)", status, body, err)
	}
	return readiness.Ready, body
}
