package progress_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"fhirmigration/sandbox/progress"
	"fhirmigration/sandbox/testclock"

	"github.com/google/go-cmp/cmp"
)

func TestLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	clock := testclock.New(begin)
	lines := progress.NewLines(&out, clock.Now, 3*time.Second)
	some := progress.Progress{Listed: 5, Done: 2, ExportedLines: 12345, ImportedLines: 12000, Open: []progress.Window{export, exported, imports}}
	more := progress.Progress{Listed: 5, Done: 4, ExportedLines: 23456, ImportedLines: 23456}

	clock.Advance(4 * time.Second)
	lines.Show(progress.Progress{}, 0) // not begun: nothing to say
	lines.Show(some, 6)
	clock.Advance(time.Second)
	lines.Show(more, 6) // too soon
	clock.Advance(3 * time.Second)
	lines.Show(some, 6) // nothing new
	lines.Say("a word")
	lines.Show(more, 6)
	lines.Close(true)

	want := []string{
		"exported 4 of 6 windows, 12,455 resources; imported 2, 12,000 resources; in flight 1 exports, 1 imports; time left 8s",
		"a word",
		"exported 4 of 6 windows, 23,456 resources; imported 4, 23,456 resources; in flight 0 exports, 0 imports; time left 4s",
		"",
	}
	if diff := cmp.Diff(want, strings.Split(out.String(), "\n")); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func TestBars(t *testing.T) {
	t.Parallel()
	for _, finished := range []bool{true, false} {
		var out bytes.Buffer
		clock := testclock.New(begin)
		bars := progress.NewBars(&out, clock.Now)
		clock.Advance(10 * time.Second)
		bars.Show(progress.Progress{Listed: 5, Done: 2, ExportedLines: 12345, ImportedLines: 12000, Open: []progress.Window{exported}}, 4)
		bars.Say("a word")
		bars.Close(finished)
		wants := []string{"exported 3 of 4 windows", "imported 2 of 4 windows", "12,445 resources", "12,000 resources", "a word"}
		if finished { // what was expected too much is not there in the end
			wants = []string{"exported 3 of 3 windows", "imported 2 of 2 windows", "resources, done"}
		}
		for _, want := range wants {
			if !strings.Contains(out.String(), want) {
				t.Errorf("finished %t: no %q in the output:\n%s", finished, want, out.String())
			}
		}
	}
}

func TestBarsOfNothing(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	bars := progress.NewBars(&out, testclock.New(begin).Now)
	bars.Show(progress.Progress{}, 0)
	bars.Close(true) // must return
	if !strings.Contains(out.String(), "0 of 0 windows") {
		t.Errorf("output:\n%s", out.String())
	}
}

func TestThousands(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 13791: "13,791", 3_000_000_000: "3,000,000,000", -1234: "-1,234"} {
		if got := progress.Thousands(n); got != want {
			t.Errorf("%d is written %q, want %q", n, got, want)
		}
	}
}
