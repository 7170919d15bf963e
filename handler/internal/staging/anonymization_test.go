package staging

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// The version of a de-identification configuration: without quotes, another one after each change; a file or a container that is not there
// is told from everything else.
func TestAnonymizationETag(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		ctx, file := t.Context(), strings.ReplaceAll(strings.ToLower(t.Name()), "/", "-")+".json"
		if _, err := s.AnonymizationETag(ctx, file); !errors.Is(err, ErrNoAnonymization) {
			t.Errorf("before it is there: %v", err)
		}
		if err := s.exported.createContainer(ctx, AnonymizationContainer); err != nil {
			t.Fatal(err)
		}
		if _, err := s.AnonymizationETag(ctx, file); !errors.Is(err, ErrNoAnonymization) || !strings.Contains(err.Error(), file) {
			t.Errorf("without the file: %v", err)
		}
		var etags []string
		for _, content := range []string{"{}", `{"a":1}`} {
			if err := s.exported.put(ctx, AnonymizationContainer, file, bytes.NewReader([]byte(content)), overwrite); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				etag, err := s.AnonymizationETag(ctx, file)
				if err != nil || etag == "" || strings.Contains(etag, `"`) {
					t.Fatalf("%q, %v", etag, err)
				}
				etags = append(etags, etag)
			}
		}
		if etags[0] != etags[1] || etags[2] != etags[3] || etags[0] == etags[2] {
			t.Errorf("ETags %q", etags)
		}
	})
}

func TestAnonymizedBy(t *testing.T) {
	t.Parallel()
	for request, want := range map[string]bool{
		"https://s/$export?_container=anonymization&_anonymizationConfig=a.json&_anonymizationConfigEtag=1": true,
		"https://s/$export?_container=anonymization&_anonymizationConfig=a.json&_anonymizationConfigEtag=2": false,
		"https://s/$export?_container=anonymization&_anonymizationConfig=a.json":                            false,
		"https://s/$export?_anonymizationConfig=b.json":                                                     false,
		"https://s/$export?_since=2024-01-01":                                                               false,
		"":                                                                                                  false,
	} {
		if got := (Manifest{Request: request}).AnonymizedBy("a.json", "1"); got != want {
			t.Errorf("%s: %v", request, got)
		}
	}
	if (Manifest{Request: "https://s/$export"}).AnonymizedBy("", "") {
		t.Error("an export without a configuration is taken for one with a configuration without a name")
	}
	if (Manifest{Request: "https://s/$export?_anonymizationConfig=a.json"}).AnonymizedBy("a.json", "") {
		t.Error("an export without a version is taken for one of a version that is not known")
	}
}
