package synthetic

import (
	"fmt"
	"time"
)

// What is ordered, planned and written down.
type (
	serviceRequest struct {
		header
		Status     string          `json:"status"`
		Intent     string          `json:"intent"`
		Code       codeableConcept `json:"code"`
		Subject    *reference      `json:"subject"`
		Encounter  *reference      `json:"encounter"`
		AuthoredOn string          `json:"authoredOn"`
		Requester  *reference      `json:"requester"`
	}
	specimen struct {
		header
		Status       string          `json:"status"`
		Type         codeableConcept `json:"type"`
		Subject      *reference      `json:"subject"`
		ReceivedTime string          `json:"receivedTime"`
		Request      []*reference    `json:"request"`
	}
	diagnosticReport struct {
		header
		Status            string          `json:"status"`
		Code              codeableConcept `json:"code"`
		Subject           *reference      `json:"subject"`
		EffectiveDateTime string          `json:"effectiveDateTime"`
		Issued            string          `json:"issued"`
		Result            []*reference    `json:"result"`
		Conclusion        string          `json:"conclusion,omitempty"`
	}
	medicationRequest struct {
		header
		Status                    string          `json:"status"`
		Intent                    string          `json:"intent"`
		MedicationCodeableConcept codeableConcept `json:"medicationCodeableConcept"`
		Subject                   *reference      `json:"subject"`
		Encounter                 *reference      `json:"encounter"`
		AuthoredOn                string          `json:"authoredOn"`
		Requester                 *reference      `json:"requester"`
		DosageInstruction         []dosage        `json:"dosageInstruction"`
	}
	dosage struct {
		Text        string        `json:"text"`
		DoseAndRate []doseAndRate `json:"doseAndRate"`
	}
	doseAndRate struct {
		DoseQuantity quantity `json:"doseQuantity"`
	}
	goal struct {
		header
		LifecycleStatus string          `json:"lifecycleStatus"`
		Description     codeableConcept `json:"description"`
		Subject         *reference      `json:"subject"`
		StartDate       string          `json:"startDate"`
		Addresses       []*reference    `json:"addresses"`
	}
	careTeam struct {
		header
		Status               string           `json:"status"`
		Name                 string           `json:"name"`
		Subject              *reference       `json:"subject"`
		Participant          []careTeamMember `json:"participant"`
		ManagingOrganization []*reference     `json:"managingOrganization"`
	}
	careTeamMember struct {
		Member *reference `json:"member"`
	}
	carePlan struct {
		header
		Status   string            `json:"status"`
		Intent   string            `json:"intent"`
		Category []codeableConcept `json:"category"`
		Subject  *reference        `json:"subject"`
		Period   period            `json:"period"`
		CareTeam []*reference      `json:"careTeam"`
		Goal     []*reference      `json:"goal"`
	}
	documentReference struct {
		header
		Status  string            `json:"status"`
		Type    codeableConcept   `json:"type"`
		Subject *reference        `json:"subject"`
		Date    string            `json:"date"`
		Author  []*reference      `json:"author"`
		Content []documentContent `json:"content"`
	}
	documentContent struct {
		Attachment attachment `json:"attachment"`
	}
)

func newServiceRequest(c *clinic, _ time.Time, self string) resource {
	v := c.visit()
	return &serviceRequest{
		Status: "active", Intent: "order",
		Code:       oneOf(c, services),
		Subject:    c.own(self, v.patient),
		Encounter:  c.point(v.id),
		AuthoredOn: dateTime(v.at),
		Requester:  c.point(v.practitioner),
	}
}

func (s *serviceRequest) revise(_ *clinic, _ time.Time) { s.Status = "completed" }

func newSpecimen(c *clinic, at time.Time, self string) resource {
	request := c.some("ServiceRequest")
	return &specimen{
		Status:       "available",
		Type:         oneOf(c, specimens),
		Subject:      c.own(self, c.patientOf[request.Reference]),
		ReceivedTime: dateTime(at),
		Request:      []*reference{request},
	}
}

