package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// ExceptionKind is why the destination refused a line.
type ExceptionKind string

// The kinds of exceptions.
const (
	AlreadyThere ExceptionKind = "already there" // the same resource and version comes twice
	Conflict     ExceptionKind = "conflict"      // the destination holds another content, or another order of versions
	Invalid      ExceptionKind = "invalid"       // the line is no resource that can be imported
	TooLarge     ExceptionKind = "too large"
	UnknownKind  ExceptionKind = "unknown" // the error log does not say, or does not name the line
)

// ExceptionState is what became of an exception.
type ExceptionState string

// The states of an exception.
const (
	ExceptionOpen     ExceptionState = "open"
	ExceptionPosted   ExceptionState = "posted"   // its line was posted again, alone
	ExceptionImported ExceptionState = "imported" // and taken
	ExceptionAccepted ExceptionState = "accepted" // somebody has said that it may be missing
)

// Exception is a refused line: one row of the table "exceptions".
type Exception struct {
	ID           string // row key: window, payload and a hash of where the line is
	Window       int
	Export       string // export id
	Kind         ExceptionKind
	State        ExceptionState
	ResourceType string
	ResourceID   string // "" when the error log does not say
	File         string // URL of the exported file
	Line, Offset int64  // line number in a slice of the file, counted from 0, and the byte at which that slice begins; Unknown when not said
	Lines        int64  // how many lines it stands for: 1, or more when the error log does not name them
	Reason       string // as the destination gives it
	ErrorLog     string // URL of the error log

	Posts     int // how often its line was posted again
	StatusURL string
	NotBefore time.Time
	By, Note  string // who accepted it, and why
	Created   time.Time
	Changed   time.Time

	etag azcore.ETag
	kept properties
}

// ExceptionKey makes the ID of an exception of a window, unique by what is appended. IDs sort by window.
func ExceptionKey(window int, unique string) string { return fmt.Sprintf("%010d-%s", window, unique) }

// Post records that e's line was posted again, alone.
func (e Exception) Post(statusURL string, now, notBefore time.Time) (Exception, error) {
	if e.State != ExceptionOpen {
		return e, e.illegal("posted again")
	}
	e.State, e.StatusURL, e.NotBefore, e.Changed = ExceptionPosted, statusURL, notBefore, now
	return e, nil
}

// Posting numbers the next post of e's line, before it is made: a failed job's body is not posted again.
func (e Exception) Posting(now time.Time) (Exception, error) {
	if e.State != ExceptionOpen || e.Lines != 1 || e.Line < 0 {
		return e, e.illegal("posted again")
	}
	e.Posts++
	e.Changed = now
	return e, nil
}

// Ended records how a repeated post ended: taken, or refused for a reason.
func (e Exception) Ended(taken bool, reason string, now time.Time) (Exception, error) {
	if e.State != ExceptionPosted {
		return e, e.illegal("ended")
	}
	if e.State, e.Changed, e.NotBefore = ExceptionImported, now, (time.Time{}); !taken {
		e.State, e.Reason = ExceptionOpen, reason
	}
	return e, nil
}

// Running leaves a repeated post as it is until notBefore.
func (e Exception) Running(notBefore time.Time) Exception {
	e.NotBefore = notBefore
	return e
}

// Accept records who says that the line may be missing, and why.
func (e Exception) Accept(by, note string, now time.Time) (Exception, error) {
	if e.State != ExceptionOpen {
		return e, e.illegal("accepted")
	}
	e.State, e.By, e.Note, e.Changed = ExceptionAccepted, by, note, now
	return e, nil
}

// ErrState: an exception cannot be dealt with as asked in the state it is in.
var ErrState = errors.New("not possible in its state")

func (e Exception) illegal(what string) error {
	return fmt.Errorf("exception %s is %s and cannot be %s: %w", e.ID, e.State, what, ErrState)
}

func (e *Exception) row() row { return row{e.columns(), &e.etag, &e.kept} }

func (e *Exception) columns() []column {
	return []column{
		int32Column("Window", &e.Window), textColumn("ExportId", &e.Export),
		textColumn("Kind", (*string)(&e.Kind)), textColumn("State", (*string)(&e.State)),
		textColumn("ResourceType", &e.ResourceType), textColumn("ResourceId", &e.ResourceID), textColumn("File", &e.File),
		int64Column("Line", &e.Line), int64Column("Offset", &e.Offset), int64Column("Lines", &e.Lines),
		textColumn("Reason", &e.Reason), textColumn("ErrorLog", &e.ErrorLog),
		int32Column("Posts", &e.Posts), textColumn("StatusUrl", &e.StatusURL), timeColumn("NotBefore", &e.NotBefore),
		textColumn("AcceptedBy", &e.By), textColumn("AcceptedBecause", &e.Note),
		timeColumn("Created", &e.Created), timeColumn("Changed", &e.Changed),
	}
}

// Exception reads one. ErrNotFound.
func (l *Ledger) Exception(ctx context.Context, id string) (Exception, error) {
	e := Exception{ID: id}
	err := l.readRow(ctx, l.exceptions, id, e.row())
	return e, err
}

func (l *Ledger) exception(r listed) (Exception, error) {
	e := Exception{ID: r.key}
	err := e.row().read(l.exceptions, r.key, r.properties, r.etag)
	return e, err
}

// AddException inserts one. One that is there already stays as it is: its window's end is recorded more than once when a tick
// dies in between.
func (l *Ledger) AddException(ctx context.Context, e Exception) error {
	err := l.insertRow(ctx, l.exceptions, e.ID, e.row())
	if errors.Is(err, ErrNotFound) { // the other tables are older than this one: a migration that was taken over, or a new name
		if err = l.exceptions.create(ctx); err == nil {
			err = l.insertRow(ctx, l.exceptions, e.ID, e.row())
		}
	}
	if errors.Is(err, ErrExists) {
		return nil
	}
	return err
}

// SaveException saves one that was read before. ErrConflict: read it again.
func (l *Ledger) SaveException(ctx context.Context, e Exception) (Exception, error) {
	err := l.replaceRow(ctx, l.exceptions, e.ID, e.row())
	return e, err
}

// Exceptions lists at most limit of them from the ID from on, in the order of IDs, so by window.
func (l *Ledger) Exceptions(ctx context.Context, from string, limit int) ([]Exception, error) {
	rows, err := l.exceptions.list(ctx, l.partition, from, ":", limit) // ":" sorts behind every digit
	if err != nil {
		return nil, err
	}
	all := make([]Exception, 0, len(rows))
	for _, r := range rows {
		e, err := l.exception(r)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}
