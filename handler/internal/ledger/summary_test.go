package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// closedWindow is a done window over [from, from+length) hours after now, with lines lines.
func closedWindow(number int, from, length float64, lines int64) Window {
	at := func(hours float64) time.Time { return now.Add(time.Duration(hours * float64(time.Hour))) }
	w := NewWindow(number, at(from), at(from+length))
	w.ExportComplete, w.ImportComplete, w.Processed = true, true, true
	w.Payloads = []Payload{{State: Complete, Lines: lines, Imported: lines}}
	w.CountsByType = map[string]int64{"Patient": lines}
	return w
}

func TestSummaryKeepsEveryColumn(t *testing.T) {
	t.Parallel()
	onEachWithTables(t, func(t *testing.T, l *Ledger) {
		empty, err := l.Summary(t.Context())
		if err != nil || empty.Servers.Source != Unknown || empty.Servers.SourceBefore != Unknown || empty.Next != 0 {
			t.Fatalf("before the first save: %+v, %v", empty, err)
		}
		failing := closedWindow(2, 1, 1, 5)
		failing.AttemptLog = []Attempt{{At: now, What: "split"}, {At: now, What: "export 7: 500", Kind: FailedExport}, {At: now, What: "import payload 1: no", Kind: FailedImport}}
		c := Chunk{JobID: 4, Open: []OpenWindow{{Number: 3, Since: now}}, Watermark: now.Add(2 * time.Hour), Totals: Totals{Windows: 2, Imported: 8}}
		s := empty.TakeIn(empty.Due(c, 10), []Window{closedWindow(1, 0, 1, 3), failing})
		s, _ = s.Sampled(c, now, time.Second)
		s = s.Counted(ServerTotals{At: now, Source: 3_000_000_000, Destination: Unknown, SourceBefore: 2, Watermark: now, SourceError: "a", DestinationError: "b", ClockAt: now, ClockAhead: -30})
		s = s.CountedExceptions([]Exception{{ID: "1-a", State: ExceptionOpen, Lines: 2}}, true, now)
		if s, err = l.SaveSummary(t.Context(), s, now); err != nil {
			t.Fatal(err)
		}
		got, err := l.Summary(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, got, cmpopts.IgnoreUnexported(Summary{})); diff != "" {
			t.Errorf("saved and read (-saved +read):\n%s", diff)
		}
		want := Summary{Next: 4, Behind: []int{3}, ByType: map[string]int64{"Patient": 8}, FailedExports: 1, FailedImports: 1}
		if diff := cmp.Diff(want, Summary{Next: got.Next, Behind: got.Behind, ByType: got.ByType, FailedExports: got.FailedExports, FailedImports: got.FailedImports}, cmpopts.IgnoreUnexported(Summary{})); diff != "" {
			t.Errorf("taken in (-want +got):\n%s", diff)
		}
		if _, err := l.SaveSummary(t.Context(), empty, now); !errors.Is(err, ErrConflict) {
			t.Errorf("inserted again: %v, want ErrConflict", err)
		}
		if _, err := l.SaveSummary(t.Context(), got, now); err != nil {
			t.Error(err)
		}
		if _, err := l.SaveSummary(t.Context(), s, now); !errors.Is(err, ErrConflict) {
			t.Errorf("saved from an old read: %v, want ErrConflict", err)
		}
	})
}

