package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"fhirmigration/handler/internal/cutover"
	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/migration"
	"fhirmigration/handler/internal/routes"
	"fhirmigration/handler/internal/settings"
	"fhirmigration/handler/internal/staging"
	"fhirmigration/handler/internal/status"
	"fhirmigration/handler/internal/verify"
)

// wire makes the parts from the settings, and logs what an operator should hear of once. It calls no service: that happens in a request.
func wire(set settings.Settings, environ []string, clock func() time.Time, random io.Reader, log *slog.Logger) (o routes.Options, _ error) {
	for _, notice := range set.Notices {
		log.Warn(notice)
	}
	credential, err := newCredentials(set)
	if err != nil {
		return o, err
	}
	source, err := service(set.SourceUri, scope(set.SourceAudience), credential.source, set, clock)
	if err != nil {
		return o, fmt.Errorf("AZURE_SourceUri: %w", err)
	}
	destination, err := service(set.DestinationUri, scope(set.DestinationAudience), credential.destination, set, clock)
	if err != nil {
		return o, fmt.Errorf("AZURE_DestinationUri: %w", err)
	}
	tables, err := ledger.Open(ledger.Options{
		Endpoint: set.StagingStorageUri, Credential: credential.storage, ConnectionString: set.StorageConnectionString.Reveal(),
		ExportTable: set.ExportTableName, ChunkTable: set.ChunkTableName, ExceptionTable: set.ExceptionTableName, PartitionKey: set.PartitionKey, RowKey: set.RowKey,
	})
	if err != nil {
		return o, fmt.Errorf("AZURE_StagingStorageUri: %w", err)
	}
	blobs, err := staging.Open(staging.Options{
		Endpoint: set.BlobStorageUri, Credential: credential.storage, ConnectionString: set.StorageConnectionString.Reveal(),
		ExportEndpoint: set.ExportStorageUri,
	})
	if err != nil {
		return o, fmt.Errorf("AZURE_BlobStorageUri: %w", err)
	}
	o.Migration = migration.New(migration.Options{
		Settings: set, Source: source, Destination: destination, Ledger: tables, Staging: blobs,
		Clock: clock, Random: random, Log: log,
	})
	o.Verify = verify.New(verify.Options{
		Settings: set, Source: source, Destination: destination, Ledger: tables, Staging: blobs,
		Clock: clock, Random: random, Log: log,
	})
	o.Status = status.New(status.Options{
		Settings: set, Ledger: tables, Clock: clock, Build: status.Build{Version: version, Commit: commit()}, Schedules: schedules(environ),
		Check: checkStatus(o.Verify), CountServers: o.Verify.CountServers,
	})
	o.Cutover = cutover.New(cutover.Options{Settings: set, Source: source, Ledger: tables, Staging: blobs, Verify: o.Verify, Clock: clock,
		Build: strings.TrimSpace(version + " " + commit())})
	return o, nil
}

// schedules are the app settings that the host takes the timers' schedules from.
func schedules(environ []string) map[string]string {
	all := map[string]string{}
	for _, timer := range []string{"ExportTimer", "ImportTimer", "VerifyTimer"} {
		all[timer] = lookup(environ, timer+"Schedule")
	}
	return all
}

// checkStatus says how a run of a check is, for the status. A row that cannot be read says so itself.
func checkStatus(v *verify.Verify) func(ledger.Run) status.Check {
	return func(run ledger.Run) status.Check {
		b, err := v.Brief(run)
		if err != nil {
			return status.Check{Name: run.Kind, Run: run.Number, State: string(run.State), Verdict: err.Error()}
		}
		c := status.Check{Name: b.Event, Run: run.Number, State: string(run.State), Verdict: b.Verdict, Counts: map[string]int64{},
			Done: b.Progress.Done, Of: b.Progress.Of, Unit: b.Progress.Unit}
		for outcome, n := range b.Counts {
			c.Counts[string(outcome)] = n
		}
		if run.Ended() {
			clean := b.Clean
			c.Clean = &clean
		}
		c.Till, c.Started, c.Ended = status.Instant(b.Till), status.Instant(run.StartTime), status.Instant(run.EndTime)
		return c
	}
}

func service(base, scope string, credential azcore.TokenCredential, set settings.Settings, clock func() time.Time) (*fhir.Service, error) {
	return fhir.New(fhir.Options{
		Base: base, Scope: scope, Credential: credential, UserAgent: set.UserAgent, Clock: clock, Timeout: migration.CallTime(set),
	})
}
