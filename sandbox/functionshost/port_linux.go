package functionshost

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// reservePort takes a free loopback port for the handler and keeps it until it is released, also while no handler listens: before the first
// start and during a restart. Otherwise anything on the machine that asks for any port could get it in between.
//
// The reservation is a socket that is bound and never listens. It is bound without SO_REUSEADDR, so the port is nobody else's; it gets the option
// afterwards, which on Linux lets one more socket that has it bind there and listen. Go's listeners have it, as nearly all servers do.
func reservePort() (int, io.Closer, error) {
	return reserve(0)
}

// reserve is reservePort for a given port; 0 is any.
func reserve(port int) (int, io.Closer, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, fmt.Errorf("reserve a port: %w", err)
	}
	socket := os.NewFile(uintptr(fd), "reserved port")
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		socket.Close()
		return 0, nil, fmt.Errorf("reserve a port: %w", os.NewSyscallError("bind", err))
	}
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		socket.Close()
		return 0, nil, fmt.Errorf("reserve a port: %w", os.NewSyscallError("setsockopt", err))
	}
	address, err := syscall.Getsockname(fd)
	bound, ok := address.(*syscall.SockaddrInet4)
	if err != nil || !ok {
		socket.Close()
		return 0, nil, fmt.Errorf("reserve a port: read its number: %w", os.NewSyscallError("getsockname", err))
	}
	return bound.Port, socket, nil
}
