package migration

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"fhirmigration/handler/internal/event"
	"fhirmigration/handler/internal/fhir"
	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/staging"
)

// adoptWindows looks up, for each window that the original had exported, what it has posted of it.
func (t *tick) adoptWindows(ctx context.Context) error {
	var errs []error
	for i, w := range t.windows {
		if w.Phase() != ledger.Adopting || t.Clock().Before(w.NotBefore) || !t.hasTime(ctx) {
			continue
		}
		next, err := t.adoptExported(ctx, w)
		t.windows[i] = next
		if errs = append(errs, err); halting(err) {
			break
		}
	}
	return errors.Join(errs...)
}

// adoptExported makes the original's payloads of w our own. The original keeps no manifest: the request bodies of its imports name the
// files, and the export's status URL, as long as the source answers it, their lines. Without that, what is imported can only be
// balanced against TotalExportResourceCount; and where that is missing too, or not all bodies are there and whole, w is exported again.
func (t *tick) adoptExported(ctx context.Context, w ledger.Window) (ledger.Window, error) {
	bodies, err := t.originalPayloads(ctx, w)
	if errors.Is(err, staging.ErrNoRequest) {
		next, moveErr := w.NotAdopted(err.Error(), t.Clock())
		return t.adopted(ctx, w, next, moveErr)
	}
	if err != nil {
		return w, fmt.Errorf("adopt %s: %w", w.Name(), err)
	}
	if len(bodies) == 0 && w.ExportStatusURL != "" {
		next, moveErr := w.FollowedAgain("no request body of an import of it was saved", t.Clock())
		return t.adopted(ctx, w, next, moveErr)
	}
	manifest, err := t.manifestAgain(ctx, w)
	if err != nil {
		return t.wait(ctx, w, withRole(err, roleExporter, "source"))
	}
	found, problem := completed(bodies, manifest, w, t.Settings.FileCount)
	switch {
	case manifest != nil && problem == "":
		problem = t.identified(*manifest)
	case t.Settings.IsExportDeidentified && problem == "":
		problem = "the source does not have its export any more, so it is not known whether it was de-identified"
	}
	if room := t.maxPayloads(); problem == "" && len(found.Payloads) > room {
		problem = fmt.Sprintf("it needs %d imports, more than %d", len(found.Payloads), room)
	}
	counted := ledger.Unknown
	if problem == "" && w.TakenOver.IsZero() { // one that was closed is not put in doubt any further
		counted, problem, err = t.believe(ctx, w, linesExported(w, manifest))
		if err != nil && !uncountable(err) {
			return t.wait(ctx, w, withRole(err, roleReader, "source"))
		}
	}
	if problem != "" {
		next, moveErr := w.NotAdopted(problem, t.Clock())
		return t.adopted(ctx, w, next, moveErr)
	}
	found, err = t.Staging.PutTakenOver(ctx, w.ExportID, found) // not before: a look that waits is made again, and may know more then
	if err != nil {
		return w, fmt.Errorf("adopt %s: %w", w.Name(), err)
	}
	rows, err := t.Ledger.PayloadRows(ctx, w.ExportID)
	if err != nil {
		return w, fmt.Errorf("adopt %s: %w", w.Name(), err)
	}
	var counts map[string]int64
	if manifest != nil && found.Counted { // else a list without lines was saved before: balanceTakenOver is needed
		counts = manifest.CountsByType()
	}
	next, moveErr := w.Adopted(payloadsOf(found, append(rows, w)), counts, counted, t.Clock())
	return t.adopted(ctx, w, next, moveErr)
}

func (t *tick) adopted(ctx context.Context, w, next ledger.Window, moveErr error) (ledger.Window, error) {
	next, saved, err := t.save(ctx, w, next, moveErr)
	if saved {
		t.Log.Info("window of the original adopted", "event", event.TakenOver, "window", w.Number, "phase", string(next.Phase()), "exportId", next.ExportID, "payloads", len(next.Payloads))
	}
	return next, err
}

// originalPayloads are the request bodies that the original saved for w. An export id that no container can have has none.
func (t *tick) originalPayloads(ctx context.Context, w ledger.Window) ([]staging.OriginalPayload, error) {
	if staging.CheckExportID(w.ExportID) != nil {
		return nil, nil
	}
	return t.Staging.OriginalPayloads(ctx, w.ExportID)
}

