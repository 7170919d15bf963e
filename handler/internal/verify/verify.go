package verify

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/settings"
	"fhirmigration/handler/internal/staging"
)

// Options are what a Verify works with. All fields but Wait are required.
type Options struct {
	Settings            settings.Settings
	Source, Destination *fhir.Service
	Ledger              *ledger.Ledger
	Staging             *staging.Store
	Clock               func() time.Time
	Random              io.Reader // for seeds and the owners of claims
	Log                 *slog.Logger
	// Wait lets d pass before something is asked again; the default does it by the wall clock.
	Wait func(ctx context.Context, d time.Duration) error
}

// Verify runs the checks. It holds no state of its own.
type Verify struct{ Options }

// New makes a Verify; it calls nothing.
func New(o Options) *Verify {
	if o.Wait == nil {
		o.Wait = wait
	}
	return &Verify{o}
}

// Logging is v with another log: that of one invocation.
func (v *Verify) Logging(log *slog.Logger) *Verify {
	logging := *v
	logging.Log = log
	return &logging
}

// What a request can be refused for.
var (
	// ErrInvalid: the request cannot be carried out as it is.
	ErrInvalid = errors.New("invalid request")
	// ErrBusy: a check of this kind is running.
	ErrBusy = errors.New("a check is running")
	// ErrNotFound: there is no such run.
	ErrNotFound = errors.New("no such run")
)

const (
	// sideBySide bounds the parts of a run that are worked on together; each reads from both services.
	sideBySide = 8
	// countsSideBySide bounds the parts of a run that only count.
	countsSideBySide = 16
	// maxTries is how often a part of a run is tried before it counts as not verifiable.
	maxTries = 4
	// saveEvery is how much time passes between two saves of a step.
	saveEvery = 2 * time.Second
	// longestWait bounds what is waited within a step before something is asked again; who is asked to wait longer ends the step.
	longestWait = 20 * time.Second
	// saveTime is how long the last save of a step may take when its budget is over.
	saveTime = 20 * time.Second
)

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
