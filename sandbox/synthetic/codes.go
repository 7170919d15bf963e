package synthetic

// The vocabulary of the clinic: real codes of LOINC, SNOMED CT, RxNorm and CVX with their names, and made-up people.

// measurement is something an Observation can be of. Values lie in [low, high) and are written with that many digits
// after the point.
type measurement struct {
	code, display, category, unit string
	low, high                     float64
	digits                        int
}

// bloodPressure is the one measurement that has components in place of a value.
const bloodPressure = "85354-9"

var measurements = []measurement{
	{code: bloodPressure, display: "Blood pressure panel with all children optional", category: "vital-signs"},
	{"29463-7", "Body weight", "vital-signs", "kg", 2, 140, 3},
	{"8302-2", "Body height", "vital-signs", "cm", 45, 205, 1},
	{"39156-5", "Body mass index (BMI) [Ratio]", "vital-signs", "kg/m2", 12, 45, 2},
	{"8867-4", "Heart rate", "vital-signs", "/min", 45, 160, 0},
	{"8310-5", "Body temperature", "vital-signs", "Cel", 35, 41, 2},
	{"2160-0", "Creatinine [Mass/volume] in Serum or Plasma", "laboratory", "mg/dL", 0.4, 3, 2},
	{"2339-0", "Glucose [Mass/volume] in Blood", "laboratory", "mg/dL", 60, 300, 1},
	{"4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", "laboratory", "%", 4, 12, 2},
	{"2823-3", "Potassium [Moles/volume] in Serum or Plasma", "laboratory", "mmol/L", 3, 6, 4},
}

// oddDecimals are valid FHIR decimals that a number type without a precision of its own spoils.
var oddDecimals = []string{
	"1.10", "70.500", "0.000000000000000001", "12345678901234567.8", "0.100000000000000006", "-0.00", "1.50e-3",
}

var diagnoses = []codeableConcept{
	concept(snomed, "44054006", "Diabetes mellitus type 2"),
	concept(snomed, "59621000", "Essential hypertension"),
	concept(snomed, "195967001", "Asthma"),
	concept(snomed, "444814009", "Viral sinusitis"),
	concept(snomed, "195662009", "Acute viral pharyngitis"),
	concept(snomed, "10509002", "Acute bronchitis"),
	concept(snomed, "13645005", "Chronic obstructive lung disease"),
	concept(snomed, "55822004", "Hyperlipidemia"),
	concept(snomed, "271737000", "Anemia"),
}

var allergies = []codeableConcept{
	concept(snomed, "91936005", "Allergy to penicillin"),
	concept(snomed, "91935009", "Allergy to peanut"),
	concept(snomed, "300913006", "Shellfish allergy"),
	concept(snomed, "419263009", "Allergy to tree pollen"),
}

var procedures = []codeableConcept{
	concept(snomed, "430193006", "Medication reconciliation"),
	concept(snomed, "171207006", "Depression screening"),
	concept(snomed, "73761001", "Colonoscopy"),
	concept(snomed, "117015009", "Throat culture"),
	concept(snomed, "76601001", "Intramuscular injection"),
}

var vaccines = []codeableConcept{
	concept(cvx, "140", "Influenza, seasonal, injectable, preservative free"),
	concept(cvx, "113", "Td (adult), 5 Lf tetanus toxoid, preservative free, adsorbed"),
	concept(cvx, "33", "pneumococcal polysaccharide PPV23"),
	concept(cvx, "121", "zoster live"),
}

var medications = []codeableConcept{
	concept(rxNorm, "314076", "lisinopril 10 MG Oral Tablet"),
	concept(rxNorm, "197361", "amlodipine 5 MG Oral Tablet"),
	concept(rxNorm, "313782", "acetaminophen 325 MG Oral Tablet"),
	concept(rxNorm, "259255", "atorvastatin 80 MG Oral Tablet"),
	concept(rxNorm, "308182", "amoxicillin 250 MG Oral Capsule"),
}

var services = []codeableConcept{
	concept(snomed, "26604007", "Complete blood count"),
	concept(snomed, "396550006", "Blood test"),
	concept(snomed, "413815006", "Chest imaging"),
}

var specimens = []codeableConcept{
	concept(snomed, "119297000", "Blood specimen"),
	concept(snomed, "122575003", "Urine specimen"),
	concept(snomed, "119376003", "Tissue specimen"),
}

var panels = []codeableConcept{
	concept(loinc, "58410-2", "CBC panel - Blood by Automated count"),
	concept(loinc, "24323-8", "Comprehensive metabolic 2000 panel - Serum or Plasma"),
	concept(loinc, "57698-3", "Lipid panel with direct LDL - Serum or Plasma"),
}

var documents = []codeableConcept{
	concept(loinc, "34133-9", "Summary of episode note"),
	concept(loinc, "11506-3", "Progress note"),
	concept(loinc, "18842-5", "Discharge summary"),
}

var visitTypes = []codeableConcept{
	concept(snomed, "185349003", "Encounter for check up"),
	concept(snomed, "185345009", "Encounter for symptom"),
	concept(snomed, "50849002", "Emergency room admission"),
}

var roles = []codeableConcept{
	*hl7("practitioner-role", "doctor"),
	*hl7("practitioner-role", "nurse"),
	*hl7("practitioner-role", "pharmacist"),
}

var devices = []codeableConcept{
	concept(snomed, "14106009", "Cardiac pacemaker"),
	concept(snomed, "337414009", "Blood glucose meter"),
	concept(snomed, "53350007", "Prosthesis"),
}

var (
	genders  = []string{"female", "male", "other", "unknown"}
	families = []string{"Müller", "Nguyễn", "O'Brien", "García", "Smith", "Kowalski", "Åberg", "Rossi", "Okafor", "Tanaka", "Silva", "Dubois"}
	givens   = []string{"Ana", "Björn", "Chloé", "Dmitri", "Élodie", "Farid", "Grace", "Hiro", "Inés", "Jan", "Kofi", "Łucja"}
	cities   = []string{"Northfield", "Lakewood", "Springdale", "Riverton", "Ashford", "Millbrook"}
	aims     = []string{"Blood pressure below 140/90 mmHg", "HbA1c ≤ 7.0 %", "Walk 30 minutes a day", "Body weight below 80 kg"}
	remarks  = []string{"No complaints.", "Reports mild headache, resolved.", "Follow-up in six weeks.", "Advised rest & fluids."}
)
