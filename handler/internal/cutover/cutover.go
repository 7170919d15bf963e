// Package cutover answers the question that a migration ends with: may the destination take the source's place? Each condition comes with
// its evidence, and one that cannot be found out is not met. The certificate is the same on paper, with what was migrated, how it
// was checked, who decided what, and a digest of the ledger that anybody can recompute.
//
// Both only read.
package cutover

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/settings"
	"fhirmigration/handler/internal/staging"
	"fhirmigration/handler/internal/verify"
)

// askTime bounds what is asked of the services and the ledger for the conditions: the caller waits.
const askTime = 20 * time.Second

// Options are what a Cutover works with. All fields are required.
type Options struct {
	Settings settings.Settings
	Source   *fhir.Service
	Ledger   *ledger.Ledger
	Staging  *staging.Store
	Verify   *verify.Verify
	Clock    func() time.Time
	Build    string // version and commit
}

// Cutover tells whether the migration is ready for the cutover.
type Cutover struct{ Options }

// New makes a Cutover; it calls nothing.
func New(o Options) *Cutover { return &Cutover{o} }

// Condition is one thing that must hold.
type Condition struct {
	Name     string `json:"name"`
	Met      bool   `json:"met"`
	Evidence string `json:"evidence"`
	Do       string `json:"do,omitempty"` // what makes it hold
}

// Readiness says whether all conditions hold.
type Readiness struct {
	Ready        bool        `json:"ready"`
	At           time.Time   `json:"at"`
	MigratedTill time.Time   `json:"migratedTill,omitzero"`
	Conditions   []Condition `json:"conditions"`
}

// look is what the conditions are judged by.
type look struct {
	chunk    ledger.Chunk
	full     verify.Report // the last full DeepCheck
	hasFull  bool
	accepted accepted
}

// Readiness looks at every condition. Its error is of a ledger that cannot be read; a service that does not answer leaves its conditions unmet.
func (c *Cutover) Readiness(ctx context.Context) (Readiness, error) {
	r := Readiness{At: c.Clock().UTC()}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var l look
	var err error
	if l.chunk, err = c.Ledger.Chunk(ctx); errors.Is(err, ledger.ErrNotFound) {
		r.Conditions = []Condition{{Name: "migrated", Evidence: "the migration has not begun", Do: "see that the timers fire"}}
		return r, nil
	} else if err != nil {
		return r, err
	}
	if l.full, l.hasFull, err = c.Verify.LastFull(ctx); err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return r, err
	}
	r.MigratedTill = l.chunk.Watermark
	var exceptions Condition
	if exceptions, l.accepted, err = c.exceptions(ctx); err != nil {
		return r, err
	}
	asked := []func(context.Context, look) (Condition, error){c.lag, c.windows, c.settled, c.quiet, c.deep, c.searchParameters}
	conditions := make([]Condition, len(asked))
	g, within := errgroup.WithContext(ctx)
	for i, ask := range asked {
		g.Go(func() (err error) {
			conditions[i], err = ask(within, l)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return r, err
	}
	r.Conditions = append(conditions, exceptions)
	r.Ready = true
	for _, condition := range r.Conditions {
		r.Ready = r.Ready && condition.Met
	}
	return r, nil
}
