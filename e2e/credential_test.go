package e2e

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"fhirmigration/sandbox/fhirservice"
)

// authority hands out tokens for a client secret, as Microsoft Entra does at its v2.0 endpoints, over TLS with a certificate of its own.
type authority struct {
	*httptest.Server
	mu      sync.Mutex
	asked   []string // scopes, as asked for
	refused []string
}

const (
	tenant       = "contoso.example"
	clientID     = "5f9d1c6e-0000-4000-8000-000000000001"
	clientSecret = "not a real secret"
	audience     = "api://records-of-contoso"
)

func startAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /"+tenant+"/v2.0/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		base := a.URL + "/" + tenant
		reply(w, http.StatusOK, map[string]any{"issuer": base + "/v2.0", "authorization_endpoint": base + "/oauth2/v2.0/authorize", "token_endpoint": base + "/oauth2/v2.0/token"})
	})
	mux.HandleFunc("POST /"+tenant+"/oauth2/v2.0/token", func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		scope := strings.Fields(r.FormValue("scope"))
		if r.FormValue("grant_type") != "client_credentials" || r.FormValue("client_id") != clientID || r.FormValue("client_secret") != clientSecret || len(scope) == 0 {
			a.refused = append(a.refused, r.FormValue("client_id"))
			reply(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."})
			return
		}
		a.asked = append(a.asked, scope[0])
		reply(w, http.StatusOK, map[string]any{"token_type": "Bearer", "expires_in": 3600, "ext_expires_in": 3600, "access_token": "entra " + scope[0]})
	})
	a.Server = httptest.NewTLSServer(mux)
	t.Cleanup(a.Close)
	return a
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

// verify takes what this authority handed out for the audience.
func (a *authority) verify(token string) error {
	if token != "entra "+audience+"/.default" {
		return errors.New("not one of ours")
	}
	return nil
}

// certificate is a file with what a program needs to trust the authority.
func (a *authority) certificate(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// behindGateways is an app whose source is in another tenant, with a base path and an audience of its own, and whose destination has a
// base path and an audience of its own.
func behindGateways(t *testing.T, settings map[string]string) (*app, *authority) {
	t.Helper()
	entra := startAuthority(t)
	var a *app
	start := func(path string, verify func(string) error) *fhirservice.Service {
		s, err := fhirservice.Start(t.Context(), fhirservice.Options{BasePath: path, Verify: verify, StorageConnectionString: emulators.For(t).ConnectionString()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	source := start("/contoso/fhir-r4", entra.verify)
	destination := start("/records", func(token string) error {
		a.seen(token)
		return a.identity.Verify(token, "https://records.example")
	})
	values := map[string]string{
		"SourceUri": source.URL() + "/", "SourceAudience": audience, "ClientCredential": "true", "TenantId": tenant, "ClientId": clientID, "ClientSecret": clientSecret,
		"DestinationUri": destination.URL(), "DestinationAudience": "https://records.example", "AUTHORITY_HOST": entra.URL,
	}
	for name, value := range settings {
		values[name] = value
	}
	a = startApp(t, fhirservice.Options{}, fhirservice.Options{}, values)
	a.source, a.destination = source, destination
	a.options.Settings["SSL_CERT_FILE"] = entra.certificate(t)
	if err := a.host.Close(); err != nil {
		t.Fatal(err)
	}
	a.startHost()
	return a, entra
}

// T26: a source in another tenant (client secret, custom audience, base path) and a destination with a base path and an audience.
func TestT26ClientSecretAudienceAndBasePath(t *testing.T) {
	t.Parallel()
	a, entra := behindGateways(t, rangeRun())
	a.seed(clinic(t, 200)...)
	a.runTo(end, nil)
	a.wantEqual()
	entra.mu.Lock()
	defer entra.mu.Unlock()
	for _, scope := range entra.asked {
		if scope != audience+"/.default" {
			t.Errorf("a token was asked for %s", scope)
		}
	}
	if len(entra.asked) == 0 || len(entra.refused) > 0 {
		t.Errorf("%d tokens handed out, refused %v", len(entra.asked), entra.refused)
	}
	for _, c := range a.source.Calls() {
		if !strings.HasPrefix(c.Path, "/contoso/fhir-r4/") {
			t.Errorf("%s %s is outside of the base path", c.Method, c.Path)
		}
	}
	if strings.Contains(a.log.String(), clientSecret) {
		t.Error("the log shows the client secret")
	}
}

// A wrong secret stops the step with the reason; nothing is called without a token.
func TestClientSecretRefused(t *testing.T) {
	t.Parallel()
	a, _ := behindGateways(t, rangeRun("ClientSecret", "expired"))
	a.seed(clinic(t, 20)...)
	if inv := a.fire("ExportTimer"); inv.Succeeded {
		t.Error("the step succeeded without a token")
	}
	if !a.log.holds("AADSTS7000215", 1) {
		t.Error("the log does not say why there is no token")
	}
	if calls := a.source.Calls(); len(calls) > 0 {
		t.Errorf("the source was called: %v", calls[0])
	}
}

// T26: an empty source is no error and starts nothing; what appears in it later is migrated.
func TestT26EmptySource(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun())
	for range 2 {
		for _, name := range []string{"ExportTimer", "ImportTimer"} {
			if inv := a.fire(name); !inv.Succeeded {
				t.Fatalf("%s: %s", name, inv.Reason)
			}
		}
	}
	if n := a.calls(a.source, fhirservice.Export); n > 0 {
		t.Errorf("%d exports of nothing", n)
	}
	a.seed(fhirservice.Version{Type: "Patient", ID: "first", VersionID: "1", LastUpdated: end.AddDate(0, -1, 0), Raw: []byte(`{"resourceType":"Patient","id":"first"}`)})
	a.runTo(end, nil)
	a.wantEqual()
	if got := len(a.destination.Versions()); got != 1 {
		t.Errorf("%d versions arrived", got)
	}
}
