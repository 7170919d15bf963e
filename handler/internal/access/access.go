// Package access finds out whether the function app may do what a migration needs: its own tables and blobs, the account that the exports go
// to, and both FHIR services. It changes nothing but a row and a blob of its own, which it removes again, and starts no job.
//
// What it cannot find out from here it says too, with what to look at: whether the FHIR services themselves may use their storage accounts
// shows only when an export or an import has run.
package access

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/settings"
	"fhirmigration/handler/internal/staging"
)

// probeTime bounds one probe: what takes longer is not there for a migration either.
const probeTime = 10 * time.Second

// Result says how a probe ended.
type Result string

// The results of a probe.
const (
	OK       Result = "ok"
	NotOK    Result = "not ok"
	NotKnown Result = "not known"
)

// Line is what became of one probe.
type Line struct {
	Name   string `json:"name"`
	Result Result `json:"result"`
	Tried  string `json:"tried"`           // what was done to find out
	Found  string `json:"found,omitempty"` // what came of it
	Do     string `json:"do,omitempty"`    // what to do about it
}

// Report is what a check found. OK says that nothing is known to be wrong.
type Report struct {
	OK    bool      `json:"ok"`
	At    time.Time `json:"at"`
	Lines []Line    `json:"lines"`
}

// Check is what is asked. When the settings could not be loaded, SettingsError says why, and of the others Environ and Clock alone are there.
type Check struct {
	Settings            settings.Settings
	SettingsError       error
	Environ             []string // as os.Environ gives it: where the schedules of the timers are
	Source, Destination *fhir.Service
	Ledger              *ledger.Ledger
	Staging             *staging.Store
	Clock               func() time.Time
}

// probe is one question; it may have several lines to say. name is the line's when it gives no answer in time.
type probe struct {
	name, tried string
	ask         func(context.Context) []Line
}

// Run asks everything side by side. It takes as long as the slowest probe, probeTime at most.
func (c Check) Run(ctx context.Context) Report {
	report := Report{OK: true, At: c.Clock().UTC()}
	report.Lines = append(c.settings(), c.schedules()...)
	if c.SettingsError == nil {
		report.Lines = append(report.Lines, sideBySide(ctx, c.probes())...)
	}
	for _, l := range report.Lines {
		if l.Result == NotOK {
			report.OK = false
		}
	}
	return report
}

// sideBySide runs probes at once. One that does not heed the end of its time is left behind, so that nobody waits for it.
func sideBySide(ctx context.Context, probes []probe) (all []Line) {
	late, cancelLate := context.WithTimeout(ctx, probeTime+time.Second)
	defer cancelLate()
	within, cancel := context.WithTimeout(late, probeTime)
	defer cancel()
	answers := make([]chan []Line, len(probes))
	for i, p := range probes {
		answers[i] = make(chan []Line, 1)
		go func() { answers[i] <- p.ask(within) }()
	}
	for i, p := range probes {
		select {
		case lines := <-answers[i]:
			all = append(all, lines...)
		case <-late.Done():
			all = append(all, Line{Name: p.name, Result: NotOK, Tried: p.tried, Found: "no answer in time", Do: doReach})
		}
	}
	return all
}

func (c Check) probes() []probe {
	return []probe{
		{"table storage", triedTables, c.tables},
		{"blob storage", triedBlobs, c.blobs},
		{"export storage", triedExported, c.exported},
		{"de-identification", triedAnonymization, c.anonymization},
		{"source: metadata", triedMetadata, one(c.metadata("source", c.Source))},
		{"source: search", triedSearch, one(c.search("source", c.Source))},
		{"source: export", triedExport, one(c.export)},
		{"destination: metadata", triedMetadata, one(c.metadata("destination", c.Destination))},
		{"destination: search", triedSearch, one(c.search("destination", c.Destination))},
		{"destination: import", triedImport, one(c.importing)},
		{"destination: search parameters and reindex", triedReindex, c.reindex},
		{"clocks", triedClocks, one(c.clocks)},
		{"FHIR services: storage", triedJobs, c.identities},
	}
}

func one(ask func(context.Context) Line) func(context.Context) []Line {
	return func(ctx context.Context) []Line { return []Line{ask(ctx)} }
}

// unique is a part of a name that no other probe has.
func unique() string {
	b := make([]byte, 8)
	rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}
