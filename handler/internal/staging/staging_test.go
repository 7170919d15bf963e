package staging

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fhirmigration/sandbox/azurite"
)

var emulator *azurite.Server

func TestMain(m *testing.M) { os.Exit(azurite.RunTests(m.Run, &emulator)) }

// onEach runs test on a store in the storage emulator and on one in memory: the twin must not be told from it.
func onEach(t *testing.T, test func(t *testing.T, s *Store)) {
	t.Helper()
	t.Run("storage", func(t *testing.T) {
		t.Parallel()
		s, err := Open(Options{ConnectionString: emulator.ConnectionString()})
		if err != nil {
			t.Fatal(err)
		}
		test(t, s)
	})
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		test(t, OpenMemory(NewMemory()))
	})
}

const manifest = `{"transactionTime":"2024-05-01T00:00:00Z","request":"https://s/$export?_since=1","requiresAccessToken":false,
"output":[{"type":"Patient","url":"https://a/export-1/Patient-2-1.ndjson","count":7},{"type":"SearchParameter","url":"https://a/export-1/SearchParameter-4-1.ndjson","count":2},
{"type":"Patient","url":"https://a/export-1/Patient-1-1.ndjson","count":10},{"type":"Observation","url":"https://a/export-1/Observation-3-1.ndjson","count":3000000000}],"error":[],"issues":[]}`

func TestManifestIsSavedOnceAndNeverReplaced(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		if err := s.PutManifest(ctx, "17", strings.NewReader(manifest)); err != nil {
			t.Fatal(err)
		}
		if err := s.PutManifest(ctx, "17", strings.NewReader(manifest)); err != nil {
			t.Errorf("the same again: %v", err)
		}
		other := strings.Replace(manifest, `"count":7`, `"count":6`, 1)
		if err := s.PutManifest(ctx, "17", strings.NewReader(other)); !errors.Is(err, ErrAnotherManifest) {
			t.Errorf("another one: %v, want ErrAnotherManifest", err)
		}
		m, err := s.Manifest(ctx, "17")
		if err != nil {
			t.Fatal(err)
		}
		if m.Lines() != 3_000_000_019 || m.SearchParameters() != 2 || m.Request != "https://s/$export?_since=1" {
			t.Errorf("manifest: %+v", m)
		}
	})
}

func TestExportIDsThatAreNoContainerNames(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "..", "a/b", "a--b", "-1", "é", strings.Repeat("1", 57)} {
		if err := CheckExportID(id); err == nil {
			t.Errorf("%q is accepted", id)
		}
	}
	for _, id := range []string{"1", "123456789012", "3F2504E0-4F89-11D3-9A0C-0305E82C3301"} {
		if err := CheckExportID(id); err != nil {
			t.Error(err)
		}
	}
}

func TestPayloadsDeriveFromTheManifestAlone(t *testing.T) {
	t.Parallel()
	m, err := ReadManifest(strings.NewReader(manifest))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range m.ToImport() {
		got = append(got, f.URL[len("https://a/export-1/"):])
	}
	want := []string{"Observation-3-1.ndjson", "Patient-1-1.ndjson", "Patient-2-1.ndjson"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sorted by URL, without SearchParameter (-want +got):\n%s", diff)
	}
	body, err := ImportRequest{Mode: "IncrementalLoad", Source: "urn:x", Files: m.ToImport()[2:]}.Body()
	if err != nil {
		t.Fatal(err)
	}
	const wantBody = `{"resourceType":"Parameters","parameter":[{"name":"inputFormat","valueString":"application/fhir+ndjson"},` +
		`{"name":"inputSource","valueUri":"urn:x"},{"name":"mode","valueString":"IncrementalLoad"},{"name":"storageDetail","part":[{"name":"type","valueString":"azure-blob"}]},` +
		`{"name":"input","part":[{"name":"type","valueString":"Patient"},{"name":"url","valueUri":"https://a/export-1/Patient-2-1.ndjson"}]}]}`
	if diff := cmp.Diff(wantBody, string(body)); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}

