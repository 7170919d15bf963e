package functionshost

import (
	"bufio"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A handler does not outlive a host that is killed.
func TestHandlerDiesWithItsHost(t *testing.T) {
	t.Parallel()
	a := newApp(t, "serve", "Echo")
	host := exec.CommandContext(t.Context(), os.Args[0])
	host.Dir = a.options.Root
	host.Env = append(os.Environ(), modeVariable+"=host")
	out, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	address := strings.TrimSpace(line)
	c, dialErr := net.Dial("tcp", address)
	if err != nil || dialErr != nil {
		t.Fatalf("the host said %q, %v, %v", line, err, dialErr)
	}
	defer c.Close()
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait() // killed

	// A connection that the handler has accepted or not ends when the handler does.
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("the handler outlived its host: %v", err)
	}
}
