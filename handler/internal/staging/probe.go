package staging

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
)

// Probe finds out whether the app's own account can be used: it saves a blob of no meaning, reads it and removes it. unique keeps two
// probes apart.
func (s *Store) Probe(ctx context.Context, unique string) error {
	name, content := "access-probe-"+unique, []byte(`"this blob may be removed"`)
	if err := s.blobs.createContainer(ctx, checksContainer); err != nil {
		return err
	}
	if err := s.blobs.put(ctx, checksContainer, name, bytes.NewReader(content), overwrite); err != nil {
		return err
	}
	body, err := s.blobs.get(ctx, checksContainer, name, 0)
	if err != nil {
		return err
	}
	read, err := io.ReadAll(io.LimitReader(body, 1<<10))
	if err = errors.Join(err, body.Close()); err == nil && !bytes.Equal(read, content) {
		err = fmt.Errorf("blob %s/%s is not as it was saved", checksContainer, name)
	}
	return errors.Join(err, s.blobs.remove(ctx, checksContainer, name))
}

// ReachExported finds out whether the account with the exported files can be read at all.
func (s *Store) ReachExported(ctx context.Context) error { return s.exported.reach(ctx) }

// AccountOf is where an exported file is: the scheme and host of its URL, and the account where an emulator has it in the path.
func AccountOf(fileURL string) string {
	u, err := url.Parse(fileURL)
	if err != nil {
		return ""
	}
	account := u.Scheme + "://" + u.Host
	if first, _, more := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/"); more && !strings.Contains(u.Host, ".blob.") {
		account += "/" + first
	}
	return account
}
