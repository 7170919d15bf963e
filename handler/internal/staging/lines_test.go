package staging

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLinesOfAnExportedFile(t *testing.T) {
	t.Parallel()
	onEach(t, testLines)
}

func testLines(t *testing.T, s *Store) {
	long := `{"a":"` + strings.Repeat("x", 700_000) + `"}`
	body := "{\"n\":1}\r\n\n{\"n\":2}\n" + long + "\n{\"n\":3}"
	if _, err := s.PutFindings(t.Context(), "lines/a.ndjson", []byte(body)); err != nil {
		t.Fatal(err)
	}
	fileURL := emulator.BlobURL() + "/" + checksContainer + "/lines/a.ndjson"
	for _, test := range []struct {
		skip, stop int
		want       []string
	}{
		{0, 99, []string{`{"n":1}`, `{"n":2}`, long, `{"n":3}`}},
		{3, 99, []string{`{"n":3}`}},
		{1, 1, []string{`{"n":2}`}},
		{9, 99, nil},
	} {
		var got []string
		err := s.Lines(t.Context(), fileURL, int64(test.skip), func(line string) (bool, error) {
			got = append(got, line)
			return len(got) < test.stop, nil
		})
		if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
			t.Errorf("from line %d: %v (-want +got):\n%s", test.skip, err, diff)
		}
	}
}

func TestLinesTellWhoseErrorItIs(t *testing.T) {
	t.Parallel()
	onEach(t, testLineErrors)
}

func testLineErrors(t *testing.T, s *Store) {
	if err := s.Lines(t.Context(), emulator.BlobURL()+"/nowhere-at-all/x.ndjson", 0, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("no container: %v, want ErrNotFound", err)
	}
	if _, err := s.PutFindings(t.Context(), "lines/b.ndjson", []byte("1\n")); err != nil {
		t.Fatal(err)
	}
	mine := errors.New("mine")
	if err := s.Findings(t.Context(), "lines/b.ndjson", func(string) (bool, error) { return false, mine }); !errors.Is(err, mine) {
		t.Errorf("%v, want the error of yield", err)
	}
}

func TestBlobOf(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"https://acc.blob.core.windows.net/export-1/a/b.ndjson":     "export-1 a/b.ndjson",
		"https://acc.blob.core.usgovcloudapi.net/export-1/b.ndjson": "export-1 b.ndjson",
		"http://127.0.0.1:10000/acc/export-1/a/b.ndjson":            "export-1 a/b.ndjson",
		"https://acc.blob.core.windows.net/export-1":                " ",
		"nonsense": " ",
	} {
		container, name, err := blobOf(given)
		if got := container + " " + name; got != want || (err != nil) != (want == " ") {
			t.Errorf("%s: %q (%v), want %q", given, got, err, want)
		}
	}
}
