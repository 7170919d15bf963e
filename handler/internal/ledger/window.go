package ledger

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// Phase is where a window stands. It is not stored: Window.Phase reads it off the columns.
type Phase string

// The phases of a window, in their order.
const (
	// Planned: nothing runs for it. A claim may be on it: somebody is about to start its export.
	Planned Phase = "planned"
	// Exporting: the source accepted $export; its status URL is in exportContentLocation.
	Exporting Phase = "exporting"
	// Superseded: an attempt of the original that failed, or a planned window that was given back to it. Another row has its time.
	Superseded Phase = "superseded"
	// Splitting: too large for one export or for one import; its second half is being made a window of its own, and until
	// that is finished nothing else happens to it.
	Splitting Phase = "splitting"
	// Adopting: the original exported it and may have imported some of it. What it posted is looked up next.
	Adopting Phase = "adopting"
	// Exported: the manifest is saved and the payloads are listed; none is posted yet.
	Exported Phase = "exported"
	// Importing: at least one payload was posted.
	Importing Phase = "importing"
	// Done: every line is imported or named as refused, or there was nothing in it.
	Done Phase = "done"
	// Held: out of attempts, or its books do not balance. It stays until an operator releases it; other windows go on.
	Held Phase = "held"
)

// Values of IsExportRunning, IsImportRunning and ImportRequest, as the original writes them.
const (
	runNotStarted = "Not Started"
	runStarted    = "Started"
	runRunning    = "Running"
	runCompleted  = "Completed"
	runFailed     = "Failed"

	importRequested = "Yes"
	importNothing   = "No"
)

// Unknown is a count that could not be had. It is never taken for zero.
const Unknown int64 = -1

// Window is one row of the table "export": the resources, of ResourceType or else of all types, whose lastUpdated is in [Since, Till). Fields are read freely
// and changed by the moves of this package alone.
type Window struct {
	Number int // row number: the row key is the RowKey setting followed by it

	Since, Till time.Time

	ExportStatusURL, ImportStatusURL                 string // ImportStatusURL is that of the first payload
	ExportRunning, ImportRunning                     string
	ExportComplete, ImportComplete, First, Processed bool
	ImportRequest                                    string
	ResourceType                                     string // "": all types
	StartTime, ExportEndTime, ImportStartTime        time.Time
	EndTime                                          time.Time
	ExportedCount, FailedExportCount, FailedExports  string // numbers as text, as the original has them
	ImportedCount, FailedImportCount, FailedImports  string
	SearchParameterCount                             int64
	PayloadCount, CompletedCount                     int
	ExportID, ImportNo                               string
	SourceTotal, DestinationTotal                    string
	SourceError, DestinationError                    string
	FailureReason                                    string

	// Columns of our own.
	Attempts     int       // failed attempts; a release sets it back
	Posts        int       // number of the last $import attempt of any payload; only ever grows
	UnknownPolls int       // polls in a row that did not know the export job
	CountTries   int       // counts of the source in a row that could not be had after the export
	MaxCount     int       // _maxCount of the next export where it is smaller than the setting's, 0: the setting's
	NotBefore    time.Time // nothing is asked or started before
	ClaimOwner   string
	ClaimedUntil time.Time
	SplitAt      time.Time
	SplitNumber  int
	HeldReason   string
	Payloads     []Payload
	CountsByType map[string]int64 // lines in the manifest by resource type, SearchParameter included
	AttemptLog   []Attempt
	SourceCount  int64     // the source's own count after the export, or Unknown
	RefusedCount int64     // lines that $import refused, and those that were left out of it
	Frontier     bool      // of an export-only source: nothing is planned behind it yet, so it may become longer
	EmptyTill    time.Time // an export from Since till here has brought nothing, and could not be counted
	LinesBefore  int64     // that an export of this window has brought once
	Preflight    Preflight

	TakenOver     time.Time // when a window that the original had exported was adopted
	OriginalFiles bool      // its payloads are the original's: their files are listed in a blob of the takeover, not in a manifest

	etag azcore.ETag
	kept properties
}

// PayloadState says what became of a payload.
type PayloadState string

// The states of a payload.
const (
	Unposted PayloadState = ""         // not posted, or its last job failed
	Posted   PayloadState = "posted"   // the destination accepted $import
	Complete PayloadState = "complete" // the job ended and its result is saved
)

