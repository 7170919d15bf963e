package migration

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
)

const (
	// dryRunTime bounds a dry run: its caller waits.
	dryRunTime = 20 * time.Second
	// dryRunWindows is how many windows a dry run lists; what follows is counted as a whole.
	dryRunWindows = 100
	// sampled resources give the mean length of one.
	sampled = 200
	// rowsOfFile is how many resources a service writes into one file, at most, without a _maxCount; pageOfCosmos is how many of mixed types one of
	// the Cosmos kind reads at a time.
	rowsOfFile, pageOfCosmos = 10_000, 20_000
)

// DryRun is what a migration would do from where it stands. Counts are the source's, of now; all else is estimated, as Estimated says.
type DryRun struct {
	Mode     string      `json:"mode"` // "system", "type by type" or "exports alone"
	From     time.Time   `json:"from,omitzero"`
	Till     time.Time   `json:"till,omitzero"`
	Counted  string      `json:"counted,omitempty"` // what is counted: "versions" or "resources"
	Windows  []DryWindow `json:"windows"`
	Empty    int         `json:"emptyStretches"`
	AndSoOn  *DryRest    `json:"andSoOn,omitempty"` // what comes behind the windows listed
	Total    DryTotals   `json:"total"`             // of the windows listed
	NotNow   []string    `json:"notNow,omitempty"`  // what would keep them from being made just now
	Estimate []string    `json:"estimatedHow"`
}

// DryWindow is a window that would be made.
type DryWindow struct {
	Since time.Time `json:"since"`
	Till  time.Time `json:"till"`
	Count int64     `json:"count"`
	Files int64     `json:"files"`
	Bytes int64     `json:"bytes"`
}

// DryRest is what a dry run did not come to.
type DryRest struct {
	From  time.Time `json:"from"`
	Count *int64    `json:"count,omitempty"` // nil: not known
	Why   string    `json:"why"`
}

// DryTotals are sums over windows.
type DryTotals struct {
	Windows int   `json:"windows"`
	Exports int   `json:"exports"` // $export jobs; type by type, at most that many
	Imports int64 `json:"imports"` // $import jobs
	Count   int64 `json:"count"`
	Files   int64 `json:"files"`
	Bytes   int64 `json:"bytes"`
}

// sample is what some of the oldest resources show of the others.
type sample struct {
	mean   float64 // bytes of one with its line break
	types  int64
	cosmos bool
}

// DryRun works out which windows would be made from where the migration stands. It starts nothing and saves nothing. A count that cannot
// be had ends the list: it is never taken for zero.
func (m *Migration) DryRun(ctx context.Context) (DryRun, error) {
	ctx, cancel := context.WithTimeout(ctx, dryRunTime)
	defer cancel()
	d := DryRun{Mode: "system", Counted: "resources", Windows: []DryWindow{}}
	if m.view() == fhir.Versions {
		d.Counted = "versions"
	}
	if !m.Settings.IsParallel {
		d.Mode = "type by type"
	}
	chunk, err := m.Ledger.Chunk(ctx)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return d, err
	}
	if d.NotNow, err = m.notNow(ctx, chunk); err != nil {
		return d, err
	}
	now, err := m.Source.Now(ctx)
	if err != nil {
		return d, fmt.Errorf("%w: %w", ErrService, err)
	}
	d.Till, _ = (&tick{Migration: m}).planTill(now)
	d.From = chunk.PlannedTill
	if d.From.IsZero() {
		d.From = m.Settings.StartDate
	}
	if err := m.dryRun(ctx, &d); err != nil {
		if kindOf(err) == fhir.Gone {
			return d.exportsAlone(), nil
		}
		return d, fmt.Errorf("%w: %w", ErrService, withRole(err, roleReader, "source"))
	}
	return d, nil
}

