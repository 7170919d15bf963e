package functionshost

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// The host's rule for crashes: the third in a chain, in which each follows the one before within half an hour, is the end of the host.
const (
	crashLimit  = 3
	crashMemory = 30 * time.Minute
)

// ErrRestartsExceeded is why a host stops whose handler keeps crashing. On Azure the platform then starts the host anew.
var ErrRestartsExceeded = errors.New("exceeded restart count: the handler ended in an error three times")

// errClosed is what waits for the handler get when the host is closed or has stopped.
var errClosed = errors.New("the host has stopped")

// crashes is the chain of crashes so far.
type crashes []time.Time

// add notes a crash and says whether it is one too many.
func (c *crashes) add(now time.Time) bool {
	if n := len(*c); n > 0 && now.Sub((*c)[n-1]) > crashMemory {
		*c = nil
	}
	*c = append(*c, now)
	return len(*c) >= crashLimit
}

// worker keeps one handler running. Its run method is its only goroutine; the others ask it for the process that is ready now.
type worker struct {
	command               command
	forwarding            bool
	freezes               bool // Options.Freeze
	initializationTimeout time.Duration
	probeLimit            time.Duration
	clock                 func() time.Time
	console               *console

	mu          sync.Mutex
	current     *process      // running, ready or not; nil when none is
	ready       bool          // current has answered
	changed     chan struct{} // closed and replaced when current or ready change
	firstAnswer time.Duration
	broken      error         // why no process can be started; nothing is tried again
	settled     chan struct{} // closed at the first answer, and by settle when there will be none
	settling    sync.Once
}

func newWorker(cmd command, c hostConfig, out *console) *worker {
	w := &worker{
		command: cmd, forwarding: c.forwarding, initializationTimeout: c.initializationTimeout, clock: out.clock, console: out,
		changed: make(chan struct{}), settled: make(chan struct{}),
	}
	if c.functionTimeout > 0 {
		w.probeLimit = c.functionTimeout + time.Minute // the host's client has this time-out for everything
	}
	return w
}

// run starts the handler and restarts it until the context ends, which kills it, or until the host must give up, which is the error.
func (w *worker) run(ctx context.Context) error {
	var chain crashes
	for {
		p, err := startProcess(w.command, w.forwarding, w.freezes, w.console)
		if err != nil {
			// The host logs this once and tries no more. The first invocation waits in vain and takes the host down.
			w.setBroken(fmt.Errorf("start the handler: %w", err))
			w.console.hostf(errorLevel, "start the handler: %v", err)
			<-ctx.Done()
			return nil
		}
		w.setCurrent(p)
		w.console.hostf(information, "handler started, pid %d, port %d", p.pid, w.command.port)
		err = w.attend(ctx, p)
		w.setCurrent(nil)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			continue
		}
		w.console.hostf(errorLevel, "%v", err)
		if chain.add(w.clock()) {
			return fmt.Errorf("%w; at last: %w", ErrRestartsExceeded, err)
		}
	}
}

// attend sees a process through from the probe to its end. A crash is the error; it is nil when the end was meant and does not count.
// When it returns, the process is gone. It does not return for one that left with exit code 0, which the host takes for one that runs.
func (w *worker) attend(ctx context.Context, p *process) error {
	took, err := p.awaitAnswer(ctx, w.initializationTimeout, w.probeLimit)
	switch {
	case err == nil:
		p.signal(syscall.SIGSTOP)
		w.setReady(took)
	case ctx.Err() == nil && !errors.Is(err, errExited):
		p.kill()
		<-p.exited
		return err
	}
	select {
	case <-p.exited:
	case <-ctx.Done():
		p.kill()
		<-p.exited
	}
	if p.unnoticed() {
		select { // the host has no news of it
		case <-p.replaced:
		case <-ctx.Done():
		}
	}
	if p.recycled.Load() {
		return nil
	}
	if p.intentional() {
		w.console.hostf(information, "handler exited with code %d: restarting it", p.code)
		return nil
	}
	return fmt.Errorf("handler exited: %s", p.status)
}

// await returns the process that answers now, and waits for one when the handler is starting or restarting.
func (w *worker) await(ctx context.Context) (*process, error) {
	for {
		w.mu.Lock()
		p, ready, changed := w.current, w.ready, w.changed
		w.mu.Unlock()
		if ready && (!p.hasExited() || p.unnoticed()) { // an exit is known before run has dealt with it
			return p, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (w *worker) setCurrent(p *process) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.current, w.ready = p, false
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *worker) setReady(took time.Duration) {
	w.mu.Lock()
	w.ready, w.firstAnswer = true, took
	close(w.changed)
	w.changed = make(chan struct{})
	w.mu.Unlock()
	w.settle()
}

func (w *worker) setBroken(err error) {
	w.mu.Lock()
	w.broken = err
	w.mu.Unlock()
	w.settle()
}

func (w *worker) settle() { w.settling.Do(func() { close(w.settled) }) }

func (w *worker) pid() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.current == nil || w.current.hasExited() {
		return 0
	}
	return w.current.pid
}
