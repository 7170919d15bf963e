package functionshost

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// LoadSettings reads the app settings from a local.settings.json: its "Values", names in the case in which they are written.
// Encrypted files are refused, and so is a value that is no string, by name.
func LoadSettings(file string) (map[string]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read app settings: %w", err)
	}
	var content struct {
		IsEncrypted bool
		Values      map[string]json.RawMessage
	}
	if err := json.Unmarshal(text, &content); err != nil {
		return nil, fmt.Errorf("read app settings: %s: %w", file, err)
	}
	if content.IsEncrypted {
		return nil, fmt.Errorf("read app settings: %s is encrypted: run `func settings decrypt`", file)
	}
	settings := make(map[string]string, len(content.Values))
	for name, raw := range content.Values {
		var value *string
		if err := json.Unmarshal(raw, &value); err != nil || value == nil {
			return nil, fmt.Errorf("read app settings: %s: %s is %s: write it as a string, in quotes", file, name, raw)
		}
		settings[name] = *value
	}
	return settings, nil
}

// lookup finds an app setting whatever its case, as .NET's configuration does; an exact match goes first.
func lookup(settings map[string]string, name string) (string, bool) {
	if value, ok := settings[name]; ok {
		return value, true
	}
	for _, candidate := range sortedNames(settings) {
		if strings.EqualFold(candidate, name) {
			return settings[candidate], true
		}
	}
	return "", false
}

// hasStorage says whether the host has a storage account: by connection string, or by name or blob address for an identity.
func hasStorage(settings map[string]string) bool {
	for _, name := range []string{"AzureWebJobsStorage", "AzureWebJobsStorage__accountName", "AzureWebJobsStorage__blobServiceUri"} {
		if value, _ := lookup(settings, name); value != "" {
			return true
		}
	}
	return false
}

// sortedNames makes what depends on the order of settings the same every time.
func sortedNames(settings map[string]string) []string {
	names := make([]string, 0, len(settings))
	for name := range settings {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// reference is a %Name% in a text.
var reference = regexp.MustCompile(`%([^%]+)%`)

// resolveSettings replaces each %Setting% of a binding's property by the app setting. One that is missing is an error, as for the host's name resolver.
func resolveSettings(text string, settings map[string]string) (string, error) {
	var missing []string
	resolved := reference.ReplaceAllStringFunc(text, func(ref string) string {
		value, ok := lookup(settings, strings.Trim(ref, "%"))
		if !ok {
			missing = append(missing, ref)
		}
		return value
	})
	if missing != nil {
		return "", fmt.Errorf("%s does not resolve to a value: add the app setting", strings.Join(missing, ", "))
	}
	return resolved, nil
}

// expandVariables replaces each %NAME% that the environment knows, as .NET's Environment.ExpandEnvironmentVariables does; others stay.
func expandVariables(text string, environ map[string]string) string {
	return reference.ReplaceAllStringFunc(text, func(ref string) string {
		if value, ok := environ[strings.Trim(ref, "%")]; ok {
			return value
		}
		return ref
	})
}