func (s *specimen) revise(_ *clinic, _ time.Time) { s.Status = "unavailable" }

func newDiagnosticReport(c *clinic, at time.Time, self string) resource {
	result := c.some("Observation")
	return &diagnosticReport{
		Status:            "preliminary",
		Code:              oneOf(c, panels),
		Subject:           c.own(self, c.patientOf[result.Reference]),
		EffectiveDateTime: dateTime(at),
		Issued:            instant(at),
		Result:            []*reference{result},
	}
}

func (d *diagnosticReport) revise(_ *clinic, _ time.Time) {
	d.Status, d.Conclusion = "final", "Within reference range; \"no action\" needed."
}

func newMedicationRequest(c *clinic, _ time.Time, self string) resource {
	v := c.visit()
	return &medicationRequest{
		Status: "active", Intent: "order",
		MedicationCodeableConcept: oneOf(c, medications),
		Subject:                   c.own(self, v.patient),
		Encounter:                 c.point(v.id),
		AuthoredOn:                dateTime(v.at),
		Requester:                 c.point(v.practitioner),
		DosageInstruction: []dosage{{
			Text:        fmt.Sprintf("%d times a day", 1+c.random.IntN(4)),
			DoseAndRate: []doseAndRate{{quantity{Value: "1.0", Unit: "{tablet}", System: ucum, Code: "{tablet}"}}},
		}},
	}
}

func (m *medicationRequest) revise(c *clinic, _ time.Time) {
	m.Status = oneOf(c, []string{"on-hold", "active", "stopped", "completed"})
}

func newGoal(c *clinic, at time.Time, self string) resource {
	concern := c.some("Condition")
	return &goal{
		LifecycleStatus: "proposed",
		Description:     codeableConcept{Text: oneOf(c, aims)},
		Subject:         c.own(self, c.patientOf[concern.Reference]),
		StartDate:       date(at),
		Addresses:       []*reference{concern},
	}
}

func (g *goal) revise(c *clinic, _ time.Time) {
	g.LifecycleStatus = oneOf(c, []string{"active", "on-hold", "completed"})
}

func newCareTeam(c *clinic, _ time.Time, self string) resource {
	return &careTeam{
		Status:               "active",
		Name:                 oneOf(c, families) + " team",
		Subject:              c.own(self, c.some("Patient").Reference),
		Participant:          []careTeamMember{{c.some("Practitioner")}, {c.some("Practitioner")}},
		ManagingOrganization: []*reference{c.some("Organization")},
	}
}

func (t *careTeam) revise(c *clinic, _ time.Time) {
	t.Participant = append(t.Participant, careTeamMember{c.some("Practitioner")})
}

func newCarePlan(c *clinic, at time.Time, self string) resource {
	aim := c.some("Goal")
	return &carePlan{
		Status: "active", Intent: "plan",
		Category: []codeableConcept{concept(snomed, "734163000", "Care plan")},
		Subject:  c.own(self, c.patientOf[aim.Reference]),
		Period:   period{Start: date(at)},
		CareTeam: []*reference{c.some("CareTeam")},
		Goal:     []*reference{aim},
	}
}

func (p *carePlan) revise(_ *clinic, at time.Time) { p.Status, p.Period.End = "completed", date(at) }

func newDocumentReference(c *clinic, at time.Time, self string) resource {
	v := c.visit()
	note := "Seen on " + date(v.at) + ".\n" + oneOf(c, remarks)
	return &documentReference{
		Status:  "current",
		Type:    oneOf(c, documents),
		Subject: c.own(self, v.patient),
		Date:    instant(at),
		Author:  []*reference{c.point(v.practitioner)},
		Content: []documentContent{{attachment{ContentType: "text/plain", Data: []byte(note), Title: "Note"}}},
	}
}

func (d *documentReference) revise(_ *clinic, at time.Time) {
	d.Content[0].Attachment.Title = "Note, signed " + date(at)
}
