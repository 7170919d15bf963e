package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"

	"fhirmigration/sandbox/fhirservice"
)

// putConfiguration writes a de-identification configuration where the source looks for it.
func (a *app) putConfiguration(file, content string) {
	a.t.Helper()
	client, err := azblob.NewClientFromConnectionString(emulators.For(a.t).ConnectionString(), nil)
	if err != nil {
		a.t.Fatal(err)
	}
	if _, err := client.CreateContainer(a.t.Context(), "anonymization", nil); err != nil && !bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
		a.t.Fatal(err)
	}
	if _, err := client.UploadBuffer(a.t.Context(), "anonymization", file, []byte(content), nil); err != nil {
		a.t.Fatal(err)
	}
}

// redacted is the source as a de-identified export has it.
func (a *app) redacted() []fhirservice.Version {
	all := a.source.Versions()
	for i, v := range all {
		all[i] = fhirservice.Redacted(v)
	}
	return all
}

// deidentified are the settings of a de-identified migration with a configuration file of the test's own.
func deidentified(t *testing.T, more ...string) (settings map[string]string, file string) {
	file = strings.NewReplacer("/", "-", " ", "-").Replace(strings.ToLower(t.Name()))
	return rangeRun(append([]string{"ExportDeidentified", "true", "ConfigFile", file + ".config", "ExportChunkTime", "200"}, more...)...), file + ".json"
}

// turns fires both timers a few times, whatever they say.
func (a *app) turns(n int) {
	for range n {
		a.fire("ExportTimer")
		a.fire("ImportTimer")
	}
}

// wantNothing says that nothing was exported, and nothing arrived.
func (a *app) wantNothing(reason string) {
	a.t.Helper()
	if n := a.calls(a.source, fhirservice.Export); n > 0 || len(a.destination.Versions()) > 0 {
		a.t.Errorf("%d exports were started, %d versions arrived", n, len(a.destination.Versions()))
	}
	if !a.log.holds(reason, 1) {
		a.t.Errorf("the log does not say %q", reason)
	}
}

// A de-identified migration: what arrives is what the source's export makes of it, refused lines can be posted again, and a DeepCheck compares with
// what was exported, as the source itself holds something else.
func TestDeidentified(t *testing.T) {
	t.Parallel()
	settings, file := deidentified(t)
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, settings)
	a.putConfiguration(file, `{"fhirVersion":"R4"}`)
	a.seed(clinic(t, 120)...)
	a.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, RefuseLines: 1})
	a.runTo(end, nil)
	list := a.exceptions("?state=open")
	if len(list.Exceptions) != 1 {
		t.Fatalf("exceptions: %+v", list)
	}
	if status, body := a.call("POST", "/api/Exceptions/"+list.Exceptions[0].ID+"/retry", a.host.FunctionKey(), ""); status != http.StatusAccepted {
		t.Fatalf("retry: %d %s", status, body)
	}
	for range 200 {
		if a.fire("ImportTimer"); len(a.exceptions("?state=imported").Exceptions) == 1 {
			break
		}
	}
	a.wantAtDestination(a.redacted())
	for _, c := range a.source.Calls() {
		if c.Kind == fhirservice.Export && !(strings.Contains(c.RawQuery, "&_container=anonymization&_anonymizationConfig="+file+"&_anonymizationConfigEtag=0x")) {
			t.Errorf("an export that is not de-identified: %s", c.RawQuery)
		}
	}
	for _, path := range []string{"/api/DeepCheck?count=all", "/api/SurfaceCheck"} {
		report, _ := a.check("POST", path)
		if report = a.ended(report); len(report.Counts) != 1 || report.Counts["equal"] == 0 {
			t.Errorf("%s: %v", path, report.Counts)
		}
	}
	if _, body := a.call("POST", "/api/DeepCheck?source=live", a.host.FunctionKey(), ""); !strings.Contains(body, "use source=staged") {
		t.Errorf("DeepCheck against the source itself: %s", body)
	}
}

