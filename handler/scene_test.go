package main

import (
	"cmp"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"fhirmigration/handler/internal/routes"
	"fhirmigration/sandbox/azurite"
	"fhirmigration/sandbox/fhirservice"
	"fhirmigration/sandbox/testclock"
)

var (
	emulator *azurite.Server
	entra    *httptest.Server // hands out tokens over TLS, and is trusted
)

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

// runTests runs the tests as a function app's process is run: the identity of its own is in the environment, as is whom it trusts.
func runTests(m *testing.M) int {
	entra = httptest.NewTLSServer(http.HandlerFunc(handOut))
	defer entra.Close()
	folder, err := os.MkdirTemp("", "fhir-migration-handler-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	trusted := filepath.Join(folder, "trusted.pem")
	err = os.WriteFile(trusted, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: entra.Certificate().Raw}), 0o600)
	for name, value := range map[string]string{"SSL_CERT_FILE": trusted, "AZURE_TENANT_ID": "home.example", "AZURE_CLIENT_ID": "app", "AZURE_CLIENT_SECRET": "own"} {
		err = errors.Join(err, os.Setenv(name, value))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return azurite.RunTests(func() int {
		if err := putConfigurations("a.json", "b.json"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}, &emulator)
}

// putConfigurations writes de-identification configurations where the sources look for them.
func putConfigurations(names ...string) error {
	client, err := azblob.NewClientFromConnectionString(emulator.ConnectionString(), nil)
	if err != nil {
		return err
	}
	_, err = client.CreateContainer(context.Background(), "anonymization", nil)
	for _, name := range names {
		if err == nil {
			_, err = client.UploadBuffer(context.Background(), "anonymization", name, []byte(`{"fhirVersion":"R4"}`), nil)
		}
	}
	return err
}

// handOut answers as Microsoft Entra does at its v2.0 endpoints; a token says for whom and for what it is.
func handOut(w http.ResponseWriter, r *http.Request) {
	tenant, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	base := entra.URL + "/" + tenant
	w.Header().Set("Content-Type", "application/json")
	if strings.HasSuffix(rest, "openid-configuration") {
		json.NewEncoder(w).Encode(map[string]any{"issuer": base + "/v2.0", "authorization_endpoint": base + "/oauth2/v2.0/authorize", "token_endpoint": base + "/oauth2/v2.0/token"})
		return
	}
	token := strings.Join([]string{tenant, r.FormValue("client_id"), r.FormValue("client_secret"), strings.Fields(r.FormValue("scope") + " -")[0]}, " ")
	json.NewEncoder(w).Encode(map[string]any{"token_type": "Bearer", "expires_in": 3600, "access_token": token})
}

// day0 is where the data of the scenes begin, begun what the clock shows then, a year later.
var (
	day0  = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	begun = day0.AddDate(1, 0, 0)
)

func day(n float64) time.Time { return day0.Add(time.Duration(n * 24 * float64(time.Hour))) }

// scene is a handler between two FHIR services, with a third one beside them, tables of its own and a clock that is moved by hand.
type scene struct {
	t                          *testing.T
	source, destination, other *fhirservice.Service
	number                     string
	clock                      *testclock.Clock
	handler                    http.Handler
	options                    routes.Options
	elsewhere                  *httptest.Server // a storage account that has nothing

	mu     sync.Mutex
	tokens map[string]string // what was sent to each service last, by its name
	asked  map[string]int    // calls to elsewhere, by their first path segment
	failed int               // steps that were answered with 500
}

var (
	scenes atomic.Int32
	ports  sync.Map // of all FHIR services: job ids are made of them
)

// newScene starts services and handler. In the settings, "{other}" is the URL of the third service, "{elsewhere}" that of the other storage
// account, "{emulator}" the connection string of the first, "{n}" the scene's number, and a value of "-" takes a setting away.
func newScene(t *testing.T, services func(name string, o *fhirservice.Options), settings ...string) *scene {
	t.Helper()
	s := &scene{t: t, number: fmt.Sprint(scenes.Add(1)), clock: testclock.New(begun), tokens: map[string]string{}, asked: map[string]int{}}
	s.elsewhere = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked[strings.Split(r.URL.Path, "/")[1]]++
		http.NotFound(w, r)
	}))
	t.Cleanup(s.elsewhere.Close)
	values := map[string]string{
		"StorageConnectionString": emulator.ConnectionString(), "SourceCredential": "none", "DestinationCredential": "none", "AUTHORITY_HOST": entra.URL,
		"ExportTableName": "export{n}", "ChunkTableName": "chunk{n}", "ExceptionTableName": "exceptions{n}", "SpecificRun": "true", "EndDate": "2024-12-01",
	}
	for _, set := range settings {
		name, value, _ := strings.Cut(set, "=")
		if values[name] = value; value == "-" {
			delete(values, name)
		}
	}
	s.source = s.serve("source", values["SourceCredential"] == "default", services)
	s.destination = s.serve("destination", values["DestinationCredential"] == "default", services)
	s.other = s.serve("other", false, services)
	values["SourceUri"], values["DestinationUri"] = cmp.Or(values["SourceUri"], s.source.URL()), cmp.Or(values["DestinationUri"], s.destination.URL())
	replace := strings.NewReplacer("{n}", s.number, "{other}", s.other.URL(), "{elsewhere}", s.elsewhere.URL, "{emulator}", emulator.ConnectionString())
	var environ []string
	for name, value := range values {
		environ = append(environ, "AZURE_"+name+"="+replace.Replace(value))
	}
	s.options = assemble(environ, s.clock.Now, slog.New(slog.NewTextHandler(s, nil)))
	s.handler = routes.New(s.options)
	return s
}

