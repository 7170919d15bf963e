package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"fhirmigration/handler/internal/ledger"
)

// Report is how a run is. Its JSON is what the HTTP functions answer; the members SurfaceCheck and DeepCheck have the shape of the durable original, and
// say more.
type Report struct {
	Run     int             `json:"run"`
	Kind    Kind            `json:"kind"`
	URL     string          `json:"url"`
	State   ledger.RunState `json:"state"`
	Reason  string          `json:"reason,omitempty"`
	Verdict string          `json:"verdict"` // the outcome in a sentence

	Source   string    `json:"source"` // what stood for the source
	Compared string    `json:"compared"`
	Since    time.Time `json:"since,omitzero"`
	Till     time.Time `json:"till"`
	Seed     int64     `json:"seed,omitempty"`
	Started  time.Time `json:"started"`
	Ended    time.Time `json:"ended,omitzero"`

	Full          bool  `json:"full,omitempty"`          // a DeepCheck of everything, with nothing left out
	ExportedLines int64 `json:"exportedLines,omitempty"` // of the windows that were closed when it started

	Progress Progress `json:"progress"`
	Counts   Counts   `json:"counts,omitempty"`

	TypesChecked    int               `json:"typesChecked,omitempty"` // by SurfaceCheck, with those that neither side has
	ByType          map[string]Counts `json:"byType,omitempty"`
	Reasons         []string          `json:"notVerifiableBecause,omitempty"`
	ChangedAtSource int64             `json:"changedAtSourceSinceTill,omitempty"` // versions; -1: not known
	Changes         []string          `json:"changes,omitempty"`                  // the first of them

	Searches *Searches `json:"searches,omitempty"` // by custom search parameters, with count=all

	SurfaceCheck []SurfaceResult `json:"SurfaceCheck,omitempty"`
	DeepCheck    []DeepResult    `json:"DeepCheck,omitempty"`

	Findings     int64    `json:"findings,omitempty"`        // kept, in FindingBlobs
	NotKept      int64    `json:"findingsNotKept,omitempty"` // counted only
	FindingBlobs []string `json:"findingBlobs,omitempty"`    // in the container migration-checks, NDJSON
}

// Progress is how far a run is.
type Progress struct {
	Done        int64   `json:"done"`
	Of          int64   `json:"of"`
	Unit        string  `json:"unit"`
	SecondsLeft float64 `json:"secondsLeft,omitempty"`
}

// SurfaceResult lists types by what became of them.
type SurfaceResult struct {
	ResourceMatched    []TypeCount
	ResourceNotMatched []TypeCount
	NotVerifiable      []TypeCount
	SourceTotal        int64
	DestinationTotal   int64
	DifferentWindows   []WindowCount `json:",omitempty"`
}

// DeepResult lists resources by what became of them, up to a hundred of each kind.
type DeepResult struct {
	ResourceMatched    []DeepRow
	ResourceNotMatched []DeepRow
	NotVerifiable      []DeepRow
}

// DeepRow is a resource in the original's shape, with what was found of it.
type DeepRow struct {
	Resource    string
	ID          string `json:"id"`
	Compared    bool
	VersionID   string       `json:"versionId,omitempty"`
	Outcome     Outcome      `json:"outcome"`
	Differences []Difference `json:"differences,omitempty"`
	Note        string       `json:"note,omitempty"`
	Proposal    string       `json:"proposal,omitempty"`
}

// report reads a run's row and as many of its findings as are shown.
func (v *Verify) report(ctx context.Context, run ledger.Run) (Report, error) {
	j, err := v.newJob(run)
	if err != nil {
		return Report{}, err
	}
	r := Report{
		Run: run.Number, Kind: Kind(run.Kind), URL: fmt.Sprintf("/api/%s?run=%d", eventOf(Kind(run.Kind)), run.Number), State: run.State, Reason: run.Reason,
		Full: j.request.Plan.Full, ExportedLines: j.request.Plan.Exported, Source: string(j.request.Source), Compared: "current resources", Since: j.request.Since, Till: j.request.Till,
		Started: run.StartTime, Ended: run.EndTime, Counts: j.result.Counts, ByType: j.result.ByType, Reasons: j.result.Reasons,
		ChangedAtSource: j.result.ChangedAtSource, Changes: j.result.Changes, Searches: j.result.Searches, Findings: j.result.Findings, NotKept: j.result.Dropped, FindingBlobs: j.result.Blobs,
	}
	if j.request.Plan.View != 0 || j.request.Source == Staged {
		r.Compared = "versions"
	}
	if j.request.Plan.Manifests {
		r.Source = "the manifests of the exports, as the source only lets data be exported"
	}
	if r.Kind == Surface {
		j.reportSurface(&r)
	} else {
		r.Seed = run.Seed
		err = j.reportDeep(ctx, &r)
	}
	r.Verdict = r.verdict()
	return r, err
}

