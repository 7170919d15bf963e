package staging

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
)

// LeftOut are the lines that a look at exported files would leave out of an import. It is saved before anybody is asked, and what is done
// when they are left out derives from it alone.
type LeftOut struct {
	Files []LeftOutFile `json:"files"`
}

// LeftOutFile is a file with lines to leave out.
type LeftOutFile struct {
	File    int           `json:"file"` // number in the manifest, of those to import
	Type    string        `json:"type"`
	URL     string        `json:"url"`     // with the lines
	Without string        `json:"without"` // the file that takes its place
	Lines   []LeftOutLine `json:"lines"`   // by Offset
}

// LeftOutLine is a line to leave out.
type LeftOutLine struct {
	Line   int64  `json:"line"`   // from 0, empty lines counted
	Offset int64  `json:"offset"` // the byte at which it begins
	ID     string `json:"id"`
	Kind   string `json:"kind"` // of what was found
	Detail string `json:"detail"`
}

// Offsets are where the lines begin.
func (f LeftOutFile) Offsets() []int64 {
	all := make([]int64, len(f.Lines))
	for i, l := range f.Lines {
		all[i] = l.Offset
	}
	return all
}

// preflightBlob names what belongs to a look at the files of an export.
func preflightBlob(look int, what string) string { return fmt.Sprintf("preflight_%d%s", look, what) }

// PutLook saves how far a look at the files of an export is.
func (s *Store) PutLook(ctx context.Context, exportID string, look int, state []byte) error {
	return s.put(ctx, exportID, preflightBlob(look, "_state"), bytes.NewReader(state))
}

// Look opens what PutLook saved. ErrNotFound.
func (s *Store) Look(ctx context.Context, exportID string, look int) (io.ReadCloser, error) {
	name, err := containerOf(exportID)
	if err != nil {
		return nil, err
	}
	return s.blobs.get(ctx, name, preflightBlob(look, "_state"), 0)
}

// PutLookFindings saves the findings of a look for a person, NDJSON. It returns container and blob.
func (s *Store) PutLookFindings(ctx context.Context, exportID string, look int, ndjson []byte) (where string, err error) {
	container, err := containerOf(exportID)
	if err != nil {
		return "", err
	}
	name := preflightBlob(look, "_findings.ndjson")
	return container + "/" + name, s.put(ctx, exportID, name, bytes.NewReader(ndjson))
}

// PutLeftOut saves what is to be left out.
func (s *Store) PutLeftOut(ctx context.Context, exportID string, look int, l LeftOut) error {
	body, err := json.Marshal(l)
	if err != nil {
		return err
	}
	return s.put(ctx, exportID, preflightBlob(look, "_leftout.json"), bytes.NewReader(body))
}

// LeftOut reads what PutLeftOut saved.
func (s *Store) LeftOut(ctx context.Context, exportID string, look int) (l LeftOut, err error) {
	container, err := containerOf(exportID)
	if err != nil {
		return l, err
	}
	name := preflightBlob(look, "_leftout.json")
	body, err := s.blobs.get(ctx, container, name, 0)
	if err != nil {
		return l, err
	}
	defer body.Close()
	return l, wrap("read", container, name, json.NewDecoder(bufio.NewReader(body)).Decode(&l))
}

// WithoutURL is where a file goes without the lines that are left out: into our own container, on the account that the services import from, as
// they take no other.
func (s *Store) WithoutURL(exportID, fileURL string, look, file int) (string, error) {
	container, name, err := blobOf(fileURL)
	if err != nil {
		return "", err
	}
	own, err := containerOf(exportID)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(fileURL)
	if err != nil {
		return "", err
	}
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, container+"/"+name)+own+"/"+preflightBlob(look, fmt.Sprintf("_file_%d.ndjson", file)), ""
	return u.String(), nil
}

// PutWithout writes the file of f without its lines to f.Without. The original stays as it is. Doing it again writes the same.
func (s *Store) PutWithout(ctx context.Context, f LeftOutFile) error {
	container, name, err := blobOf(f.URL)
	if err != nil {
		return err
	}
	toContainer, to, err := blobOf(f.Without)
	if err != nil {
		return err
	}
	if err := s.exported.createContainer(ctx, toContainer); err != nil {
		return err
	}
	return s.exported.upload(ctx, toContainer, to, func() (io.ReadCloser, error) {
		body, err := s.exported.get(ctx, container, name, 0)
		if err != nil {
			return nil, err
		}
		return without(body, f.Offsets()), nil
	})
}

// without reads body without the lines that begin at offsets, which are sorted. One that is not there is an error: the file is another one.
func without(body io.ReadCloser, offsets []int64) io.ReadCloser {
	r, w := io.Pipe()
	go func() { w.CloseWithError(copyWithout(w, body, offsets)) }()
	return pipe{r, body}
}

func copyWithout(to io.Writer, body io.Reader, offsets []int64) error {
	r, done := lineReader(body)
	defer done()
	at, left := int64(0), slices.Clone(offsets)
	for {
		line, err := readLine(r)
		if len(left) > 0 && left[0] == at && len(line) > 0 {
			left = left[1:]
		} else if _, wrong := to.Write(line); wrong != nil {
			return wrong
		}
		at += int64(len(line))
		switch {
		case err == io.EOF && len(left) > 0:
			return fmt.Errorf("there is no line at byte %d: the file is not the one that was looked at", left[0])
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// pipe closes both of its ends, so that who writes into it ends, too.
type pipe struct {
	*io.PipeReader
	body io.Closer
}

// Close ends the writer and closes what it reads.
func (p pipe) Close() error {
	p.PipeReader.Close()
	return p.body.Close()
}
