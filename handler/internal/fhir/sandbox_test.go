package fhir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"fhirmigration/sandbox/azurite"
	"fhirmigration/sandbox/fhirservice"
	"fhirmigration/sandbox/testclock"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/google/go-cmp/cmp"
)

// These tests speak to the sandbox's FHIR services, which refuse what the real ones refuse.

// emulator is one storage emulator for the tests that need one.
var emulator *azurite.Server

func TestMain(m *testing.M) { os.Exit(azurite.RunTests(m.Run, &emulator)) }

// bench is a service of the sandbox, which wants a token, and a client for it.
type bench struct {
	*Service
	sandbox *fhirservice.Service
	clock   *testclock.Clock
	tokens  *credential
}

func startSandbox(t *testing.T, o fhirservice.Options) *bench {
	t.Helper()
	b := &bench{clock: testclock.New(till.AddDate(1, 0, 0))}
	b.tokens = &credential{get: func(context.Context, int) (azcore.AccessToken, error) {
		return azcore.AccessToken{Token: "good", ExpiresOn: b.clock.Now().Add(time.Hour)}, nil
	}}
	o.Clock = b.clock.Now
	o.Verify = func(token string) error {
		if token != "good" {
			return errors.New("not the token")
		}
		return nil
	}
	var err error
	if b.sandbox, err = fhirservice.Start(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.sandbox.Close(); err != nil {
			t.Error(err)
		}
	})
	if b.Service, err = New(Options{Base: b.sandbox.URL(), Credential: b.tokens, Clock: b.clock.Now}); err != nil {
		t.Fatal(err)
	}
	return b
}

// load puts versions into the sandbox: a patient every day from the 10th to the 20th, of which the first has two more versions, the last a deletion.
func (b *bench) load(t *testing.T) {
	t.Helper()
	version := func(id string, n, day int, deleted bool) fhirservice.Version {
		v := fhirservice.Version{Type: "Patient", ID: id, VersionID: fmt.Sprint(n), LastUpdated: at(day), Deleted: deleted}
		if !deleted {
			v.Raw = fmt.Appendf(nil, `{"resourceType":"Patient","id":%q}`, id)
		}
		return v
	}
	var all []fhirservice.Version
	for day := 10; day <= 20; day++ {
		all = append(all, version(fmt.Sprintf("p%d", day), 1, day, false))
	}
	all = append(all, version("p10", 2, 21, false), version("p10", 3, 22, true))
	if err := b.sandbox.Load(all...); err != nil {
		t.Fatal(err)
	}
}

var kinds = []fhirservice.Kind{fhirservice.SQL, fhirservice.Cosmos}

func TestSandboxCountsAndHistory(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			b := startSandbox(t, fhirservice.Options{Kind: kind, BasePath: "/fhir"})
			b.load(t)
			got := make(map[string]int64)
			for name, count := range map[string]func() (Count, error){
				"resources":             func() (Count, error) { return b.CountResources(t.Context(), Period{}) },
				"resources, half":       func() (Count, error) { return b.CountResources(t.Context(), Period{Since: at(12), Till: at(15)}) },
				"versions":              func() (Count, error) { return b.CountType(t.Context(), "", Versions, period) },
				"versions, with delete": func() (Count, error) { return b.CountType(t.Context(), "", Versions, Period{Since: at(20)}) },
				"none":                  func() (Count, error) { return b.CountType(t.Context(), "", Versions, Period{Till: at(10)}) },
			} {
				n, err := count()
				if err != nil || n.Cosmos != (kind == fhirservice.Cosmos) {
					t.Errorf("%s: %+v, %v", name, n, err)
				}
				got[name] = n.N
			}
			want := map[string]int64{"resources": 10, "resources, half": 3, "versions": 13, "versions, with delete": 3, "none": 0}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
			var deleted []Ref
			err := b.Deletions(t.Context(), "", period, func(r Ref) (bool, error) { deleted = append(deleted, r); return true, nil })
			gone := Ref{Type: "Patient", ID: "p10", VersionID: "3", LastUpdated: at(22), Deleted: true}
			if diff := cmp.Diff([]Ref{gone}, deleted); err != nil || diff != "" {
				t.Errorf("%v, deletions (-want +got):\n%s", err, diff)
			}
			current, err := b.CurrentVersion(t.Context(), "Patient", "p10")
			if diff := cmp.Diff(gone, current); err != nil || diff != "" {
				t.Errorf("%v, current version (-want +got):\n%s", err, diff)
			}
			current, err = b.CurrentVersion(t.Context(), "Patient", "p11")
			if diff := cmp.Diff(Ref{Type: "Patient", ID: "p11", VersionID: "1", LastUpdated: at(11)}, current); err != nil || diff != "" {
				t.Errorf("%v, current version (-want +got):\n%s", err, diff)
			}
			if _, err = b.CurrentVersion(t.Context(), "Patient", "nobody"); KindOf(err) != NotFound {
				t.Errorf("nobody: %v, want kind not found", err)
			}
			if _, err := b.CountType(t.Context(), "", Versions, Period{Till: b.clock.Now().Add(time.Hour)}); KindOf(err) != Refused {
				t.Errorf("a count into the future: %v, want kind refused", err)
			}
			if now, err := b.Now(t.Context()); err != nil || !now.Equal(b.clock.Now()) {
				t.Errorf("now %v, %v; want %v", now, err, b.clock.Now())
			}
		})
	}
}

