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

// SearchParameter is a custom search parameter. Those of the FHIR specification are no resources and never among them.
type SearchParameter struct {
	ID, URL string
	Raw     string // the resource as the service wrote it
}

// Same says whether both mean the same: they find the same resources by the same name.
func (p SearchParameter) Same(other SearchParameter) bool {
	for _, member := range []string{"code", "type", "base", "expression"} {
		if gjson.Get(p.Raw, member+"|@ugly").Raw != gjson.Get(other.Raw, member+"|@ugly").Raw {
			return false
		}
	}
	return true
}

// SearchParameters reads all custom search parameters, page by page. A retired service answers Gone.
func (s *Service) SearchParameters(ctx context.Context) (all []SearchParameter, err error) {
	err = s.Resources(ctx, "SearchParameter", Current, Period{}, func(page []Resource) error {
		for _, r := range page {
			all = append(all, searchParameterOf(r.ID, r.Raw))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// ReadSearchParameter reads one as an export writes it: a line of JSON.
func ReadSearchParameter(line string) (SearchParameter, error) {
	r := gjson.Parse(line)
	id := r.Get("id").String()
	if !gjson.Valid(line) || r.Get("resourceType").String() != "SearchParameter" || !resourceID.MatchString(id) {
		return SearchParameter{}, errors.New("the line is no SearchParameter with an id")
	}
	return searchParameterOf(id, line), nil
}

func searchParameterOf(id, raw string) SearchParameter {
	return SearchParameter{ID: id, URL: gjson.Get(raw, "url").String(), Raw: raw}
}

// PutSearchParameters writes up to MaxBatch search parameters under their ids in one batch. refused has an entry for each, in order: nil, or
// why it was not written. The entries are worked on one after the other, because services refuse search parameters that are written at the same time.
func (s *Service) PutSearchParameters(ctx context.Context, all []SearchParameter) (refused []error, err error) {
	op := fmt.Sprintf("write %d search parameters", len(all))
	if len(all) > MaxBatch {
		return nil, &Error{Op: op, Kind: Refused, Err: fmt.Errorf("more than %d in one batch", MaxBatch)}
	}
	body, err := putBatch("SearchParameter", all)
	if err != nil {
		return nil, &Error{Op: op, Kind: Refused, Err: err}
	}
	entries, err := s.batch(ctx, op, body, len(all), false)
	if err != nil {
		return nil, err
	}
	for i, e := range entries {
		refused = append(refused, putAnswer("write the search parameter "+line(all[i].URL, maxExcerpt), e))
	}
	return refused, nil
}

func putBatch(typ string, all []SearchParameter) ([]byte, error) {
	type request struct {
		Method string `json:"method"`
		URL    string `json:"url"`
	}
	type entry struct {
		Resource json.RawMessage `json:"resource"`
		Request  request         `json:"request"`
	}
	entries := make([]entry, len(all))
	for i, p := range all {
		if !resourceID.MatchString(p.ID) {
			return nil, fmt.Errorf("%q is no id", line(p.ID, 64))
		}
		entries[i] = entry{json.RawMessage(p.Raw), request{http.MethodPut, typ + "/" + p.ID}}
	}
	return json.Marshal(map[string]any{"resourceType": "Bundle", "type": "batch", "entry": entries})
}

// putAnswer reads one entry of the answer to a batch of writes: nil when it took place.
func putAnswer(op string, e gjson.Result) error {
	text, _, _ := strings.Cut(e.Get("response.status").String(), " ")
	status, err := strconv.Atoi(text)
	switch {
	case err != nil:
		return &Error{Op: op, Kind: Unreadable, Err: fmt.Errorf("status %q in a batch", line(text, 20))}
	case status == http.StatusOK || status == http.StatusCreated:
		return nil
	}
	said, isOutcome := readOutcome([]byte(e.Get("response.outcome").Raw))
	failed := &Error{Op: op, Kind: classify(status, said, isOutcome, false), Status: status}
	if isOutcome {
		found := said.decisive(false)
		failed.Code, failed.Diagnostics = found.Code, found.text()
	}
	return failed
}
