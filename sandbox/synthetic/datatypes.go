package synthetic

import (
	"encoding/json"
	"time"
)

// The FHIR data types, with as many of their elements as the clinic uses.
// Decimals are json.Number: the digits written are the digits meant, and 1.10 is not 1.1.
type (
	coding struct {
		System  string `json:"system,omitempty"`
		Code    string `json:"code"`
		Display string `json:"display,omitempty"`
	}
	codeableConcept struct {
		Coding []coding `json:"coding,omitempty"`
		Text   string   `json:"text,omitempty"`
	}
	reference struct {
		Reference string `json:"reference"`
		Display   string `json:"display,omitempty"`
	}
	identifier struct {
		System string `json:"system,omitempty"`
		Value  string `json:"value"`
	}
	humanName struct {
		Use    string   `json:"use,omitempty"`
		Family string   `json:"family"`
		Given  []string `json:"given,omitempty"`
	}
	contactPoint struct {
		System string `json:"system"`
		Value  string `json:"value"`
		Use    string `json:"use,omitempty"`
	}
	address struct {
		Line       []string `json:"line"`
		City       string   `json:"city"`
		PostalCode string   `json:"postalCode"`
		Country    string   `json:"country"`
	}
	period struct {
		Start string `json:"start"`
		End   string `json:"end,omitempty"`
	}
	quantity struct {
		Value  json.Number `json:"value"`
		Unit   string      `json:"unit,omitempty"`
		System string      `json:"system,omitempty"`
		Code   string      `json:"code,omitempty"`
	}
	annotation struct {
		Time string `json:"time,omitempty"`
		Text string `json:"text"`
	}
	narrative struct {
		Status string `json:"status"`
		Div    string `json:"div"`
	}
	attachment struct {
		ContentType string `json:"contentType"`
		Data        []byte `json:"data,omitempty"`
		Title       string `json:"title,omitempty"`
	}
	meta struct {
		VersionID   string   `json:"versionId"`
		LastUpdated string   `json:"lastUpdated"`
		Profile     []string `json:"profile,omitempty"`
		Security    []coding `json:"security,omitempty"`
	}
)

// Code systems by their canonical URLs.
const (
	loinc       = "http://loinc.org"
	snomed      = "http://snomed.info/sct"
	rxNorm      = "http://www.nlm.nih.gov/research/umls/rxnorm"
	cvx         = "http://hl7.org/fhir/sid/cvx"
	ucum        = "http://unitsofmeasure.org"
	actCode     = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
	terminology = "http://terminology.hl7.org/CodeSystem/"
)

// concept is a CodeableConcept of one coding.
func concept(system, code, display string) codeableConcept {
	return codeableConcept{Coding: []coding{{System: system, Code: code, Display: display}}, Text: display}
}

// hl7 is a concept of one of HL7's own code systems.
func hl7(system, code string) *codeableConcept {
	return &codeableConcept{Coding: []coding{{System: terminology + system, Code: code}}}
}

// ref points to a resource, "Patient/…".
func ref(target string) *reference { return &reference{Reference: target} }

// instant is how FHIR services write meta.lastUpdated: milliseconds and an offset.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000+00:00") }

// dateTime is a FHIR dateTime of second precision.
func dateTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// date is a FHIR date.
func date(t time.Time) string { return t.UTC().Format("2006-01-02") }
