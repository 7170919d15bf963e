package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Arrows point down only. What a package of the handler may import of the others is written here, and nothing else is
// allowed, but the names of events.
var mayImport = map[string][]string{
	"handler":                    {"handler/internal/access", "handler/internal/cutover", "handler/internal/routes", "handler/internal/migration", "handler/internal/verify", "handler/internal/status", "handler/internal/fhir", "handler/internal/ledger", "handler/internal/staging", "handler/internal/settings"},
	"handler/internal/access":    {"handler/internal/fhir", "handler/internal/ledger", "handler/internal/staging", "handler/internal/settings"},
	"handler/internal/cutover":   {"handler/internal/fhir", "handler/internal/ledger", "handler/internal/staging", "handler/internal/settings", "handler/internal/verify"},
	"handler/internal/routes":    {"handler/internal/access", "handler/internal/cutover", "handler/internal/migration", "handler/internal/verify", "handler/internal/status", "handler/internal/ledger"},
	"handler/internal/migration": {"handler/internal/fhir", "handler/internal/ledger", "handler/internal/preflight", "handler/internal/staging", "handler/internal/settings"},
	"handler/internal/verify":    {"handler/internal/fhir", "handler/internal/ledger", "handler/internal/staging", "handler/internal/settings"},
	"handler/internal/preflight": nil,
	"handler/internal/event":     nil,
	"handler/internal/status":    {"handler/internal/ledger", "handler/internal/settings"},
	"handler/internal/fhir":      nil,
	"handler/internal/ledger":    nil,
	"handler/internal/staging":   nil,
	"handler/internal/settings":  nil,
}

// Who alone may import a library.
var owners = map[string]string{
	"github.com/Azure/azure-sdk-for-go/sdk/data/aztables":  "handler/internal/ledger",
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob": "handler/internal/staging",
	"github.com/go-chi/chi/v5":                             "handler/internal/routes",
	"github.com/kelseyhightower/envconfig":                 "handler/internal/settings",
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity":     "handler",
}

type goPackage struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func TestArrowsPointDown(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "fhirmigration/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		path := strings.TrimPrefix(p.ImportPath, "fhirmigration/")
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if strings.HasPrefix(path, "sandbox") && strings.HasPrefix(imported, "fhirmigration/handler") {
				t.Errorf("%s, or a test of it, imports %s: the sandbox judges the handler and shares nothing with it", path, imported)
			}
		}
		for _, imported := range p.Imports {
			if strings.HasPrefix(path, "handler") {
				checkLibrary(t, path, imported)
			}
			own, ok := strings.CutPrefix(imported, "fhirmigration/")
			if !ok {
				continue
			}
			switch allowed, listed := mayImport[path]; {
			case strings.HasPrefix(path, "handler") && (!listed || !slices.Contains(append(allowed, "handler/internal/event"), own)):
				t.Errorf("%s imports %s", path, own)
			}
		}
		seen++
	}
	if seen < len(mayImport) {
		t.Errorf("%d packages listed", seen)
	}
}

func checkLibrary(t *testing.T, path, imported string) {
	t.Helper()
	for library, owner := range owners {
		if (imported == library || strings.HasPrefix(imported, library+"/")) && path != owner {
			t.Errorf("%s imports %s, which only %s may", path, imported, owner)
		}
	}
}
