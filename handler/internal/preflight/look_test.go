package preflight

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var now = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

func line(id string, version int, at string) string {
	return fmt.Sprintf(`{"resourceType":"Patient","id":%q,"meta":{"versionId":"%d","lastUpdated":%q}}`, id, version, at)
}

// read looks at lines, given as files of lines.
func read(l *Look, files ...[]string) *Look {
	for n, lines := range files {
		offset := int64(0)
		for i, text := range lines {
			l.Line(Place{n, int64(i), offset}, []byte(text+"\n"), now)
			offset += int64(len(text) + 1)
		}
	}
	return l
}

func TestEachKindIsFound(t *testing.T) {
	t.Parallel()
	const at = "2024-05-01T10:00:00.123+02:00"
	for name, c := range map[string]struct {
		lines   []string
		kind    Kind
		line    int64
		leftOut bool
	}{
		"no JSON":                {[]string{line("a", 1, at), "{"}, NotJSON, 1, false},
		"an array":               {[]string{"[]"}, NotJSON, 0, false},
		"no resource":            {[]string{`{"id":"a"}`}, NotJSON, 0, false},
		"no id":                  {[]string{`{"resourceType":"Patient"}`}, InvalidID, 0, false},
		"an id with a slash":     {[]string{line("a/b", 1, at)}, InvalidID, 0, false},
		"a long id":              {[]string{line(strings.Repeat("a", 65), 1, at)}, InvalidID, 0, false},
		"an id that is a number": {[]string{`{"resourceType":"Patient","id":1}`}, InvalidID, 0, false},
		"in the future":          {[]string{line("a", 1, "2025-01-01T00:00:11Z")}, Future, 0, false},
		"no instant":             {[]string{line("a", 1, "yesterday")}, InvalidTime, 0, false},
		"too large":              {[]string{`{"resourceType":"Observation","id":"a","valueQuantity":{"value":1e18}}`}, Overflow, 0, true},
		"twice":                  {[]string{line("a", 1, at), line("b", 1, at), line("a", 1, at)}, Duplicate, 2, false},
		"order":                  {[]string{line("a", 2, at), line("a", 1, "2024-06-01T00:00:00Z")}, Order, 1, true},
		"order, the other way":   {[]string{line("a", 1, "2024-06-01T00:00:00Z"), line("a", 2, at)}, Order, 0, true},
		"one instant":            {[]string{line("a", 1, at), line("a", 2, at)}, Order, 0, true},
		"one version, two times": {[]string{line("a", 1, "2024-06-01T00:00:00Z"), line("a", 1, at)}, Order, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := read(New(true), c.lines)
			if len(l.Findings) != 1 || l.Counts[c.kind] != 1 || l.Lines != int64(len(c.lines)) {
				t.Fatalf("%d lines, found %+v", l.Lines, l.Findings)
			}
			f, offset := l.Findings[0], int64(0)
			for _, text := range c.lines[:c.line] {
				offset += int64(len(text) + 1)
			}
			if f.Kind != c.kind || f.LeaveOut != c.leftOut || l.Fails() != c.leftOut || f.Place != (Place{0, c.line, offset}) || f.Detail == "" || c.kind.WhatToDo() == "" {
				t.Errorf("%+v", f)
			}
			if text := l.Summary(func(int) string { return "the file" }); !strings.Contains(text, string(c.kind)) || !strings.Contains(text, fmt.Sprintf("the file line %d", c.line+1)) {
				t.Error(text)
			}
		})
	}
}

// What a resource says is kept beside its finding, for the blob of findings; the texts that go into rows and logs do not have it.
func TestTextsHoldNothingOfAResource(t *testing.T) {
	t.Parallel()
	for value, text := range map[string]string{
		"98765432109876543210.5": `{"resourceType":"Observation","id":"a","valueQuantity":{"value":98765432109876543210.5}}`,
		"Jane Doe, 1 Main St":    line("a", 1, "Jane Doe, 1 Main St"),
	} {
		l := read(New(true), []string{text})
		if len(l.Findings) != 1 || l.Findings[0].Value != value {
			t.Fatalf("%s: found %+v", value, l.Findings)
		}
		for _, told := range []string{l.Findings[0].Detail, l.Summary(func(int) string { return "the file" })} {
			if told == "" || strings.Contains(told, value) {
				t.Errorf("%q is told: %s", value, told)
			}
		}
	}
}

