package settings

import (
	"fmt"
	"log/slog"
	"reflect"
	"time"
)

// Redacted is every setting by its name, as text, for logs and pages. The connection string is only "set" or empty.
func (s Settings) Redacted() map[string]string {
	all := make(map[string]string)
	value := reflect.ValueOf(s)
	for i, f := range fields() {
		all[f.name] = shown(value.Field(i).Interface())
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
	at, isTime := value.(time.Time)
	switch {
	case !isTime:
		return fmt.Sprint(value)
	case at.IsZero():
		return ""
	default:
		return at.Format(time.RFC3339Nano)
	}
}
