package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// verb is a place in a format where something is filled in.
var verb = regexp.MustCompile(`%(?:\[\d\])?[-+# 0.\d]*[a-zA-Z]`)

// settingVerb is such a place that holds the prefix of a setting.
var settingVerb = regexp.MustCompile(`%(?:\[\d\])?s([A-Z][a-z])`)

// errorTexts are the texts of errors in the handler's source, with … where something is filled in, by the file that has them: those of
// errors.New and fmt.Errorf, of settings' problems, and of the reasons for which windows are held or wait.
func errorTexts(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	root := filepath.Join("..", "handler")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") || d.Name() == "memory.go" { // the twins that tests use
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			for _, text := range textsOf(n) {
				if strings.HasSuffix(filepath.Dir(path), "settings") {
					text = settingVerb.ReplaceAllString(text, "AZURE_$1")
				}
				text = strings.ReplaceAll(verb.ReplaceAllString(strings.ReplaceAll(text, "%%", "\x00"), "…"), "\x00", "%")
				texts[text] = path
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// textsOf are the error texts that a call or an assignment has.
func textsOf(n ast.Node) (texts []string) {
	switch n := n.(type) {
	case *ast.CallExpr:
		switch name := calledName(n.Fun); name {
		case "New", "wrong":
			for _, a := range n.Args {
				texts = append(texts, said(a)...)
			}
		case "Errorf":
			if s := said(n.Args[0]); len(s) == 1 && !strings.Contains(s[0], "%w") {
				texts = append(texts, s...)
			}
		case "Hold":
			texts = append(texts, said(n.Args[0])...)
		}
	case *ast.AssignStmt:
		for i, left := range n.Lhs {
			if s, ok := left.(*ast.SelectorExpr); ok && (s.Sel.Name == "Waiting" || s.Sel.Name == "HeldReason") && i < len(n.Rhs) {
				texts = append(texts, said(n.Rhs[i])...)
			}
		}
	}
	return slices.DeleteFunc(texts, func(s string) bool { return len(s) < 12 || !strings.Contains(s, " ") })
}

// said is the text that an expression makes, with %v where it is not known: a literal, a sum, a call of Sprintf.
func said(e ast.Expr) []string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return []string{s}
		}
	case *ast.BinaryExpr:
		left, right := said(e.X), said(e.Y)
		if left == nil && right == nil {
			return nil
		}
		return []string{strings.Join(left, "") + map[bool]string{true: "%v"}[left == nil] + strings.Join(right, "") + map[bool]string{true: "%v"}[right == nil]}
	case *ast.CallExpr:
		if calledName(e.Fun) == "Sprintf" {
			return said(e.Args[0])
		}
	}
	return nil
}

func calledName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.Ident:
		return e.Name
	}
	return ""
}

var entry = regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")

// Each text has an entry in troubleshooting.md, and each entry is a text that the app can show.
func TestEachErrorIsExplained(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, m := range entry.FindAllStringSubmatch(string(page), -1) {
		if documented[m[1]] {
			t.Errorf("troubleshooting.md has %q twice", m[1])
		}
		documented[m[1]] = true
	}
	texts := errorTexts(t)
	for _, text := range slices.Sorted(maps.Keys(texts)) {
		if !documented[text] {
			t.Errorf("%s: troubleshooting.md does not explain %q", texts[text], text)
		}
	}
	for _, text := range slices.Sorted(maps.Keys(documented)) {
		if texts[text] == "" {
			t.Errorf("troubleshooting.md has %q, which is not in the code", text)
		}
	}
}
