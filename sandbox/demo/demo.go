// Package demo shows the migration at work on one machine, from the first window to the last version compared.
//
// It starts what Azure would be (platform.go): a storage emulator, a source and a destination FHIR service whose jobs take
// seconds, a managed identity, and a Functions host that runs the real handler with the settings of settings.go. It fills
// the source (data.go), follows the migration by its tables (follow.go), compares both services version by version, and
// prints what it measured (report.go, figures.go). On request the handler is killed every few seconds meanwhile (app.go).
//
// The demo succeeds when every version and every deletion of the source is at the destination, digit for digit, and
// nothing else is; in another mode than the default (mode.go), when what that mode moves is.
package demo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"fhirmigration/sandbox/compare"
	"fhirmigration/sandbox/fhirservice"
	"fhirmigration/sandbox/progress"
)

// Run runs the demo. It returns nil when source and destination hold the same; with Options.Keep, not before the context
// ends. Whatever it started is stopped when it returns; the log of host and handler stays when something went wrong, and
// its path is printed.
func Run(ctx context.Context, o Options) (err error) {
	if err := o.checkApp(); err != nil {
		return err
	}
	s := newSpan(o.Clock())
	versions, err := o.data(s)
	if err != nil {
		return err
	}
	fmt.Fprintln(o.Out, o.describe(versions, s))
	p, err := startPlatform(ctx, o, s, versions)
	defer func() { err = o.keepLog(ctx, p, err) }()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	fmt.Fprintf(o.Out, "Moved is %s.\n", p.mode.about)
	fmt.Fprintf(o.Out, "Source %s, destination %s, functions host %s.\n", p.source.URL(), p.destination.URL(), p.app.current().URL())
	fmt.Fprintf(o.Out, "Dashboard: %s\n", p.dashboard())

	err = p.run(ctx, o, s, versions)
	if o.Keep && ctx.Err() == nil {
		if err != nil {
			fmt.Fprintf(o.Out, "\n%v\n", err)
		}
		p.invite(o)
		<-ctx.Done()
	}
	return err
}

// run migrates, compares and measures.
func (p *platform) run(ctx context.Context, o Options, s span, versions []fhirservice.Version) error {
	began := o.Clock()
	last, err := p.migrate(ctx, o, s)
	if err != nil {
		return err
	}
	f := figures{took: o.Clock().Sub(began), windows: last.Done, firstAnswer: p.firstAnswer}
	f.busy = busy(p.source.Busy(), p.destination.Busy())
	f.kills, f.restarts = p.app.counts()

	windows, err := p.ledger.Windows(ctx)
	if err != nil {
		return err
	}
	f.exports, f.imports = progress.Together(windows)
	expected, err := p.mode.expected(versions, windows)
	if err != nil {
		return err
	}
	report := compare.Versions(expected, p.destination.Versions())
	fmt.Fprintln(o.Out)
	if err := printComparison(o.Out, report); err != nil {
		return err
	}
	if err := p.measure(ctx, &f); err != nil {
		return err
	}
	f.print(o.Out, o.Chaos)
	if err := verdictOn(report, compare.Versions(versions, p.source.Versions())); err != nil {
		return err
	}
	fmt.Fprintln(o.Out, p.mode.verdict)
	return p.checks(ctx, o)
}

// measure adds what is seen after the migration only.
func (p *platform) measure(ctx context.Context, f *figures) error {
	err := p.app.revive(ctx)
	if err == nil {
		f.memory, err = p.idleMemory(ctx)
	}
	return err
}

// idleMemory is the handler's resident set after a second in which nothing was left to do but to look. A handler that is
// being restarted gets some more seconds.
func (p *platform) idleMemory(ctx context.Context) (int64, error) {
	var err error
	for range 10 {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(time.Second):
		}
		var memory int64
		if memory, err = residentMemory(p.app.current().PID()); err == nil {
			return memory, nil
		}
	}
	return 0, err
}

// verdictOn turns the comparison into the outcome of the demo. The source is compared with what it was filled with: a
// migration only reads there.
func verdictOn(destination, source compare.Report) error {
	if !source.Same() {
		return fmt.Errorf("the source changed during the migration: %s", source.Findings[0])
	}
	if !destination.Same() {
		return fmt.Errorf("source and destination differ in %s versions",
			progress.Thousands(int64(len(destination.Findings))))
	}
	return nil
}

// invite tells a visitor what runs where.
func (p *platform) invite(o Options) {
	host := p.app.current()
	fmt.Fprintf(o.Out, `
Everything keeps running until Ctrl-C.
  source         %s
  destination    %s
                 both take the header  Authorization: Bearer %s
  functions host %s
                 function key %s (header x-functions-key), master key %s
  dashboard      %s
  tables         %s
  blobs          %s
                 connection string for Storage Explorer and the Azure CLI:
                 %s
  log            %s
`, p.source.URL(), p.destination.URL(), p.pass, host.URL(), host.FunctionKey(), host.MasterKey(), p.dashboard(),
		p.storage.TableURL(), p.storage.BlobURL(), p.storage.ConnectionString(), p.log.Name())
}

// keepLog removes the log of a demo that went well or was interrupted, and else says where it is.
func (o Options) keepLog(ctx context.Context, p *platform, err error) error {
	if p.log == nil {
		return err
	}
	if err == nil || (ctx.Err() != nil && errors.Is(err, ctx.Err())) {
		return errors.Join(err, os.Remove(p.log.Name()))
	}
	fmt.Fprintf(o.Out, "The log of host and handler: %s\n", p.log.Name())
	return err
}