// dryRun lists windows as long as there is time. Only what keeps it from listing any is an error.
func (m *Migration) dryRun(ctx context.Context, d *DryRun) error {
	first, found, err := m.oldest(ctx, fhir.Period{Since: d.From, Till: d.Till})
	if err != nil {
		return err
	}
	if !found {
		d.Estimate = []string{"there is nothing to migrate up to now"}
		return nil
	}
	if d.From.IsZero() {
		d.From = first.Truncate(time.Millisecond)
	}
	s, err := m.sample(ctx, fhir.Period{Since: first, Till: d.Till})
	if err != nil {
		return err
	}
	for since := d.From; since.Before(d.Till); {
		if len(d.Windows) == dryRunWindows {
			d.AndSoOn = m.rest(ctx, fhir.Period{Since: since, Till: d.Till}, fmt.Sprintf("%d windows are listed", dryRunWindows))
			break
		}
		w, err := m.dryWindow(ctx, since, d.Till)
		if err != nil {
			d.AndSoOn = &DryRest{From: since, Why: err.Error()}
			break
		}
		since = w.Till
		if w.Count > 0 {
			d.add(m, w, s)
			continue
		}
		d.Empty++
		next, found, err := m.oldest(ctx, fhir.Period{Since: since, Till: d.Till})
		if err != nil {
			d.AndSoOn = &DryRest{From: since, Why: err.Error()}
			break
		}
		if since = next.Truncate(time.Millisecond); !found {
			since = d.Till
		}
	}
	d.estimated(m, s)
	return nil
}

// dryWindow is the window that begins at since, cut as planning would cut it. Type by type, it is the time that all types share: each
// is cut by itself.
func (m *Migration) dryWindow(ctx context.Context, since, limit time.Time) (DryWindow, error) {
	till := since.Add(m.Settings.ChunkLength())
	if till.After(limit) {
		till = limit
	}
	for {
		c, err := m.Source.CountType(ctx, "", m.view(), fhir.Period{Since: since, Till: till})
		if err != nil || !m.Settings.IsParallel || c.N <= m.Settings.ChunkLimit || till.Sub(since) < 2*time.Millisecond {
			return DryWindow{Since: since, Till: till, Count: c.N}, err
		}
		till = since.Add(till.Sub(since) / 2).Truncate(time.Millisecond)
	}
}

func (m *Migration) oldest(ctx context.Context, p fhir.Period) (at time.Time, found bool, _ error) {
	all, err := m.Source.Oldest(ctx, "", m.view(), p, 1)
	if err != nil || len(all) == 0 {
		return time.Time{}, false, err
	}
	return all[0].LastUpdated, true, nil
}

// rest is what comes behind the windows listed.
func (m *Migration) rest(ctx context.Context, p fhir.Period, why string) *DryRest {
	r := &DryRest{From: p.Since, Why: why}
	if c, err := m.Source.CountType(ctx, "", m.view(), p); err == nil {
		r.Count = &c.N
	} else {
		r.Why += "; the rest could not be counted: " + err.Error()
	}
	return r
}

// sample reads some of the oldest resources of p.
func (m *Migration) sample(ctx context.Context, p fhir.Period) (s sample, _ error) {
	count, err := m.Source.CountType(ctx, "", m.view(), fhir.Period{Since: p.Since, Till: p.Since.Add(time.Millisecond)})
	if err != nil {
		return s, err
	}
	all, err := m.Source.Oldest(ctx, "", m.view(), p, sampled)
	if err != nil || len(all) == 0 {
		return s, err
	}
	types, total := map[string]bool{}, 0
	for _, r := range all {
		total += len(r.Raw) + 1
		types[r.Type] = true
	}
	return sample{float64(total) / float64(len(all)), int64(len(types)), count.Cosmos}, nil
}

