package demo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"

	"fhirmigration/sandbox/functionshost"
)

// app is the function app: a host that runs the handler and, as Azure does, a new host when that one has given up.
type app struct {
	options functionshost.Options

	mu       sync.Mutex
	host     *functionshost.Host // never nil
	kills    int
	restarts int
}

// errGaveUp says that the host saw the handler crash too often.
var errGaveUp = errors.New("the host gave up on the handler, which crashed three times: see the log")

func startApp(ctx context.Context, o functionshost.Options) (*app, error) {
	host, err := functionshost.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	return &app{options: o, host: host}, nil
}

// current is the host that runs now.
func (a *app) current() *functionshost.Host {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.host
}

// counts tells how often the handler was killed and the host restarted.
func (a *app) counts() (kills, restarts int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.kills, a.restarts
}

// restart plays the platform: the host that gave up ends, a new one starts with the same settings.
func (a *app) restart(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.host.Close(); err != nil {
		return fmt.Errorf("restart host: %w", err)
	}
	host, err := functionshost.Start(ctx, a.options)
	if err != nil {
		return fmt.Errorf("restart host: %w", err)
	}
	a.host = host
	a.restarts++
	return nil
}

// revive restarts the host if it has given up.
func (a *app) revive(ctx context.Context) error {
	select {
	case <-a.current().Stopped():
		return a.restart(ctx)
	default:
		return nil
	}
}

// watch waits for the host to give up, until the context ends. That is an error, unless restarts are wanted: then say
// tells of each.
func (a *app) watch(ctx context.Context, restarts bool, say func(string)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.current().Stopped():
		}
		if !restarts {
			return errGaveUp
		}
		if err := a.restart(ctx); err != nil {
			if ctx.Err() != nil {
				return nil // the migration ended meanwhile; revive starts the host that is missing now
			}
			return err
		}
		say("The host gave up after three crashes, and was started again.")
	}
}

// Times between two kills.
const (
	shortestPeace = 2 * time.Second
	longestPeace  = 5 * time.Second
)

// harass kills the handler every few seconds until the context ends, in the way a machine that fails does: without warning.
func (a *app) harass(ctx context.Context, seed uint64, say func(string)) error {
	random := rand.New(rand.NewPCG(seed, 0))
	for {
		peace := shortestPeace + time.Duration(random.Int64N(int64(longestPeace-shortestPeace)))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(peace):
		}
		pid := a.current().PID()
		if pid == 0 {
			continue // between two lives
		}
		switch err := syscall.Kill(pid, syscall.SIGKILL); {
		case errors.Is(err, syscall.ESRCH):
			continue // it was faster
		case err != nil:
			return fmt.Errorf("kill handler %d: %w", pid, err)
		}
		a.mu.Lock()
		a.kills++
		a.mu.Unlock()
		say(fmt.Sprintf("Killed the handler (process %d).", pid))
	}
}

func (a *app) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.host.Close()
}
