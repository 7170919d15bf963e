package verify

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/sandbox/fhirservice"
)

func TestDeepCheckOfEqualServices(t *testing.T) {
	t.Parallel()
	for _, history := range []string{"true", "false"} {
		for _, kind := range []string{"sql", "cosmos"} {
			t.Run(kind+" history "+history, func(t *testing.T) {
				t.Parallel()
				options := []string{"ExportWithHistory=" + history}
				if kind == "cosmos" {
					options = append(options, "cosmos")
				}
				r := newRig(t, options...)
				data := clinic(300)
				load(t, r.source, data)
				load(t, r.destination, data)
				r.migrated()
				report := r.check(Request{Kind: Deep, All: true})
				want := int64(len(data))
				if history == "false" {
					want = 3 * (300 - 12) // every 25th is deleted
				}
				if report.Counts[Equal] != want || report.Counts.Sum() != want || report.Findings != 0 {
					t.Errorf("%v, %d findings, want %d equal: %s", report.Counts, report.Findings, want, report.Verdict)
				}
			})
		}
	}
}

func TestT07DifferencesAreReportedWithPathAndKind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, old, new, pointer string }{
		{"1.10 against 1.1", "1.10", "1.1", "/valueQuantity/value"},
		{"20 digits cut to 18", "12345678901234567890", "12345678901234567900", "/extension/0/valueDecimal"},
		{"10:00+02:00 against 08:00Z", "10:00:00+02:00", "08:00:00Z", "/effectiveDateTime"},
		{"a security label", `"security":[{"code":"R"}]`, `"security":[{"code":"N"}]`, "/meta/security/0/code"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			load(t, r.source, spoilable())
			load(t, r.destination, spoil(c.old, c.new)(spoilable()))
			r.migrated()
			report := r.check(Request{Kind: Deep, All: true})
			r.wantFinding(report, true, "observation-5", Different, c.pointer, Changed)
			row := report.DeepCheck[0].ResourceNotMatched[0]
			if row.Resource != "Observation" || row.ID != "observation-5" || row.Compared || row.Differences[0].Pointer != c.pointer {
				t.Errorf("answered %+v", row)
			}
		})
	}
}

func TestT08FailedCallsAreNeitherMatchNorMismatch(t *testing.T) {
	t.Parallel()
	for _, kind := range []fhirservice.Operation{fhirservice.Search, fhirservice.Count, fhirservice.Batch, fhirservice.History, fhirservice.HistoryCount} {
		for _, status := range []int{http.StatusNotFound, http.StatusTooManyRequests, http.StatusServiceUnavailable} {
			t.Run(fmt.Sprint(kind, " ", status), func(t *testing.T) {
				t.Parallel()
				history := kind == fhirservice.History || kind == fhirservice.HistoryCount
				r := newRig(t, fmt.Sprintf("ExportWithHistory=%t", history))
				load(t, r.source, clinic(20))
				load(t, r.destination, drop("claim-11", "")(clinic(20)))
				r.migrated()

				r.destination.Inject(fhirservice.Fault{Kind: kind, Times: 2, Status: status})
				passing := r.check(Request{Kind: Deep, All: true})
				if passing.Counts[Missing] != 1 || passing.Counts.Wrong() != 1 || passing.Counts[NotVerifiable] != 0 {
					t.Errorf("a fault that passes: %v, %v", passing.Counts, passing.Reasons)
				}
				r.destination.Inject(fhirservice.Fault{Kind: kind, Status: status})
				lasting := r.check(Request{Kind: Deep, All: true})
				if kind != fhirservice.Batch && (lasting.Counts[Equal] != 0 || lasting.Counts.Wrong() != 0) || lasting.Counts[NotVerifiable] == 0 || len(lasting.Reasons) == 0 {
					t.Errorf("a fault that stays: %v, %v", lasting.Counts, lasting.Reasons)
				}
				if lasting.Counts.Wrong() != 0 || strings.HasPrefix(lasting.Verdict, "equal") {
					t.Errorf("a fault that stays is called a difference or equal: %s", lasting.Verdict)
				}
			})
		}
	}
}

func TestT23ExtraStrayAndHardDeletedAreReported(t *testing.T) {
	t.Parallel()
	for _, history := range []string{"true", "false"} {
		t.Run("history "+history, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "ExportWithHistory="+history)
			data := clinic(40)
			load(t, r.source, data)
			load(t, r.destination, data)
			r.migrated()
			// A hard delete at the source before the cutover, one stray write after it at the source and one at the destination.
			call(t, http.MethodDelete, r.source.URL()+"/Claim/claim-11?hardDelete=true", "")
			call(t, http.MethodPut, r.source.URL()+"/Patient/patient-1", `{"resourceType":"Patient","id":"patient-1","active":false}`)
			call(t, http.MethodPut, r.destination.URL()+"/Patient/stray", `{"resourceType":"Patient","id":"stray"}`)

			report := r.check(Request{Kind: Deep, All: true})
			outcomes := map[string]Finding{}
			for _, f := range r.all(report) {
				outcomes[f.ID] = f
			}
			if f := outcomes["claim-11"]; f.Outcome != Extra || !strings.Contains(f.Proposal, "DELETE Claim/claim-11") {
				t.Errorf("hard deleted: %s, proposed %q", f, f.Proposal)
			}
			if f := outcomes["stray"]; f.Outcome != Extra {
				t.Errorf("stray write at the destination: %s", f)
			}
			if report.ChangedAtSource != 1 || len(report.Changes) != 1 || !strings.HasPrefix(report.Changes[0], "Patient/patient-1 version 2 written") {
				t.Errorf("stray write at the source: %d, %q", report.ChangedAtSource, report.Changes)
			}
			if len(outcomes) != 2 {
				t.Errorf("found %v", outcomes)
			}
			for _, c := range r.destination.Calls() {
				if c.Kind == fhirservice.Write && !strings.HasSuffix(c.Path, "stray") {
					t.Errorf("the check wrote: %+v", c)
				}
			}
		})
	}
}

