package synthetic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"fhirmigration/sandbox/fhirservice"

	"github.com/google/uuid"
)

// resource is a FHIR resource of the clinic, in its present version.
type resource interface {
	// head is where the resource keeps its type, id and meta.
	head() *header
	// revise changes what an update of such a resource would change: a status, a value, an address.
	revise(c *clinic, at time.Time)
}

// header begins every resource.
type header struct {
	ResourceType string `json:"resourceType"`
	ID           string `json:"id"`
	Meta         meta   `json:"meta"`
}

func (h *header) head() *header { return h }

// history is the life of one resource: its versions from the first to the last, and the busy millisecond of the last.
type history struct {
	versions []fhirservice.Version
	last     int64
}

// visit is what later records want to know of an encounter.
type visit struct {
	id, patient, practitioner string
	at                        time.Time
}

// clinic is what has been written so far, so that what comes next can refer to it. References look like "Patient/…".
type clinic struct {
	random    *rand.Rand
	kinds     []kind
	written   map[string][]string // type to references, oldest first
	visits    []visit
	patientOf map[string]string   // of a condition, a report, ...: whose it is
	pointedAt map[string]struct{} // what some resource refers to, and so cannot be deleted
	numbers   int                 // the last medical record number handed out
}

func newClinic(random *rand.Rand) *clinic {
	return &clinic{
		random:    random,
		kinds:     kinds(),
		written:   map[string][]string{},
		patientOf: map[string]string{},
		pointedAt: map[string]struct{}{},
	}
}

// write creates one resource of a type that is due, and its updates if it gets any.
func (c *clinic) write(ms int64, updates bool, line *timeline) (history, error) {
	at := line.at(ms)
	kind := c.due()
	drawn := c.newID()
	r := kind.draft(c, at, kind.name+"/"+drawn)
	*r.head() = header{ResourceType: kind.name, ID: drawn, Meta: c.labels(kind)}
	c.written[kind.name] = append(c.written[kind.name], kind.name+"/"+drawn)
	moments := []int64{ms}
	if updates {
		moments = append(moments, line.later(c.random, ms, 2+c.random.IntN(3))...)
	}
	h := history{last: moments[len(moments)-1]}
	for i, moment := range moments {
		at := line.at(moment)
		if i > 0 {
			r.revise(c, at)
		}
		version, err := stamp(r, i+1, at)
		if err != nil {
			return history{}, err
		}
		h.versions = append(h.versions, version)
	}
	return h, nil
}

// stamp writes a resource down as its n-th version.
func stamp(r resource, n int, at time.Time) (fhirservice.Version, error) {
	h := r.head()
	h.Meta.VersionID, h.Meta.LastUpdated = strconv.Itoa(n), instant(at)
	var raw bytes.Buffer
	encoder := json.NewEncoder(&raw)
	encoder.SetEscapeHTML(false) // narratives are markup
	if err := encoder.Encode(r); err != nil {
		return fhirservice.Version{}, fmt.Errorf("write %s/%s: %w", h.ResourceType, h.ID, err)
	}
	return fhirservice.Version{
		Type: h.ResourceType, ID: h.ID, VersionID: h.Meta.VersionID, LastUpdated: at,
		Raw: bytes.TrimSuffix(raw.Bytes(), []byte("\n")),
	}, nil
}

// newID draws a logical id as FHIR services assign them.
func (c *clinic) newID() string {
	var id uuid.UUID
	for i := range id {
		id[i] = byte(c.random.UintN(256))
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id.String()
}

// labels are the profiles and security labels that some resources carry.
func (c *clinic) labels(k kind) meta {
	var m meta
	if k.labelled && c.random.IntN(2) == 0 {
		m.Profile = []string{"http://clinic.example/fhir/StructureDefinition/" + k.name}
	}
	if c.random.IntN(25) == 0 {
		m.Security = []coding{{System: terminology + "v3-Confidentiality", Code: "R", Display: "restricted"}}
	}
	return m
}

// some picks a resource of a type that has been written, one that is never deleted from then on.
func (c *clinic) some(name string) *reference {
	all := c.written[name]
	return c.point(all[c.random.IntN(len(all))])
}

// point refers to a resource.
func (c *clinic) point(target string) *reference {
	c.pointedAt[target] = struct{}{}
	return ref(target)
}

// visit picks one of the latest encounters: what a visit leads to is written soon after it.
func (c *clinic) visit() visit {
	latest := c.visits[max(0, len(c.visits)-150):]
	return latest[c.random.IntN(len(latest))]
}

// own remembers whose a resource is, and returns the patient to refer to.
func (c *clinic) own(self, patient string) *reference {
	c.patientOf[self] = patient
	return c.point(patient)
}

// number is the next medical record number.
func (c *clinic) number() string {
	c.numbers++
	return fmt.Sprintf("%08d", c.numbers)
}

// oneOf picks one of several.
func oneOf[T any](c *clinic, several []T) T { return several[c.random.IntN(len(several))] }
