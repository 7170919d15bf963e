package settings

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// prefix is what every setting's name begins with in the environment.
const prefix = "AZURE_"

// field is one setting: its name as a Go field and as documented, and the type it is read into.
type field struct {
	index int    // in Settings
	name  string // SourceUri
	typ   reflect.Type
	tags  reflect.StructTag

	pinned bool // by its tag
}

// variable is the name that envconfig looks up.
func (f field) variable() string { return strings.ToUpper(prefix + f.name) }

// label is how messages name the setting.
func (f field) label() string { return prefix + f.name }

func (f field) tag(name string) string { return f.tags.Get(name) }

func (f field) isList() bool { return f.typ.Kind() == reflect.Slice }

// problem is what is wrong with a setting, said so that an operator can mend it.
type problem struct {
	setting string // the field's name, "" for a name that is no setting
	text    string
}

// fields lists the settings in the order of the struct. Nobody changes what it returns.
var fields = sync.OnceValue(func() []field {
	t := reflect.TypeFor[Settings]()
	var all []field
	for i := range t.NumField() {
		if f := t.Field(i); f.Tag.Get("ignored") == "" {
			all = append(all, field{index: i, name: f.Name, typ: f.Type, tags: f.Tag, pinned: f.Tag.Get("pinned") != ""})
		}
	}
	return all
})

// spelling is a setting as it was found in the environment.
type spelling struct {
	name  string // AZURE_sourceuri
	value string // without space around
	order int    // of an element of a list, which has a spelling of its own; -1 for a setting by itself
}

// element is the name of one element of a list: AZURE_ResourceTypes__0, or with the colon that local settings may have.
var element = regexp.MustCompile(`^(.+?)(?:__|:)(\d{1,6})$`)

// spellings finds what looks like a setting in environ, by the upper-cased name of the setting. An empty value counts as not
// set: deployment templates write "" for what they leave out.
func spellings(environ []string) map[string][]spelling {
	found := make(map[string][]spelling)
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		s := spelling{name: name, value: strings.TrimSpace(value), order: -1}
		upper := strings.ToUpper(name)
		if s.value == "" || !strings.HasPrefix(upper, prefix) {
			continue
		}
		if parts := element.FindStringSubmatch(upper); parts != nil {
			upper = parts[1]
			s.order, _ = strconv.Atoi(parts[2]) // a few digits, as the pattern says
		}
		found[upper] = append(found[upper], s)
	}
	return found
}

// fold finds the value of every setting among the spellings, whatever the case of its name, and takes them out. The result is keyed
// by field.variable and holds only what is set and can be read; everything else is a problem.
func fold(found map[string][]spelling) (map[string]string, []problem) {
	values := make(map[string]string)
	var problems []problem
	for _, f := range fields() {
		spelt := takeOut(found, f.variable(), f.isList())
		if alias := f.tag("alias"); alias != "" {
			spelt = append(spelt, takeOut(found, strings.ToUpper(prefix+alias), f.isList())...)
		}
		if len(spelt) == 0 {
			continue
		}
		value, err := f.value(spelt)
		if err != nil {
			problems = append(problems, problem{f.name, err.Error()})
			continue
		}
		values[f.variable()] = value
	}
	return values, problems
}

// takeOut removes the spellings of a setting; elements of a list stay where the setting is none, and are then unknown.
func takeOut(found map[string][]spelling, variable string, list bool) []spelling {
	var out, left []spelling
	for _, s := range found[variable] {
		if s.order < 0 || list {
			out = append(out, s)
		} else {
			left = append(left, s)
		}
	}
	if found[variable] = left; len(left) == 0 {
		delete(found, variable)
	}
	return out
}

// value is the one value that all spellings of a setting have. Values that differ are not shown: one may be a secret.
func (f field) value(spelt []spelling) (string, error) {
	byOrder := make(map[int]string)
	for i, s := range spelt {
		value, err := f.readable(s.value)
		if err != nil {
			return "", fmt.Errorf("%s is %q: %w", f.spoken(s), s.value, err)
		}
		if first, again := byOrder[s.order]; again && first != value {
			return "", differ(spelt[:i+1], s.order)
		}
		byOrder[s.order] = value
	}
	whole, isWhole := byOrder[-1]
	if isWhole && len(byOrder) == 1 {
		return whole, nil
	}
	delete(byOrder, -1)
	var elements []string
	for _, order := range slices.Sorted(maps.Keys(byOrder)) {
		elements = append(elements, byOrder[order])
	}
	if list := strings.Join(elements, ","); !isWhole || list == whole {
		return list, nil
	}
	return "", fmt.Errorf("%[1]s and %[1]s__0 and so on are one setting with different values: keep one form", f.label())
}

// spoken is how a message names a spelling: as documented, unless the name itself is another one.
func (f field) spoken(s spelling) string {
	if strings.EqualFold(s.name, f.label()) {
		return f.label()
	}
	return s.name
}

func differ(spelt []spelling, order int) error {
	var names []string
	for _, s := range spelt {
		if s.order == order {
			names = append(names, s.name)
		}
	}
	slices.Sort(names)
	return fmt.Errorf("%s are one setting with different values: keep one of them", strings.Join(slices.Compact(names), " and "))
}
