package functionshost

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"
)

// probeInterval is how often a handler that does not listen yet is asked.
const probeInterval = 25 * time.Millisecond

// errExited says that the handler was gone before it answered.
var errExited = errors.New("the handler exited before its first answer")

// awaitAnswer asks `GET /` until the handler answers anything at all. The budget counts the pauses between tries, not the tries, as in the
// host. limit bounds one try (a handler may accept and never answer); zero is no limit.
func (p *process) awaitAnswer(ctx context.Context, budget, limit time.Duration) (time.Duration, error) {
	client := *p.client
	client.Timeout = limit
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	exited := p.exited
	for range max(1, budget/probeInterval) {
		err := p.ask(ctx, &client)
		var timeout net.Error
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case errors.As(err, &timeout) && timeout.Timeout():
			return 0, fmt.Errorf("the handler accepts connections but did not answer GET /: %w", err)
		case !errors.As(err, new(syscall.Errno)):
			// An answer, or something that is none, as broken HTTP: to the host anything but a socket error means that somebody is there.
			return time.Since(p.started), nil
		}
		select {
		case <-tick.C:
		case <-exited:
			if !p.unnoticed() {
				return 0, errExited
			}
			exited = nil // nobody knows: the host asks on until its time is up
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return 0, fmt.Errorf("the handler did not listen on %s within %s: it must listen on 127.0.0.1 at FUNCTIONS_CUSTOMHANDLER_PORT", p.base, formatTimeSpan(budget))
}

func (p *process) ask(ctx context.Context, client *http.Client) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+"/", nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", userAgent)
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}
