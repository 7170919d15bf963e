package fhir

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fhirmigration/sandbox/fhirservice"
)

func parameter(n int) SearchParameter {
	p := SearchParameter{ID: fmt.Sprintf("sp-%d", n), URL: fmt.Sprintf("https://contoso.example/sp/%d", n)}
	p.Raw = fmt.Sprintf(`{"resourceType":"SearchParameter","id":%q,"url":%q,"code":"code-%d","status":"active","type":"string","base":["Patient"],"expression":"Patient.name.family"}`,
		p.ID, p.URL, n)
	return p
}

// Written in batches, read over pages, searched by after a reindex: with a service that refuses what the real one refuses.
func TestSearchParametersAndReindex(t *testing.T) {
	t.Parallel()
	b := startSandbox(t, fhirservice.Options{ReindexTime: func(int) time.Duration { return time.Minute }})
	var all []SearchParameter
	for n := range 1001 {
		all = append(all, parameter(n))
	}
	all[3].Raw = strings.Replace(all[3].Raw, ".family", ".first()", 1)
	all[4].Raw = strings.Replace(all[4].Raw, all[4].URL, "http://hl7.org/fhir/SearchParameter/Patient-name", 1)
	for from := 0; from < len(all); from += MaxBatch {
		batch := all[from:min(from+MaxBatch, len(all))]
		refused, err := b.PutSearchParameters(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		for i, err := range refused {
			if wrong := from+i == 3 || from+i == 4; wrong != (KindOf(err) == Refused) || !wrong && err != nil {
				t.Errorf("%s: %v", batch[i].ID, err)
			}
			if err != nil && !strings.Contains(err.Error(), batch[i].URL) {
				t.Errorf("the error does not name the parameter: %v", err)
			}
		}
	}
	if _, err := b.PutSearchParameters(t.Context(), all); KindOf(err) != Refused {
		t.Errorf("1,001 in one batch: %v", err)
	}
	found, err := b.SearchParameters(t.Context())
	if err != nil || len(found) != 999 {
		t.Fatalf("%d read, %v", len(found), err)
	}
	for _, p := range found {
		var n int
		if fmt.Sscanf(p.ID, "sp-%d", &n); !p.Same(parameter(n)) || p.URL != parameter(n).URL || p.Same(parameter(n+1)) {
			t.Errorf("read: %+v", p)
		}
	}

	statusURL, err := b.StartReindex(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := b.StartReindex(t.Context()); err != nil || again != statusURL {
		t.Errorf("started again: %s, %v, want the one that runs, %s", again, err, statusURL)
	}
	refused, err := b.PutSearchParameters(t.Context(), all[:1])
	if err != nil || KindOf(refused[0]) != Refused || !strings.Contains(refused[0].Error(), "409") {
		t.Errorf("written during a reindex: %v, %v", refused, err)
	}
	job, err := b.PollReindex(t.Context(), statusURL)
	if diff := cmp.Diff(Reindex{Status: "Running", Total: 999}, job); diff != "" || err != nil || job.Ended() {
		t.Errorf("running: %v (-want +got):\n%s", err, diff)
	}
	b.clock.Advance(time.Minute)
	if job, err = b.PollReindex(t.Context(), statusURL); err != nil || !job.Completed() || job.String() != "Completed, 999 of 999 resources" {
		t.Errorf("ended: %s, %v", job, err)
	}
	if _, err := b.PollReindex(t.Context(), b.Base()+"/_operations/reindex/77"); KindOf(err) != NotFound {
		t.Errorf("an unknown job: %v", err)
	}
	if _, err := b.PollReindex(t.Context(), "https://elsewhere.example/_operations/export/1"); KindOf(err) != Refused {
		t.Errorf("a status URL of another kind: %v", err)
	}
}

func TestReindexFailureIsRead(t *testing.T) {
	t.Parallel()
	b := startSandbox(t, fhirservice.Options{})
	b.sandbox.Inject(fhirservice.Fault{Kind: fhirservice.Reindex, FailJob: &fhirservice.Failure{Status: 500, Reason: "no more room"}})
	statusURL, err := b.StartReindex(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	job, err := b.PollReindex(t.Context(), statusURL)
	if err != nil || !job.Ended() || job.Completed() || job.Failure != "no more room" {
		t.Errorf("%+v, %v", job, err)
	}
}

// What is no answer to a batch or a poll is an error, never a success.
func TestSearchParametersOddAnswers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, body string
		kind       Kind
	}{
		{"too few entries", `{"resourceType":"Bundle","type":"batch-response","entry":[{"response":{"status":"201"}}]}`, Unreadable},
		{"no status", `{"resourceType":"Bundle","entry":[{"response":{}},{"response":{"status":"201 Created"}}]}`, Unreadable},
		{"throttled", `{"resourceType":"Bundle","entry":[{"response":{"status":"429"}},{"response":{"status":"201 Created"}}]}`, Transient},
		{"forbidden", `{"resourceType":"Bundle","entry":[{"response":{"status":"403"}},{"response":{"status":"200"}}]}`, Forbidden},
		{"HTML", `<html>`, Unreadable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := startOdd(t, reply(http.StatusOK, test.body))
			refused, err := s.PutSearchParameters(t.Context(), []SearchParameter{parameter(1), parameter(2)})
			if err == nil {
				if refused[1] != nil {
					t.Errorf("the second one: %v", refused[1])
				}
				err = refused[0]
			}
			if KindOf(err) != test.kind {
				t.Errorf("%v, want %v", err, test.kind)
			}
		})
	}
	for _, body := range []string{`{}`, `{"resourceType":"Parameters"}`, `[]`, `<html>`} {
		s := startOdd(t, reply(http.StatusOK, body))
		if _, err := s.PollReindex(t.Context(), s.Base()+"/_operations/reindex/1"); KindOf(err) != Unreadable {
			t.Errorf("a poll answered with %s: %v", body, err)
		}
	}
	s := startOdd(t, reply(http.StatusCreated, `{"resourceType":"Parameters"}`))
	if _, err := s.StartReindex(t.Context()); KindOf(err) != Unreadable {
		t.Errorf("a reindex without an address: %v", err)
	}
}
