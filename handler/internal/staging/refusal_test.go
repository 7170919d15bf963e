package staging

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadRefusal(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		entry string
		want  Refusal
	}{
		"a conflict": {`{"resourceType":"OperationOutcome","issue":[{"severity":"error","diagnostics":"Failed to process resource at line: 7 with stream start offset: 10000000","details":{"text":"Failed to import resource with version conflict, resource id: a-1.b, line: 7"}}]}`,
			Refusal{Text: "Failed to import resource with version conflict, resource id: a-1.b, line: 7", ResourceID: "a-1.b", Line: 7, Offset: 10_000_000}},
		"no place": {`{"resourceType":"OperationOutcome","issue":[{"severity":"error","details":{"text":"it is wrong"}}]}`,
			Refusal{Text: "it is wrong", Line: -1, Offset: -1}},
		"diagnostics alone": {`{"issue":[{"diagnostics":"Failed to process resource at line: 0 with stream start offset: 0"}]}`,
			Refusal{Text: "Failed to process resource at line: 0 with stream start offset: 0", Line: 0, Offset: 0}},
		"a number beyond all": {`{"issue":[{"diagnostics":"line: 99999999999999999999 offset: 0","details":{"text":"x"}}]}`, Refusal{Text: "x", Line: -1, Offset: -1}},
		"no issue":            {`{"resourceType":"OperationOutcome"}`, Refusal{Text: "the entry of the error log cannot be read", Line: -1, Offset: -1}},
		"no JSON":             {`oops`, Refusal{Text: "the entry of the error log cannot be read", Line: -1, Offset: -1}},
	} {
		if diff := cmp.Diff(c.want, readRefusal(c.entry)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// A line belongs to the slice in which it begins; empty lines count.
func TestLineAt(t *testing.T) {
	t.Parallel()
	const file = "zero\r\n\nsecond\nthird, the longest of them all\nfourth" // lines begin at 0, 6, 7, 14 and 45
	for _, c := range []struct {
		line, offset int64
		want         string
	}{
		{0, 0, "zero"}, {1, 0, ""}, {2, 0, "second"}, {4, 0, "fourth"},
		{0, 7, "second"}, {0, 8, "third, the longest of them all"}, {1, 8, "fourth"}, {0, 14, "third, the longest of them all"}, {0, 15, "fourth"},
	} {
		got, err := lineAt(strings.NewReader(file), c.line, c.offset)
		if err != nil || string(got) != c.want {
			t.Errorf("line %d from byte %d on: %q, %v; want %q", c.line, c.offset, got, err, c.want)
		}
	}
	for _, c := range [][2]int64{{5, 0}, {1, 15}, {0, 46}, {0, 1000}} {
		if got, err := lineAt(strings.NewReader(file), c[0], c[1]); err == nil {
			t.Errorf("line %d from byte %d on: %q", c[0], c[1], got)
		}
	}
}

func FuzzReadRefusal(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"issue":[{"diagnostics":"line: 1 offset: 2","details":{"text":"resource id: x"}}]}`, `{"issue":[{}]}`, `{"issue":null}`, "[]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, entry string) {
		if r := readRefusal(entry); (r.Line < 0) != (r.Offset < 0) || len(r.ResourceID) > 64 {
			t.Errorf("%+v", r)
		}
	})
}

func FuzzReadImportResult(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"output":[{"type":"Patient","count":1,"inputUrl":"u"}],"error":[{"count":1,"inputUrl":"u","url":"e"}]}`, `{"output":[null]}`, `{"output":{}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r, err := ReadImportResult(strings.NewReader(body))
		if err != nil {
			return
		}
		if b := r.Books([]File{{Type: "Patient", URL: "u", Count: 2}}); len(b.Unbalanced) > len(b.Named) {
			t.Errorf("%+v", b)
		}
	})
}
