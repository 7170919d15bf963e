package functionshost

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

const (
	// timeoutGrace is how long an invocation may still take after functionTimeout before the handler is killed.
	timeoutGrace = 2 * time.Second
	// historyLimit is how many ended invocations are remembered.
	historyLimit = 1000
	// initializationsToWait is for how many initialization timeouts an invocation waits for a handler that is not ready.
	initializationsToWait = 4
)

// Invocation is one call of a function that has ended.
type Invocation struct {
	ID        string
	Function  string
	Cause     string        // "schedule", "startup", "admin" or "http"
	Started   time.Time     // by the host's clock
	Duration  time.Duration // real time, the wait for a restarting handler included
	Succeeded bool
	Reason    string   // why it failed
	Logs      []string // what the reply's Logs held; a failed invocation has none
}

// The causes of an invocation.
const (
	causeSchedule = "schedule"
	causeStartup  = "startup"
	causeAdmin    = "admin"
	causeHTTP     = "http"
)

// errNoAnswer says that the handler could not be reached or was gone before it had answered.
var errNoAnswer = errors.New("no answer from the handler")

// work is what an invocation does with a handler that is ready. It returns the reply's logs.
type work func(ctx context.Context, p *process, id string) ([]string, error)

// invoke runs one invocation under the host's rules: it waits while the handler is (re)starting, and when functionTimeout passes it fails at
// once, and the handler, with everything else that it is doing, is killed two seconds later unless this reply has come by then.
func (h *Host) invoke(ctx context.Context, f *function, cause string, do work) Invocation {
	inv := Invocation{ID: uuid.NewString(), Function: f.Name, Cause: cause, Started: h.clock()}
	began := time.Now()
	h.console.log(information, "Function."+f.Name, fmt.Sprintf("Executing (Reason=%q, Id=%s)", cause, inv.ID))
	logs, err := h.attempt(ctx, f, inv.ID, do)
	inv.Duration, inv.Succeeded = time.Since(began), err == nil
	if err != nil {
		inv.Reason = err.Error()
	} else {
		inv.Logs = logs
	}
	h.remember(inv) // before the log tells of it, for who waits for that
	h.logEnd(inv)
	return inv
}

// logEnd writes how an invocation ended, and before that what the handler had to say.
func (h *Host) logEnd(inv Invocation) {
	category := "Function." + inv.Function
	for _, line := range inv.Logs {
		h.console.log(information, category+".User", line)
	}
	outcome := fmt.Sprintf("Id=%s, Duration=%dms)", inv.ID, inv.Duration.Milliseconds())
	if inv.Succeeded {
		h.console.log(information, category, "Executed (Succeeded, "+outcome)
	} else {
		h.console.log(errorLevel, category, "Executed (Failed, "+outcome+": "+inv.Reason)
	}
}

// attempt waits for the handler and lets do work with it.
func (h *Host) attempt(ctx context.Context, f *function, id string, do work) ([]string, error) {
	p, err := h.readyProcess(ctx)
	if err != nil {
		return nil, err
	}
	p.enter()
	defer p.leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		logs []string
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		logs, err := do(ctx, p, id)
		done <- outcome{logs, err}
	}()
	var expired <-chan time.Time
	if h.config.functionTimeout > 0 {
		timer := time.NewTimer(h.config.functionTimeout)
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case o := <-done:
		if errors.Is(o.err, errNoAnswer) {
			p.awaitExit(ctx)
		}
		return o.logs, o.err
	case <-expired:
	}
	grace := time.NewTimer(timeoutGrace)
	defer grace.Stop()
	select {
	case <-done:
	case <-grace.C:
		if p.recycle() {
			h.console.hostf(errorLevel, "killed the handler, pid %d, because of a timeout", p.pid)
		}
		<-p.exited
		cancel() // an empty reply is still waited for
		<-done
	}
	return nil, fmt.Errorf("timeout value of %s exceeded by function %s", formatTimeSpan(h.config.functionTimeout), f.Name)
}

// readyProcess waits for a handler that answers. When it does not within four times the initialization timeout, the host stops itself.
func (h *Host) readyProcess(ctx context.Context) (*process, error) {
	limit := initializationsToWait * h.config.initializationTimeout
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	p, err := h.worker.await(waiting)
	switch {
	case err == nil:
		return p, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("wait for the handler: %w", context.Cause(ctx))
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("the handler was not ready within %s", formatTimeSpan(limit))
		h.giveUp(err)
	}
	return nil, err
}

// remember adds an invocation to the history and drops the oldest beyond the limit.
func (h *Host) remember(inv Invocation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.history = append(h.history, inv)
	if len(h.history) > historyLimit {
		h.history = h.history[len(h.history)-historyLimit:]
	}
}
