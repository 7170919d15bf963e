package staging

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func (s *Store) text(t *testing.T, container, name string) string {
	t.Helper()
	body, err := s.blobs.get(t.Context(), container, name, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAbsence(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		if _, err := s.Manifest(ctx, "absent-1"); !errors.Is(err, ErrNotFound) {
			t.Errorf("a manifest in no container: %v, want ErrNotFound", err)
		}
		if err := s.PutPayload(ctx, "absent-1", "import_payload_1.json", []byte("{}")); !errors.Is(err, ErrNotFound) {
			t.Errorf("a payload into no container: %v, want ErrNotFound", err)
		}
		if err := s.blobs.put(ctx, "import-absent-1", manifestBlob, strings.NewReader("{}"), createOnly); !errors.Is(err, ErrNotFound) {
			t.Errorf("a manifest into no container: %v, want ErrNotFound", err)
		}
		for range 2 {
			if err := s.blobs.createContainer(ctx, "import-absent-1"); err != nil {
				t.Fatalf("create a container, perhaps again: %v", err)
			}
		}
		if _, err := s.ImportResult(ctx, "absent-1", "import_payload_1.json"); !errors.Is(err, ErrNotFound) {
			t.Errorf("a result that is not there: %v, want ErrNotFound", err)
		}
	})
}

func TestBlobsAreReplacedUnlessCreateOnly(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		if err := s.blobs.createContainer(ctx, "replaced"); err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"one", "two", ""} {
			if err := s.blobs.put(ctx, "replaced", "a/b.json", strings.NewReader(text), overwrite); err != nil {
				t.Fatal(err)
			}
			if got := s.text(t, "replaced", "a/b.json"); got != text {
				t.Errorf("the blob holds %q, want %q", got, text)
			}
		}
		if err := s.blobs.put(ctx, "replaced", "once.json", strings.NewReader("one"), createOnly); err != nil {
			t.Fatal(err)
		}
		if err := s.blobs.put(ctx, "replaced", "once.json", strings.NewReader("two"), createOnly); !errors.Is(err, errBlobExists) {
			t.Errorf("a second time: %v, want errBlobExists", err)
		}
		if got := s.text(t, "replaced", "once.json"); got != "one" {
			t.Errorf("the blob holds %q", got)
		}
	})
}

// A call whose context is over changes nothing.
func TestACallAfterTheEndOfItsContext(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.blobs.createContainer(t.Context(), "over"); err != nil {
			t.Fatal(err)
		}
		if err := s.blobs.put(over, "over", "a", strings.NewReader("a"), overwrite); !errors.Is(err, context.Canceled) {
			t.Errorf("a save: %v", err)
		}
		if _, err := s.blobs.get(t.Context(), "over", "a", 0); !errors.Is(err, ErrNotFound) {
			t.Errorf("the blob whose save was not made: %v", err)
		}
		if err := s.blobs.put(t.Context(), "over", "a", strings.NewReader("a"), overwrite); err != nil {
			t.Fatal(err)
		}
		if _, err := s.blobs.get(over, "over", "a", 0); !errors.Is(err, context.Canceled) {
			t.Errorf("a read: %v", err)
		}
		if err := s.blobs.createContainer(over, "later"); !errors.Is(err, context.Canceled) {
			t.Errorf("a container: %v", err)
		}
	})
}

func TestStoresOnOneMemorySeeTheSameBlobs(t *testing.T) {
	t.Parallel()
	m, ctx := NewMemory(), t.Context()
	one, other := OpenMemory(m), OpenMemory(m)
	if err := one.PutManifest(ctx, "1", strings.NewReader(manifest)); err != nil {
		t.Fatal(err)
	}
	read, err := other.Manifest(ctx, "1")
	if err != nil || len(read.Files) != 4 {
		t.Errorf("the other reads %d files, %v", len(read.Files), err)
	}
}

// A FHIR service writes to the account, too.
func TestMemoryHoldsWhatOthersPut(t *testing.T) {
	t.Parallel()
	m := NewMemory()
	if _, there := m.Get("fhirlogs", "a.ndjson"); there {
		t.Error("a blob before it was put")
	}
	m.Put("fhirlogs", "a.ndjson", []byte("one"))
	m.Put("fhirlogs", "a.ndjson", []byte("two"))
	if got, there := m.Get("fhirlogs", "a.ndjson"); !there || string(got) != "two" {
		t.Errorf("got %q, %v", got, there)
	}
	if got := OpenMemory(m).text(t, "fhirlogs", "a.ndjson"); got != "two" {
		t.Errorf("the store reads %q", got)
	}
	if err := OpenMemory(m).blobs.put(t.Context(), "fhirlogs", "b", strings.NewReader("b"), createOnly); err != nil {
		t.Errorf("into a container that a put has made: %v", err)
	}
}

// A gate sees every call, can keep it from being made, can keep its answer to itself, and can make it twice.
func TestGate(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, plain *Store) {
		ctx := t.Context()
		var calls []string
		undone, lost := errors.New("not made"), errors.New("reply lost")
		s := plain.Gated(func(_ context.Context, c Call, do func() error) error {
			calls = append(calls, c.Op+" "+c.Blob)
			switch {
			case c.Blob == "undone.json" && c.Writes():
				return undone
			case c.Blob == "lost.json" && c.Writes():
				if err := do(); err != nil {
					return err
				}
				return lost
			case c.Blob == "lost.json":
				do()
				return lost
			case c.Blob == manifestBlob && c.Writes():
				do()
			}
			return do()
		})
		if err := s.PutManifest(ctx, "gate-1", strings.NewReader(manifest)); err != nil {
			t.Errorf("a manifest whose saving is repeated by the SDK: %v", err)
		}
		if m, err := s.Manifest(ctx, "gate-1"); err != nil || len(m.Files) != 4 {
			t.Errorf("the manifest: %d files, %v", len(m.Files), err)
		}
		if err := s.PutPayload(ctx, "gate-1", "undone.json", []byte("{}")); !errors.Is(err, undone) {
			t.Errorf("a call that is not made: %v", err)
		}
		if err := s.PutPayload(ctx, "gate-1", "lost.json", []byte("{}")); !errors.Is(err, lost) {
			t.Errorf("a call whose answer is lost: %v", err)
		}
		if _, err := s.blobs.get(ctx, "import-gate-1", "lost.json", 0); !errors.Is(err, lost) {
			t.Errorf("a read whose answer is lost: %v", err)
		}
		if got := plain.text(t, "import-gate-1", "lost.json"); got != "{}" {
			t.Errorf("the blob whose save was made: %q", got)
		}
		if _, err := plain.blobs.get(ctx, "import-gate-1", "undone.json", 0); !errors.Is(err, ErrNotFound) {
			t.Errorf("the blob whose save was not made: %v", err)
		}
		want := []string{"create ", "save manifest.json", "read manifest.json", "read manifest.json", "save undone.json", "save lost.json", "read lost.json"}
		if diff := cmp.Diff(want, calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
	})
}
