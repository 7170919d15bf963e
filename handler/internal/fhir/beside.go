package fhir

import (
	"slices"
	"strings"
	"sync"
)

// Beside is one of two services that are read at the same time, stretch for stretch, because they should hold the same. Most resources have the same bytes on both: what
// comes second is compared as a whole and not taken apart again.
type Beside struct {
	other *Beside
	both  *sync.Mutex // held while a page of either is read, or both would be taken apart at the same moment

	recent []Resource
	before int // how many were read before recent
	passed int // how many of the other's are behind this one
}

// maxRecent is how many resources of one side wait for the other; who is further behind reads for himself.
const maxRecent = 2 * bulkPage

// NewBeside makes the two sides.
func NewBeside() (a, b *Beside) {
	both := &sync.Mutex{}
	a, b = &Beside{both: both}, &Beside{both: both}
	a.other, b.other = b, a
	return a, b
}

// parsePage reads a page of this side; nil is a side by itself.
func (b *Beside) parsePage(text string) (bulkResult, error) {
	if b == nil {
		return parsePage(text, nil)
	}
	b.both.Lock()
	defer b.both.Unlock()
	b.passed = max(b.passed, b.other.before)
	page, err := parsePage(text, b.other.recent[b.passed-b.other.before:])
	if err != nil {
		return page, err
	}
	b.passed += page.known
	b.other.recent, b.other.before = slices.Clone(b.other.recent[b.passed-b.other.before:]), b.passed // or they would keep their pages in memory
	dropped := min(max(len(b.recent)+len(page.resources)-maxRecent, 0), len(b.recent))
	b.before += dropped
	b.recent = slices.Concat(b.recent[dropped:], page.resources)
	return page, nil
}

// expected passes over a resource that is the next of the known ones, byte by byte. An object that begins with all bytes of another is that object.
func (p *scanner) expected() (Resource, bool) {
	if p.passed >= len(p.known) {
		return Resource{}, false
	}
	next := p.known[p.passed]
	if next.Raw == "" || !strings.HasPrefix(p.s[p.i:], next.Raw) {
		return Resource{}, false
	}
	p.i += len(next.Raw)
	p.passed++
	return next, true
}

// lookAhead is how many of the known ones may be missing in a row before nothing is expected any more.
const lookAhead = 8

// realign goes on behind the known resource with an id that came with other bytes; one that is not among the next is extra.
func (p *scanner) realign(id string) {
	for i := p.passed; i < min(p.passed+lookAhead, len(p.known)); i++ {
		if p.known[i].ID == id {
			p.passed = i + 1
			return
		}
	}
}
