package cutover

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/verify"
)

// maxListed bounds each list of a certificate; what is beyond it is counted.
const maxListed = 1000

// Certificate is what a migration has done and how that is known. It is put together in one pass over the ledger.
type Certificate struct {
	Readiness   Readiness `json:"readiness"`
	Build       string    `json:"build"`
	Source      string    `json:"source"`
	Destination string    `json:"destination"`

	From    time.Time     `json:"from,omitzero"` // of the oldest window
	Totals  ledger.Totals `json:"totals"`        // of the windows closed
	Windows int64         `json:"windows"`       // rows, open ones too
	ByType  []TypeTotal   `json:"byType"`

	Checks     []Check     `json:"checks"` // the newest, by their numbers
	Exceptions []Accepted  `json:"acceptedExceptions"`
	Lines      []LineState `json:"refusedLines"`
	Actions    []Action    `json:"actions"`
	More       More        `json:"more"` // of each list, what is not in it

	Settings []Setting     `json:"settings"`
	Digest   ledger.Digest `json:"ledger"`
}

// TypeTotal are the lines of one resource type.
type TypeTotal struct {
	Type     string `json:"type"`
	Exported int64  `json:"exported"`
	Refused  int64  `json:"refused"`
}

// Check is a run of a check.
type Check struct {
	Run     int       `json:"run"`
	Name    string    `json:"name"`
	Full    bool      `json:"full,omitempty"`
	State   string    `json:"state"`
	Verdict string    `json:"verdict"`
	Till    time.Time `json:"till,omitzero"`
	Seed    int64     `json:"seed,omitempty"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
}

// Accepted is a refused line of which somebody has said that it may be missing.
type Accepted struct {
	ID       string    `json:"id"`
	Resource string    `json:"resource"`
	Reason   string    `json:"reason"`
	By       string    `json:"by"`
	Because  string    `json:"because"`
	At       time.Time `json:"at"`
}

// LineState is a number of refused lines by what became of them.
type LineState struct {
	State string `json:"state"`
	Lines int64  `json:"lines"`
}

// Action is what an operator did.
type Action struct {
	At      time.Time `json:"at"`
	Name    string    `json:"name"`
	Window  int       `json:"window,omitempty"`
	By      string    `json:"by"`
	Reason  string    `json:"reason"`
	Outcome string    `json:"outcome"`
}

// Setting is an app setting as it is now; secrets are only "set".
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// More says how many entries the lists do not have.
type More struct {
	Checks, Exceptions, Actions int64
}

// Certificate reads the whole ledger, page by page. What it holds in memory does not grow with the migration.
func (c *Cutover) Certificate(ctx context.Context) (Certificate, error) {
	cert := Certificate{Build: c.Build, Source: c.Settings.SourceUri, Destination: c.Settings.DestinationUri}
	var err error
	if cert.Readiness, err = c.Readiness(ctx); err != nil {
		return cert, err
	}
	exported, refused, states := map[string]int64{}, map[string]int64{}, map[ledger.ExceptionState]int64{}
	cert.Digest, err = c.Ledger.Read(ctx, ledger.Reader{
		Window: func(w ledger.Window) { cert.window(w, exported, refused) },
		Run:    func(r ledger.Run) { cert.run(c.Verify, r) },
		Exception: func(e ledger.Exception) {
			states[e.State] += e.Lines
			cert.exception(e)
		},
		Action: func(a ledger.Action) {
			if len(cert.Actions) == maxListed {
				cert.More.Actions++
				return
			}
			cert.Actions = append(cert.Actions, Action{a.At, a.Name, a.Window, a.By, a.Reason, cmp.Or(a.Outcome, "not known")})
		},
	})
	if err != nil {
		return cert, err
	}
	for _, typ := range slices.Sorted(maps.Keys(exported)) {
		cert.ByType = append(cert.ByType, TypeTotal{typ, exported[typ], refused[typ]})
	}
	for _, state := range slices.Sorted(maps.Keys(states)) {
		cert.Lines = append(cert.Lines, LineState{string(state), states[state]})
	}
	slices.SortFunc(cert.Checks, func(a, b Check) int { return cmp.Compare(a.Run, b.Run) })
	cert.settings(c.Settings.Redacted())
	return cert, nil
}

func (cert *Certificate) window(w ledger.Window, exported, refused map[string]int64) {
	cert.Windows++
	if cert.From.IsZero() || w.Since.Before(cert.From) {
		cert.From = w.Since
	}
	if w.Phase() != ledger.Done {
		return
	}
	cert.Totals.Windows++
	cert.Totals.Exported += w.ExportedLines()
	cert.Totals.Imported += w.Imported()
	cert.Totals.Refused += w.RefusedCount
	for typ, n := range w.CountsByType {
		exported[typ] += n
	}
	for _, entry := range strings.Split(w.FailedImports, ",") { // "Patient:3, Observation:1", as the original writes it
		typ, text, _ := strings.Cut(strings.TrimSpace(entry), ":")
		if n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err == nil {
			refused[typ] += n
		}
	}
}

// run keeps the newest runs. They come in the order of their keys, in which 10 is before 2.
func (cert *Certificate) run(v *verify.Verify, r ledger.Run) {
	b, err := v.Brief(r)
	verdict := b.Verdict
	if err != nil {
		verdict = err.Error()
	}
	cert.Checks = append(cert.Checks, Check{r.Number, b.Event, b.Full, string(r.State), verdict, b.Till, r.Seed, r.StartTime, r.EndTime})
	if len(cert.Checks) > maxListed {
		oldest := 0
		for i, other := range cert.Checks {
			if other.Run < cert.Checks[oldest].Run {
				oldest = i
			}
		}
		cert.Checks = slices.Delete(cert.Checks, oldest, oldest+1)
		cert.More.Checks++
	}
}

func (cert *Certificate) exception(e ledger.Exception) {
	switch {
	case e.State != ledger.ExceptionAccepted:
	case len(cert.Exceptions) == maxListed:
		cert.More.Exceptions++
	default:
		resource := e.ResourceType
		if e.ResourceID != "" {
			resource += "/" + e.ResourceID
		}
		cert.Exceptions = append(cert.Exceptions, Accepted{e.ID, resource, e.Reason, e.By, e.Note, e.Changed})
	}
}

func (cert *Certificate) settings(all map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		cert.Settings = append(cert.Settings, Setting{"AZURE_" + name, all[name]})
	}
}
