package fhir

import (
	"strings"

	"github.com/tidwall/gjson"
)

// scanner walks through JSON once, byte by byte, and makes nothing of what it passes: a DeepCheck reads pages of a megabyte and needs four short texts of each
// resource. It checks that brackets and quotes are in order, which tells an answer that was cut off; what is in between is looked at by who
// compares it. bad is set at the first thing that is not in order, and nothing moves after it.
type scanner struct {
	s   string
	i   int
	bad bool
}

func (p *scanner) fail() { p.bad, p.i = true, len(p.s) }

// next passes over white space and is the byte behind it, 0 at the end.
func (p *scanner) next() byte {
	for ; p.i < len(p.s); p.i++ {
		switch p.s[p.i] {
		case ' ', '\t', '\r', '\n':
		default:
			return p.s[p.i]
		}
	}
	return 0
}

// take passes over one byte that must be c.
func (p *scanner) take(c byte) {
	if p.next() != c {
		p.fail()
		return
	}
	p.i++
}

// text passes over a string and is what is between its quotes, decoded.
func (p *scanner) text() string {
	if p.take('"'); p.bad {
		return ""
	}
	from := p.i
	for {
		n := strings.IndexByte(p.s[p.i:], '"')
		if n < 0 {
			p.fail()
			return ""
		}
		p.i += n + 1
		slashes := 0
		for at := p.i - 2; at >= from && p.s[at] == '\\'; at-- {
			slashes++
		}
		if slashes%2 == 0 {
			break
		}
	}
	raw := p.s[from : p.i-1]
	if strings.IndexByte(raw, '\\') >= 0 {
		return gjson.Parse(p.s[from-1 : p.i]).Str
	}
	return raw
}

// string passes over a value and is its text; "" for one that is no string.
func (p *scanner) string() string {
	if p.next() == '"' {
		return p.text()
	}
	p.skip()
	return ""
}

// skip passes over a value and is what it passed.
func (p *scanner) skip() string {
	p.next()
	from, depth := p.i, 0
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case '"':
			p.pastString()
			if depth == 0 {
				return p.s[from:p.i]
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth <= 0 {
				if depth == 0 {
					p.i++
				} // else the bracket belongs to what the value is in
				return p.s[from:p.i]
			}
		case ',':
			if depth == 0 {
				return p.s[from:p.i]
			}
		}
		p.i++
	}
	if depth > 0 {
		p.fail()
	}
	return p.s[from:min(p.i, len(p.s))]
}

// pastString passes over a string that begins here.
func (p *scanner) pastString() {
	for p.i++; ; p.i++ {
		n := strings.IndexByte(p.s[p.i:], '"')
		if n < 0 {
			p.fail()
			return
		}
		end := p.i + n
		slashes := 0
		for at := end - 1; at >= p.i && p.s[at] == '\\'; at-- {
			slashes++
		}
		if p.i = end; slashes%2 == 0 {
			p.i++
			return
		}
	}
}

// object passes over an object and calls member with each name, which must pass over the value.
func (p *scanner) object(member func(name string)) {
	p.list('{', '}', func() { name := p.text(); p.take(':'); member(name) })
}

// array passes over an array and calls element at each, which must pass over it.
func (p *scanner) array(element func()) { p.list('[', ']', element) }

func (p *scanner) list(begin, end byte, element func()) {
	if p.take(begin); p.next() == end {
		p.i++
		return
	}
	for !p.bad {
		element()
		switch p.next() {
		case ',':
			p.i++
		case end:
			p.i++
			return
		default:
			p.fail()
		}
	}
}

// resource passes over a resource and reads what identifies it.
func (p *scanner) resource() (r Resource, lastUpdated string) {
	p.next()
	from := p.i
	p.object(func(name string) {
		switch name {
		case "resourceType":
			r.Type = p.string()
		case "id":
			r.ID = p.string()
		case "meta":
			lastUpdated = p.meta(&r)
		default:
			p.skip()
		}
	})
	r.Raw = p.s[from:p.i]
	return r, lastUpdated
}

func (p *scanner) meta(r *Resource) (lastUpdated string) {
	if p.next() != '{' {
		p.skip()
		return ""
	}
	p.object(func(name string) {
		switch name {
		case "versionId":
			r.VersionID = p.string()
		case "lastUpdated":
			lastUpdated = p.string()
		default:
			p.skip()
		}
	})
	return lastUpdated
}