func TestT24ALostActiveVersionIsFoundThoughTheCountsAgree(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	data := clinic(40)
	load(t, r.source, data)
	load(t, r.destination, drop("patient-13", "3")(data))
	r.migrated()
	surface := r.check(Request{Kind: Surface})
	if surface.Counts.Wrong() != 0 {
		t.Fatalf("the counts differ: %v", surface.Counts)
	}
	report := r.check(Request{Kind: Deep, All: true})
	found := r.all(report)
	if len(found) != 1 || found[0].ID != "patient-13" || found[0].Outcome != Different {
		t.Errorf("found %v", found)
	}
}

func TestSourceThatMovedOnIsNotADifference(t *testing.T) {
	t.Parallel()
	for _, history := range []string{"true", "false"} {
		r := newRig(t, "ExportWithHistory="+history)
		data := clinic(40)
		load(t, r.source, data)
		load(t, r.destination, data)
		r.migrated()
		call(t, http.MethodPut, r.source.URL()+"/Patient/patient-1", `{"resourceType":"Patient","id":"patient-1","active":false}`)
		call(t, http.MethodDelete, r.source.URL()+"/Patient/patient-2", "")
		report := r.check(Request{Kind: Deep, All: true})
		if report.Counts.Wrong() != 0 || report.Counts[NotVerifiable] != 0 || report.Counts[Equal] == 0 {
			t.Errorf("history %s: %v %v", history, report.Counts, r.all(report))
		}
	}
}

func TestLargeSlicesAreCut(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var data []fhirservice.Version
	for i := range 20_000 {
		data = append(data, version("Observation", fmt.Sprint("o-", i), 1, day0.Add(time.Duration(i)*time.Second), ""))
	}
	load(t, r.source, data)
	load(t, r.destination, drop("o-12345", "")(data))
	r.migrated()
	report := r.check(Request{Kind: Deep, All: true})
	if report.Counts[Equal] != 19_999 || report.Counts[Missing] != 1 || report.Counts.Sum() != 20_000 {
		t.Errorf("%v", report.Counts)
	}
	if report.Progress.Done != 20_000 || report.Progress.Of != 20_000 {
		t.Errorf("progress %+v", report.Progress)
	}
}

// TestManyInOneMillisecond: time alone does not tell them apart.
func TestManyInOneMillisecond(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var data []fhirservice.Version
	for i := range 12_000 {
		data = append(data, version("Observation", fmt.Sprint("o-", i), 1, day0, ""))
	}
	load(t, r.source, data)
	shuffled := append(data[6000:], data[:6000]...)
	load(t, r.destination, drop("o-77", "")(shuffled))
	r.migrated()
	report := r.check(Request{Kind: Deep, All: true})
	if report.Counts[Equal] != 11_999 || report.Counts[Missing] != 1 || report.Counts.Sum() != 12_000 {
		t.Errorf("%v", report.Counts)
	}
}

func TestSharedDataIsEqual(t *testing.T) {
	t.Parallel()
	for _, source := range []SourceOf{Live, Staged} {
		for _, history := range []string{"true", "false"} {
			t.Run(fmt.Sprint(source, ", history ", history), func(t *testing.T) {
				t.Parallel()
				data := sharedData(t)
				if data == nil {
					data = clinic(100) // FHIR_TEST_DATA names the folder of more
					if source == Live && history == "false" {
						data = slices.DeleteFunc(data, func(v fhirservice.Version) bool { return v.VersionID != "1" })
					}
				}
				r := newRig(t, "ExportWithHistory="+history)
				load(t, r.source, data)
				load(t, r.destination, data)
				r.stage(data, 1000)
				report := r.check(Request{Kind: Deep, All: true, Source: source})
				if report.Counts[Equal] != int64(len(data)) || report.Counts.Sum() != int64(len(data)) || report.State != ledger.RunDone {
					t.Errorf("%v, want %d equal: %v", report.Counts, len(data), report.Reasons)
				}
			})
		}
	}
}

func call(t testing.TB, method, url, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/fhir+json")
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	reply.Body.Close()
	if reply.StatusCode >= 300 {
		t.Fatalf("%s %s: %d", method, url, reply.StatusCode)
	}
}

// What the destination got after the last window could not be looked at: that is neither equal nor a difference, and no proof.
func TestStrayWritesThatCannotBeLookedForAreNotVerifiable(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	data := clinic(20)
	load(t, r.source, data)
	load(t, r.destination, append(data, version("Patient", "late", 1, watermark.Add(time.Hour), "")))
	r.migrated()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Method == http.MethodGet && q.URL.Path == "/" { // across all types
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		r.destination.ServeHTTP(w, q)
	}))
	defer server.Close()
	r.Verify = r.handler(r.source.URL(), server.URL)
	report := r.check(Request{Kind: Deep, All: true})
	if report.Counts[NotVerifiable] != 1 || report.ByType[newer][NotVerifiable] != 1 || report.Counts.Wrong() != 0 || !strings.HasPrefix(report.Verdict, "no difference found, but 1 not verifiable") {
		t.Errorf("%s: %v", report.Verdict, report.ByType)
	}
}
