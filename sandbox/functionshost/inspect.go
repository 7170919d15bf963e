package functionshost

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"slices"
	"strings"
	"time"
)

// URL is where the app's callers reach it, as http://127.0.0.1:port.
func (h *Host) URL() string { return h.url }

// MasterKey opens the admin's routes and all functions.
func (h *Host) MasterKey() string { return h.masterKey }

// FunctionKey opens all functions of authLevel function: Azure calls it a host key.
func (h *Host) FunctionKey() string { return h.functionKey }

// KeyOf opens one function of authLevel function, and no other: Azure calls it a function key. It is made of FunctionKey, so that it stays
// the same when a host with the same one starts again.
func (h *Host) KeyOf(function string) string {
	mac := hmac.New(sha256.New, []byte(h.functionKey))
	mac.Write([]byte(function))
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(mac.Sum(nil))
}

// Functions lists all functions of the app by name, those that cannot be run with their errors.
func (h *Host) Functions() []Function {
	list := make([]Function, 0, len(h.functions))
	for _, f := range h.functions {
		list = append(list, f.Function)
	}
	return list
}

// Invoke does what POST /admin/functions/<name> does, waits for the end and returns it. That the invocation failed is told by the result; an error
// says that there was none: the name is of no timer function, the host is closed, or the context ended first, and then the invocation goes on.
func (h *Host) Invoke(ctx context.Context, name string) (Invocation, error) {
	f := h.function(name)
	if f == nil || f.Trigger != "timer" {
		return Invocation{}, fmt.Errorf("invoke %s: no timer function of that name can be run", name)
	}
	if !h.begin() {
		return Invocation{}, fmt.Errorf("invoke %s: %w", name, errClosed)
	}
	ended := make(chan Invocation, 1)
	go func() {
		defer h.running.Done()
		ended <- h.runTimer(h.life, f, causeAdmin, h.timers[f.Name].current())
	}()
	select {
	case inv := <-ended:
		return inv, nil
	case <-ctx.Done():
		return Invocation{}, fmt.Errorf("invoke %s: %w", name, ctx.Err())
	}
}

// function finds a function that can be run by its name, whatever its case.
func (h *Host) function(name string) *function {
	for _, f := range h.functions {
		if f.Err == nil && strings.EqualFold(f.Name, name) {
			return f
		}
	}
	return nil
}

// Invocations are the invocations that have ended, oldest first, the last 1,000 of them.
func (h *Host) Invocations() []Invocation {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.history)
}

// PID is the process id of the running handler, 0 when none runs.
func (h *Host) PID() int { return h.worker.pid() }

// FirstAnswer is how long the handler took from its start to its first answer on GET /, the last time it was started; 0 when it has not answered
// yet. It is as exact as the probe, which asks every 25 ms.
func (h *Host) FirstAnswer() time.Duration {
	h.worker.mu.Lock()
	defer h.worker.mu.Unlock()
	return h.worker.firstAnswer
}

// Stopped is closed when the host has given up by itself: the handler crashed three times in a chain, or was not ready for an invocation within
// four times the initialization timeout. Nothing of it runs any more then; the platform would start it anew, as the caller may with [Start].
func (h *Host) Stopped() <-chan struct{} { return h.stopped }

// Err says why the host gave up, or, while it goes on, why the handler could not be started at all. It is nil when all is well.
func (h *Host) Err() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil {
		return h.err
	}
	h.worker.mu.Lock()
	defer h.worker.mu.Unlock()
	return h.worker.broken
}
