package settings

import (
	"slices"
	"strings"
)

// originalTypes are the types that the durable original migrates unless told otherwise, in its order, which the position in
// its chunk row counts in: nothing may be added or moved.
const originalTypes = `
Account ActivityDefinition AdverseEvent AllergyIntolerance Appointment AppointmentResponse AuditEvent Basic Binary
BiologicallyDerivedProduct BodyStructure Bundle CapabilityStatement CarePlan CareTeam CatalogEntry ChargeItem ChargeItemDefinition
Claim ClaimResponse ClinicalImpression CodeSystem Communication CommunicationRequest CompartmentDefinition Composition ConceptMap
Condition Consent Contract Coverage CoverageEligibilityRequest CoverageEligibilityResponse DetectedIssue Device DeviceDefinition
DeviceMetric DeviceRequest DeviceUseStatement DiagnosticReport DocumentManifest DocumentReference EffectEvidenceSynthesis Encounter
Endpoint EnrollmentRequest EnrollmentResponse EpisodeOfCare EventDefinition Evidence EvidenceVariable ExampleScenario
ExplanationOfBenefit FamilyMemberHistory Flag Goal GraphDefinition Group GuidanceResponse HealthcareService ImagingStudy Immunization
ImmunizationEvaluation ImmunizationRecommendation ImplementationGuide InsurancePlan Invoice Library Linkage List Location Measure
MeasureReport Media Medication MedicationAdministration MedicationDispense MedicationKnowledge MedicationRequest MedicationStatement
MedicinalProduct MedicinalProductAuthorization MedicinalProductContraindication MedicinalProductIndication MedicinalProductIngredient
MedicinalProductInteraction MedicinalProductManufactured MedicinalProductPackaged MedicinalProductPharmaceutical
MedicinalProductUndesirableEffect MessageDefinition MessageHeader MolecularSequence NamingSystem NutritionOrder Observation
ObservationDefinition OperationDefinition OperationOutcome Organization OrganizationAffiliation Parameters Patient PaymentNotice
PaymentReconciliation Person PlanDefinition Practitioner PractitionerRole Procedure Provenance Questionnaire QuestionnaireResponse
RelatedPerson RequestGroup ResearchDefinition ResearchElementDefinition ResearchStudy ResearchSubject RiskAssessment
RiskEvidenceSynthesis Schedule ServiceRequest Slot Specimen SpecimenDefinition StructureDefinition StructureMap Subscription Substance
SubstancePolymer SubstanceProtein SubstanceReferenceInformation SubstanceSpecification SubstanceSourceMaterial SupplyDelivery
SupplyRequest Task TerminologyCapabilities TestReport TestScript ValueSet VerificationResult VisionPrescription`

// furtherTypes are the types of R4 that originalTypes leaves out.
const furtherTypes = "SearchParameter SubstanceNucleicAcid"

// OriginalTypes are the 144 types that ResourceTypes stands for when it is not set, in the durable original's order.
func OriginalTypes() []string { return strings.Fields(originalTypes) }

// Types are the types to migrate and to count: ResourceTypes, or OriginalTypes when that is not set.
func (s Settings) Types() []string {
	if len(s.ResourceTypes) > 0 {
		return s.ResourceTypes
	}
	return OriginalTypes()
}

// types checks the lists of types: names of R4, exact in case as the services are, each once. SearchParameter is taken out.
func (c *checker) types() {
	c.typeList("ResourceTypes", &c.settings.ResourceTypes)
	c.typeList("SurfaceCheckResources", &c.settings.SurfaceCheckResources)
}

func (c *checker) typeList(setting string, list *[]string) {
	known := strings.Fields(originalTypes + " " + furtherTypes)
	seen := make(map[string]bool)
	for _, name := range *list {
		switch {
		case !slices.Contains(known, name):
			c.wrong(setting, "holds %q, which is no resource type of FHIR R4: did you mean %s?", name, nearestOf(name, known))
		case seen[name]:
			c.wrong(setting, "holds %s twice: take one away", name)
		}
		seen[name] = true
	}
	if seen["SearchParameter"] {
		c.settings.Notices = append(c.settings.Notices, "SearchParameter in "+prefix+setting+" is left out: "+prefix+"MigrateSearchParameters copies search parameters")
		*list = slices.DeleteFunc(*list, func(name string) bool { return name == "SearchParameter" })
	}
}
