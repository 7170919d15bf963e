package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// stripHeight is how high the bars of a strip are, in pixels.
	stripHeight = 46
	// maxLanes is how many windows that cover the same time are drawn under each other.
	maxLanes = 8
	// thinnest is the least width of an open window, in hundredths of the strip: it must be seen.
	thinnest = 0.4
	// closerBelow is the share of the timeline below which the open windows get a strip of their own.
	closerBelow = 0.25
)

// strip is a timeline as it is drawn. Lengths are SVG's.
type strip struct {
	ID, Caption, Label string
	Bars               []bar
	Ticks              []tickMark
}

type bar struct {
	Kind                Kind
	X, Width, Y, Height string
	Pattern             string // drawn over it, so that colour is not all that tells
	Title               string
}

type tickMark struct {
	X, Anchor, Text string
	Minor           bool // left out where there is little room
}

var kindNames = map[Kind]string{
	"done": "done", Closed: "done or empty", Empty: "empty", "exporting": "exporting", "exported": "exported", "importing": "importing",
	"planned": "planned", "splitting": "splitting", "adopting": "being taken over", "superseded": "superseded", "held": "held", Failing: "open, after failed attempts",
}

var kindOrder = []Kind{"done", Closed, Empty, "importing", "exported", "exporting", "planned", "splitting", "adopting", "superseded", Failing, "held"}

// patterns are what tells kinds apart without colours.
var patterns = map[Kind]string{"held": "stripes", Failing: "stripes", "importing": "dots", Empty: "hatch"}

