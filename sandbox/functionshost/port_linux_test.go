package functionshost

import (
	"errors"
	"net"
	"strconv"
	"syscall"
	"testing"
)

func TestReservedPort(t *testing.T) {
	t.Parallel()
	port, reservation, err := reservePort()
	if err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:" + strconv.Itoa(port)
	for range 3 { // the handler listens, again and again
		listener, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatalf("listen on the reserved port: %v", err)
		}
		if listener2, err := net.Listen("tcp", address); err == nil {
			listener2.Close()
			t.Error("two handlers listen on the port")
		}
		listener.Close()
	}
	if _, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial while nobody listens: %v, want a refusal, which the probe understands", err)
	}
	if _, second, err := reserve(port); !errors.Is(err, syscall.EADDRINUSE) {
		if err == nil {
			second.Close()
		}
		t.Errorf("a second reservation: %v, want it refused", err)
	}
	if err := reservation.Close(); err != nil {
		t.Fatal(err)
	}
}
