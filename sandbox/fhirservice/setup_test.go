package fhirservice

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"fhirmigration/sandbox/azurite"
	"fhirmigration/sandbox/testclock"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
)

// emulator is one Azurite for all tests; each service has names of its own in it.
var emulator *azurite.Server

func TestMain(m *testing.M) { os.Exit(azurite.RunTests(m.Run, &emulator)) }

// noon is the instant at which most tests begin.
var noon = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)

// bench is a running service with a clock moved by hand.
type bench struct {
	*Service
	t     testing.TB
	clock *testclock.Clock
	blobs *azblob.Client
}

func setup(t testing.TB, o Options) *bench {
	t.Helper()
	b := &bench{t: t, clock: testclock.New(noon)}
	o.Clock = b.clock.Now
	var err error
	if b.Service, err = Start(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// setupStorage is setup with a storage account.
func setupStorage(t testing.TB, o Options) *bench {
	t.Helper()
	o.StorageConnectionString = emulator.ConnectionString()
	b := setup(t, o)
	var err error
	if b.blobs, err = azblob.NewClientFromConnectionString(o.StorageConnectionString, nil); err != nil {
		t.Fatal(err)
	}
	return b
}

// answer is a response with its body read.
type answer struct {
	status int
	header http.Header
	body   string
}

// call sends a request; headers are "Name: value". A path that starts with http is taken whole.
func (b *bench) call(method, path, body string, headers ...string) answer {
	b.t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = b.URL() + path
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(content)}
}

func (b *bench) get(path string, headers ...string) answer {
	b.t.Helper()
	return b.call(http.MethodGet, path, "", headers...)
}

// want fails the test unless the answer has a status and, for an OperationOutcome, a code.
func (b *bench) want(got answer, status int, code string) answer {
	b.t.Helper()
	if got.status != status || code != "" && got.code() != code {
		b.t.Fatalf("got %d %s, want %d %s: %s", got.status, got.code(), status, code, got.body)
	}
	return got
}

func (a answer) code() string { return parse[operationOutcome](a).first().Code }

func (o operationOutcome) first() issue {
	if len(o.Issue) == 0 {
		return issue{}
	}
	return o.Issue[0]
}

func parse[T any](a answer) T {
	var v T
	_ = json.Unmarshal([]byte(a.body), &v) // what is no T is a zero T, which no test wants
	return v
}

// searchBundle is what tests look at in a bundle.
type searchBundle struct {
	Type  string
	Total *int
	Link  []struct{ Relation, URL string }
	Entry []struct {
		FullURL  string
		Resource json.RawMessage
		Search   struct{ Mode string }
		Request  struct{ Method, URL string }
		Response struct {
			Status, Etag string
			Outcome      *operationOutcome
		}
	}
}

func (s searchBundle) next() string {
	for _, l := range s.Link {
		if l.Relation == "next" {
			return l.URL
		}
	}
	return ""
}

// ids lists "Type/id/version" of all matches.
func (s searchBundle) ids() []string {
	var ids []string
	for _, e := range s.Entry {
		if e.Search.Mode == "outcome" {
			continue
		}
		var r struct {
			ResourceType, ID string
			Meta             struct{ VersionID string }
		}
		_ = json.Unmarshal(e.Resource, &r)
		ids = append(ids, r.ResourceType+"/"+r.ID+"/"+r.Meta.VersionID)
	}
	return ids
}

// version makes a version that is so many minutes after noon; content is further members of the JSON.
func version(typ, id string, number int, minutes float64, content string) Version {
	v := Version{Type: typ, ID: id, VersionID: strconv.Itoa(number), LastUpdated: noon.Add(time.Duration(minutes * float64(time.Minute)))}
	v.Raw = []byte(`{"resourceType":"` + typ + `","id":"` + id + `"` + content + `}`)
	return v
}

func tombstoneVersion(typ, id string, number int, minutes float64) Version {
	v := version(typ, id, number, minutes, "")
	v.Deleted, v.Raw = true, nil
	return v
}

func (b *bench) load(versions ...Version) {
	b.t.Helper()
	if err := b.Load(versions...); err != nil {
		b.t.Fatal(err)
	}
}

// keys lists versions as "Type/id/version", "-" in front of deleted ones.
func keys(versions []Version) []string {
	var out []string
	for _, v := range versions {
		mark := ""
		if v.Deleted {
			mark = "-"
		}
		out = append(out, mark+v.Type+"/"+v.ID+"/"+v.VersionID)
	}
	return out
}

// blob reads a blob by its URL.
func (b *bench) blob(blobURL string) string {
	b.t.Helper()
	parts, err := azblob.ParseURL(blobURL)
	if err != nil {
		b.t.Fatal(err)
	}
	got, err := b.blobs.DownloadStream(b.t.Context(), parts.ContainerName, parts.BlobName, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	defer got.Body.Close()
	var content bytes.Buffer
	if _, err := content.ReadFrom(got.Body); err != nil {
		b.t.Fatal(err)
	}
	return content.String()
}

// container makes a container of the test's own and returns its name and a function that writes a blob to it and returns the URL.
func (b *bench) container() (string, func(name, content string) string) {
	b.t.Helper()
	name := fmt.Sprintf("in-%d", b.schedule.lastID) // numbered from the port of the service
	if _, err := b.blobs.CreateContainer(b.t.Context(), name, nil); err != nil && !strings.Contains(err.Error(), "ContainerAlreadyExists") {
		b.t.Fatal(err)
	}
	return name, func(blob, content string) string {
		b.t.Helper()
		if _, err := b.blobs.UploadBuffer(b.t.Context(), name, blob, []byte(content), nil); err != nil {
			b.t.Fatal(err)
		}
		return strings.TrimSuffix(b.blobs.URL(), "/") + "/" + name + "/" + blob
	}
}
