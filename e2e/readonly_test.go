package e2e

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/google/go-cmp/cmp"

	"fhirmigration/sandbox/fhirservice"
)

// stored is every row of the app's tables and every blob of its own, by name, as it stands.
func (a *app) stored() map[string]string {
	a.t.Helper()
	all := map[string]string{}
	tables, err := aztables.NewServiceClientFromConnectionString(emulators.For(a.t).ConnectionString(), nil)
	if err != nil {
		a.t.Fatal(err)
	}
	for _, table := range []string{"chunk", "export", "exceptions"} {
		for pages := tables.NewClient(table + a.tables).NewListEntitiesPager(nil); pages.More(); {
			page, err := pages.NextPage(a.t.Context())
			if err != nil {
				a.t.Fatal(err)
			}
			for _, row := range page.Entities {
				var key struct{ RowKey string }
				if err := json.Unmarshal(row, &key); err != nil {
					a.t.Fatal(err)
				}
				all[table+" "+key.RowKey] = string(row)
			}
		}
	}
	ours := map[string]string{"migration-checks": "export" + a.tables + "-run-"} // containers, and what our blobs there begin with
	for _, row := range a.windows() {
		if id, _ := row["ExportId"].(string); id != "" {
			ours["import-"+id], ours["export-"+id] = "", ""
		}
	}
	blobs, err := azblob.NewClientFromConnectionString(emulators.For(a.t).ConnectionString(), nil)
	if err != nil {
		a.t.Fatal(err)
	}
	for container, prefix := range ours {
		for pages := blobs.NewListBlobsFlatPager(container, &azblob.ListBlobsFlatOptions{Prefix: &prefix}); pages.More(); {
			page, err := pages.NextPage(a.t.Context())
			if err != nil {
				break // there is no such container
			}
			for _, b := range page.Segment.BlobItems {
				all[container+"/"+*b.Name] = string(*b.Properties.ETag)
			}
		}
	}
	return all
}

// T22: a GET on any route changes no row and no blob, starts no job at a service, and its answer holds no key.
func TestT22GetChangesNothing(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun())
	a.seed(clinic(t, 60)...)
	a.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, RefuseLines: 2})
	a.runTo(end, nil)
	for _, path := range []string{"/api/SurfaceCheck", "/api/DeepCheck?count=5"} {
		if status, body := a.post(path, ""); status >= 300 {
			t.Fatalf("%s: %d %s", path, status, body)
		}
	}
	a.post("/api/StartNow", signed) // a wish that a GET must not fulfil
	before := a.stored()
	if len(before) < 10 {
		t.Fatalf("there is little to change: %v", slices.Collect(maps.Keys(before)))
	}
	calls := func() (changing int) {
		for _, s := range []*fhirservice.Service{a.source, a.destination} {
			for _, c := range s.Calls() {
				if c.Method != http.MethodGet && c.Method != http.MethodHead && c.Kind != fhirservice.Search || c.Kind == fhirservice.Export {
					changing++
				}
			}
		}
		return changing
	}
	changing, asked := calls(), 0
	paths := []string{"/api/Certificate?format=json", "/api/Exceptions?state=open&max=1", "/api/DeepCheck?run=1", "/api/SurfaceCheck?run=1"}
	for _, f := range a.host.Functions() {
		if f.Trigger == "http" && slices.ContainsFunc(f.Methods, func(m string) bool { return strings.EqualFold(m, "GET") }) {
			paths = append(paths, strings.NewReplacer("/{action?}", "", "{id}", a.exceptions("").Exceptions[0].ID, "{number}", "1").Replace(f.Route))
			asked++
		}
	}
	for _, path := range paths {
		status, body := a.call("GET", path, a.host.FunctionKey(), "")
		if status != http.StatusOK && !strings.Contains(path, "run=") {
			t.Errorf("GET %s: %d %s", path, status, body)
		}
		for name, secret := range a.secrets() {
			if strings.Contains(body, secret) {
				t.Errorf("the answer to GET %s holds the %s", path, name)
			}
		}
	}
	if diff := cmp.Diff(before, a.stored()); diff != "" {
		t.Errorf("changed by reading (-before +after):\n%s", diff)
	}
	if n := calls(); n != changing || asked < 6 {
		t.Errorf("%d routes, %d calls that change a service", asked, n-changing)
	}
}
