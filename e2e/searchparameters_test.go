package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"fhirmigration/sandbox/fhirservice"
)

// searchParameter is a custom search parameter on an extension of Patient.
func searchParameter(n int, replace ...string) fhirservice.Version {
	raw := fmt.Sprintf(`{"resourceType":"SearchParameter","id":"sp-%[1]d","url":"https://contoso.example/sp/%[1]d","status":"active","code":"sp-%[1]d","base":["Patient"],`+
		`"type":"string","expression":"Patient.extension.where(url='urn:contoso:%[1]d').value"}`, n)
	return fhirservice.Version{Type: "SearchParameter", ID: fmt.Sprintf("sp-%d", n), VersionID: "1", LastUpdated: end.AddDate(0, -1, 0),
		Raw: []byte(strings.NewReplacer(replace...).Replace(raw))}
}

type searchParametersState struct {
	State, Reason, Reindex           string
	Found, Existing, Copied, Refused int
	RefusedParameters                []struct{ URL, Reason string }
}

func (a *app) searchParameters() (s searchParametersState) {
	a.t.Helper()
	status, body := a.call("GET", "/api/SearchParameters", a.host.FunctionKey(), "")
	if err := json.Unmarshal([]byte(body), &s); status != http.StatusOK || err != nil {
		a.t.Fatalf("%d %s (%v)", status, body, err)
	}
	return s
}

// searchParametersDone fires the import timer until the search parameters are done.
func (a *app) searchParametersDone() searchParametersState {
	a.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		if inv := a.fire("ImportTimer"); !inv.Succeeded {
			a.t.Fatalf("ImportTimer failed: %s", inv.Reason)
		}
		if s := a.searchParameters(); s.State == "done" {
			return s
		}
	}
	a.t.Fatalf("not done in time: %+v", a.searchParameters())
	return searchParametersState{}
}

// T9 with the built handler: 1,001 custom search parameters, two of them refused and named, the rest found by after a reindex; asked
// for over HTTP, and copied again on request.
func TestT09SearchParametersEndToEnd(t *testing.T) {
	t.Parallel()
	// A destination that asks for no token, so that the test can search it.
	destination, err := fhirservice.Start(t.Context(), fhirservice.Options{StorageConnectionString: emulators.For(t).ConnectionString()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { destination.Close() })
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun("DestinationUri", destination.URL(), "DestinationCredential", "none"))
	a.destination = destination
	if status, body := a.call("POST", "/api/SearchParameters/copy", a.host.FunctionKey(), ""); status != http.StatusConflict {
		t.Errorf("copied again before the first time: %d %s", status, body)
	}
	var all []fhirservice.Version
	for n := range 1001 {
		all = append(all, searchParameter(n))
	}
	all[10] = searchParameter(10, "Patient.extension", "Patient.iif().extension")
	all[1000] = searchParameter(1000, "https://contoso.example/sp/1000", "http://hl7.org/fhir/SearchParameter/individual-family")
	a.seed(all...)
	a.seed(fhirservice.Version{Type: "Patient", ID: "east", VersionID: "1", LastUpdated: end.AddDate(0, -1, 0),
		Raw: []byte(`{"resourceType":"Patient","id":"east","extension":[{"url":"urn:contoso:999","valueString":"East 1"}]}`)})
	a.runTo(end, nil)
	s := a.searchParametersDone()
	if s.Found != 1001 || s.Existing != 0 || s.Copied != 999 || s.Refused != 2 || len(s.RefusedParameters) != 2 {
		t.Errorf("state: %+v", s)
	}
	for _, url := range []string{"https://contoso.example/sp/10", "http://hl7.org/fhir/SearchParameter/individual-family"} {
		if !a.log.holds(url, 1) {
			t.Errorf("the log does not name %s", url)
		}
	}
	if got := a.search("/Patient?sp-999=east"); !strings.Contains(got, `"id":"east"`) {
		t.Errorf("search by a parameter that was copied: %s", got)
	}
	a.seed(searchParameter(2000))
	if status, body := a.call("POST", "/api/SearchParameters/copy", a.host.FunctionKey(), ""); status != http.StatusAccepted {
		t.Fatalf("copy again: %d %s", status, body)
	}
	if s = a.searchParametersDone(); s.Found != 1002 || s.Existing != 999 || s.Copied != 1 || s.Refused != 2 {
		t.Errorf("state after the repetition: %+v", s)
	}
}

// search asks the destination, strictly.
func (a *app) search(path string) string {
	a.t.Helper()
	request, err := http.NewRequestWithContext(a.t.Context(), http.MethodGet, a.destination.URL()+path, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	request.Header.Set("Prefer", "handling=strict")
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		a.t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(text)
}