func TestReadManifestRefuses(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"nothing":              "",
		"HTML":                 "<html></html>",
		"an array":             "[]",
		"no output":            `{"transactionTime":"x"}`,
		"output twice":         `{"output":[],"output":[]}`,
		"broken off":           manifest[:len(manifest)/2],
		"broken off at a file": `{"output":[{"type":"Patient","url":"u","count":1}`,
		"something after it":   manifest + "x",
		"a file twice":         `{"output":[{"type":"Patient","url":"u","count":1},{"type":"Patient","url":"u","count":1}]}`,
		"a file without url":   `{"output":[{"type":"Patient","count":1}]}`,
		"a negative count":     `{"output":[{"type":"Patient","url":"u","count":-1}]}`,
		"errors":               `{"output":[],"error":[{"type":"OperationOutcome","url":"u","count":1}]}`,
		"output that is text":  `{"output":"none"}`,
	} {
		if m, err := ReadManifest(strings.NewReader(body)); err == nil {
			t.Errorf("%s: read as %+v", name, m)
		}
	}
	if _, err := ReadManifest(strings.NewReader(`{"output":[],"error":[{"type":"OperationOutcome","url":"u","count":1}]}`)); !errors.Is(err, ErrExportErrors) {
		t.Errorf("errors of the export: %v", err)
	}
	if m, err := ReadManifest(strings.NewReader(`{"output":null,"error":null}`)); err != nil || m.Lines() != 0 {
		t.Errorf("null is an empty array: %v %v", m, err)
	}
}

func TestBooks(t *testing.T) {
	t.Parallel()
	files := []File{{Type: "Patient", URL: "u1", Count: 10}, {Type: "Patient", URL: "u2", Count: 5}, {Type: "Observation", URL: "u3", Count: 0}}
	for _, c := range []struct {
		name, result string
		want         Books
	}{
		{"balanced", `{"output":[{"type":"Patient","count":10,"inputUrl":"u1"},{"count":5,"inputUrl":"u2"},{"count":0,"inputUrl":"u3"}],"error":[]}`, Books{Imported: 15}},
		{"refused lines, in two units of one file", `{"output":[{"count":7,"inputUrl":"u1"},{"count":5,"inputUrl":"u2"}],"error":[{"count":1,"inputUrl":"u1","url":"e1"},{"count":2,"inputUrl":"u1","url":"e2"}]}`,
			Books{Imported: 12, Refused: 3}},
		{"one line is missing", `{"output":[{"count":9,"inputUrl":"u1"},{"count":5,"inputUrl":"u2"}]}`,
			Books{5, 0, []int{0}, []string{"u1: 10 lines exported, 9 imported, 0 refused"}}},
		{"a file is missing", `{"output":[{"count":10,"inputUrl":"u1"}]}`, Books{10, 0, []int{1}, []string{"u2: 5 lines exported, 0 imported, 0 refused"}}},
		{"too many, and too few elsewhere", `{"output":[{"count":11,"inputUrl":"u1"},{"count":4,"inputUrl":"u2"}]}`,
			Books{0, 0, []int{0, 1}, []string{"u1: 10 lines exported, 11 imported, 0 refused", "u2: 5 lines exported, 4 imported, 0 refused"}}},
		{"a file that was not posted", `{"output":[{"count":10,"inputUrl":"u1"},{"count":5,"inputUrl":"u2"},{"count":1,"inputUrl":"u9"}]}`,
			Books{15, 0, nil, []string{"u9: 1 lines counted, but the file was not posted"}}},
	} {
		r, err := ReadImportResult(strings.NewReader(c.result))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if diff := cmp.Diff(c.want, r.Books(files)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	for _, bad := range []string{"", "{}", `{"output":[{"count":1}]}`, `{"output":[{"count":-1,"inputUrl":"u"}]}`, `{"output":[`, "<html>"} {
		if _, err := ReadImportResult(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is read as an import result", bad)
		}
	}
}

func TestImportResultIsKept(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		if err := s.PutManifest(ctx, "18", strings.NewReader(manifest)); err != nil {
			t.Fatal(err)
		}
		if err := s.PutPayload(ctx, "18", "import_payload_1.json", []byte("{}")); err != nil {
			t.Fatal(err)
		}
		body := `{"output":[],"error":[{"type":"Patient","count":2,"inputUrl":"u1","url":"e1"}]}`
		if err := s.PutImportResult(ctx, "18", "import_payload_1.json", strings.NewReader(body)); err != nil {
			t.Fatal(err)
		}
		r, err := s.ImportResult(ctx, "18", "import_payload_1.json")
		if err != nil {
			t.Fatal(err)
		}
		if got := CountsText(r.RefusedByType([]File{{Type: "Patient", URL: "u1", Count: 2}})); got != "Patient:2" || r.ErrorLog[0] != "e1" {
			t.Errorf("refused %q, logs %v", got, r.ErrorLog)
		}
	})
}

func FuzzReadManifest(f *testing.F) {
	for _, seed := range []string{manifest, "", "{}", `{"output":[{"type":"a","url":"b","count":1e3}]}`, `{"output":[null]}`, `{"output":{"a":1}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := ReadManifest(strings.NewReader(string(body)))
		if err != nil {
			return
		}
		if n := Lines(m.ToImport()) + m.SearchParameters(); n != m.Lines() {
			t.Errorf("%d lines in the files, %d in all", n, m.Lines())
		}
	})
}
