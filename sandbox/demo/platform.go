package demo

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"fhirmigration/sandbox/azurite"
	"fhirmigration/sandbox/fhirservice"
	"fhirmigration/sandbox/functionshost"
	"fhirmigration/sandbox/progress"
)

// platform is everything the migration needs of Azure: a storage account, two FHIR services, identities and a function app.
type platform struct {
	mode                mode
	storage             *azurite.Server
	identity            *functionshost.Identity
	source, destination *fhirservice.Service
	app                 *app
	ledger              *progress.Ledger
	pass                string // a token that both FHIR services take, for a visitor; "" when there is none
	log                 *os.File
	firstAnswer         time.Duration
}

// startPlatform starts all of it and fills the source. What was started is stopped again when something fails.
func startPlatform(ctx context.Context, o Options, s span, versions []fhirservice.Version) (_ *platform, err error) {
	p := &platform{identity: functionshost.NewIdentity()}
	if p.mode, err = o.mode(); err != nil {
		return p, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if p.log, err = os.CreateTemp("", "fhirmigration-demo-*.log"); err != nil {
		return p, fmt.Errorf("open log: %w", err)
	}
	if p.storage, err = azurite.Start(ctx, azurite.Options{}); err != nil {
		return p, err
	}
	if o.Keep {
		if p.pass, err = newPass(o.Random); err != nil {
			return p, err
		}
	}
	if err = p.startServices(ctx, o, versions); err != nil {
		return p, err
	}
	if p.ledger, err = progress.Open(p.storage.ConnectionString(), tableNames); err != nil {
		return p, err
	}
	if p.mode.prepare != nil {
		if err = p.mode.prepare(ctx, p, s); err != nil {
			return p, err
		}
	}
	if p.app, err = startApp(ctx, p.hostOptions(o, s)); err != nil {
		return p, err
	}
	p.firstAnswer = p.app.current().FirstAnswer()
	return p, nil
}

// jobTime says how long a job takes, as if it were work: some time for the service's queue and bookkeeping, the rest by size.
func (o Options) jobTime(least time.Duration, linesPerSecond int) func(lines int) time.Duration {
	return func(lines int) time.Duration {
		atPaceOne := least + time.Duration(lines)*time.Second/time.Duration(linesPerSecond)
		return time.Duration(o.Pace * float64(atPaceOne))
	}
}

// startServices starts the source, with its data, and the destination. Both write to the one storage account.
func (p *platform) startServices(ctx context.Context, o Options, versions []fhirservice.Version) error {
	start := func(kind fhirservice.Kind) (*fhirservice.Service, error) {
		// The token is for the service's own URL, which is known once it listens: before anybody can call it.
		var service *fhirservice.Service
		service, err := fhirservice.Start(ctx, fhirservice.Options{
			Kind:                    kind,
			StorageConnectionString: p.storage.ConnectionString(),
			Verify:                  func(token string) error { return p.verify(token, service.URL()) },
			LinesPerFile:            500,
			Workers:                 4,
			ExportTime:              o.jobTime(1500*time.Millisecond, 8000),
			ImportTime:              o.jobTime(2*time.Second, 4000),
		})
		return service, err
	}
	var err error
	if p.source, err = start(p.mode.source); err != nil {
		return fmt.Errorf("source: %w", err)
	}
	if p.destination, err = start(fhirservice.SQL); err != nil {
		return fmt.Errorf("destination: %w", err)
	}
	if err := p.source.Load(versions...); err != nil {
		return fmt.Errorf("fill source: %w", err)
	}
	return nil
}

// verify accepts what the identity endpoint issued for the service, and the visitor's pass.
func (p *platform) verify(token, service string) error {
	if p.pass != "" && subtle.ConstantTimeCompare([]byte(token), []byte(p.pass)) == 1 {
		return nil
	}
	return p.identity.Verify(token, service)
}

func newPass(random io.Reader) (string, error) {
	var secret [24]byte
	if _, err := io.ReadFull(random, secret[:]); err != nil {
		return "", fmt.Errorf("make a token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(secret[:]), nil
}

// Close stops everything, in the order opposite to the start, and removes what was kept on disk but the log.
func (p *platform) Close() error {
	var errs []error
	if p.app != nil {
		errs = append(errs, p.app.Close())
	}
	if p.destination != nil {
		errs = append(errs, p.destination.Close())
	}
	if p.source != nil {
		errs = append(errs, p.source.Close())
	}
	if p.storage != nil {
		errs = append(errs, p.storage.Close())
	}
	if p.log != nil {
		errs = append(errs, p.log.Close())
	}
	return errors.Join(errs...)
}

// checkApp tells what is missing before anything is started.
func (o Options) checkApp() error {
	if _, err := os.Stat(filepath.Join(o.Root, "host.json")); err != nil {
		return fmt.Errorf("no function app in %s: run the demo from the root of the repository: %w", o.Root, err)
	}
	if _, err := os.Stat(filepath.Join(o.Root, "bin", "handler")); err != nil {
		return fmt.Errorf("no handler to run: build it with `go build -o bin/handler ./handler`, or use `make demo`: %w", err)
	}
	return nil
}
