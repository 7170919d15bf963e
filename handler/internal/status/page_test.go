package status

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"fhirmigration/handler/internal/ledger"
)

// pageOf renders the page of s and parses it.
func pageOf(t *testing.T, s Status) (text string, root *html.Node) {
	t.Helper()
	var b bytes.Buffer
	if err := WritePage(&b, s); err != nil {
		t.Fatal(err)
	}
	text = b.String()
	root, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return text, root
}

// busyRig is a migration with something of everything.
func busyRig(t *testing.T) *rig {
	t.Helper()
	r := newRig(t, "StartDate=2024-01-01T00:00:00Z", "EndDate=2024-12-31T00:00:00Z", "SpecificRun=true").begin()
	for n := range 5 {
		r.window(float64(n)*20, float64(n+1)*20, r.done(1000*int64(n+1), int64(n%2)))
	}
	r.tick()
	r.now = r.now.Add(20 * time.Minute)
	r.jump(130)
	r.window(130, 150, r.done(12_345, 0))
	r.window(150, 170, r.held("the books do not balance: file 3 of <b>export 7</b>: 100 lines, 97 imported, 2 refused"))
	r.window(170, 190, r.importing(40_000))
	r.window(190, 210, r.failed("500 from the source: \"timeout\" & more"), r.exporting)
	r.window(210, 230, r.failed("503"))
	r.window(230, 250)
	r.must(r.Ledger.AddException(t.Context(), ledger.Exception{ID: ledger.ExceptionKey(2, "a"), Window: 2, State: ledger.ExceptionOpen, Kind: ledger.Invalid,
		ResourceType: "Patient", ResourceID: "p-1", Line: 3, Lines: 1, Reason: "<script>alert(1)</script> is no birthDate"}))
	r.control(func(c *ledger.Control) {
		c.Export, _ = c.Export.Ended("", "", r.now.Add(-time.Minute))
		c.Import, _ = c.Import.Ended("", "", r.now.Add(-time.Minute))
		c.Destination = c.Destination.Missed("503: try again", r.now, r.now.Add(2*time.Minute))
	})
	return r
}

func each(n *html.Node, visit func(*html.Node)) {
	visit(n)
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		each(c, visit)
	}
}

func attribute(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

func textOf(n *html.Node) (text string) {
	each(n, func(n *html.Node) {
		if n.Type == html.TextNode {
			text += n.Data
		}
	})
	return text
}

// Every number and instant of the page says where it is in the JSON, and is that.
func TestPageAgreesWithJSON(t *testing.T) {
	t.Parallel()
	s := busyRig(t).read()
	var values any
	if err := json.Unmarshal([]byte(asJSON(t, s)), &values); err != nil {
		t.Fatal(err)
	}
	_, root := pageOf(t, s)
	compared := map[string]bool{}
	each(root, func(n *html.Node) {
		path, ok := attribute(n, "data-json")
		if !ok {
			if n.Data == "data" || n.Data == "time" {
				t.Errorf("<%s>%s says not where it is in the JSON", n.Data, textOf(n))
			}
			return
		}
		compared[path] = true
		want, found := at(values, path)
		if !found && path == "windows.held" {
			want, found = 0.0, true
		}
		if !found {
			want = 0.0 // left out
		}
		switch n.Data {
		case "time":
			got, _ := attribute(n, "datetime")
			a, errA := time.Parse(time.RFC3339Nano, got)
			b, errB := time.Parse(time.RFC3339Nano, fmt.Sprint(want))
			if errA != nil || errB != nil || !a.Equal(b) || !strings.HasPrefix(b.UTC().Format("2006-01-02 15:04:05 UTC"), textOf(n)) && when(b) != textOf(n) {
				t.Errorf("%s: the page says %s (%s), the JSON %v", path, got, textOf(n), want)
			}
		case "data":
			value, _ := attribute(n, "value")
			got, err := strconv.ParseFloat(value, 64)
			if err != nil || got != want {
				t.Errorf("%s: the page says %s, the JSON %v", path, value, want)
			}
			if whole(int64(got)) != textOf(n) && got == float64(int64(got)) && !strings.Contains(path, "econds") && !strings.Contains(path, "PerHour") && !strings.Contains(path, "share") {
				t.Errorf("%s: %s is shown as %s", path, value, textOf(n))
			}
		}
	})
	for _, path := range []string{"progress.migratedTill", "progress.shareOfTime", "progress.shareOfResources", "progress.imported", "lag.seconds", "pace.linesPerHour", "windows.done",
		"windows.open", "windows.held", "windows.empty", "exports.running", "exports.done", "exports.failed", "imports.running", "servers.source", "servers.destination",
		"exceptions.open", "open.0.number", "open.1.lines", "recent.0.byType.0.lines", "byType.0.lines", "timers.0.ticked"} {
		if !compared[path] {
			t.Errorf("%s is not on the page", path)
		}
	}
	if len(s.Timeline.Stretches) == 0 || len(s.Waiting) == 0 || len(s.Failures) == 0 {
		t.Errorf("there is nothing to show: %s", asJSON(t, s))
	}
	page := textOf(root)
	for _, w := range s.Waiting {
		if !strings.Contains(page, w.What) || !strings.Contains(page, w.Detail) || !strings.Contains(page, w.Who) {
			t.Errorf("not on the page: %+v", w)
		}
	}
	if !strings.Contains(page, s.Headline) || !strings.Contains(page, s.Left.Note) || !strings.Contains(page, s.Mode) {
		t.Error("the page lacks the headline, how long it takes, or what is migrated")
	}
}

// at finds a path such as open.0.lines in decoded JSON.
func at(v any, path string) (any, bool) {
	for part := range strings.SplitSeq(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			v = in[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i >= len(in) {
				return nil, false
			}
			v = in[i]
		default:
			return nil, false
		}
	}
	return v, v != nil
}

// What comes from a service is text on the page, and the page has nothing in it that its own policy forbids.
func TestPageIsSafe(t *testing.T) {
	t.Parallel()
	text, root := pageOf(t, busyRig(t).read())
	if strings.Contains(text, "<script>alert") || strings.Contains(text, "<b>export 7") {
		t.Error("a text of a service is part of the page")
	}
	scripts, styles := 0, 0
	each(root, func(n *html.Node) {
		switch n.Data {
		case "script":
			scripts++
			if n.FirstChild == nil || n.FirstChild.Data != pageScript {
				t.Error("the script is not the one that the policy names")
			}
		case "style":
			styles++
			if n.FirstChild.Data != pageStyle {
				t.Error("the style is not the one that the policy names")
			}
		case "form", "iframe", "object", "img":
			if n.Data != "form" {
				t.Errorf("there is a %s", n.Data)
			}
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" || a.Key == "src" || a.Key == "href" && !strings.HasPrefix(a.Val, "data:") || a.Key == "action" {
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			}
		}
	})
	if scripts != 1 || styles != 1 {
		t.Errorf("%d scripts, %d styles", scripts, styles)
	}
}

