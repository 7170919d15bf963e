package verify

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// Change says what happened to a value on its way from the source to the destination.
type Change string

// The kinds of change.
const (
	Added   Change = "added"   // at the destination only
	Removed Change = "removed" // at the source only
	Changed Change = "changed"
)

// Difference is one place in which two resources differ.
type Difference struct {
	Pointer     string `json:"pointer"` // JSON Pointer (RFC 6901), into the source unless the value was added
	Kind        Change `json:"kind"`
	Source      string `json:"source,omitempty"`      // JSON text, shortened to 120 characters
	Destination string `json:"destination,omitempty"` // likewise
}

// String is the difference on one line.
func (d Difference) String() string {
	switch d.Kind {
	case Added:
		return fmt.Sprintf("%s added: %s", d.Pointer, d.Destination)
	case Removed:
		return fmt.Sprintf("%s removed: %s", d.Pointer, d.Source)
	}
	return fmt.Sprintf("%s changed: %s at the source, %s at the destination", d.Pointer, d.Source, d.Destination)
}

// Rules say what a comparison leaves out.
type Rules struct {
	// NewVersions: the import gave the resource a version and a time of its own, so these are not compared.
	NewVersions bool
	// Ignore are JSON Pointers of values that are not compared, with all that is in them. A segment * stands for any.
	Ignore []string
}

const (
	maxDifferences = 50  // of one resource; who differs in more places is another resource
	maxShown       = 120 // characters of a value in a Difference

	deletedStateURL   = "http://azurehealthcareapis.com/data-extensions/deleted-state"
	deletedStateValue = "soft-deleted"
)

// ErrNotJSON is a resource that cannot be read, so that nothing can be said about it.
var ErrNotJSON = errors.New("not a JSON object")

// Compare tells in what two resources differ, what matters most first; nil when in nothing, and at most 50 differences. They are compared by meaning: the order of an
// object's members does not count, the order of an array's elements does. Numbers are compared as written, so that 1.10 is not 1.1, and
// so are all texts; meta.lastUpdated alone is compared as an instant, to the millisecond, since that is what an import keeps. The
// mark that an export puts on deleted resources, and $import takes off again, is not compared.
func Compare(source, destination string, rules Rules) ([]Difference, error) {
	if source == destination {
		return nil, nil
	}
	for _, side := range []struct {
		name string
		raw  string
	}{{"source", source}, {"destination", destination}} {
		if !readable(side.raw) || !gjson.Parse(side.raw).IsObject() {
			return nil, fmt.Errorf("resource at the %s: %w", side.name, ErrNotJSON)
		}
	}
	c := comparison{rules: rules, most: maxDifferences}
	c.objects("", gjson.Parse(source), gjson.Parse(destination))
	rank(c.found)
	return c.found, nil
}

// maxNesting is far more than a FHIR service takes. What reads JSON here calls itself for each level.
const maxNesting = 1000

// readable says whether a text is JSON that is not nested more deeply than may be.
func readable(raw string) bool {
	depth := 0
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '"':
			for i++; i < len(raw) && raw[i] != '"'; i++ {
				if raw[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			if depth++; depth > maxNesting {
				return false
			}
		case '}', ']':
			depth--
		}
	}
	return gjson.Valid(raw)
}

// comparison collects differences on a walk through two values.
type comparison struct {
	rules Rules
	most  int // differences to find
	found []Difference
}

func (c *comparison) full() bool { return len(c.found) >= c.most }

func (c *comparison) values(at string, a, b gjson.Result) {
	if a.Raw == b.Raw || c.full() || c.ignored(at) {
		return
	}
	switch {
	case a.IsObject() && b.IsObject():
		c.objects(at, a, b)
	case a.IsArray() && b.IsArray():
		c.arrays(at, a.Array(), b.Array())
	case a.Type == gjson.String && b.Type == gjson.String && (sameText(a, b) || at == "/meta/lastUpdated" && sameInstant(a.Str, b.Str)):
	default:
		c.found = append(c.found, Difference{at, Changed, shown(a), shown(b)})
	}
}

// one reports a value that only one side has.
func (c *comparison) one(at string, kind Change, v gjson.Result) {
	switch {
	case c.full() || c.ignored(at):
	case kind == Removed:
		c.found = append(c.found, Difference{Pointer: at, Kind: kind, Source: shown(v)})
	default:
		c.found = append(c.found, Difference{Pointer: at, Kind: kind, Destination: shown(v)})
	}
}

type member struct {
	name  string
	value gjson.Result
}

// members are an object's, sorted by name; those of one name stay in their order, so that a doubled name is seen.
func members(at string, v gjson.Result) (all []member) {
	v.ForEach(func(name, value gjson.Result) bool {
		if at == "/meta" && name.Str == "extension" && onlyDeletedMark(value) {
			return true
		}
		text := name.Str
		if strings.ContainsRune(text, '\uFFFD') { // no Unicode: only the spelling can tell it from others, see sameText
			text = name.Raw
		}
		all = append(all, member{text, value})
		return true
	})
	slices.SortStableFunc(all, func(a, b member) int { return strings.Compare(a.name, b.name) })
	return all
}

