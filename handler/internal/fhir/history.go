package fhir

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"
)

// Ref is one version of one resource.
type Ref struct {
	Type, ID, VersionID string
	LastUpdated         time.Time // UTC, as exact as the service says it
	Deleted             bool
}

var (
	resourceType = regexp.MustCompile(`^[A-Z][A-Za-z]{1,63}$`)
	resourceID   = regexp.MustCompile(`^[A-Za-z0-9.-]{1,64}$`)
)

// historyPage is how many versions of the history are asked for at a time; the entries hold whole resources.
const historyPage = 500

// Deletions hands every version of one type in p that is a deletion to yield, oldest first, until it wants no more; typ "" is all types. An
// error of yield is returned as it is. Hard-deleted resources leave no trace.
func (s *Service) Deletions(ctx context.Context, typ string, p Period, yield func(Ref) (more bool, err error)) error {
	c, err := bulkCall(typ, Versions, p, fmt.Sprintf("_sort=_lastUpdated&_count=%d", historyPage))
	if err != nil {
		return err
	}
	c.op = "list deletions among " + c.op
	return s.refs(ctx, p, c, func(r Ref) (bool, error) {
		if !r.Deleted {
			return true, nil
		}
		return yield(r)
	})
}

// CurrentVersion is the newest version of a resource, which may be a deletion. A resource that never was is NotFound.
func (s *Service) CurrentVersion(ctx context.Context, typ, id string) (Ref, error) {
	op := fmt.Sprintf("read the newest version of %s/%s", line(typ, 64), line(id, 64))
	if !resourceType.MatchString(typ) || !resourceID.MatchString(id) || id == "." || id == ".." {
		return Ref{}, &Error{Op: op, Kind: Refused, Err: errors.New("not the type and id of a resource")}
	}
	var newest Ref
	err := s.refs(ctx, Period{}, historyCall(op, "/"+typ+"/"+id+"/_history", "_count=1"), func(r Ref) (bool, error) {
		newest = r
		return false, nil
	})
	switch {
	case err != nil:
		return Ref{}, err
	case newest == Ref{}:
		return Ref{}, &Error{Op: op, Kind: NotFound, Status: http.StatusOK, Err: errors.New("its history is empty")}
	case newest.Type != typ || newest.ID != id:
		return Ref{}, &Error{Op: op, Kind: Unreadable, Status: http.StatusOK,
			Err: fmt.Errorf("the answer is about %s/%s", line(newest.Type, 64), line(newest.ID, 64))}
	}
	return newest, nil
}

func historyCall(op, path, query string) call {
	return call{op: op, method: http.MethodGet, path: path, query: query, accept: "application/fhir+json", want: []int{http.StatusOK}}
}

func sinceBefore(p Period) string { return bound("_since", "", p.Since) + bound("_before", "", p.Till) }