// Payload is one $import of a window: the files From up to, not including, To of its manifest, sorted by URL. Where it
// stands is kept in the JSON column Payloads, so its times are numbers and what can be derived is left out: a
// hundred of them must fit a property.
type Payload struct {
	Blob      string       `json:"blob,omitempty"` // the request body's blob when it was posted before; see Window.PayloadBlob
	Post      int          `json:"post"`           // number in inputSource: with it a failed job's body is not posted again
	From      int          `json:"from"`
	To        int          `json:"to"`
	Only      []int        `json:"only,omitempty"`    // the files, of From to To, that are imported again: the books of the others balance
	Earlier   string       `json:"earlier,omitempty"` // with Only: the blob that was posted before, whose result has the others
	StatusURL string       `json:"url,omitempty"`     // set while Posted and after
	State     PayloadState `json:"state,omitempty"`
	Lines     int64        `json:"lines"`              // in the manifest, of all its files; Unknown of the original's until they are imported
	Imported  int64        `json:"imported,omitempty"` // with Only and not Complete: of the others
	Refused   int64        `json:"refused,omitempty"`
	Unknown   int          `json:"unknown,omitempty"` // polls in a row that did not know the job
	Cancelled bool         `json:"cancelled,omitempty"`
	Moved     int64        `json:"moved,omitempty"` // lines that the job says it has done so far

	NotBefore Millis `json:"notBefore,omitempty"`
	PostedAt  Millis `json:"postedAt,omitempty"`
	MovedAt   Millis `json:"movedAt,omitempty"` // when Moved last grew
}

// Millis is an instant in milliseconds since 1970, 0 for none.
type Millis int64

// Time is the instant, the zero time for none.
func (m Millis) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m)).UTC()
}

func millisOf(t time.Time) Millis {
	if t.IsZero() {
		return 0
	}
	return Millis(t.UnixMilli())
}

// Attempt is an entry of AttemptLog: what went wrong with a window, and when. The last 20 are kept.
type Attempt struct {
	At   time.Time   `json:"at"`
	What string      `json:"what"`
	Kind AttemptKind `json:"kind,omitempty"`
}

// AttemptKind tells failed attempts from entries that only say what was done.
type AttemptKind string

// The kinds of failed attempts.
const (
	FailedExport AttemptKind = "export"
	FailedImport AttemptKind = "import"
)

// NewWindow is a planned window over [since, till), to be inserted under number.
func NewWindow(number int, since, till time.Time) Window {
	return Window{Number: number, Since: since, Till: till, First: true, SourceCount: Unknown,
		ExportRunning: "", ImportRunning: runNotStarted}
}

// OfType is a new window of one resource type, or of all types for "".
func (w Window) OfType(resourceType string) Window {
	w.ResourceType = resourceType
	return w
}

// Holds says whether resources of a type are in w's scope.
func (w Window) Holds(resourceType string) bool {
	return w.ResourceType == "" || w.ResourceType == resourceType
}

// Phase reads off the columns where w stands.
func (w Window) Phase() Phase {
	switch {
	case w.ExportComplete && w.ImportComplete && w.Processed:
		return Done
	case w.HeldReason != "":
		return Held
	case w.ExportRunning == runFailed && (w.ExportComplete || w.Processed):
		return Superseded
	case !w.SplitAt.IsZero():
		return Splitting
	case w.ExportComplete && len(w.Payloads) == 0:
		return Adopting
	case w.ExportComplete && w.posted():
		return Importing
	case w.ExportComplete:
		return Exported
	case w.ExportStatusURL != "":
		return Exporting
	}
	return Planned
}

func (w Window) posted() bool {
	for _, p := range w.Payloads {
		if p.State != Unposted {
			return true
		}
	}
	return false
}

// Claimed says whether somebody is about to start w's export at now.
func (w Window) Claimed(now time.Time) bool {
	return w.Phase() == Planned && w.ClaimOwner != "" && now.Before(w.ClaimedUntil)
}

// Name is how logs and errors call w: its number, its type if it has one, and its bounds.
func (w Window) Name() string {
	of := ""
	if w.ResourceType != "" {
		of = " of " + w.ResourceType
	}
	return fmt.Sprintf("window %d%s [%s, %s)", w.Number, of, FormatInstant(w.Since), FormatInstant(w.Till))
}

// ExportedLines is the number of lines that are to be imported: all payloads', SearchParameter left out. Unknown while that of a
// payload of the original is.
func (w Window) ExportedLines() (n int64) {
	for _, p := range w.Payloads {
		if p.Lines < 0 {
			return Unknown
		}
		n += p.Lines
	}
	return n
}

// Imported is the number of lines that the destination says it holds.
func (w Window) Imported() (n int64) {
	for _, p := range w.Payloads {
		n += p.Imported
	}
	return n
}

