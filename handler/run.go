package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"fhirmigration/handler/internal/access"
	"fhirmigration/handler/internal/event"
	"fhirmigration/handler/internal/routes"
	"fhirmigration/handler/internal/settings"
)

// version is stamped by the build (-ldflags "-X main.version=...").
var version = "dev"

// revision is stamped by the build, too: the compiler knows none in a work tree of its own, nor with -buildvcs=false.
var revision string

// run serves the functions until ctx ends. It listens where the host says (FUNCTIONS_CUSTOMHANDLER_PORT in environ), reads the
// app settings from environ, takes the time from clock and logs to stdout, one JSON line a transition.
//
// Settings that are missing or invalid do not end it: a process that exits is started again and again and takes the host
// down. It then answers GET / as ever, and each call of a function with 500 and a line that names the setting.
func run(ctx context.Context, environ []string, clock func() time.Time, stdout io.Writer) error {
	log := slog.New(slog.NewJSONHandler(stdout, nil))
	port := lookup(environ, "FUNCTIONS_CUSTOMHANDLER_PORT")
	if port == "" {
		return errors.New("FUNCTIONS_CUSTOMHANDLER_PORT is not set: this program is started by the Azure Functions host (func start), or by make demo")
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	options := assemble(environ, clock, log)
	started := log.With("version", version, "commit", commit(), "port", port)
	if options.SettingsError != nil {
		started.Error("handler started, but does nothing: "+options.SettingsError.Error(), "event", event.Settings)
	} else {
		started.Info("handler started", "event", event.Started, "settings", options.Access.Settings)
	}
	return serve(ctx, listener, routes.New(options))
}

// assemble makes everything that answers from the app settings. Where they are missing or invalid, it says so in SettingsError.
func assemble(environ []string, clock func() time.Time, log *slog.Logger) (options routes.Options) {
	set, err := settings.Load(environ)
	if err == nil {
		options, err = wire(set, environ, clock, rand.Reader, log)
	}
	options.SettingsError, options.Log = err, log
	options.Access = access.Check{Settings: set, SettingsError: options.SettingsError, Environ: environ, Clock: clock}
	if m := options.Migration; m != nil {
		options.Access.Source, options.Access.Destination, options.Access.Ledger, options.Access.Staging = m.Source, m.Destination, m.Ledger, m.Staging
	}
	return options
}

// serve answers on listener until ctx ends. There are no time-outs but for headers: an invocation may take as long as
// functionTimeout, which the host watches.
func serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return server.Shutdown(stopping)
}

// lookup is the value of an app setting, whatever the case of its name: the host takes it so, too.
func lookup(environ []string, name string) string {
	value := ""
	for _, e := range environ {
		if n, v, ok := strings.Cut(e, "="); ok && strings.EqualFold(n, name) {
			value = v
		}
	}
	return value
}

// commit is what the handler was built from: as the compiler found it, else as the Makefile did.
func commit() string {
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return revision
	}
	found, dirty := revision, ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			found = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = " (dirty)"
		}
	}
	return found + dirty
}
