package event

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Every line that is logged with an event has one of the list, and every name of the list is logged somewhere.
func TestEventsAreThoseOfTheList(t *testing.T) {
	t.Parallel()
	logged := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			for i, arg := range call.Args {
				if text(arg) != "event" || i+1 == len(call.Args) {
					continue
				}
				switch value := call.Args[i+1].(type) {
				case *ast.BasicLit:
					if name := text(value); !slices.Contains(All(), name) {
						t.Errorf("%s: event %s is not in the list", files.Position(call.Pos()), name)
					} else {
						logged[name] = true
					}
				case *ast.SelectorExpr: // event.Export: the compiler knows whether it is there
					logged[constants[value.Sel.Name]] = true
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{SurfaceCheck, DeepCheck} { // by eventOf of package verify
		logged[name] = true
	}
	for _, name := range All() {
		if !logged[name] {
			t.Errorf("nobody logs the event %s", name)
		}
	}
	if len(constants) != len(All()) {
		t.Errorf("%d constants, %d names in the list", len(constants), len(All()))
	}
}

// constants are the names of this package's constants and what they stand for.
var constants = func() map[string]string {
	all := map[string]string{}
	file, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, 0)
	if err != nil {
		panic(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
			all[spec.Names[0].Name] = text(spec.Values[0])
		}
		return true
	})
	return all
}()

func text(e ast.Expr) string {
	literal, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	s, err := strconv.Unquote(literal.Value)
	if err != nil {
		return ""
	}
	return s
}
