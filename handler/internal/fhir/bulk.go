package fhir

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"
)

// View is what is counted and read of a service.
type View int

const (
	// Current is the newest version of each resource that is not deleted.
	Current View = iota
	// Versions is every version, deletions included.
	Versions
)

const (
	// MaxIDs is how many resources ResourcesByID takes at a time: one page of a search.
	MaxIDs = 1000
	// bulkPage is how many resources are asked for at a time, and maxBulkPage the bytes that one page may have; where it has more, the
	// page is asked for again with fewer resources. One resource may be as long as maxBundle. A DeepCheck has some 40 pages in memory, on an instance that
	// may have 512 MB.
	bulkPage    = 1000
	maxBulkPage = 4 << 20
)

var errPageTooLong = errors.New("the page is too long")

// CountType counts one type in p, or all types for typ "". In the view Versions, p.Till must not be in the service's future. There may be
// more than a service counts at once.
func (s *Service) CountType(ctx context.Context, typ string, v View, p Period) (Count, error) {
	if _, err := bulkCall(typ, v, p, ""); err != nil {
		return Count{}, err
	}
	return s.countIn(ctx, p, func(p Period) call {
		c, _ := bulkCall(typ, v, p, "_summary=count") // the type is one, whatever the period
		c.op = "count " + c.op
		return c
	}, maxHalvings)
}

// First is when the oldest of one type in p was last updated, or of all types for typ "". found is false only when the search was
// followed through every next link and had none: pages of a Cosmos service may be empty and still have a next one.
func (s *Service) First(ctx context.Context, typ string, v View, p Period) (at time.Time, found bool, err error) {
	c, err := bulkCall(typ, v, p, "_sort=_lastUpdated&_count=1")
	if err != nil {
		return time.Time{}, false, err
	}
	c.op = "find the first of " + c.op
	return s.first(ctx, p, c)
}

// Resources hands all of one type in p to yield, oldest first, page by page; typ "" is all types. A page is read as a whole before it is handed on, so that what yield gets
// came without a break, and the bytes are yield's to keep. An error of yield is returned as it is.
func (s *Service) Resources(ctx context.Context, typ string, v View, p Period, yield func([]Resource) error) error {
	return s.ResourcesBeside(ctx, typ, v, p, nil, yield)
}

// ResourcesBeside is Resources with a look at what is read of the other service at the same time.
func (s *Service) ResourcesBeside(ctx context.Context, typ string, v View, p Period, beside *Beside, yield func([]Resource) error) error {
	c, err := bulkCall(typ, v, p, fmt.Sprintf("_sort=_lastUpdated&_count=%d", bulkPage))
	if err != nil {
		return err
	}
	c.op = "read " + c.op
	return s.bulk(ctx, c, beside, func(page []Resource) error {
		for _, r := range page {
			if typ != "" && r.Type != typ || !p.contains(r.LastUpdated) {
				return &Error{Op: c.op, Kind: Unreadable, Status: http.StatusOK, Err: fmt.Errorf("%s/%s of %s was not asked for", r.Type, r.ID, stamp(r.LastUpdated))}
			}
		}
		return yield(page)
	})
}

// Oldest returns the n oldest of one type in p, at most MaxIDs, fewer when there are no more.
func (s *Service) Oldest(ctx context.Context, typ string, v View, p Period, n int) (all []Resource, err error) {
	n = min(n, MaxIDs)
	c, err := bulkCall(typ, v, p, fmt.Sprintf("_sort=_lastUpdated&_count=%d", n))
	if err != nil {
		return nil, err
	}
	c.op = "read the oldest " + c.op
	err = s.bulk(ctx, c, nil, func(page []Resource) error {
		if all = append(all, page...); len(all) >= n {
			return errStop
		}
		return nil
	})
	if err != nil && !errors.Is(err, errStop) {
		return nil, err
	}
	return all[:min(len(all), n)], nil
}

