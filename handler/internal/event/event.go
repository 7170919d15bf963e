// Package event lists the names under which the handler's log lines can be found: the property "event" of a line. The first ones are
// those of the durable original's telemetry, so that its dashboard's queries can be ported; the others are what it had no word for.
//
// Whoever logs an event and whoever queries the log for one (an alert, a dashboard) is held against this list by a test.
package event

// The original's events.
const (
	// Export is a transition of a window up to the end of its export.
	Export = "Export"
	// Import is a transition of a window from there on.
	Import = "Import"
	// ImportTill says that the watermark moved.
	ImportTill = "ImportTill"
	// SurfaceCheck is the beginning or the end of a run of that check.
	SurfaceCheck = "SurfaceCheck"
	// DeepCheck is the beginning or the end of a run of that check.
	DeepCheck = "DeepCheck"
	// ExportRetries counts the failures in a row that halt the migration when there are too many.
	ExportRetries = "ExportRetries"
	// MaxExportRetriesCleared says that somebody has set that count back.
	MaxExportRetriesCleared = "MaxExportRetriesCleared"
)

// Events of our own.
const (
	// Settings is about app settings: some that cannot be worked with, or that changed and must not.
	Settings = "Settings"
	// Started is the start of a handler.
	Started = "Started"
	// Step is a step of a timer, or a call of a function, that failed.
	Step = "Step"
	// Held is a window that waits for an operator.
	Held = "Held"
	// Outage is a service that gives no answer, or answers again.
	Outage = "Outage"
	// Retired is a source that answers exports alone, or did and can be counted again.
	Retired = "Retired"
	// SearchParameters is about the custom search parameters and the reindex.
	SearchParameters = "SearchParameters"
	// Preflight is a look at exported files for what an import would stumble over.
	Preflight = "Preflight"
	// Operator is an action of an operator.
	Operator = "Operator"
	// TakenOver is about a migration that the durable original began.
	TakenOver = "TakenOver"
)

// All are the names, the original's first.
func All() []string {
	return []string{
		Export, Import, ImportTill, SurfaceCheck, DeepCheck, ExportRetries, MaxExportRetriesCleared,
		Settings, Started, Step, Held, Outage, Retired, SearchParameters, Preflight, Operator, TakenOver,
	}
}
