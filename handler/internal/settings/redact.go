package settings

import (
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"time"
)

// Redacted is every setting by its name, as text, for logs and pages. Secrets are only "set" or empty, lists have
// commas.
func (s Settings) Redacted() map[string]string {
	all := make(map[string]string)
	value := reflect.ValueOf(s)
	for _, f := range fields() {
		all[f.name] = shown(value.Field(f.index).Interface())
	}
	return all
}

// LogValue shows the settings in a log line, in the order of the struct, without secrets.
func (s Settings) LogValue() slog.Value {
	texts := s.Redacted()
	var attrs []slog.Attr
	for _, f := range fields() {
		attrs = append(attrs, slog.String(f.name, texts[f.name]))
	}
	return slog.GroupValue(attrs...)
}

func shown(value any) string {
	switch v := value.(type) {
	case time.Time:
		if v.IsZero() {
			return ""
		}
		return v.Format(time.RFC3339Nano)
	case []string:
		return strings.Join(v, ",")
	default:
		return fmt.Sprint(v)
	}
}