// ResourcesByID returns the current state of those of up to MaxIDs resources that the service finds. A service of the SQL kind may
// return a deleted one as if it were there, with nothing but its id and meta: ask History of it.
func (s *Service) ResourcesByID(ctx context.Context, typ string, ids []string) (all []Resource, err error) {
	op := fmt.Sprintf("search %d %s by id", len(ids), line(typ, 64))
	if !resourceType.MatchString(typ) || len(ids) > MaxIDs || slices.ContainsFunc(ids, func(id string) bool { return !resourceID.MatchString(id) }) {
		return nil, &Error{Op: op, Kind: Refused, Err: fmt.Errorf("not a type and up to %d ids", MaxIDs)}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	c := searchCall(op, "")
	c.method, c.path, c.contentType = http.MethodPost, "/"+typ+"/_search", "application/x-www-form-urlencoded"
	c.body = []byte(url.Values{"_id": {strings.Join(ids, ",")}, "_count": {fmt.Sprint(bulkPage)}}.Encode())
	err = s.bulk(ctx, c, nil, func(page []Resource) error {
		all = append(all, page...)
		return nil
	})
	return all, err
}

// bulkCall is a search or a history of one type, or of all.
func bulkCall(typ string, v View, p Period, query string) (call, error) {
	what := typ
	if typ == "" {
		what = "all types"
	} else if !resourceType.MatchString(typ) {
		return call{}, &Error{Op: "read " + line(typ, 64), Kind: Refused, Err: errors.New("not a resource type")}
	}
	if v == Versions {
		path := "/_history"
		if typ != "" {
			path = "/" + typ + path
		}
		return historyCall("versions of "+what+" "+p.String(), path, query+sinceBefore(p)), nil
	}
	c := searchCall(what+" "+p.String(), query+lastUpdated(p))
	c.path = "/" + typ
	return c, nil
}

var countParameter = regexp.MustCompile(`(^|&)_count=\d+`)

// with is the call with other parameters, which a search by POST has in its body.
func (c call) with(parameters string) call {
	if c.method == http.MethodPost {
		c.body = []byte(parameters)
	} else {
		c.query = parameters
	}
	return c
}

// fewer is the call for pages of n resources.
func (c call) fewer(n int) call {
	parameters := c.query
	if c.method == http.MethodPost {
		parameters = string(c.body)
	}
	return c.with(countParameter.ReplaceAllString(parameters, fmt.Sprintf("${1}_count=%d", n)))
}

// bulk hands the matches of a call and of all its next pages to yield, page by page.
func (s *Service) bulk(ctx context.Context, c call, beside *Beside, yield func([]Resource) error) error {
	size := bulkPage
	seen := make(map[[sha256.Size]byte]bool)
	for {
		resources, next, err := s.bulkPage(ctx, c, size, beside)
		if errors.Is(err, errPageTooLong) && size > 1 {
			size = max(size/8, 1)
			c = c.fewer(size)
			continue
		}
		if err == nil && len(resources) > 0 {
			err = yield(resources)
		}
		if err != nil || next == "" {
			return err
		}
		sum := sha256.Sum256([]byte(next))
		if seen[sum] {
			return &Error{Op: c.op, Kind: Unreadable, Status: http.StatusOK, Err: errors.New("a next link leads back to a page that was read before")}
		}
		seen[sum] = true
		c = c.with(next)
	}
}

// bulkPage reads one page as a whole.
func (s *Service) bulkPage(ctx context.Context, c call, size int, beside *Beside) (all []Resource, next string, err error) {
	a, err := s.do(ctx, c)
	if err != nil {
		return nil, "", err
	}
	defer a.close()
	limit := int64(maxBulkPage)
	if size == 1 {
		limit = maxBundle
	}
	text, err := a.read(limit)
	if err != nil {
		return nil, "", err
	}
	page, err := beside.parsePage(text)
	if err != nil {
		return nil, "", a.unreadable(err.Error())
	}
	all = page.resources
	if page.next == "" {
		return all, "", nil
	}
	if next, err = s.nextQuery(strings.TrimSuffix(c.path, "/_search"), page.next); err != nil {
		return nil, "", &Error{Op: c.op, Kind: Refused, Status: a.status, Err: err}
	}
	return all, next, nil
}

// read reads the whole body; errPageTooLong when it has more than limit bytes.
func (a *answer) read(limit int64) (string, error) {
	length, err := strconv.ParseInt(a.header.Get("Content-Length"), 10, 64)
	if err == nil && length > limit {
		return "", errPageTooLong
	}
	if length > 0 {
		return a.readKnown(length)
	}
	buffer := pageBuffers.Get().(*bytes.Buffer)
	defer pageBuffers.Put(buffer)
	buffer.Reset()
	buffer.Grow(int(max(length, 0)) + bytes.MinRead)
	n, err := buffer.ReadFrom(io.LimitReader(a.body, limit+1))
	if err == nil && n > limit {
		err = errPageTooLong
	}
	return buffer.String(), err
}

// readKnown reads a body of known length, by way of a buffer so small that it stays near the processor: the page is in memory once.
func (a *answer) readKnown(length int64) (string, error) {
	buffer := copyBuffers.Get().(*[copyBuffer]byte)
	defer copyBuffers.Put(buffer)
	var text strings.Builder
	text.Grow(int(length))
	for {
		n, err := a.body.Read(buffer[:])
		text.Write(buffer[:n])
		if err == io.EOF {
			return text.String(), nil
		}
		if err != nil {
			return text.String(), err
		}
	}
}

const copyBuffer = 64 << 10

var copyBuffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// pageBuffers are what pages of unknown length are read into before their text is made in one piece: a text that grows while it is
// read would be copied, and its memory be taken from the system, several times over.
var pageBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// bulkResult is a page in memory: its resources are parts of one text.
type bulkResult struct {
	resourceType string
	resources    []Resource
	next         string
	known        int // how far the known ones are passed
}

// parsePage reads a page. Its error is of a bundle that is none, or is not whole. known are resources that are expected on it, in their order; they need not be.
func parsePage(text string, known []Resource) (b bulkResult, err error) {
	p := &scanner{s: text, known: known}
	b.resources = make([]Resource, 0, min(len(text)/1024+1, bulkPage))
	p.object(func(name string) {
		switch {
		case name == "resourceType":
			b.resourceType = p.string()
		case name == "entry" && p.next() != 'n': // null
			p.array(func() {
				r, ok, wrong := p.entry().read()
				if ok && wrong == nil {
					b.resources = append(b.resources, r)
				}
				if err == nil && !p.bad {
					err = wrong
				}
			})
		case name == "link":
			err = cmp.Or(err, b.links(p.skip()))
		default:
			p.skip()
		}
	})
	b.known = p.passed
	switch {
	case p.bad || p.next() != 0:
		return b, notBundle{"not JSON, or cut off"}
	case b.resourceType != "Bundle":
		return b, notBundle{fmt.Sprintf("resourceType is %q, not Bundle", line(b.resourceType, 64))}
	}
	return b, err
}

func (b *bulkResult) links(raw string) error {
	for _, l := range gjson.Parse(raw).Array() {
		if l.Get("relation").Str != "next" {
			continue
		}
		if b.next = l.Get("url").Str; b.next == "" {
			return notBundle{"the next link is empty"}
		}
	}
	return nil
}
