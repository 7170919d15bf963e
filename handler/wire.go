package main

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/migration"
	"fhirmigration/handler/internal/settings"
	"fhirmigration/handler/internal/staging"
)

// wire makes the parts from the settings. It calls no service: that happens in a request.
func wire(set settings.Settings, clock func() time.Time, random io.Reader, log *slog.Logger) (*migration.Migration, error) {
	// One credential for all: azidentity caches the tokens of each scope by itself where it can, fhir.Service does it where
	// that matters.
	credential, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return nil, fmt.Errorf("default Azure credential: %w", err)
	}
	source, err := service(set.SourceUri, set.SourceCredential, credential, set, clock)
	if err != nil {
		return nil, fmt.Errorf("AZURE_SourceUri: %w", err)
	}
	destination, err := service(set.DestinationUri, set.DestinationCredential, credential, set, clock)
	if err != nil {
		return nil, fmt.Errorf("AZURE_DestinationUri: %w", err)
	}
	tables, err := ledger.Open(ledger.Options{
		Endpoint: set.StagingStorageUri, Credential: credential, ConnectionString: set.StorageConnectionString.Reveal(),
		ExportTable: set.ExportTableName, ChunkTable: set.ChunkTableName, PartitionKey: set.PartitionKey, RowKey: set.RowKey,
	})
	if err != nil {
		return nil, fmt.Errorf("AZURE_StagingStorageUri: %w", err)
	}
	blobs, err := staging.Open(staging.Options{
		Endpoint: set.BlobStorageUri, Credential: credential, ConnectionString: set.StorageConnectionString.Reveal(),
	})
	if err != nil {
		return nil, fmt.Errorf("AZURE_BlobStorageUri: %w", err)
	}
	return migration.New(migration.Options{
		Settings: set, Source: source, Destination: destination, Ledger: tables, Staging: blobs,
		Clock: clock, Random: random, Log: log,
	}), nil
}

func service(base string, how settings.Credential, credential azcore.TokenCredential, set settings.Settings, clock func() time.Time) (*fhir.Service, error) {
	if how == settings.CredentialNone {
		credential = nil
	}
	return fhir.New(fhir.Options{
		Base: base, Credential: credential, UserAgent: set.UserAgent, Clock: clock, Timeout: migration.CallTime(set),
	})
}