// No state lacks a page, a name or a colour, and a page that is not well formed would lose its end.
func TestPageOfEveryState(t *testing.T) {
	t.Parallel()
	for state := range stateNames {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel()
			s := newRig(t).read()
			s.State = state
			text, _ := pageOf(t, s)
			if !strings.Contains(text, stateNames[state]) || tones[state] == "" || !strings.Contains(text, "</html>") {
				t.Errorf("the page of %s: %.300s", state, text)
			}
		})
	}
	var b bytes.Buffer
	if err := WriteProblem(&b, "The app settings cannot be worked with", []string{"AZURE_SourceUri is <missing>"}); err != nil || !strings.Contains(b.String(), "AZURE_SourceUri is &lt;missing&gt;") {
		t.Errorf("%v: %s", err, b.String())
	}
}

// Windows of types cover the same time and are drawn under each other; as many as there are lanes for.
func TestLanes(t *testing.T) {
	t.Parallel()
	var stretches []Stretch
	for n := range 5 {
		stretches = append(stretches, Stretch{Since: day(0), Till: day(10), Open: true, Window: n, Kind: "planned"})
	}
	stretches = append(stretches, Stretch{Since: day(10), Till: day(20), Open: true, Window: 5}, Stretch{Since: day(0), Till: day(20), Kind: Empty})
	if lane, lanes := inLanes(stretches); lanes != 5 || fmt.Sprint(lane[:6]) != "[0 1 2 3 4 0]" {
		t.Errorf("%d lanes: %v", lanes, lane)
	}
	for n := range 30 {
		stretches = append(stretches, Stretch{Since: day(0), Till: day(10), Open: true, Window: 10 + n})
	}
	if _, lanes := inLanes(stretches); lanes != maxLanes {
		t.Errorf("%d lanes", lanes)
	}
	closer := strips(Timeline{From: Instant(day(-1000)), To: Instant(day(1000)), Stretches: stretches})
	if len(closer) != 2 || len(closer[0].Bars) != 37 || !strings.Contains(closer[0].Label, "5 planned") {
		t.Errorf("%d strips: %+v", len(closer), closer)
	}
}

func TestTicks(t *testing.T) {
	t.Parallel()
	for span, want := range map[time.Duration]string{
		5 * 365 * 24 * time.Hour: "2025 2026 2027 2028 2029", 300 * 24 * time.Hour: "2024-04 2024-07 2024-10", 40 * time.Second: "10:00:00 10:00:10 10:00:20 10:00:30 10:00:40",
		20 * time.Hour: "03-01 12:00 03-01 18:00 03-02 00:00 03-02 06:00",
	} {
		var got []string
		from := time.Date(2024, 3, 1, 10, 0, 0, 0, time.UTC)
		for _, tick := range ticks(from, from.Add(span)) {
			got = append(got, tick.Text)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", span, got, want)
		}
	}
}

// BenchmarkPage reads a ledger with ten thousand windows behind it and renders the page.
func BenchmarkPage(b *testing.B) {
	r := newRig(b).begin()
	for n := range 10_000 {
		r.window(float64(n)/30, float64(n+1)/30, r.done(10, 0))
	}
	for r.tick().TakenIn > 0 {
	}
	for b.Loop() {
		if err := WritePage(io.Discard, r.read()); err != nil {
			b.Fatal(err)
		}
	}
}
