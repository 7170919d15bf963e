package ledger

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables"
)

const (
	// maxText is where texts that come from outside are cut, in characters. A string property holds 32,768 UTF-16 units
	// at most; the whole text is in the log.
	maxText = 8_000
	// maxJSON is the bound of a JSON column, in UTF-16 units. JSON cannot be cut, so what is longer is refused.
	maxJSON = 32_700
	// maxProperties is below the 252 that an entity may have; the storage emulator enforces none.
	maxProperties = 200

	instantLayout = "2006-01-02T15:04:05.000Z"
)

// FormatInstant writes t as the original does: UTC, milliseconds, Z. The zero time is "".
func FormatInstant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(instantLayout)
}

// ParseInstant reads what FormatInstant wrote, and any other RFC 3339 instant. "" is the zero time.
func ParseInstant(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no instant: %w", s, err)
	}
	return t.UTC(), nil
}

// A column binds one property of an entity to one field of a row, both ways, so that reading and writing cannot drift
// apart.
type column struct {
	name  string
	read  func(v any) error
	write func() (any, error) // nil: the property is left out
}

func textColumn(name string, field *string) column {
	return column{name,
		func(v any) error { return as(v, field) },
		func() (any, error) { return cutText(*field), nil }}
}

func boolColumn(name string, field *bool) column {
	return column{name,
		func(v any) error { return as(v, field) },
		func() (any, error) { return *field, nil }}
}

func int32Column(name string, field *int) column {
	return column{name,
		func(v any) error {
			switch n := v.(type) {
			case int32:
				*field = int(n)
			case aztables.EDMInt64:
				*field = int(n)
			default:
				return fmt.Errorf("want Int32, found %T", v)
			}
			return nil
		},
		func() (any, error) {
			if int64(*field) != int64(int32(*field)) {
				return nil, fmt.Errorf("%d does not fit an Int32", *field)
			}
			return int32(*field), nil
		}}
}

func int64Column(name string, field *int64) column {
	return column{name,
		func(v any) error {
			switch n := v.(type) {
			case int32:
				*field = int64(n)
			case aztables.EDMInt64:
				*field = int64(n)
			default:
				return fmt.Errorf("want Int64, found %T", v)
			}
			return nil
		},
		func() (any, error) { return aztables.EDMInt64(*field), nil }}
}

// instantColumn is a String that holds an instant, as the original keeps Since and Till.
func instantColumn(name string, field *time.Time) column {
	return column{name,
		func(v any) (err error) {
			var s string
			if err = as(v, &s); err == nil {
				*field, err = ParseInstant(s)
			}
			return err
		},
		func() (any, error) { return FormatInstant(*field), nil }}
}

// timeColumn is a DateTime. A zero time is left out: the type has no empty value.
func timeColumn(name string, field *time.Time) column {
	return column{name,
		func(v any) error {
			t, ok := v.(aztables.EDMDateTime)
			if !ok {
				return fmt.Errorf("want DateTime, found %T", v)
			}
			*field = time.Time(t).UTC()
			return nil
		},
		func() (any, error) {
			if field.IsZero() {
				return nil, nil
			}
			return aztables.EDMDateTime(field.UTC()), nil
		}}
}

// jsonColumn is a String that holds JSON. The empty string reads as the zero value.
func jsonColumn[T any](name string, field *T, empty func(T) bool) column {
	return column{name,
		func(v any) error {
			var s string
			if err := as(v, &s); err != nil || s == "" {
				return err
			}
			return json.Unmarshal([]byte(s), field)
		},
		func() (any, error) {
			if empty(*field) {
				return "", nil
			}
			var text strings.Builder
			e := json.NewEncoder(&text)
			e.SetEscapeHTML(false) // a text with < would take six times its room
			if err := e.Encode(*field); err != nil {
				return nil, err
			}
			s := strings.TrimSuffix(text.String(), "\n")
			if len(s) <= maxJSON { // bytes: cheap, and never too few
				return s, nil
			}
			if n := len(utf16.Encode([]rune(s))); n > maxJSON {
				return nil, fmt.Errorf("%d characters of JSON, more than the %d that a property holds", n, maxJSON)
			}
			return s, nil
		}}
}

func as[T any](v any, field *T) error {
	t, ok := v.(T)
	if !ok {
		return fmt.Errorf("want %T, found %T", *field, v)
	}
	*field = t
	return nil
}

func cutText(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxText { // bytes: cheap, and never too short
		return s
	}
	r := []rune(s)
	if len(r) <= maxText {
		return s
	}
	return string(r[:maxText]) + " ... (cut)"
}

// properties is an entity without its keys.
type properties map[string]any

// readColumns fills the fields of cols from p. Columns that p does not have stay as they are: a row of the original
// reads as if ours were empty.
func readColumns(cols []column, p properties) error {
	for _, c := range cols {
		v, there := p[c.name]
		if !there || v == nil {
			continue
		}
		if err := c.read(v); err != nil {
			return fmt.Errorf("column %s: %w", c.name, err)
		}
	}
	return nil
}

// writeColumns returns kept (what was read, unknown columns included) with the fields of cols on top.
func writeColumns(cols []column, kept properties) (properties, error) {
	p := make(properties, len(kept)+len(cols))
	for name, v := range kept {
		p[name] = v
	}
	for _, c := range cols {
		v, err := c.write()
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.name, err)
		}
		delete(p, c.name)
		if v != nil {
			p[c.name] = v
		}
	}
	if len(p) > maxProperties {
		return nil, fmt.Errorf("%d columns, more than the %d allowed", len(p), maxProperties)
	}
	return p, nil
}
