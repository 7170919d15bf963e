package migration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/preflight"
	"fhirmigration/handler/internal/staging"
	"fhirmigration/sandbox/compare"
	"fhirmigration/sandbox/fhirservice"
)

// somebodyWho is an operator who accepts findings.
var somebodyWho = Caller{By: "dr. who", Reason: "known test records"}

// crowded are n patients of one millisecond.
func crowded(n int, at time.Time) []fhirservice.Version {
	all := make([]fhirservice.Version, n)
	for i := range all {
		all[i] = version(fmt.Sprintf("crowd-%d", i), 1, at, false)
	}
	return all
}

// disordered are versions of one patient of which the first came last, and so contradicts the second; the third is right.
func disordered() []fhirservice.Version {
	return []fhirservice.Version{version("dis", 1, day(10), false), version("dis", 2, day(5), false), version("dis", 3, day(12), false)}
}

// tooLargeNumber is a patient with a number that no index of the service can hold.
func tooLargeNumber(id string, at time.Time) fhirservice.Version {
	v := version(id, 1, at, false)
	v.Raw = bytes.Replace(v.Raw, []byte("1.10"), []byte("12345678901234567890.5"), 1)
	return v
}

// wantAllBut says what is missing at the destination but those that n exceptions name, and that those are right.
func (r *rig) wantAllBut(n int, kind ledger.ExceptionKind) {
	r.t.Helper()
	left := map[string]bool{}
	for _, e := range r.exceptionRows() {
		if e.Kind != kind || e.State != ledger.ExceptionOpen || e.Lines != 1 || e.Line != 0 || !strings.Contains(e.Reason, somebodyWho.Reason) || !strings.Contains(e.File, "Patient-") {
			r.t.Errorf("the exception: %+v", e)
		}
		left[e.ResourceID] = true
	}
	report := compare.Versions(r.source.Versions(), r.destination.Versions())
	if len(left) != n || len(report.Findings) != n {
		r.t.Errorf("%d lines are exceptions and %d versions are missing, want %d", len(left), len(report.Findings), n)
	}
	for _, f := range report.Findings {
		if f.Outcome != compare.Missing || !left[f.ID] {
			r.t.Error(f)
		}
	}
}

// T25: what an import would stumble over is found before the import, or after one that failed, and explained; when an operator accepts that,
// the rest arrives and the lines are exceptions.
func TestT25FoundExplainedAndAccepted(t *testing.T) {
	t.Parallel()
	failed := fhirservice.Fault{Kind: fhirservice.Import, Times: 1, FailJob: &fhirservice.Failure{Status: 400, Reason: "Cannot generate a unique surrogate id"}}
	for name, c := range map[string]struct {
		settings []string
		data     []fhirservice.Version
		fault    fhirservice.Fault
		imports  int // posted before it is found
		explains []string
		left     int
		kind     ledger.ExceptionKind
	}{
		"order of versions, before the import": {
			settings: []string{"Preflight=all"}, data: disordered(),
			explains: []string{"1 × order of versions", "version 1 of 2024-01-11T00:00:00.000Z is not before version 2 of 2024-01-06T00:00:00.000Z"},
			left:     1, kind: ledger.Conflict,
		},
		"12,000 in one millisecond, before the import": {
			settings: []string{"Preflight=all", "MaxExceptionsPerWindow=2000"}, data: crowded(12_000, day(3)),
			explains: []string{"2000 × too many in one millisecond", "more than 10000 lines were changed at 2024-01-04T00:00:00.000Z"},
			left:     2000, kind: ledger.Invalid,
		},
		"12,000 in one millisecond, after an import that failed": {
			settings: []string{"MaxExceptionsPerWindow=2000"}, data: crowded(12_000, day(3)), fault: failed, imports: 1,
			explains: []string{"2000 × too many in one millisecond"},
			left:     2000, kind: ledger.Invalid,
		},
		"a number that fails the import": {
			data: []fhirservice.Version{tooLargeNumber("huge", day(4)), version("b", 1, day(6), false)}, imports: 1,
			explains: []string{"1 × number too large", "by hand"},
			left:     1, kind: ledger.Invalid,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{settings: append(c.settings, rangeRun...)})
			r.seed(c.data...)
			r.load(3, day(2), time.Hour)
			if c.fault.FailJob != nil {
				r.destination.Inject(c.fault)
			}
			r.run(rangeEnd)
			w := r.window(1)
			if w.Phase() != ledger.Held || r.calls(r.destination, fhirservice.Import) != c.imports {
				t.Fatalf("the window is %s after %d imports", w.Phase(), r.calls(r.destination, fhirservice.Import))
			}
			for _, part := range append(c.explains, "Patient-", " line ", "POST /api/Windows/1/acceptFindings", "_findings.ndjson") {
				if !strings.Contains(w.HeldReason, part) {
					t.Errorf("%q is not explained: %s", part, w.HeldReason)
				}
			}
			if value := "12345678901234567890.5"; strings.Contains(w.HeldReason+fmt.Sprint(w.AttemptLog), value) || r.log.with(value) > 0 {
				t.Errorf("what a resource says is on the row or in the log: %s %v", w.HeldReason, w.AttemptLog)
			}
			if _, err := r.AcceptFindings(t.Context(), 1, somebodyWho); err != nil {
				t.Fatal(err)
			}
			if _, err := r.AcceptFindings(t.Context(), 1, somebodyWho); !errors.Is(err, ErrNotNow) {
				t.Errorf("accepted twice: %v", err)
			}
			r.run(rangeEnd)
			if w = r.window(1); w.Phase() != ledger.Done || w.RefusedCount != int64(c.left) || w.Imported()+w.RefusedCount != w.ExportedLines() {
				t.Errorf("%s is %s: %d refused, %d imported of %d; %v", w.Name(), w.Phase(), w.RefusedCount, w.Imported(), w.ExportedLines(), w.AttemptLog)
			}
			r.wantAllBut(c.left, c.kind)
		})
	}
}

