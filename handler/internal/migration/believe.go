package migration

import (
	"context"
	"fmt"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
)

// believe compares an export with the source's own count of the window, taken now that the export has ended. counted may be
// fewer than the lines, never more: a window in the past is exported as it was at its Till, and what was superseded since
// is counted in a later window. disbelief says why the export is not to be believed.
func (t *tick) believe(ctx context.Context, w ledger.Window, lines int64) (counted int64, disbelief string, err error) {
	if t.chunk.ExportOnly {
		return ledger.Unknown, "", errNoCount
	}
	period := fhir.Period{Since: w.Since, Till: w.Till}
	view := fhir.Current
	if t.Settings.ExportWithHistory && t.Settings.ExportWithDelete {
		view = fhir.Versions // every version and every deletion is a line
	}
	c, err := t.Source.CountType(ctx, w.ResourceType, view, period)
	if err != nil {
		return ledger.Unknown, "", fmt.Errorf("count %s: %w", w.Name(), err)
	}
	if c.N > lines {
		return c.N, fmt.Sprintf("the export has %d lines, the source counts %d", lines, c.N), nil
	}
	if lines == 0 && (t.Settings.ExportWithHistory || t.Settings.ExportWithDelete) {
		disbelief, err = t.believeEmpty(ctx, w.ResourceType, period)
	}
	return c.N, disbelief, err
}

// believeEmpty looks for what a count of resources does not see: deletions and superseded versions. An export that was
// cancelled inside the service answers 200 and nothing, so "empty" needs a second witness.
func (t *tick) believeEmpty(ctx context.Context, typ string, p fhir.Period) (disbelief string, err error) {
	versions, err := t.Source.CountType(ctx, typ, fhir.Versions, p)
	if err != nil || versions.N == 0 {
		return "", err
	}
	switch {
	case t.Settings.ExportWithHistory && t.Settings.ExportWithDelete:
		return fmt.Sprintf("the export is empty, the source counts %d versions", versions.N), nil
	case t.Settings.ExportWithHistory: // all of them may be deletions, which are not asked for
		deletions := int64(0)
		err := t.Source.Deletions(ctx, typ, p, func(fhir.Ref) (bool, error) { deletions++; return true, nil })
		if err == nil && deletions < versions.N {
			disbelief = fmt.Sprintf("the export is empty, the source counts %d versions and %d deletions", versions.N, deletions)
		}
		return disbelief, err
	case !versions.Cosmos: // the snapshot view exports the last version of each as of Till, so there must be one
		return fmt.Sprintf("the export is empty, the source counts %d versions", versions.N), nil
	}
	// Without the snapshot view only what is still current comes out. No resource is (they were counted); a deletion may be.
	err = t.Source.Deletions(ctx, typ, p, func(deleted fhir.Ref) (bool, error) {
		current, err := t.Source.CurrentVersion(ctx, deleted.Type, deleted.ID)
		if err == nil && current.VersionID == deleted.VersionID {
			disbelief = fmt.Sprintf("the export is empty, but %s/%s is deleted in it", deleted.Type, deleted.ID)
		}
		return disbelief == "", err
	})
	return disbelief, err
}