// T5: de-identification asked for, and it cannot be had as it was. Nothing is exported, the reason is shown, and nothing identified moves.
func TestT05DeidentifiedIsFailClosed(t *testing.T) {
	t.Parallel()
	t.Run("misspelt setting", func(t *testing.T) {
		t.Parallel()
		settings, file := deidentified(t, "ExportDeidentified", "", "ExportDeIdentfied", "true")
		a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, settings)
		a.putConfiguration(file, `{}`)
		a.seed(clinic(t, 20)...)
		a.turns(2)
		a.wantNothing("AZURE_ExportDeIdentfied is not a setting")
	})
	t.Run("type by type", func(t *testing.T) {
		t.Parallel()
		settings, file := deidentified(t, "IsParallel", "false")
		a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, settings)
		a.putConfiguration(file, `{}`)
		a.seed(clinic(t, 20)...)
		a.turns(2)
		a.wantNothing("only the whole system is exported de-identified")
	})
	t.Run("file missing", func(t *testing.T) {
		t.Parallel()
		settings, file := deidentified(t)
		a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, settings)
		a.seed(clinic(t, 40)...)
		a.turns(3)
		a.wantNothing("nothing is exported: there is no such de-identification configuration: blob " + file)
		a.putConfiguration(file, `{}`) // then it goes on by itself
		a.runTo(end, nil)
		a.wantAtDestination(a.redacted())
	})
	t.Run("no configuration", func(t *testing.T) {
		t.Parallel()
		settings, file := deidentified(t)
		a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, settings)
		a.putConfiguration(file, `{"fhirVersion":`)
		a.seed(clinic(t, 20)...)
		a.turns(6)
		if n := len(a.destination.Versions()); n > 0 {
			t.Errorf("%d versions arrived", n)
		}
		if !a.log.holds("cannot be read, is too large, or is not JSON", 1) {
			t.Error("the log does not say why")
		}
	})
	t.Run("changed between windows", func(t *testing.T) {
		t.Parallel()
		settings, file := deidentified(t, "MaxOpenWindows", "1")
		a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, settings)
		a.putConfiguration(file, `{"before":true}`)
		a.seed(clinic(t, 120)...)
		for range 100 {
			if a.turns(1); len(a.destination.Versions()) > 0 {
				break
			}
		}
		a.putConfiguration(file, `{"after":true}`)
		a.turns(12) // what is under way ends
		exports := a.calls(a.source, fhirservice.Export)
		a.turns(4)
		if n := a.calls(a.source, fhirservice.Export); n != exports || n == 0 {
			t.Errorf("%d exports before, %d after the change", exports, n)
		}
		if !a.log.holds("settings changed that must not change half-way: ETag of ConfigFile was", 1) {
			t.Error("the log does not say what changed")
		}
		if _, body := a.ready(); !strings.Contains(body, "ETag of ConfigFile was") {
			t.Errorf("the readiness for the cutover does not say what changed: %s", body)
		}
		const changed = "The de-identification configuration is not the one that the migration began with"
		if s := a.status(); s.State != "blocked" || len(s.Waiting) != 1 || !strings.HasPrefix(s.Waiting[0].What, changed) || len(s.Waiting[0].Actions) != 1 {
			t.Errorf("the status does not say once what changed and what can be done: %+v", s)
		}
		a.putConfiguration(file, `{"after":"all"}`) // no tick has found that one
		if status, body := a.call("POST", "/api/AcceptSettings", a.host.FunctionKey(), `{"by":"tester","reason":"a better configuration"}`); status != http.StatusOK {
			t.Fatalf("accept: %d %s", status, body)
		}
		for _, w := range a.status().Waiting {
			if strings.HasPrefix(w.What, changed) {
				t.Errorf("it is accepted, and the status still says %+v", w)
			}
		}
		a.runTo(end, nil)
		a.wantAtDestination(a.redacted())
	})
}
