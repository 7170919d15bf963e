// Package azurite runs Azurite, Microsoft's emulator of Azure Storage, for as long as somebody needs a storage account on this machine.
//
// Azurite is a Node program that sandbox/package.json pins; `npm ci --prefix sandbox` installs it. Each [Start] gives an account of its own:
// an empty temporary folder and ports that the kernel picked when Azurite bound them, so that any number of tests, in any number of processes,
// can have one at a time without agreeing on anything. Telemetry is off and nothing listens outside loopback.
//
// The emulator dies with its user. It watches its standard input, whose other end only the process that called Start holds; [Server.Close]
// closes it, and so does the kernel when that process crashes.
package azurite

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// AccountName and AccountKey are the credentials every Azurite knows, published by Microsoft: no secret.
const (
	AccountName = "devstoreaccount1"
	AccountKey  = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// startLimit is how long a start may take: about two seconds on an idle machine, many times that when all cores are busy.
const startLimit = 90 * time.Second

//go:embed run.js
var runScript string

// ErrNotInstalled says that the Node package or Node itself is not there.
var ErrNotInstalled = errors.New("azurite is not installed: run `npm ci --prefix sandbox` (Node 20 or newer)")

// Options say where Azurite is and where its output goes. The zero value is good.
type Options struct {
	Dir string    // the folder that holds package.json and node_modules; default: the sandbox folder of this module
	Log io.Writer // gets what Azurite prints, in one goroutine; default: nowhere
}

// Server is one running Azurite.
type Server struct {
	blob, queue, table string // endpoints with the account, without a slash at the end
	folder             string
	cmd                *exec.Cmd
	stdin              io.Closer
	exited             chan struct{} // closed when the process is gone and its output is read
	closing            sync.Once
}

// Start runs Azurite and returns when its blob, queue and table services listen. The context bounds the start only; [Server.Close] ends the server.
// It returns [ErrNotInstalled] when there is no Azurite, and otherwise quotes what Azurite said.
func Start(ctx context.Context, o Options) (*Server, error) {
	entry, err := findEntry(o.Dir)
	if err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp("", "azurite-")
	if err != nil {
		return nil, fmt.Errorf("make azurite's folder: %w", err)
	}
	s := &Server{folder: folder, exited: make(chan struct{})}
	output := newOutput(o.Log)
	if err := s.spawn(entry, output); err != nil {
		os.RemoveAll(folder)
		return nil, err
	}
	if err := s.awaitReady(ctx, output); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// findEntry returns Azurite's main script below dir, or below this module's sandbox folder when dir is empty.
func findEntry(dir string) (string, error) {
	candidates := []string{dir}
	if dir == "" {
		candidates = defaultDirs()
	}
	for _, c := range candidates {
		entry := filepath.Join(c, "node_modules", "azurite", "dist", "src", "azurite.js")
		if _, err := os.Stat(entry); err == nil {
			return filepath.Abs(entry)
		}
	}
	return "", ErrNotInstalled
}

// defaultDirs are the places where the sandbox folder may be: beside this source file as it was compiled, and, because a binary built with
// -trimpath or copied elsewhere does not know that, in the working directory and every folder above it.
func defaultDirs() []string {
	var dirs []string
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		dirs = append(dirs, filepath.Dir(filepath.Dir(file)))
	}
	at, err := os.Getwd()
	for err == nil {
		dirs = append(dirs, filepath.Join(at, "sandbox"))
		if at == filepath.Dir(at) {
			break
		}
		at = filepath.Dir(at)
	}
	return dirs
}

// spawn starts the process in a group of its own, so that a Ctrl-C at the terminal reaches its user first and Close can reach all of it.
func (s *Server) spawn(entry string, output *output) error {
	node, err := exec.LookPath("node")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotInstalled, err)
	}
	s.cmd = exec.Command(node, "-e", runScript, "--", entry, s.folder,
		"--location", s.folder, "--silent", "--disableTelemetry", "--skipApiVersionCheck",
		"--blobPort", "0", "--queuePort", "0", "--tablePort", "0")
	// A bare environment: AZURITE_ACCOUNTS or AZURITE_DB of the caller's shell would change what is emulated.
	s.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}
	s.cmd.Dir = s.folder
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.cmd.Stdout, s.cmd.Stderr = output, output
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return fmt.Errorf("start azurite: %w", err)
	}
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start azurite: %w", err)
	}
	go func() {
		_ = s.cmd.Wait() // how it ended is in its output; Close has killed it in the usual case
		close(s.exited)
	}()
	return nil
}

// awaitReady waits for the line in which each service names its address.
func (s *Server) awaitReady(ctx context.Context, output *output) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	select {
	case <-output.ready:
	case <-s.exited:
		return fmt.Errorf("start azurite: it exited: %s", output.tail())
	case <-ctx.Done():
		return fmt.Errorf("start azurite: %w; it said: %s", ctx.Err(), output.tail())
	}
	s.blob = output.address("Blob") + "/" + AccountName
	s.queue = output.address("Queue") + "/" + AccountName
	s.table = output.address("Table") + "/" + AccountName
	return nil
}

// ConnectionString names the account in the form that the Azure SDKs and an AzureWebJobsStorage setting take.
func (s *Server) ConnectionString() string {
	return fmt.Sprintf("DefaultEndpointsProtocol=http;AccountName=%s;AccountKey=%s;BlobEndpoint=%s;QueueEndpoint=%s;TableEndpoint=%s;",
		AccountName, AccountKey, s.blob, s.queue, s.table)
}

// BlobURL is the blob endpoint with the account in its path, as http://127.0.0.1:port/devstoreaccount1.
func (s *Server) BlobURL() string { return s.blob }

// TableURL is the table endpoint with the account in its path, as http://127.0.0.1:port/devstoreaccount1.
func (s *Server) TableURL() string { return s.table }

// Close kills the emulator and removes its data. A second call does nothing.
func (s *Server) Close() error {
	var err error
	s.closing.Do(func() {
		// The whole group, by SIGKILL: there is nothing to save, and an orderly stop would write the databases first.
		killErr := syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(killErr, syscall.ESRCH) {
			killErr = nil
		}
		s.stdin.Close()
		<-s.exited
		err = errors.Join(killErr, os.RemoveAll(s.folder))
	})
	if err != nil {
		return fmt.Errorf("stop azurite: %w", err)
	}
	return nil
}
