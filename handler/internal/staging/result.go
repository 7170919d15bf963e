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

// ImportResult is the 200 body of an $import, summed by input file.
type ImportResult struct {
	Imported map[string]int64 // accepted lines by inputUrl, no-op repeats of identical versions included
	Refused  map[string]int64 // refused lines by inputUrl
	ErrorLog []string         // URLs of the error logs
	Errors   []ImportError    // as the result lists them
}

// ImportError is what one processing unit of an import refused.
type ImportError struct {
	InputURL string
	Count    int64 // lines; the log may hold more (written twice by a restarted worker) or, wrongly, less
	LogURL   string
}

type importEntry struct {
	Count    int64  `json:"count"`
	InputURL string `json:"inputUrl"`
	URL      string `json:"url"`
}

// ReadImportResult reads the result of an $import to its very end.
func ReadImportResult(r io.Reader) (ImportResult, error) {
	res := ImportResult{Imported: map[string]int64{}, Refused: map[string]int64{}}
	outputs := 0
	d := json.NewDecoder(bufio.NewReader(r))
	err := readObject(d, func(key string) error {
		switch key {
		case "output":
			outputs++
			return readEntries(d, func(e importEntry) { res.Imported[e.InputURL] += e.Count })
		case "error": // one entry for each processing unit: the same file may come again
			return readEntries(d, func(e importEntry) {
				res.Refused[e.InputURL] += e.Count
				res.Errors = append(res.Errors, ImportError{e.InputURL, e.Count, e.URL})
				if e.URL != "" && !slices.Contains(res.ErrorLog, e.URL) {
					res.ErrorLog = append(res.ErrorLog, e.URL)
				}
			})
		}
		var ignored json.RawMessage
		return d.Decode(&ignored)
	})
	if err != nil {
		return ImportResult{}, fmt.Errorf("import result: %w", noEOF(err))
	}
	if _, err := d.Token(); err != io.EOF {
		return ImportResult{}, errors.New("import result: something follows after its end")
	}
	if outputs != 1 {
		return ImportResult{}, fmt.Errorf("import result: %d members \"output\", want one", outputs)
	}
	return res, nil
}

func readEntries(d *json.Decoder, add func(importEntry)) error {
	return readArray(d, func() error {
		var e importEntry
		if err := d.Decode(&e); err != nil {
			return err
		}
		if e.InputURL == "" || e.Count < 0 {
			return errors.New("an entry lacks inputUrl or counts below 0")
		}
		add(e)
		return nil
	})
}

// Lines is the number of lines that the result speaks of.
func (r ImportResult) Lines() (n int64) {
	for _, counts := range []map[string]int64{r.Imported, r.Refused} {
		for _, lines := range counts {
			n += lines
		}
	}
	return n
}

// Books are a result compared with the files that were posted.
type Books struct {
	Imported, Refused int64    // of the files that balance; lines that were left out count as refused
	Unbalanced        []int    // which of the files do not: lines in the manifest are not lines imported + lines refused
	Named             []string // those files with their numbers, and files that are counted but were not posted
}

// names says whether the result speaks of a file; one without lines is named too.
func (r ImportResult) names(url string) bool {
	_, imported := r.Imported[url]
	_, refused := r.Refused[url]
	return imported || refused
}

// Books compares the result with the files that were posted, file by file. Of one whose lines are not known it counts what there is.
func (r ImportResult) Books(files []File) (b Books) {
	posted := make(map[string]bool, len(files))
	for i, f := range files {
		posted[f.URL] = true
		in, out := r.Imported[f.URL], r.Refused[f.URL]
		if in+out+f.LeftOut == f.Count || f.Count == Unknown && r.names(f.URL) {
			b.Imported, b.Refused = b.Imported+in, b.Refused+out+f.LeftOut
			continue
		}
		b.Unbalanced = append(b.Unbalanced, i)
		if f.Count == Unknown {
			b.Named = append(b.Named, f.URL+": posted, but the result does not name it")
			continue
		}
		b.Named = append(b.Named, fmt.Sprintf("%s: %d lines exported, %d imported, %d refused", f.URL, f.Count, in, out+f.LeftOut))
	}
	for _, counts := range []map[string]int64{r.Imported, r.Refused} {
		for url, n := range counts {
			if !posted[url] {
				b.Named = append(b.Named, fmt.Sprintf("%s: %d lines counted, but the file was not posted", url, n))
			}
		}
	}
	slices.Sort(b.Named)
	return b
}

// RefusedByType counts the refused lines by resource type.
func (r ImportResult) RefusedByType(files []File) map[string]int64 {
	n := map[string]int64{}
	for _, f := range files {
		if refused := r.Refused[f.URL]; refused > 0 {
			n[f.Type] += refused
		}
	}
	return n
}

// CountsText writes counts by type as the original does: "Observation:2, Patient:1".
func CountsText(counts map[string]int64) string {
	var parts []string
	for typ, n := range counts {
		parts = append(parts, fmt.Sprintf("%s:%d", typ, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
