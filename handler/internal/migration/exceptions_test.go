package migration

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/staging"
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

// refusedLine is a migration that has ended with one line refused for no reason.
func refusedLine(t *testing.T, settings ...string) (*rig, ledger.Exception) {
	t.Helper()
	r := newRig(t, rigOptions{settings: append(settings, rangeRun...)})
	r.load(20, day(1), time.Hour)
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, RefuseLines: 1})
	for _, s := range settings {
		if file, ok := strings.CutPrefix(s, "ConfigFile="); ok {
			r.putConfiguration(file, "{}")
		}
	}
	r.run(rangeEnd)
	rows := r.exceptionRows()
	if len(rows) != 1 {
		t.Fatalf("exceptions: %+v", rows)
	}
	return r, rows[0]
}

// A line is not posted again while settings that must not change half-way differ: it would go elsewhere, or as another import than the rest.
func TestARefusedLineIsNotPostedWithChangedSettings(t *testing.T) {
	t.Parallel()
	r, e := refusedLine(t)
	other, err := fhirservice.Start(t.Context(), fhirservice.Options{Clock: r.clock.Now, StorageConnectionString: r.emulator.ConnectionString()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	for _, changed := range [][]string{{"DestinationUri=" + other.URL()}, {"SourceUri=" + other.URL()}, {"ImportMode=InitialLoad"}, {"IsExportDeidentified=true", "ConfigFile=x.json"}} {
		posts := r.calls(r.destination, fhirservice.Import)
		name, _, _ := strings.Cut(changed[0], "=")
		_, err := r.handler(changed...).RetryException(t.Context(), e.ID)
		r.wantNotNow(name, err, name+" was")
		if n := r.calls(other, fhirservice.Import) + r.calls(r.destination, fhirservice.Import) - posts; n != 0 {
			t.Errorf("with another %s it is posted", name)
		}
	}
	if now := r.exceptionRows()[0]; now.Posts != 0 || now.State != ledger.ExceptionOpen {
		t.Errorf("%+v", now)
	}
}

// A line that was exported with a de-identification configuration that is not the one any more is not posted again.
func TestARefusedLineOfAnOldConfigurationIsNotPosted(t *testing.T) {
	t.Parallel()
	r, e := refusedLine(t, "IsExportDeidentified=true", "ConfigFile=refused-line.json")
	r.putConfiguration("refused-line.json", `{"fhirPathRules":[]}`)
	if _, err := r.AcceptSettings(t.Context(), somebody); err != nil {
		t.Fatal(err)
	}
	posts := r.calls(r.destination, fhirservice.Import)
	_, err := r.RetryException(t.Context(), e.ID)
	r.wantNotNow("with another configuration", err, "not de-identified with refused-line.json")
	if n := r.calls(r.destination, fhirservice.Import) - posts; n != 0 {
		t.Error("it is posted")
	}
}

// An import that has taken another file than that of the line, as its result says, has not taken the line.
func TestARefusedLineIsTakenWhenTheResultNamesIt(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		output string
		want   ledger.ExceptionState
	}{
		"another file": {`{"type":"Patient","count":1,"inputUrl":"https://elsewhere.blob.core.windows.net/export/Patient-1-1.ndjson"}`, ledger.ExceptionOpen},
		"two files":    {`{"type":"Patient","count":1,"inputUrl":"https://elsewhere.blob.core.windows.net/export/Patient-1-1.ndjson"},{"type":"Patient","count":0,"inputUrl":%q}`, ledger.ExceptionOpen},
		"its file":     {`{"type":"Patient","count":1,"inputUrl":%q}`, ledger.ExceptionImported},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, e := refusedLine(t)
			if _, err := r.RetryException(t.Context(), e.ID); err != nil {
				t.Fatal(err)
			}
			posted := e.File[:strings.LastIndex(e.File, "/")+1] + "exception_" + e.ID + "_post_1.ndjson"
			output := strings.ReplaceAll(test.output, "%q", strconv.Quote(posted))
			r.destination.Inject(fhirservice.Fault{Kind: fhirservice.ImportStatus, Times: 1, Status: http.StatusOK, ContentType: "application/fhir+json",
				Body: `{"transactionTime":"2025-01-01T00:00:00Z","request":"x","output":[` + output + `],"error":[]}`})
			r.clock.Advance(2*time.Minute + time.Second)
			if _, err := r.ImportStep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := r.exceptionRows()[0]; got.State != test.want || test.want == ledger.ExceptionOpen && !strings.Contains(got.Reason, posted) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// T3: what the books refuse and no error log names is an exception of an unknown kind, however many logs a file has, and whether they are not there or
// say less.
func TestT03LinesThatNoErrorLogNamesAreExceptions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		log   func(content []byte) []byte // nil: it is not there
		named int
	}{
		"no log":        {nil, 0},
		"an empty log":  {func([]byte) []byte { return nil }, 0},
		"a log cut off": {func(content []byte) []byte { return content[:bytes.IndexByte(content, '\n')+1] }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, rigOptions{inMemory: true, settings: rangeRun})
			const lines, long = 14, 1 << 20 // a processing unit has 10 MB: so there are two, each with a log of its own
			for i := range lines {
				v := version(strconv.Itoa(i), 1, day(1).Add(time.Duration(i)*time.Hour), false)
				v.Raw = bytes.Replace(v.Raw, []byte("Family"), bytes.Repeat([]byte("F"), long), 1)
				r.seed(v)
			}
			r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, RefuseLines: lines})
			logs := map[string]bool{}
			r.Migration = r.gated(nil, func(_ context.Context, call staging.Call, do func() error) error {
				if call.Container != "fhirlogs" {
					return do()
				}
				logs[call.Blob] = true
				if c.log == nil {
					return staging.ErrNotFound
				}
				content, _ := r.memory.blobs.Get(call.Container, call.Blob)
				r.memory.blobs.Put(call.Container, call.Blob, c.log(content))
				return do()
			})
			r.run(rangeEnd)
			w, counted, named := r.window(1), int64(0), 0
			for _, e := range r.exceptionRows() {
				counted += e.Lines
				if e.Line >= 0 {
					named++
				} else if e.Kind != ledger.UnknownKind || !strings.Contains(e.Reason, "lines of the file were refused that the error log does not name") {
					t.Errorf("%+v", e)
				}
			}
			if len(logs) != 2 || w.Phase() != ledger.Done || w.RefusedCount != lines || counted != lines || named != c.named*len(logs) {
				t.Errorf("the window is %s with %d lines refused; %d logs; the exceptions are of %d lines, %d of them named", w.Phase(), w.RefusedCount, len(logs), counted, named)
			}
		})
	}
}

