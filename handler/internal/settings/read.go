package settings

import (
	"errors"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var wholeNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// readable rewrites a value into what envconfig reads for the field, and two values that mean the same into the same text. envconfig
// would take 010 as eight, 1_000 and 0x10 as numbers, and refuse a plain date.
func (f field) readable(value string) (string, error) {
	switch {
	case f.typ == reflect.TypeFor[time.Time]():
		at, err := instant(value)
		if err != nil {
			return "", err
		}
		return at.Format(time.RFC3339Nano), nil
	case f.typ.Kind() == reflect.Int || f.typ.Kind() == reflect.Int64:
		if !wholeNumber.MatchString(value) {
			return "", errors.New("write a whole number in plain decimal digits")
		}
	case f.typ.Kind() == reflect.Float64:
		if _, err := strconv.ParseFloat(value, 64); err != nil {
			return "", errors.New("write a number such as 2 or 0.5")
		}
	case f.typ.Kind() == reflect.Bool:
		is, err := strconv.ParseBool(strings.ToLower(value))
		if err != nil {
			return "", errors.New("write true or false")
		}
		return strconv.FormatBool(is), nil
	case f.isList():
		return list(value)
	}
	return value, nil
}

// list tidies a comma-separated list.
func list(value string) (string, error) {
	elements := strings.Split(value, ",")
	for i := range elements {
		if elements[i] = strings.TrimSpace(elements[i]); elements[i] == "" {
			return "", errors.New("an element between the commas is empty: take the comma away")
		}
	}
	return strings.Join(elements, ","), nil
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