func (s *scene) serve(name string, tokens bool, services func(string, *fhirservice.Options)) *fhirservice.Service {
	s.t.Helper()
	for {
		o := fhirservice.Options{Clock: s.clock.Now, StorageConnectionString: emulator.ConnectionString()}
		if tokens {
			o.Verify = func(token string) error {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.tokens[name] = token
				return nil
			}
		}
		if services != nil {
			services(name, &o)
		}
		service, err := fhirservice.Start(s.t.Context(), o)
		if err != nil {
			s.t.Fatal(err)
		}
		if _, taken := ports.LoadOrStore(service.URL(), true); !taken {
			s.t.Cleanup(func() { service.Close() })
			return service
		}
		service.Close()
	}
}

// Write takes the handler's log, and shows it when the test fails.
func (s *scene) Write(p []byte) (int, error) {
	s.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

// call calls the handler as the host does.
func (s *scene) call(method, target, body string) (status int, answer string) {
	s.t.Helper()
	r := httptest.NewRequestWithContext(s.t.Context(), method, target, strings.NewReader(body))
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return w.Code, string(text)
}

// step fires a timer.
func (s *scene) step(name string) {
	s.t.Helper()
	if status, _ := s.call("POST", "/"+name, "{}"); status != http.StatusOK {
		s.failed++
	}
}

// ticks fires the timers so many times; two minutes pass in between.
func (s *scene) ticks(n int) {
	s.t.Helper()
	for range n {
		s.step("ExportTimer")
		s.step("ImportTimer")
		s.clock.Advance(2*time.Minute + time.Second)
	}
}

// patient is one version of a patient.
func patient(id string, number int, at time.Time) fhirservice.Version {
	return fhirservice.Version{Type: "Patient", ID: id, VersionID: fmt.Sprint(number), LastUpdated: at,
		Raw: fmt.Appendf(nil, `{"resourceType":"Patient","id":%q,"gender":"female","name":[{"family":"Family %d"}]}`, id, number)}
}

// seed loads n patients into the source, one at each step from first on.
func (s *scene) seed(n int, first time.Time, step time.Duration) {
	s.t.Helper()
	for i := range n {
		if err := s.source.Load(patient(fmt.Sprintf("p%d-%d", first.Unix(), i), 1, first.Add(time.Duration(i)*step))); err != nil {
			s.t.Fatal(err)
		}
	}
}

// token is what was sent to a service last; its own URL is "itself" in it.
func (s *scene) token(name string, service *fhirservice.Service) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.ReplaceAll(s.tokens[name], service.URL(), "itself")
}

func calls(service *fhirservice.Service, kind fhirservice.Operation) (n int) {
	for _, c := range service.Calls() {
		if c.Kind == kind {
			n++
		}
	}
	return n
}

// kickOffs are the parameters of the exports that were asked for, each sort of them once; of all, or those named.
func (s *scene) kickOffs(names ...string) string {
	s.t.Helper()
	sorts := map[string]bool{}
	for _, c := range s.source.Calls() {
		if c.Kind != fhirservice.Export {
			continue
		}
		q, err := url.ParseQuery(c.RawQuery)
		if err != nil {
			s.t.Fatal(err)
		}
		for name := range q {
			if !slices.Contains(names, name) {
				q.Del(name)
			}
		}
		sorts[q.Encode()] = true
	}
	return fmt.Sprint(slices.Sorted(maps.Keys(sorts)))
}

// arrived are the ids at the destination, with how many versions there are of each.
func (s *scene) arrived() string {
	found := map[string]int{}
	for _, v := range s.destination.Versions() {
		found[v.Type+"/"+v.ID]++
	}
	return fmt.Sprint(found)
}

// rows are the rows of all tables of the scene, by table and key.
func (s *scene) rows() map[string]map[string]any {
	s.t.Helper()
	service, err := aztables.NewServiceClientFromConnectionString(emulator.ConnectionString(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	all := map[string]map[string]any{}
	for _, table := range []string{"export", "chunk", "exceptions", "elsewhere"} {
		pager := service.NewClient(table + s.number).NewListEntitiesPager(nil)
		for pager.More() {
			page, err := pager.NextPage(s.t.Context())
			if err != nil {
				break // the scene has no such table
			}
			for _, entity := range page.Entities {
				var row aztables.EDMEntity
				if err := json.Unmarshal(entity, &row); err != nil {
					s.t.Fatal(err)
				}
				all[table+" "+row.PartitionKey+" "+row.RowKey] = row.Properties
			}
		}
	}
	return all
}

// windows are those of the scene: a column of each.
func (s *scene) windows(columns ...string) string {
	s.t.Helper()
	var all []string
	for _, row := range s.rows() {
		if row["IsFirst"] == true {
			line := ""
			for _, c := range columns {
				line += fmt.Sprint(row[c], " ")
			}
			all = append(all, line)
		}
	}
	slices.Sort(all)
	return fmt.Sprint(len(all), all)
}
