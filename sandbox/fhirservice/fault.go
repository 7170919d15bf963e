package fhirservice

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Fault is a misbehaviour on request. It waits for calls of its Kind: the first After of them pass, the next Times are hit. A fault with an effect on jobs
// counts the jobs that are created (a repeated import that gets its old job back creates none), the others count calls; the entries of a batch count as
// calls of their own kinds. Beside Delay a fault has exactly one effect.
type Fault struct {
	Kind  Operation `json:"kind,omitempty"`  // "": every kind, or the one kind that the effect makes sense for
	Type  string    `json:"type,omitempty"`  // "": every call, or those alone whose path begins with this resource type; not with an effect on jobs
	After int       `json:"after,omitempty"` // calls or jobs to let pass first
	Times int       `json:"times,omitempty"` // calls or jobs to hit then; 0: for ever

	// Effects on a call.

	Delay       time.Duration `json:"-"`                     // wall time before anything happens; in JSON "delay" as 1.5s
	Status      int           `json:"status,omitempty"`      // this answer instead of the operation
	Code        string        `json:"code,omitempty"`        // with Status: the issue code; default: the usual one of the status
	Body        string        `json:"body,omitempty"`        // with Status: this body instead of an OperationOutcome
	ContentType string        `json:"contentType,omitempty"` // of Body or NotFHIR
	RetryAfter  string        `json:"retryAfter,omitempty"`  // with Status: the header as it stands; 429 has 1 by default
	LostReply   bool          `json:"lostReply,omitempty"`   // the operation takes place, then the connection is cut
	ForeignHost string        `json:"foreignHost,omitempty"` // scheme://host put into the Content-Location of a kick-off or the next link of a bundle
	Gone        bool          `json:"gone,omitempty"`        // the deprecated state of Cosmos services: 410 for everything but the calls that belong to exports
	NotFHIR     string        `json:"notFHIR,omitempty"`     // this body with status 200 instead of the operation

	// Effects on a job; Kind is Export, Import or, for the first two, Reindex.

	StuckJob      bool     `json:"stuckJob,omitempty"`      // the job never ends
	FailJob       *Failure `json:"failJob,omitempty"`       // the job ends as failed; of an import, all units but the last are committed before
	EmptyResult   bool     `json:"emptyResult,omitempty"`   // an export ends as completed with an empty output, cancelled by itself
	ShortManifest bool     `json:"shortManifest,omitempty"` // an export leaves one file out of its manifest
	RefuseLines   int      `json:"refuseLines,omitempty"`   // an import refuses that many good lines, with entries in the error log
	ShortImport   int      `json:"shortImport,omitempty"`   // an import drops that many good lines, counted nowhere
	LoseLines     int      `json:"loseLines,omitempty"`     // an import counts that many good lines as imported and does not store them
	RepeatLog     bool     `json:"repeatLog,omitempty"`     // an import writes each entry of its error logs twice, as the restart of a worker may
	FlipByte      bool     `json:"flipByte,omitempty"`      // an import changes one byte of the content of one resource that it stores
}

// Failure is how a job fails.
type Failure struct {
	Status int    `json:"status"` // HTTP status that the status endpoint replays
	Reason string `json:"reason"`
}

// UnmarshalJSON refuses unknown fields, because a misspelt fault would test nothing.
func (f *Fault) UnmarshalJSON(data []byte) error {
	type plain Fault
	wire := struct {
		*plain
		Delay string `json:"delay"`
	}{plain: (*plain)(f)}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&wire); err != nil {
		return err
	}
	if wire.Delay == "" {
		return nil
	}
	var err error
	f.Delay, err = time.ParseDuration(wire.Delay)
	return err
}

// MarshalJSON writes what UnmarshalJSON reads.
func (f Fault) MarshalJSON() ([]byte, error) {
	type plain Fault
	wire := struct {
		plain
		Delay string `json:"delay,omitempty"`
	}{plain: plain(f)}
	if f.Delay != 0 {
		wire.Delay = f.Delay.String()
	}
	return json.Marshal(wire)
}

// effectScope tells faults that meet a call from faults that meet a job.
type effectScope int

const (
	callEffects effectScope = iota
	jobEffects
)

