package demo

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"fhirmigration/sandbox/compare"
	"fhirmigration/sandbox/progress"
)

// Limits that the handler keeps to. The demo prints by how much; it does not fail for them, since a loaded machine is
// slow without anybody's fault.
const (
	mostMemory = 40 << 20 // resident and idle, bytes
	latest     = 100 * time.Millisecond
)

// mostFindings is how many versions that are not equal are printed one by one.
const mostFindings = 20

// figures are what the demo measured.
type figures struct {
	windows          int // windows that were done
	exports, imports int // in flight together at most
	busy, took       time.Duration
	memory           int64 // of the idle handler, bytes
	firstAnswer      time.Duration
	kills, restarts  int // under Chaos
}

// printComparison prints the table by type and the first findings.
func printComparison(out io.Writer, report compare.Report) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\tsource\t\tdestination\t\t\t\t\t\t")
	fmt.Fprintln(table, "type\tversions\tdeletions\tversions\tdeletions\tequal\tdifferent\tmissing\textra\t")
	for _, row := range append(report.Rows, report.Total) {
		fmt.Fprint(table, row.Type, "\t")
		for _, n := range []int{
			row.SourceVersions, row.SourceDeletions, row.DestinationVersions, row.DestinationDeletions,
			row.Equal, row.Different, row.Missing, row.Extra,
		} {
			fmt.Fprint(table, progress.Thousands(int64(n)), "\t")
		}
		fmt.Fprintln(table)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print comparison: %w", err)
	}
	for i, finding := range report.Findings {
		if i == mostFindings {
			fmt.Fprintf(out, "... and %s more\n", progress.Thousands(int64(len(report.Findings)-i)))
			break
		}
		fmt.Fprintln(out, finding)
	}
	return nil
}

// print prints what was measured.
func (f figures) print(out io.Writer, chaos bool) {
	fmt.Fprintf(out, "\n%d windows; in flight together at most: %d exports, %d imports.\n", f.windows, f.exports, f.imports)
	fmt.Fprintf(out, "The services were busy with jobs for %s, the migration took %s: ratio %.2f.\n",
		seconds(f.busy), seconds(f.took), ratio(f.took, f.busy))
	fmt.Fprintf(out, "Handler: %.1f MB resident when idle (%s), first answer %d ms after exec (%s).\n",
		float64(f.memory)/(1<<20), verdict(f.memory < mostMemory, "under 40 MB"),
		f.firstAnswer.Milliseconds(), verdict(f.firstAnswer < latest, "under 100 ms"))
	if chaos {
		fmt.Fprintf(out, "Killed %d times, after which the host gave up and was restarted %d times.\n", f.kills, f.restarts)
	}
}

func verdict(kept bool, limit string) string {
	if kept {
		return limit
	}
	return "NOT " + limit
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func ratio(a, b time.Duration) float64 {
	if b <= 0 {
		return 0
	}
	return float64(a) / float64(b)
}