// T10: lines that are refused when unbalanced files are imported again are exceptions, also when others of those files do not balance that time,
// either, and so another import is the last one.
func TestT10LinesRefusedInBetweenAreExceptions(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{inMemory: true, source: fhirservice.Options{LinesPerFile: 10}, settings: rangeRun})
	r.load(30, day(1), time.Hour)
	r.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, ShortImport: 11}) // two files do not balance
	again := fhirservice.Fault{Kind: fhirservice.Import, After: 1, Times: 1, RefuseLines: 10}    // the first one does
	r.destination.Inject(again)
	again.RefuseLines, again.ShortImport = 0, 1 // the second one does not
	r.destination.Inject(again)
	r.run(rangeEnd)
	if w := r.window(1); w.Phase() != ledger.Held || len(w.Payloads[0].Only) != 1 || w.Payloads[0].Refused != 10 {
		t.Fatalf("the window is %s: %+v", w.Phase(), w.Payloads)
	}
	if _, err := r.ReleaseWindow(t.Context(), 1, somebodyWho); err != nil {
		t.Fatal(err)
	}
	r.run(rangeEnd)
	w, lines := r.window(1), int64(0)
	for _, e := range r.exceptionRows() {
		lines += e.Lines
		if e.Kind != ledger.UnknownKind || !strings.Contains(e.Reason, "refused by an import before the last one") {
			t.Errorf("%+v", e)
		}
	}
	if w.Phase() != ledger.Done || w.RefusedCount != 10 || lines != 10 {
		t.Errorf("the window is %s with %d lines refused, the exceptions are of %d", w.Phase(), w.RefusedCount, lines)
	}
}

// More refused lines than get a row: the others are counted.
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

// A worker of the service that is restarted may leave each entry of an error log twice. A line is an exception once all the same, and the books
// balance by the counts.
func TestRepeatedErrorLogNamesALineOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{settings: rangeRun})
	r.load(20, day(1), time.Minute)
	r.destination.Inject(fhirservice.Fault{RefuseLines: 3, Times: 1})
	r.destination.Inject(fhirservice.Fault{RepeatLog: true, Times: 1})
	r.run(rangeEnd)
	rows := r.exceptionRows()
	lines := map[int64]bool{}
	for _, e := range rows {
		lines[e.Line] = true
	}
	if w := r.window(1); w.Phase() != ledger.Done || w.RefusedCount != 3 || len(rows) != 3 || len(lines) != 3 || lines[ledger.Unknown] {
		t.Errorf("%s, %d refused, exceptions %+v", w.Phase(), w.RefusedCount, rows)
	}
}
