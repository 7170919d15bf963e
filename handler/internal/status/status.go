package status

import (
	"time"

	"fhirmigration/handler/internal/ledger"
)

// Status is how a migration stands. Its JSON is the answer of GET /api/Status. Numbers that are not known are absent; instants are UTC.
type Status struct {
	At          time.Time `json:"at"` // when the ledger was read, by the source's clock where that is known
	Build       Build     `json:"build"`
	Source      string    `json:"source"` // base URL
	Destination string    `json:"destination"`
	Mode        string    `json:"mode"` // what is migrated, in words

	State    State  `json:"state"`
	Headline string `json:"headline"` // the state in a sentence

	Progress Progress `json:"progress"`
	Lag      Lag      `json:"lag"`
	Pace     Pace     `json:"pace"`
	Left     Left     `json:"left"`

	Waiting []Wait  `json:"waiting,omitempty"` // what stands in the way, what an operator must do first
	Timers  []Timer `json:"timers"`

	Windows  WindowCounts `json:"windows"`
	Exports  Jobs         `json:"exports"`
	Imports  Jobs         `json:"imports"`
	Retries  Retries      `json:"retries"`
	Failures []Failure    `json:"failures,omitempty"` // the newest failed attempts, the newest first

	Open     []Window    `json:"open,omitempty"` // held ones first, then by time
	OpenMore int         `json:"openMore,omitempty"`
	Recent   []Window    `json:"recent,omitempty"` // those that are done and have the highest numbers
	Timeline Timeline    `json:"timeline"`
	ByType   []TypeLines `json:"byType,omitempty"` // exported, of the windows that the summary knows

	Servers          Servers          `json:"servers"`
	Exceptions       Exceptions       `json:"exceptions"`
	SearchParameters SearchParameters `json:"searchParameters"`
	Checks           []Check          `json:"checks"`
	Summary          SummaryState     `json:"summary"`
	Actions          []Action         `json:"actions,omitempty"` // what an operator can do now
}

// Build is the program that answers.
type Build struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
}

// State is how the migration stands, in a word.
type State string

// The states, from what an operator should look at first to what needs nobody.
const (
	Halted    State = "halted"    // it failed too often: nothing new starts until somebody says so
	Held      State = "held"      // windows wait for an operator; others go on
	Blocked   State = "blocked"   // something must be mended before it goes on
	Drained   State = "drained"   // it is given back to the original, or will be when what is open has ended
	Paused    State = "paused"    // nothing new starts for now
	Waiting   State = "waiting"   // a service gives no answer; it goes on by itself
	NotBegun  State = "notBegun"  // there is no window yet
	Running   State = "running"   // windows are exported and imported
	Following State = "following" // everything there was is migrated, and what is written next will be
	Finished  State = "finished"  // a range run that is through
)

// Progress is how far the migration is.
type Progress struct {
	MigratedTill     *time.Time `json:"migratedTill,omitempty"` // everything at the source that was last updated before is migrated
	PlannedTill      *time.Time `json:"plannedTill,omitempty"`
	From             *time.Time `json:"from,omitempty"`
	To               *time.Time `json:"to,omitempty"`               // EndDate of a range run, else the source's now less the safety lag
	ShareOfTime      *float64   `json:"shareOfTime,omitempty"`      // 0 to 1
	ShareOfResources *float64   `json:"shareOfResources,omitempty"` // 0 to 1, of the source's current resources when they were last counted
	Exported         int64      `json:"exported"`                   // lines, of windows that are done
	Imported         int64      `json:"imported"`
	Refused          int64      `json:"refused"`
	TakenOver        *TakenOver `json:"takenOver,omitempty"`
}

// TakenOver is what the original had done when the migration was taken over from it. Its windows and lines are among the numbers above,
// as far as its rows give any.
type TakenOver struct {
	At        time.Time `json:"at"`
	Complete  int       `json:"complete"`            // windows
	Uncounted int       `json:"uncounted,omitempty"` // those of them whose row has no figures
}

// Lag is how far the migration is behind the source.
type Lag struct {
	Seconds *float64 `json:"seconds,omitempty"` // the source's now, or EndDate where that is earlier, less MigratedTill
	Clock   string   `json:"clock"`             // whose now: "source", or "handler" where the source's clock is not known yet
	Note    string   `json:"note,omitempty"`
}

// Pace is how fast the migration was lately.
type Pace struct {
	LinesPerHour *float64 `json:"linesPerHour,omitempty"`
	DaysPerHour  *float64 `json:"daysPerHour,omitempty"` // of the source's time
	Over         float64  `json:"overSeconds,omitempty"` // the time that both are taken from
	Note         string   `json:"note,omitempty"`
}

// Left is how long the rest takes at that pace.
type Left struct {
	Seconds *float64 `json:"seconds,omitempty"`
	Note    string   `json:"note"` // what it is made from, or why it is not known
}

