package settings

import (
	"bytes"
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// notChosen are the settings that infra/main.bicep has no parameter for, and why.
var notChosen = map[string]string{
	"SourceUri":                 "follows from the source's resource id",
	"DestinationUri":            "follows from the destination's resource id",
	"StagingStorageUri":         "follows from the storage account",
	"BlobStorageUri":            "follows from the storage account",
	"ExportStorageUri":          "follows from the storage account",
	"StagingStorageAccountName": "follows from the storage account",
	"ClientSecret":              "a Key Vault reference",
	"SourceCredential":          "none is for one machine",
	"DestinationCredential":     "none is for one machine",
	"StorageConnectionString":   "for an emulator",
	"FunctionTimeoutMinutes":    "goes with host.json, which is in the package",
}

// TestSettingsAreParameters keeps infra/settings.bicep what the struct says.
func TestSettingsAreParameters(t *testing.T) {
	t.Parallel()
	want, err := parameters()
	if err != nil {
		t.Fatal(err)
	}
	keepCurrent(t, filepath.Join("..", "..", "..", "infra", "settings.bicep"), want)
}

// What the templates make of a parameter, the handler reads: Azure Resource Manager writes booleans as True and False, numbers in digits.
func TestParametersAreRead(t *testing.T) {
	t.Parallel()
	set, err := Load([]string{
		"AZURE_SourceUri=https://a.example", "AZURE_DestinationUri=https://b.example",
		"AZURE_StagingStorageUri=https://c.table.example", "AZURE_BlobStorageUri=https://c.blob.example", "AZURE_StagingStorageAccountName=c",
		"AZURE_ExportWithHistory=True", "AZURE_MigrateSearchParameters=False", "AZURE_ChunkLimit=1000000000000", "AZURE_StartDate=2019-01-01",
	})
	if err != nil {
		t.Fatal(err)
	}
	if !set.ExportWithHistory || set.MigrateSearchParameters || set.ChunkLimit != 1e12 || set.StartDate.Year() != 2019 {
		t.Errorf("read: %+v", set)
	}
}

// parameters writes infra/settings.bicep: a type with a property for each setting that a deployer chooses.
func parameters() ([]byte, error) {
	comments, err := fieldComments("settings.go")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(`// The app settings that a deployer chooses. Made from handler/internal/settings/settings.go by go generate; a test keeps it current.

@export()
@sealed()
@description('App settings, without their prefix AZURE_. A list is one text with commas.')
type migrationSettings = {`)
	left := len(notChosen)
	for _, f := range fields() {
		if _, ok := notChosen[f.name]; ok {
			left--
			continue
		}
		fmt.Fprintf(&b, "\n  @description('%s Default: %s.')\n", bicepText(comments[f.name]), bicepText(f.defaultText()))
		if low, high := f.tag("min"), f.tag("max"); low != "" && high != "" {
			fmt.Fprintf(&b, "  @minValue(%s)\n  @maxValue(%s)\n", low, high)
		}
		fmt.Fprintf(&b, "  %s: %s\n", f.name, f.bicepType())
	}
	b.WriteString("}\n")
	if left != 0 {
		return nil, fmt.Errorf("of %v, %d are no settings", notChosen, left)
	}
	return b.Bytes(), nil
}

var notPlain = regexp.MustCompile(`[^a-zA-Z0-9]`)

// bicepType is what a parameter of the setting may hold. Bicep knows no fractions and no instants: they are texts there.
func (f field) bicepType() string {
	switch f.typ.Kind() {
	case reflect.Bool:
		return "bool?"
	case reflect.Int, reflect.Int64:
		return "int?"
	}
	if values := f.valuesText(); strings.Contains(values, "`, `") {
		var options []string
		for option := range strings.SplitSeq(values, ", ") {
			options = append(options, "'"+notPlain.ReplaceAllString(option, "")+"'")
		}
		return "(" + strings.Join(options, " | ") + ")?"
	}
	return "string?"
}

// bicepText escapes a text for a string in single quotes.
func bicepText(text string) string {
	return strings.NewReplacer(`\`, `\\`, `'`, `\'`, "${", `\${`).Replace(text)
}
