package azurite

import (
	"context"
	"fmt"
	"os"
	"sync"
)

// Pool hands one Azurite to several tests, and a fresh one after every Each of them: Azurite looks through all the blobs that it holds for each
// one that it is asked for, so that one emulator for hundreds of tests takes most of their time. A Pool with Each set is ready; it is safe for
// concurrent use.
type Pool struct {
	Each int // how many tests an emulator has in all, at least 1

	mu     sync.Mutex
	newest *pooled
	tests  map[string]*Server // of those that have one now, by name
}

type pooled struct {
	server      *Server
	free, users int // how many may still take it, and have it now
}

// Test is a test or a benchmark, as the testing package has them.
type Test interface {
	Name() string
	Context() context.Context
	Helper()
	Cleanup(func())
	Error(...any)
	Fatal(...any)
}

// For returns the emulator of a test, the same whenever it is asked for, until the test ends. A subtest has its own.
func (p *Pool) For(t Test) *Server {
	t.Helper()
	p.mu.Lock()
	mine := p.tests[t.Name()]
	p.mu.Unlock()
	if mine != nil {
		return mine
	}
	server, release, err := p.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	if p.tests == nil {
		p.tests = map[string]*Server{}
	}
	p.tests[t.Name()] = server
	p.mu.Unlock()
	t.Cleanup(func() {
		p.mu.Lock()
		delete(p.tests, t.Name())
		p.mu.Unlock()
		if err := release(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// Take returns an emulator for somebody who is no test, and what is to be called once when done with it. An emulator ends when its last user is.
// The context bounds a start; errors are those of [Start].
func (p *Pool) Take(ctx context.Context) (*Server, func() error, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.newest == nil || p.newest.free == 0 {
		s, err := Start(ctx, Options{})
		if err != nil {
			return nil, nil, err
		}
		p.newest = &pooled{server: s, free: max(p.Each, 1)}
	}
	e := p.newest
	e.free--
	e.users++
	return e.server, func() error { return p.release(e) }, nil
}

// release counts a user that is done.
func (p *Pool) release(e *pooled) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.users--; e.users > 0 || e.free > 0 {
		return nil
	}
	return e.server.Close()
}

// RunTests is for a TestMain: it calls run, and ends the emulator that could have had more users. It returns the code to exit with: run's, or 1
// when the emulator does not end, which standard error then tells.
func (p *Pool) RunTests(run func() int) int {
	code := run()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.newest == nil {
		return code
	}
	if err := p.newest.server.Close(); err != nil { // once more does nothing
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}
