package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/settings"
)

// Kind is one of the two checks.
type Kind string

// The checks.
const (
	Surface Kind = "surface"
	Deep    Kind = "deep"
)

// SourceOf says what stands for the source in a DeepCheck.
type SourceOf string

// What can stand for the source.
const (
	Live   SourceOf = "live"   // the FHIR service
	Staged SourceOf = "staged" // the NDJSON that was exported from it
)

// Request is what is asked of a check. Its zero value, with Kind, is a good one.
type Request struct {
	Kind   Kind      `json:"kind"`
	Types  []string  `json:"types,omitempty"` // default: SurfaceCheckResources, else all that either service has
	Since  time.Time `json:"since,omitzero"`  // default: the beginning
	Till   time.Time `json:"till,omitzero"`   // default, and at most: the watermark
	Source SourceOf  `json:"source,omitempty"`

	Count  int64    `json:"count,omitempty"` // of resources to compare; default DeepCheckCount
	All    bool     `json:"all,omitempty"`   // compare everything
	Ignore []string `json:"ignore,omitempty"`

	Windows bool  `json:"windows,omitempty"` // SurfaceCheck: count differing types by window, too
	Seed    int64 `json:"seed,omitempty"`    // of the sample; default: random

	Plan plan `json:"plan"` // what Start adds
}

// plan is what a run pins when it starts, so that it ends as it began.
type plan struct {
	View        fhir.View       `json:"view"`
	Deletes     bool            `json:"deletes"`
	NewVersions bool            `json:"newVersions,omitempty"` // the import gave new versions and times
	Manifests   bool            `json:"manifests,omitempty"`   // SurfaceCheck: the manifests stand for the source
	Windows     int             `json:"windows,omitempty"`     // the number behind the last window row
	Settled     bool            `json:"settled,omitempty"`     // no window is open: nothing is migrated beyond Till
	Unversioned map[string]bool `json:"unversioned,omitempty"` // types of which the destination keeps no history
	Full        bool            `json:"full,omitempty"`        // everything is compared, with nothing left out
	Exported    int64           `json:"exported,omitempty"`    // lines of the windows that were closed when it started
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// complete checks a request and fills in its defaults. It asks the ledger how far the migration is, and the services what they can.
func (v *Verify) complete(ctx context.Context, r Request) (Request, error) {
	if err := v.check(r); err != nil {
		return r, err
	}
	r.Plan.Full = r.Kind == Deep && r.All && len(r.Types) == 0 && len(r.Ignore) == 0 && r.Since.IsZero()
	if err := v.bounds(ctx, &r); err != nil {
		return r, err
	}
	r.Plan.View = fhir.Current
	if v.Settings.ExportWithHistory {
		r.Plan.View = fhir.Versions
	}
	r.Plan.Deletes = v.Settings.ExportWithDelete
	r.Plan.NewVersions = v.Settings.ImportMode == settings.InitialLoad
	are, err := v.ask(ctx, r.Source == Staged)
	if err != nil {
		return r, err
	}
	retired, deidentified := are.retired, r.Kind == Deep && v.Settings.IsExportDeidentified
	switch {
	case retired && r.Source == Live:
		return r, invalid("the source is retired and only lets data be exported: use source=staged")
	case deidentified && r.Source == Live:
		return r, invalid("the data are de-identified on the way, so that the destination does not hold what the source holds: use source=staged, which compares with what was exported")
	case deidentified:
		r.Source = Staged
	case retired && r.Kind == Surface:
		r.Plan.Manifests, r.Plan.View = true, fhir.Versions
	case retired:
		r.Source = Staged
	}
	if r.Source == "" {
		r.Source = Live
	}
	if r.Count == 0 && !r.All {
		r.Count = int64(v.Settings.DeepCheckCount)
	}
	return r, v.types(&r, are)
}

// asked is what the services say of themselves.
type asked struct {
	retired             bool // the source answers exports alone
	source, destination fhir.Capability
	sourceErr           error // matters only to who needs the source's types
}

// ask asks both services side by side. With the staged files for a source, the source is not asked: it may be no more.
func (v *Verify) ask(ctx context.Context, staged bool) (a asked, err error) {
	g, within := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		if a.destination, err = v.Destination.Capability(within); err != nil {
			return fmt.Errorf("destination: %w", err)
		}
		return nil
	})
	if staged {
		a.source.Types = settings.OriginalTypes()
		return a, g.Wait()
	}
	g.Go(func() (err error) {
		a.retired, err = v.retired(within)
		return err
	})
	g.Go(func() error {
		a.source, a.sourceErr = v.Source.Capability(within)
		return nil
	})
	return a, g.Wait()
}

