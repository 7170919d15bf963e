package progress

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// Display shows how far a migration is. Its methods are called from one goroutine, but for Say.
type Display interface {
	// Show is given the latest progress, and how many windows are expected in the end.
	Show(p Progress, expected int)
	// Say puts a line above what is shown. It may be called from any goroutine.
	Say(line string)
	// Close ends the display; finished tells whether the migration is.
	Close(finished bool)
}

// timeLeft guesses how long the rest takes if it goes on as so far: "12s", "–" while nothing is done.
func timeLeft(elapsed time.Duration, done, expected int64) string {
	if done <= 0 {
		return "–"
	}
	left := time.Duration(float64(elapsed) / float64(done) * float64(max(0, expected-done)))
	return left.Round(time.Second).String()
}

// rowWidth is how wide the rows of bars are where no terminal says it, in characters.
const rowWidth = 100

// Bars shows two bars on a terminal: windows exported, windows imported.
type Bars struct {
	bars               *mpb.Progress
	exported, imported *bar
}

type bar struct {
	*mpb.Bar
	lines chan int64 // the latest number of resources; of capacity 1
}

// NewBars begins to show bars.
func NewBars(out io.Writer, clock func() time.Time) *Bars {
	container := mpb.New(mpb.WithOutput(out), mpb.WithWidth(rowWidth), mpb.WithRefreshRate(150*time.Millisecond), mpb.WithAutoRefresh())
	began := clock()
	return &Bars{
		bars:     container,
		exported: addBar(container, "exported", clock, began),
		imported: addBar(container, "imported", clock, began),
	}
}

func addBar(container *mpb.Progress, name string, clock func() time.Time, began time.Time) *bar {
	b := &bar{lines: make(chan int64, 1)}
	var resources int64
	b.Bar = container.AddBar(0, mpb.BarWidth(30),
		mpb.PrependDecorators(decor.Name(name, decor.WCSyncSpaceR), decor.CountersNoUnit("%d of %d windows", decor.WCSyncSpaceR)),
		mpb.AppendDecorators(
			decor.Any(func(decor.Statistics) string {
				select { // the bar draws in a goroutine of its own
				case resources = <-b.lines:
				default:
				}
				return " " + Thousands(resources) + " resources"
			}, decor.WCSyncSpace),
			decor.OnComplete(decor.Any(func(s decor.Statistics) string {
				return ", time left " + timeLeft(clock().Sub(began), s.Current, s.Total)
			}), ", done"),
		),
	)
	return b
}

// Show draws the bars anew.
func (b *Bars) Show(p Progress, expected int) {
	windows, lines := p.Exported()
	b.exported.set(windows, expected, lines)
	windows, lines = p.Imported()
	b.imported.set(windows, expected, lines)
}

func (b *bar) set(windows, expected int, lines int64) {
	select {
	case <-b.lines: // nobody drew the last number
	default:
	}
	b.lines <- lines
	// The bar was made without a total and so does not end by itself when it is full for a while.
	b.SetTotal(int64(max(expected, windows)), false)
	b.SetCurrent(int64(windows))
}

// Say prints a line above the bars.
func (b *Bars) Say(line string) {
	_, _ = io.WriteString(b.bars, line+"\n") // fails once the bars are closed: there is nothing to print above then
}

// Close draws the bars for the last time.
func (b *Bars) Close(finished bool) {
	for _, one := range []*bar{b.exported, b.imported} {
		if finished {
			one.SetTotal(-1, true)
		} else {
			one.Abort(false)
		}
	}
	b.bars.Wait()
}

// Lines prints a line every so often, for where there is no terminal.
type Lines struct {
	out   io.Writer
	clock func() time.Time
	every time.Duration
	began time.Time
	next  time.Time
	last  string
}

// NewLines begins to print a line at most every so often, and only when something changed.
func NewLines(out io.Writer, clock func() time.Time, every time.Duration) *Lines {
	now := clock()
	return &Lines{out: out, clock: clock, every: every, began: now, next: now.Add(every)}
}

// Show prints a line if it is time.
func (l *Lines) Show(p Progress, expected int) {
	exported, exportedLines := p.Exported()
	imported, importedLines := p.Imported()
	exports, imports := p.InFlight()
	now := l.clock()
	line := fmt.Sprintf("exported %d of %d windows, %s resources; imported %d, %s resources; in flight %d exports, %d imports",
		exported, expected, Thousands(exportedLines), imported, Thousands(importedLines), exports, imports)
	if now.Before(l.next) || line == l.last || p.Listed == 0 {
		return
	}
	l.next, l.last = now.Add(l.every), line
	l.Say(line + "; time left " + timeLeft(now.Sub(l.began), int64(imported), int64(expected)))
}

// Say prints a line.
func (l *Lines) Say(line string) { _, _ = io.WriteString(l.out, line+"\n") }

// Close does nothing: what was printed stays.
func (l *Lines) Close(bool) {}

// Thousands writes a number with commas: 13,791.
func Thousands(n int64) string {
	if n < 0 {
		return "-" + Thousands(-n)
	}
	digits := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, digit := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return b.String()
}
