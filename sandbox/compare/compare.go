// Package compare tells whether two FHIR services hold the same history: version by version, deletion by deletion, and
// digit by digit.
//
// Every version of both sides ends in exactly one of four outcomes, and their counts add up to the versions compared. The
// comparison reads no service; it is given what the services hold.
package compare

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"fhirmigration/sandbox/fhirservice"
)

// Outcome is what became of one version.
type Outcome string

// The outcomes.
const (
	Equal     Outcome = "equal"     // on both sides: same time, same deletion flag, same content
	Different Outcome = "different" // on both sides, and not the same
	Missing   Outcome = "missing"   // at the source only
	Extra     Outcome = "extra"     // at the destination only
)

// Finding is a version that is not equal.
type Finding struct {
	Type, ID, VersionID string
	Outcome             Outcome
	// Difference says what is not the same: "valueQuantity.value: 1.10 at the source, 1.1 at the destination". Empty
	// unless the outcome is Different.
	Difference string
}

func (f Finding) String() string {
	text := fmt.Sprintf("%s/%s version %s: %s", f.Type, f.ID, f.VersionID, f.Outcome)
	if f.Difference != "" {
		text += ": " + f.Difference
	}
	return text
}

// Row counts the versions of one resource type. Deletions are versions too.
type Row struct {
	Type                                      string
	SourceVersions, SourceDeletions           int
	DestinationVersions, DestinationDeletions int
	Equal, Different, Missing, Extra          int
}

// Report is the outcome of a comparison.
type Report struct {
	Rows     []Row     // by type, in alphabetical order
	Total    Row       // over all types
	Findings []Finding // whatever is not equal, by type, id and version
}

// Same tells whether every version is equal.
func (r Report) Same() bool { return len(r.Findings) == 0 }

// Versions compares what the source holds with what the destination holds, in whatever order they come. A version is
// known by its type, id and version id; one that a side holds twice is Missing or Extra the second time.
func Versions(source, destination []fhirservice.Version) Report {
	left, right := sorted(source), sorted(destination)
	c := comparison{rows: map[string]*Row{}}
	for len(left) > 0 || len(right) > 0 {
		switch order := next(left, right); {
		case order < 0:
			c.missing(left[0])
			left = left[1:]
		case order > 0:
			c.extra(right[0])
			right = right[1:]
		default:
			c.both(left[0], right[0])
			left, right = left[1:], right[1:]
		}
	}
	return c.report()
}

func sorted(versions []fhirservice.Version) []fhirservice.Version {
	versions = slices.Clone(versions)
	slices.SortStableFunc(versions, byKey)
	return versions
}

// byKey orders version ids as text: any order does, as long as it is the same on both sides.
func byKey(a, b fhirservice.Version) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.ID, b.ID), cmp.Compare(a.VersionID, b.VersionID))
}

// next tells which side the next version is on: left (negative), right (positive) or both (zero).
func next(left, right []fhirservice.Version) int {
	switch {
	case len(right) == 0:
		return -1
	case len(left) == 0:
		return 1
	}
	return byKey(left[0], right[0])
}

// comparison is what has been compared so far.
type comparison struct {
	rows     map[string]*Row
	findings []Finding
}

func (c *comparison) missing(v fhirservice.Version) {
	c.atSource(v).Missing++
	c.find(v, Missing, "")
}

func (c *comparison) extra(v fhirservice.Version) {
	c.atDestination(v).Extra++
	c.find(v, Extra, "")
}

func (c *comparison) both(source, destination fhirservice.Version) {
	row := c.atSource(source)
	c.atDestination(destination)
	if difference := difference(source, destination); difference != "" {
		row.Different++
		c.find(source, Different, difference)
		return
	}
	row.Equal++
}

// difference says what the two versions do not share, "" when they are the same. The flag comes first, because it
// explains the rest; then the content, and last the instant, which the content repeats.
func difference(source, destination fhirservice.Version) string {
	if source.Deleted != destination.Deleted {
		return fmt.Sprintf("deleted: %t at the source, %t at the destination", source.Deleted, destination.Deleted)
	}
	if !bytes.Equal(source.Raw, destination.Raw) {
		if difference := content(source.Raw, destination.Raw); difference != "" {
			return difference
		}
	}
	from, to := source.LastUpdated.Truncate(time.Millisecond), destination.LastUpdated.Truncate(time.Millisecond)
	if !from.Equal(to) {
		return fmt.Sprintf("lastUpdated: %s at the source, %s at the destination",
			from.UTC().Format(time.RFC3339Nano), to.UTC().Format(time.RFC3339Nano))
	}
	return ""
}

func (c *comparison) find(v fhirservice.Version, outcome Outcome, difference string) {
	c.findings = append(c.findings, Finding{
		Type: v.Type, ID: v.ID, VersionID: v.VersionID, Outcome: outcome, Difference: difference,
	})
}

func (c *comparison) row(name string) *Row {
	if c.rows[name] == nil {
		c.rows[name] = &Row{Type: name}
	}
	return c.rows[name]
}

func (c *comparison) atSource(v fhirservice.Version) *Row {
	row := c.row(v.Type)
	row.SourceVersions++
	if v.Deleted {
		row.SourceDeletions++
	}
	return row
}

func (c *comparison) atDestination(v fhirservice.Version) *Row {
	row := c.row(v.Type)
	row.DestinationVersions++
	if v.Deleted {
		row.DestinationDeletions++
	}
	return row
}

func (c *comparison) report() Report {
	report := Report{Total: Row{Type: "all"}, Findings: c.findings}
	for _, row := range c.rows {
		report.Rows = append(report.Rows, *row)
		report.Total.SourceVersions += row.SourceVersions
		report.Total.SourceDeletions += row.SourceDeletions
		report.Total.DestinationVersions += row.DestinationVersions
		report.Total.DestinationDeletions += row.DestinationDeletions
		report.Total.Equal += row.Equal
		report.Total.Different += row.Different
		report.Total.Missing += row.Missing
		report.Total.Extra += row.Extra
	}
	slices.SortFunc(report.Rows, func(a, b Row) int { return cmp.Compare(a.Type, b.Type) })
	return report
}