func TestT30CosmosPagesOfTheSandbox(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			b := startSandbox(t, fhirservice.Options{Kind: kind, BasePath: "/fhir"})
			b.load(t)
			for _, test := range []struct {
				name              string
				in                Period
				resource, version time.Time // zero: none
			}{
				{"all of it", Period{}, at(11), at(10)},
				{"a long empty stretch before the data", Period{Since: since.AddDate(-5, 0, 0)}, at(11), at(10)},
				{"between two days", Period{Since: at(12).Add(time.Millisecond), Till: at(13)}, time.Time{}, time.Time{}},
				{"the last day", Period{Since: at(20), Till: at(21)}, at(20), at(20)},
				{"superseded and deleted versions alone", Period{Since: at(21), Till: at(30)}, time.Time{}, at(21)},
				{"after everything", Period{Since: at(23), Till: at(30)}, time.Time{}, time.Time{}},
			} {
				if got, found, err := b.First(t.Context(), "", Current, test.in); err != nil || found == test.resource.IsZero() || !got.Equal(test.resource) {
					t.Errorf("%s: first resource %v, %v, %v; want %v", test.name, got, found, err, test.resource)
				}
				if got, found, err := b.First(t.Context(), "", Versions, test.in); err != nil || found == test.version.IsZero() || !got.Equal(test.version) {
					t.Errorf("%s: first version %v, %v, %v; want %v", test.name, got, found, err, test.version)
				}
			}
			followed := 0
			for _, call := range b.sandbox.Calls() {
				if strings.Contains(call.RawQuery, "ct=") {
					followed++
				}
			}
			if (followed > 0) != (kind == fhirservice.Cosmos) {
				t.Errorf("%d next links followed", followed)
			}
		})
	}
}

func TestT32ForeignHostsFromTheSandbox(t *testing.T) {
	t.Parallel()
	other := startOdd(t, reply(200, countJSON))
	b := startSandbox(t, fhirservice.Options{Kind: fhirservice.Cosmos, BasePath: "/fhir"})
	b.load(t)
	b.sandbox.Inject(fhirservice.Fault{ForeignHost: other.url})
	url, err := b.StartExport(t.Context(), ExportRequest{Since: since, Till: till})
	if err != nil || !strings.HasPrefix(url, b.sandbox.URL()+"/_operations/export/") {
		t.Errorf("status URL %s, %v", url, err)
	}
	if _, err := b.PollExport(t.Context(), strings.Replace(url, b.sandbox.URL(), other.url, 1), func(io.Reader) error { return nil }); KindOf(err) != 0 && KindOf(err) != JobFailed {
		t.Errorf("poll at the stored address: %v", err)
	}
	if got, found, err := b.First(t.Context(), "", Current, Period{Since: since.AddDate(-5, 0, 0)}); err != nil || !found || !got.Equal(at(11)) {
		t.Errorf("first resource %v, %v, %v; want %v", got, found, err, at(11))
	}
	for _, r := range other.asked() {
		t.Errorf("the other host was asked %s, Authorization %q", r.URL, r.Header.Get("Authorization"))
	}
}
