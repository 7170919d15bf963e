package migration

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"fhirmigration/handler/internal/staging"
)

// fhirStorage is how the FHIR services of the crash suite reach the storage accounts in memory: a blob service that knows
// what they ask for and no more. The storage emulator would take most of the suite's time.
type fhirStorage struct {
	server *httptest.Server

	mu       sync.Mutex
	made     int
	accounts map[string]*staging.Memory
}

func startFHIRStorage(t *testing.T) *fhirStorage {
	s := &fhirStorage{accounts: map[string]*staging.Memory{}}
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	return s
}

// account serves an account, until it is forgotten.
func (s *fhirStorage) account(blobs *staging.Memory) (connectionString string, forget func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	name := fmt.Sprintf("account%d", s.made)
	s.accounts[name] = blobs
	return fmt.Sprintf("DefaultEndpointsProtocol=http;AccountName=%s;AccountKey=Y3Jhc2g=;BlobEndpoint=%s/%s;", name, s.server.URL, name), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.accounts, name)
	}
}

// ServeHTTP writes and reads blobs, and grants every container and lease that it is asked for.
func (s *fhirStorage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	path := strings.SplitN(strings.Trim(r.URL.Path, "/"), "/", 3) // account, container, blob
	s.mu.Lock()
	blobs := s.accounts[path[0]]
	s.mu.Unlock()
	q := r.URL.Query()
	switch {
	case blobs == nil || len(path) < 2:
		http.Error(w, "no such account", http.StatusNotFound)
	case r.Method == http.MethodPut && q.Get("restype") == "container":
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodPut && q.Get("comp") == "lease":
		w.Header().Set("X-Ms-Lease-Id", "6f0d3c39-8a8c-4b0b-9d7e-3f6a0c0de001")
		w.WriteHeader(http.StatusCreated)
	case len(path) == 3 && r.Method == http.MethodPut:
		blobs.Put(path[1], path[2], body)
		w.WriteHeader(http.StatusCreated)
	case len(path) == 3:
		readBlob(w, r, blobs, path[1], path[2])
	}
}

func readBlob(w http.ResponseWriter, r *http.Request, blobs *staging.Memory, container, name string) {
	content, there := blobs.Get(container, name)
	if !there {
		w.Header().Set("X-Ms-Error-Code", "BlobNotFound")
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%d"`, len(content)))
	w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(content) // a caller that is gone does not matter
	}
}
