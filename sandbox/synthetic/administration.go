package synthetic

import (
	"fmt"
	"time"
)

// The people and places of the clinic.
type (
	organization struct {
		header
		Identifier []identifier      `json:"identifier"`
		Active     bool              `json:"active"`
		Type       []codeableConcept `json:"type"`
		Name       string            `json:"name"`
		Telecom    []contactPoint    `json:"telecom,omitempty"`
		Address    []address         `json:"address"`
	}
	location struct {
		header
		Status               string     `json:"status"`
		Name                 string     `json:"name"`
		Mode                 string     `json:"mode"`
		Address              address    `json:"address"`
		ManagingOrganization *reference `json:"managingOrganization"`
	}
	practitioner struct {
		header
		Identifier []identifier   `json:"identifier"`
		Active     bool           `json:"active"`
		Name       []humanName    `json:"name"`
		Telecom    []contactPoint `json:"telecom"`
		Gender     string         `json:"gender"`
	}
	practitionerRole struct {
		header
		Active       bool              `json:"active"`
		Period       period            `json:"period"`
		Practitioner *reference        `json:"practitioner"`
		Organization *reference        `json:"organization"`
		Code         []codeableConcept `json:"code"`
		Location     []*reference      `json:"location"`
	}
	patient struct {
		header
		Text                 narrative      `json:"text"`
		Identifier           []identifier   `json:"identifier"`
		Active               bool           `json:"active"`
		Name                 []humanName    `json:"name"`
		Telecom              []contactPoint `json:"telecom"`
		Gender               string         `json:"gender"`
		BirthDate            string         `json:"birthDate"`
		DeceasedBoolean      bool           `json:"deceasedBoolean"`
		Address              []address      `json:"address"`
		GeneralPractitioner  []*reference   `json:"generalPractitioner"`
		ManagingOrganization *reference     `json:"managingOrganization"`
	}
	relatedPerson struct {
		header
		Active       bool              `json:"active"`
		Patient      *reference        `json:"patient"`
		Relationship []codeableConcept `json:"relationship"`
		Name         []humanName       `json:"name"`
		Telecom      []contactPoint    `json:"telecom"`
	}
	coverage struct {
		header
		Status       string          `json:"status"`
		Type         codeableConcept `json:"type"`
		SubscriberID string          `json:"subscriberId"`
		Beneficiary  *reference      `json:"beneficiary"`
		Period       period          `json:"period"`
		Payor        []*reference    `json:"payor"`
	}
	device struct {
		header
		Status       string          `json:"status"`
		SerialNumber string          `json:"serialNumber"`
		Type         codeableConcept `json:"type"`
		Patient      *reference      `json:"patient"`
		Note         []annotation    `json:"note,omitempty"`
	}
)

func newOrganization(c *clinic, _ time.Time, _ string) resource {
	return &organization{
		Identifier: []identifier{{System: "http://clinic.example/house", Value: c.number()}},
		Active:     true,
		Type:       []codeableConcept{*hl7("organization-type", "prov")},
		Name:       oneOf(c, cities) + " " + oneOf(c, []string{"Clinic", "General Hospital", "Health Centre", "Practice"}),
		Address:    []address{c.address()},
	}
}

func (o *organization) revise(c *clinic, _ time.Time) {
	o.Telecom = []contactPoint{{System: "phone", Value: c.phone(), Use: "work"}}
}

func newLocation(c *clinic, _ time.Time, _ string) resource {
	return &location{
		Status: "active", Mode: "instance",
		Name:                 fmt.Sprintf("Ward %d", 1+c.random.IntN(40)),
		Address:              c.address(),
		ManagingOrganization: c.some("Organization"),
	}
}

func (l *location) revise(c *clinic, _ time.Time) {
	l.Status = oneOf(c, []string{"active", "suspended"})
}

func newPractitioner(c *clinic, _ time.Time, _ string) resource {
	return &practitioner{
		Identifier: []identifier{{System: "http://clinic.example/staff", Value: c.number()}},
		Active:     true,
		Name:       []humanName{c.name()},
		Telecom:    []contactPoint{{System: "phone", Value: c.phone(), Use: "work"}},
		Gender:     oneOf(c, genders),
	}
}

