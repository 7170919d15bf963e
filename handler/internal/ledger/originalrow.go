package ledger

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"
)

// attempt is a row of the original's table "export" that stands for an attempt at a window, with what Survey needs of it.
type attempt struct {
	number      int
	since, till time.Time
	typ, export string
	ours        bool // it has columns of this project: its books were kept
	failed      bool // its export failed, or never was
	done        bool // its row says so
	suspect     bool // a payload of it failed, or lines were refused
	counted     bool
	exported    int64
	imported    int64
	parameters  int64 // lines of SearchParameter, which are not imported
	payloads    int   // 0 where the row is older than the column
	rows        int   // of payloads, its own included
}

// short says whether lines of a that were exported are imported by no payload that a row tells of: the row of a payload may have been
// overwritten, or was never written, and what it said of a failure with it. Whether exported has the lines of SearchParameter in it
// is not known.
func (a attempt) short() bool {
	return a.payloads > a.rows || a.counted && a.imported != a.exported && a.imported != a.exported-a.parameters
}

// originalRows hands every row whose key begins with prefix and a letter or digit to yield. What cannot be read of a row is left out:
// rows of old deployments are looked at too.
func (l *Ledger) originalRows(ctx context.Context, prefix string, yield func(key string, w Window, isWindow bool)) error {
	const page = 1000
	for from := prefix + "0"; ; {
		rows, err := l.export.list(ctx, l.partition, from, prefix+"{", page) // "{" sorts behind every letter
		if err != nil {
			return err
		}
		for _, r := range rows {
			w := Window{kept: r.properties, etag: r.etag}
			for _, c := range w.columns() {
				if v, there := r.properties[c.name]; there && v != nil {
					_ = c.read(v) // a column of another type is one that is not there
				}
			}
			yield(r.key, w.completed(r.properties), isWindow(r.properties))
		}
		if len(rows) < page {
			return nil
		}
		from = rows[len(rows)-1].key + "\x20" // right behind the last one
	}
}

// isWindow tells the row of a window from that of a payload.
func isWindow(p properties) bool {
	if first, there := p["IsFirst"].(bool); there {
		return first
	}
	payload, _ := p["ImportNo"].(string)
	return payload == ""
}

// completed fills in what rows of the original have only later, or not at all: those of old deployments know of one import only, and no
// IsProcessed.
func (w Window) completed(p properties) Window {
	w.First = true
	if _, there := p["IsProcessed"]; !there {
		w.Processed = w.ExportComplete && w.ImportComplete
	}
	if w.ExportID == "" && w.ExportStatusURL != "" {
		w.ExportID = w.ExportStatusURL[strings.LastIndex(w.ExportStatusURL, "/")+1:]
	}
	return w
}

func attemptOf(w Window) attempt {
	a := attempt{number: w.Number, since: w.Since, till: w.Till, typ: w.ResourceType, export: w.ExportID,
		ours: len(w.Payloads) > 0 || !w.TakenOver.IsZero() || len(w.AttemptLog) > 0 || w.ClaimOwner != "" || w.HeldReason != ""}
	phase := w.Phase()
	a.done = phase == Done
	a.failed = phase == Superseded || strings.EqualFold(w.ExportRunning, runFailed) && !a.ours || !w.Since.Before(w.Till)
	f := payloadFigures{}
	f.add(w)
	a.exported, a.counted = numberIn(w.ExportedCount)
	a.parameters, a.payloads = w.SearchParameterCount, w.PayloadCount
	if w.ImportRequest == importNothing {
		f = payloadFigures{rows: 1}
	}
	a.with(f)
	return a
}

// payloadFigures are those of some payloads of one export, the first included or not.
type payloadFigures struct {
	rows      int
	failed    bool
	uncounted bool
	imported  int64
}

func (f *payloadFigures) add(w Window) {
	imported, counted := numberIn(w.ImportedCount)
	refused, _ := numberIn(w.FailedImportCount)
	f.rows++
	f.failed = f.failed || strings.EqualFold(w.ImportRunning, runFailed) || refused > 0
	f.uncounted = f.uncounted || !counted
	f.imported += imported
}

func (a *attempt) with(f payloadFigures) {
	a.suspect = a.suspect || f.failed && !a.ours
	a.counted = a.counted && !f.uncounted
	a.imported, a.rows = a.imported+f.imported, a.rows+f.rows
}

// numberIn reads a count that the original keeps as text. ok is false where there is none.
func numberIn(text string) (n int64, ok bool) {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	return n, err == nil && n >= 0
}

// PayloadRows are the rows of the payloads of an export beyond the first, as the original keeps them.
func (l *Ledger) PayloadRows(ctx context.Context, exportID string) (rows []Window, err error) {
	if exportID == "" {
		return nil, errors.New("payload rows: an export without id")
	}
	err = l.originalRows(ctx, l.rowKey+exportID, func(_ string, w Window, isWindow bool) {
		if !isWindow && w.ExportID == exportID {
			rows = append(rows, w)
		}
	})
	return rows, err
}
