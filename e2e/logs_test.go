package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"fhirmigration/sandbox/azurite"
	"fhirmigration/sandbox/fhirservice"
)

// secrets are the keys and tokens that this app works with, by what they are.
func (a *app) secrets() map[string]string {
	all := map[string]string{"storage key": azurite.AccountKey, "function key": a.host.FunctionKey(), "master key": a.host.MasterKey(), "client secret": clientSecret}
	for _, f := range a.host.Functions() {
		all["key of "+f.Name] = a.host.KeyOf(f.Name)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, token := range a.tokens {
		all[fmt.Sprintf("token %d", i+1)] = token
	}
	return all
}

// seen notes a token that a service was called with.
func (a *app) seen(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tokens = append(a.tokens, token)
}

// contents are the texts of the source's resources that say something about somebody: names, addresses, notes. Codes, dates and URLs are
// left out, as they are found anywhere.
func (a *app) contents() map[string]bool {
	texts := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, member := range v {
				if name != "resourceType" && name != "id" && name != "reference" && name != "meta" {
					walk(member)
				}
			}
		case []any:
			for _, element := range v {
				walk(element)
			}
		case string:
			if len(v) >= 6 && strings.ToLower(v) != v && !harmless.MatchString(v) {
				texts[v] = true
			}
		}
	}
	for _, version := range a.source.Versions() {
		var resource any
		if len(version.Raw) > 0 && json.Unmarshal(version.Raw, &resource) == nil {
			walk(resource)
		}
	}
	return texts
}

var harmless = regexp.MustCompile(`^(\d{4}-|https?:|urn:|[A-Z][a-z]+/)`)

// A whole migration with its faults, checks and operators, and then a look at every line of the log: no key, no token, no secret, and nothing
// that a resource says. The lines have what they are found by.
func TestNoLineHoldsASecretOrAResource(t *testing.T) {
	t.Parallel()
	a, _ := behindGateways(t, rangeRun("MaxExportRetries", "1"))
	a.seed(clinic(t, 150)...)
	a.source.Inject(fhirservice.Fault{Kind: fhirservice.Export, Times: 1, FailJob: &fhirservice.Failure{Status: 500, Reason: "unknown error"}})
	a.source.Inject(fhirservice.Fault{Kind: fhirservice.HistoryCount, After: 2, Times: 1, NotFHIR: "<html>no FHIR</html>"})
	a.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, RefuseLines: 2})
	a.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, After: 1, Times: 1, FlipByte: true})
	a.destination.Inject(fhirservice.Fault{Kind: fhirservice.ImportStatus, After: 1, Times: 1, Status: 401})
	a.post("/api/CheckAccess", "")
	for range 60 { // until the window whose export failed is held
		if a.fire("ExportTimer"); len(a.windows()) > 0 && a.windows()[0]["Held"] != "" {
			break
		}
	}
	a.post("/api/Windows/1/release", signed)
	a.runTo(end, func() { a.post("/api/ClearMaxExportRetries", signed) }) // with one attempt allowed, each failure may halt the migration
	for _, path := range []string{"/api/SurfaceCheck", "/api/DeepCheck?count=all", "/api/Pause", "/api/Resume", "/api/StartNow", "/api/Windows/1/cancel"} {
		a.post(path, signed)
	}
	a.post("/api/Exceptions/"+a.exceptions("").Exceptions[0].ID+"/retry", "")
	for range 5 {
		a.fire("VerifyTimer")
		a.fire("ImportTimer")
	}
	for _, path := range []string{"/api/Cutover", "/api/Certificate", "/api/Plan"} {
		a.call("GET", path, a.host.FunctionKey(), "")
	}
	if !a.log.holds(`"msg":"check done"`, 2) {
		t.Error("the checks are not done")
	}
	log := a.log.String()
	for name, secret := range a.secrets() {
		if strings.Contains(log, secret) {
			t.Errorf("the log shows the %s", name)
		}
	}
	contents := a.contents()
	for text := range contents {
		if strings.Contains(log, text) {
			t.Errorf("the log shows what a resource says: %q", text)
		}
	}
	if a.mu.Lock(); len(contents) < 50 || len(a.tokens) == 0 {
		t.Errorf("%d texts, %d tokens: there is little to look for", len(contents), len(a.tokens))
	}
	a.mu.Unlock()
	a.checkLines(log)
}

// checkLines: the lines of the handler are JSON, those of a window's transitions name it and the invocation, and the original's properties
// are on its events.
func (a *app) checkLines(log string) {
	a.t.Helper()
	found := map[string]int{}
	for _, text := range strings.Split(log, "\n") {
		at := strings.Index(text, `{"time":`)
		if at < 0 {
			continue
		}
		var line map[string]any
		if err := json.Unmarshal([]byte(text[at:]), &line); err != nil {
			a.t.Errorf("not JSON: %s", text)
			continue
		}
		event, _ := line["event"].(string)
		if (event == "Export" || event == "Import" || event == "Held" || event == "Operator") && line["invocationId"] == nil {
			a.t.Errorf("a line without the invocation: %s", text)
		}
		for status, ids := range map[string][]string{"ExportStatus": {"window", "ExportId", "StatusUrl", "Since", "Till"}, "ImportStatus": {"window", "payload", "ImportId", "StatusUrl"}} {
			if line[status] == nil {
				continue
			}
			found[fmt.Sprint(status, " ", line[status])]++
			for _, id := range ids {
				if line[id] == nil || line[id] == "" {
					a.t.Errorf("a line without %s: %s", id, text)
				}
			}
		}
		if event == "ImportTill" && line["Till"] != nil || event == "SurfaceCheck" && line["Resource"] != nil && line["SourceCount"] != nil && line["Result"] != nil || event == "DeepCheck" && line["Result"] != nil {
			found[event]++
		}
	}
	for _, want := range []string{"ExportStatus Started", "ExportStatus Completed", "ExportStatus Failed", "ImportStatus Started", "ImportStatus Completed", "ImportTill", "SurfaceCheck", "DeepCheck"} {
		if found[want] == 0 {
			a.t.Errorf("no line says %s: %v", want, found)
		}
	}
}