func TestNothingIsFoundInGoodLines(t *testing.T) {
	t.Parallel()
	l := read(New(true), []string{
		line("a", 1, "2024-05-01T10:00:00Z"), "", "\r", line("a", 3, "2024-05-02T10:00:00.5Z"), line("a", 2, "2024-05-01T10:00:00.001Z"),
		line("b", 1, "2025-01-01T00:00:10Z"), `{"resourceType":"Patient","id":"c"}`, `{"resourceType":"Patient","id":"d","meta":{"versionId":"one","lastUpdated":"2024-05-01T10:00:00Z"}}`,
		`{"resourceType":"Patient","id":"e","text":"\"1e99","a":[999999999999999999.9999,-1E-400,0.000e99999999999999999999]}`,
	}, []string{line("a", 3, "2024-05-02T10:00:00.5Z")}) // the last one again, in another file: the service takes it as what is there
	if len(l.Findings) > 0 || l.Lines != 8 || l.Fails() {
		t.Errorf("%d lines: %+v", l.Lines, l.Findings)
	}
}

func TestOverflow(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]bool{
		"999999999999999999": false, "1000000000000000000": true, "999999999999999999.9": false, "1e17": false, "1e18": true, "10e17": true, "0.1e19": true, "0.01e19": false,
		"0000": false, "0e400": false, "1e400": true, "1e-400": false, "1e99999999999999999999": true, "1e-99999999999999999999": false, "123.456": false,
		"1000000000000000000e-1": false, "0.000000000000000000000000001": false, "12345678901234567890.5": true, "1E+18": true,
	} {
		if got := overflows(number); got != want {
			t.Errorf("%s: %v", number, got)
		}
		if got := overflow([]byte(`{"a":-` + number + `}`)); (got != "") != want {
			t.Errorf("-%s in a line: %q", number, got)
		}
	}
}

// Which versions are left out does not depend on the order in which they are read, and what is left never contradicts itself.
func TestOrderDoesNotDependOnTheLines(t *testing.T) {
	t.Parallel()
	chance := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var lines []string
		for v := range 2 + chance.IntN(8) {
			lines = append(lines, line("a", v+1, instant(now.UnixMilli()-int64(chance.IntN(10)))))
		}
		var want []string
		for try := range 5 {
			chance.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
			var left []string
			for _, f := range read(New(true), lines).Findings {
				left = append(left, lines[f.Line])
			}
			slices.Sort(left)
			if try == 0 {
				want = left
			}
			if diff := cmp.Diff(want, left); diff != "" {
				t.Fatalf("%v: %s", lines, diff)
			}
			kept := slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return slices.Contains(left, l) })
			if again := read(New(true), kept); len(again.Findings) > 0 || len(kept) == 0 {
				t.Fatalf("of %v are kept %v: %+v", lines, kept, again.Findings)
			}
		}
	}
}

// Beyond 10,000 lines of one millisecond every further one is found, also when more milliseconds are seen than are counted.
func TestCrowds(t *testing.T) {
	t.Parallel()
	c, beyond := crowd{}, 0
	for i := range 250_000 {
		if c.add(int64(i)) {
			t.Fatal("one line is a crowd")
		}
		if i%20 == 0 && c.add(-1) {
			beyond++
		}
	}
	if len(c) > maxCounted {
		t.Errorf("%d milliseconds are counted", len(c))
	}
	if want := 250_000/20 - maxCrowd; beyond > want || beyond < want-3 { // a hundred-thousandth of all lines may be missed
		t.Errorf("%d found, want %d", beyond, want)
	}
}

