package access

import (
	"context"
	"errors"
	"fmt"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/staging"
)

const (
	triedTables        = "a row inserted, read and removed in each table"
	triedBlobs         = "a blob saved, read and removed in the container migration-checks"
	triedExported      = "a list of the account's containers"
	triedAnonymization = "the configuration's blob looked at in the container anonymization"

	triedJobs = "cannot be tried from here: looked up whether an export and an import have come to an end"

	roleTables     = "Storage Table Data Contributor"
	roleBlobs      = "Storage Blob Data Contributor"
	roleBlobReader = "Storage Blob Data Reader"
)

func (c Check) tables(ctx context.Context) []Line {
	return []Line{storage(Line{Name: "table storage", Tried: triedTables}, c.Ledger.Probe(ctx, unique()), roleTables, "the tool's own storage account", "AZURE_StagingStorageUri")}
}

func (c Check) blobs(ctx context.Context) []Line {
	return []Line{storage(Line{Name: "blob storage", Tried: triedBlobs}, c.Staging.Probe(ctx, unique()), roleBlobs, "the tool's own storage account", "AZURE_BlobStorageUri")}
}

func (c Check) exported(ctx context.Context) []Line {
	account, setting := "the account that the FHIR services export to", "AZURE_ExportStorageUri"
	if c.Settings.ExportStorageUri == "" {
		setting = "AZURE_BlobStorageUri (AZURE_ExportStorageUri is not set)"
	}
	l := storage(Line{Name: "export storage", Tried: triedExported}, c.Staging.ReachExported(ctx), roleBlobReader, account, setting)
	if l.Result == OK {
		l.Do = fmt.Sprintf("to post refused lines again, the identity needs %q there as well", roleBlobs)
	}
	return []Line{l}
}

// anonymization says whether the configuration is there that exports are de-identified with, where they are.
func (c Check) anonymization(ctx context.Context) []Line {
	if !c.Settings.IsExportDeidentified {
		return nil
	}
	l := Line{Name: "de-identification", Tried: triedAnonymization}
	file := c.Settings.AnonymizationFile()
	_, err := c.Staging.AnonymizationETag(ctx, file)
	if errors.Is(err, staging.ErrNoAnonymization) {
		l.Result, l.Found = NotOK, fmt.Sprintf("there is no blob %s in the container %s: nothing is exported", file, staging.AnonymizationContainer)
		l.Do = "put the configuration there, in the account that the source exports to, or correct AZURE_ConfigFile"
		return []Line{l}
	}
	return []Line{storage(l, err, roleBlobReader, "the account that the FHIR services export to", "AZURE_ExportStorageUri")}
}

// newestWindows is how many of the newest windows are looked at for jobs that have ended.
const newestWindows = 20

// identities says what the FHIR services' own identities need on their storage accounts. What has run is the only proof.
func (c Check) identities(ctx context.Context) []Line {
	source := Line{Name: "source: its own storage", Tried: triedJobs, Result: NotKnown,
		Do: fmt.Sprintf("give the managed identity of the source FHIR service the role %q on its export account, and name that account in the service's export settings", roleBlobs)}
	destination := Line{Name: "destination: its own storage", Tried: triedJobs, Result: NotKnown,
		Do: fmt.Sprintf("give the managed identity of the destination FHIR service the role %q on the account that it imports from, and name that account in the service's import settings", roleBlobs)}
	same := Line{Name: "export and import on one account", Tried: triedJobs, Result: NotKnown,
		Do: "the import settings of the destination must name the account that the source exports to: an import of files of another account is refused"}
	exported, imported, where, err := c.jobsEnded(ctx)
	if err != nil {
		source.Found = "the tables cannot be read: see the line of table storage"
		destination.Found, same.Found = source.Found, source.Found
	}
	if exported > 0 {
		source.Result, source.Found, source.Do = OK, fmt.Sprintf("the export of window %d has ended well", exported), ""
		same.Found = "exports go to " + where
	}
	if imported > 0 {
		destination.Result, destination.Found, destination.Do = OK, fmt.Sprintf("an import of window %d has ended well", imported), ""
		same.Result, same.Found, same.Do = OK, fmt.Sprintf("the destination has imported files of %s", where), ""
	}
	return []Line{source, destination, same}
}

// jobsEnded finds the newest windows of which an export and an import have brought something, 0 for none, and the account with the files.
func (c Check) jobsEnded(ctx context.Context) (exported, imported int, where string, _ error) {
	chunk, err := c.Ledger.Chunk(ctx)
	if errors.Is(err, ledger.ErrNotFound) {
		return 0, 0, "", nil
	}
	if err != nil {
		return 0, 0, "", err
	}
	for n := chunk.JobID - 1; n > 0 && n >= chunk.JobID-newestWindows && imported == 0; n-- {
		w, err := c.Ledger.Window(ctx, n)
		if errors.Is(err, ledger.ErrNotFound) || errors.Is(err, ledger.ErrNotWindow) {
			continue
		}
		if err != nil {
			return exported, imported, where, err
		}
		if !w.ExportComplete || w.ExportedLines() == 0 {
			continue
		}
		if w.Imported() > 0 {
			imported = n
		}
		if exported == 0 || imported != 0 {
			exported, where = max(exported, n), c.filesOf(ctx, w)
		}
	}
	return exported, imported, where, nil
}

// filesOf is the account with the exported files of w.
func (c Check) filesOf(ctx context.Context, w ledger.Window) string {
	m, err := c.Staging.Manifest(ctx, w.ExportID)
	if err != nil || len(m.Files) == 0 {
		return "an account that is not known: the manifest cannot be read"
	}
	return staging.AccountOf(m.Files[0].URL)
}
