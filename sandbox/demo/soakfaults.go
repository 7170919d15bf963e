package demo

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fhirmigration/sandbox/azurite"
	"fhirmigration/sandbox/fhirservice"
)

// spoiled are versions that an import stumbles over: a number that fails it, and versions that contradict one another, of which one
// is refused.
func spoiled(s span) []fhirservice.Version {
	at := s.start.Add(s.end.Sub(s.start) / 3).Truncate(time.Millisecond)
	patient := func(number int, at time.Time) fhirservice.Version {
		return fhirservice.Version{Type: "Patient", ID: "contradiction", VersionID: fmt.Sprint(number), LastUpdated: at,
			Raw: fmt.Appendf(nil, `{"resourceType":"Patient","id":"contradiction","name":[{"family":"version %d"}]}`, number)}
	}
	return []fhirservice.Version{
		{Type: "Observation", ID: "overflow", VersionID: "1", LastUpdated: at,
			Raw: []byte(`{"resourceType":"Observation","id":"overflow","status":"final","valueQuantity":{"value":123456789012345678901}}`)},
		patient(1, at.Add(20*time.Millisecond)), patient(2, at.Add(10*time.Millisecond)), patient(3, at.Add(30*time.Millisecond)),
	}
}

// callFaults hit calls of these kinds.
var callFaults = map[bool][]fhirservice.Operation{ // of the source, of the destination
	true:  {fhirservice.Export, fhirservice.ExportStatus, fhirservice.HistoryCount, fhirservice.History, fhirservice.Count, fhirservice.Search, fhirservice.ExportCancel},
	false: {fhirservice.Import, fhirservice.ImportStatus, fhirservice.ImportCancel, fhirservice.Reindex, fhirservice.ReindexStatus, fhirservice.Batch},
}

// nextFault is a fault by chance, of the source or of the destination, and its name. What could not be noticed by anybody but a check of every
// resource (a line that is counted as imported and lost) is not among them.
func nextFault(chance *rand.Rand, source bool) (fhirservice.Fault, string) {
	kinds := callFaults[source]
	f := fhirservice.Fault{Kind: kinds[chance.IntN(len(kinds))], Times: 1 + chance.IntN(3)}
	job := fhirservice.Fault{Kind: fhirservice.Import, Times: 1}
	if source {
		job.Kind = fhirservice.Export
	}
	switch n := chance.IntN(24); {
	case n < 3:
		f.Status = 500
		return f, "calls answered 500"
	case n < 6:
		f.Status, f.RetryAfter = 429, []string{"", "0", "1", "soon", "Wed, 21 Oct 2015 07:28:00 GMT"}[chance.IntN(5)]
		return f, "calls throttled"
	case n < 9:
		f.Status = []int{408, 502, 503, 504}[chance.IntN(4)]
		return f, "calls answered 408 or 50x"
	case n < 10:
		f.Status = 401
		return f, "calls answered 401"
	case n < 13:
		f.LostReply = true
		return f, "replies lost"
	case n < 14:
		f.NotFHIR, f.ContentType = "<html>a gateway</html>", "text/html"
		return f, "answers of a gateway"
	case n < 15:
		f.Delay, f.Times = 2*time.Second, 1
		return f, "slow answers"
	case n < 17:
		job.FailJob = &fhirservice.Failure{Status: []int{400, 429, 500}[chance.IntN(3)], Reason: "by chance"}
		return job, "jobs failed"
	case n < 18 && chance.IntN(4) == 0:
		job.StuckJob = true
		return job, "jobs stuck"
	case n < 20 && source:
		job.EmptyResult = true
		return job, "exports of nothing"
	case n < 22 && source:
		job.ShortManifest = true
		return job, "manifests without a file"
	case source:
		job.FailJob = &fhirservice.Failure{Status: 413, Reason: "out of memory"}
		return job, "exports too large"
	case n < 20:
		job.ShortImport = 1 + chance.IntN(3)
		return job, "imports short of lines"
	default:
		job.RefuseLines = 1 + chance.IntN(5)
		return job, "imports that refuse lines"
	}
}

// injectFaults hits one of the services every few tenths of a second, until the context ends.
func (s *soak) injectFaults(ctx context.Context) error {
	chance := rand.New(rand.NewPCG(s.seed, 1))
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Duration(200+chance.IntN(800)) * time.Millisecond):
		}
		source := chance.IntN(2) == 0
		service := s.destination
		if source {
			service = s.source
		}
		fault, name := nextFault(chance, source)
		service.Inject(fault)
		s.did("faults: "+name, fault.Times)
	}
}

// lossyStorage stands before the storage emulator and loses the reply to one write of a hundred: the write takes effect, then the
// connection breaks.
type lossyStorage struct {
	connectionString string
	servers          []*httptest.Server
	peaceful         atomic.Bool
	lost             atomic.Int64

	mu     sync.Mutex
	chance *rand.Rand
}

func newLossyStorage(storage *azurite.Server, seed uint64) (*lossyStorage, error) {
	l := &lossyStorage{connectionString: storage.ConnectionString(), chance: rand.New(rand.NewPCG(seed, 2))}
	for _, endpoint := range []string{storage.TableURL(), storage.BlobURL()} {
		target, err := url.Parse(endpoint)
		if err != nil {
			return nil, fmt.Errorf("stand before storage: %w", err)
		}
		account := target.Path
		target.Path = ""
		proxy := httputil.NewSingleHostReverseProxy(target)
		proxy.ModifyResponse = func(reply *http.Response) error {
			if reply.Request.Method != http.MethodGet && l.loses() {
				l.lost.Add(1)
				return http.ErrAbortHandler
			}
			return nil
		}
		proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
		server := httptest.NewServer(proxy)
		l.servers = append(l.servers, server)
		l.connectionString = strings.Replace(l.connectionString, endpoint, server.URL+account, 1)
	}
	return l, nil
}

func (l *lossyStorage) loses() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.peaceful.Load() && l.chance.IntN(100) == 0
}

func (l *lossyStorage) loseNothing() { l.peaceful.Store(true) }

func (l *lossyStorage) close() {
	for _, s := range l.servers {
		s.Close()
	}
}
