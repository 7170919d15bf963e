package migration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/staging"
	"fhirmigration/sandbox/fhirservice"
)

var parametersEnd = time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)

// kickOffs are the parameters of the exports that were asked for, in their order.
func (r *rig) kickOffs() (all []url.Values) {
	r.t.Helper()
	for _, c := range r.source.Calls() {
		if c.Kind != fhirservice.Export {
			continue
		}
		q, err := url.ParseQuery(c.RawQuery)
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, q)
	}
	return all
}

// T9 with a source that answers exports alone: its search parameters are exported before anything else, over all time, and copied from what came of
// that; nothing is imported before. Whatever goes wrong with that export, they are copied in the end.
func TestT09SearchParametersOfARetiredSource(t *testing.T) {
	t.Parallel()
	failed := &fhirservice.Failure{Status: 500, Reason: "unknown error"}
	for name, test := range map[string]struct {
		fault   fhirservice.Fault
		exports int // of search parameters
		logged  string
	}{
		"all well":               {fhirservice.Fault{Kind: fhirservice.ImportStatus, Times: 1, Status: 503}, 1, ""},
		"an answer of nothing":   {fhirservice.Fault{Kind: fhirservice.Export, Times: 1, EmptyResult: true}, 2, "brought nothing"},
		"a failed export":        {fhirservice.Fault{Kind: fhirservice.Export, Times: 1, FailJob: failed}, 2, "unknown error"},
		"a lost kick-off":        {fhirservice.Fault{Kind: fhirservice.Export, Times: 1, LostReply: true}, 2, "possible orphan export"},
		"a kick-off turned away": {fhirservice.Fault{Kind: fhirservice.Export, Times: 1, Status: 429, RetryAfter: "300"}, 2, ""},
		"a poll turned away":     {fhirservice.Fault{Kind: fhirservice.ExportStatus, After: 3, Times: 1, Status: 503}, 1, ""},
		"an export that hangs":   {fhirservice.Fault{Kind: fhirservice.Export, Times: 1, StuckJob: true}, 2, "no end"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRetired(t, rigOptions{settings: append([]string{"StartDate=2024-01-01", "ExportDeadlineMinutes=60"}, lastYear...)})
			r.seed(parameterVersion(1), extended("p", 1, day(20), "x"))
			r.source.Inject(test.fault)
			for range 100 {
				r.tick()
				if row := r.parameters(); !row.ImportsMayBegin() && r.calls(r.destination, fhirservice.Import) > 0 {
					t.Fatalf("something was imported while the search parameters are %s", row.State)
				}
				if r.chunk().Watermark.Equal(parametersEnd) {
					break
				}
			}
			r.clock.Advance(time.Hour)
			r.wantParametersCopied()
			first, asked := r.kickOffs()[0], 0
			if first.Get("_type") != "SearchParameter" || first.Has("_since") || first.Has("includeAssociatedData") {
				t.Errorf("the first export: %v", first)
			}
			for _, q := range r.kickOffs() {
				if q.Get("_type") != "" {
					asked++
				}
			}
			if row := r.parameters(); asked != test.exports || !strings.Contains(fmt.Sprint(row.Export.Log), test.logged) {
				t.Errorf("%d exports of search parameters, log %v", asked, row.Export.Log)
			}
		})
	}
}

// A source without search parameters of its own: two exports of nothing say so.
func TestRetiredSourceWithoutSearchParameters(t *testing.T) {
	t.Parallel()
	r := newRetired(t, rigOptions{settings: append([]string{"StartDate=2024-01-01"}, lastYear...)})
	r.seed(version("p", 1, day(20), false))
	r.run(parametersEnd)
	if row := r.untilEnded(); row.State != ledger.ParametersDone || row.Found != 0 || !row.Export.Empty {
		t.Errorf("row: %+v", row)
	}
	r.wantEqual()
}

// The source is retired after its first windows were planned, before its search parameters were copied: the import step finds out, and the
// export step has them exported.
func TestSourceIsRetiredBeforeSearchParametersAreCopied(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOptions{source: fhirservice.Options{Kind: fhirservice.Cosmos}, settings: append([]string{"StartDate=2024-01-01"}, lastYear...)})
	r.seed(parameterVersion(1), extended("p", 1, day(20), "x"))
	if _, err := r.ExportStep(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.source.Inject(fhirservice.Fault{Gone: true})
	if _, err := r.ImportStep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if row := r.parameters(); row.State != ledger.ParametersCopying || !r.chunk().ExportOnly {
		t.Fatalf("row: %+v", row)
	}
	r.run(parametersEnd)
	r.wantParametersCopied()
}

// The files of the export are gone before they are read: they are exported again. Search parameters that were copied are copied again on request.
func TestRetiredSourceExportsSearchParametersAgain(t *testing.T) {
	t.Parallel()
	r := newRetired(t, rigOptions{inMemory: true, settings: append([]string{"StartDate=2024-01-01"}, lastYear...)})
	r.seed(parameterVersion(1), extended("p", 1, day(20), "x"))
	gone := 1
	r.Staging = r.Staging.Gated(func(_ context.Context, c staging.Call, do func() error) error {
		if gone > 0 && strings.Contains(c.Blob, "SearchParameter") && !c.Writes() {
			gone--
			return fmt.Errorf("read %s: %w", c.Blob, staging.ErrNotFound)
		}
		return do()
	})
	r.run(parametersEnd)
	r.wantParametersCopied()
	r.seed(parameterVersion(2))
	if err := r.RepeatSearchParameters(t.Context()); err != nil {
		t.Fatal(err)
	}
	if row := r.untilEnded(); row.Found != 2 || row.Existing != 1 || row.Copied != 1 || gone != 0 {
		t.Errorf("row: %+v", row)
	}
}

// A handler dies after each effect of the export of search parameters, or loses the reply to a save: no export runs that nobody knows of.
func TestTheExportOfSearchParametersSurvives(t *testing.T) {
	t.Parallel()
	dies := errors.New("the handler dies")
	for name, lost := range map[string]bool{"before": false, "after": true} {
		for n := range 6 {
			t.Run(fmt.Sprintf("%s save %d", name, n+1), func(t *testing.T) {
				t.Parallel()
				r := newRetired(t, rigOptions{inMemory: true, settings: append([]string{"StartDate=2024-01-01"}, lastYear...)})
				r.seed(parameterVersion(1), extended("p", 1, day(20), "x"))
				saves := 0
				r.Ledger = r.Ledger.Gated(func(_ context.Context, c ledger.Call, do func() error) error {
					if !strings.HasSuffix(c.Row, "-searchparameters") || !c.Writes() {
						return do()
					}
					if saves++; saves != n+1 {
						return do()
					}
					if lost {
						return errors.Join(do(), dies)
					}
					return dies
				})
				for range 60 {
					_, err := r.ExportStep(t.Context())
					_, err2 := r.ImportStep(t.Context())
					if err := errors.Join(err, err2); err != nil && !errors.Is(err, dies) {
						t.Fatal(err)
					}
					r.clock.Advance(3 * time.Minute)
				}
				r.wantParametersCopied()
				started, known := 0, 1
				for _, c := range r.source.Calls() {
					if c.Kind == fhirservice.Export && strings.Contains(c.RawQuery, "_type=") && c.Status == http.StatusAccepted {
						started++
					}
				}
				for _, a := range r.parameters().Export.Log {
					if strings.Contains(a.What, "orphan") {
						known++
					}
				}
				if started > known {
					t.Errorf("%d exports were started, %d are known: %v", started, known, r.parameters().Export.Log)
				}
			})
		}
	}
}
