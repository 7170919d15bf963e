package fhirservice

import (
	"regexp"
	"strings"

	"github.com/tidwall/gjson"
)

// expression is the FHIRPath of a search parameter, of the simple kind that most custom ones are: a type, then members, of which an extension
// may be chosen by its URL, and alternatives with | between them. Patient.extension.where(url='urn:x').value is one, and so
// is Patient.extension('urn:x').valueString | Patient.name.family.
type expression string

var (
	memberStep    = regexp.MustCompile(`^[a-z][A-Za-z0-9]*$`)
	extensionStep = regexp.MustCompile(`^extension\('([^']+)'\)$`)
	whereStep     = regexp.MustCompile(`^where\(\s*([a-z][A-Za-z]*)\s*=\s*'([^']*)'\s*\)$`)
	typeStep      = regexp.MustCompile(`^(as|ofType)\([A-Za-z]+\)$`)
	wholeStep     = regexp.MustCompile(`'[^']*'|\.`) // a dot within quotes ends nothing
)

// steps splits one alternative at its dots.
func steps(path string) []string {
	var all []string
	start := 0
	for _, at := range wholeStep.FindAllStringIndex(path, -1) {
		if path[at[0]] == '.' {
			all = append(all, path[start:at[0]])
			start = at[1]
		}
	}
	return append(all, path[start:])
}

func (e expression) alternatives() []string {
	var all []string
	for _, a := range strings.Split(string(e), "|") {
		all = append(all, strings.TrimSpace(a))
	}
	return all
}

// valid says whether the service understands the expression.
func (e expression) valid() bool {
	for _, path := range e.alternatives() {
		all := steps(path)
		if len(all) < 2 || !isResourceType(all[0]) && all[0] != "Resource" {
			return false
		}
		for _, step := range all[1:] {
			if !memberStep.MatchString(step) && !extensionStep.MatchString(step) && !whereStep.MatchString(step) && !typeStep.MatchString(step) {
				return false
			}
		}
	}
	return true
}

// includes says whether every alternative of the other is one of e.
func (e expression) includes(other expression) bool {
	mine := map[string]bool{}
	for _, a := range e.alternatives() {
		mine[a] = true
	}
	for _, a := range other.alternatives() {
		if !mine[a] {
			return false
		}
	}
	return true
}

// values are what the expression finds in a resource.
func (e expression) values(typ string, raw []byte) []gjson.Result {
	var found []gjson.Result
	for _, path := range e.alternatives() {
		all := steps(path)
		if all[0] != typ && all[0] != "Resource" {
			continue
		}
		nodes := []gjson.Result{gjson.ParseBytes(raw)}
		for _, step := range all[1:] {
			nodes = follow(nodes, step)
		}
		found = append(found, nodes...)
	}
	return found
}

// follow takes one step from each node; lists are taken apart.
func follow(nodes []gjson.Result, step string) []gjson.Result {
	var next []gjson.Result
	for _, n := range nodes {
		if typeStep.MatchString(step) {
			next = append(next, n)
			continue
		}
		if where := whereStep.FindStringSubmatch(step); where != nil {
			if n.Get(where[1]).String() == where[2] {
				next = append(next, n)
			}
			continue
		}
		if extension := extensionStep.FindStringSubmatch(step); extension != nil {
			for _, x := range n.Get("extension").Array() {
				if x.Get("url").String() == extension[1] {
					next = append(next, x)
				}
			}
			continue
		}
		n.ForEach(func(name, value gjson.Result) bool {
			if name.Str == step || step == "value" && strings.HasPrefix(name.Str, "value") {
				next = append(next, value.Array()...)
			}
			return true
		})
	}
	return next
}

// parameterTest is one parameter of a search: any of its comma-separated values may hold.
type parameterTest struct {
	*parameter
	wanted  []string
	missing *bool // code:missing=true|false: whether the resource has no value for it
}

// newParameterTest reads a parameter's modifier and value. Of the modifiers, :missing is there, which all types of parameters have.
func newParameterTest(p *parameter, modifier, value string) (parameterTest, error) {
	switch {
	case modifier == "":
		return parameterTest{parameter: p, wanted: strings.Split(value, ",")}, nil
	case modifier == "missing" && (value == "true" || value == "false"):
		missing := value == "true"
		return parameterTest{parameter: p, missing: &missing}, nil
	case modifier == "missing":
		return parameterTest{}, badRequest("The value '%s' of the modifier :missing is not true or false.", value)
	}
	return parameterTest{}, badRequest("The modifier ':%s' is not supported.", modifier)
}

// holds compares by type: a string begins with what is wanted in any case; a token is a code, with or without its system before a |; everything
// else is equal as text.
func (t parameterTest) holds(r *row) bool {
	values := t.expression.values(r.Type, r.Raw)
	if t.missing != nil {
		return *t.missing == (len(values) == 0)
	}
	for _, found := range values {
		for _, wanted := range t.wanted {
			if t.matches(found, wanted) {
				return true
			}
		}
	}
	return false
}

func (t parameterTest) matches(found gjson.Result, wanted string) bool {
	if t.typ == "string" {
		return strings.HasPrefix(strings.ToLower(found.String()), strings.ToLower(wanted))
	}
	for _, coding := range append(found.Get("coding").Array(), found) {
		text := coding.String()
		if coding.IsObject() {
			system, code := coding.Get("system").String(), coding.Get("code").String()
			if code == "" {
				code = coding.Get("value").String() + coding.Get("reference").String()
			}
			if wanted == system+"|"+code {
				return true
			}
			text = code
		}
		if text == wanted {
			return true
		}
	}
	return false
}
