package fhir

import (
	"encoding/json"
	"testing"
)

func TestScannerRefusesWhatIsCutOff(t *testing.T) {
	t.Parallel()
	whole := ` {"id":"a\"b\\", "resourceType" : "Patient","x":[1,{"y":"]}"},null, -1.5e3 ],"meta":{"versionId":"1","tag":[]} } `
	p := &scanner{s: whole}
	r, _ := p.resource()
	if p.bad || p.next() != 0 || r.Type != "Patient" || r.ID != `a"b\` || r.VersionID != "1" || r.Raw != whole[1:len(whole)-1] {
		t.Errorf("%+v, bad %t", r, p.bad)
	}
	for i := 1; i < len(whole)-2; i++ {
		p := &scanner{s: whole[:i]}
		if p.resource(); !p.bad {
			t.Errorf("%q was taken for whole", whole[:i])
		}
	}
}

func FuzzScanner(f *testing.F) {
	f.Add(`{"resourceType":"Patient","id":"1","meta":{"versionId":"2","lastUpdated":"2024-01-01T00:00:00Z"},"a":[{"b":"\\\"}"}]}`)
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := ParseResource(raw)
		var want struct {
			ResourceType, ID string
			Meta             struct{ VersionID string }
		}
		var names map[string]json.RawMessage
		if json.Unmarshal([]byte(raw), &names) != nil || json.Unmarshal([]byte(raw), &want) != nil || len(names) != 3 {
			return // what is no JSON may be read or not; it must not crash
		}
		if names["resourceType"] == nil || names["id"] == nil || names["meta"] == nil {
			return
		}
		if err == nil && (got.Type != want.ResourceType || got.ID != want.ID) {
			t.Errorf("%q: %s/%s, want %s/%s", raw, got.Type, got.ID, want.ResourceType, want.ID)
		}
	})
}
