package main

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/migration"
	"fhirmigration/handler/internal/settings"
	"fhirmigration/handler/internal/staging"
	"fhirmigration/handler/internal/verify"
)

// wire makes the parts from the settings, and logs what an operator should hear of once. It calls no service: that happens in a request.
func wire(set settings.Settings, clock func() time.Time, random io.Reader, log *slog.Logger) (*migration.Migration, *verify.Verify, error) {
	for _, notice := range set.Notices {
		log.Warn(notice)
	}
	credential, err := newCredentials(set)
	if err != nil {
		return nil, nil, err
	}
	source, err := service(set.SourceUri, scope(set.SourceAudience), credential.source, set, clock)
	if err != nil {
		return nil, nil, fmt.Errorf("AZURE_SourceUri: %w", err)
	}
	destination, err := service(set.DestinationUri, scope(set.DestinationAudience), credential.destination, set, clock)
	if err != nil {
		return nil, nil, fmt.Errorf("AZURE_DestinationUri: %w", err)
	}
	tables, err := ledger.Open(ledger.Options{
		Endpoint: set.StagingStorageUri, Credential: credential.storage, ConnectionString: set.StorageConnectionString.Reveal(),
		ExportTable: set.ExportTableName, ChunkTable: set.ChunkTableName, ExceptionTable: set.ExceptionTableName, PartitionKey: set.PartitionKey, RowKey: set.RowKey,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("AZURE_StagingStorageUri: %w", err)
	}
	blobs, err := staging.Open(staging.Options{
		Endpoint: set.BlobStorageUri, Credential: credential.storage, ConnectionString: set.StorageConnectionString.Reveal(),
		ExportEndpoint: set.ExportStorageUri,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("AZURE_BlobStorageUri: %w", err)
	}
	return migration.New(migration.Options{
			Settings: set, Source: source, Destination: destination, Ledger: tables, Staging: blobs,
			Clock: clock, Random: random, Log: log,
		}), verify.New(verify.Options{
			Settings: set, Source: source, Destination: destination, Ledger: tables, Staging: blobs,
			Clock: clock, Random: random, Log: log,
		}), nil
}

func service(base, scope string, credential azcore.TokenCredential, set settings.Settings, clock func() time.Time) (*fhir.Service, error) {
	return fhir.New(fhir.Options{
		Base: base, Scope: scope, Credential: credential, UserAgent: set.UserAgent, Clock: clock, Timeout: migration.CallTime(set),
	})
}
