// Package infra holds the templates; its tests read them without Azure. They parse every file, resolve every name, and hold the
// templates to what docs/security.md promises.
package infra

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// node is a node of a syntax tree, with the source text that it spans.
type node struct {
	Type     string  `json:"type"`
	Field    string  `json:"field"`
	Text     string  `json:"text"`
	Line     int     `json:"line"`
	Bad      bool    `json:"bad"` // the parser could not read it, or it is missing
	Children []*node `json:"children"`
}

// walk hands n and everything below it to visit, which says whether to go deeper.
func (n *node) walk(visit func(*node) bool) {
	if n == nil || !visit(n) {
		return
	}
	for _, c := range n.Children {
		c.walk(visit)
	}
}

// child is the first child of the type, nil when there is none.
func (n *node) child(types ...string) *node {
	if n == nil {
		return nil
	}
	for _, c := range n.Children {
		if slices.Contains(types, c.Type) {
			return c
		}
	}
	return nil
}

// last is the last child: a declaration's value.
func (n *node) last() *node {
	if n == nil || len(n.Children) == 0 {
		return nil
	}
	return n.Children[len(n.Children)-1]
}

// property is the value under a path of names in an object, nil when it is not there.
func (n *node) property(path ...string) *node {
	for _, name := range path {
		var found *node
		if n != nil && n.Type == "object" {
			for _, p := range n.Children {
				if p.Type == "object_property" && len(p.Children) == 2 && strings.Trim(p.Children[0].Text, "'") == name {
					found = p.Children[1]
				}
			}
		}
		n = found
	}
	return n
}

// text is the source of n, or nothing.
func (n *node) text() string {
	if n == nil {
		return ""
	}
	return n.Text
}

// declaration is a resource or a module.
type declaration struct {
	symbol    string
	of        string // the type and API version, or the module's file
	existing  bool
	condition string // empty: always
	body      *node
	line      int
}

// template is a file.
type template struct {
	file      string
	root      *node
	params    map[string]*node // the declarations
	vars      map[string]*node
	types     map[string]*node
	outputs   map[string]bool
	imports   map[string]string // the files they come from
	resources []declaration
	modules   []declaration
}

// templatesIn are the paths of all templates under folder.
func templatesIn(folder string) (files []string, err error) {
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if ext := filepath.Ext(path); err == nil && (ext == ".bicep" || ext == ".bicepparam") {
			files = append(files, path)
		}
		return err
	})
	return files, err
}

// parse reads templates: their trees by their paths.
func parse(files []string) (map[string]*node, error) {
	out, err := exec.Command("node", append([]string{"parse.mjs"}, files...)...).Output()
	if err != nil {
		return nil, fmt.Errorf("node parse.mjs (npm ci --prefix sandbox brings what it needs): %w", err)
	}
	var trees map[string]*node
	if err := json.Unmarshal(out, &trees); err != nil {
		return nil, err
	}
	return trees, nil
}

// checkSyntax finds what the parser could not read.
func (t *template) checkSyntax() (findings []string) {
	t.root.walk(func(n *node) bool {
		if n.Bad {
			findings = append(findings, fmt.Sprintf("%s:%d: cannot be parsed: %s", t.file, n.Line, strings.TrimSpace(firstLine(n.Text))))
		}
		return true
	})
	return findings
}

// newTemplate reads the declarations of the file that has the name in its folder.
func newTemplate(name string, root *node) *template {
	t := &template{file: name, root: root, params: map[string]*node{}, vars: map[string]*node{}, types: map[string]*node{}, outputs: map[string]bool{}, imports: map[string]string{}}
	root.walk(func(n *node) bool {
		symbol := n.child("identifier").text()
		switch n.Type {
		case "parameter_declaration":
			t.params[symbol] = n
		case "variable_declaration":
			t.vars[symbol] = n
		case "type_declaration":
			t.types[symbol] = n
		case "output_declaration":
			t.outputs[symbol] = true
		case "import_functionality":
			t.imports[symbol] = unquoted(n.child("string"))
		case "resource_declaration":
			t.resources = append(t.resources, declare(n))
		case "module_declaration":
			t.modules = append(t.modules, declare(n))
		}
		return true
	})
	return t
}

func declare(n *node) declaration {
	d := declaration{symbol: n.child("identifier").text(), of: unquoted(n.child("string")), body: n.last(), line: n.Line}
	head, _, _ := strings.Cut(n.Text, "{")
	d.existing = strings.Contains(head, " existing ")
	for d.body != nil && d.body.Type != "object" {
		if d.body.Type == "if_statement" {
			d.condition = d.body.child("parenthesized_expression").text()
		}
		d.body = d.body.last()
	}
	return d
}

func unquoted(n *node) string { return strings.Trim(n.text(), "'") }

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
