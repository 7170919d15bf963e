package staging

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A file is written without some of its lines, into the export's own container, and the original stays.
func TestAFileWithoutLines(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		long := strings.Repeat("x", 300<<10)
		lines := []string{"one\r\n", "\n", long + "\n", "four\n", "five"}
		if err := s.blobs.createContainer(ctx, "export-lo-1"); err != nil {
			t.Fatal(err)
		}
		if err := s.blobs.put(ctx, "export-lo-1", "2024/Patient-1.ndjson", strings.NewReader(strings.Join(lines, "")), overwrite); err != nil {
			t.Fatal(err)
		}
		url := "http://127.0.0.1:1/devstoreaccount1/export-lo-1/2024/Patient-1.ndjson"
		var seen []string
		var offsets []int64
		if err := s.LinesFrom(ctx, url, 0, 0, func(number, offset int64, line []byte) (bool, error) {
			if number != int64(len(seen)) {
				t.Errorf("line %d is said to be %d", len(seen), number)
			}
			seen, offsets = append(seen, string(line)), append(offsets, offset)
			return true, nil
		}); err != nil || !slices.Equal(seen, lines) {
			t.Fatalf("%d lines: %v", len(seen), err)
		}
		for i := range lines { // from any line on, and from the end
			n := 0
			err := s.LinesFrom(ctx, url, int64(i), offsets[i], func(number, offset int64, line []byte) (bool, error) {
				if want := i + n; number != int64(want) || offset != offsets[want] || string(line) != lines[want] {
					t.Errorf("from line %d on: line %d at %d: %.20q", i, number, offset, line)
				}
				n++
				return true, nil
			})
			if err != nil || n != len(lines)-i {
				t.Errorf("from line %d on: %d lines, %v", i, n, err)
			}
		}
		behind := offsets[4] + int64(len(lines[4]))
		if err := s.LinesFrom(ctx, url, 5, behind, func(int64, int64, []byte) (bool, error) { return false, errors.New("there is a line") }); err != nil {
			t.Errorf("behind the last line: %v", err)
		}
		without, err := s.WithoutURL("lo1", url, 3, 12)
		if err != nil || without != "http://127.0.0.1:1/devstoreaccount1/import-lo1/preflight_3_file_12.ndjson" {
			t.Fatalf("%s, %v", without, err)
		}
		f := LeftOutFile{File: 12, Type: "Patient", URL: url, Without: without, Lines: []LeftOutLine{{Line: 2, Offset: offsets[2], ID: "a", Kind: "x"}, {Line: 4, Offset: offsets[4], ID: "b"}}}
		for range 2 {
			if err := s.PutWithout(ctx, f); err != nil {
				t.Fatal(err)
			}
			if got := s.text(t, "import-lo1", "preflight_3_file_12.ndjson"); got != lines[0]+lines[1]+lines[3] {
				t.Errorf("%d bytes are left", len(got))
			}
		}
		if got := s.text(t, "export-lo-1", "2024/Patient-1.ndjson"); got != strings.Join(lines, "") {
			t.Error("the original was changed")
		}
		out := LeftOut{Files: []LeftOutFile{f}}
		if err := s.PutLeftOut(ctx, "lo1", 3, out); err != nil {
			t.Fatal(err)
		}
		got, err := s.LeftOut(ctx, "lo1", 3)
		if diff := cmp.Diff(out, got); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
		if _, err := s.LeftOut(ctx, "lo1", 4); !errors.Is(err, ErrNotFound) {
			t.Errorf("another look: %v", err)
		}
		f.Lines = append(f.Lines, LeftOutLine{Offset: behind + 7})
		if err := s.PutWithout(ctx, f); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("no line at byte %d", behind+7)) {
			t.Errorf("a line that is not there: %v", err)
		}
		f.URL += "x"
		if err := s.PutWithout(ctx, f); !errors.Is(err, ErrNotFound) {
			t.Errorf("a file that is not there: %v", err)
		}
	})
}

// In Azure the account is in the host's name, and names may need escaping.
func TestWithoutURLInAzure(t *testing.T) {
	t.Parallel()
	s := OpenMemory(NewMemory())
	got, err := s.WithoutURL("17", "https://acc.blob.core.windows.net/my-exports/a%20b/Patient-1.ndjson", 1, 0)
	if want := "https://acc.blob.core.windows.net/import-17/preflight_1_file_0.ndjson"; got != want || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := s.WithoutURL("17", "no url", 1, 0); err == nil {
		t.Error("no URL is taken")
	}
}

// What is not read to its end leaves nothing running that writes on.
func TestWithoutIsClosed(t *testing.T) {
	t.Parallel()
	body := without(io.NopCloser(strings.NewReader(strings.Repeat("line\n", 100_000))), nil)
	if _, err := io.ReadFull(body, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if err := body.Close(); err != nil {
		t.Error(err)
	}
	if _, err := body.Read(make([]byte, 1)); err == nil {
		t.Error("a closed file is read")
	}
}