// legend are the kinds that a timeline has.
func legend(t Timeline) (kinds []Kind) {
	for _, k := range kindOrder {
		if slices.ContainsFunc(t.Stretches, func(s Stretch) bool { return s.Kind == k }) {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// strips are the timeline as a whole, and the open windows closer where they would be small in it.
func strips(t Timeline) []strip {
	if t.From == nil || t.To == nil || !t.To.After(*t.From) {
		return nil
	}
	all := []strip{draw("whole", "", *t.From, *t.To, t.Stretches)}
	var from, to time.Time
	for _, s := range t.Stretches {
		if !s.Open {
			continue
		}
		if from.IsZero() || s.Since.Before(from) {
			from = s.Since
		}
		if s.Till.After(to) {
			to = s.Till
		}
	}
	if !from.IsZero() && to.Sub(from) < time.Duration(closerBelow*float64(t.To.Sub(*t.From))) {
		margin := to.Sub(from) / 12
		all[0].Caption = "From the beginning to the end"
		all = append(all, draw("closer", "The open windows, closer", from.Add(-margin), to.Add(margin), t.Stretches))
	}
	return all
}

// draw draws what of stretches is in [from, to).
func draw(id, caption string, from, to time.Time, stretches []Stretch) strip {
	s := strip{ID: id, Caption: caption}
	span := to.Sub(from).Seconds()
	at := func(t time.Time) float64 { return min(max(t.Sub(from).Seconds()/span*100, 0), 100) }
	lane, lanes := inLanes(stretches)
	counts := map[Kind]int64{}
	for i, stretch := range stretches {
		if !stretch.Till.After(from) || !stretch.Since.Before(to) {
			continue
		}
		counts[stretch.Kind] += max(stretch.Windows, 1)
		x, end := at(stretch.Since), at(stretch.Till)
		if stretch.Open && end-x < thinnest {
			end = min(x+thinnest, 100)
			x = end - thinnest
		}
		b := bar{Kind: stretch.Kind, X: hundredths(x), Width: hundredths(end - x), Y: "0", Height: fmt.Sprint(stripHeight), Pattern: patterns[stretch.Kind], Title: stretch.title()}
		if stretch.Open {
			height := float64(stripHeight) / float64(lanes)
			b.Y, b.Height = fmt.Sprintf("%.1f", float64(lane[i])*height), fmt.Sprintf("%.1f", height)
		}
		s.Bars = append(s.Bars, b)
	}
	s.Ticks = ticks(from, to)
	s.Label = label(from, to, counts)
	return s
}

// label says in words what a strip shows.
func label(from, to time.Time, counts map[Kind]int64) string {
	var parts []string
	for _, k := range kindOrder {
		if n := counts[k]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", whole(n), kindNames[k]))
		}
	}
	return fmt.Sprintf("Timeline from %s to %s: %s", when(from), when(to), strings.Join(parts, ", "))
}

// inLanes gives each open window a lane in which no other covers the same time, as far as there are lanes.
func inLanes(stretches []Stretch) (lane []int, lanes int) {
	lane, lanes = make([]int, len(stretches)), 1
	var order []int
	for i, s := range stretches {
		if s.Open {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(stretches[a].Since.Compare(stretches[b].Since), cmp.Compare(stretches[a].Window, stretches[b].Window))
	})
	var ends [maxLanes]time.Time
	for n, i := range order {
		free := slices.IndexFunc(ends[:], func(end time.Time) bool { return !end.After(stretches[i].Since) })
		if free < 0 {
			free = n % maxLanes
		}
		lane[i], ends[free] = free, stretches[i].Till
		lanes = max(lanes, free+1)
	}
	return lane, lanes
}

func hundredths(n float64) string { return fmt.Sprintf("%.3f%%", n) }

// title is what a stretch says when it is pointed at.
func (s Stretch) title() string {
	var b strings.Builder
	switch {
	case s.Open:
		fmt.Fprintf(&b, "Window %d", s.Window)
		if s.Type != "" {
			b.WriteString(", " + s.Type)
		}
		b.WriteString(": " + kindNames[s.Kind])
	case s.Windows > 0:
		b.WriteString(many(s.Windows, "window", "windows") + " done")
	default:
		b.WriteString(kindNames[s.Kind])
	}
	fmt.Fprintf(&b, ", %s to %s", when(s.Since), when(s.Till))
	if s.Lines > 0 {
		b.WriteString(", " + many(s.Lines, "line", "lines"))
	}
	if s.Refused > 0 {
		fmt.Fprintf(&b, ", %s refused", whole(s.Refused))
	}
	if s.Failed > 0 {
		b.WriteString(", " + many(s.Failed, "failed attempt", "failed attempts"))
	}
	return b.String()
}

// ticks are instants to read a strip by: at most eight, at round numbers of years, months, days, hours or minutes.
func ticks(from, to time.Time) (marks []tickMark) {
	from, to = from.UTC(), to.UTC()
	steps := []struct {
		years, months int
		d             time.Duration
		layout        string
	}{
		{0, 0, time.Second, "15:04:05"}, {0, 0, 10 * time.Second, "15:04:05"}, {0, 0, time.Minute, "15:04"}, {0, 0, 10 * time.Minute, "15:04"},
		{0, 0, time.Hour, "01-02 15:04"}, {0, 0, 6 * time.Hour, "01-02 15:04"}, {0, 0, 24 * time.Hour, "2006-01-02"}, {0, 0, 7 * 24 * time.Hour, "2006-01-02"},
		{0, 1, 0, "2006-01"}, {0, 3, 0, "2006-01"}, {1, 0, 0, "2006"}, {2, 0, 0, "2006"}, {5, 0, 0, "2006"}, {10, 0, 0, "2006"}, {50, 0, 0, "2006"},
	}
	for _, step := range steps {
		next := func(t time.Time) time.Time { return t.AddDate(step.years, step.months, 0).Add(step.d) }
		first := from
		switch {
		case step.years > 0:
			first = time.Date(from.Year()-from.Year()%step.years, 1, 1, 0, 0, 0, 0, time.UTC)
		case step.months > 0:
			first = time.Date(from.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
		default:
			first = from.Truncate(step.d)
		}
		marks = nil
		for t := first; !t.After(to) && len(marks) <= 8; t = next(t) {
			if t.Before(from) {
				continue
			}
			x := t.Sub(from).Seconds() / to.Sub(from).Seconds() * 100
			anchor := "middle"
			if x < 4 {
				anchor = "start"
			} else if x > 96 {
				anchor = "end"
			}
			marks = append(marks, tickMark{hundredths(x), anchor, t.Format(step.layout), len(marks)%2 == 1})
		}
		if len(marks) <= 8 {
			return marks
		}
	}
	return nil
}
