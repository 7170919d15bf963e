package ledger

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

const (
	// maxSegments is how many stretches of closed windows a summary keeps: enough for a page's width, and they fit a property.
	maxSegments = 200
	// maxSamples of progress are kept. When there are more, every other one goes, so that old ones lie further apart.
	maxSamples = 60
	// maxFailures of failed attempts are kept, the newest.
	maxFailures = 20
)

// Summary is a row of its own in the table "chunk", under RowKey + "-summary": what a status page needs of windows that are closed,
// so that it reads a few rows however many windows there are. VerifyTimer brings it up to date; nothing of the migration depends on
// it. A row that is not there yet reads as one into which nothing was taken.
type Summary struct {
	Next     int       // windows below this number were taken in, but those in Behind
	Behind   []int     // numbers below Next of windows that were open when their turn came
	Segments []Segment // what was taken in, by time; they do not overlap
	ByType   map[string]int64
	// FailedExports and FailedImports are attempts of windows that were taken in; Failures are the newest of them.
	FailedExports, FailedImports int64
	Failures                     []Failure
	Samples                      []Sample // by time
	Servers                      ServerTotals
	Exceptions                   ExceptionTotals
	Updated                      time.Time // when the row was saved last

	etag azcore.ETag
	kept properties
}

// Segment is one closed window, or several neighbours: their numbers are sums. What lies between two segments and is open in no
// window holds nothing.
type Segment struct {
	Since    Millis `json:"s"`
	Till     Millis `json:"t"`
	Windows  int64  `json:"w"`
	Exported int64  `json:"e,omitempty"` // lines, SearchParameter left out
	Imported int64  `json:"i,omitempty"`
	Refused  int64  `json:"r,omitempty"`
	Failed   int64  `json:"f,omitempty"` // attempts
}

// Failure is a failed attempt of a window.
type Failure struct {
	Window int       `json:"window"`
	At     time.Time `json:"at"`
	What   string    `json:"what"`
}

// Sample is how far the migration was at an instant, to tell its pace from.
type Sample struct {
	At        Millis `json:"at"`
	Watermark Millis `json:"till"`
	Windows   int64  `json:"w"`
	Imported  int64  `json:"i"`
}

// ServerTotals are the current resources on both services, counted now and then. A number that is Unknown could not be had.
type ServerTotals struct {
	At                  time.Time // when they were last counted, or tried to
	Source, Destination int64
	SourceBefore        int64     // of Source, those last updated before Watermark
	Watermark           time.Time // as it was then
	SourceError         string
	DestinationError    string

	ClockAt    time.Time // when the source's clock was last compared with the handler's
	ClockAhead Millis    // how far it was ahead, negative when behind
}

// ExceptionTotals are numbers of exceptions by state, from one reading of their table.
type ExceptionTotals struct {
	At      time.Time                `json:"at"` // when the reading ended
	ByState map[ExceptionState]int64 `json:"byState,omitempty"`

	// The reading under way: it has counted Counted up to the ID From.
	From    string                   `json:"from,omitempty"`
	Counted map[ExceptionState]int64 `json:"counted,omitempty"`
}

// Due is what may be taken into a summary next: windows below Next that are closed.
type Due struct {
	Numbers []int // at most as many as were asked for
	Next    int   // what Next is then
	open    []int // numbers below Next that are passed over
}

// Due finds at most limit numbers that may be taken in.
func (s Summary) Due(chunk Chunk, limit int) (d Due) {
	if chunk.Foreign { // what is open is not known
		return Due{Next: s.Next, open: s.Behind}
	}
	for _, n := range s.Behind {
		if !chunk.Pending(n) && len(d.Numbers) < limit {
			d.Numbers = append(d.Numbers, n)
		} else {
			d.open = append(d.open, n)
		}
	}
	for d.Next = s.Next; d.Next < chunk.JobID && len(d.Numbers) < limit; d.Next++ {
		if chunk.Pending(d.Next) {
			d.open = append(d.open, d.Next)
		} else {
			d.Numbers = append(d.Numbers, d.Next)
		}
	}
	return d
}

// TakeIn adds closed windows to the summary and moves Next. rows are those of d.Numbers, but for numbers without a window.
func (s Summary) TakeIn(d Due, rows []Window) Summary {
	s.Segments, s.Failures = slices.Clone(s.Segments), slices.Clone(s.Failures)
	byType := make(map[string]int64, len(s.ByType))
	for typ, n := range s.ByType {
		byType[typ] = n
	}
	s.ByType, s.Next, s.Behind = byType, d.Next, d.open
	for _, w := range rows {
		s.takeIn(w)
	}
	return s
}

func (s *Summary) takeIn(w Window) {
	failed := int64(0)
	for _, a := range w.AttemptLog {
		switch a.Kind {
		case FailedExport:
			s.FailedExports++
		case FailedImport:
			s.FailedImports++
		default:
			continue
		}
		failed++
		s.Failures = append(s.Failures, Failure{Window: w.Number, At: a.At, What: cutTo(a.What, maxReason)})
	}
	slices.SortStableFunc(s.Failures, func(a, b Failure) int { return a.At.Compare(b.At) })
	s.Failures = s.Failures[max(0, len(s.Failures)-maxFailures):]
	if w.Phase() != Done { // an attempt that the original left behind, and another row has done since
		s.FailedExports++
		return
	}
	for typ, n := range w.CountsByType {
		s.ByType[typ] += n
	}
	exported, imported := w.ExportedLines(), w.Imported()
	if len(w.Payloads) == 0 { // nothing in it, or the original's: 0 where it does not say
		exported, imported = figure(w.ExportedCount)-w.SearchParameterCount, figure(w.ImportedCount)
	}
	s.insert(Segment{Since: millisOf(w.Since), Till: millisOf(w.Till), Windows: 1, Exported: max(exported, 0), Imported: imported, Refused: w.RefusedCount, Failed: failed})
}

