package e2e

import (
	"strings"
	"testing"

	"fhirmigration/sandbox/fhirservice"
)

// T20, T5: a setting that nobody knows, or a wish for de-identification that is misspelt or cannot be met, stops the migration before anything is
// called, and the log names it.
func TestT20UnknownSettingStopsTheMigration(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, setting, value, named string }{
		{"unknown", "FileCont", "5", "AZURE_FileCont is not a setting: did you mean AZURE_FileCount?"},
		{"T05 misspelt de-identification", "ExportDeidentifed", "true", "AZURE_ExportDeidentifed is not a setting: did you mean AZURE_ExportDeidentified?"},
		{"T05 configuration without the wish", "ConfigFile", "anonymization.json", "AZURE_ConfigFile is set, but AZURE_IsExportDeidentified is not"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun(test.setting, test.value))
			a.seed(clinic(t, 20)...)
			for _, name := range []string{"ExportTimer", "ImportTimer"} {
				if inv := a.fire(name); inv.Succeeded {
					t.Errorf("%s succeeded", name)
				}
			}
			if !a.log.holds(test.named, 1) {
				t.Errorf("the log does not say %q", test.named)
			}
			if n := len(a.source.Calls()) + len(a.destination.Calls()); n > 0 {
				t.Errorf("%d calls", n)
			}
		})
	}
}

// What the durable original had and nothing needs is said once, and changes nothing.
func TestSettingsWithoutEffectAreSaidOnce(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, rangeRun("Debug", "true", "QuerySurface__0", "?_summary=Count"))
	for range 3 {
		if inv := a.fire("ImportTimer"); !inv.Succeeded {
			t.Fatalf("ImportTimer: %s", inv.Reason)
		}
	}
	for _, notice := range []string{"AZURE_Debug is accepted and ignored", "AZURE_QuerySurface__0 is accepted and ignored"} {
		if !a.log.holds(notice, 1) || strings.Count(a.log.String(), notice) != 1 {
			t.Errorf("%q is in the log %d times", notice, strings.Count(a.log.String(), notice))
		}
	}
}
