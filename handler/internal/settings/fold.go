package settings

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// prefix is what every setting's name begins with in the environment.
const prefix = "AZURE_"

// field is one setting: its name as a Go field and as documented, and the type it is read into.
type field struct {
	name string // SourceUri
	typ  reflect.Type
}

// variable is the name that envconfig looks up.
func (f field) variable() string { return strings.ToUpper(prefix + f.name) }

// label is how messages name the setting.
func (f field) label() string { return prefix + f.name }

// problem is what is wrong with a setting, said so that an operator can mend it.
type problem struct {
	setting string // the field's name
	text    string
}

// fields lists the settings in the order of the struct.
func fields() []field {
	t := reflect.TypeFor[Settings]()
	all := make([]field, t.NumField())
	for i := range all {
		all[i] = field{name: t.Field(i).Name, typ: t.Field(i).Type}
	}
	return all
}

// fold finds the value of every setting in environ, whatever the case of its name. An empty value counts as not
// set: deployment templates write "" for what they leave out. The result is keyed by field.variable and
// holds only what is set and can be read; everything else is a problem.
func fold(environ []string) (map[string]string, []problem) {
	spelt := make(map[string][]string) // upper-cased name -> "name=value" as found
	for _, entry := range environ {
		if name, _, ok := strings.Cut(entry, "="); ok {
			upper := strings.ToUpper(name)
			spelt[upper] = append(spelt[upper], entry)
		}
	}
	values := make(map[string]string)
	var problems []problem
	for _, f := range fields() {
		entries := spelt[f.variable()]
		if len(entries) == 0 {
			continue
		}
		raw, err := agreed(entries)
		if err != nil {
			problems = append(problems, problem{f.name, err.Error()})
			continue
		}
		if raw == "" {
			continue
		}
		value, err := readable(f.typ, raw)
		if err != nil {
			problems = append(problems, problem{f.name, fmt.Sprintf("%s is %q: %v", f.label(), raw, err)})
			continue
		}
		values[f.variable()] = value
	}
	return values, problems
}

// agreed is the one value that all spellings of a name have. The values are not shown: one may be a secret.
func agreed(entries []string) (string, error) {
	var names []string
	var first string
	differ := false
	for i, entry := range entries {
		name, value, _ := strings.Cut(entry, "=")
		value = strings.TrimSpace(value)
		if i == 0 {
			first = value
		}
		differ = differ || value != first
		names = append(names, name)
	}
	if !differ {
		return first, nil
	}
	slices.Sort(names)
	return "", fmt.Errorf("%s are one setting with different values: keep one of them",
		strings.Join(slices.Compact(names), " and "))
}

var wholeNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// readable rewrites a value into what envconfig reads for a field of type t. envconfig would take 010 as eight,
// 1_000 and 0x10 as numbers, and refuse a plain date.
func readable(t reflect.Type, value string) (string, error) {
	switch {
	case t == reflect.TypeFor[time.Time]():
		at, err := instant(value)
		if err != nil {
			return "", err
		}
		return at.Format(time.RFC3339Nano), nil
	case t.Kind() == reflect.Int || t.Kind() == reflect.Int64:
		if !wholeNumber.MatchString(value) {
			return "", errors.New("write a whole number in plain decimal digits")
		}
	case t.Kind() == reflect.Float64:
		if _, err := strconv.ParseFloat(value, 64); err != nil {
			return "", errors.New("write a number such as 2 or 0.5")
		}
	case t.Kind() == reflect.Bool:
		value = strings.ToLower(value)
		if _, err := strconv.ParseBool(value); err != nil {
			return "", errors.New("write true or false")
		}
	}
	return value, nil
}

// instant reads a FHIR date or instant; a date, also one without day or month, is its first midnight in UTC.
func instant(value string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly, "2006-01", "2006"} {
		at, err := time.Parse(layout, value)
		if err != nil {
			continue
		}
		if !at.Equal(at.Truncate(time.Millisecond)) {
			return time.Time{}, errors.New("give at most milliseconds, as in 2024-01-31T00:00:00.000Z")
		}
		return at.UTC(), nil
	}
	return time.Time{}, errors.New("write a date such as 2024-01-31, or an instant with its zone such as 2024-01-31T00:00:00Z")
}
