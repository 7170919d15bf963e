package migration

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"fhirmigration/handler/internal/staging"
)

// memoryAccount is a storage account in memory; nothing listens there.
const memoryAccount = "DefaultEndpointsProtocol=http;AccountName=memory;AccountKey=Y3Jhc2g=;BlobEndpoint=http://127.0.0.1:3/memory;TableEndpoint=http://127.0.0.1:3/memory;"

// fhirStorage is how the FHIR services of the crash suite reach a storage account in memory: a blob service that knows what
// they ask for and no more, without a network. The storage emulator would take most of the suite's time.
type fhirStorage struct {
	blobs *staging.Memory
}

// RoundTrip makes one call.
func (s fhirStorage) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := bodyOf(r)
	if err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	s.serve(w, r, body)
	reply := w.Result()
	reply.Request = r
	return reply, nil
}

// serve writes and reads blobs, and grants every container and lease that it is asked for.
func (s fhirStorage) serve(w http.ResponseWriter, r *http.Request, body []byte) {
	path := strings.SplitN(strings.Trim(r.URL.Path, "/"), "/", 3) // account, container, blob
	q := r.URL.Query()
	switch {
	case path[0] != "memory" || len(path) < 2:
		http.Error(w, "no such account", http.StatusNotFound)
	case r.Method == http.MethodPut && q.Get("restype") == "container":
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodPut && q.Get("comp") == "lease":
		w.Header().Set("X-Ms-Lease-Id", "6f0d3c39-8a8c-4b0b-9d7e-3f6a0c0de001")
		w.WriteHeader(http.StatusCreated)
	case len(path) == 3 && r.Method == http.MethodPut:
		s.blobs.Put(path[1], path[2], body)
		w.WriteHeader(http.StatusCreated)
	case len(path) == 3:
		readBlob(w, r, s.blobs, path[1], path[2])
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
