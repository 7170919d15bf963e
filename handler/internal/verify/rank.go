package verify

import (
	"slices"
	"strings"
)

// ranks are what a clinician would ask for first, by the beginning of an element's name.
var ranks = [][]string{
	{"status", "clinicalStatus", "verificationStatus", "active", "deceased", "intent", "doNotPerform", "resourceType"},
	{"subject", "patient", "beneficiary", "individual", "for"},
	{"dose", "dosage", "rate", "quantity"},
	{"value", "component", "result"},
	{"code", "medication", "vaccineCode"},
	{"identifier", "id"},
}

// rankOf is the place of a pointer in a report: the ranks, then all else, then meta, and last what is made for reading.
func rankOf(pointer string) int {
	names := strings.Split(pointer, "/")[1:]
	switch names[0] {
	case "text":
		return len(ranks) + 2
	case "meta":
		return len(ranks) + 1
	}
	for i, rank := range ranks {
		if slices.ContainsFunc(rank, func(prefix string) bool {
			rest, ok := strings.CutPrefix(names[0], prefix)
			return ok && (rest == "" || rest[0] >= 'A' && rest[0] <= 'Z')
		}) {
			return i
		}
	}
	return len(ranks)
}

// rank sorts differences by what matters, those of one rank as they were found.
func rank(all []Difference) {
	slices.SortStableFunc(all, func(a, b Difference) int { return rankOf(a.Pointer) - rankOf(b.Pointer) })
}
