package fhirservice

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Kind is the data store behind a FHIR service; it decides how exports, searches and imports behave.
type Kind string

// The two kinds of service.
const (
	SQL    Kind = "SQL"    // Azure Health Data Services: parallel exports with a snapshot view, $import
	Cosmos Kind = "Cosmos" // Azure API for FHIR: exports of current versions, short and empty search pages, no $import
)

// Options describe one service. The zero value is a SQL service without storage or authentication whose jobs end at once.
type Options struct {
	Kind     Kind   // default SQL
	Addr     string // default "127.0.0.1:0"
	BasePath string // "" or "/a/path": the FHIR base is http://host:port + BasePath

	// StorageConnectionString is the storage account that $export writes to and $import reads from. Without one, exports fail and imports are refused.
	StorageConnectionString string
	// StorageClient makes the calls to that account. nil: a client of its own.
	StorageClient *http.Client

	Clock  func() time.Time         // default time.Now; tests advance it by hand, jobs end when this clock says so
	Verify func(token string) error // nil: no authentication. Otherwise every call but GET /metadata without a Bearer token that it accepts is 401

	LinesPerFile int // rows per sub-job and so lines per file (on Cosmos twice as many), 1 to 10000, default 10000; _maxCount may lower it
	Workers      int // jobs at work at once, default 2; the others queue, and polls say 202

	// ExportTime and ImportTime say how long a job with so many lines is at work, from the moment a worker is free. nil: at once.
	ExportTime, ImportTime func(lines int) time.Duration

	// ReindexTime says how long a $reindex of so many resources runs. nil: it ends at once.
	ReindexTime func(resources int) time.Duration

	// Heartbeat is after how long a cancelled job notices and gives its worker back, unless it ends earlier; default 30 s.
	Heartbeat time.Duration

	InitialImportMode bool // refuses writes with 423 and lets InitialLoad run without force
}

// errNoAccount says that a service without a storage account was asked for a blob.
var errNoAccount = errors.New("no storage account is configured: set Options.StorageConnectionString")

func (o *Options) complete() error {
	if o.Kind == "" {
		o.Kind = SQL
	}
	if o.Kind != SQL && o.Kind != Cosmos {
		return fmt.Errorf("kind %q is neither SQL nor Cosmos", o.Kind)
	}
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.BasePath != "" && (!strings.HasPrefix(o.BasePath, "/") || strings.HasSuffix(o.BasePath, "/")) {
		return fmt.Errorf("base path %q: want a slash at the start and none at the end", o.BasePath)
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.LinesPerFile == 0 {
		o.LinesPerFile = maxLinesPerFile
	}
	if o.LinesPerFile < 1 || o.LinesPerFile > maxLinesPerFile {
		return fmt.Errorf("lines per file %d: want 1 to %d", o.LinesPerFile, maxLinesPerFile)
	}
	if o.Workers == 0 {
		o.Workers = 2
	}
	if o.Workers < 0 {
		return fmt.Errorf("workers %d: want at least 1", o.Workers)
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = 30 * time.Second
	}
	return nil
}

// Service is a running FHIR service. Its methods may be called from several goroutines at once.
type Service struct {
	o        Options
	url      string
	server   *http.Server
	stop     context.CancelFunc // ends the background work of jobs
	served   chan struct{}      // closed when the listener is closed
	closing  sync.Once
	store    *store
	blobs    *blobs // nil without a storage account
	schedule *schedule
	faults   *faults
	calls    *callLog

	parameters *searchParameters
}

// Start listens on Options.Addr and serves until Close. The context bounds nothing but the start itself.
func Start(ctx context.Context, o Options) (*Service, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("start FHIR service: %w", err)
	}
	s := &Service{o: o, served: make(chan struct{}), store: newStore(), faults: &faults{kind: o.Kind}, calls: &callLog{},
		parameters: &searchParameters{byURL: map[string]*parameter{}}}
	if o.StorageConnectionString != "" {
		var err error
		if s.blobs, err = openBlobs(o.StorageConnectionString, o.StorageClient); err != nil {
			return nil, fmt.Errorf("start FHIR service: %w", err)
		}
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("start FHIR service: %w", err)
	}
	address := listener.Addr().(*net.TCPAddr)
	s.url = "http://" + address.String() + o.BasePath

	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	// Services may write to one storage account, one after the other on the same port. Numbering from somewhere by chance keeps the names of
	// their containers and blobs apart.
	s.schedule = newSchedule(work, s.now, o.Workers, o.Heartbeat, (1+rand.Int64N(1_000_000_000))*1_000_000)

	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		defer close(s.served)
		_ = s.server.Serve(listener) // always ErrServerClosed or the loss of the listener; calls fail visibly then
	}()
	return s, nil
}

// URL is the FHIR base, without a slash at the end.
func (s *Service) URL() string { return s.url }

// Close ends all connections and jobs. A second call does nothing.
func (s *Service) Close() error {
	var err error
	s.closing.Do(func() {
		s.stop()
		err = s.server.Close()
		<-s.served
		s.schedule.wait()
	})
	if err != nil {
		return fmt.Errorf("close FHIR service: %w", err)
	}
	return nil
}

// Load seeds the store with history. All of it is taken or, on an error, nothing. Each version needs a known type, an id of up to 64 of [A-Za-z0-9-.], a
// numeric VersionID and a LastUpdated (cut to milliseconds); the id and meta of Raw are set to match. A deleted version may leave Raw empty.
// Versions whose order disagrees with their times are taken: real stores hold such. The highest version is the current one.
func (s *Service) Load(versions ...Version) error {
	rows := make([]*row, 0, len(versions))
	for _, v := range versions {
		r, err := newRow(v)
		if err != nil {
			return fmt.Errorf("load %s/%s version %q: %w", v.Type, v.ID, v.VersionID, err)
		}
		rows = append(rows, r)
	}
	if err := s.store.insert(rows); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	s.parameters.load(rows)
	return nil
}

// Versions returns everything in the store, sorted by type, id and numeric version, after everything that is due by now has happened.
// The bytes belong to the store: do not change them.
func (s *Service) Versions() []Version {
	s.schedule.settle()
	return s.store.versions()
}

// Inject adds a fault, as POST /_sandbox/faults does. It panics on a fault that makes no sense: a mistake in the test that injects it.
func (s *Service) Inject(f Fault) {
	if err := s.faults.add(f); err != nil {
		panic(fmt.Sprintf("fhirservice: inject: %v", err))
	}
}

// ClearFaults forgets all faults. Jobs that were started under one keep it.
func (s *Service) ClearFaults() { s.faults.clear() }

// Calls returns every FHIR call so far in the order of arrival. A call that is not answered yet has Status 0.
func (s *Service) Calls() []Call { return s.calls.list() }

// Busy returns the intervals, merged and in order, in which at least one export or import job was at work. A job still at work counts up to now.
func (s *Service) Busy() []Interval {
	s.schedule.settle()
	return s.schedule.busy()
}

func (s *Service) now() time.Time { return s.o.Clock().UTC() }
