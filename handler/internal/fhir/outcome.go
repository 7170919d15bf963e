package fhir

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// outcome is what is needed of an OperationOutcome.
type outcome struct {
	ResourceType string  `json:"resourceType"`
	Issues       []issue `json:"issue"`
}

// issue is one issue of an OperationOutcome.
type issue struct {
	Severity    string `json:"severity"`
	Code        string `json:"code"`
	Diagnostics string `json:"diagnostics"`
	Details     struct {
		Text   string `json:"text"`
		Coding []struct {
			Code string `json:"code"`
		} `json:"coding"`
	} `json:"details"`
}

// text is what the issue says to a person.
func (i issue) text() string {
	if i.Diagnostics != "" {
		return i.Diagnostics
	}
	return i.Details.Text
}

// jobOver is how both services word the failure of a job, whatever its status.
const jobOver = "operation failed for reason"

// endsJob says whether the issue is the end of a job; a cancelled import is a 400 with code processing and other words.
func (i issue) endsJob(status int) bool {
	return i.Code == "processing" &&
		(status == http.StatusBadRequest || strings.Contains(strings.ToLower(i.text()), jobOver))
}

func (o outcome) jobEnded(status int) bool {
	return slices.ContainsFunc(o.Issues, func(i issue) bool { return i.endsJob(status) })
}

func (o outcome) has(code string) bool {
	return slices.ContainsFunc(o.Issues, func(i issue) bool { return i.Code == code })
}

// retired says whether the outcome carries the coding of a service that is past its end; its text is not final.
func (o outcome) retired() bool {
	for _, i := range o.Issues {
		for _, coding := range i.Details.Coding {
			if coding.Code == "service-deprecated" {
				return true
			}
		}
	}
	return false
}

// decisive is the issue to show: the one that ended the job, else the first error, else the first.
func (o outcome) decisive(job bool) issue {
	if len(o.Issues) == 0 {
		return issue{}
	}
	for _, i := range o.Issues {
		if job && i.endsJob(0) {
			return i
		}
	}
	for _, i := range o.Issues {
		if i.Severity == "error" || i.Severity == "fatal" {
			return i
		}
	}
	return o.Issues[0]
}

// readOutcome reads an OperationOutcome, or the flat issue with which the services answer 423 while an initial import
// runs, or the beginning of an OperationOutcome that was too long: a job with many files has many reasons.
func readOutcome(body []byte) (outcome, bool) {
	var o outcome
	if json.Unmarshal(body, &o) == nil && o.ResourceType == "OperationOutcome" && len(o.Issues) > 0 {
		return o, true
	}
	var flat issue
	if json.Unmarshal(body, &flat) == nil && flat.Severity != "" && (flat.Code != "" || flat.Diagnostics != "") {
		return outcome{Issues: []issue{flat}}, true
	}
	return readCutOutcome(string(body))
}

var (
	isOutcomeType = regexp.MustCompile(`^\s*\{[^{]*"resourceType"\s*:\s*"OperationOutcome"`)
	firstCode     = regexp.MustCompile(`"code"\s*:\s*"([a-z-]+)"`)
	firstText     = regexp.MustCompile(`"diagnostics"\s*:\s*"((?:[^"\\]|\\.)*)`)
)

// readCutOutcome finds the first code and diagnostics in the beginning of an OperationOutcome.
func readCutOutcome(body string) (outcome, bool) {
	code := firstCode.FindStringSubmatch(body)
	if !isOutcomeType.MatchString(body) || code == nil {
		return outcome{}, false
	}
	found := issue{Severity: "error", Code: code[1]}
	if text := firstText.FindStringSubmatch(body); text != nil {
		if json.Unmarshal([]byte(`"`+text[1]+`"`), &found.Diagnostics) != nil {
			found.Diagnostics = text[1]
		}
	}
	return outcome{ResourceType: "OperationOutcome", Issues: []issue{found}}, true
}
