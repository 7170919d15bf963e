package demo_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
)

// checkLog reads the log of a demo that is through: no line of it holds a key, a token, or what a resource of the source says.
func checkLog(t *testing.T, said, file, source, token string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	log := string(content)
	if !strings.Contains(log, `"event":"Export"`) || !strings.Contains(log, `"event":"DeepCheck"`) {
		t.Errorf("the log of a migration and its checks has other lines: %.2000s", log)
	}
	for what, secret := range map[string]string{
		"pass": token, "function key": find(t, said, `function key (\S+) `), "master key": find(t, said, `master key (\S+)`),
		"storage key": find(t, said, `AccountKey=([^;]+);`), "signature": "sig=", "token": "Bearer ",
	} {
		if strings.Contains(log, secret) {
			t.Errorf("the log shows the %s", what)
		}
	}
	texts := map[string]bool{}
	for _, typ := range []string{"Patient", "Observation", "Condition", "Encounter", "Practitioner", "Organization"} {
		collect(history(t, source, typ, token), texts)
	}
	if len(texts) < 50 {
		t.Errorf("%d texts of resources: there is little to look for", len(texts))
	}
	for text := range texts {
		if strings.Contains(log, text) {
			t.Errorf("the log shows what a resource says: %q", text)
		}
	}
}

// history is every version of a type.
func history(t *testing.T, source, typ, token string) (bundle any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, source+"/"+typ+"/_history?_count=1000", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	reply, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	if err := json.NewDecoder(reply.Body).Decode(&bundle); err != nil || reply.StatusCode != http.StatusOK {
		t.Fatalf("the history of %s: %s, %v", typ, reply.Status, err)
	}
	return bundle
}

// elsewhere is what is found anywhere: dates, addresses of services, references, codes in small letters.
var elsewhere = regexp.MustCompile(`^(\d{4}-|https?:|urn:|[A-Z][A-Za-z]+/|[^A-Z]*$|W/")`)

// collect gathers the texts that say something about somebody.
func collect(v any, texts map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			if name != "id" && name != "resourceType" && name != "link" && name != "request" && name != "response" && name != "meta" && name != "fullUrl" {
				collect(member, texts)
			}
		}
	case []any:
		for _, element := range v {
			collect(element, texts)
		}
	case string:
		if text := fmt.Sprint(v); len(text) >= 6 && !elsewhere.MatchString(text) {
			texts[text] = true
		}
	}
}
