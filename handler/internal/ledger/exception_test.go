package ledger

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func anException(window int, unique string) Exception {
	return Exception{ID: ExceptionKey(window, unique), Window: window, Export: "17", Kind: Conflict, State: ExceptionOpen, ResourceType: "Patient", ResourceID: "p1",
		File: "https://a/export-17/Patient-1-1.ndjson", Line: 4711, Offset: 10_000_000_000, Lines: 1, Reason: "version conflict", ErrorLog: "https://a/fhirlogs/x.ndjson",
		Created: now, Changed: now}
}

func TestExceptionsAreKeptAndListedByWindow(t *testing.T) {
	t.Parallel()
	onEachWithTables(t, func(t *testing.T, l *Ledger) {
		ctx := t.Context()
		for _, window := range []int{10, 2, 1} {
			for n := range 3 {
				e := anException(window, fmt.Sprint(n))
				if err := l.AddException(ctx, e); err != nil {
					t.Fatal(err)
				}
				e.Reason = "another"
				if err := l.AddException(ctx, e); err != nil {
					t.Errorf("added again: %v", err)
				}
			}
		}
		got, err := l.Exception(ctx, ExceptionKey(10, "2"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(anException(10, "2"), got, cmpopts.IgnoreUnexported(Exception{})); diff != "" {
			t.Errorf("the row read is not the row written (-want +got):\n%s", diff)
		}
		for _, c := range []struct {
			from  string
			limit int
			want  []int
		}{
			{"", 100, []int{1, 1, 1, 2, 2, 2, 10, 10, 10}},
			{"", 4, []int{1, 1, 1, 2}},
			{ExceptionKey(2, ""), 100, []int{2, 2, 2, 10, 10, 10}},
			{ExceptionKey(10, "1"), 100, []int{10, 10}},
			{ExceptionKey(11, ""), 100, nil},
		} {
			all, err := l.Exceptions(ctx, c.from, c.limit)
			if err != nil {
				t.Fatal(err)
			}
			var windows []int
			for _, e := range all {
				windows = append(windows, e.Window)
			}
			if diff := cmp.Diff(c.want, windows); diff != "" {
				t.Errorf("from %q, at most %d (-want +got):\n%s", c.from, c.limit, diff)
			}
		}
		if _, err := l.Exception(ctx, "none"); !errors.Is(err, ErrNotFound) {
			t.Errorf("one that is not there: %v", err)
		}
	})
}

// Every move of an exception, and from which states it is refused.
func TestMovesOfAnException(t *testing.T) {
	t.Parallel()
	states := []ExceptionState{ExceptionOpen, ExceptionPosted, ExceptionImported, ExceptionAccepted}
	for name, m := range map[string]struct {
		move func(Exception) (Exception, error)
		from ExceptionState
		to   ExceptionState
	}{
		"number a post": {func(e Exception) (Exception, error) { return e.Posting(now) }, ExceptionOpen, ExceptionOpen},
		"post":          {func(e Exception) (Exception, error) { return e.Post("https://d/1", now, now) }, ExceptionOpen, ExceptionPosted},
		"taken":         {func(e Exception) (Exception, error) { return e.Ended(true, "", now) }, ExceptionPosted, ExceptionImported},
		"refused again": {func(e Exception) (Exception, error) { return e.Ended(false, "why", now) }, ExceptionPosted, ExceptionOpen},
		"accept":        {func(e Exception) (Exception, error) { return e.Accept("me", "why", now) }, ExceptionOpen, ExceptionAccepted},
	} {
		for _, state := range states {
			e := anException(1, "a")
			e.State = state
			next, err := m.move(e)
			if legal := state == m.from; legal != (err == nil) || legal && next.State != m.to || !legal && !errors.Is(err, ErrState) {
				t.Errorf("%s while %s: %s, %v", name, state, next.State, err)
			}
		}
	}
	many := anException(1, "a")
	many.Lines = 7
	if _, err := many.Posting(now); !errors.Is(err, ErrState) {
		t.Errorf("lines that are not known are posted: %v", err)
	}
}

func TestControlRow(t *testing.T) {
	t.Parallel()
	onEachWithTables(t, func(t *testing.T, l *Ledger) {
		ctx := t.Context()
		empty, err := l.Control(ctx)
		if err != nil {
			t.Fatal(err)
		}
		c := empty
		c.Source = c.Source.Missed("503", now, now).Missed("504", now, now)
		c.Retrying = []string{"a", "b"}
		if _, err = l.SaveControl(ctx, c); err != nil {
			t.Fatal(err)
		}
		if _, err := l.SaveControl(ctx, empty); !errors.Is(err, ErrConflict) {
			t.Errorf("a second insert: %v", err)
		}
		got, err := l.Control(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, got, cmpopts.IgnoreUnexported(Control{})); diff != "" {
			t.Errorf("the row read is not the row written (-want +got):\n%s", diff)
		}
		if got.Source.Tries != 2 || !got.Source.Since.Equal(now) || got.Source.Reason != "504" {
			t.Errorf("an outage: %+v", got.Source)
		}
		got.Source = Outage{}
		if got, err = l.SaveControl(ctx, got); err != nil {
			t.Fatal(err)
		}
		if again, err := l.Control(ctx); err != nil || again.Source != (Outage{}) {
			t.Errorf("an outage that is over: %+v, %v", again.Source, err)
		}
		if _, err := l.SaveControl(ctx, c); err == nil {
			t.Error("a stale control row is saved")
		}
	})
}
