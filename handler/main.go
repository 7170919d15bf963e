// Command handler is the custom handler behind the Azure Functions host: one binary with a route for each function.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Environ(), time.Now, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(1) // never 0, not even after a SIGTERM: older hosts take that for a handler that is still there
}
