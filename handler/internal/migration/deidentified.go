package migration

import (
	"context"
	"errors"
	"fmt"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/staging"
)

// De-identified export is fail-closed: the version of its configuration is pinned with the settings when planning begins, each export names it, and
// where it is missing or another one nothing is begun. What was not exported that way, with the version that is pinned, is not imported.

// errIdentified: nothing may be exported as it is, and how it is to be de-identified is not known.
var errIdentified = errors.New("nothing is exported: the de-identification configuration could not be read")

// pinned are the settings that must not change half-way, as they are now. With de-identification the version of its configuration is one of
// them; where that cannot be found out, there is an error and nothing may begin.
func (m *Migration) pinned(ctx context.Context) (map[string]string, error) {
	pinned := m.Settings.Pinned()
	if !m.Settings.IsExportDeidentified {
		return pinned, nil
	}
	etag, err := m.Staging.AnonymizationETag(ctx, m.Settings.AnonymizationFile())
	if errors.Is(err, staging.ErrNoAnonymization) {
		return nil, fmt.Errorf("%w; put it there or correct AZURE_ConfigFile, then the migration goes on by itself", err)
	}
	if err != nil {
		return nil, err
	}
	pinned[ledger.AnonymizationPin] = etag
	return pinned, nil
}

// noteAnonymization notes the version of the configuration that was accepted: the last tick may have found another one, and the page would
// say until the next that it differs.
func (m *Migration) noteAnonymization(ctx context.Context, etag string) error {
	if etag == "" {
		return nil
	}
	control, err := m.Ledger.Control(ctx)
	if err != nil {
		return err
	}
	return m.updateControl(ctx, control, func(c ledger.Control) (ledger.Control, bool) { return c.AnonymizationFound(etag) })
}

// exportRequest is what is asked for as the export of w.
func (t *tick) exportRequest(w ledger.Window) (fhir.ExportRequest, error) {
	r := fhir.ExportRequest{
		Type: w.ResourceType, Since: w.Since, Till: w.Till,
		History: t.Settings.ExportWithHistory, Deletes: t.Settings.ExportWithDelete,
		MaxCount: t.maxCount(w),
	}
	if !t.Settings.IsExportDeidentified {
		return r, nil
	}
	etag := t.chunk.Pinned[ledger.AnonymizationPin]
	if etag == "" || etag != t.anonymizationETag {
		return r, errIdentified
	}
	r.Anonymize = &fhir.Anonymization{Container: staging.AnonymizationContainer, File: t.Settings.AnonymizationFile(), ETag: etag}
	return r, nil
}

// identified says why what a manifest lists may not be imported: it was asked for to be de-identified, and was exported as it is, or with another
// version of the configuration than the one that is pinned, which an operator has accepted since.
func (t *tick) identified(m staging.Manifest) (reason string) {
	file, etag := t.Settings.AnonymizationFile(), t.chunk.Pinned[ledger.AnonymizationPin]
	if t.Settings.IsExportDeidentified && !m.AnonymizedBy(file, etag) {
		return fmt.Sprintf("the export was not de-identified with %s in its version of now, ETag %q", file, etag)
	}
	return ""
}

// identifiedExport is identified for the export with an id, of which there may be no manifest: the original kept none.
func (t *tick) identifiedExport(ctx context.Context, exportID string) (reason string, _ error) {
	if !t.Settings.IsExportDeidentified {
		return "", nil
	}
	m, err := t.Staging.Manifest(ctx, exportID)
	if errors.Is(err, staging.ErrNotFound) {
		return "the export has no manifest: it is not known to be de-identified", nil
	}
	if err != nil {
		return "", err
	}
	return t.identified(m), nil
}

// holdIdentified holds a window whose files are not to be imported. Imports of it that run are followed to their end first: a window that is held is
// not asked for, and cannot be retried while one may run.
func (t *tick) holdIdentified(ctx context.Context, w ledger.Window) (_ ledger.Window, held bool, _ error) {
	reason, err := t.identifiedExport(ctx, w.ExportID)
	if err != nil {
		return w, false, fmt.Errorf("%s: %w", w.Name(), err)
	}
	if reason == "" {
		return w, false, nil
	}
	if countPosted(w) > 0 {
		return w, true, nil
	}
	next, moveErr := w.Hold(fmt.Sprintf("%s: retry it (POST /api/Windows/%d/retry), then it is exported again", reason, w.Number), t.Clock())
	next, _, err = t.save(ctx, w, next, moveErr)
	return next, true, err
}

// shown has the step's summary say why nothing is begun, beside the error.
func (t *tick) shown(err error) error {
	t.sum.Waiting = err.Error()
	return err
}
