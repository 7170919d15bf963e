package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"fhirmigration/sandbox/fhirservice"
)

// call makes an HTTP call to the function app and returns status and body. key "" sends none.
func (a *app) call(method, path, key, body string) (int, string) {
	a.t.Helper()
	request, err := http.NewRequestWithContext(a.t.Context(), method, a.host.URL()+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	if key != "" {
		request.Header.Set("x-functions-key", key)
	}
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		a.t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return reply.StatusCode, string(text)
}

type exceptionList struct {
	Exceptions []struct {
		ID, Kind, State, ResourceType, ResourceID, Reason, AcceptedBy string
		Window                                                        int
	}
	Next string
}

func (a *app) exceptions(query string) (list exceptionList) {
	a.t.Helper()
	status, body := a.call("GET", "/api/Exceptions"+query, a.host.FunctionKey(), "")
	if err := json.Unmarshal([]byte(body), &list); status != http.StatusOK || err != nil {
		a.t.Fatalf("%d %s (%v)", status, body, err)
	}
	return list
}

// Refused lines over HTTP: listed, posted again alone, accepted with a name and a reason.
func TestExceptions(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun())
	a.seed(clinic(t, 200)...)
	if list := a.exceptions(""); len(list.Exceptions) != 0 {
		t.Errorf("before anything happened: %+v", list)
	}
	a.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, RefuseLines: 2})
	a.runTo(end, nil)
	list := a.exceptions("?state=open")
	if len(list.Exceptions) != 2 || list.Exceptions[0].State != "open" || list.Exceptions[0].Reason == "" || list.Exceptions[0].ResourceType == "" {
		t.Fatalf("exceptions: %+v", list)
	}
	if page := a.exceptions("?max=1"); len(page.Exceptions) != 1 || page.Next != list.Exceptions[1].ID || a.exceptions("?from=" + page.Next).Exceptions[0].ID != page.Next {
		t.Errorf("a page: %+v", page)
	}
	if other := a.exceptions("?window=9999"); len(other.Exceptions) != 0 {
		t.Errorf("of another window: %+v", other)
	}
	first, second := list.Exceptions[0].ID, list.Exceptions[1].ID
	if status, body := a.call("POST", "/api/Exceptions/"+first+"/retry", a.host.FunctionKey(), ""); status != http.StatusAccepted {
		t.Errorf("retry: %d %s", status, body)
	}
	for range 200 { // the import step follows it
		if a.fire("ImportTimer"); len(a.exceptions("?state=imported").Exceptions) == 1 {
			break
		}
	}
	for _, c := range []struct {
		body string
		want int
	}{{"", 400}, {"{}", 400}, {`{"by":"","reason":"x"}`, 400}, {`{"by":"dr. who","reason":"a test record"}`, 200}} {
		if status, text := a.call("POST", "/api/Exceptions/"+second+"/accept", a.host.FunctionKey(), c.body); status != c.want {
			t.Errorf("accept %s: %d %s", c.body, status, text)
		}
	}
	states := map[string]string{}
	for _, e := range a.exceptions("").Exceptions {
		states[e.ID] = e.State + " " + e.AcceptedBy
	}
	if states[first] != "imported " || states[second] != "accepted dr. who" {
		t.Errorf("states: %v", states)
	}
	for path, want := range map[string]int{"/api/Exceptions/" + first + "/accept": 409, "/api/Exceptions/0000000001-x/accept": 404, "/api/Exceptions/" + first + "/forget": 404} {
		if status, body := a.call("POST", path, a.host.FunctionKey(), `{"by":"me","reason":"why"}`); status != want {
			t.Errorf("POST %s: %d %s, want %d", path, status, body, want)
		}
	}
	for _, query := range []string{"?max=0", "?max=many", "?max=100000", "?window=-1"} {
		if status, body := a.call("GET", "/api/Exceptions"+query, a.host.FunctionKey(), ""); status != 400 || !strings.Contains(body, "give a number") {
			t.Errorf("GET %s: %d %s", query, status, body)
		}
	}
}

// T22: an anonymous call of any route is 401, and GET changes nothing; replies hold no key.
func TestT22EveryRouteNeedsAKey(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun())
	n := 0
	for _, f := range a.host.Functions() {
		if f.Trigger != "http" {
			continue
		}
		n++
		if f.AuthLevel != "function" {
			t.Errorf("%s has authLevel %s", f.Name, f.AuthLevel)
		}
		path := strings.NewReplacer("{id}", "0000000001-x").Replace(f.Route)
		for _, method := range f.Methods {
			for _, key := range []string{"", "wrong"} {
				if status, body := a.call(strings.ToUpper(method), path, key, "{}"); status != http.StatusUnauthorized {
					t.Errorf("%s %s with key %q: %d %s", method, path, key, status, body)
				}
			}
			status, body := a.call(strings.ToUpper(method), path, a.host.FunctionKey(), "{}")
			if status == http.StatusUnauthorized || strings.Contains(body, a.host.FunctionKey()) || strings.Contains(body, a.host.MasterKey()) {
				t.Errorf("%s %s with the key: %d %s", method, path, status, body)
			}
		}
	}
	if n == 0 {
		t.Error("there is no HTTP function")
	}
	if chunk := a.row("chunk"+a.tables, "myrowkey"); chunk != nil {
		t.Errorf("state was changed: %v", chunk)
	}
	for _, timer := range []string{"/ExportTimer", "/api/ExportTimer", "/ImportTimer"} {
		if status, _ := a.call("POST", timer, a.host.FunctionKey(), "{}"); status != http.StatusNotFound {
			t.Errorf("a timer can be called from outside: %s %d", timer, status)
		}
	}
}

// T16: polls answer 401, then 503, then 200. The job runs on in between, the token is renewed, and no attempt is spent.
func TestT16PollsThatAreNotAnswered(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun())
	a.seed(clinic(t, 100)...)
	for _, s := range []*fhirservice.Service{a.source, a.destination} {
		for _, kind := range []fhirservice.Operation{fhirservice.ExportStatus, fhirservice.ImportStatus} {
			s.Inject(fhirservice.Fault{Kind: kind, After: 2, Times: 1, Status: 401})
			s.Inject(fhirservice.Fault{Kind: kind, After: 3, Times: 1, Status: 503})
		}
	}
	a.runTo(end, nil)
	a.wantEqual()
	for i, row := range a.windows() {
		if row["Attempts"] != int32(0) {
			t.Errorf("window %d: %v attempts", i+1, row["Attempts"])
		}
	}
	if n := a.identity.Issued(a.source.URL()); n != 2 {
		t.Errorf("%d tokens for the source, want a second one", n)
	}
}
