package access

import (
	"context"
	"fmt"
	"time"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/settings"
)

const (
	triedMetadata = "GET /metadata"
	triedSearch   = "GET /?_summary=count over an instant in which there is nothing"
	triedExport   = "GET /_operations/export/0: 404 says that the role is there, 403 that it is missing"
	triedImport   = "GET /_operations/import/0: 404 says that the role is there, 403 that it is missing"
	triedReindex  = "GET /$reindex: 405 says that none runs and the role is there, 423 that the service is in initial-import mode"
	triedClocks   = "the Date header of both services against the function app's clock"

	// maxClockDifference is more than any clock that is kept in time is off. The bounds of windows are the source's time, so a difference
	// harms no data; tokens are what fails first.
	maxClockDifference = 2 * time.Minute
)

func (c Check) metadata(where string, s *fhir.Service) func(context.Context) Line {
	return func(ctx context.Context) Line {
		l := Line{Name: where + ": metadata", Tried: triedMetadata}
		capability, err := s.Capability(ctx)
		if l = service(l, err, fhir.RoleReader, where); err == nil {
			l.Found = fmt.Sprintf("a FHIR service with %d types", len(capability.Types))
		}
		return l
	}
}

func (c Check) search(where string, s *fhir.Service) func(context.Context) Line {
	return func(ctx context.Context) Line {
		l := Line{Name: where + ": search", Tried: triedSearch}
		at := time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
		_, err := s.CountResources(ctx, fhir.Period{Since: at, Till: at.Add(time.Millisecond)})
		l = service(l, err, fhir.RoleReader, where)
		if fhir.KindOf(err) == fhir.Gone && where == "source" {
			l.Result, l.Do = OK, "the source is retired and answers exports alone: it is exported without counts"
		}
		return l
	}
}

func (c Check) export(ctx context.Context) Line {
	return service(Line{Name: "source: export", Tried: triedExport}, c.Source.MayExport(ctx), fhir.RoleExporter, "source")
}

func (c Check) importing(ctx context.Context) Line {
	return service(Line{Name: "destination: import", Tried: triedImport}, c.Destination.MayImport(ctx), fhir.RoleImporter, "destination")
}

// reindex tells the import mode too, by the same answer.
func (c Check) reindex(ctx context.Context) []Line {
	initial, err := c.Destination.MayReindex(ctx)
	role := service(Line{Name: "destination: search parameters and reindex", Tried: triedReindex}, err, fhir.RoleContributor, "destination")
	mode := Line{Name: "destination: import mode", Tried: triedReindex, Result: OK}
	wants := c.Settings.ImportMode == settings.InitialLoad
	switch {
	case err != nil:
		mode.Result, mode.Found, mode.Do = NotKnown, "not answered", "see the line of search parameters and reindex"
	case initial:
		role.Result, role.Found = NotKnown, "the destination is in initial-import mode and answers nothing else"
		role.Do = "search parameters are deferred until it is switched off; ask again then"
		mode.Found = "initial-import mode is on"
		if !wants {
			mode.Do = "imports work; switch it off before anybody else writes to the destination"
		}
	case wants:
		mode.Result, mode.Found = NotOK, "initial-import mode is off, and AZURE_ImportMode is InitialLoad"
		mode.Do = "switch initial-import mode on at the destination, or set AZURE_ImportMode to IncrementalLoad, which keeps versions and times"
	default:
		mode.Found = "initial-import mode is off, as IncrementalLoad has it"
	}
	if !c.Settings.MigrateSearchParameters && role.Result == NotOK {
		role.Result, role.Do = OK, "not needed: AZURE_MigrateSearchParameters is false"
	}
	return []Line{role, mode}
}

func (c Check) clocks(ctx context.Context) Line {
	l := Line{Name: "clocks", Tried: triedClocks, Result: OK}
	off := func(s *fhir.Service) (time.Duration, error) {
		now, err := s.Now(ctx)
		return now.Sub(c.Clock()).Round(time.Second), err
	}
	source, err := off(c.Source)
	destination, errDestination := off(c.Destination)
	if err != nil || errDestination != nil {
		l.Result, l.Found, l.Do = NotKnown, "one of the services gives no time", "see the lines of the services"
		return l
	}
	l.Found = fmt.Sprintf("source %s, destination %s from the function app's clock", signed(source), signed(destination))
	for _, d := range []time.Duration{source, destination, source - destination} {
		if d.Abs() > maxClockDifference {
			l.Result, l.Do = NotOK, "clocks that differ by more than two minutes: tokens may be refused, and an import refuses what is more than ten seconds in its future"
		}
	}
	return l
}

func signed(d time.Duration) string {
	if d >= 0 {
		return "+" + d.String()
	}
	return d.String()
}