// Windows are taken in once each, whatever the order in which they are closed.
func TestSummaryTakesEachWindowInOnce(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	open := map[int]bool{}
	var s Summary
	taken := map[int]int{}
	c := Chunk{} // the original counts from 0
	for range 2000 {
		switch {
		case c.JobID < 300 && random.IntN(2) == 0:
			c, _ = c.List(NewWindow(c.JobID, now.Add(time.Duration(c.JobID)*time.Hour), now.Add(time.Duration(c.JobID+1)*time.Hour)))
			open[c.JobID-1] = true
		case len(c.Open) > 0 && random.IntN(2) == 0:
			n := c.Open[random.IntN(len(c.Open))].Number
			c, _, _ = c.Close(closedWindow(n, float64(n), 1, 1))
			delete(open, n)
		default:
			due := s.Due(c, 1+random.IntN(5))
			var rows []Window
			for _, n := range due.Numbers {
				taken[n]++
				rows = append(rows, closedWindow(n, float64(n), 1, 1))
			}
			s = s.TakeIn(due, rows)
		}
	}
	total, windows := s.ByType["Patient"], int64(0)
	for _, segment := range s.Segments {
		windows += segment.Windows
	}
	for n, times := range taken {
		if times != 1 || open[n] {
			t.Errorf("window %d was taken in %d times, open: %t", n, times, open[n])
		}
	}
	if due := s.Due(c, 1000); int64(len(taken)) != total || windows != total || len(taken)+len(open)+len(due.Numbers) != c.JobID {
		t.Errorf("%d windows taken in, %d lines, %d in segments, %d open, %d due, of %d", len(taken), total, windows, len(open), len(due.Numbers), c.JobID)
	}
	if total == 0 {
		t.Error("nothing was taken in")
	}
}

func TestSummaryMerges(t *testing.T) {
	t.Parallel()
	var s Summary
	var rows []Window
	for n := range 10_000 {
		rows = append(rows, closedWindow(n+1, float64(n)+float64(n/1000)*500, 1, 2)) // a gap of 500 hours behind every thousandth
	}
	s = s.TakeIn(Due{Next: 10_001}, rows)
	lines, gaps := int64(0), 0
	for i, segment := range s.Segments {
		lines += segment.Imported
		if i > 0 && segment.Since < s.Segments[i-1].Till {
			t.Errorf("segment %d begins before the one before it ends", i)
		}
		if i > 0 && segment.Since > s.Segments[i-1].Till {
			gaps++
		}
		if length := segment.Till - segment.Since; length > 500*3_600_000 {
			t.Errorf("segment %d is %d hours long", i, length/3_600_000)
		}
	}
	if len(s.Segments) != maxSegments || lines != 20_000 || gaps != 9 {
		t.Errorf("%d segments with %d lines and %d gaps between them", len(s.Segments), lines, gaps)
	}
	// Windows of types cover the same time.
	s = Summary{}.TakeIn(Due{Next: 5}, []Window{closedWindow(1, 0, 10, 1), closedWindow(2, 0, 10, 1), closedWindow(3, 10, 5, 1), closedWindow(4, 0, 4, 1)})
	want := []Segment{{Since: millisOf(now), Till: millisOf(now.Add(10 * time.Hour)), Windows: 3, Exported: 3, Imported: 3},
		{Since: millisOf(now.Add(10 * time.Hour)), Till: millisOf(now.Add(15 * time.Hour)), Windows: 1, Exported: 1, Imported: 1}}
	if diff := cmp.Diff(want, s.Segments); diff != "" {
		t.Errorf("windows of types (-want +got):\n%s", diff)
	}
}

func TestSummaryFitsItsColumns(t *testing.T) {
	t.Parallel()
	var s Summary
	far := Millis(time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli())
	for i := range Millis(maxSegments) {
		s.Segments = append(s.Segments, Segment{far + i, far + i + 1, 100_000, 3_000_000_000, 3_000_000_000, 3_000_000_000, 100_000})
	}
	for range maxSamples {
		s.Samples = append(s.Samples, Sample{far, far, 100_000, 3_000_000_000_000})
	}
	for n := range 400 {
		s.Behind = append(s.Behind, 1_000_000+n)
	}
	s.ByType = map[string]int64{}
	for n := range 200 {
		s.ByType[fmt.Sprintf("MedicinalProductUndesirableEffect%d", n)] = 3_000_000_000_000
	}
	w := closedWindow(1, 0, 1, 1)
	for range 20 {
		w.AttemptLog = append(w.AttemptLog, Attempt{At: now, What: strings.Repeat(`"`, 2000), Kind: FailedExport})
	}
	s = s.TakeIn(Due{Next: 2}, []Window{w})
	if _, err := writeColumns(s.columns(), nil); err != nil {
		t.Error(err)
	}
}