// Memory is bounded: what is far apart is forgotten, what is near is found whatever lies behind.
func TestVersionsAreForgotten(t *testing.T) {
	t.Parallel()
	v, found := newVersions(), 0
	note := func(record, Kind, string) { found++ }
	for i := range 3 * generation {
		v.add(uint64(i), record{Version: 1, Millis: 10}, note)
	}
	if n := len(v.Old.Records) + len(v.New.Records); n > 2*generation {
		t.Errorf("%d versions are remembered", n)
	}
	v.add(3*generation-generation/2, record{Version: 2, Millis: 5}, note)
	if found != 1 {
		t.Errorf("of what is near, %d is found", found)
	}
	v.add(0, record{Version: 2, Millis: 5}, note)
	if found != 1 {
		t.Errorf("what is far apart is found: %d", found)
	}
	for i := range 3 * maxChain {
		v.add(1<<60, record{Version: int32(i), Millis: int64(100 + i)}, note)
	}
	if found != 1 {
		t.Errorf("%d found in a chain that is right", found)
	}
}

// A look that is saved and loaded at any line finds what one does that is not.
func TestSavedAndLoaded(t *testing.T) {
	t.Parallel()
	lines := []string{line("a", 2, "2024-05-01T10:00:00Z"), "{", line("b", 1, "2024-05-01T10:00:00Z"), line("a", 1, "2024-06-01T10:00:00Z"), line("b", 1, "2024-05-01T10:00:00Z")}
	want := read(New(true), lines)
	for stop := range len(lines) {
		l := read(New(true), lines[:stop])
		l.Next = Place{3, 4, 5}
		var state bytes.Buffer
		if err := l.Save(&state); err != nil {
			t.Fatal(err)
		}
		l, err := Load(&state)
		if err != nil {
			t.Fatal(err)
		}
		if l.Next != (Place{3, 4, 5}) {
			t.Errorf("goes on at %+v", l.Next)
		}
		offset := int64(0)
		for i, text := range lines {
			if i >= stop {
				l.Line(Place{0, int64(i), offset}, []byte(text), now)
			}
			offset += int64(len(text) + 1)
		}
		l.Next = Place{}
		if diff := cmp.Diff(want, l); diff != "" {
			t.Errorf("stopped at line %d (-want +got):\n%s", stop, diff)
		}
	}
	if _, err := Load(strings.NewReader("no state")); err == nil {
		t.Error("no state is read")
	}
}

// Many findings are counted, and not all kept.
func TestFindingsAreBounded(t *testing.T) {
	t.Parallel()
	l := New(true)
	for i := range maxLeftOut + 10 {
		l.Line(Place{0, int64(i), int64(i)}, []byte(`{"resourceType":"Patient","id":"a","x":1e20}`), now)
		l.Line(Place{0, int64(i), int64(i)}, []byte(`{`), now)
	}
	if n := len(l.Findings); n != maxLeftOut+maxTold || !l.TooMany() || l.Counts[NotJSON] != maxLeftOut+10 || l.Counts[Overflow] != maxLeftOut+10 {
		t.Errorf("%d findings, %v", n, l.Counts)
	}
}

// Whatever a line holds, looking at it does not panic, finds at most one thing wrong with the line itself, and knows its place.
func FuzzLine(f *testing.F) {
	for _, text := range []string{line("a", 1, "2024-05-01T10:00:00Z"), "{", `{"resourceType":"Patient","id":"a","meta":{"versionId":1,"lastUpdated":5},"n":1e999}`, `{"resourceType":["\u0000"]}`, "\xff"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		l := New(true)
		l.Line(Place{1, 2, 3}, text, now)
		if len(l.Findings) > 1 || len(l.Findings) == 1 && l.Findings[0].Place != (Place{1, 2, 3}) || len(l.Findings) > 0 && l.Lines != 1 {
			t.Errorf("%+v", l.Findings)
		}
		var state bytes.Buffer
		if err := l.Save(&state); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(&state); err != nil {
			t.Fatal(err)
		}
	})
}
