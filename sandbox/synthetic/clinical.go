package synthetic

import (
	"encoding/json"
	"fmt"
	"time"
)

// What happens during a visit, and what is found.
type (
	encounter struct {
		header
		Status          string              `json:"status"`
		Class           coding              `json:"class"`
		Type            []codeableConcept   `json:"type"`
		Subject         *reference          `json:"subject"`
		Participant     []encounterMember   `json:"participant"`
		Period          period              `json:"period"`
		Location        []encounterLocation `json:"location"`
		ServiceProvider *reference          `json:"serviceProvider"`
	}
	encounterMember struct {
		Individual *reference `json:"individual"`
	}
	encounterLocation struct {
		Location *reference `json:"location"`
	}
	condition struct {
		header
		ClinicalStatus     *codeableConcept  `json:"clinicalStatus"`
		VerificationStatus *codeableConcept  `json:"verificationStatus"`
		Category           []codeableConcept `json:"category"`
		Code               codeableConcept   `json:"code"`
		Subject            *reference        `json:"subject"`
		Encounter          *reference        `json:"encounter"`
		OnsetDateTime      string            `json:"onsetDateTime"`
		AbatementDateTime  string            `json:"abatementDateTime,omitempty"`
	}
	allergyIntolerance struct {
		header
		ClinicalStatus     *codeableConcept `json:"clinicalStatus"`
		VerificationStatus *codeableConcept `json:"verificationStatus"`
		Type               string           `json:"type"`
		Criticality        string           `json:"criticality"`
		Code               codeableConcept  `json:"code"`
		Patient            *reference       `json:"patient"`
		Recorder           *reference       `json:"recorder"`
	}
	observation struct {
		header
		Status            string            `json:"status"`
		Category          []codeableConcept `json:"category"`
		Code              codeableConcept   `json:"code"`
		Subject           *reference        `json:"subject"`
		Encounter         *reference        `json:"encounter"`
		EffectiveDateTime string            `json:"effectiveDateTime"`
		Performer         []*reference      `json:"performer"`
		ValueQuantity     *quantity         `json:"valueQuantity,omitempty"`
		Component         []component       `json:"component,omitempty"`
		Note              []annotation      `json:"note,omitempty"`
	}
	component struct {
		Code          codeableConcept `json:"code"`
		ValueQuantity quantity        `json:"valueQuantity"`
	}
	procedure struct {
		header
		Status          string          `json:"status"`
		Code            codeableConcept `json:"code"`
		Subject         *reference      `json:"subject"`
		Encounter       *reference      `json:"encounter"`
		PerformedPeriod period          `json:"performedPeriod"`
	}
	immunization struct {
		header
		Status             string          `json:"status"`
		VaccineCode        codeableConcept `json:"vaccineCode"`
		Patient            *reference      `json:"patient"`
		Encounter          *reference      `json:"encounter"`
		OccurrenceDateTime string          `json:"occurrenceDateTime"`
		PrimarySource      bool            `json:"primarySource"`
		LotNumber          string          `json:"lotNumber,omitempty"`
		DoseQuantity       quantity        `json:"doseQuantity"`
	}
)

func newEncounter(c *clinic, at time.Time, self string) resource {
	e := &encounter{
		Status:          "in-progress",
		Class:           coding{System: actCode, Code: oneOf(c, []string{"AMB", "EMER", "IMP", "VR"})},
		Type:            []codeableConcept{oneOf(c, visitTypes)},
		Subject:         c.some("Patient"),
		Participant:     []encounterMember{{Individual: c.some("Practitioner")}},
		Period:          period{Start: dateTime(at.Add(-time.Hour))},
		Location:        []encounterLocation{{Location: c.some("Location")}},
		ServiceProvider: c.some("Organization"),
	}
	c.visits = append(c.visits, visit{
		id: self, patient: e.Subject.Reference, practitioner: e.Participant[0].Individual.Reference, at: at,
	})
	return e
}

func (e *encounter) revise(_ *clinic, at time.Time) {
	e.Status, e.Period.End = "finished", dateTime(at)
}

