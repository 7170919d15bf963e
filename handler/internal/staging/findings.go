package staging

import (
	"bytes"
	"context"
)

// checksContainer holds what checks found, one folder a run.
const checksContainer = "migration-checks"

// PutFindings saves findings of a run, NDJSON, under a name that is used once. It returns container and blob as a person looks for them.
func (s *Store) PutFindings(ctx context.Context, name string, ndjson []byte) (where string, err error) {
	if err := s.blobs.createContainer(ctx, checksContainer); err != nil {
		return "", err
	}
	return checksContainer + "/" + name, s.blobs.put(ctx, checksContainer, name, bytes.NewReader(ndjson), overwrite)
}

// Findings hands the lines of what PutFindings saved under name to yield, until it wants no more.
func (s *Store) Findings(ctx context.Context, name string, yield func(line string) (more bool, err error)) error {
	return lines(ctx, s.blobs, checksContainer, name, 0, yield)
}
