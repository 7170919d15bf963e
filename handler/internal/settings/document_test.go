package settings

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write docs/settings.md anew; go generate does it")

// TestSettingsAreDocumented keeps docs/settings.md what the struct says.
func TestSettingsAreDocumented(t *testing.T) {
	t.Parallel()
	want, err := document()
	if err != nil {
		t.Fatal(err)
	}
	keepCurrent(t, filepath.Join("..", "..", "..", "docs", "settings.md"), want)
}

// keepCurrent compares a generated file with what it should be, or writes it anew.
func keepCurrent(t *testing.T, file string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the settings are: run go generate ./handler/internal/settings", file)
	}
}

// document writes docs/settings.md: the comments of the struct's fields and their tags.
func document() ([]byte, error) {
	comments, err := fieldComments("settings.go")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString(`# App settings

<!-- Made from handler/internal/settings/settings.go by go generate; a test keeps it current. -->

Every setting is an app setting of the function app named ` + "`AZURE_<name>`" + `, in any case. An empty one counts as not set. A list has commas, or one setting
for each element: ` + "`AZURE_ResourceTypes__0`, `AZURE_ResourceTypes__1`" + `. A name that begins with ` + "`AZURE_`" + ` and is neither below nor Azure's own stops the
migration, and so does a value that cannot be: the log names all of them at once. *Pinned* settings must not change half-way: a difference stops
planning until it is set back, or accepted (` + "`POST /api/AcceptSettings`" + `).

The schedules of the timers, ` + "`ExportTimerSchedule`, `ImportTimerSchedule` and `VerifyTimerSchedule`" + `, have no prefix: the Functions host reads them.
`)
	for _, f := range fields() {
		if section := f.tag("section"); section != "" {
			fmt.Fprintf(&b, "\n## %s\n\n| Setting | Default | Values | Meaning |\n|---|---|---|---|\n", section)
		}
		comment := comments[f.name]
		if comment == "" {
			return nil, fmt.Errorf("%s has no comment", f.name)
		}
		if pinned := f.tag("pinned"); pinned == "always" {
			comment += " *Pinned.*"
		} else if pinned != "" {
			comment += " *Pinned " + pinned + ".*"
		}
		if alias := f.tag("alias"); alias != "" {
			comment += " Also read as `" + alias + "`."
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.name, f.defaultText(), f.valuesText(), comment)
	}
	b.WriteString("\n## Accepted and ignored\n\nNames of the [original](migration-guide.md) that have no effect here; the handler says so once, when it starts.\n\n")
	for _, w := range withoutEffect {
		fmt.Fprintf(&b, "- `%s`: %s\n", w.name, w.why)
	}
	b.WriteString(`
## Azure's own

- ` + "`AZURE_AUTHORITY_HOST`" + `: where tokens are asked for, such as ` + "`https://login.microsoftonline.us/`" + ` in Azure Government. It holds for both kinds of credential.
- ` + "`AZURE_CLIENT_ID`" + `: the client id of a user-assigned managed identity. It has nothing to do with ` + "`AZURE_ClientId`" + `.
- All other variables of azidentity's DefaultAzureCredential, of the Azure CLI and of the Functions host are left alone.
`)
	return b.Bytes(), nil
}

func (f field) defaultText() string {
	switch value := f.tag("default"); {
	case f.tag("unset") != "":
		return f.tag("unset")
	case value != "":
		return "`" + value + "`"
	case f.typ.Kind() == reflect.Bool:
		return "`false`"
	default:
		return "none"
	}
}

func (f field) valuesText() string {
	zero := reflect.Zero(f.typ).Interface()
	switch {
	case f.tag("bounds") != "":
		return f.tag("bounds")
	case f.tag("max") != "":
		return f.tag("min") + " to " + f.tag("max")
	case f.typ.Kind() == reflect.Bool:
		return "`true`, `false`"
	case f.isList():
		return "list"
	case strings.HasSuffix(f.name, "Uri"):
		return "URL"
	}
	switch v := zero.(type) {
	case Credential:
		return quoted(optionNames(v))
	case ChunkUnit:
		return quoted(optionNames(v))
	case ImportMode:
		return quoted(optionNames(v))
	case Preflight:
		return quoted(optionNames(v))
	case Secret:
		return "secret"
	case string:
		return "text"
	case time.Time:
		return "date or instant"
	}
	panic("the values of " + f.name + " are not known here")
}

func quoted(names []string) string { return "`" + strings.Join(names, "`, `") + "`" }

// fieldComments are the comments of the fields of Settings, on one line each.
func fieldComments(file string) (map[string]string, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	comments := make(map[string]string)
	ast.Inspect(parsed, func(n ast.Node) bool {
		if f, ok := n.(*ast.Field); ok && f.Doc != nil {
			comments[f.Names[0].Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
		}
		return true
	})
	return comments, nil
}