func TestSummarySamples(t *testing.T) {
	t.Parallel()
	var s Summary
	for i := range 1000 {
		s, _ = s.Sampled(Chunk{Watermark: now.Add(time.Duration(i) * time.Hour), Totals: Totals{Windows: int64(i)}}, now.Add(time.Duration(i)*time.Minute), 10*time.Second)
	}
	if n := len(s.Samples); n > maxSamples || n < maxSamples/2 || s.Samples[0].Windows != 0 || s.Samples[n-1].Windows != 999 {
		t.Errorf("%d samples, the first of %d windows, the last of %d", n, s.Samples[0].Windows, s.Samples[n-1].Windows)
	}
	if _, ok := s.Sampled(Chunk{Watermark: now.Add(999 * time.Hour), Totals: Totals{Windows: 999}}, now.Add(9999*time.Hour), time.Second); ok {
		t.Error("sampled although nothing moved")
	}
	if _, ok := s.Sampled(Chunk{Totals: Totals{Windows: 1000}}, now.Add(999*time.Minute+time.Second), time.Minute); ok {
		t.Error("sampled too soon")
	}
}

func TestSummaryCountsExceptions(t *testing.T) {
	t.Parallel()
	s := Summary{}.CountedExceptions([]Exception{{ID: "a", State: ExceptionOpen, Lines: 1}, {ID: "b", State: ExceptionAccepted, Lines: 3}}, true, now)
	if s.Exceptions.From != "b " || !s.Exceptions.At.IsZero() {
		t.Errorf("half-way: %+v", s.Exceptions)
	}
	s = s.CountedExceptions([]Exception{{ID: "c", State: ExceptionOpen, Lines: 1}}, false, now)
	if diff := cmp.Diff(ExceptionTotals{At: now, ByState: map[ExceptionState]int64{ExceptionOpen: 2, ExceptionAccepted: 3}}, s.Exceptions); diff != "" {
		t.Errorf("at the end (-want +got):\n%s", diff)
	}
}

func TestTickIsNotedSparingly(t *testing.T) {
	t.Parallel()
	first, ok := Tick{}.Ended("", "", now)
	if !ok || !first.At.Equal(now) {
		t.Errorf("the first tick: %+v, %t", first, ok)
	}
	if _, ok := first.Ended("", "", now.Add(TickNoted-time.Second)); ok {
		t.Error("noted again too soon")
	}
	failed, ok := first.Ended("no role", "", now.Add(time.Second))
	if !ok || failed.Error != "no role" || !failed.Since.Equal(now.Add(time.Second)) {
		t.Errorf("a failed tick: %+v, %t", failed, ok)
	}
	if again, ok := failed.Ended("no role", "", now.Add(time.Hour)); !ok || !again.Since.Equal(failed.Since) {
		t.Errorf("failing still: %+v, %t", again, ok)
	}
	if well, ok := failed.Ended("", "", now.Add(2*time.Second)); !ok || well.Error != "" || !well.Since.IsZero() {
		t.Errorf("well again: %+v, %t", well, ok)
	}
	if waits, ok := first.Ended("", "paused", now.Add(time.Second)); !ok || waits.Waiting != "paused" {
		t.Errorf("waiting: %+v, %t", waits, ok)
	}
	raw, err := json.Marshal(Attempt{At: now, What: "x"})
	if err != nil || strings.Contains(string(raw), "kind") {
		t.Errorf("an entry that is no failure: %s, %v", raw, err)
	}
}

// Before a migration is taken over, nobody knows which of its windows are open: none is taken in.
func TestSummaryWaitsForTheTakeover(t *testing.T) {
	t.Parallel()
	s := Summary{Next: 3, Behind: []int{1}}
	if d := s.Due(Chunk{JobID: 9, Foreign: true}, 10); len(d.Numbers) != 0 || d.Next != 3 || !slices.Equal(s.TakeIn(d, nil).Behind, []int{1}) {
		t.Errorf("due: %+v", d)
	}
	if d := s.Due(Chunk{JobID: 9, Repairs: []OpenWindow{{Number: 4}}}, 10); slices.Contains(d.Numbers, 4) || d.Next != 9 {
		t.Errorf("a window that is to be repaired is due: %+v", d)
	}
}
