package verify

import (
	"encoding/json"
	"slices"
	"time"
)

// What is kept of a run. Counts are exact beyond these.
const (
	maxFindings  = 10_000 // in blobs
	maxBlobs     = 100    // of one run: their names are in its row
	maxReasons   = 10     // why something was not verifiable
	smallRun     = 100    // resources: their matches are listed, too
	maxShownRows = 100    // findings in an answer
	maxResultRow = 1000   // findings that get a row of their own
)

// TypeCount is what SurfaceCheck found of one type.
type TypeCount struct {
	Resource         string  `json:"Resource"`
	SourceCount      int64   `json:"SourceCount"`      // -1: not known
	DestinationCount int64   `json:"DestinationCount"` // -1: not known
	Outcome          Outcome `json:"Outcome"`
	Reason           string  `json:"Reason,omitempty"`
}

// WindowCount is a window in which a type differs.
type WindowCount struct {
	Resource         string    `json:"Resource"`
	Since            time.Time `json:"Since"`
	Till             time.Time `json:"Till"`
	SourceCount      int64     `json:"SourceCount"`
	DestinationCount int64     `json:"DestinationCount"`
}

// result is what was found so far, as the run's row keeps it.
type result struct {
	Counts   Counts            `json:"counts"`
	ByType   map[string]Counts `json:"byType,omitempty"`
	Expected int64             `json:"expected,omitempty"` // resources to look at, as far as is known
	Findings int64             `json:"findings,omitempty"` // kept in Blobs
	Dropped  int64             `json:"dropped,omitempty"`  // beyond what is kept
	Blobs    []string          `json:"blobs,omitempty"`
	Reasons  []string          `json:"reasons,omitempty"`
	FirstRow int               `json:"firstRow,omitempty"` // number of the first result row

	Surface []TypeCount   `json:"surface,omitempty"`
	Windows []WindowCount `json:"windows,omitempty"`

	Searches *Searches `json:"searches,omitempty"`

	ChangedAtSource int64    `json:"changedAtSource,omitempty"` // versions from Till on; -1: not known
	Changes         []string `json:"changes,omitempty"`         // the first of them
}

// part is what one unit found.
type part struct {
	counts   map[string]Counts
	findings []Finding
	reasons  []string
	more     []unit // to be done instead of the rest of the unit
	apply    func(*cursor, *result)
	size     int64 // how many resources the unit is about, as far as was seen
}

func (p *part) add(f Finding, keep bool) {
	if p.counts == nil {
		p.counts = map[string]Counts{}
	}
	if p.counts[f.Type] == nil {
		p.counts[f.Type] = Counts{}
	}
	p.counts[f.Type][f.Outcome]++
	if f.Outcome.wrong() || f.Outcome == NotVerifiable || keep && len(p.findings) < smallRun {
		p.findings = append(p.findings, f)
	}
}

func (p *part) merge(o part) {
	for typ, counts := range o.counts {
		if p.counts == nil {
			p.counts = map[string]Counts{}
		}
		if p.counts[typ] == nil {
			p.counts[typ] = Counts{}
		}
		p.counts[typ].add(counts)
	}
	p.findings = append(p.findings, o.findings...)
	p.reasons = append(p.reasons, o.reasons...)
	p.more = append(p.more, o.more...)
}

// Everything that is kept of a run is in one string of its row, which holds 32,700 characters of JSON: texts from outside have a share of it.
const (
	maxReason         = 400
	maxSurfaceReasons = 4000 // of all types together
	maxNamedSearch    = 120
)

// within cuts a text so that its JSON, in which a bracket may take six characters, has at most n.
func within(text string, n int) string {
	if len(encode(text)) <= n {
		return text
	}
	runes := []rune(text)
	for len(runes) > 0 && len(encode(string(runes)+"…")) > n {
		runes = runes[:len(runes)*9/10]
	}
	return string(runes) + "…"
}

// note keeps a few reasons, each once.
func (r *result) note(reasons ...string) {
	for _, reason := range reasons {
		reason = within(reason, maxReason)
		if len(r.Reasons) < maxReasons && !slices.Contains(r.Reasons, reason) {
			r.Reasons = append(r.Reasons, reason)
		}
	}
}

func (r *result) take(p part) {
	for typ, counts := range p.counts {
		if r.ByType == nil {
			r.ByType = map[string]Counts{}
		}
		if r.ByType[typ] == nil {
			r.ByType[typ] = Counts{}
		}
		if r.Counts == nil {
			r.Counts = Counts{}
		}
		r.ByType[typ].add(counts)
		r.Counts.add(counts)
	}
	r.note(p.reasons...)
}

func encode(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil { // unreachable: these are texts, numbers and lists of them
		panic(err)
	}
	return raw
}
