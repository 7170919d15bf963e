package migration

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// fhirStorage is the storage of the FHIR services in the crash suite: a blob service in memory that knows what they ask for
// and no more. The storage emulator would take most of the suite's time.
type fhirStorage struct {
	server *httptest.Server

	mu       sync.Mutex
	accounts int
	blobs    map[string][]byte // by path; a container is a blob, too
}

func startFHIRStorage(t *testing.T) *fhirStorage {
	s := &fhirStorage{blobs: map[string][]byte{}}
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	return s
}

// account makes an account; forget throws its blobs away.
func (s *fhirStorage) account() (connectionString string, forget func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts++
	name := fmt.Sprintf("account%d", s.accounts)
	return fmt.Sprintf("DefaultEndpointsProtocol=http;AccountName=%s;AccountKey=Y3Jhc2g=;BlobEndpoint=%s/%s;", name, s.server.URL, name), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		maps.DeleteFunc(s.blobs, func(path string, _ []byte) bool { return strings.HasPrefix(path, "/"+name+"/") })
	}
}

// ServeHTTP creates containers, writes and reads blobs, and grants every lease.
func (s *fhirStorage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := r.URL.Query()
	content, there := s.blobs[r.URL.Path]
	w.Header().Set("ETag", fmt.Sprintf(`"%d"`, len(content)))
	switch {
	case r.Method == http.MethodPut && q.Get("comp") == "lease":
		w.Header().Set("X-Ms-Lease-Id", "6f0d3c39-8a8c-4b0b-9d7e-3f6a0c0de001")
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodPut && q.Get("restype") == "container" && there:
		w.Header().Set("X-Ms-Error-Code", "ContainerAlreadyExists")
		w.WriteHeader(http.StatusConflict)
	case r.Method == http.MethodPut && (q.Get("restype") == "container" || s.blobs[containerPath(r.URL.Path)] != nil):
		s.blobs[r.URL.Path] = body
		w.WriteHeader(http.StatusCreated)
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && there:
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		if r.Method == http.MethodGet {
			_, _ = w.Write(content) // a caller that is gone does not matter
		}
	default:
		w.Header().Set("X-Ms-Error-Code", "BlobNotFound")
		w.WriteHeader(http.StatusNotFound)
	}
}

// containerPath is the path of the container that holds the blob at path: /account/container.
func containerPath(path string) string {
	parts := strings.SplitN(path, "/", 4)
	return strings.Join(parts[:min(3, len(parts))], "/")
}
