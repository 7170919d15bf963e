package staging

import (
	"errors"
	"testing"
)

// A probe leaves nothing behind.
func TestProbe(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *Store) {
		if err := s.Probe(t.Context(), "ab"); err != nil {
			t.Fatal(err)
		}
		if err := s.ReachExported(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := s.blobs.get(t.Context(), checksContainer, "access-probe-ab", 0); !errors.Is(err, ErrNotFound) {
			t.Errorf("it is still there: %v", err)
		}
		if err := s.blobs.remove(t.Context(), "no-such-container", "nothing"); err != nil {
			t.Errorf("a blob that is gone: %v", err)
		}
	})
}

func TestAccountOf(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"https://account.blob.core.windows.net/export-1/Patient-1.ndjson": "https://account.blob.core.windows.net",
		"http://127.0.0.1:10000/devstoreaccount1/export-1/Patient.ndjson": "http://127.0.0.1:10000/devstoreaccount1",
	} {
		if got := AccountOf(url); got != want {
			t.Errorf("%s: %s", url, got)
		}
	}
}
