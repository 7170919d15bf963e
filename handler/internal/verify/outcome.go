package verify

import "fmt"

// Outcome is what became of one resource or, where history is kept, of one version. The set is closed.
type Outcome string

// The outcomes of a DeepCheck.
const (
	// Equal on both sides, digit for digit.
	Equal Outcome = "equal"
	// Different contents, or another version than the source's is the current one.
	Different Outcome = "different"
	// Missing at the destination.
	Missing Outcome = "missing"
	// Extra at the destination: deleted at the source without a trace, or written to the destination by somebody else.
	Extra Outcome = "extra"
	// DeletedAtSource: deleted there, and alive at the destination.
	DeletedAtSource Outcome = "deletedAtSourceOnly"
	// DeletedAtDestination: deleted there, and alive at the source.
	DeletedAtDestination Outcome = "deletedAtDestinationOnly"
	// Superseded: an exported version that a later one replaced at a destination that keeps no history.
	Superseded Outcome = "superseded"
	// NotVerifiable: it could not be found out. It is neither a match nor a difference.
	NotVerifiable Outcome = "notVerifiable"
)

// wrong says whether the outcome is a difference between the two sides.
func (o Outcome) wrong() bool {
	return o != Equal && o != Superseded && o != NotVerifiable
}

// Finding is what a DeepCheck has to say about one resource.
type Finding struct {
	Type        string       `json:"type"`
	ID          string       `json:"id,omitempty"`
	VersionID   string       `json:"versionId,omitempty"`
	Outcome     Outcome      `json:"outcome"`
	Differences []Difference `json:"differences,omitempty"`
	Note        string       `json:"note,omitempty"`     // why, where the outcome alone does not say it
	Proposal    string       `json:"proposal,omitempty"` // what an operator may want to do; it is never done unasked
}

// String is the finding on one line.
func (f Finding) String() string {
	text := fmt.Sprintf("%s/%s version %s: %s", f.Type, f.ID, f.VersionID, f.Outcome)
	if len(f.Differences) > 0 {
		text += ": " + f.Differences[0].String()
	}
	if f.Note != "" {
		text += " (" + f.Note + ")"
	}
	return text
}

// Counts are numbers of resources by outcome. They are exact whatever is kept of the findings.
type Counts map[Outcome]int64

func (c Counts) add(o Counts) {
	for outcome, n := range o {
		c[outcome] += n
	}
}

// Wrong is the number of differences between the two sides.
func (c Counts) Wrong() (n int64) {
	for outcome, k := range c {
		if outcome.wrong() {
			n += k
		}
	}
	return n
}

// Sum is the number of all that was looked at.
func (c Counts) Sum() (n int64) {
	for _, k := range c {
		n += k
	}
	return n
}
