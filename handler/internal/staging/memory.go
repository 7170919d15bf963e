package staging

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// Memory is a storage account in memory, the twin of the one in Azure: what the crash suite runs on. It lives as long as the
// test, whatever dies in it: stores opened on one Memory see the same blobs. It is safe for concurrent use; a call either
// happens as a whole or not at all.
type Memory struct {
	mu         sync.Mutex
	containers map[string]map[string][]byte
}

// NewMemory makes a storage account without containers.
func NewMemory() *Memory { return &Memory{containers: map[string]map[string][]byte{}} }

// OpenMemory makes a store whose blobs are in m.
func OpenMemory(m *Memory) *Store { return &Store{memoryBlobs{m}, memoryBlobs{m}} }

// Put saves a blob as somebody else who writes to the account: a FHIR service that exports. Its container need not be there.
func (m *Memory) Put(container, name string, content []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.containers[container] == nil {
		m.containers[container] = map[string][]byte{}
	}
	m.containers[container][name] = bytes.Clone(content)
}

// Get reads a blob as somebody else does. ok is false when there is none.
func (m *Memory) Get(container, name string) (content []byte, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	content, ok = m.containers[container][name]
	return bytes.Clone(content), ok
}

type memoryBlobs struct{ memory *Memory }

func (b memoryBlobs) createContainer(ctx context.Context, container string) error {
	if err := ctx.Err(); err != nil {
		return wrap("create", container, "", err)
	}
	b.memory.mu.Lock()
	defer b.memory.mu.Unlock()
	if b.memory.containers[container] == nil {
		b.memory.containers[container] = map[string][]byte{}
	}
	return nil
}

func (b memoryBlobs) put(ctx context.Context, container, name string, body io.ReadSeeker, how condition) error {
	if err := ctx.Err(); err != nil {
		return wrap("save", container, name, err)
	}
	content, err := io.ReadAll(body)
	if err != nil {
		return wrap("save", container, name, err)
	}
	b.memory.mu.Lock()
	defer b.memory.mu.Unlock()
	held := b.memory.containers[container]
	if held == nil {
		return wrap("save", container, name, ErrNotFound)
	}
	if _, there := held[name]; there && how == createOnly {
		return wrap("save", container, name, errBlobExists)
	}
	held[name] = content
	return nil
}

func (b memoryBlobs) upload(ctx context.Context, container, name string, open func() (io.ReadCloser, error)) error {
	body, err := open()
	if err != nil {
		return err
	}
	defer body.Close()
	content, err := io.ReadAll(body)
	if err != nil {
		return wrap("save", container, name, err)
	}
	return b.put(ctx, container, name, bytes.NewReader(content), overwrite)
}

func (b memoryBlobs) get(ctx context.Context, container, name string, from int64) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, wrap("read", container, name, err)
	}
	b.memory.mu.Lock()
	defer b.memory.mu.Unlock()
	content, there := b.memory.containers[container][name]
	if !there {
		return nil, wrap("read", container, name, ErrNotFound)
	}
	return io.NopCloser(bytes.NewReader(content[min(from, int64(len(content))):])), nil
}

func (b memoryBlobs) etag(ctx context.Context, container, name string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", wrap("look at", container, name, err)
	}
	b.memory.mu.Lock()
	defer b.memory.mu.Unlock()
	content, there := b.memory.containers[container][name]
	if !there {
		return "", wrap("look at", container, name, ErrNotFound)
	}
	return fmt.Sprintf("0x%x", sha256.Sum256(content)), nil
}

func (b memoryBlobs) remove(ctx context.Context, container, name string) error {
	if err := ctx.Err(); err != nil {
		return wrap("remove", container, name, err)
	}
	b.memory.mu.Lock()
	defer b.memory.mu.Unlock()
	delete(b.memory.containers[container], name)
	return nil
}

func (b memoryBlobs) reach(ctx context.Context) error { return ctx.Err() }

func (b memoryBlobs) list(ctx context.Context, container, prefix string) (names []string, _ error) {
	if err := ctx.Err(); err != nil {
		return nil, wrap("list", container, prefix, err)
	}
	b.memory.mu.Lock()
	defer b.memory.mu.Unlock()
	for name := range b.memory.containers[container] {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}