// manifestAgain asks for the export of w once more and saves its manifest. It is nil when the source does not know the job any more, or says
// that it failed or runs: then the files are all that there is to go by.
func (t *tick) manifestAgain(ctx context.Context, w ledger.Window) (*staging.Manifest, error) {
	if w.ExportStatusURL == "" {
		return nil, nil
	}
	var body *manifestBody
	done, err := t.Source.PollExport(ctx, w.ExportStatusURL, spoolManifest(&body))
	defer body.close()
	switch kindOf(err) {
	case fhir.NotFound, fhir.JobFailed, fhir.Gone, fhir.Refused:
		t.Log.Warn("the source does not have the export of a window any more: it can only be balanced as a whole", "event", event.TakenOver, "window", w.Number, "error", err.Error())
		return nil, nil
	}
	if errors.Is(err, errManifest) || err == nil && !done {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := t.Staging.PutManifest(ctx, w.ExportID, body); err != nil && !errors.Is(err, staging.ErrAnotherManifest) {
		return nil, err
	}
	return &body.manifest, nil
}

// completed gives the files of bodies their lines, as the manifest says, and adds payloads for files that are in none of them. problem says
// why they cannot be worked with.
func completed(bodies []staging.OriginalPayload, m *staging.Manifest, w ledger.Window, fileCount int) (_ staging.TakenOver, problem string) {
	found := staging.TakenOver{Payloads: bodies, Counted: m != nil}
	named := map[string]bool{}
	for _, f := range found.Files() {
		if named[f.URL] {
			return found, "two of its imports name " + f.URL
		}
		named[f.URL] = true
	}
	if m == nil {
		switch _, err := strconv.ParseInt(w.ExportedCount, 10, 64); {
		case len(bodies) == 0:
			return found, "no request body of an import of it was saved, and the source does not have its export any more"
		case err != nil:
			return found, "the source does not have its export any more, and its row does not say how many lines it had"
		case w.PayloadCount != len(bodies): // 0 where the row is older than the column: how many there were is not known
			return found, fmt.Sprintf("the source does not have its export any more, and of %d imports %d request bodies were saved", w.PayloadCount, len(bodies))
		}
		return found, ""
	}
	files := m.ToImport()
	lines := make(map[string]int64, len(files))
	for _, f := range files {
		lines[f.URL] = f.Count
	}
	for i, p := range bodies {
		bodies[i].Files = slices.Clone(p.Files)
		for j, f := range p.Files {
			n, there := lines[f.URL]
			if !there {
				return found, "one of its imports names " + f.URL + ", which its export does not"
			}
			bodies[i].Files[j].Count = n
		}
	}
	rest := slices.DeleteFunc(files, func(f staging.File) bool { return named[f.URL] })
	for part := range slices.Chunk(rest, fileCount) {
		found.Payloads = append(found.Payloads, staging.OriginalPayload{Files: part})
	}
	return found, ""
}

// linesExported is how many lines the export of w had.
func linesExported(w ledger.Window, m *staging.Manifest) int64 {
	if m != nil {
		return m.Lines()
	}
	n, _ := strconv.ParseInt(w.ExportedCount, 10, 64) // completed has seen to it
	return n
}

// payloadsOf says of each payload what the rows know: one of them is the window's own, which stands for the payload that was posted first.
// A payload that no row names is posted as it stands; if it was posted before, the destination gives the same job.
func payloadsOf(found staging.TakenOver, rows []ledger.Window) (all []ledger.OriginalPayload) {
	from := 0
	for _, p := range found.Payloads {
		o := ledger.OriginalPayload{Blob: p.Blob, From: from, To: from + len(p.Files), Lines: staging.Lines(p.Files)}
		from = o.To
		for _, row := range rows {
			if p.Blob != "" && path.Base(row.ImportNo) == p.Blob {
				o.Failed = o.Failed || strings.EqualFold(row.ImportRunning, "failed")
				o.StatusURL = row.ImportStatusURL
			}
		}
		all = append(all, o)
	}
	return all
}

// refusedOnce says whether payload i of w is one of the original's whose job has refused lines: they get a second chance.
func refusedOnce(w ledger.Window, i int, o importOutcome) bool {
	return w.OriginalFiles && w.Payloads[i].Post == 0 && len(o.refusing) > 0
}

// importRefused has the files imported again of which the original's import refused lines. What is refused then is an exception.
func (t *tick) importRefused(w ledger.Window, i int, o importOutcome) (ledger.Window, error) {
	only := make([]int, len(o.refusing))
	for n, file := range o.refusing {
		only[n] = w.Payloads[i].From + file
	}
	reason := fmt.Sprintf("import payload %d of the original refused %d lines of %d files: those files are imported again", i+1, o.books.Refused, len(only))
	t.Log.Warn("lines that the original's import refused are imported again", "event", event.Import, "window", w.Number, "payload", i+1, "refused", o.books.Refused, "files", len(only))
	return w.ImportAgain(i, only, o.taken, reason, t.Clock())
}

// balanceTakenOver compares, where the lines of each file are not known, the lines of all with what the original counted of the export.
// Whether that count has the lines of SearchParameter in it, which are not imported, is not known: both are taken.
func balanceTakenOver(w ledger.Window) (imbalance string) {
	if !w.OriginalFiles || len(w.CountsByType) > 0 {
		return ""
	}
	exported, err := strconv.ParseInt(w.ExportedCount, 10, 64)
	lines := w.ExportedLines()
	if err == nil && (lines == exported || lines == exported-w.SearchParameterCount) {
		return ""
	}
	return fmt.Sprintf("the original exported %q lines, and its imports have %d, refused ones included; retry the window: it is exported again", w.ExportedCount, lines)
}
