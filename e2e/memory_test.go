package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"fhirmigration/sandbox/fhirservice"
)

// fewMegabytes fails the test when the handler's resident set was ever larger than it may be.
func (a *app) fewMegabytes(doing string) {
	a.t.Helper()
	peak := resident(a.t, a.host.PID())
	a.t.Logf("%s: %d MB resident at most", doing, peak>>20)
	if peak > mostResident {
		a.t.Errorf("%s: %d MB resident, more than %d", doing, peak>>20, mostResident>>20)
	}
}

const (
	manyFiles     = 50_000
	manyFilesEach = 10_000 // FileCount
)

// exportOf50000 is a FHIR service whose exports, but for empty ones, are said to be of 50,000 files.
func exportOf50000(t *testing.T) *httptest.Server {
	t.Helper()
	emulator := emulators.For(t)
	s, err := fhirservice.Start(t.Context(), fhirservice.Options{StorageConnectionString: emulator.ConnectionString(), LinesPerFile: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	at := end.AddDate(0, -1, 0)
	if err := s.Load(fhirservice.Version{Type: "Patient", ID: "a", VersionID: "1", LastUpdated: at, Raw: []byte(`{"resourceType":"Patient","id":"a"}`)}); err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/_operations/export/") {
			s.ServeHTTP(w, r)
			return
		}
		reply := httptest.NewRecorder()
		s.ServeHTTP(reply, r)
		var manifest struct {
			TransactionTime, Request string
			Output                   []map[string]any
		}
		if reply.Code != http.StatusOK || json.Unmarshal(reply.Body.Bytes(), &manifest) != nil || len(manifest.Output) == 0 {
			w.WriteHeader(reply.Code)
			_, _ = w.Write(reply.Body.Bytes())
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"transactionTime":%q,"request":%q,"requiresAccessToken":false,"output":[`, manifest.TransactionTime, manifest.Request)
		for n := range manyFiles {
			fmt.Fprintf(w, `%s{"type":"Patient","url":"%s/exports-of-many-files/20240101T000000-%s/Patient-%d-1.ndjson","count":1}`, map[bool]string{true: ","}[n > 0], emulator.BlobURL(), path.Base(r.URL.Path), n)
		}
		fmt.Fprint(w, `],"error":[],"issues":[]}`)
	}))
	t.Cleanup(front.Close)
	return front
}

// importOfAnything is a FHIR service that takes each file of an import as one line, without reading it.
func importOfAnything(t *testing.T) (front *httptest.Server, sizes func() []int) {
	t.Helper()
	s, err := fhirservice.Start(t.Context(), fhirservice.Options{StorageConnectionString: emulators.For(t).ConnectionString()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	var mu sync.Mutex
	var jobs [][]string
	input := regexp.MustCompile(`"name":"url","valueUri":"([^"]+)"`)
	front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var job int
		switch {
		case r.Method == http.MethodPost && path.Base(r.URL.Path) == "$import":
			body, _ := io.ReadAll(r.Body)
			var urls []string
			for _, m := range input.FindAllSubmatch(body, -1) {
				urls = append(urls, string(m[1]))
			}
			jobs = append(jobs, urls)
			w.Header().Set("Content-Location", fmt.Sprintf("http://%s/_operations/import/%d", r.Host, len(jobs)))
			w.WriteHeader(http.StatusAccepted)
		case strings.Contains(r.URL.Path, "/_operations/import/"):
			if _, err := fmt.Sscanf(path.Base(r.URL.Path), "%d", &job); err != nil || job < 1 || job > len(jobs) {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"transactionTime":"2024-01-01T00:00:00Z","request":"x","output":[`)
			for n, url := range jobs[job-1] {
				fmt.Fprintf(w, `%s{"type":"Patient","count":1,"inputUrl":%q}`, map[bool]string{true: ","}[n > 0], url)
			}
			fmt.Fprint(w, `],"error":[]}`)
		default:
			s.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(front.Close)
	return front, func() (n []int) {
		mu.Lock()
		defer mu.Unlock()
		for _, j := range jobs {
			n = append(n, len(j))
		}
		return n
	}
}

// An export of 50,000 files is five imports, and passes through the handler in little memory.
func TestMemoryForAManifestOf50000Files(t *testing.T) {
	t.Parallel()
	source := exportOf50000(t)
	destination, sizes := importOfAnything(t)
	settings := rangeRun("SourceUri", source.URL, "SourceCredential", "none", "DestinationUri", destination.URL, "DestinationCredential", "none", "MigrateSearchParameters", "false")
	a := startApp(t, fhirservice.Options{}, fhirservice.Options{}, settings)
	a.runTo(end, nil)
	if n := sizes(); len(n) != manyFiles/manyFilesEach || n[0] != manyFilesEach {
		t.Errorf("imports of %v files", n)
	}
	if w := a.windows(); w[0]["TotalImportResourceCount"] != fmt.Sprint(manyFiles) || fmt.Sprint(w[0]["PayloadCount"]) != fmt.Sprint(manyFiles/manyFilesEach) {
		t.Errorf("the window: %v lines imported in %v payloads", w[0]["TotalImportResourceCount"], w[0]["PayloadCount"])
	}
	a.fewMegabytes("50,000 files")
}

// Resources of 5 MB pass through everything that reads lines in little memory: the look before an import, an error log, a refused line that is posted
// again, and a comparison of all that was staged.
func TestMemoryForLinesOf5MB(t *testing.T) {
	t.Parallel()
	a := startApp(t, fhirservice.Options{LinesPerFile: 3}, fhirservice.Options{}, rangeRun("Preflight", "all"))
	chance := rand.New(rand.NewPCG(5, 5))
	const lines, size = 6, 5 << 20
	for n := range lines {
		data := make([]byte, size)
		for i := range data {
			data[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"[chance.IntN(32)]
		}
		id := fmt.Sprintf("large-%d", n)
		a.seed(fhirservice.Version{Type: "Binary", ID: id, VersionID: "1", LastUpdated: end.AddDate(0, -1, n),
			Raw: fmt.Appendf(nil, `{"resourceType":"Binary","id":%q,"contentType":"text/plain","data":"%s"}`, id, data)})
	}
	a.destination.Inject(fhirservice.Fault{Kind: fhirservice.Import, Times: 1, RefuseLines: 1})
	a.runTo(end, nil)
	if w := a.windows()[0]; !strings.Contains(fmt.Sprint(w["Preflight"]), "clean") {
		t.Errorf("the look at the files: %v", w["Preflight"])
	}
	list := a.exceptions("?state=open")
	if len(list.Exceptions) != 1 {
		t.Fatalf("exceptions: %+v", list)
	}
	if status, body := a.post("/api/Exceptions/"+list.Exceptions[0].ID+"/retry", ""); status != http.StatusAccepted {
		t.Fatalf("retry: %d %s", status, body)
	}
	for deadline := time.Now().Add(time.Minute); len(a.exceptions("?state=imported").Exceptions) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the line that was posted again does not end")
		}
		a.fire("ImportTimer")
	}
	a.wantEqual()
	report, _ := a.check("POST", "/api/DeepCheck?source=staged&count=all")
	if report = a.ended(report); report.Counts["equal"] != lines {
		t.Errorf("compared: %v", report.Counts)
	}
	a.fewMegabytes("lines of 5 MB")
}