// Wait is something that stands in the way.
type Wait struct {
	What   string     `json:"what"`
	Who    string     `json:"who"` // who can end it
	Act    bool       `json:"act"` // somebody has to do something
	Since  *time.Time `json:"since,omitempty"`
	Until  *time.Time `json:"until,omitempty"` // when it ends or is tried again, by the handler's clock
	Detail string     `json:"detail,omitempty"`
	Window *int       `json:"window,omitempty"` // the window that is held
	Do     []Action   `json:"actions,omitempty"`

	held bool // it is about windows that are held
}

// Action is something that an operator can do by POST, with who and why in the body.
type Action struct {
	Name  string `json:"name"` // of the function whose key it takes
	Path  string `json:"path"`
	Label string `json:"label"`
	Says  string `json:"says"`           // what it does
	Bare  bool   `json:"bare,omitempty"` // it takes no body
}

// Timer is a timer function.
type Timer struct {
	Name     string     `json:"name"`
	Schedule string     `json:"schedule,omitempty"`
	Ticked   *time.Time `json:"ticked,omitempty"` // a tick ended then, or up to some minutes later
	Error    string     `json:"error,omitempty"`  // how the last tick failed
	Since    *time.Time `json:"errorSince,omitempty"`
}

// WindowCounts are windows by phase.
type WindowCounts struct {
	Done      int64 `json:"done"`
	Open      int   `json:"open"`
	Planned   int   `json:"planned"`
	Exporting int   `json:"exporting"`
	Exported  int   `json:"exported"`
	Importing int   `json:"importing"`
	Splitting int   `json:"splitting"`
	Held      int   `json:"held"`
	Adopting  int   `json:"adopting"` // exported by the original; its imports are being looked at
	Repairs   int   `json:"repairs"`  // closed by the original, and to be opened again
	Empty     int   `json:"empty"`    // stretches passed over without a window
}

// Jobs are exports or imports of windows.
type Jobs struct {
	Running int   `json:"running"`
	Done    int64 `json:"done"`   // windows exported, or imported
	Failed  int64 `json:"failed"` // attempts, of the windows that the summary knows and of those shown
}

// Retries count towards a halt.
type Retries struct {
	Ticks int `json:"ticks"`           // in a row in which an attempt failed and nothing succeeded
	Limit int `json:"limit,omitempty"` // so many halt the migration; absent: none do
}

// Failure is a failed attempt.
type Failure struct {
	Window int       `json:"window"`
	At     time.Time `json:"at"`
	What   string    `json:"what"`
}

// Servers are the current resources on both services when they were last counted.
type Servers struct {
	At               *time.Time `json:"at,omitempty"`
	Source           *int64     `json:"source,omitempty"`
	Destination      *int64     `json:"destination,omitempty"`
	SourceError      string     `json:"sourceError,omitempty"`
	DestinationError string     `json:"destinationError,omitempty"`
}

// Exceptions are the lines that were refused, by what became of them.
type Exceptions struct {
	At      *time.Time       `json:"at,omitempty"` // when they were counted; absent: just now
	ByState map[string]int64 `json:"byState,omitempty"`
	Open    int64            `json:"open"`
	Listed  []Exception      `json:"listed,omitempty"` // the first ones that are open
	Note    string           `json:"note,omitempty"`
}

// Exception is a refused line.
type Exception struct {
	ID           string   `json:"id"`
	Window       int      `json:"window"`
	Kind         string   `json:"kind"`
	ResourceType string   `json:"resourceType,omitempty"`
	ResourceID   string   `json:"resourceId,omitempty"`
	Reason       string   `json:"reason"`
	Do           []Action `json:"actions,omitempty"`
}

// SearchParameters are the custom search parameters.
type SearchParameters struct {
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"`
	Found   int    `json:"found"`
	Copied  int    `json:"copied"`
	Refused int    `json:"refused"`
	Reindex string `json:"reindex,omitempty"`
}

// Check is the last run of a check.
type Check struct {
	Name    string           `json:"name"` // SurfaceCheck or DeepCheck
	Run     int              `json:"run,omitempty"`
	State   string           `json:"state"` // of the run; "never" without one
	Verdict string           `json:"verdict"`
	Clean   *bool            `json:"clean,omitempty"` // absent: it has not ended
	Counts  map[string]int64 `json:"counts,omitempty"`
	Till    *time.Time       `json:"till,omitempty"` // it looked at what was last updated before
	Started *time.Time       `json:"started,omitempty"`
	Ended   *time.Time       `json:"ended,omitempty"`
	Done    int64            `json:"done,omitempty"`
	Of      int64            `json:"of,omitempty"`
	Unit    string           `json:"unit,omitempty"`
}

// SummaryState is how far the summary of closed windows is.
type SummaryState struct {
	Updated *time.Time `json:"updated,omitempty"`
	Behind  int        `json:"behind,omitempty"` // windows that were closed and are not in it yet
}

// TypeLines are lines of one resource type.
type TypeLines struct {
	Type  string `json:"type"`
	Lines int64  `json:"lines"`
}

// Instant is t, nil for the zero time.
func Instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func known(n int64) *int64 {
	if n == ledger.Unknown {
		return nil
	}
	return &n
}
