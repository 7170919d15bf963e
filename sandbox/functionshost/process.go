//go:build unix

package functionshost

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// killWait is how long the host waits for a killed process, as for one whose descendants keep its output open.
const killWait = time.Second

// process is one run of the handler.
type process struct {
	pid      int
	base     string       // http://127.0.0.1:port
	client   *http.Client // of this run alone: no connection outlives it
	started  time.Time
	recycled atomic.Bool // killed by the host, which wants another: no crash

	freezes  bool // whether it is stopped while nothing calls it
	mu       sync.Mutex
	inFlight int

	replaced chan struct{} // closed when recycled is set
	exited   chan struct{} // closed when it is gone
	status   string        // how it ended; to be read after exited
	code     int           // exit code, -1 for a signal; to be read after exited
}

// startProcess runs the command. It returns the operating system's error when that is impossible.
//
// The goroutine that starts the process keeps its thread to itself until the process has ended, because Linux sends the signal that ends an
// orphan (see orphanSignal) when the thread that started it goes, not the process.
func startProcess(c command, forwarding, freezes bool, out *console) (*process, error) {
	run, err := c.prepare()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(run.path, run.args...)
	cmd.Dir, cmd.Env = run.dir, run.envs
	// A group of its own: Ctrl-C at the terminal reaches the host, which then kills the handler without a word, as on Azure.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	orphanSignal(cmd.SysProcAttr)
	cmd.WaitDelay = killWait
	stdout, stderr := out.stream(stdoutStream), out.stream(stderrStream)
	cmd.Stdout, cmd.Stderr = stdout, stderr

	p := &process{base: fmt.Sprintf("http://127.0.0.1:%d", c.port), client: newClient(forwarding), freezes: freezes, replaced: make(chan struct{}), exited: make(chan struct{})}
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		p.started = time.Now()
		if err := cmd.Start(); err != nil {
			result <- err
			return
		}
		p.pid = cmd.Process.Pid
		result <- nil
		p.ended(cmd, cmd.Wait())
		stdout.flush()
		stderr.flush()
		p.status = withErrors(p.status, stderr.lastErrors())
		p.client.CloseIdleConnections()
		close(p.exited)
	}()
	if err := <-result; err != nil {
		return nil, err
	}
	return p, nil
}

// newClient makes the client for the handler: no proxy, and redirects followed unless forwarding is enabled (host).
func newClient(forwarding bool) *http.Client {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	if forwarding {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	return client
}

func (p *process) ended(cmd *exec.Cmd, err error) {
	p.code = cmd.ProcessState.ExitCode()
	p.status = cmd.ProcessState.String()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		p.status += ", " + err.Error()
	}
}

// withErrors adds the last lines of stderr to an exit status, as the host does.
func withErrors(status string, lines []string) string {
	if len(lines) == 0 {
		return status
	}
	return status + ": " + strings.Join(lines, "; ")
}

// intentional says whether the handler left by itself to be started again, which is not counted: exit code 200.
func (p *process) intentional() bool { return p.code == 200 }

// unnoticed says that the handler left with exit code 0. Hosts before 2026, this one among them, do nothing then: they go on as if it ran, and
// every call is refused by its port.
func (p *process) unnoticed() bool { return p.hasExited() && p.code == 0 && !p.recycled.Load() }

// enter counts an invocation that begins, and wakes the process for the first.
func (p *process) enter() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inFlight++; p.inFlight == 1 {
		p.signal(syscall.SIGCONT)
	}
}

// leave counts an invocation that has ended, and freezes the process after the last.
func (p *process) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inFlight--; p.inFlight == 0 {
		p.signal(syscall.SIGSTOP)
	}
}

func (p *process) signal(s syscall.Signal) {
	if p.freezes && !p.hasExited() {
		_ = syscall.Kill(-p.pid, s) // it may have ended by itself just now
	}
}

// kill ends the process and its group at once. It does not wait.
func (p *process) kill() {
	if !p.hasExited() {
		_ = syscall.Kill(-p.pid, syscall.SIGKILL) // it may have ended by itself just now
	}
}

// awaitExit gives the system a moment to report the death of a process whose connections are gone, so that who has seen an invocation fail
// by a crash finds the next one waiting for the restart, not refused.
func (p *process) awaitExit(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, killWait)
	defer cancel()
	if p.ask(ctx, p.client) == nil {
		return // it lives: only that connection was lost
	}
	select {
	case <-p.exited:
	case <-ctx.Done():
	}
}

func (p *process) hasExited() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// recycle kills the process without counting it as a crash. It is false when it was killed so before.
func (p *process) recycle() bool {
	first := !p.recycled.Swap(true)
	if first {
		close(p.replaced)
	}
	p.kill()
	return first
}
