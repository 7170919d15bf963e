package demo_test

import (
	"strings"
	"testing"

	"fhirmigration/sandbox/demo"
)

// TestModes runs every mode but the default, which the other tests run.
func TestModes(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]string{
		"history":       "Every version is at the destination, and equal; no deletion is.",
		"export-only":   "the source answered exports alone.",
		"type":          "each window was of one type.",
		"de-identified": "as the de-identified export has it.",
		"deletes":       "The last version of every resource, or its deletion, is at the destination, and equal.",
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			out := newTranscript()
			o := options(t, out)
			o.Mode = mode
			if err := demo.Run(t.Context(), o); err != nil {
				t.Fatalf("%v\n%s", err, out.text.String())
			}
			if said := out.text.String(); !strings.Contains(said, want) || !strings.Contains(said, "DeepCheck of everything (source: ") {
				t.Errorf("no %q and DeepCheck in:\n%s", want, said)
			}
		})
	}
}
