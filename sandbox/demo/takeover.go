package demo

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"fhirmigration/sandbox/original"
)

// leaveOriginal has the durable original migrate a few windows, and stop in the middle of them.
func leaveOriginal(ctx context.Context, p *platform, s span) (err error) {
	token := p.pass
	if token == "" { // a token for the original, which ends with it
		if token, err = newPass(rand.Reader); err != nil {
			return err
		}
		p.pass = token
		defer func() { p.pass = "" }()
	}
	o, err := original.Open(ctx, original.Options{
		StorageConnectionString: p.storage.ConnectionString(),
		ExportTable:             tableNames.ExportTable, ChunkTable: tableNames.ChunkTable, PartitionKey: tableNames.PartitionKey, RowKey: tableNames.RowKey,
		Source: p.source.URL(), Destination: p.destination.URL(), SourceToken: token, DestinationToken: token,
		FileCount: originalFileCount,
	})
	if err != nil {
		return err
	}
	stages := []original.Stage{original.Closed, original.HidesFailure, original.Closed, original.HalfPosted}
	closed := s.start
	for number, stage := range stages {
		since := s.start.Add(windowLength * time.Duration(number))
		till := since.Add(windowLength)
		if err := o.Window(ctx, number, since, till, stage); err != nil {
			return err
		}
		if stage == original.Closed || stage == original.HidesFailure {
			closed = till
		}
	}
	if err := o.Chunk(ctx, len(stages), closed); err != nil {
		return fmt.Errorf("original: chunk row: %w", err)
	}
	return nil
}

// originalFileCount cuts a window's files into a few payloads.
const originalFileCount = 20
