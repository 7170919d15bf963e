package staging

import "encoding/json"

// ImportRequest is what the body of an $import is made from. The same request gives the same bytes, always: a body that
// the destination has seen gets the job that it got.
type ImportRequest struct {
	Mode   string // IncrementalLoad or InitialLoad
	Source string // inputSource: unused by the service, but part of what tells one job from another
	Files  []File
}

type parameters struct {
	ResourceType string      `json:"resourceType"`
	Parameter    []parameter `json:"parameter"`
}

type parameter struct {
	Name        string      `json:"name"`
	ValueString string      `json:"valueString,omitempty"`
	ValueURI    string      `json:"valueUri,omitempty"`
	Part        []parameter `json:"part,omitempty"`
}

// Body is the Parameters resource to post.
func (r ImportRequest) Body() ([]byte, error) {
	p := []parameter{
		{Name: "inputFormat", ValueString: "application/fhir+ndjson"},
		{Name: "inputSource", ValueURI: r.Source},
		{Name: "mode", ValueString: r.Mode},
		{Name: "storageDetail", Part: []parameter{{Name: "type", ValueString: "azure-blob"}}},
	}
	for _, f := range r.Files {
		p = append(p, parameter{Name: "input", Part: []parameter{
			{Name: "type", ValueString: f.Type},
			{Name: "url", ValueURI: f.URL},
		}})
	}
	return json.Marshal(parameters{ResourceType: "Parameters", Parameter: p})
}