func (w *Window) row() row { return row{w.columns(), &w.etag, &w.kept} }

func (w *Window) columns() []column {
	return []column{
		instantColumn("Since", &w.Since), instantColumn("Till", &w.Till),
		textColumn("exportContentLocation", &w.ExportStatusURL), textColumn("importContentLocation", &w.ImportStatusURL),
		textColumn("IsExportRunning", &w.ExportRunning), textColumn("IsImportRunning", &w.ImportRunning),
		boolColumn("IsExportComplete", &w.ExportComplete), boolColumn("IsImportComplete", &w.ImportComplete),
		boolColumn("IsFirst", &w.First), boolColumn("IsProcessed", &w.Processed),
		textColumn("ImportRequest", &w.ImportRequest), textColumn("resourceTypeValue", &w.ResourceType),
		timeColumn("StartTime", &w.StartTime), timeColumn("ExportEndTime", &w.ExportEndTime),
		timeColumn("ImportStartTime", &w.ImportStartTime), timeColumn("EndTime", &w.EndTime),
		textColumn("TotalExportResourceCount", &w.ExportedCount), textColumn("TotalFailedExportCount", &w.FailedExportCount),
		textColumn("FailedExportResources", &w.FailedExports),
		textColumn("TotalImportResourceCount", &w.ImportedCount), textColumn("TotalFailedImportCount", &w.FailedImportCount),
		textColumn("FailedImportResources", &w.FailedImports),
		int64Column("SearchParameterCount", &w.SearchParameterCount),
		int32Column("PayloadCount", &w.PayloadCount), int32Column("CompletedCount", &w.CompletedCount),
		textColumn("ExportId", &w.ExportID), textColumn("ImportNo", &w.ImportNo),
		textColumn("SourceResourceCount", &w.SourceTotal), textColumn("DestinationResourceCount", &w.DestinationTotal),
		textColumn("SourceError", &w.SourceError), textColumn("DestinationError", &w.DestinationError),
		textColumn("FailureReason", &w.FailureReason),

		int32Column("Attempts", &w.Attempts), int32Column("Posts", &w.Posts),
		int32Column("UnknownPolls", &w.UnknownPolls), int32Column("CountTries", &w.CountTries), int32Column("MaxCount", &w.MaxCount),
		timeColumn("NotBefore", &w.NotBefore), textColumn("ClaimOwner", &w.ClaimOwner), timeColumn("ClaimedUntil", &w.ClaimedUntil),
		instantColumn("SplitAt", &w.SplitAt), int32Column("SplitNumber", &w.SplitNumber), textColumn("Held", &w.HeldReason),
		jsonColumn("Payloads", &w.Payloads, func(p []Payload) bool { return len(p) == 0 }),
		jsonColumn("CountsByType", &w.CountsByType, func(m map[string]int64) bool { return len(m) == 0 }),
		jsonColumn("AttemptLog", &w.AttemptLog, func(a []Attempt) bool { return len(a) == 0 }),
		int64Column("SourceCount", &w.SourceCount), int64Column("RefusedCount", &w.RefusedCount),
		boolColumn("Frontier", &w.Frontier), instantColumn("EmptyTill", &w.EmptyTill), int64Column("LinesBefore", &w.LinesBefore),
		timeColumn("TakenOver", &w.TakenOver), boolColumn("OriginalFiles", &w.OriginalFiles),
		jsonColumn("Preflight", &w.Preflight, func(p Preflight) bool { return p.State == "" && p.Look == 0 }),
	}
}

// PayloadRoom is how many payloads a window's row has room for, whatever becomes of them, when the status URL of an import has so many characters:
// 100 at most, and fewer where the URL is long.
func PayloadRoom(statusURL int) int {
	const most, digits = 100, 1 << 40 // more lines than a payload has, an instant in the year 2004: as many digits as now
	largest := Payload{Blob: postedBlob(most, 9999), Post: 9999, From: 999_999, To: 1_000_000, StatusURL: strings.Repeat("x", statusURL), State: Posted,
		Lines: digits, Unknown: 1, Cancelled: true, Moved: digits, NotBefore: digits, PostedAt: digits, MovedAt: digits}
	text, err := json.Marshal(largest)
	if err != nil {
		return 0
	}
	again := filesAgain * len(`,"only":[999999],"imported":1099511627776,"refused":1099511627776,"earlier":"`+postedBlob(most, 9999)+`"`)
	return max(1, min(most, (maxJSON-again)/(len(text)+1)))
}
