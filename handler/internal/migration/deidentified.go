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
// where it is missing or another one nothing is begun. What was not exported that way is not imported.

// anonymizationPin is the name under which the ETag of the configuration is pinned.
const anonymizationPin = "ETag of ConfigFile"

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
	pinned[anonymizationPin] = etag
	return pinned, nil
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
	etag := t.chunk.Pinned[anonymizationPin]
	if etag == "" || etag != t.anonymizationETag {
		return r, errIdentified
	}
	r.Anonymize = &fhir.Anonymization{Container: staging.AnonymizationContainer, File: t.Settings.AnonymizationFile(), ETag: etag}
	return r, nil
}

// identified says why what a manifest lists may not be imported: it was asked for to be de-identified, and was exported as it is.
func (t *tick) identified(m staging.Manifest) (reason string) {
	if t.Settings.IsExportDeidentified && !m.AnonymizedBy(t.Settings.AnonymizationFile()) {
		return fmt.Sprintf("the export was not de-identified with %s", t.Settings.AnonymizationFile())
	}
	return ""
}

// holdIdentified holds a window whose files are not to be imported.
func (t *tick) holdIdentified(ctx context.Context, w ledger.Window) (_ ledger.Window, held bool, _ error) {
	if !t.Settings.IsExportDeidentified {
		return w, false, nil
	}
	m, err := t.Staging.Manifest(ctx, w.ExportID)
	if err != nil {
		return w, false, fmt.Errorf("%s: %w", w.Name(), err)
	}
	reason := t.identified(m)
	if reason == "" {
		return w, false, nil
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
