package ledger

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// tried is an attempt over hours of a day, complete and with figures unless change says otherwise.
func tried(number, from, till int, change func(*attempt)) attempt {
	a := attempt{number: number, since: t0.Add(time.Duration(from) * time.Hour), till: t0.Add(time.Duration(till) * time.Hour), done: true, counted: true, exported: 10, imported: 9, parameters: 1, payloads: 2, rows: 2}
	if change != nil {
		change(&a)
	}
	return a
}

// What a survey makes of attempts, as numbers of windows and hours of the day.
func TestSurvey(t *testing.T) {
	t.Parallel()
	open := func(a *attempt) { a.done = false }
	failed := func(a *attempt) { a.failed, a.done = true, false }
	suspect := func(a *attempt) { a.suspect = true }
	uncounted := func(a *attempt) { a.counted, a.imported = false, 3 }
	short := func(a *attempt) { a.imported = 8 }
	rowless := func(a *attempt) { a.counted, a.rows = false, 1 }
	old := func(a *attempt) { a.counted, a.payloads, a.rows = false, 0, 1 }
	withParameters := func(a *attempt) { a.imported = 10 }
	ours := func(a *attempt) { a.ours, a.done = true, false }
	for name, test := range map[string]struct {
		watermark int // hour, -1 for none
		attempts  []attempt
		want      string
	}{
		"nothing":                         {-1, nil, "next 1"},
		"all closed":                      {4, []attempt{tried(0, 0, 2, nil), tried(1, 2, 4, nil)}, "next 2, till 4, complete 2: 20 exported, 18 imported"},
		"one has no figures":              {4, []attempt{tried(0, 0, 2, uncounted), tried(1, 2, 4, nil)}, "next 2, till 4, complete 2: 10 exported, 9 imported, 1 uncounted"},
		"the newest attempt counts":       {2, []attempt{tried(0, 0, 2, nil), tried(1, 2, 6, failed), tried(2, 2, 5, open), tried(3, 2, 4, open)}, "next 4, till 4, complete 1: 10 exported, 9 imported, open [3], 2 superseded"},
		"without a watermark":             {-1, []attempt{tried(0, 3, 5, open)}, "next 1, till 5, open [0]"},
		"closed but suspect":              {4, []attempt{tried(0, 0, 2, suspect), tried(1, 2, 4, nil)}, "next 2, till 4, complete 1: 10 exported, 9 imported, repairs [0]"},
		"closed, lines are missing":       {4, []attempt{tried(0, 0, 2, short), tried(1, 2, 4, nil)}, "next 2, till 4, complete 1: 10 exported, 9 imported, repairs [0]"},
		"closed, a row is missing":        {4, []attempt{tried(0, 0, 2, rowless), tried(1, 2, 4, nil)}, "next 2, till 4, complete 1: 10 exported, 9 imported, repairs [0]"},
		"of an old deployment":            {4, []attempt{tried(0, 0, 2, old), tried(1, 2, 4, withParameters)}, "next 2, till 4, complete 2: 10 exported, 10 imported, 1 uncounted"},
		"suspect, but tried again":        {4, []attempt{tried(0, 0, 2, suspect), tried(1, 0, 2, nil), tried(2, 2, 4, nil)}, "next 3, till 4, complete 2: 20 exported, 18 imported, 1 superseded"},
		"closed by the watermark alone":   {2, []attempt{tried(0, 0, 2, open)}, "next 1, till 2, repairs [0]"},
		"done ahead of the watermark":     {2, []attempt{tried(0, 0, 2, nil), tried(1, 2, 4, nil)}, "next 2, till 4, complete 2: 20 exported, 18 imported"},
		"a hole ahead of the watermark":   {2, []attempt{tried(0, 0, 2, nil), tried(1, 4, 6, nil)}, "next 2, till 6, complete 2: 20 exported, 18 imported, holes [2 2-4]"},
		"of ours, open":                   {2, []attempt{tried(0, 0, 2, nil), tried(1, 2, 4, ours)}, "next 2, till 4, complete 1: 10 exported, 9 imported, open [1]"},
		"types do not stand for another":  {0, []attempt{tried(0, 0, 4, func(a *attempt) { a.typ = "Account" }), tried(1, 0, 2, func(a *attempt) { a.typ = "Patient"; a.done = false })}, "next 2, till 0, complete 1: 10 exported, 9 imported, open [1], Account 4, Patient 2"},
		"a type is covered up to a hole":  {0, []attempt{tried(0, 0, 2, func(a *attempt) { a.typ = "Account" }), tried(1, 3, 4, func(a *attempt) { a.typ = "Account" })}, "next 2, till 0, complete 2: 20 exported, 18 imported, Account 2"},
		"a failed attempt is no coverage": {0, []attempt{tried(0, 0, 4, failed)}, "next 1, till 0, 1 superseded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := Chunk{JobID: 1}
			if test.watermark >= 0 {
				c.Watermark = t0.Add(time.Duration(test.watermark) * time.Hour)
			}
			s, err := survey(c, test.attempts, now)
			if err != nil {
				t.Fatal(err)
			}
			if got := said(s); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func said(s Survey) string {
	hour := func(at time.Time) int { return int(at.Sub(t0).Hours()) }
	parts := []string{fmt.Sprintf("next %d", s.JobID)}
	add := func(there bool, format string, values ...any) {
		if there {
			parts = append(parts, fmt.Sprintf(format, values...))
		}
	}
	numbers := func(all []OpenWindow) (n []int) {
		for _, o := range all {
			n = append(n, o.Number)
		}
		return n
	}
	f := s.Figures
	add(!s.PlannedTill.IsZero(), "till %d", hour(s.PlannedTill))
	add(f.Complete > 0, "complete %d: %d exported, %d imported", f.Complete, f.Exported, f.Imported)
	add(f.Uncounted > 0, "%d uncounted", f.Uncounted)
	add(len(s.Open) > 0, "open %v", numbers(s.Open))
	add(len(s.Repairs) > 0, "repairs %v", numbers(s.Repairs))
	for _, h := range s.Holes {
		add(true, "holes [%d %d-%d]", h.Number, hour(h.Since), hour(h.Till))
	}
	add(f.Superseded > 0, "%d superseded", f.Superseded)
	for _, typ := range []string{"Account", "Patient"} {
		if at, ok := s.Reached[typ]; ok {
			add(true, "%s %d", typ, hour(at))
		}
	}
	return strings.Join(parts, ", ")
}

// More closed windows to repair than the chunk row has room for are an error, never forgotten. As many as there is room for fit.
func TestSurveyOfTooManyRepairs(t *testing.T) {
	t.Parallel()
	var attempts []attempt
	for n := range maxRepairs {
		attempts = append(attempts, tried(n, n, n+1, func(a *attempt) { a.suspect = true }))
	}
	c := Chunk{JobID: maxRepairs, Watermark: t0.Add((maxRepairs + 1) * time.Hour), Foreign: true}
	s, err := survey(c, attempts, now)
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := c.TakenOver(s); !ok || !c.Watermark.Equal(t0) {
		t.Errorf("watermark %s", c.Watermark)
	} else if _, err := writeColumns(c.columns(), nil); err != nil {
		t.Errorf("the chunk row has no room for them: %v", err)
	}
	attempts = append(attempts, tried(maxRepairs, maxRepairs, maxRepairs+1, func(a *attempt) { a.suspect = true }))
	if _, err := survey(c, attempts, now); err == nil || !strings.Contains(err.Error(), "new table names") {
		t.Errorf("one too many: %v", err)
	}
}