func (j *job) reportSurface(r *Report) {
	r.ByType = nil // each type once, below
	r.TypesChecked = len(j.request.Types) - len(j.cursor.Types)
	r.Progress = j.progress(int64(r.TypesChecked), int64(len(j.request.Types)), "types")
	s := SurfaceResult{DifferentWindows: j.result.Windows, ResourceMatched: []TypeCount{}, ResourceNotMatched: []TypeCount{}, NotVerifiable: []TypeCount{}}
	for _, c := range slices.SortedFunc(slices.Values(j.result.Surface), func(a, b TypeCount) int { return cmp.Compare(a.Resource, b.Resource) }) {
		switch c.Outcome {
		case Equal:
			s.ResourceMatched = append(s.ResourceMatched, c)
		case NotVerifiable:
			s.NotVerifiable = append(s.NotVerifiable, c)
		default:
			s.ResourceNotMatched = append(s.ResourceNotMatched, c)
		}
		s.SourceTotal += max(c.SourceCount, 0)
		s.DestinationTotal += max(c.DestinationCount, 0)
	}
	r.SurfaceCheck = []SurfaceResult{s}
}

func (j *job) reportDeep(ctx context.Context, r *Report) error {
	r.Progress = j.progress(j.result.Counts.Sum(), j.result.Expected, "resources")
	d := DeepResult{ResourceMatched: []DeepRow{}, ResourceNotMatched: []DeepRow{}, NotVerifiable: []DeepRow{}}
	err := j.findings(ctx, j.result.Blobs, func(f Finding) bool {
		list := &d.ResourceNotMatched
		switch f.Outcome {
		case Equal, Superseded:
			list = &d.ResourceMatched
		case NotVerifiable:
			list = &d.NotVerifiable
		}
		if len(*list) < maxShownRows {
			*list = append(*list, DeepRow{f.Type, f.ID, f.Outcome == Equal, f.VersionID, f.Outcome, f.Differences, f.Note, f.Proposal})
		}
		return len(d.ResourceMatched) < maxShownRows || len(d.ResourceNotMatched) < maxShownRows || len(d.NotVerifiable) < maxShownRows
	})
	r.DeepCheck = []DeepResult{d}
	return err
}

// progress says how far a run is, and how long the rest takes at the pace so far.
func (j *job) progress(n, of int64, unit string) Progress {
	p := Progress{Done: n, Of: max(of, n), Unit: unit}
	if took := j.run.Updated.Sub(j.run.StartTime).Seconds(); !j.run.Ended() && n > 0 && took > 0 {
		p.SecondsLeft = float64(p.Of-n) * took / float64(n)
	}
	return p
}

// verdict says the outcome in a sentence. Nothing compared is not called equal.
func (r Report) verdict() string {
	wrong, unknown := r.Counts.Wrong(), r.Counts[NotVerifiable]
	switch {
	case r.State == ledger.RunRunning:
		return fmt.Sprintf("running; so far %d differences", wrong)
	case r.State != ledger.RunDone:
		return string(r.State)
	case wrong > 0:
		return fmt.Sprintf("%d differences, %d equal, %d not verifiable", wrong, r.Counts[Equal], unknown)
	case unknown > 0:
		return fmt.Sprintf("no difference found, but %d not verifiable; %d equal", unknown, r.Counts[Equal])
	case r.Counts.Sum() == 0:
		return "there was nothing to compare"
	}
	return fmt.Sprintf("equal: %d compared", r.Counts.Sum())
}

func (r Report) line() string {
	return fmt.Sprintf("run %d %s: %s, %d of %d %s", r.Run, r.Kind, r.State, r.Progress.Done, r.Progress.Of, r.Progress.Unit)
}

// LastFull is the report of the last DeepCheck of everything that has come to its end. found is false when there is none among the newest runs.
func (v *Verify) LastFull(ctx context.Context) (r Report, found bool, _ error) {
	checks, err := v.Ledger.Checks(ctx)
	if err != nil {
		return r, false, err
	}
	for n := checks.NextRun - 1; n > 0 && n >= checks.NextRun-newestRuns; n-- {
		run, err := v.Ledger.Run(ctx, n)
		if errors.Is(err, ledger.ErrNotFound) {
			continue
		}
		if err != nil {
			return r, false, err
		}
		if Kind(run.Kind) != Deep || run.State != ledger.RunDone {
			continue
		}
		brief, err := v.Brief(run) // without the findings, which are in blobs
		if err != nil {
			return r, false, err
		}
		if brief.Full {
			r, err = v.report(ctx, run)
			return r, err == nil, err
		}
	}
	return r, false, nil
}

// newestRuns is how many runs are looked through for the last full one.
const newestRuns = 100

// Differences hands the differences that a run has found to yield, until it wants no more. Report.NotKept says how many were counted only.
func (v *Verify) Differences(ctx context.Context, r Report, yield func(Finding) bool) error {
	return v.findings(ctx, r.FindingBlobs, func(f Finding) bool { return !f.Outcome.wrong() || yield(f) })
}