// figure is a number that the original keeps as text, 0 when it is none.
func figure(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// insert puts a segment in its place. Those that overlap become one (windows of types cover the same time), and when there are too
// many, the two neighbours that are shortest together.
func (s *Summary) insert(n Segment) {
	all := s.Segments
	i, _ := slices.BinarySearchFunc(all, n.Since, func(have Segment, since Millis) int { return cmp.Compare(have.Till, since+1) })
	j := i // all[i:j] overlap n
	for ; j < len(all) && all[j].Since < n.Till; j++ {
		n = n.and(all[j])
	}
	all = slices.Replace(all, i, j, n)
	if len(all) > maxSegments {
		shortest := 0
		for k := range len(all) - 1 {
			if all[k+1].Till-all[k].Since < all[shortest+1].Till-all[shortest].Since {
				shortest = k
			}
		}
		all = slices.Replace(all, shortest, shortest+2, all[shortest].and(all[shortest+1]))
	}
	s.Segments = all
}

func (a Segment) and(b Segment) Segment {
	return Segment{Since: min(a.Since, b.Since), Till: max(a.Till, b.Till), Windows: a.Windows + b.Windows,
		Exported: a.Exported + b.Exported, Imported: a.Imported + b.Imported, Refused: a.Refused + b.Refused, Failed: a.Failed + b.Failed}
}

// Sampled notes how far the migration is, unless that is what the last sample says too, or it is younger than apart.
func (s Summary) Sampled(chunk Chunk, now time.Time, apart time.Duration) (_ Summary, ok bool) {
	next := Sample{At: millisOf(now), Watermark: millisOf(chunk.Watermark), Windows: chunk.Totals.Windows, Imported: chunk.Totals.Imported}
	if n := len(s.Samples); n > 0 {
		last := s.Samples[n-1]
		if now.Sub(last.At.Time()) < apart || last.Watermark == next.Watermark && last.Windows == next.Windows {
			return s, false
		}
	}
	s.Samples = append(slices.Clone(s.Samples), next)
	if len(s.Samples) > maxSamples {
		thinned := s.Samples[:0]
		for i, sample := range s.Samples {
			if i%2 == 0 || i == len(s.Samples)-1 {
				thinned = append(thinned, sample)
			}
		}
		s.Samples = thinned
	}
	return s, true
}

// Counted notes totals of both services.
func (s Summary) Counted(t ServerTotals) Summary {
	s.Servers = t
	return s
}

// CountedExceptions notes a page of the table of exceptions. more says that there are others behind it.
func (s Summary) CountedExceptions(page []Exception, more bool, now time.Time) Summary {
	e := s.Exceptions
	counted := map[ExceptionState]int64{}
	for state, n := range e.Counted {
		counted[state] = n
	}
	for _, x := range page {
		counted[x.State] += x.Lines
	}
	if more {
		e.From, e.Counted = page[len(page)-1].ID+" ", counted // right behind the last one
	} else {
		e = ExceptionTotals{At: now, ByState: counted}
	}
	s.Exceptions = e
	return s
}

func (s *Summary) row() row { return row{s.columns(), &s.etag, &s.kept} }

func (s *Summary) columns() []column {
	return []column{
		int32Column("next", &s.Next), jsonColumn("behind", &s.Behind, none[int]),
		jsonColumn("segments", &s.Segments, none[Segment]), jsonColumn("countsByType", &s.ByType, func(m map[string]int64) bool { return len(m) == 0 }),
		int64Column("failedExports", &s.FailedExports), int64Column("failedImports", &s.FailedImports),
		jsonColumn("failures", &s.Failures, none[Failure]), jsonColumn("samples", &s.Samples, none[Sample]),
		timeColumn("countedAt", &s.Servers.At), int64Column("SourceResourceCount", &s.Servers.Source), int64Column("DestinationResourceCount", &s.Servers.Destination),
		int64Column("sourceBefore", &s.Servers.SourceBefore), instantColumn("countedAtWatermark", &s.Servers.Watermark),
		textColumn("SourceError", &s.Servers.SourceError), textColumn("DestinationError", &s.Servers.DestinationError),
		timeColumn("clockAt", &s.Servers.ClockAt), int64Column("clockAhead", (*int64)(&s.Servers.ClockAhead)),
		jsonColumn("exceptions", &s.Exceptions, func(e ExceptionTotals) bool { return e.At.IsZero() && e.From == "" }),
		timeColumn("updated", &s.Updated),
	}
}

func none[T any](all []T) bool { return len(all) == 0 }

func (l *Ledger) summaryKey() string { return l.rowKey + "-summary" }

// Summary reads the summary row.
func (l *Ledger) Summary(ctx context.Context) (Summary, error) {
	s := Summary{Servers: ServerTotals{Source: Unknown, Destination: Unknown, SourceBefore: Unknown}}
	err := l.readRow(ctx, l.chunk, l.summaryKey(), s.row())
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return s, err
}

// SaveSummary saves a summary that was read or saved before, or inserts it when there was none. ErrConflict: another tick did; read it
// again.
func (l *Ledger) SaveSummary(ctx context.Context, s Summary, now time.Time) (Summary, error) {
	s.Updated = now
	err := l.saveRow(ctx, l.chunk, l.summaryKey(), s.row())
	return s, err
}
