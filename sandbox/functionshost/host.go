package functionshost

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options say which app to host and how.
type Options struct {
	Root     string            // the function app's folder: host.json and one folder a function
	Settings map[string]string // the app settings; the handler gets them as environment, names in the case given here
	Environ  []string          // the host's own environment, as NAME=value; nil: PATH, HOME and TMPDIR of this process

	MasterKey   string // opens the admin's routes and all functions; generated when empty
	FunctionKey string // opens functions of authLevel function; generated when empty

	// Freeze stops the handler's process whenever no invocation is in flight: what a handler does after its answer is not seen by Azure, which
	// may freeze or kill it at any time.
	Freeze bool

	Log      io.Writer        // the host's log, with the handler's output in it; default: nowhere
	Identity *Identity        // the app's managed identity; nil: it has none
	Clock    func() time.Time // times of invocations and places in schedules; waiting takes real time. Default: time.Now
}

// Host is a running host.
type Host struct {
	clock     func() time.Time
	console   *console
	config    hostConfig
	functions []*function
	timers    map[string]*timer
	worker    *worker

	masterKey, functionKey string
	url                    string
	servers                []*http.Server
	port                   io.Closer // keeps the handler's port over restarts

	life     context.Context // ends when the host closes or gives up
	end      context.CancelCauseFunc
	running  sync.WaitGroup // timers, invocations, servers
	finished chan struct{}  // closed when the handler is dead and nothing listens
	stopped  chan struct{}

	mu      sync.Mutex
	closing bool
	err     error // why the host gave up
	history []Invocation
}

// Start starts a host for the app in o.Root and returns when the handler has answered for the first time. The context bounds the start only;
// [Host.Close] ends the host.
//
// It is an error when host.json is missing or wrong, and when the handler crashes too often before its first answer ([ErrRestartsExceeded]).
// Two things are not, because the real host goes on too: a function that cannot be run (see [Host.Functions]), and a handler that the operating system
// cannot start (see [Host.Err]), whose first invocation waits in vain and then stops the host. An app without a function that can be run has no handler started.
func Start(ctx context.Context, o Options) (*Host, error) {
	h, err := newHost(o)
	if err != nil {
		return nil, fmt.Errorf("start the functions host: %w", err)
	}
	if err := h.open(o); err != nil {
		return nil, errors.Join(fmt.Errorf("start the functions host: %w", err), h.Close())
	}
	select {
	case <-h.worker.settled:
	case <-ctx.Done():
		return nil, errors.Join(fmt.Errorf("start the functions host: %w", ctx.Err()), h.Close())
	}
	if h.FirstAnswer() == 0 && h.life.Err() != nil {
		return nil, errors.Join(fmt.Errorf("start the functions host: %w", context.Cause(h.life)), h.Close())
	}
	return h, nil
}

// newHost reads the app and prepares all that open starts.
func newHost(o Options) (*Host, error) {
	root, err := filepath.Abs(o.Root)
	if err != nil {
		return nil, err
	}
	h := &Host{
		clock: o.Clock, masterKey: cmp.Or(o.MasterKey, rand.Text()), functionKey: cmp.Or(o.FunctionKey, rand.Text()),
		timers: map[string]*timer{}, finished: make(chan struct{}), stopped: make(chan struct{}),
	}
	if h.clock == nil {
		h.clock = time.Now
	}
	if h.config, err = readHostConfig(root, o.Settings); err != nil {
		return nil, err
	}
	if h.functions, err = readFunctions(root, h.config, o.Settings, h.clock()); err != nil {
		return nil, err
	}
	for _, f := range h.functions {
		if f.Err == nil && f.Trigger == "timer" {
			h.timers[f.Name] = newTimer(f, h.clock, func(ctx context.Context, cause string, status timerStatus) { h.runTimer(ctx, f, cause, status) })
		}
	}
	h.console = &console{clock: h.clock, out: o.Log, stderrIsError: h.config.description.stderrIsError}
	if o.Log == nil {
		h.console.out = io.Discard
	}
	h.life, h.end = context.WithCancelCause(context.Background())
	return h, h.prepareWorker(root, o)
}

// prepareWorker puts the handler's environment together and takes its port.
func (h *Host) prepareWorker(root string, o Options) error {
	base := o.Environ
	if base == nil {
		base = minimalEnvironment()
	}
	environ, err := hostEnvironment(root, base, o.Settings)
	if err != nil {
		return err
	}
	var port int
	if port, h.port, err = reservePort(); err != nil {
		return err
	}
	h.worker = newWorker(command{root: root, description: h.config.description, port: port, environ: environ}, h.config, h.console)
	h.worker.freezes = o.Freeze
	return nil
}

