// Command sandbox runs the demo: a migration of five years of FHIR data on one machine, with the real handler.
//
// It is run from the root of the repository, after bin/handler was built; make demo does both.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"fhirmigration/sandbox/demo"

	"golang.org/x/term"
)

func main() { os.Exit(run()) }

// run returns the exit status: 0 when everything is at the destination, 1 when not, 2 for a wrong command line, 130 when
// interrupted.
func run() int {
	o, err := demo.Parse(os.Args[1:], os.LookupEnv, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 2
	}
	o.Out, o.Terminal = os.Stdout, term.IsTerminal(int(os.Stdout.Fd()))
	o.Clock, o.Random = time.Now, rand.Reader
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch err := demo.Run(ctx, o); {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "demo: interrupted, everything is stopped")
		return 130
	default:
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
}
