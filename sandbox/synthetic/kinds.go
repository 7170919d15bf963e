package synthetic

import "time"

// kind is a resource type the clinic keeps.
type kind struct {
	name   string
	weight int // how many of the resources, in thousandths or so
	// needs are the types that must have been written before, because a resource of this type refers to them.
	needs    []string
	labelled bool // whether half of them name the clinic's own profile
	draft    func(c *clinic, at time.Time, self string) resource
}

// kinds are the types in the order in which a clinic comes to need them. A function, because the drafts lead back to it.
func kinds() []kind {
	return []kind{
		{name: "Organization", weight: 8, labelled: true, draft: newOrganization},
		{name: "Location", weight: 10, needs: []string{"Organization"}, draft: newLocation},
		{name: "Practitioner", weight: 15, labelled: true, draft: newPractitioner},
		{name: "PractitionerRole", weight: 15, needs: []string{"Practitioner", "Organization", "Location"}, draft: newPractitionerRole},
		{name: "Patient", weight: 60, needs: []string{"Organization", "Practitioner"}, labelled: true, draft: newPatient},
		{name: "RelatedPerson", weight: 20, needs: []string{"Patient"}, draft: newRelatedPerson},
		{name: "Coverage", weight: 35, needs: []string{"Patient", "Organization"}, draft: newCoverage},
		{name: "Device", weight: 15, needs: []string{"Patient"}, draft: newDevice},
		{name: "Encounter", weight: 140, needs: []string{"Patient", "Practitioner", "Organization", "Location"}, labelled: true, draft: newEncounter},
		{name: "Condition", weight: 90, needs: []string{"Encounter"}, labelled: true, draft: newCondition},
		{name: "AllergyIntolerance", weight: 25, needs: []string{"Patient", "Practitioner"}, labelled: true, draft: newAllergyIntolerance},
		{name: "Observation", weight: 260, needs: []string{"Encounter"}, draft: newObservation},
		{name: "ServiceRequest", weight: 40, needs: []string{"Encounter"}, draft: newServiceRequest},
		{name: "Specimen", weight: 30, needs: []string{"ServiceRequest"}, draft: newSpecimen},
		{name: "DiagnosticReport", weight: 50, needs: []string{"Encounter", "Observation"}, draft: newDiagnosticReport},
		{name: "Procedure", weight: 60, needs: []string{"Encounter"}, labelled: true, draft: newProcedure},
		{name: "Immunization", weight: 40, needs: []string{"Encounter"}, labelled: true, draft: newImmunization},
		{name: "MedicationRequest", weight: 70, needs: []string{"Encounter"}, labelled: true, draft: newMedicationRequest},
		{name: "Goal", weight: 20, needs: []string{"Condition"}, labelled: true, draft: newGoal},
		{name: "CareTeam", weight: 15, needs: []string{"Patient", "Practitioner", "Organization"}, draft: newCareTeam},
		{name: "CarePlan", weight: 20, needs: []string{"Goal", "CareTeam"}, draft: newCarePlan},
		{name: "DocumentReference", weight: 30, needs: []string{"Encounter"}, draft: newDocumentReference},
	}
}

// due picks the type of the next resource by weight. Where that type refers to something the clinic has none of yet,
// the missing one comes first.
func (c *clinic) due() kind {
	total := 0
	for _, k := range c.kinds {
		total += k.weight
	}
	drawn := c.random.IntN(total)
	for _, k := range c.kinds {
		if drawn -= k.weight; drawn < 0 {
			return c.missing(k)
		}
	}
	return c.kinds[0]
}

// missing is the first type that must exist before one of type k, or k itself.
func (c *clinic) missing(k kind) kind {
	for _, need := range k.needs {
		if len(c.written[need]) > 0 {
			continue
		}
		for _, other := range c.kinds {
			if other.name == need {
				return c.missing(other)
			}
		}
	}
	return k
}
