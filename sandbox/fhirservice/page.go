package fhirservice

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"io"
	"math"
	"net/url"
	"slices"
	"sync"
)

// cosmosSlices is into how many stretches of equal length the time of a Cosmos search is cut. Each page is filled from one stretch alone, so that pages come
// short, and a stretch without a match gives an empty page with a next link.
const cosmosSlices = 4

// cursor is where the next page begins. It travels in the opaque parameter ct.
type cursor struct {
	Type  string  `json:"t,omitempty"` // by type: the type of the last row
	Last  *place  `json:"p,omitempty"` // the last row of this stretch; none: the stretch begins
	Edges []int64 `json:"e,omitempty"` // Cosmos: the bounds of the stretches, fixed by the first page
	Slice int     `json:"i,omitempty"` // Cosmos: which stretch comes next
}

// packers are kept: each has half a megabyte of tables.
var packers = sync.Pool{New: func() any {
	w, _ := flate.NewWriter(nil, flate.DefaultCompression) // fails for an unknown level only
	return w
}}

func (c *cursor) encode() string {
	var b bytes.Buffer
	w := packers.Get().(*flate.Writer)
	defer packers.Put(w)
	w.Reset(&b)
	_, _ = w.Write(encode(c))
	_ = w.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func decodeCursor(s string) (*cursor, error) {
	invalid := badRequest("The provided continuation token is not valid.")
	packed, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, invalid
	}
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), 1<<16))
	if err != nil {
		return nil, invalid
	}
	c := &cursor{}
	if err := json.Unmarshal(plain, c); err != nil || c.Slice < 0 || len(c.Edges) > 0 && c.Slice+1 >= len(c.Edges) {
		return nil, invalid
	}
	return c, nil
}

// nextLink is the URL of the search with another continuation token.
func nextLink(q *request, c *cursor) string {
	if c == nil {
		return ""
	}
	params := url.Values{}
	for name, values := range q.query {
		params[name] = values
	}
	params.Set("ct", c.encode())
	return linkURL(q, params)
}

func selfLink(q *request) string { return linkURL(q, q.query) }

// linkURL is always one for GET, also after a search by POST.
func linkURL(q *request, params url.Values) string {
	link := q.base + "/"
	for i, segment := range q.segments {
		if segment == "_search" {
			break
		}
		if i > 0 {
			link += "/"
		}
		link += segment
	}
	if len(params) > 0 {
		link += "?" + params.Encode()
	}
	return link
}

// walk is a way through timelines that can be interrupted.
type walk struct {
	lines  []timeline // in ascending order of their type; one when the order is by time
	order  order
	wanted func(*row) bool
	from   int64 // milliseconds, [from, to)
	to     int64
}

// page returns up to size rows behind the cursor and the cursor of the next page, nil after the last.
func (w *walk) page(c *cursor, size int) ([]*row, *cursor) {
	var found []*row
	for i := range w.lines {
		line := w.lines[i]
		if w.order.descending {
			line = w.lines[len(w.lines)-1-i]
		}
		for _, r := range w.rest(line, c) {
			if !w.wanted(r) {
				continue
			}
			if len(found) == size {
				last := found[size-1]
				return found, &cursor{Type: w.typeOf(last), Last: &place{last.ms, last.seq}}
			}
			found = append(found, r)
		}
	}
	return found, nil
}

// rest returns what is left of one timeline behind the cursor, in the order of the walk.
func (w *walk) rest(line timeline, c *cursor) timeline {
	line = line.between(w.from, w.to)
	if len(line) == 0 {
		return nil
	}
	if c != nil && c.Last != nil {
		past := w.order.byType && (line[0].Type < c.Type) != w.order.descending && line[0].Type != c.Type
		switch {
		case past:
			return nil
		case w.order.byType && line[0].Type != c.Type:
		case w.order.descending:
			line = line.before(*c.Last)
		default:
			line = line.after(*c.Last)
		}
	}
	if w.order.descending {
		line = slices.Clone(line)
		slices.Reverse(line)
	}
	return line
}

func (w *walk) typeOf(r *row) string {
	if w.order.byType {
		return r.Type
	}
	return ""
}

// slicedPage is page as Cosmos does it: one stretch of time at most.
func (w *walk) slicedPage(c *cursor, size int, oldest, newest int64) ([]*row, *cursor) {
	if c == nil || len(c.Edges) == 0 {
		c = &cursor{Edges: w.edges(oldest, newest)}
	}
	i := c.Slice
	if w.order.descending {
		i = len(c.Edges) - 2 - i
	}
	w.from, w.to = c.Edges[i], c.Edges[i+1]
	found, next := w.page(c, size)
	switch {
	case next != nil:
		next.Edges, next.Slice = c.Edges, c.Slice
	case c.Slice+2 < len(c.Edges):
		next = &cursor{Edges: c.Edges, Slice: c.Slice + 1}
	}
	return found, next
}

// edges cuts the time of the walk; a side without a bound ends where the data ends.
func (w *walk) edges(oldest, newest int64) []int64 {
	from, to := w.from, w.to
	if from == math.MinInt64 {
		from = min(oldest, to)
	}
	if to == math.MaxInt64 {
		to = max(newest+1, from)
	}
	step := (to - from + cosmosSlices - 1) / cosmosSlices
	edges := []int64{from}
	for at := from + step; step > 0 && at < to; at += step {
		edges = append(edges, at)
	}
	return append(edges, max(to, from))
}
