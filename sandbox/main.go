// Command sandbox runs the demo: a migration of five years of FHIR data on one machine, with the real handler. As "sandbox soak" it migrates again
// and again for a given time, while everything fails that can.
//
// It is run from the root of the repository, after bin/handler was built; make demo and make soak do both.
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

func main() {
	if len(os.Args) > 1 && os.Args[1] == "soak" {
		os.Exit(soak())
	}
	os.Exit(run())
}

// soak returns the exit status: 0 when all of every round is at the destination or listed, and else as run does.
func soak() int {
	o, err := demo.ParseSoak(os.Args[2:], os.LookupEnv, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		return 2
	}
	o.Out, o.Clock = os.Stdout, time.Now
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return ended(ctx, "soak", demo.Soak(ctx, o))
}

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
	return ended(ctx, "demo", demo.Run(ctx, o))
}

// ended says how it ended, and returns the exit status.
func ended(ctx context.Context, what string, err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, what+": interrupted, everything is stopped")
		return 130
	default:
		fmt.Fprintln(os.Stderr, what+":", err)
		return 1
	}
}
