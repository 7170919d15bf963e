package migration

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/staging"
)

// refused is what the saved results of a window say of the lines that were refused.
type refused struct {
	byType map[string]int64
	logs   []string
	left   []staging.LeftOutFile // lines that were not even posted
	errors []refusedFile
	lost   []refusedFile // by payload: what its books have and neither of these
}

// refusedFile is what an import refused of one file, as far as one error log tells of it.
type refusedFile struct {
	staging.ImportError
	payload int
	typ     string
}

// refusals reads the saved results of w.
func (t *tick) refusals(ctx context.Context, w ledger.Window, files []staging.File) (refused, error) {
	all := refused{byType: map[string]int64{}}
	var err error
	if all.left, err = t.leftOutFiles(ctx, w); err != nil {
		return refused{}, err
	}
	for _, f := range all.left {
		all.byType[f.Type] += int64(len(f.Lines))
	}
	for i, p := range w.Payloads {
		if p.Refused == 0 {
			continue
		}
		if err := t.addRefusals(ctx, &all, w, i, w.PayloadBlob(i), posted(files, p)); err != nil {
			return refused{}, err
		}
		if p.Earlier != "" {
			if err := t.addRefusals(ctx, &all, w, i, p.Earlier, others(files, p)); err != nil {
				return refused{}, err
			}
		}
		if n := p.Refused - all.ofPayload(i, p); n > 0 {
			all.lost = append(all.lost, refusedFile{ImportError: staging.ImportError{Count: n}, payload: i})
		}
	}
	slices.Sort(all.logs)
	all.logs = slices.Compact(all.logs)
	return all, nil
}

// ofPayload is how many of the lines are of payload i.
func (all refused) ofPayload(i int, p ledger.Payload) (n int64) {
	for _, f := range all.left {
		if f.File >= p.From && f.File < p.To {
			n += int64(len(f.Lines))
		}
	}
	for _, e := range all.errors {
		if e.payload == i {
			n += e.Count
		}
	}
	return n
}

// addRefusals adds what the result of one posted body says of files.
func (t *tick) addRefusals(ctx context.Context, all *refused, w ledger.Window, payload int, blob string, files []staging.File) error {
	result, err := t.Staging.ImportResult(ctx, w.ExportID, blob)
	if err != nil {
		return fmt.Errorf("%s: %w", w.Name(), err)
	}
	typeOf := map[string]string{}
	for _, f := range files {
		typeOf[f.URL] = f.Type
	}
	at := map[[2]string]int{}
	for _, e := range result.Errors {
		typ, ours := typeOf[e.InputURL]
		if !ours || e.Count == 0 {
			continue
		}
		all.byType[typ] += e.Count
		all.logs = append(all.logs, e.LogURL)
		key := [2]string{e.InputURL, e.LogURL}
		if n, there := at[key]; there { // another processing unit of the same file
			all.errors[n].Count += e.Count
			continue
		}
		at[key] = len(all.errors)
		all.errors = append(all.errors, refusedFile{e, payload, typ})
	}
	return nil
}

// recordExceptions keeps each refused line of w as a row, up to a number a window; the others are counted in one more. Lines
// are recognised by where they are, so recording them again changes nothing.
func (t *tick) recordExceptions(ctx context.Context, w ledger.Window, all refused) error {
	room := t.Settings.MaxExceptionsPerWindow
	left, rest, err := t.recordLeftOut(ctx, w, all.left, room)
	if err != nil {
		return fmt.Errorf("%s: %w", w.Name(), err)
	}
	room -= left
	for _, e := range all.errors {
		named, err := t.recordLog(ctx, w, e, room)
		if err != nil {
			return fmt.Errorf("%s: %w", w.Name(), err)
		}
		room -= int(named)
		if room <= 0 {
			rest += e.Count - named
			continue
		}
		if named < e.Count { // the books say more than the log: unknown, and said so
			lost := t.exception(w, e, "unnamed "+e.LogURL) // a file may have several logs
			lost.Kind, lost.Lines = ledger.UnknownKind, e.Count-named
			lost.Reason = fmt.Sprintf("%d lines of the file were refused that the error log does not name", lost.Lines)
			if err := t.Ledger.AddException(ctx, lost); err != nil {
				return err
			}
		}
	}
	for _, e := range all.lost {
		lost := t.exception(w, e, "lost")
		lost.Kind, lost.Lines = ledger.UnknownKind, e.Count
		lost.Reason = fmt.Sprintf("%d lines of payload %d were refused by an import before the last one, of which no error log is known", lost.Lines, e.payload+1)
		if err := t.Ledger.AddException(ctx, lost); err != nil {
			return err
		}
	}
	if rest == 0 {
		return nil
	}
	more := t.exception(w, refusedFile{}, "more")
	more.Kind, more.Lines = ledger.UnknownKind, rest
	more.Reason = fmt.Sprintf("%d lines more were refused, or left out: their reasons are in the error logs, and in the findings of the look at the files", rest)
	more.ErrorLog = strings.Join(all.logs, " ")
	return t.Ledger.AddException(ctx, more)
}