func newCondition(c *clinic, _ time.Time, self string) resource {
	v := c.visit()
	return &condition{
		ClinicalStatus:     hl7("condition-clinical", "active"),
		VerificationStatus: hl7("condition-ver-status", "confirmed"),
		Category:           []codeableConcept{*hl7("condition-category", "encounter-diagnosis")},
		Code:               oneOf(c, diagnoses),
		Subject:            c.own(self, v.patient),
		Encounter:          c.point(v.id),
		OnsetDateTime:      date(v.at),
	}
}

func (d *condition) revise(_ *clinic, at time.Time) {
	d.ClinicalStatus, d.AbatementDateTime = hl7("condition-clinical", "resolved"), dateTime(at)
}

func newAllergyIntolerance(c *clinic, _ time.Time, _ string) resource {
	return &allergyIntolerance{
		ClinicalStatus:     hl7("allergyintolerance-clinical", "active"),
		VerificationStatus: hl7("allergyintolerance-verification", "unconfirmed"),
		Type:               "allergy",
		Criticality:        oneOf(c, []string{"low", "high", "unable-to-assess"}),
		Code:               oneOf(c, allergies),
		Patient:            c.some("Patient"),
		Recorder:           c.some("Practitioner"),
	}
}

func (a *allergyIntolerance) revise(c *clinic, _ time.Time) {
	a.VerificationStatus = hl7("allergyintolerance-verification", oneOf(c, []string{"confirmed", "refuted"}))
}

func newObservation(c *clinic, _ time.Time, self string) resource {
	v, m := c.visit(), oneOf(c, measurements)
	o := &observation{
		Status:            "final",
		Category:          []codeableConcept{*hl7("observation-category", m.category)},
		Code:              concept(loinc, m.code, m.display),
		Subject:           c.own(self, v.patient),
		Encounter:         c.point(v.id),
		EffectiveDateTime: dateTime(v.at),
		Performer:         []*reference{c.point(v.practitioner)},
	}
	if m.code == bloodPressure {
		o.Component = []component{
			{concept(loinc, "8480-6", "Systolic blood pressure"), c.quantity(measurement{unit: "mm[Hg]", low: 90, high: 180})},
			{concept(loinc, "8462-4", "Diastolic blood pressure"), c.quantity(measurement{unit: "mm[Hg]", low: 50, high: 110})},
		}
		return o
	}
	value := c.quantity(m)
	o.ValueQuantity = &value
	return o
}

func (o *observation) revise(_ *clinic, at time.Time) {
	o.Status = "amended"
	o.Note = append(o.Note, annotation{Time: dateTime(at), Text: "value reviewed – temperature < 37 °C & stable"})
}

// quantity draws a value with exactly the digits a device reports, trailing zeros included. One in a hundred has digits
// that no float64 keeps.
func (c *clinic) quantity(m measurement) quantity {
	value := fmt.Sprintf("%.*f", m.digits, m.low+c.random.Float64()*(m.high-m.low))
	if m.digits > 0 && c.random.IntN(100) == 0 {
		value = oneOf(c, oddDecimals)
	}
	return quantity{Value: json.Number(value), Unit: m.unit, System: ucum, Code: m.unit}
}

func newProcedure(c *clinic, _ time.Time, self string) resource {
	v := c.visit()
	return &procedure{
		Status:          "in-progress",
		Code:            oneOf(c, procedures),
		Subject:         c.own(self, v.patient),
		Encounter:       c.point(v.id),
		PerformedPeriod: period{Start: dateTime(v.at)},
	}
}

func (p *procedure) revise(_ *clinic, at time.Time) {
	p.Status, p.PerformedPeriod.End = "completed", dateTime(at)
}

func newImmunization(c *clinic, _ time.Time, self string) resource {
	v := c.visit()
	return &immunization{
		Status:             "completed",
		VaccineCode:        oneOf(c, vaccines),
		Patient:            c.own(self, v.patient),
		Encounter:          c.point(v.id),
		OccurrenceDateTime: dateTime(v.at),
		PrimarySource:      true,
		DoseQuantity:       quantity{Value: "0.50", Unit: "mL", System: ucum, Code: "mL"},
	}
}

func (i *immunization) revise(c *clinic, _ time.Time) { i.LotNumber = "L" + c.number() }