// The blob of findings tells the value that is wrong, so that an operator need not look the line up.
func TestFindingsBlobTellsTheValue(t *testing.T) {
	t.Parallel()
	l := preflight.New(true)
	l.Line(preflight.Place{}, tooLargeNumber("huge", day(4)).Raw, day(5))
	text := string(findingsText(l, func(int) string { return "Patient-1.ndjson" }))
	if !strings.Contains(text, `"value":"12345678901234567890.5"`) || !strings.Contains(text, `"file":"Patient-1.ndjson","line":1,`) {
		t.Error(text)
	}
}

// Versions that contradict one another do not fail an import. After one that failed for something else they are told, and it goes on:
// the service refuses what it will, and that becomes exceptions.
func TestT25OrderIsToldAfterAFailure(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: rangeRun})
	r.seed(disordered()...)
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, FailJob: &fhirservice.Failure{Status: 400, Reason: "a conflict after retries"}})
	r.run(rangeEnd)
	w := r.window(1)
	if w.Phase() != ledger.Done || w.RefusedCount == 0 || !strings.Contains(fmt.Sprint(w.AttemptLog), "order of versions") {
		t.Errorf("%s, %d refused, %v", w.Phase(), w.RefusedCount, w.AttemptLog)
	}
	if rows := r.exceptionRows(); len(rows) != int(w.RefusedCount) || rows[0].Kind != ledger.Conflict {
		t.Errorf("exceptions: %+v", rows)
	}
}

// A failure that names no file, or one of storage, blames no line: nothing is read. Neither is it when the setting is off.
func TestNoLookWithoutBlame(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		failure  fhirservice.Failure
		settings []string
	}{
		"500":   {failure: fhirservice.Failure{Status: 500, Reason: "unknown"}},
		"off":   {failure: fhirservice.Failure{Status: 400, Reason: "overflow"}, settings: []string{"Preflight=off"}},
		"a 409": {failure: fhirservice.Failure{Status: 409, Reason: "conflict"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{settings: append(c.settings, rangeRun...)})
			r.load(3, day(1), time.Hour)
			r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, FailJob: &c.failure})
			r.run(rangeEnd)
			if w := r.window(1); w.Preflight.Look != 0 || w.Attempts != 1 {
				t.Errorf("%+v after %d attempts", w.Preflight, w.Attempts)
			}
			r.wantEqual()
		})
	}
}

// What is found and released without being accepted: with the setting off the lines are imported as they are.
func TestFindingsReleasedUnaccepted(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: append([]string{"Preflight=all"}, rangeRun...)})
	r.seed(crowded(10_001, day(3))...)
	r.run(rangeEnd)
	release := func() {
		if _, err := r.ReleaseWindow(t.Context(), 1, somebodyWho); err != nil {
			t.Fatal(err)
		}
	}
	release()
	r.run(rangeEnd)
	if w := r.window(1); w.Phase() != ledger.Held || w.Preflight.Look != 2 {
		t.Fatalf("released as it is, it is looked at again: %s, %+v", w.Phase(), w.Preflight)
	}
	release()
	r.Migration = r.handler("Preflight=off")
	r.run(rangeEnd)
	r.wantEqual()
}

// gated lets m's calls to storage go through a gate.
func (r *rig) gated(table ledger.Gate, blob staging.Gate) *Migration {
	m := r.handler()
	if table != nil {
		m.Ledger = m.Ledger.Gated(table)
	}
	if blob != nil {
		m.Staging = m.Staging.Gated(blob)
	}
	return m
}

