package settings

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNamesWithoutEffectAreNoted(t *testing.T) {
	t.Parallel()
	s, err := Load(good("AZURE_Debug=true", "AZURE_DEBUG=true", "azure_retrycount=3", "AZURE_QuerySurface__0=?_summary=Count", "AZURE_WaitForRetry=",
		"AZURE_ClientId=app", "AZURE_IsExportDeidentified=false", "AZURE_ConfigFile=a.json"))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"AZURE_Debug is accepted and ignored: there is no debug mode",
		"AZURE_DEBUG is accepted and ignored: there is no debug mode",
		"AZURE_QuerySurface__0 is accepted and ignored: it was internal",
		"azure_retrycount is accepted and ignored: retries are chosen by the kind of error",
		"AZURE_ConfigFile has no effect: AZURE_IsExportDeidentified is false",
		"AZURE_ClientId has no effect without AZURE_ClientCredential=true",
	}
	if diff := cmp.Diff(want, s.Notices); diff != "" {
		t.Errorf("notices (-want +got):\n%s", diff)
	}
}

func TestAzuresOwnNamesAreLeftAlone(t *testing.T) {
	t.Parallel()
	environ := good("PATH=/bin", "AzureWebJobsStorage=x", "APPSETTING_AZURE_FileCont=1", "AZURE=x", "not a pair",
		"AZURE_CORE_OUTPUT=json", "AZURE_STORAGE_CONNECTION_STRING=x", "AZURE_DEV_COLLECT_TELEMETRY=no")
	for _, name := range azuresOwn {
		if name != "AZURE_AUTHORITY_HOST" { // is checked
			environ = append(environ, name+"=x")
		}
	}
	s, err := Load(environ)
	if err != nil || len(s.Notices) > 0 {
		t.Errorf("%v, notices %q", err, s.Notices)
	}
}

// A name that is Azure's own or without effect must not hide a setting.
func TestKnownNamesDoNotOverlap(t *testing.T) {
	t.Parallel()
	variables := make(map[string]string)
	claim := func(name, by string) {
		if other, taken := variables[name]; taken {
			t.Errorf("%s is %s and %s", name, other, by)
		}
		variables[name] = by
	}
	for _, f := range fields() {
		claim(f.variable(), "a setting")
		if isAzures(f.variable()) {
			t.Errorf("%s is taken for Azure's own", f.variable())
		}
	}
	for _, name := range azuresOwn {
		claim(name, "Azure's own")
	}
	for _, w := range withoutEffect {
		claim(field{name: w.name}.variable(), "without effect")
	}
}

func TestEdits(t *testing.T) {
	t.Parallel()
	tests := []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"same", "same", 0}}
	for _, test := range tests {
		if got := edits(test.a, test.b); got != test.want {
			t.Errorf("edits(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

func TestPinned(t *testing.T) {
	t.Parallel()
	s, err := Load(good("AZURE_StartDate=2024-01-31", "AZURE_ResourceTypes=Patient,List"))
	if err != nil {
		t.Fatal(err)
	}
	system := []string{"DestinationUri", "ExportWithDelete", "ExportWithHistory", "ImportMode", "IsExportDeidentified", "IsParallel", "SourceUri", "StartDate"}
	if diff := cmp.Diff(system, slices.Sorted(maps.Keys(s.Pinned()))); diff != "" {
		t.Errorf("pinned (-want +got):\n%s", diff)
	}
	if got := s.Pinned()["StartDate"]; got != "2024-01-31T00:00:00Z" {
		t.Errorf("StartDate is pinned as %q", got)
	}
	s.IsParallel, s.IsExportDeidentified, s.ConfigFile = false, true, "a.json"
	byType := s.Pinned()
	if byType["ResourceTypes"] != "Patient,List" || byType["ConfigFile"] != "a.json" || len(byType) != len(system)+2 {
		t.Errorf("pinned by type and de-identified: %v", byType)
	}
}
