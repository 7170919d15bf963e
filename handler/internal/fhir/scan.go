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

	known  []Resource // what may come, as another service wrote it
	passed int        // of those
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
	if p.next() != '"' {
		p.fail()
		return ""
	}
	from := p.i + 1
	end, escaped := stringEnd(p.s, from)
	if end < 0 {
		p.fail()
		return ""
	}
	p.i = end + 1
	if escaped {
		return gjson.Parse(p.s[from-1 : p.i]).Str
	}
	return p.s[from:end]
}

// nearby is how far the end of a string is looked for byte by byte, which is faster for the short ones that most are.
const nearby = 32

// stringEnd is where the quote is that ends the string whose text begins at i, -1 when there is none. escaped says that a backslash is in the text.
func stringEnd(s string, i int) (end int, escaped bool) {
	for near := min(i+nearby, len(s)); i < near; i++ {
		switch s[i] {
		case '"':
			return i, escaped
		case '\\':
			escaped = true
			i++ // what is escaped ends nothing
		}
	}
	for i < len(s) {
		n := strings.IndexByte(s[i:], '"')
		if n < 0 {
			break
		}
		slash := strings.IndexByte(s[i:i+n], '\\')
		if slash < 0 {
			return i + n, escaped
		}
		escaped = true
		i += slash + 2
	}
	return -1, escaped
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
	switch first := p.next(); first {
	case '"':
		from := p.i
		end, _ := stringEnd(p.s, from+1)
		if end < 0 {
			p.fail()
			return ""
		}
		p.i = end + 1
		return p.s[from:p.i]
	case '{', '[':
		from := p.i
		p.i++
		p.rest()
		p.i = min(p.i+1, len(p.s))
		return p.s[from:p.i]
	}
	from := p.i
	for p.i < len(p.s) && p.s[p.i] != ',' && p.s[p.i] != '}' && p.s[p.i] != ']' {
		p.i++
	}
	return p.s[from:p.i]
}

// rest passes over what is left of the object or array that it is in, up to its last bracket.
func (p *scanner) rest() {
	s, depth := p.s, 1
	for i := p.i; i < len(s); i++ {
		switch s[i] {
		case '"':
			if i, _ = stringEnd(s, i+1); i < 0 {
				p.fail()
				return
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				p.i = i
				return
			}
		}
	}
	p.fail()
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
	var named, is, of bool
	p.object(func(name string) {
		switch name {
		case "resourceType":
			r.Type, is = p.string(), true
		case "id":
			r.ID, named = p.string(), true
		case "meta":
			lastUpdated, of = p.meta(&r), true
		default:
			p.skip()
		}
		if is && named && of { // services write these first
			p.rest()
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