// exportFirst ticks the export timer until the first window is exported.
func (r *rig) exportFirst() {
	r.t.Helper()
	for range 20 {
		if _, err := r.ExportStep(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
		r.clock.Advance(3 * time.Minute)
		if len(r.chunk().Open) > 0 && r.window(1).Phase() == ledger.Exported {
			return
		}
	}
	r.t.Fatal("the first window is not exported")
}

// A look that does not fit into a tick goes on where it stopped, with what it has seen: contradictions are found across files and ticks.
func TestALookGoesOnInTheNextTick(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{source: fhirservice.Options{LinesPerFile: 2}, settings: append([]string{"Preflight=all"}, rangeRun...)})
	r.seed(disordered()...)
	r.load(8, day(6), time.Hour)
	r.exportFirst()
	paused := 0
	for range 30 {
		w := r.window(1)
		if w.Phase() == ledger.Held {
			break
		}
		ctx, cancel := context.WithCancel(t.Context())
		reads := 0
		m := r.gated(nil, func(_ context.Context, c staging.Call, do func() error) error {
			if c.Op == "read" && strings.HasPrefix(c.Container, "export-") {
				if reads++; reads == 2 { // the tick's time is over in its second file
					cancel()
				}
			}
			return do()
		})
		_, err := m.ImportStep(ctx)
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if reads > 2 {
			t.Fatalf("%d files were read in a tick", reads)
		}
		if w = r.window(1); w.Preflight.State == ledger.PreflightLooking {
			paused++
			body, err := r.Staging.Look(t.Context(), w.ExportID, w.Preflight.Look)
			if err != nil {
				t.Fatal(err)
			}
			l, err := preflight.Load(body)
			if err != nil || l.Next.File != paused || l.Lines != int64(2*paused) {
				t.Fatalf("paused %d times: at file %d after %d lines, %v", paused, l.Next.File, l.Lines, err)
			}
		}
		cancel()
	}
	w := r.window(1)
	if w.Phase() != ledger.Held || paused < 3 || !strings.Contains(w.HeldReason, "1 × order of versions") {
		t.Fatalf("%s after %d pauses: %s", w.Phase(), paused, w.HeldReason)
	}
	where := strings.SplitN(w.HeldReason[strings.Index(w.HeldReason, "every finding is in ")+len("every finding is in "):], ".ndjson", 2)[0] + ".ndjson"
	var told struct{ File, Finding, WhatToDo string }
	container, name, _ := strings.Cut(where, "/")
	_ = r.Staging.Lines(t.Context(), r.emulator.BlobURL()+"/"+container+"/"+name, 0, func(line string) (bool, error) {
		return false, json.Unmarshal([]byte(line), &told)
	})
	if !strings.Contains(told.File, "Patient-") || told.Finding != string(preflight.Order) || told.WhatToDo == "" {
		t.Errorf("the findings: %+v", told)
	}
}

// T12: a handler dies before and after each write between a look and the end of the import without the lines that were left out; the next one
// ends as it would have.
func TestT12APreflightDiesAtEveryEffect(t *testing.T) {
	t.Parallel()
	migrate := func(t *testing.T, dieAt int, after bool) (writes int) {
		t.Helper()
		r := newRig(t, rigOptions{inMemory: true, source: fhirservice.Options{LinesPerFile: 2}, settings: append([]string{"FileCount=2", "Preflight=all"}, rangeRun[:3]...)})
		r.seed(tooLargeNumber("huge", day(4)), tooLargeNumber("huge2", day(7)))
		r.load(5, day(2), 24*time.Hour)
		r.exportFirst()
		alive := r.Migration
		var turn sync.Mutex // calls are made side by side, and a write may read while it is under way
		dead := false
		gate := func(writing bool, do func() error) error {
			turn.Lock()
			if writing && !dead {
				writes++
			}
			dies := writing && writes == dieAt && !dead
			dead = dead || dies && !after
			gone := dead
			turn.Unlock()
			if gone {
				return errKilled
			}
			err := do()
			turn.Lock()
			defer turn.Unlock()
			if dead = dead || dies; dead {
				return errKilled
			}
			return err
		}
		mortal := r.gated(func(_ context.Context, c ledger.Call, do func() error) error { return gate(c.Writes(), do) },
			func(_ context.Context, c staging.Call, do func() error) error { return gate(c.Writes(), do) })
		r.Migration = mortal
		accepted := false
		for range 60 {
			if _, err := r.ExportStep(t.Context()); err != nil && !dead {
				t.Fatal(err)
			}
			if _, err := r.ImportStep(t.Context()); err != nil && !dead {
				t.Fatal(err)
			}
			r.Migration = alive
			c := r.chunk()
			if len(c.Open) > 0 && r.window(1).Phase() == ledger.Held && !accepted {
				accepted = true
				if _, err := r.AcceptFindings(t.Context(), 1, somebodyWho); err != nil {
					t.Fatal(err)
				}
			}
			if c.Watermark.Equal(rangeEnd) {
				break
			}
			if !dead {
				r.Migration = mortal
			}
			r.clock.Advance(2*time.Minute + time.Second)
		}
		if c := r.chunk(); !c.Watermark.Equal(rangeEnd) || c.Totals.Refused != 2 || c.Totals.Imported != 5 {
			t.Errorf("it dies at write %d (after it: %v): %+v", dieAt, after, c)
		}
		r.wantAllBut(2, ledger.Invalid)
		return writes
	}
	writes := migrate(t, 0, false)
	if writes < 12 {
		t.Fatalf("%d writes", writes)
	}
	for n := 1; n <= writes; n += crashEvery {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("write %d, after it: %v", n, after), func(t *testing.T) {
				t.Parallel()
				migrate(t, n, after)
			})
		}
	}
}
