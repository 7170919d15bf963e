package fhirservice

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// The mark of a deleted version in exported and imported NDJSON.
const (
	deletedStateURL   = "http://azurehealthcareapis.com/data-extensions/deleted-state"
	deletedStateValue = "soft-deleted"
	deletedExtension  = `{"url":"` + deletedStateURL + `","valueString":"` + deletedStateValue + `"}`
)

// instantLayout is how the service writes lastUpdated: zeros at the end of the fraction are left out, UTC is +00:00.
const instantLayout = "2006-01-02T15:04:05.999-07:00"

func formatInstant(t time.Time) string { return t.UTC().Format(instantLayout) }

// tombstone is all that is left of a resource that was deleted through the API.
func tombstone(typ, id string) []byte {
	return []byte(`{"resourceType":"` + typ + `","id":"` + id + `"}`)
}

// stamp returns raw with the id, versionId and lastUpdated of v. Every other byte stays as it is, but for line breaks between tokens, which would break NDJSON.
// A lastUpdated in raw that is the same instant keeps its spelling.
func stamp(raw []byte, v Version) ([]byte, error) {
	if !gjson.ValidBytes(raw) {
		return nil, errors.New("not valid JSON")
	}
	found := gjson.GetManyBytes(raw, "resourceType", "id", "meta.versionId", "meta.lastUpdated")
	if found[0].String() != v.Type {
		return nil, fmt.Errorf("resourceType is %q, want %s", found[0].String(), v.Type)
	}
	if bytes.ContainsAny(raw, "\r\n") {
		var one bytes.Buffer
		if err := json.Compact(&one, raw); err != nil {
			return nil, fmt.Errorf("compact: %w", err)
		}
		raw = one.Bytes()
	}
	type change struct{ path, value string }
	changes := make([]change, 0, 3)
	if found[1].Type != gjson.String || found[1].Str != v.ID {
		changes = append(changes, change{"id", v.ID})
	}
	if found[2].Type != gjson.String || found[2].Str != v.VersionID {
		changes = append(changes, change{"meta.versionId", v.VersionID})
	}
	if t, spelled, err := parseInstant(found[3].Str); err != nil || spelled != found[3].Str || !t.Equal(v.LastUpdated) {
		changes = append(changes, change{"meta.lastUpdated", formatInstant(v.LastUpdated)})
	}
	for _, c := range changes {
		var err error
		if raw, err = sjson.SetBytes(raw, c.path, c.value); err != nil {
			return nil, fmt.Errorf("set %s: %w", c.path, err)
		}
	}
	return raw, nil
}

// parseInstant reads a FHIR instant, cuts it to milliseconds, and returns its spelling after the cut with the offset kept.
func parseInstant(s string) (time.Time, string, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, "", fmt.Errorf("%q is not an instant", s)
	}
	if dot := strings.IndexByte(s, '.'); dot > 0 {
		end := dot + 1
		for end < len(s) && s[end] >= '0' && s[end] <= '9' {
			end++
		}
		if end-dot > 4 {
			s = s[:dot+4] + s[end:]
		}
	}
	return t.Truncate(time.Millisecond), s, nil
}

// markDeleted adds the soft-deleted extension, as an export does with a deleted version.
func markDeleted(raw []byte) ([]byte, error) {
	marked, err := sjson.SetRawBytes(raw, "meta.extension.-1", []byte(deletedExtension))
	if err != nil {
		return nil, fmt.Errorf("mark as deleted: %w", err)
	}
	return marked, nil
}

// stripDeletedMark takes the soft-deleted extension away and says whether it was there.
func stripDeletedMark(raw []byte) ([]byte, bool, error) {
	extensions := gjson.GetBytes(raw, "meta.extension").Array()
	for i, e := range extensions {
		if e.Get("url").Str != deletedStateURL || e.Get("valueString").Str != deletedStateValue {
			continue
		}
		path := fmt.Sprintf("meta.extension.%d", i)
		if len(extensions) == 1 {
			path = "meta.extension"
		}
		stripped, err := sjson.DeleteBytes(raw, path)
		if err != nil {
			return nil, false, fmt.Errorf("strip the deleted mark: %w", err)
		}
		return stripped, true, nil
	}
	return raw, false, nil
}

// sameContent compares what two rows say apart from the version and time that the service gave them.
func sameContent(a, b []byte) bool {
	return bytes.Equal(withoutStamp(a), withoutStamp(b))
}

func withoutStamp(raw []byte) []byte {
	for _, path := range []string{"meta.versionId", "meta.lastUpdated"} {
		if less, err := sjson.DeleteBytes(raw, path); err == nil {
			raw = less
		}
	}
	if m := gjson.GetBytes(raw, "meta"); m.Exists() && m.Raw == "{}" {
		if less, err := sjson.DeleteBytes(raw, "meta"); err == nil {
			raw = less
		}
	}
	return raw
}
