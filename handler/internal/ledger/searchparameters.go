package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// SearchParametersState says where the custom search parameters stand.
type SearchParametersState string

// The states of the custom search parameters, in their order.
const (
	// ParametersCopying: they are being copied, or wait to be. Imports wait for it.
	ParametersCopying SearchParametersState = "copying"
	// ParametersDeferred: they cannot be copied now, and imports do not wait; it is tried again after NotBefore.
	ParametersDeferred SearchParametersState = "deferred"
	// ParametersReindexing: they are copied; the destination is to be reindexed, or is at it.
	ParametersReindexing SearchParametersState = "reindexing"
	// ParametersFailed: they are copied, and the destination could not be reindexed. An operator has it done again.
	ParametersFailed SearchParametersState = "failed"
	// ParametersDone: they can be searched by at the destination, but for those that were refused.
	ParametersDone SearchParametersState = "done"
)

// maxNamed is how many characters of JSON the row spends on naming refused search parameters; the log names all.
const maxNamed = 16_000

// SearchParameters is the row of the custom search parameters in the table "chunk", under RowKey + "-searchparameters": a row of its own,
// so that it does not contend with planning and closing. A row that is not there yet reads as one of which nothing is done.
type SearchParameters struct {
	State  SearchParametersState
	Reason string // why it waits, was deferred or failed

	Found    int // at the source
	Existing int // of those, defined by the destination before
	Copied   int
	Refused  int
	Named    []RefusedParameter // of the refused, as many as there is room for

	Reindex       bool   // the destination is to be reindexed: set before the first one is written
	ReindexURL    string // status URL, "" before
	ReindexStatus string // as the destination last said it
	Attempts      int    // of a reindex that failed

	Export ParametersExport // where the source answers exports alone

	NotBefore time.Time // nothing is asked before
	StartTime time.Time
	EndTime   time.Time

	etag azcore.ETag
	kept properties
}

