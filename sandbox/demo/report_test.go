package demo

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"fhirmigration/sandbox/compare"

	"github.com/google/go-cmp/cmp"
)

func TestPrintComparison(t *testing.T) {
	t.Parallel()
	report := compare.Report{
		Rows: []compare.Row{
			{Type: "Observation", SourceVersions: 12345, SourceDeletions: 10, DestinationVersions: 12344, DestinationDeletions: 10, Equal: 12342, Different: 1, Missing: 2, Extra: 1},
			{Type: "Patient", SourceVersions: 1, DestinationVersions: 1, Equal: 1},
		},
		Total: compare.Row{Type: "all", SourceVersions: 12346, SourceDeletions: 10, DestinationVersions: 12345, DestinationDeletions: 10, Equal: 12343, Different: 1, Missing: 2, Extra: 1},
	}
	for i := range 25 {
		report.Findings = append(report.Findings, compare.Finding{Type: "Observation", ID: fmt.Sprint(i), VersionID: "1", Outcome: compare.Missing})
	}
	var out bytes.Buffer
	if err := printComparison(&out, report); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	var cells [][]string
	for _, line := range lines[1:5] {
		cells = append(cells, strings.Fields(line))
	}
	want := [][]string{
		{"type", "versions", "deletions", "versions", "deletions", "equal", "different", "missing", "extra"},
		{"Observation", "12,345", "10", "12,344", "10", "12,342", "1", "2", "1"},
		{"Patient", "1", "0", "1", "0", "1", "0", "0", "0"},
		{"all", "12,346", "10", "12,345", "10", "12,343", "1", "2", "1"},
	}
	if diff := cmp.Diff(want, cells); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	if got := strings.Count(out.String(), ": missing"); got != mostFindings {
		t.Errorf("%d findings printed, want %d", got, mostFindings)
	}
	if !strings.HasSuffix(out.String(), "... and 5 more\n") {
		t.Errorf("the rest is not counted:\n%s", out.String())
	}
}

func TestPrintFigures(t *testing.T) {
	t.Parallel()
	f := figures{
		windows: 26, exports: 4, imports: 5, busy: 20 * time.Second, took: 25 * time.Second,
		memory: 16 << 20, firstAnswer: 120 * time.Millisecond, kills: 7, restarts: 2,
	}
	var out bytes.Buffer
	f.print(&out, true)
	for _, want := range []string{
		"26 windows; in flight together at most: 4 exports, 5 imports.",
		"busy with jobs for 20.0 s, the migration took 25.0 s: ratio 1.25.",
		"16.0 MB resident when idle (under 40 MB), first answer 120 ms after exec (NOT under 100 ms).",
		"Killed 7 times, after which the host gave up and was restarted 2 times.",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	same, broken := compare.Report{}, compare.Report{Findings: []compare.Finding{{Type: "Patient", Outcome: compare.Extra}}}
	if err := verdictOn(same, same); err != nil {
		t.Errorf("everything equal: %v", err)
	}
	if err := verdictOn(broken, same); err == nil {
		t.Error("a difference at the destination is no error")
	}
	if err := verdictOn(same, broken); err == nil {
		t.Error("a change of the source is no error")
	}
}
