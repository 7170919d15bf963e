package migration

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/sandbox/fhirservice"
)

// conflicting puts version v at the destination with another content: its line will be refused.
func (r *rig) conflicting(v fhirservice.Version) {
	r.t.Helper()
	v.Raw = bytes.Replace(v.Raw, []byte("Family"), []byte("Other"), 1)
	if err := r.destination.Load(v); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) exceptionRows() []ledger.Exception {
	r.t.Helper()
	all, err := r.Ledger.Exceptions(r.t.Context(), "", 10_000)
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// T3: an import ends 200 with one line of 10,000 refused. The line is found and listed, the window is done and says so; posted
// again alone it is refused again while the conflict is there; somebody accepts it.
func TestT03RefusedLineIsAnException(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: rangeRun})
	r.load(10_000, day(1), time.Minute)
	victim := r.source.Versions()[4711]
	r.conflicting(victim)
	r.run(rangeEnd)
	w := r.window(1)
	if w.Phase() != ledger.Done || w.RefusedCount != 1 || w.FailedImports != "Patient:1" || w.ImportedCount != "9999" || !strings.Contains(w.FailureReason, "fhirlogs") {
		t.Errorf("the window: %s, %d refused, %q, %q", w.Phase(), w.RefusedCount, w.FailedImports, w.FailureReason)
	}
	rows := r.exceptionRows()
	if len(rows) != 1 {
		t.Fatalf("exceptions: %+v", rows)
	}
	e := rows[0]
	if e.ResourceType != "Patient" || e.ResourceID != victim.ID || e.Kind != ledger.Conflict || e.State != ledger.ExceptionOpen || e.Window != 1 || e.Lines != 1 ||
		!strings.Contains(e.File, "Patient-") || e.Reason == "" {
		t.Errorf("the exception: %+v", e)
	}
	posted, err := r.RetryException(t.Context(), e.ID)
	if err != nil || posted.State != ledger.ExceptionPosted {
		t.Fatalf("posted again: %v %+v", err, posted)
	}
	if _, err := r.RetryException(t.Context(), e.ID); !errors.Is(err, ErrNotNow) {
		t.Errorf("posted again while it is: %v", err)
	}
	r.tick()
	r.tick()
	if e = r.exceptionRows()[0]; e.State != ledger.ExceptionOpen || e.Posts != 1 || !strings.Contains(e.Reason, "conflict") {
		t.Errorf("refused again: %+v", e)
	}
	if c, _ := r.Ledger.Control(t.Context()); len(c.Retrying) != 0 {
		t.Errorf("still followed: %v", c.Retrying)
	}
	if _, err := r.AcceptException(t.Context(), e.ID, "dr. who", "a test record"); err != nil {
		t.Error(err)
	}
	if e = r.exceptionRows()[0]; e.State != ledger.ExceptionAccepted || e.By != "dr. who" || e.Note != "a test record" {
		t.Errorf("accepted: %+v", e)
	}
	if _, err := r.RetryException(t.Context(), e.ID); !errors.Is(err, ErrNotNow) {
		t.Errorf("an accepted one is posted: %v", err)
	}
	if _, err := r.AcceptException(t.Context(), "0000000001-none", "me", "why"); !errors.Is(err, ErrNoException) {
		t.Errorf("an exception that is not there: %v", err)
	}
}

// A line that was refused by accident is taken when it is posted again, and then everything is there.
func TestARefusedLineIsTakenWhenItIsPostedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{source: fhirservice.Options{LinesPerFile: 5}, settings: rangeRun})
	r.load(20, day(1), time.Hour)
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, RefuseLines: 3})
	r.run(rangeEnd)
	rows := r.exceptionRows()
	if len(rows) != 3 {
		t.Fatalf("%d exceptions", len(rows))
	}
	for _, e := range rows {
		if _, err := r.RetryException(t.Context(), e.ID); err != nil {
			t.Fatal(err)
		}
	}
	r.tick()
	r.tick()
	for _, e := range r.exceptionRows() {
		if e.State != ledger.ExceptionImported {
			t.Errorf("%+v", e)
		}
	}
	r.wantEqual()
}

// More refused lines than get a row: the others are counted. A log that says less than the books: counted as unknown.
func TestExceptionsAreCapped(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: append([]string{"MaxExceptionsPerWindow=4"}, rangeRun...)})
	r.load(50, day(1), time.Hour)
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, RefuseLines: 30})
	r.run(rangeEnd)
	var lines int64
	for _, e := range r.exceptionRows() {
		lines += e.Lines
	}
	if rows := r.exceptionRows(); len(rows) != 5 || lines != 30 || r.window(1).RefusedCount != 30 {
		t.Errorf("%d rows for %d lines", len(rows), lines)
	}
}

// What cannot be done with an exception is refused: a line that is not the one that was named is never posted.
func TestALineThatIsNotTheOneIsNotPosted(t *testing.T) {
	t.Parallel()
	e := ledger.Exception{ID: "x", File: "https://a/c/Patient-1-1.ndjson", ResourceID: "p1"}
	for line, want := range map[string]string{
		`{"resourceType":"Patient","id":"p2"}`: "is Patient/p2, not p1",
		`{"resourceType":`:                     "is no JSON",
	} {
		if err := isLineOf([]byte(line), e); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", line, err)
		}
	}
	if err := isLineOf([]byte(`{"resourceType":"Patient","id":"p1"}`), e); err != nil {
		t.Error(err)
	}
}

func TestKindsOfRefusals(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]ledger.ExceptionKind{
		"Failed to import duplicate resource, resource id: a, line: 3":             ledger.AlreadyThere,
		"Failed to import resource with version conflict, resource id: a, line: 3": ledger.Conflict,
		"Failed to parse the line: unexpected end":                                 ledger.Invalid,
		"The resource is too large":                                                ledger.TooLarge,
		"something else":                                                           ledger.UnknownKind,
	} {
		if got := kindOfRefusal(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