// RefusedParameter is a search parameter that the destination did not take.
type RefusedParameter struct {
	URL    string `json:"url"`
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// ImportsMayBegin says whether everything that imports wait for is done: what comes after concerns readiness for cutover alone.
func (s SearchParameters) ImportsMayBegin() bool { return s.State != ParametersCopying }

// Ended says whether nothing more will happen by itself.
func (s SearchParameters) Ended() bool {
	return s.State == ParametersDone || s.State == ParametersFailed
}

// Counted notes how many the source has, and how many of them the destination defined before any was written.
func (s SearchParameters) Counted(found, existing int) SearchParameters {
	s.Found = found
	if !s.Reindex {
		s.Existing = existing
	}
	return s
}

// Writing notes that the destination will have to be reindexed, before anything is written to it.
func (s SearchParameters) Writing() SearchParameters {
	s.Reindex = true
	return s
}

// Waiting notes why copying or reindexing does not go on before notBefore.
func (s SearchParameters) Waiting(reason string, notBefore time.Time) SearchParameters {
	s.Reason, s.NotBefore = cutTo(reason, maxReason), notBefore
	return s
}

// Deferred notes why copying is put off, so that imports need not wait for it.
func (s SearchParameters) Deferred(reason string, notBefore time.Time) SearchParameters {
	s.State = ParametersDeferred
	return s.Waiting(reason, notBefore)
}

// CopyEnded notes what the destination did not take. What is left to do is the reindex, if anything was written.
func (s SearchParameters) CopyEnded(refused []RefusedParameter, now time.Time) SearchParameters {
	s.Refused, s.Named = len(refused), nil
	room := maxNamed
	for _, r := range refused {
		r.URL, r.Reason = cutTo(r.URL, maxReason), cutTo(r.Reason, maxReason)
		text, err := json.Marshal(r)
		if room -= len(text) + 1; err != nil || room < 0 {
			break
		}
		s.Named = append(s.Named, r)
	}
	s.Copied = max(s.Found-s.Existing-s.Refused, 0)
	s.State, s.Reason, s.NotBefore = ParametersReindexing, "", time.Time{}
	if !s.Reindex {
		s.State, s.EndTime = ParametersDone, now
	}
	return s
}

// ReindexStarted notes the job that reindexes the destination.
func (s SearchParameters) ReindexStarted(statusURL string, notBefore time.Time) SearchParameters {
	s.ReindexURL, s.ReindexStatus = statusURL, ""
	return s.Waiting("", notBefore)
}

// ReindexRuns notes how far the job is.
func (s SearchParameters) ReindexRuns(status string, notBefore time.Time) SearchParameters {
	s.ReindexStatus = status
	return s.Waiting("", notBefore)
}

// ReindexEnded notes that the job has completed.
func (s SearchParameters) ReindexEnded(status string, now time.Time) SearchParameters {
	s.State, s.ReindexStatus, s.EndTime = ParametersDone, status, now
	return s.Waiting("", time.Time{})
}

// ReindexFailed notes a job that failed or is unknown: another is started after notBefore, but maxAttempts at most.
func (s SearchParameters) ReindexFailed(reason string, now, notBefore time.Time, maxAttempts int) SearchParameters {
	s.ReindexURL = ""
	if s.Attempts++; s.Attempts >= maxAttempts {
		s.State, s.EndTime = ParametersFailed, now
	}
	return s.Waiting(reason, notBefore)
}

// Again begins anew, at an operator's wish.
func (s SearchParameters) Again(now time.Time) SearchParameters {
	return SearchParameters{State: ParametersCopying, StartTime: now, Reindex: s.Reindex && s.State != ParametersDone, Export: ParametersExport{Log: s.Export.Log}, etag: s.etag, kept: s.kept}
}

func (s *SearchParameters) row() row { return row{s.columns(), &s.etag, &s.kept} }

func (s *SearchParameters) columns() []column {
	return append(s.Export.columns(),
		textColumn("state", (*string)(&s.State)), textColumn("reason", &s.Reason),
		int32Column("found", &s.Found), int32Column("existing", &s.Existing), int32Column("copied", &s.Copied), int32Column("refused", &s.Refused),
		jsonColumn("refusedParameters", &s.Named, func(r []RefusedParameter) bool { return len(r) == 0 }),
		boolColumn("reindex", &s.Reindex), textColumn("reindexContentLocation", &s.ReindexURL), textColumn("reindexStatus", &s.ReindexStatus),
		int32Column("attempts", &s.Attempts),
		timeColumn("notBefore", &s.NotBefore), timeColumn("StartTime", &s.StartTime), timeColumn("EndTime", &s.EndTime),
	)
}

// maxReason bounds a text of the row, in characters.
const maxReason = 300

func cutTo(s string, limit int) string {
	if r := []rune(s); len(r) > limit {
		return string(r[:limit]) + "..."
	}
	return s
}

func (l *Ledger) searchParametersKey() string { return l.rowKey + "-searchparameters" }

// SearchParameters reads the row of the custom search parameters.
func (l *Ledger) SearchParameters(ctx context.Context) (SearchParameters, error) {
	var s SearchParameters
	err := l.readRow(ctx, l.chunk, l.searchParametersKey(), s.row())
	if errors.Is(err, ErrNotFound) {
		return SearchParameters{State: ParametersCopying}, nil
	}
	return s, err
}

// SaveSearchParameters saves a row that was read or saved before, or inserts it when there was none. ErrConflict: another tick, or our own save
// whose reply was lost; the next tick reads what is there.
func (l *Ledger) SaveSearchParameters(ctx context.Context, s SearchParameters) (SearchParameters, error) {
	err := l.saveRow(ctx, l.chunk, l.searchParametersKey(), s.row())
	return s, err
}

// SearchParametersAt notes on the chunk row how far the custom search parameters are: copied, as the original notes it, and ready, which
// saves every later tick a look at their own row. ok is false when it says so already.
func (c Chunk) SearchParametersAt(copied, ready bool) (_ Chunk, ok bool) {
	if c.SearchParameterMigration == copied && c.SearchParametersReady == ready {
		return c, false
	}
	c.SearchParameterMigration, c.SearchParametersReady = copied, ready
	return c, true
}
