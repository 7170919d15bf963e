package compare

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
)

// content finds the first difference between two JSON texts, as "path: this at the source, that at the destination"; ""
// when there is none. The order of keys and the space between tokens do not matter; everything else does: the order of
// arrays, and every digit of a number (1.10 is not 1.1).
func content(source, destination []byte) string {
	left, err := decode(source)
	if err != nil {
		return "the source holds no JSON: " + err.Error()
	}
	right, err := decode(destination)
	if err != nil {
		return "the destination holds no JSON: " + err.Error()
	}
	return values("", left, right)
}

// decode reads one JSON value and keeps its numbers as they are written.
func decode(raw []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more follows after the value")
	}
	return value, nil
}

func values(path string, source, destination any) string {
	switch source := source.(type) {
	case map[string]any:
		if destination, ok := destination.(map[string]any); ok {
			return objects(path, source, destination)
		}
	case []any:
		if destination, ok := destination.([]any); ok {
			return arrays(path, source, destination)
		}
	default:
		// Strings, booleans, null and json.Number, whose equality is that of the digits.
		if isScalar(destination) && source == destination {
			return ""
		}
	}
	return describe(path, source, destination)
}

func isScalar(value any) bool {
	switch value.(type) {
	case map[string]any, []any:
		return false
	}
	return true
}

func objects(path string, source, destination map[string]any) string {
	both := maps.Clone(source)
	maps.Copy(both, destination)
	for _, name := range slices.Sorted(maps.Keys(both)) {
		at := name
		if path != "" {
			at = path + "." + name
		}
		left, atSource := source[name]
		right, atDestination := destination[name]
		switch {
		case !atDestination:
			return fmt.Sprintf("%s: %s at the source, absent at the destination", at, short(left))
		case !atSource:
			return fmt.Sprintf("%s: absent at the source, %s at the destination", at, short(right))
		}
		if difference := values(at, left, right); difference != "" {
			return difference
		}
	}
	return ""
}

func arrays(path string, source, destination []any) string {
	for i := range min(len(source), len(destination)) {
		if difference := values(path+"["+strconv.Itoa(i)+"]", source[i], destination[i]); difference != "" {
			return difference
		}
	}
	if len(source) != len(destination) {
		return fmt.Sprintf("%s: %d items at the source, %d at the destination", path, len(source), len(destination))
	}
	return ""
}

func describe(path string, source, destination any) string {
	return fmt.Sprintf("%s: %s at the source, %s at the destination", path, short(source), short(destination))
}

// short is a value as JSON, cut where it gets too long for a line.
func short(value any) string {
	const most = 80
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error() // cannot be: the value was decoded from JSON
	}
	if runes := []rune(string(text)); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return string(text)
}
