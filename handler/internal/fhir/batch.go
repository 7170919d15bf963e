package fhir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// MaxBatch is how many requests one batch bundle may hold.
const MaxBatch = 500

// Answer is what one request of a batch got: the body of a 200, or an error of the same kinds as a call of its own would have.
type Answer struct {
	Raw string
	Err error
}

// Gone says that the resource or version that was asked for is a deletion. (A retired service answers 410 too, but to whole calls.)
func (a Answer) Gone() bool {
	var e *Error
	return errors.As(a.Err, &e) && e.Status == http.StatusGone
}

// Resources reads the answer to a search or history; a next page is not followed.
func (a Answer) Resources() ([]Resource, error) {
	if a.Err != nil {
		return nil, a.Err
	}
	page, err := parsePage(a.Raw, nil)
	if err != nil {
		return nil, &Error{Op: "read an answer of a batch", Kind: Unreadable, Err: err}
	}
	return page.resources, nil
}

// Total reads the answer to a count.
func (a Answer) Total() (int64, error) {
	if a.Err != nil {
		return 0, a.Err
	}
	total := gjson.Get(a.Raw, "total")
	if total.Type != gjson.Number || total.Int() < 0 {
		return 0, &Error{Op: "read an answer of a batch", Kind: Unreadable, Err: errors.New("the bundle has no total")}
	}
	return total.Int(), nil
}

// VersionURL is the request for one version of a resource, NewestURL for its newest state in a period, as a history of at most one
// entry, and CountURL for a count of a type: for a Batch.
func VersionURL(typ, id, version string) string { return typ + "/" + id + "/_history/" + version }

// NewestURL is described with VersionURL.
func NewestURL(typ, id string, p Period) string {
	return typ + "/" + id + "/_history?_count=1&_sort=-_lastUpdated" + sinceBefore(p)
}

// CountURL is described with VersionURL.
func CountURL(typ string, v View, p Period) string {
	if v == Versions {
		return typ + "/_history?_summary=count" + sinceBefore(p)
	}
	return typ + "?_summary=count" + lastUpdated(p)
}

// Batch makes up to MaxBatch GET requests, given as URLs below the base, in one call. The answers are in the order of urls.
func (s *Service) Batch(ctx context.Context, urls []string) ([]Answer, error) {
	op := fmt.Sprintf("batch of %d reads", len(urls))
	if len(urls) > MaxBatch {
		return nil, &Error{Op: op, Kind: Refused, Err: fmt.Errorf("more than %d requests", MaxBatch)}
	}
	if len(urls) == 0 {
		return nil, nil
	}
	entries, err := s.batch(ctx, op, batchBody(urls), len(urls), true)
	if err != nil {
		return nil, err
	}
	answers := make([]Answer, len(entries))
	for i, e := range entries {
		answers[i] = s.batchAnswer(urls[i], e)
	}
	return answers, nil
}

// batch posts a bundle of as many requests, worked on side by side or one after the other, and returns the entry that answers each.
func (s *Service) batch(ctx context.Context, op string, body []byte, requests int, parallel bool) ([]gjson.Result, error) {
	a, err := s.do(ctx, call{op: op, method: http.MethodPost, path: "/", body: body, contentType: "application/fhir+json", accept: "application/fhir+json",
		parallel: parallel, want: []int{http.StatusOK}})
	if err != nil {
		return nil, err
	}
	defer a.close()
	text, err := a.read(maxBundle)
	switch {
	case errors.Is(err, errPageTooLong):
		return nil, a.unreadable("longer than is ever asked for")
	case err != nil:
		return nil, err
	case !gjson.Valid(text):
		return nil, a.unreadable("not valid JSON, or cut off")
	}
	if typ := gjson.Get(text, "resourceType"); typ.Str != "Bundle" {
		return nil, a.unreadable(fmt.Sprintf("resourceType is %q, not Bundle", line(typ.String(), 64)))
	}
	entries := gjson.Get(text, "entry").Array()
	if len(entries) != requests {
		return nil, a.unreadable(fmt.Sprintf("%d answers to %d requests", len(entries), requests))
	}
	return entries, nil
}

func batchBody(urls []string) []byte {
	type request struct {
		Method string `json:"method"`
		URL    string `json:"url"`
	}
	type entry struct {
		Request request `json:"request"`
	}
	entries := make([]entry, len(urls))
	for i, u := range urls {
		entries[i].Request = request{http.MethodGet, u}
	}
	body, _ := json.Marshal(map[string]any{"resourceType": "Bundle", "type": "batch", "entry": entries}) // texts alone: cannot fail
	return body
}

// batchAnswer reads one entry. A status that cannot be read says nothing, so the answer is as good as none.
func (s *Service) batchAnswer(url string, e gjson.Result) Answer {
	op := "read " + line(url, maxExcerpt)
	text, _, _ := strings.Cut(e.Get("response.status").String(), " ")
	status, err := strconv.Atoi(text)
	resource := e.Get("resource")
	switch {
	case err != nil:
		return Answer{Err: &Error{Op: op, Kind: Unreadable, Err: fmt.Errorf("status %q in a batch", line(text, 20))}}
	case status == http.StatusOK && !resource.IsObject():
		return Answer{Err: &Error{Op: op, Kind: Unreadable, Status: status, Err: errors.New("an answer without a resource")}}
	case status == http.StatusOK:
		return Answer{Raw: resource.Raw}
	}
	said, isOutcome := readOutcome([]byte(e.Get("response.outcome").Raw))
	failed := &Error{Op: op, Kind: classify(status, said, isOutcome, false), Status: status}
	if isOutcome {
		found := said.decisive(false)
		failed.Code, failed.Diagnostics = found.Code, found.text()
	}
	return Answer{Err: failed}
}