// recordLog keeps the entries of one error log, each line once: a worker that was restarted may have written them twice. A log
// that is not there leaves its lines unnamed.
func (t *tick) recordLog(ctx context.Context, w ledger.Window, e refusedFile, room int) (named int64, _ error) {
	if e.LogURL == "" || room <= 0 {
		return 0, nil
	}
	seen := map[[2]int64]bool{}
	rows := errgroup.Group{} // side by side: a window may have thousands
	rows.SetLimit(2 * sideBySide)
	err := t.Staging.ErrorLog(ctx, e.LogURL, func(r staging.Refusal) (bool, error) {
		at := [2]int64{r.Offset, r.Line}
		if named >= e.Count || named >= int64(room) {
			return false, nil
		}
		if r.Line >= 0 && seen[at] {
			return true, nil
		}
		seen[at] = true
		x := t.exception(w, e, fmt.Sprintf("%s %d %d %d", e.LogURL, r.Offset, r.Line, named))
		x.Kind, x.Reason, x.ResourceID, x.Line, x.Offset, x.Lines = kindOfRefusal(r.Text), r.Text, r.ResourceID, r.Line, r.Offset, 1
		named++
		rows.Go(func() error { return t.Ledger.AddException(ctx, x) })
		return true, nil
	})
	if failed := rows.Wait(); failed != nil {
		return 0, failed
	}
	if errors.Is(err, staging.ErrNotFound) {
		t.Log.Warn("an error log is not there", "event", "Import", "window", w.Number, "errorLog", e.LogURL)
		err = nil
	}
	return named, err
}

// exception is an open exception of w. unique tells it from the others of the window.
func (t *tick) exception(w ledger.Window, e refusedFile, unique string) ledger.Exception {
	hash := sha256.Sum256(fmt.Appendf(nil, "%s %s %s", w.ExportID, e.InputURL, unique))
	now := t.Clock()
	return ledger.Exception{
		ID:     ledger.ExceptionKey(w.Number, fmt.Sprintf("%d-%s", e.payload+1, hex.EncodeToString(hash[:6]))),
		Window: w.Number, Export: w.ExportID, State: ledger.ExceptionOpen, ResourceType: e.typ, File: e.InputURL, ErrorLog: e.LogURL,
		Line: ledger.Unknown, Offset: ledger.Unknown, Created: now, Changed: now,
	}
}

// kindOfRefusal classifies the text of an error log's entry.
func kindOfRefusal(text string) ledger.ExceptionKind {
	lower := strings.ToLower(text)
	for _, k := range []struct {
		kind  ledger.ExceptionKind
		words []string
	}{
		{ledger.AlreadyThere, []string{"duplicate"}},
		{ledger.Conflict, []string{"conflict"}},
		{ledger.TooLarge, []string{"too large", "exceeds"}},
		{ledger.Invalid, []string{"parse", "invalid", "not valid", "resource type", "lastupdated", "searchparameter", "id is", "missing"}},
	} {
		for _, word := range k.words {
			if strings.Contains(lower, word) {
				return k.kind
			}
		}
	}
	return ledger.UnknownKind
}
