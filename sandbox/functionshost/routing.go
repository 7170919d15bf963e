package functionshost

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// route is a route template in segments, prefix included. A path matches whatever its case, as in ASP.NET.
type route []segment

// segment is a literal, or a parameter: {id}, {id?} at the end, or {*rest} at the end.
type segment struct {
	literal  string // lower case; empty for a parameter
	optional bool
	catchAll bool
}

var parameter = regexp.MustCompile(`^\{(\*{0,2})([A-Za-z_][A-Za-z0-9_]*)(\??)\}$`)

// parseRoute reads a function's route and puts it behind the prefix. Routes in the host's own space are refused: all that begin with
// "admin" or "runtime", even "adminfoo" (host).
func parseRoute(prefix, template string) (route, error) {
	template = strings.Trim(template, "/")
	for _, reserved := range []string{"admin", "runtime"} {
		if strings.HasPrefix(strings.ToLower(template), reserved) {
			return nil, fmt.Errorf("route %q conflicts with the host's own routes: it begins with %q", template, reserved)
		}
	}
	var r route
	for _, text := range pathSegments(prefix + "/" + template) {
		s, err := parseSegment(text)
		if err != nil {
			return nil, fmt.Errorf("route %q: %w", template, err)
		}
		if len(r) > 0 && (r[len(r)-1].optional || r[len(r)-1].catchAll) {
			return nil, fmt.Errorf("route %q: a parameter that may be left out must be the last", template)
		}
		r = append(r, s)
	}
	return r, nil
}

func parseSegment(text string) (segment, error) {
	if !strings.ContainsAny(text, "{}") {
		return segment{literal: strings.ToLower(text)}, nil
	}
	m := parameter.FindStringSubmatch(text)
	if m == nil {
		return segment{}, fmt.Errorf("segment %q: want a literal, {name}, {name?} or {*name}; constraints and mixed segments are not played here", text)
	}
	if m[1] != "" && m[3] != "" {
		return segment{}, errors.New("a catch-all cannot be optional too")
	}
	return segment{optional: m[3] != "", catchAll: m[1] != ""}, nil
}

func pathSegments(path string) []string {
	return slices.DeleteFunc(strings.Split(path, "/"), func(s string) bool { return s == "" })
}

// matches takes a path as it is on the wire, so that an escaped slash does not part two segments.
func (r route) matches(path string) bool {
	got := pathSegments(path)
	for i, s := range r {
		switch {
		case s.catchAll:
			return true
		case i >= len(got):
			return s.optional
		case s.literal != "" && s.literal != unescaped(got[i]):
			return false
		}
	}
	return len(got) == len(r)
}

// unescaped is a segment as literals are kept.
func unescaped(segment string) string {
	if plain, err := url.PathUnescape(segment); err == nil {
		segment = plain
	}
	return strings.ToLower(segment)
}

// compare orders routes so that the more particular goes first: literals before parameters before catch-alls, from the left.
func (r route) compare(other route) int {
	for i := range min(len(r), len(other)) {
		if d := r[i].rank() - other[i].rank(); d != 0 {
			return d
		}
	}
	return len(other) - len(r)
}

func (s segment) rank() int {
	switch {
	case s.catchAll:
		return 2
	case s.literal == "":
		return 1
	}
	return 0
}

// same says whether two routes are one, whatever their parameters are called.
func (r route) same(other route) bool { return slices.Equal(r, other) }
