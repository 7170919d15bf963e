package ndjson_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fhirmigration/sandbox/fhirservice"
	"fhirmigration/sandbox/ndjson"

	"github.com/google/go-cmp/cmp"
)

var (
	end   = time.Date(2026, 3, 1, 10, 20, 30, 456_000_000, time.UTC)
	start = end.AddDate(-5, 0, 0)
)

// folder writes files, gzipped where their names say so, and returns their folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		data := []byte(content)
		if strings.HasSuffix(name, ".gz") {
			data = zipped(t, content)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func zipped(t *testing.T, content string) []byte {
	t.Helper()
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	if _, err := writer.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func load(t *testing.T, path string) []fhirservice.Version {
	t.Helper()
	versions, err := ndjson.Load(path, start, end)
	if err != nil {
		t.Fatal(err)
	}
	return versions
}

// raws are the resources by "Type/id", with what was stamped into them taken out again.
func raws(versions []fhirservice.Version) map[string]string {
	found := map[string]string{}
	for _, v := range versions {
		stamped := `"versionId":"1","lastUpdated":"` + v.LastUpdated.Format("2006-01-02T15:04:05.000+00:00") + `"`
		found[v.Type+"/"+v.ID] = strings.Replace(string(v.Raw), stamped, "…", 1)
	}
	return found
}

func TestKeepsEveryByte(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"a.ndjson": `{"resourceType":"Patient","id":"p1"}` + "\r\n\n" +
			`{"resourceType":"Observation", "id":"o1", "valueQuantity":{"value":1.10, "x":1E+2,"y":0.000000000000000001}, "meta":{"profile":["http://a"],"security":[{"code":"R"}]}}`,
		"b.ndjson.gz": `{"meta":{},"resourceType":"Patient","id":"p2","name":[{"family":"M\u00fcller <>&"}]}` + "\n",
		"readme.txt":  "not a resource",
	})
	want := map[string]string{
		"Patient/p1":     `{"resourceType":"Patient","id":"p1","meta":{…}}`,
		"Observation/o1": `{"resourceType":"Observation", "id":"o1", "valueQuantity":{"value":1.10, "x":1E+2,"y":0.000000000000000001}, "meta":{"profile":["http://a"],"security":[{"code":"R"}],…}}`,
		"Patient/p2":     `{"meta":{…},"resourceType":"Patient","id":"p2","name":[{"family":"M\u00fcller <>&"}]}`,
	}
	if diff := cmp.Diff(want, raws(load(t, dir))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReplacesVersionAndTime(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"a.ndjson": `{"resourceType":"Patient","id":"p","meta":{"versionId":"7","lastUpdated":"2001-01-01T00:00:00Z","tag":[{"code":"t"}]}}`,
	})
	want := []fhirservice.Version{{
		Type: "Patient", ID: "p", VersionID: "1", LastUpdated: start,
		Raw: []byte(`{"resourceType":"Patient","id":"p","meta":{"versionId":"1","lastUpdated":"2021-03-01T10:20:30.456+00:00","tag":[{"code":"t"}]}}`),
	}}
	if diff := cmp.Diff(want, load(t, dir)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLongLine(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("x", 5<<20)
	dir := folder(t, map[string]string{
		"a.ndjson.gz": `{"resourceType":"Binary","id":"b","data":"` + text + `"}` + "\n" + `{"resourceType":"Binary","id":"c"}`,
	})
	versions := load(t, dir)
	if len(versions) != 2 || len(versions[0].Raw)+len(versions[1].Raw) < len(text) {
		t.Errorf("%d resources, want 2 with every byte", len(versions))
	}
}

func TestSpreadsEvenly(t *testing.T) {
	t.Parallel()
	lines := []string{
		`{"resourceType":"Patient","id":"1"}`, `{"resourceType":"Patient","id":"2"}`, `{"resourceType":"Patient","id":"3"}`,
		`{"resourceType":"Patient","id":"4"}`, `{"resourceType":"Patient","id":"5"}`,
	}
	whole := load(t, folder(t, map[string]string{"a.ndjson": strings.Join(lines, "\n")}))
	split := load(t, folder(t, map[string]string{"b.ndjson": lines[4] + "\n" + lines[1], "c.ndjson.gz": strings.Join([]string{lines[0], lines[3], lines[2]}, "\n")}))
	if diff := cmp.Diff(whole, split); diff != "" {
		t.Errorf("one file and two files differ (-one +two):\n%s", diff)
	}
	step := end.Sub(start) / 5
	for i, v := range whole {
		want := start.Add(time.Duration(i) * step).Truncate(time.Millisecond)
		if !v.LastUpdated.Equal(want) {
			t.Errorf("resource %d was updated at %s, want %s", i, v.LastUpdated, want)
		}
	}
}

func TestMixesTypes(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	for _, name := range []string{"Observation", "Patient"} {
		for i := range 100 {
			files[name+".ndjson"] += fmt.Sprintf(`{"resourceType":%q,"id":"%d"}`, name, i) + "\n"
		}
	}
	perType := map[string]int{}
	for _, v := range load(t, folder(t, files))[:50] {
		perType[v.Type]++
	}
	if perType["Observation"] < 10 || perType["Patient"] < 10 {
		t.Errorf("the first 50 in time are %v, want a mixture", perType)
	}
}

func TestNamesFileAndLine(t *testing.T) {
	t.Parallel()
	const good = `{"resourceType":"Patient","id":"p"}` + "\n"
	tests := map[string]struct{ content, want string }{
		"no JSON":         {good + `{"resourceType":`, "a.ndjson, line 2: no JSON"},
		"two values":      {good + good[:len(good)-1] + "{}", "a.ndjson, line 2: no JSON"},
		"an array":        {"\n\n[]", "a.ndjson, line 3: no JSON object"},
		"null":            {"null", "a.ndjson, line 1: no JSON object"},
		"not UTF-8":       {"{\"resourceType\":\"Patient\",\"id\":\"p\xff\"}", "a.ndjson, line 1: not UTF-8"},
		"no type":         {`{"id":"x"}`, "a.ndjson, line 1: no resourceType"},
		"unknown type":    {`{"resourceType":"Patent","id":"x"}`, `a.ndjson, line 1: resourceType "Patent"`},
		"SearchParameter": {`{"resourceType":"SearchParameter","id":"x"}`, "a.ndjson, line 1: a SearchParameter"},
		"no id":           {good + `{"resourceType":"Patient"}`, "a.ndjson, line 2: the Patient has no id"},
		"number for id":   {`{"resourceType":"Patient","id":1}`, "a.ndjson, line 1: the Patient has no id"},
		"bad id":          {`{"resourceType":"Patient","id":"a/b"}`, `a.ndjson, line 1: the Patient has the id "a/b"`},
		"meta no object":  {`{"resourceType":"Patient","id":"x","meta":null}`, "a.ndjson, line 1: the meta of Patient/x"},
		"duplicate":       {good + "\n" + good, "a.ndjson, line 3: Patient/p was there already"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := folder(t, map[string]string{"a.ndjson": test.content})
			versions, err := ndjson.Load(dir, start, end)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			if versions != nil {
				t.Errorf("%d versions along with an error", len(versions))
			}
		})
	}
}

func TestDuplicateInAnotherFile(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"a.ndjson":    `{"resourceType":"Patient","id":"p"}`,
		"b.ndjson.gz": `{"resourceType":"Patient","id":"q"}` + "\n" + `{"resourceType":"Patient","id":"p"}`,
	})
	_, err := ndjson.Load(dir, start, end)
	if err == nil || !strings.Contains(err.Error(), "b.ndjson.gz, line 2") || !strings.Contains(err.Error(), "a.ndjson, line 1") {
		t.Errorf("error %v, want one that names both places", err)
	}
}

func TestNothingToRead(t *testing.T) {
	t.Parallel()
	cut := folder(t, nil)
	if err := os.WriteFile(filepath.Join(cut, "a.ndjson.gz"), zipped(t, strings.Repeat(`{"resourceType":"Patient","id":"p"}`, 9))[:30], 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"no such path":       filepath.Join(t.TempDir(), "none"),
		"no files":           folder(t, map[string]string{"a.json": "{}"}),
		"no resources":       folder(t, map[string]string{"a.ndjson": "\n\n"}),
		"not gzip":           mislabelled(t),
		"gzip that was cut":  cut,
		"one line, no JSON ": folder(t, map[string]string{"a.ndjson": "hello"}),
	}
	for name, path := range tests {
		if _, err := ndjson.Load(path, start, end); err == nil {
			t.Errorf("%s: no error", name)
		} else if !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %q does not name %s", name, err, path)
		}
	}
}

// mislabelled is a folder with a plain file that claims to be gzipped.
func mislabelled(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.ndjson.gz"), []byte(`{"resourceType":"Patient","id":"p"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}
