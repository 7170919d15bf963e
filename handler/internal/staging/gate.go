package staging

import (
	"context"
	"io"
)

// Call is one call to the storage account, as a Gate sees it.
type Call struct {
	Op        string // "create" (a container), "save", "read", "remove" or "list"
	Container string
	Blob      string // "" for create
}

// Writes says whether the call changes something.
func (c Call) Writes() bool { return c.Op != "read" && c.Op != "list" }

// A Gate stands before every call of a store. do makes the call; the Gate may leave it undone, and what the Gate returns is
// what the caller gets: nil only when do was called and returned nil. So it can let a process die before or after a call and
// lose a reply, or call do twice, as the SDK does when it misses a reply: the tests do.
type Gate func(ctx context.Context, c Call, do func() error) error

// Gated returns a store on the same accounts of which every call goes through gate.
func (s *Store) Gated(gate Gate) *Store {
	return &Store{gatedBlobs{s.blobs, gate}, gatedBlobs{s.exported, gate}}
}

type gatedBlobs struct {
	blobs
	gate Gate
}

func (b gatedBlobs) createContainer(ctx context.Context, container string) error {
	return b.gate(ctx, Call{Op: "create", Container: container}, func() error { return b.blobs.createContainer(ctx, container) })
}

func (b gatedBlobs) put(ctx context.Context, container, name string, body io.ReadSeeker, how condition) error {
	return b.gate(ctx, Call{Op: "save", Container: container, Blob: name}, func() error {
		if _, err := body.Seek(0, io.SeekStart); err != nil { // do may be called again, as a retry of the SDK
			return err
		}
		return b.blobs.put(ctx, container, name, body, how)
	})
}

func (b gatedBlobs) upload(ctx context.Context, container, name string, open func() (io.ReadCloser, error)) error {
	return b.gate(ctx, Call{Op: "save", Container: container, Blob: name}, func() error { return b.blobs.upload(ctx, container, name, open) })
}

func (b gatedBlobs) get(ctx context.Context, container, name string, from int64) (body io.ReadCloser, err error) {
	err = b.gate(ctx, Call{Op: "read", Container: container, Blob: name}, func() (err error) {
		body, err = b.blobs.get(ctx, container, name, from)
		return err
	})
	if err != nil && body != nil {
		body.Close()
		body = nil
	}
	return body, err
}

func (b gatedBlobs) etag(ctx context.Context, container, name string) (etag string, err error) {
	err = b.gate(ctx, Call{Op: "read", Container: container, Blob: name}, func() (err error) {
		etag, err = b.blobs.etag(ctx, container, name)
		return err
	})
	return etag, err
}

func (b gatedBlobs) remove(ctx context.Context, container, name string) error {
	return b.gate(ctx, Call{Op: "remove", Container: container, Blob: name}, func() error { return b.blobs.remove(ctx, container, name) })
}

func (b gatedBlobs) reach(ctx context.Context) error {
	return b.gate(ctx, Call{Op: "list"}, func() error { return b.blobs.reach(ctx) })
}

func (b gatedBlobs) list(ctx context.Context, container, prefix string) (names []string, err error) {
	err = b.gate(ctx, Call{Op: "list", Container: container, Blob: prefix}, func() (err error) {
		names, err = b.blobs.list(ctx, container, prefix)
		return err
	})
	if err != nil {
		return nil, err
	}
	return names, nil
}
