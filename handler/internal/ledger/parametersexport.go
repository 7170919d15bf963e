package ledger

import (
	"slices"
	"time"
)

// ParametersExport is the export of the custom search parameters of a source that answers exports alone. It is kept in the row of the search
// parameters and has no window: its files are read, not imported.
type ParametersExport struct {
	ClaimOwner   string // somebody is about to start it
	ClaimedUntil time.Time
	StatusURL    string // of the job that runs
	ID           string
	StartTime    time.Time
	UnknownPolls int
	Empty        bool // it has brought nothing once, which is no proof
	Done         bool // its manifest is saved under ID
	Log          []Attempt
}

// ExportNeeded says whether the search parameters of an export-only source are still to be exported.
func (s SearchParameters) ExportNeeded() bool {
	return (s.State == ParametersCopying || s.State == ParametersDeferred) && !s.Export.Done
}

// ExportBegun says whether the source has accepted the export, or need not any more.
func (s SearchParameters) ExportBegun() bool {
	return s.Export.StatusURL != "" || s.Export.Empty || !s.ExportNeeded() || s.State == ParametersDeferred
}

// ExportClaimed reserves the export for owner, who is about to start it. ok is false when somebody else is. Taking over a claim that ran
// out records that its owner may have started an export that nobody knows.
func (s SearchParameters) ExportClaimed(owner string, now, until time.Time) (_ SearchParameters, ok bool) {
	if !s.ExportNeeded() || s.Export.StatusURL != "" || s.Export.ClaimOwner != "" && now.Before(s.Export.ClaimedUntil) {
		return s, false
	}
	if s.Export.ClaimOwner != "" {
		s = s.exportLogged(now, "possible orphan export: the claim of "+s.Export.ClaimOwner+" ran out without a status URL")
	}
	s.Export.ClaimOwner, s.Export.ClaimedUntil = owner, until
	return s, true
}

// ExportDropped gives the claim back after a kick-off that was refused, or that may have been lost (orphan: it is recorded).
func (s SearchParameters) ExportDropped(reason string, orphan bool, now, notBefore time.Time) SearchParameters {
	if orphan {
		s = s.exportLogged(now, "possible orphan export: "+reason)
	}
	s.Export.ClaimOwner, s.Export.ClaimedUntil = "", time.Time{}
	return s.Waiting(reason, notBefore)
}

// ExportStarted: the source accepted the export for the owner of the claim. ok is false when the claim is somebody else's by now.
func (s SearchParameters) ExportStarted(owner, statusURL, id string, now, notBefore time.Time) (_ SearchParameters, ok bool) {
	if s.Export.ClaimOwner != owner || s.Export.StatusURL != "" || !s.ExportNeeded() {
		return s, false
	}
	s.Export.ClaimOwner, s.Export.ClaimedUntil = "", time.Time{}
	s.Export.StatusURL, s.Export.ID, s.Export.StartTime, s.Export.UnknownPolls = statusURL, id, now, 0
	return s.Waiting("", notBefore), true
}

// ExportUnknown: the source did not know the job. Once may be a blip.
func (s SearchParameters) ExportUnknown(notBefore time.Time) SearchParameters {
	s.Export.UnknownPolls++
	return s.Waiting(s.Reason, notBefore)
}

// ExportNothing: the export brought nothing. It is started once more.
func (s SearchParameters) ExportNothing(now, notBefore time.Time) SearchParameters {
	s = s.exportLogged(now, "export "+s.Export.ID+" brought nothing, again")
	s.Export.StatusURL, s.Export.ID, s.Export.Empty = "", "", true
	return s.Waiting("", notBefore)
}

// ExportEnded: the manifest of the export is saved under its id.
func (s SearchParameters) ExportEnded() SearchParameters {
	s.Export.StatusURL, s.Export.Done = "", true
	return s.Waiting("", time.Time{})
}

// ExportFailed puts copying off, so that imports need not wait for it; the export is started again after notBefore.
func (s SearchParameters) ExportFailed(reason string, now, notBefore time.Time) SearchParameters {
	s = s.exportLogged(now, "export "+s.Export.ID+": "+reason)
	s.Export = ParametersExport{Log: s.Export.Log}
	return s.Deferred("the search parameters could not be exported: "+reason, notBefore)
}

// ExportOrphan notes an export that was started, that the row does not name, and that could not be cancelled.
func (s SearchParameters) ExportOrphan(statusURL string, now time.Time) SearchParameters {
	return s.exportLogged(now, "orphan export: "+statusURL)
}

func (s SearchParameters) exportLogged(now time.Time, what string) SearchParameters {
	log := append(slices.Clone(s.Export.Log), Attempt{At: now.UTC().Truncate(time.Millisecond), What: cutTo(what, attemptText)})
	s.Export.Log = log[max(0, len(log)-attemptsKept):]
	return s
}

func (e *ParametersExport) columns() []column {
	return []column{
		textColumn("exportClaimOwner", &e.ClaimOwner), timeColumn("exportClaimedUntil", &e.ClaimedUntil),
		textColumn("exportContentLocation", &e.StatusURL), textColumn("exportId", &e.ID), timeColumn("exportStartTime", &e.StartTime),
		int32Column("exportUnknownPolls", &e.UnknownPolls), boolColumn("exportEmpty", &e.Empty), boolColumn("exportDone", &e.Done),
		jsonColumn("exportLog", &e.Log, func(l []Attempt) bool { return len(l) == 0 }),
	}
}