func (c *comparison) objects(at string, a, b gjson.Result) {
	left, right := members(at, a), members(at, b)
	for len(left) > 0 || len(right) > 0 {
		switch {
		case len(right) == 0 || len(left) > 0 && left[0].name < right[0].name:
			c.one(at+"/"+escape(left[0].name), Removed, left[0].value)
			left = left[1:]
		case len(left) == 0 || right[0].name < left[0].name:
			c.one(at+"/"+escape(right[0].name), Added, right[0].value)
			right = right[1:]
		default:
			c.values(at+"/"+escape(left[0].name), left[0].value, right[0].value)
			left, right = left[1:], right[1:]
		}
	}
}

// arrays compares element by element. When one side is the other with some neighbouring elements taken out, those are the
// difference: else one that was dropped would show as a change of all behind it.
func (c *comparison) arrays(at string, a, b []gjson.Result) {
	if at == "/meta/extension" {
		a, b = withoutDeletedMark(a), withoutDeletedMark(b)
	}
	short, long := len(a), len(b)
	if short > long {
		short, long = long, short
	}
	if short < long && c.most > 1 { // who asks whether two elements are the same need not know where they differ, and would ask again at each level
		head := 0
		for head < short && c.same(index(at, head), a[head], b[head]) {
			head++
		}
		tail := 0
		for tail < short-head && c.same(at+"/*", a[len(a)-1-tail], b[len(b)-1-tail]) {
			tail++
		}
		if head+tail == short {
			for i := head; i < long-tail; i++ {
				if len(a) > len(b) {
					c.one(index(at, i), Removed, a[i])
				} else {
					c.one(index(at, i), Added, b[i])
				}
			}
			return
		}
	}
	for i := range long {
		switch {
		case i >= len(b):
			c.one(index(at, i), Removed, a[i])
		case i >= len(a):
			c.one(index(at, i), Added, b[i])
		default:
			c.values(index(at, i), a[i], b[i])
		}
	}
}

// same says whether two elements differ in nothing that counts. at is * for elements of different numbers: what is ignored of one number alone counts then.
func (c *comparison) same(at string, a, b gjson.Result) bool {
	inner := comparison{rules: c.rules, most: 1}
	inner.values(at, a, b)
	return len(inner.found) == 0
}

func (c *comparison) ignored(at string) bool {
	if c.rules.NewVersions && (at == "/meta/versionId" || at == "/meta/lastUpdated") {
		return true
	}
	return slices.ContainsFunc(c.rules.Ignore, func(pattern string) bool { return matches(pattern, at) })
}

// matches says whether a pointer is the pattern's or within it.
func matches(pattern, pointer string) bool {
	want, have := strings.Split(pattern, "/"), strings.Split(pointer, "/")
	if len(have) < len(want) {
		return false
	}
	for i, w := range want {
		if w != "*" && w != have[i] {
			return false
		}
	}
	return true
}

// sameText compares two strings that are spelled differently, as with \u00e9 for é. What is no Unicode, such as half a surrogate, has decoded to
// U+FFFD and lost its difference: then only the spelling can tell.
func sameText(a, b gjson.Result) bool {
	return a.Str == b.Str && !strings.ContainsRune(a.Str, '\uFFFD')
}

func sameInstant(a, b string) bool {
	left, err := time.Parse(time.RFC3339Nano, a)
	if err != nil {
		return false
	}
	right, err := time.Parse(time.RFC3339Nano, b)
	return err == nil && left.Truncate(time.Millisecond).Equal(right.Truncate(time.Millisecond))
}

func isDeletedMark(v gjson.Result) bool {
	return v.Get("url").Str == deletedStateURL && v.Get("valueString").Str == deletedStateValue
}

func withoutDeletedMark(all []gjson.Result) []gjson.Result {
	return slices.DeleteFunc(slices.Clone(all), isDeletedMark)
}

// onlyDeletedMark says whether nothing is left of meta.extension without the mark.
func onlyDeletedMark(extensions gjson.Result) bool {
	all := extensions.Array()
	return len(all) > 0 && len(withoutDeletedMark(all)) == 0
}

// hasDeletedMark says whether a line of an export is the last state of a deleted resource.
func hasDeletedMark(raw string) bool {
	return slices.ContainsFunc(gjson.Get(raw, "meta.extension").Array(), isDeletedMark)
}

func index(at string, i int) string { return at + "/" + strconv.Itoa(i) }

var escapes = strings.NewReplacer("~", "~0", "/", "~1")

func escape(name string) string { return escapes.Replace(name) }

func shown(v gjson.Result) string {
	if text := []rune(strings.ToValidUTF8(v.Raw, "\uFFFD")); len(text) > maxShown {
		return string(text[:maxShown]) + "…"
	}
	return v.Raw
}