// open lets the callers in, and starts the handler and the timers.
func (h *Host) open(o Options) error {
	h.report(o.Settings)
	var err error
	if h.url, err = h.listen(http.HandlerFunc(h.serveFront)); err == nil && o.Identity != nil {
		secret := rand.Text()
		var endpoint string
		endpoint, err = h.listen(o.Identity.endpoint(secret))
		h.worker.command.environ["IDENTITY_ENDPOINT"] = endpoint + "/msi/token"
		h.worker.command.environ["IDENTITY_HEADER"] = secret
	}
	go h.supervise()
	if err != nil {
		return err
	}
	for _, f := range h.functions {
		switch t := h.timers[f.Name]; {
		case t == nil || f.Disabled:
		case f.useMonitor && !hasStorage(o.Settings):
			// The status of the timer has no place. The function is there, and can be run by the admin, but nothing fires it.
			h.console.hostf(errorLevel, "the listener for function %s was unable to start: set AzureWebJobsStorage, which its schedule monitor needs", f.Name)
		default:
			h.running.Go(func() { t.run(h.life) })
		}
	}
	return nil
}

// report logs what was found in the app.
func (h *Host) report(settings map[string]string) {
	if runtime, _ := lookup(settings, "FUNCTIONS_WORKER_RUNTIME"); !strings.EqualFold(runtime, "custom") {
		h.console.hostf(warning, "FUNCTIONS_WORKER_RUNTIME is %q: set it to custom", runtime)
	}
	for _, f := range h.functions {
		switch {
		case f.Err != nil:
			h.console.hostf(errorLevel, "%v", f.Err)
		case f.Disabled:
			h.console.hostf(information, "function %s is disabled", f.Name)
		default:
			h.console.hostf(information, "function %s: %s %s", f.Name, f.Trigger, cmp.Or(f.Schedule, f.Route))
		}
	}
}

// listen serves on a free loopback port.
func (h *Host) listen(handler http.Handler) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: handler, BaseContext: func(net.Listener) context.Context { return h.life }}
	h.servers = append(h.servers, server)
	h.running.Go(func() { _ = server.Serve(listener) }) // ends with ErrServerClosed
	return "http://" + listener.Addr().String(), nil
}

// runTimer is one call of a timer function.
func (h *Host) runTimer(ctx context.Context, f *function, cause string, status timerStatus) Invocation {
	monitored := &status
	if !f.useMonitor {
		monitored = nil
	}
	return h.invoke(ctx, f, cause, func(ctx context.Context, p *process, id string) ([]string, error) {
		body, err := timerEnvelope(f, monitored, h.clock())
		if err != nil {
			return nil, err
		}
		return callTimer(f, body)(ctx, p, id)
	})
}

// supervise keeps the handler running until the host ends, and then sees to it that nothing is left of it.
func (h *Host) supervise() {
	defer close(h.finished)
	if slices.ContainsFunc(h.functions, func(f *function) bool { return f.Err == nil }) {
		if err := h.worker.run(h.life); err != nil {
			h.giveUp(err)
		}
	} else {
		h.console.hostf(warning, "no function can be run: the handler is not started")
	}
	h.worker.settle() // after the error is known: Start reads it now
	<-h.life.Done()
	for _, s := range h.servers {
		s.Close()
	}
	h.port.Close()
	h.mu.Lock()
	gaveUp := h.err != nil
	h.mu.Unlock()
	if gaveUp {
		close(h.stopped)
	}
}

// giveUp ends the host because of an error, as if its process had ended.
func (h *Host) giveUp(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil && !h.closing {
		h.err = err
		h.console.hostf(errorLevel, "stopping the host: %v", err)
		h.end(err)
	}
}

// begin counts one more thing that Close waits for. It is false when the host ends.
func (h *Host) begin() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closing || h.err != nil {
		return false
	}
	h.running.Add(1)
	return true
}

// Close stops listening and then kills the handler: by SIGKILL, without a word before, as Azure does. What is in flight fails. It returns
// when nothing of the host is left.
func (h *Host) Close() error {
	h.mu.Lock()
	h.closing = true
	h.mu.Unlock()
	var errs []error
	for _, s := range h.servers {
		errs = append(errs, s.Close())
	}
	h.end(errClosed)
	<-h.finished
	h.running.Wait()
	return errors.Join(errs...)
}
