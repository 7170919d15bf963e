//go:build unix && !linux

package functionshost

import (
	"fmt"
	"io"
	"net"
	"strings"
)

// reservePort finds a loopback port that is free now. Only Linux lets the host keep it while no handler listens.
func reservePort() (int, io.Closer, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, nil, fmt.Errorf("reserve a port: %w", err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	return port, io.NopCloser(strings.NewReader("")), listener.Close()
}
