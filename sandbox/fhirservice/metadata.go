package fhirservice

import (
	"context"
	"net/http"
)

// metadata answers GET /metadata, the one call that needs no token: a small CapabilityStatement that lists the types in the store.
func (s *Service) metadata(_ context.Context, q *request) (*reply, error) {
	type interaction struct {
		Code string `json:"code"`
	}
	type searchParam struct {
		Name string `json:"name"`
		Type string `json:"type"`
	}
	type resource struct {
		Type        string        `json:"type"`
		Interaction []interaction `json:"interaction"`
		Versioning  string        `json:"versioning"`
		SearchParam []searchParam `json:"searchParam"`
	}
	type operation struct {
		Name       string `json:"name"`
		Definition string `json:"definition"`
	}
	type rest struct {
		Mode      string      `json:"mode"`
		Resource  []resource  `json:"resource,omitempty"`
		Operation []operation `json:"operation"`
	}
	of := rest{Mode: "server", Operation: []operation{{"export", "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export"}}}
	if s.o.Kind == SQL {
		of.Operation = append(of.Operation, operation{"import", q.base + "/OperationDefinition/import"})
	}
	s.store.mu.RLock()
	for _, name := range s.store.typeNamesLocked() {
		of.Resource = append(of.Resource, resource{
			Type: name, Versioning: "versioned",
			Interaction: []interaction{{"read"}, {"vread"}, {"create"}, {"update"}, {"delete"}, {"search-type"}, {"history-type"}, {"history-instance"}},
			SearchParam: []searchParam{{"_id", "token"}, {"_lastUpdated", "date"}},
		})
	}
	s.store.mu.RUnlock()
	return newReply(http.StatusOK, fhirJSON, encode(map[string]any{
		"resourceType": "CapabilityStatement", "status": "active", "date": formatInstant(q.now), "kind": "instance", "fhirVersion": "4.0.1",
		"software":       map[string]string{"name": "Sandbox FHIR Server " + string(s.o.Kind), "version": "1.0.0"},
		"implementation": map[string]string{"description": "Sandbox FHIR Server " + string(s.o.Kind), "url": q.base},
		"format":         []string{"application/fhir+json"}, "rest": []rest{of},
	})), nil
}