func (f *Fault) jobEffects() int {
	return count(f.StuckJob, f.FailJob != nil, f.EmptyResult, f.ShortManifest, f.RefuseLines > 0, f.ShortImport > 0, f.LoseLines > 0, f.RepeatLog, f.FlipByte)
}

func (f *Fault) callEffects() int {
	return count(f.Status != 0, f.LostReply, f.ForeignHost != "", f.Gone, f.NotFHIR != "")
}

func count(conditions ...bool) int {
	n := 0
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}

// complete checks the fault and fills in the kind that its effect implies.
func (f *Fault) complete() error {
	ofJob, ofCall := f.jobEffects(), f.callEffects()
	switch {
	case f.Kind != "" && !slices.Contains(operations, f.Kind):
		return fmt.Errorf("kind %q is none of %v", f.Kind, operations)
	case f.Type != "" && (ofJob > 0 || !isResourceType(f.Type)):
		return fmt.Errorf("type %q: name a resource type, and an effect on calls", f.Type)
	case f.After < 0 || f.Times < 0 || f.Delay < 0 || f.RefuseLines < 0 || f.ShortImport < 0 || f.LoseLines < 0:
		return errors.New("a number is negative")
	case ofJob+ofCall > 1:
		return errors.New("it has more than one effect: inject one fault for each")
	case ofJob+ofCall == 0 && f.Delay == 0:
		return errors.New("it has no effect")
	case ofJob > 0 && f.Delay > 0:
		return errors.New("a delay hits calls, the other effect hits jobs: inject one fault for each")
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		return fmt.Errorf("status %d: want 200 to 599", f.Status)
	case f.Status == 0 && (f.Code != "" || f.Body != "" || f.RetryAfter != ""):
		return errors.New("code, body and retryAfter need a status")
	case f.FailJob != nil && (f.FailJob.Status < 400 || f.FailJob.Status > 599):
		return fmt.Errorf("failing job: status %d: want 400 to 599", f.FailJob.Status)
	}
	if f.ForeignHost != "" {
		if u, err := url.Parse(f.ForeignHost); err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" {
			return fmt.Errorf("foreign host %q: want scheme://host", f.ForeignHost)
		}
	}
	return f.completeKind()
}

func (f *Fault) completeKind() error {
	var only Operation
	switch {
	case f.EmptyResult || f.ShortManifest:
		only = Export
	case f.RefuseLines > 0 || f.ShortImport > 0 || f.LoseLines > 0 || f.RepeatLog || f.FlipByte:
		only = Import
	case f.StuckJob || f.FailJob != nil:
		if f.Kind != Export && f.Kind != Import && f.Kind != Reindex {
			return errors.New("a job that is stuck or fails needs the kind export, import or reindex")
		}
	}
	if only != "" && f.Kind == "" {
		f.Kind = only
	}
	if only != "" && f.Kind != only {
		return fmt.Errorf("the effect is one of %s jobs, not of %s", only, f.Kind)
	}
	return nil
}

// faults are those that were injected and not cleared.
type faults struct {
	kind Kind // of the service

	mu   sync.Mutex
	list []*armed
}

type armed struct {
	Fault
	seen int
}

func (s *faults) add(f Fault) error {
	if err := f.complete(); err != nil {
		return err
	}
	if f.Gone && s.kind != Cosmos { // RuntimeState is ignored on SQL services: they are always active
		return fmt.Errorf("gone: a service of kind %s is never retired, only one of kind %s", s.kind, Cosmos)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, &armed{Fault: f})
	return nil
}

func (s *faults) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = nil
}

// takeCall counts a call on every fault that waits for its kind, and returns those that hit it.
func (s *faults) takeCall(op Operation, q *request) hits {
	return s.take(op, q.segment(0), callEffects)
}

// takeJob does the same for a job that is created.
func (s *faults) takeJob(op Operation) hits { return s.take(op, "", jobEffects) }

func (s *faults) take(op Operation, typ string, scope effectScope) hits {
	s.mu.Lock()
	defer s.mu.Unlock()
	var hit hits
	for _, a := range s.list {
		if a.Kind != "" && a.Kind != op || a.Type != "" && a.Type != typ || (a.jobEffects() > 0) != (scope == jobEffects) {
			continue
		}
		a.seen++
		if a.seen > a.After && (a.Times == 0 || a.seen <= a.After+a.Times) {
			hit = append(hit, a.Fault)
		}
	}
	return hit
}