func (p *practitioner) revise(c *clinic, _ time.Time) { p.Telecom[0].Value = c.phone() }

func newPractitionerRole(c *clinic, at time.Time, _ string) resource {
	return &practitionerRole{
		Active:       true,
		Period:       period{Start: date(at)},
		Practitioner: c.some("Practitioner"),
		Organization: c.some("Organization"),
		Code:         []codeableConcept{oneOf(c, roles)},
		Location:     []*reference{c.some("Location")},
	}
}

func (p *practitionerRole) revise(_ *clinic, at time.Time) { p.Active, p.Period.End = false, date(at) }

func newPatient(c *clinic, at time.Time, _ string) resource {
	name, born := c.name(), at.AddDate(-c.random.IntN(95), 0, -c.random.IntN(365))
	div := `<div xmlns="http://www.w3.org/1999/xhtml"><b>` + name.Family + "</b>, " + name.Given[0] + "</div>"
	return &patient{
		Text:                 narrative{Status: "generated", Div: div},
		Identifier:           []identifier{{System: "http://clinic.example/mrn", Value: c.number()}},
		Active:               true,
		Name:                 []humanName{name},
		Telecom:              []contactPoint{{System: "phone", Value: c.phone(), Use: "home"}},
		Gender:               oneOf(c, genders),
		BirthDate:            date(born),
		Address:              []address{c.address()},
		GeneralPractitioner:  []*reference{c.some("Practitioner")},
		ManagingOrganization: c.some("Organization"),
	}
}

func (p *patient) revise(c *clinic, _ time.Time) {
	p.Address = []address{c.address()}
	p.DeceasedBoolean = p.DeceasedBoolean || c.random.IntN(20) == 0
}

func newRelatedPerson(c *clinic, _ time.Time, _ string) resource {
	return &relatedPerson{
		Active:       true,
		Patient:      c.some("Patient"),
		Relationship: []codeableConcept{*hl7("v3-RoleCode", oneOf(c, []string{"MTH", "FTH", "SPS", "CHILD", "SIB"}))},
		Name:         []humanName{c.name()},
		Telecom:      []contactPoint{{System: "phone", Value: c.phone(), Use: "mobile"}},
	}
}

func (r *relatedPerson) revise(c *clinic, _ time.Time) { r.Telecom[0].Value = c.phone() }

func newCoverage(c *clinic, at time.Time, _ string) resource {
	return &coverage{
		Status:       "active",
		Type:         codeableConcept{Coding: []coding{{System: actCode, Code: oneOf(c, []string{"EHCPOL", "PUBLICPOL", "HIP"})}}},
		SubscriberID: c.number(),
		Beneficiary:  c.some("Patient"),
		Period:       period{Start: date(at)},
		Payor:        []*reference{c.some("Organization")},
	}
}

func (v *coverage) revise(_ *clinic, at time.Time) { v.Status, v.Period.End = "cancelled", date(at) }

func newDevice(c *clinic, _ time.Time, _ string) resource {
	return &device{
		Status: "active", SerialNumber: c.number(), Type: oneOf(c, devices), Patient: c.some("Patient"),
	}
}

func (d *device) revise(_ *clinic, at time.Time) {
	d.Note = append(d.Note, annotation{Time: dateTime(at), Text: "serviced, within tolerance ±2 %"})
}

func (c *clinic) name() humanName {
	return humanName{Use: "official", Family: oneOf(c, families), Given: []string{oneOf(c, givens), oneOf(c, givens)}}
}

func (c *clinic) phone() string { return fmt.Sprintf("+1-555-01%02d", c.random.IntN(100)) }

func (c *clinic) address() address {
	return address{
		Line:       []string{fmt.Sprintf("%d %s Street", 1+c.random.IntN(400), oneOf(c, families))},
		City:       oneOf(c, cities),
		PostalCode: fmt.Sprintf("%05d", c.random.IntN(100000)),
		Country:    "US",
	}
}
