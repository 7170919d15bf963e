package staging

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Unknown is the count of a file of which it is not known how many lines it has.
const Unknown int64 = -1

// OriginalPayload is one $import of the original, as the blob of its request body says.
type OriginalPayload struct {
	Blob  string `json:"blob"` // "" for files that are in no such blob
	Files []File `json:"files"`
}

// TakenOver are the files of an export that the original imported in payloads of its own, in their order. It is saved once for an
// export and never replaced: the rows name files by their number in it.
type TakenOver struct {
	Payloads []OriginalPayload `json:"payloads"`
	Counted  bool              `json:"counted"` // the export's own manifest has told the lines of every file
}

// Files are those of all payloads.
func (t TakenOver) Files() (files []File) {
	for _, p := range t.Payloads {
		files = append(files, p.Files...)
	}
	return files
}

// ErrNoRequest: a request body that the original saved is none, as one that was cut off.
var ErrNoRequest = errors.New("a saved request body is not that of an import")

const takenOverBlob = "taken_over.json"

// originalContainers are where the original keeps the request bodies of an export: those that it has not posted, and those that it has.
func originalContainers(exportID string) ([]string, error) {
	if err := CheckExportID(exportID); err != nil {
		return nil, err
	}
	id := strings.ToLower(exportID)
	return []string{"import-" + id, "importprocessed-" + id}, nil
}

// OriginalPayloads reads the request bodies that the original saved for an export, in the order of their numbers. A body that is in both
// containers counts once: it is copied to the second before it is deleted from the first. Counts of files are Unknown. ErrNoRequest.
func (s *Store) OriginalPayloads(ctx context.Context, exportID string) (all []OriginalPayload, _ error) {
	containers, err := originalContainers(exportID)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, container := range containers {
		names, err := s.blobs.list(ctx, container, "import_payload_")
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if payloadNumber(name) == 0 || seen[name] {
				continue
			}
			seen[name] = true
			body, err := s.read(ctx, container, name)
			if errors.Is(err, ErrNotFound) { // moved meanwhile
				seen[name] = false
				continue
			}
			if err != nil {
				return nil, err
			}
			files, err := filesIn(body)
			if err != nil {
				return nil, wrap("read", container, name, fmt.Errorf("%w: %w", ErrNoRequest, err))
			}
			all = append(all, OriginalPayload{name, files})
		}
	}
	slices.SortFunc(all, func(a, b OriginalPayload) int { return cmp.Compare(payloadNumber(a.Blob), payloadNumber(b.Blob)) })
	return all, nil
}

// payloadNumber is N of import_payload_N.json, 0 for any other name.
func payloadNumber(name string) int {
	n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(name, "import_payload_"), ".json"))
	if err != nil || n < 1 || name != fmt.Sprintf("import_payload_%d.json", n) {
		return 0
	}
	return n
}

// filesIn are the inputs of an $import's body.
func filesIn(body []byte) (files []File, _ error) {
	var p struct {
		Parameter []struct {
			Name string
			Part []struct{ Name, ValueString, ValueURI, ValueURL, ValueCode string }
		}
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return nil, err
	}
	for _, input := range p.Parameter {
		if input.Name != "input" {
			continue
		}
		f := File{Count: Unknown}
		for _, part := range input.Part {
			value := cmp.Or(part.ValueString, part.ValueURI, part.ValueURL, part.ValueCode)
			switch part.Name {
			case "type":
				f.Type = value
			case "url":
				f.URL = value
			}
		}
		if f.URL == "" {
			return nil, errors.New("an input has no url")
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		return nil, errors.New("a request body without input")
	}
	return files, nil
}

// OriginalBody is a request body as the original saved it: posted again, it gives the job that it gave before.
func (s *Store) OriginalBody(ctx context.Context, exportID, blobName string) ([]byte, error) {
	containers, err := originalContainers(exportID)
	if err != nil {
		return nil, err
	}
	body, err := s.read(ctx, containers[0], blobName)
	if errors.Is(err, ErrNotFound) {
		body, err = s.read(ctx, containers[1], blobName)
	}
	return body, err
}

func (s *Store) read(ctx context.Context, container, name string) ([]byte, error) {
	body, err := s.blobs.get(ctx, container, name, 0)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	return text, wrap("read", container, name, err)
}

// PutTakenOver saves what was found of an export. It returns what is saved: one that is there already stays, as rows may name its files.
func (s *Store) PutTakenOver(ctx context.Context, exportID string, t TakenOver) (TakenOver, error) {
	name, err := containerOf(exportID)
	if err != nil {
		return t, err
	}
	body, err := json.Marshal(t)
	if err != nil {
		return t, err
	}
	if err := s.blobs.createContainer(ctx, name); err != nil {
		return t, err
	}
	err = s.blobs.put(ctx, name, takenOverBlob, bytes.NewReader(body), createOnly)
	if errors.Is(err, errBlobExists) {
		return s.TakenOver(ctx, exportID)
	}
	return t, err
}

// TakenOver reads what PutTakenOver saved. ErrNotFound.
func (s *Store) TakenOver(ctx context.Context, exportID string) (t TakenOver, _ error) {
	name, err := containerOf(exportID)
	if err != nil {
		return t, err
	}
	body, err := s.read(ctx, name, takenOverBlob)
	if err != nil {
		return t, err
	}
	return t, wrap("read", name, takenOverBlob, json.Unmarshal(body, &t))
}

// Refusing says which of files the result has refused lines of, and how many lines of the others were imported.
func (r ImportResult) Refusing(files []File) (refusing []int, imported int64) {
	for i, f := range files {
		if r.Refused[f.URL] > 0 {
			refusing = append(refusing, i)
			continue
		}
		imported += r.Imported[f.URL]
	}
	return refusing, imported
}
