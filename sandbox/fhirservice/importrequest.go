package fhirservice

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// importDefinition is what an import is told to do. Two kick-offs with equal definitions are the same import.
type importDefinition struct {
	Request         string        `json:"request"` // the URL of the kick-off
	Inputs          []importInput `json:"inputs"`
	Format          string        `json:"format"`
	Source          string        `json:"source"` // never used for anything
	Storage         string        `json:"storage"`
	InitialLoad     bool          `json:"initialLoad"`
	AllowNegative   bool          `json:"allowNegative"`
	Eventual        bool          `json:"eventual"`
	ErrorContainer  string        `json:"errorContainer"`
	UnitBytesToRead int           `json:"unitBytesToRead"`
}

type importInput struct {
	Type string `json:"type"` // "": any
	URL  string `json:"url"`
	ETag string `json:"etag"` // as it is, without quotes: with them it is another one; "": any
}

const (
	defaultUnitBytes      = 10_000_000
	defaultErrorContainer = "fhirlogs"
)

// importData answers POST /$import. A body that was posted before gets the job it got then, whatever has become of it.
func (s *Service) importData(_ context.Context, q *request) (*reply, error) {
	if p := q.header.Values("Prefer"); len(p) != 1 || p[0] != "respond-async" {
		return nil, badRequest("Value supplied for the \"Prefer\" header is not supported: send respond-async alone.")
	}
	if t := q.header.Get("Content-Type"); !strings.Contains(t, "application/fhir+json") {
		return nil, badRequest("Value supplied for the \"Content-Type\" header is not supported: send application/fhir+json.")
	}
	if s.o.Kind == Cosmos {
		return nil, badRequest("The requested \"import\" operation is not enabled.")
	}
	d, err := s.parseImport(q)
	if err != nil {
		return nil, err
	}
	hash := sha1.Sum(encode(d))
	s.schedule.mu.Lock()
	defer s.schedule.mu.Unlock()
	j := s.schedule.registered[hex.EncodeToString(hash[:])]
	if j == nil {
		j = &job{op: Import, request: q.full}
		w := &importWork{service: s, job: j, definition: d, faults: s.faults.takeJob(Import)}
		j.work, j.stuck = w, w.faults.stuck()
		s.schedule.registered[hex.EncodeToString(hash[:])] = j
		s.schedule.addLocked(j)
	}
	return accepted(q, "import", j.id), nil
}

// parseImport validates the body in the order of the service.
func (s *Service) parseImport(q *request) (*importDefinition, error) {
	if !gjson.ValidBytes(q.body) || gjson.GetBytes(q.body, "resourceType").String() != "Parameters" {
		return nil, badRequest("The body of an import request must be a Parameters resource.")
	}
	p := parameters(gjson.GetBytes(q.body, "parameter").Array())
	d := &importDefinition{
		Request: q.full, Format: p.value("inputFormat"), Source: p.value("inputSource"), Storage: p.part("storageDetail", "type"),
		AllowNegative: p.value("allowNegativeVersions") == "true", Eventual: p.value("eventualConsistency") == "true",
		ErrorContainer: p.value("errorContainerName"), UnitBytesToRead: defaultUnitBytes,
	}
	if d.Format != "application/fhir+ndjson" {
		return nil, badRequest("The value '%s' of inputFormat is not supported: use application/fhir+ndjson.", d.Format)
	}
	if d.Storage == "" {
		d.Storage = "azure-blob"
	}
	if d.Storage != "azure-blob" {
		return nil, badRequest("The storage type '%s' is not supported: use azure-blob.", d.Storage)
	}
	for _, input := range p.all("input") {
		parts := parameters(input.Get("part").Array())
		d.Inputs = append(d.Inputs, importInput{Type: parts.value("type"), URL: parts.value("url"), ETag: parts.value("etag")})
	}
	if err := s.checkInputs(d.Inputs); err != nil {
		return nil, err
	}
	if n := p.value("processingUnitBytesToRead"); n != "" {
		var err error
		if d.UnitBytesToRead, err = strconv.Atoi(n); err != nil || d.UnitBytesToRead <= 0 || d.UnitBytesToRead > math.MaxInt32 {
			return nil, badRequest("The value '%s' of processingUnitBytesToRead is not a whole number above 0.", n)
		}
	}
	return d, s.checkMode(d, p.value("mode"), p.value("force") == "true")
}

func (s *Service) checkMode(d *importDefinition, mode string, force bool) error {
	switch strings.ToLower(mode) {
	case "", "incrementalload":
		return nil
	case "initialload":
		d.InitialLoad = true
	default:
		return badRequest("The import mode '%s' is not recognized: use InitialLoad or IncrementalLoad.", mode)
	}
	if !s.o.InitialImportMode && !force {
		return badRequest("InitialLoad is only possible while the server is in initial-import mode, or with force.")
	}
	return nil
}

func (s *Service) checkInputs(inputs []importInput) error {
	if len(inputs) == 0 {
		return badRequest("There is no input in the import request.")
	}
	if s.blobs == nil {
		return badRequest("The server has no storage account for imports: %v", errNoAccount)
	}
	seen := map[string]bool{}
	for _, input := range inputs {
		if input.URL != "" && seen[input.URL] {
			return badRequest("The input URL %s is given more than once.", input.URL)
		}
		seen[input.URL] = true
	}
	account, err := url.Parse(s.blobs.base)
	if err != nil {
		return err
	}
	for _, input := range inputs {
		if err := input.check(account); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(inputs, func(i importInput) bool { return i.Type == searchParameterType }) {
		return badRequest("Resources of type SearchParameter cannot be imported.")
	}
	return nil
}

// searchParameterType is the one resource type that $export gives and $import does not take.
const searchParameterType = "SearchParameter"

// check looks at one input as far as the kick-off does: nobody asks whether the blob is there.
func (i *importInput) check(account *url.URL) error {
	if i.Type != "" && !isResourceType(i.Type) {
		return badRequest("The resource type '%s' of an input is not known.", i.Type)
	}
	u, err := url.Parse(i.URL)
	switch {
	case i.URL == "" || err != nil || !u.IsAbs() || u.Host == "":
		return badRequest("The URL '%s' of an input is not an absolute URL.", i.URL)
	case u.RawQuery != "" || u.ForceQuery:
		return badRequest("The URL of an input must not have a query string: %s", u.Redacted())
	case !strings.EqualFold(u.Scheme, account.Scheme) || !strings.EqualFold(u.Host, account.Host):
		return badRequest("The URL '%s' of an input is not on the storage account of the server, %s://%s.", i.URL, account.Scheme, account.Host)
	}
	return nil
}

// parameters are the members of a FHIR Parameters resource or of a part.
type parameters []gjson.Result

// all returns the parameters of a name.
func (p parameters) all(name string) []gjson.Result {
	var found []gjson.Result
	for _, x := range p {
		if x.Get("name").String() == name {
			found = append(found, x)
		}
	}
	return found
}

// value is the first parameter of a name as text, whichever value[x] it uses; "" without one.
func (p parameters) value(name string) string {
	text := ""
	for _, x := range p.all(name)[:min(1, len(p.all(name)))] {
		x.ForEach(func(k, v gjson.Result) bool {
			if strings.HasPrefix(k.String(), "value") {
				text = v.String()
			}
			return text == ""
		})
	}
	return text
}

func (p parameters) part(name, part string) string {
	for _, x := range p.all(name) {
		return parameters(x.Get("part").Array()).value(part)
	}
	return ""
}
