package staging

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// File is one NDJSON file of an export.
type File struct {
	Type  string `json:"type"`
	URL   string `json:"url"`
	Count int64  `json:"count"` // lines; the service's int32

	// LeftOut are the lines, counted in Count, that are not in the file of URL any more: it is one that was written without them.
	LeftOut int64 `json:"-"`
}

// Manifest is the 200 body of an export: its files, and enough of the rest to recognise it.
type Manifest struct {
	TransactionTime string // when the job was created, not the window's Till
	Request         string // the kick-off URL
	Files           []File
}

// ErrExportErrors: the manifest lists files of errors, so something that should have been exported is not in its output.
var ErrExportErrors = errors.New("the export reports errors")

// searchParameter is exported like any type and refused by $import.
const searchParameter = "SearchParameter"

// ReadManifest reads a manifest to its very end. A body that stops early, names a file twice, has errors, or is no
// manifest at all is an error: half a manifest would be half a window.
func ReadManifest(r io.Reader) (Manifest, error) {
	var m Manifest
	outputs := 0
	d := json.NewDecoder(bufio.NewReader(r))
	err := readObject(d, func(key string) error {
		switch key {
		case "transactionTime":
			return d.Decode(&m.TransactionTime)
		case "request":
			return d.Decode(&m.Request)
		case "output":
			outputs++
			return readArray(d, func() error { return m.readFile(d) })
		case "error":
			return readArray(d, func() error {
				var f File
				if err := d.Decode(&f); err != nil {
					return err
				}
				return fmt.Errorf("%w in %.200q", ErrExportErrors, f.URL)
			})
		}
		var ignored json.RawMessage
		return d.Decode(&ignored)
	})
	if err != nil {
		return Manifest{}, fmt.Errorf("export manifest: %w", noEOF(err))
	}
	if _, err := d.Token(); err != io.EOF {
		return Manifest{}, errors.New("export manifest: something follows after its end")
	}
	if outputs != 1 {
		return Manifest{}, fmt.Errorf("export manifest: %d members \"output\", want one", outputs)
	}
	return m, m.checkURLs()
}

func (m *Manifest) readFile(d *json.Decoder) error {
	var f File
	if err := d.Decode(&f); err != nil {
		return err
	}
	if f.Type == "" || f.URL == "" || f.Count < 0 {
		return fmt.Errorf("output %d lacks type or url, or counts below 0", len(m.Files)+1)
	}
	m.Files = append(m.Files, f)
	return nil
}

func (m *Manifest) checkURLs() error {
	slices.SortFunc(m.Files, func(a, b File) int { return strings.Compare(a.URL, b.URL) })
	for i := 1; i < len(m.Files); i++ {
		if m.Files[i].URL == m.Files[i-1].URL {
			return fmt.Errorf("export manifest: names %.300q twice", m.Files[i].URL)
		}
	}
	return nil
}

// Same says whether both are the manifest of one export.
func (m Manifest) Same(o Manifest) bool {
	return m.TransactionTime == o.TransactionTime && m.Request == o.Request && slices.Equal(m.Files, o.Files)
}

// CountsByType sums the lines by resource type, SearchParameter included.
func (m Manifest) CountsByType() map[string]int64 {
	n := map[string]int64{}
	for _, f := range m.Files {
		n[f.Type] += f.Count
	}
	return n
}

// Lines is the number of lines of all files, SearchParameter included.
func (m Manifest) Lines() int64 { return Lines(m.Files) }

// SearchParameters is the number of lines that are never imported.
func (m Manifest) SearchParameters() (n int64) {
	for _, f := range m.Files {
		if f.Type == searchParameter {
			n += f.Count
		}
	}
	return n
}

// OtherThan is a type that the manifest has files of beside typ, "" when there is none, and for typ "", which is all types.
func (m Manifest) OtherThan(typ string) string {
	for _, f := range m.Files {
		if typ != "" && f.Type != typ {
			return f.Type
		}
	}
	return ""
}

// ToImport are the files to import, sorted by URL: all but those of SearchParameter.
func (m Manifest) ToImport() []File {
	return slices.DeleteFunc(slices.Clone(m.Files), func(f File) bool { return f.Type == searchParameter })
}

// Lines is the number of lines of files, Unknown where that of one of them is.
func Lines(files []File) (n int64) {
	for _, f := range files {
		if f.Count < 0 {
			return Unknown
		}
		n += f.Count
	}
	return n
}

// readObject calls member for each key of the object that comes next; member reads the value.
func readObject(d *json.Decoder, member func(key string) error) error {
	if err := wantDelim(d, '{'); err != nil {
		return err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		if err := member(key.(string)); err != nil {
			return err
		}
	}
	return wantDelim(d, '}')
}

// readArray calls element for each element of the array that comes next; null is an empty array.
func readArray(d *json.Decoder, element func() error) error {
	t, err := d.Token()
	if err != nil || t == nil {
		return err
	}
	if t != json.Delim('[') {
		return fmt.Errorf("want an array, found %v", t)
	}
	for d.More() {
		if err := element(); err != nil {
			return err
		}
	}
	return wantDelim(d, ']')
}

func wantDelim(d *json.Decoder, want json.Delim) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	if t != want {
		return fmt.Errorf("want %v, found %.200v", want, t)
	}
	return nil
}

// noEOF makes the end of a body that should go on an error that nobody takes for a regular end.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
