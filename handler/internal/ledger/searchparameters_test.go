package ledger

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestSearchParametersKeepEveryColumn(t *testing.T) {
	t.Parallel()
	onEachWithTables(t, func(t *testing.T, l *Ledger) {
		fresh, err := l.SearchParameters(t.Context())
		if err != nil || fresh.State != ParametersCopying || fresh.ImportsMayBegin() {
			t.Fatalf("before anything is done: %+v, %v", fresh, err)
		}
		var refused []RefusedParameter // more, and with more to say, than a row has room for
		for n := range 200 {
			refused = append(refused, RefusedParameter{URL: fmt.Sprintf("https://contoso.example/%d/%s", n, strings.Repeat("ü\"", 500)), ID: "x", Reason: strings.Repeat("\u0001", 500)})
		}
		s := fresh.Counted(1000, 100).Writing().CopyEnded(refused, now).ReindexStarted("https://d/_operations/reindex/1", now).ReindexRuns("Running", now)
		s.Attempts, s.StartTime, s.EndTime, s.Reason = 2, now, now, "why"
		if s, err = l.SaveSearchParameters(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		got, err := l.SearchParameters(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, got, cmpopts.IgnoreUnexported(SearchParameters{})); diff != "" {
			t.Errorf("saved and read (-saved +read):\n%s", diff)
		}
		if len(got.Named) == 0 || len(got.Named) > 20 || got.Refused != 200 || got.Copied != 700 {
			t.Errorf("%d named, %d refused, %d copied", len(got.Named), got.Refused, got.Copied)
		}
		if _, err := l.SaveSearchParameters(t.Context(), fresh); !errors.Is(err, ErrConflict) {
			t.Errorf("inserted again: %v, want ErrConflict", err)
		}
		if _, err := l.SaveSearchParameters(t.Context(), got); err != nil {
			t.Error(err)
		}
		if _, err := l.SaveSearchParameters(t.Context(), got); !errors.Is(err, ErrConflict) {
			t.Errorf("saved from an old read: %v, want ErrConflict", err)
		}
	})
}

func TestSearchParametersMoves(t *testing.T) {
	t.Parallel()
	s := SearchParameters{State: ParametersCopying}
	if done := s.Counted(3, 3).CopyEnded(nil, now); done.State != ParametersDone || !done.Ended() || done.Copied != 0 {
		t.Errorf("nothing to write: %+v", done)
	}
	written := s.Counted(3, 1).Writing().Counted(3, 2).CopyEnded(nil, now) // broken off after one was written, which then was there
	if written.State != ParametersReindexing || written.Existing != 1 || written.Copied != 2 || !written.ImportsMayBegin() || written.Ended() {
		t.Errorf("written: %+v", written)
	}
	if deferred := s.Deferred("why", now); !deferred.ImportsMayBegin() || deferred.Ended() || deferred.Reason != "why" {
		t.Errorf("deferred: %+v", deferred)
	}
	once := written.ReindexStarted("url", now).ReindexFailed("why", now, now.Add(time.Hour), 2)
	if once.State != ParametersReindexing || once.ReindexURL != "" || !once.NotBefore.Equal(now.Add(time.Hour)) {
		t.Errorf("failed once: %+v", once)
	}
	twice := once.ReindexFailed("why", now, now, 2)
	if twice.State != ParametersFailed || !twice.Ended() {
		t.Errorf("failed twice: %+v", twice)
	}
	if again := twice.Again(now); again.State != ParametersCopying || !again.Reindex || again.Attempts != 0 {
		t.Errorf("again after a failed reindex: %+v", again)
	}
	if again := written.ReindexEnded("Completed", now).Again(now); again.Reindex || again.Found != 0 {
		t.Errorf("again after the end: %+v", again)
	}
}

func TestChunkNotesSearchParameters(t *testing.T) {
	t.Parallel()
	c, ok := NewChunk(t0).SearchParametersAt(true, false)
	if !ok || !c.SearchParameterMigration || c.SearchParametersReady {
		t.Errorf("copied: %+v", c)
	}
	if _, ok := c.SearchParametersAt(true, false); ok {
		t.Error("noted twice")
	}
	onEachWithTables(t, func(t *testing.T, l *Ledger) {
		if _, err := l.InsertChunk(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		got, err := l.Chunk(t.Context())
		if err != nil || !got.SearchParameterMigration || got.SearchParametersReady {
			t.Errorf("read: %+v, %v", got, err)
		}
	})
}