// add adds a window with what its export is estimated to write.
func (d *DryRun) add(m *Migration, w DryWindow, s sample) {
	rows := int64(rowsOfFile)
	if m.Settings.MaxCount {
		rows = int64(m.Settings.MaxCountValue)
	}
	w.Files = (w.Count+rows-1)/rows + min(s.types, w.Count) - 1
	if s.cosmos {
		w.Files = (w.Count + pageOfCosmos - 1) / pageOfCosmos * min(s.types, w.Count)
	}
	w.Bytes = int64(math.Round(float64(w.Count) * s.mean))
	d.Windows = append(d.Windows, w)
	d.Total.Windows++
	d.Total.Exports++
	if !m.Settings.IsParallel {
		d.Total.Exports += len(m.Settings.Types()) - 1
	}
	files := int64(m.Settings.FileCount)
	d.Total.Imports += (w.Files + files - 1) / files
	d.Total.Count += w.Count
	d.Total.Files += w.Files
	d.Total.Bytes += w.Bytes
}

// estimated says how the figures were come by.
func (d *DryRun) estimated(m *Migration, s sample) {
	d.Estimate = []string{
		fmt.Sprintf("count: %s that the source counts now; an export of the past may hold more lines, as what was changed since is exported as it was", d.Counted),
		fmt.Sprintf("bytes: %.0f for each, the mean of up to %d of the oldest", s.mean, sampled),
		fmt.Sprintf("files: one for each %d of a type, of %d types that these have", rowsOfFile, s.types),
	}
	if s.cosmos {
		d.Estimate[2] = fmt.Sprintf("files: one for each of %d types and each page of about %d, as services of the Cosmos kind write them", s.types, pageOfCosmos)
	}
	if m.Settings.ExportWithDelete && !m.Settings.ExportWithHistory {
		d.Estimate = append(d.Estimate, "without history only the last version of a resource in a window is exported: fewer lines than versions")
	}
	if !m.Settings.IsParallel {
		d.Estimate = append(d.Estimate, fmt.Sprintf("exports: each of these windows is exported type by type, %d types at most, those that have nothing in it left out; "+
			"a type with more than AZURE_ChunkLimit is cut further", len(m.Settings.Types())))
	}
}

// exportsAlone is the answer for a source that cannot be counted.
func (d DryRun) exportsAlone() DryRun {
	d.Mode, d.Counted, d.Windows = "exports alone", "", []DryWindow{}
	d.AndSoOn = &DryRest{From: d.From, Why: "the source is retired: it answers exports and nothing else, so how much there is shows only when it is exported"}
	d.Estimate = []string{"windows are made one after the other; each is as long as what the ones before it brought makes likely to be good"}
	return d
}

// notNow says what keeps windows from being made just now.
func (m *Migration) notNow(ctx context.Context, chunk ledger.Chunk) (all []string, _ error) {
	control, err := m.Ledger.Control(ctx)
	if err != nil {
		return nil, err
	}
	if p := control.Pause; p.Set() {
		all = append(all, fmt.Sprintf("paused by %s since %s: %s", p.By, ledger.FormatInstant(p.At), p.Reason))
	}
	if control.Drain.Set() {
		all = append(all, "drained by "+control.Drain.By+": nothing new starts")
	}
	if chunk.Types.UnderWay() {
		all = append(all, fmt.Sprintf("the time until %s is planned for some types, and first for the others", ledger.FormatInstant(chunk.Types.Till)))
	}
	if paused, until := m.Settings.Paused(m.Clock()); paused {
		all = append(all, "paused until "+ledger.FormatInstant(until))
	}
	pinned, err := m.pinned(ctx)
	if err != nil {
		all = append(all, "nothing is exported: "+err.Error())
	}
	if diff := chunk.PinnedDifference(pinned); diff != "" {
		all = append(all, "settings changed that must not change half-way: "+diff)
	}
	if out := control.Source; m.Clock().Before(out.NotBefore) {
		all = append(all, fmt.Sprintf("the source gives no answer since %s: %s", ledger.FormatInstant(out.Since), out.Reason))
	}
	if n := len(chunk.Open); n >= m.Settings.MaxOpenWindows {
		all = append(all, fmt.Sprintf("%d windows are open already, as many as AZURE_MaxOpenWindows says", n))
	}
	return all, nil
}
