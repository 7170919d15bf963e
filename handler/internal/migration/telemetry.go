package migration

import (
	"log/slog"

	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
)

// What became of a job, in the durable original's words.
const (
	jobStarted   = "Started"
	jobCompleted = "Completed"
	jobFailed    = "Failed"
)

// exportTelemetry are the properties of the event Export under the durable original's names, so that a query made for its telemetry finds
// them. lines is ledger.Unknown before the end, failure "" where there is none.
func exportTelemetry(w ledger.Window, status string, lines int64, failure string) slog.Attr {
	all := []any{"ExportId", w.ExportID, "StatusUrl", w.ExportStatusURL, "ExportStatus", status,
		"Since", ledger.FormatInstant(w.Since), "Till", ledger.FormatInstant(w.Till)}
	if lines != ledger.Unknown {
		all = append(all, "TotalResources", lines)
	}
	if failure != "" {
		all = append(all, "FailureReason", failure)
	}
	return slog.Group("", all...) // a group without a name is written as what is in it
}

// importTelemetry are the properties of the event Import for payload i of w, as exportTelemetry has them for an export.
func importTelemetry(w ledger.Window, i int, status, failure string) slog.Attr {
	p := w.Payloads[i]
	all := []any{"ImportId", fhir.JobID(p.StatusURL), "StatusUrl", p.StatusURL, "ImportStatus", status, "TotalExportResources", p.Lines}
	if status == jobCompleted {
		all = append(all, "TotalImportResources", p.Imported)
	}
	if failure != "" {
		all = append(all, "FailureReason", failure)
	}
	return slog.Group("", all...)
}

// logCompleted says which imports of a window have come to a good end between two states of it.
func (t *tick) logCompleted(was, is ledger.Window) {
	for i, p := range is.Payloads {
		if i < len(was.Payloads) && was.Payloads[i].State == ledger.Posted && p.State == ledger.Complete {
			t.Log.Info("import completed", "event", "Import", "window", is.Number, "payload", i+1, "importId", fhir.JobID(p.StatusURL), "imported", p.Imported, "refused", p.Refused,
				importTelemetry(is, i, jobCompleted, ""))
		}
	}
}
