package preflight

import (
	"fmt"
	"strings"
	"time"
)

// Kind is what is wrong with a line.
type Kind string

// The kinds of findings. Overflow and Crowded make the whole import fail; the others cost the line.
const (
	// Overflow: a number of 10^18 or more, which the index of the service, decimal(36,18), cannot hold.
	Overflow Kind = "number too large"
	// Crowded: more than 10,000 lines have one lastUpdated, to the millisecond.
	Crowded Kind = "too many in one millisecond"
	// Order: an older version with a later lastUpdated, or the same. Which of the two is refused, and so which becomes the current version,
	// depends on what the service reads first.
	Order Kind = "order of versions"
	// Duplicate: the same version comes twice in a file.
	Duplicate Kind = "twice in a file"
	// Future: lastUpdated lies ahead.
	Future Kind = "lastUpdated in the future"
	// InvalidTime: lastUpdated is no instant.
	InvalidTime Kind = "invalid lastUpdated"
	// InvalidID: the id is missing, or is no FHIR id.
	InvalidID Kind = "invalid id"
	// NotJSON: the line is no JSON object, or no resource.
	NotJSON Kind = "no JSON"
)

// kinds in the order in which they are told: what fails the job comes first.
var kinds = []Kind{Overflow, Crowded, Order, Duplicate, Future, InvalidTime, InvalidID, NotJSON}

// WhatToDo tells an operator what to do about findings of a kind.
func (k Kind) WhatToDo() string {
	switch k {
	case Overflow:
		return "correct the number at the source, or leave the line out and enter the resource by hand"
	case Crowded:
		return "leave the lines beyond 10,000 out and post them again one by one later, or change those resources at the source, which gives them another time"
	case Order:
		return "the newest version is kept and the older ones that contradict it are left out; mend the versions at the source to keep them"
	case Duplicate:
		return "nothing: one of the two is imported and the other is refused as a duplicate"
	case Future:
		return "wait until then, or correct the clock and save the resource again: the line is refused"
	case InvalidTime, InvalidID, NotJSON:
		return "correct it at the source: the line is refused"
	}
	return ""
}

// Place is where a line is: in which file, which line of it (from 0, empty lines counted), and at which byte it begins.
type Place struct {
	File   int
	Line   int64
	Offset int64
}

// Finding is something that is wrong with one line.
type Finding struct {
	Kind Kind
	Place
	Type, ID string // as far as they can be read
	Detail   string // holds nothing of what the resource says but its versions and their times: it goes into rows and logs
	Value    string // what is wrong, as the line has it, "" where Detail says it; for the blob of findings alone
	LeaveOut bool   // the line is left out when the findings are accepted
}

// Summary counts the findings by kind, those that fail the job first, and names the first place of each. file names a file.
func (l *Look) Summary(file func(n int) string) string {
	var parts []string
	for _, k := range kinds {
		n := l.Counts[k]
		if n == 0 {
			continue
		}
		text := fmt.Sprintf("%d × %s", n, k)
		for _, f := range l.Findings {
			if f.Kind == k {
				text += fmt.Sprintf(" (first: %s line %d: %s)", file(f.File), f.Line+1, f.Detail)
				break
			}
		}
		parts = append(parts, text+": "+k.WhatToDo())
	}
	return strings.Join(parts, "; ")
}

func instant(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }
