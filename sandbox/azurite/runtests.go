package azurite

import (
	"context"
	"fmt"
	"os"
)

// RunTests is for a TestMain whose tests share one Azurite: it starts it, sets emulator to it, calls run, and ends it. It returns the code to
// exit with: run's, or 1 when Azurite does not start or end, which standard error then tells.
func RunTests(run func() int, emulator **Server) int {
	s, err := Start(context.Background(), Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	*emulator = s
	code := run()
	if err := s.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