func (v *Verify) check(r Request) error {
	switch {
	case r.Kind != Surface && r.Kind != Deep:
		return invalid("kind %q: use %s or %s", r.Kind, Surface, Deep)
	case r.Source != "" && r.Source != Live && r.Source != Staged:
		return invalid("source=%s: use %s or %s", r.Source, Live, Staged)
	case r.Count < 0 || r.Count > 1_000_000:
		return invalid("count=%d: use 1 to 1000000, or all", r.Count)
	}
	known := append(settings.OriginalTypes(), "SubstanceNucleicAcid")
	for _, typ := range r.Types {
		if !slices.Contains(known, typ) {
			return invalid("types: %q is no resource type of FHIR R4 that is migrated", typ)
		}
	}
	for _, pointer := range r.Ignore {
		if !strings.HasPrefix(pointer, "/") || len(pointer) > 200 || len(r.Ignore) > 50 {
			return invalid("ignore: %q: give up to 50 JSON Pointers such as /meta/tag or /identifier/*/system", pointer)
		}
	}
	return nil
}

// bounds finds up to where everything is migrated.
func (v *Verify) bounds(ctx context.Context, r *Request) error {
	chunk, err := v.Ledger.Chunk(ctx)
	switch {
	case errors.Is(err, ledger.ErrNotFound) || err == nil && chunk.Watermark.IsZero():
		if r.Till.IsZero() || r.Source == Staged {
			return invalid("nothing is migrated yet: wait for the first window, or give till for data that came another way")
		}
		r.Plan.Settled = true
	case err != nil:
		return err
	case r.Till.IsZero():
		r.Till = chunk.Watermark
	case r.Till.After(chunk.Watermark):
		return invalid("till=%s: everything is migrated up to %s only", ledger.FormatInstant(r.Till), ledger.FormatInstant(chunk.Watermark))
	}
	r.Plan.Windows, r.Plan.Exported = chunk.JobID, chunk.Totals.Exported
	r.Plan.Settled = r.Plan.Settled || len(chunk.Open) == 0 && !chunk.Types.UnderWay() && r.Till.Equal(chunk.Watermark)
	r.Since, r.Till = r.Since.UTC().Truncate(time.Millisecond), r.Till.UTC().Truncate(time.Millisecond)
	if !r.Since.IsZero() && !r.Since.Before(r.Till) {
		return invalid("since=%s is not before till=%s", ledger.FormatInstant(r.Since), ledger.FormatInstant(r.Till))
	}
	return nil
}

// retired says whether the source answers exports alone.
func (v *Verify) retired(ctx context.Context) (bool, error) {
	_, err := v.Source.CountType(ctx, "Patient", fhir.Current, fhir.Period{})
	switch fhir.KindOf(err) {
	case fhir.Gone:
		return true, nil
	case 0:
		return false, err // nil, or the caller's end
	}
	return false, nil // what else is wrong shows in the run, which tries again
}

// types fills in which types to look at: as asked, as set (for the check, or for the migration in type mode), or all that either service knows, without search parameters, which are never imported.
func (v *Verify) types(r *Request, are asked) error {
	for typ, without := range are.destination.Unversioned {
		if without {
			if r.Plan.Unversioned == nil {
				r.Plan.Unversioned = map[string]bool{}
			}
			r.Plan.Unversioned[typ] = true
		}
	}
	if len(r.Types) == 0 && r.Kind == Surface {
		r.Types = v.Settings.SurfaceCheckResources
	}
	if len(r.Types) == 0 && !v.Settings.IsParallel {
		r.Types = v.Settings.ResourceTypes // no others are migrated
	}
	if len(r.Types) > 0 {
		return nil
	}
	if are.sourceErr != nil {
		return fmt.Errorf("source: %w", are.sourceErr)
	}
	r.Types = slices.Concat(are.source.Types, are.destination.Types)
	slices.Sort(r.Types)
	r.Types = slices.DeleteFunc(slices.Compact(r.Types), func(typ string) bool { return typ == "SearchParameter" })
	return nil
}

// rules are what the comparison of a resource leaves out. A version that is no whole number is not kept by the import.
func (r Request) rules() Rules {
	return Rules{NewVersions: r.Plan.NewVersions, Ignore: r.Ignore}
}

func (r Request) period() fhir.Period { return fhir.Period{Since: r.Since, Till: r.Till} }

// holds says whether an instant is in what the run looks at.
func (r Request) holds(at time.Time) bool {
	return !at.Before(r.Since) && at.Before(r.Till)
}
