package staging

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// Refusal is one entry of an import's error log: a line that was not taken.
type Refusal struct {
	Text       string // why, as the service says it
	ResourceID string // "" when the text does not name it
	// Line counts from 0 in the slice of the file that begins at Offset, empty lines included; -1 when the log does not say.
	Line, Offset int64
}

var (
	refusedAt = regexp.MustCompile(`line:?\s*(\d+)\D+offset:?\s*(\d+)`)
	refusedID = regexp.MustCompile(`resource id:?\s*'?([A-Za-z0-9\-.]{1,64})`)
)

// ErrorLog hands the entries of an import's error log to yield, until it wants no more. The log is streamed. ErrNotFound.
func (s *Store) ErrorLog(ctx context.Context, logURL string, yield func(Refusal) (more bool, err error)) error {
	return s.Lines(ctx, logURL, 0, func(line string) (bool, error) { return yield(readRefusal(line)) })
}

// readRefusal reads one entry. What cannot be read is a refusal all the same, of a line that is not known.
func readRefusal(line string) Refusal {
	var outcome struct {
		Issue []struct {
			Details     struct{ Text string }
			Diagnostics string
		}
	}
	r := Refusal{Line: -1, Offset: -1}
	if err := json.Unmarshal([]byte(line), &outcome); err != nil || len(outcome.Issue) == 0 {
		r.Text = "the entry of the error log cannot be read"
		return r
	}
	issue := outcome.Issue[0]
	if r.Text = issue.Details.Text; r.Text == "" {
		r.Text = issue.Diagnostics
	}
	if at := refusedAt.FindStringSubmatch(issue.Diagnostics); at != nil {
		lineNumber, err1 := strconv.ParseInt(at[1], 10, 64)
		offset, err2 := strconv.ParseInt(at[2], 10, 64)
		if err1 == nil && err2 == nil {
			r.Line, r.Offset = lineNumber, offset
		}
	}
	if id := refusedID.FindStringSubmatch(r.Text); id != nil {
		r.ResourceID = strings.TrimRight(id[1], ".")
	}
	return r
}

// LineAt is the line of an exported file that a Refusal names: number line, from 0, of those that begin at byte offset or
// later. The file is streamed.
func (s *Store) LineAt(ctx context.Context, fileURL string, line, offset int64) ([]byte, error) {
	container, name, err := blobOf(fileURL)
	if err != nil {
		return nil, err
	}
	body, err := s.exported.get(ctx, container, name, 0)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	found, err := lineAt(body, line, offset)
	return found, wrap("read", container, name, err)
}

func lineAt(body io.Reader, line, offset int64) ([]byte, error) {
	r, done := lineReader(body)
	defer done()
	for at, n := int64(0), int64(0); ; {
		text, err := readLine(r)
		if at >= offset && len(text) > 0 {
			if n == line {
				return bytes.Clone(bytes.TrimSpace(text)), nil
			}
			n++
		}
		at += int64(len(text))
		if err == io.EOF {
			return nil, fmt.Errorf("there is no line %d from byte %d on", line, offset)
		}
		if err != nil {
			return nil, err
		}
	}
}

// PutLine saves one line of an exported file as a file of its own, beside it, to be imported alone. It returns the new file's
// URL. Saving the same again is harmless.
func (s *Store) PutLine(ctx context.Context, fileURL, name string, line []byte) (string, error) {
	container, blobName, url, err := beside(fileURL, name)
	if err != nil {
		return "", err
	}
	return url, s.exported.put(ctx, container, blobName, bytes.NewReader(append(line, '\n')), overwrite)
}

// LineURL is the URL that PutLine returns for a name beside an exported file.
func LineURL(fileURL, name string) (string, error) {
	_, _, url, err := beside(fileURL, name)
	return url, err
}

// beside is where a file of that name is beside the one with that URL.
func beside(fileURL, name string) (container, blobName, url string, _ error) {
	container, file, err := blobOf(fileURL)
	if err != nil {
		return "", "", "", err
	}
	folder := ""
	if i := strings.LastIndex(file, "/"); i >= 0 {
		folder = file[:i+1]
	}
	return container, folder + name, strings.TrimSuffix(fileURL, file) + folder + name, nil
}
