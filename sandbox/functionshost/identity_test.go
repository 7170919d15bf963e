package functionshost

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

const audience = "https://example.fhir.azurehealthcareapis.com"

// printTokens is what the test binary does as the handler "identity": it prints a token by the real DefaultAzureCredential for each line of
// standard input, a scope.
func printTokens() int {
	credential, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		os.Stdout.WriteString("error: " + err.Error() + "\n")
		return 1
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		got, err := credential.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{lines.Text()}})
		cancel()
		if err != nil {
			os.Stdout.WriteString("error: " + strings.ReplaceAll(err.Error(), "\n", " ") + "\n")
			continue
		}
		os.Stdout.WriteString(got.Token + " " + strconv.FormatInt(got.ExpiresOn.Unix(), 10) + "\n")
	}
	return 0
}

// credential is another process whose DefaultAzureCredential has the environment that a handler has.
func credential(t *testing.T, environ []string) (ask func(scope string) string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(slices.Clone(environ), modeVariable+"=identity") // the last of two counts
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	lines := bufio.NewReader(stdout)
	return func(scope string) string {
		t.Helper()
		if _, err := io.WriteString(stdin, scope+"\n"); err != nil {
			t.Fatal(err)
		}
		line, err := lines.ReadString('\n')
		if err != nil || strings.HasPrefix(line, "error") {
			t.Fatalf("token: %q, %v", line, err)
		}
		return strings.TrimSuffix(line, "\n")
	}
}

// The real credential, in the environment that the host gives its handler, gets tokens that the identity knows.
func TestDefaultAzureCredential(t *testing.T) {
	t.Parallel()
	identity := NewIdentity()
	a := newApp(t, "serve", "Echo")
	a.options.Identity = identity
	ask := credential(t, echo(t, a.start(t)).Environ)

	line := ask(audience + "/.default")
	text, expires, _ := strings.Cut(line, " ")
	if err := identity.Verify(text, audience); err != nil {
		t.Errorf("verify: %v", err)
	}
	seconds, err := strconv.ParseInt(expires, 10, 64)
	if left := time.Until(time.Unix(seconds, 0)); err != nil || left < 23*time.Hour || left > 25*time.Hour {
		t.Errorf("expires in %s, want about 24 h (%v)", left, err)
	}
	if again := ask(audience + "/.default"); again != line || identity.Issued(audience) != 1 {
		t.Errorf("%d tokens issued, want one, kept by the client", identity.Issued(audience))
	}
	other, _, _ := strings.Cut(ask("https://storage.azure.com/.default"), " ")
	if err := identity.Verify(other, audience); !errors.Is(err, ErrWrongAudience) || !strings.Contains(err.Error(), "https://storage.azure.com") {
		t.Errorf("token of another audience: %v", err)
	}

	// The client renews what expires within five minutes.
	identity.SetLifetime(time.Minute)
	const short = "https://short.example"
	first, second := ask(short+"/.default"), ask(short+"/.default")
	if first == second || identity.Issued(short) != 2 {
		t.Errorf("%d tokens of a minute issued, want two", identity.Issued(short))
	}
}

func TestIdentityRefusals(t *testing.T) {
	t.Parallel()
	identity := NewIdentity()
	now := time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)
	identity.clock = func() time.Time { return now }
	issue := func() string {
		text, _ := identity.issue(audience)
		return text
	}
	check := func(name, text string, want error) {
		t.Helper()
		if err := identity.Verify(text, audience); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	first := issue()
	check("good", first, nil)
	check("invented", "x", ErrUnknownToken)
	check("empty", "", ErrUnknownToken)
	if err := identity.Verify(first, audience+"/"); !errors.Is(err, ErrWrongAudience) {
		t.Errorf("with a slash: %v", err)
	}
	now = now.Add(24*time.Hour - 1)
	check("at its end", first, nil)
	now = now.Add(1)
	check("after its end", first, ErrExpiredToken)

	second := issue()
	identity.ExpireAll()
	check("made to expire", second, ErrExpiredToken)
	third := issue()
	check("issued after that", third, nil)
	identity.RevokeAll()
	check("revoked", third, ErrUnknownToken)
	if got := identity.Issued(audience); got != 3 {
		t.Errorf("issued %d, want 3", got)
	}
}

func TestIdentityEndpoint(t *testing.T) {
	t.Parallel()
	identity := NewIdentity()
	a := newApp(t, "serve", "Echo")
	a.options.Identity = identity
	h := a.start(t)
	environ := echo(t, h).Environ
	endpoint, secret := variable(environ, "IDENTITY_ENDPOINT"), variable(environ, "IDENTITY_HEADER")
	for _, c := range []struct {
		query, secret string
		want          int
	}{
		{"?api-version=2019-08-01&resource=x", secret, 200},
		{"?api-version=2019-08-01&resource=x", "", 401},
		{"?api-version=2019-08-01&resource=x", "wrong", 401},
		{"?api-version=2019-08-01", secret, 400},
		{"?api-version=2017-09-01&resource=x", secret, 400},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, endpoint+c.query, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-IDENTITY-HEADER", c.secret)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		err = json.NewDecoder(response.Body).Decode(&got)
		response.Body.Close()
		if response.StatusCode != c.want {
			t.Errorf("%s with %q: %d, want %d", c.query, c.secret, response.StatusCode, c.want)
		}
		if c.want == 200 && (err != nil || got["resource"] != "x" || got["token_type"] != "Bearer" || identity.Verify(got["access_token"], "x") != nil) {
			t.Errorf("answer %v, %v", got, err)
		}
	}
	if identity.Issued("x") != 1 {
		t.Errorf("%d tokens issued, want none for what was refused", identity.Issued("x"))
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, endpoint+"?api-version=2019-08-01&resource=x", nil); err == nil {
		r.Header.Set("X-IDENTITY-HEADER", secret)
		if response, err := http.DefaultClient.Do(r); err == nil { // somebody else may have the port by now
			response.Body.Close()
		}
	}
	if identity.Issued("x") != 1 {
		t.Error("the endpoint outlives its host")
	}
}
