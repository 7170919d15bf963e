package infra

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// functions are the functions and namespaces of Bicep that the templates use.
var functions = strings.Fields(`cidrSubnet concat contains description empty environment export filter flatten guid items join length loadJsonContent map
	range replace resourceGroup resourceId sealed split startsWith string subscription subscriptionResourceId take tenant toLower toObject union uniqueString
	allowed maxLength maxValue minLength minValue`)

// checkNames finds names that lead nowhere: what a compiler would refuse.
func checkNames(templates map[string]*template) (findings []string) {
	for _, t := range templates {
		if strings.HasSuffix(t.file, ".bicepparam") {
			findings = append(findings, checkParameterFile(templates, t)...)
			continue
		}
		findings = append(findings, t.checkIdentifiers(templates)...)
		findings = append(findings, t.checkLoops()...)
		for _, m := range t.modules {
			findings = append(findings, t.checkModule(templates, m)...)
		}
	}
	return findings
}

// checkIdentifiers finds names that are not declared, and declarations that nobody uses.
func (t *template) checkIdentifiers(templates map[string]*template) (findings []string) {
	known, used := map[string]bool{}, map[string]bool{}
	for _, f := range functions {
		known[f] = true
	}
	for _, declared := range []map[string]*node{t.params, t.vars, t.types} {
		for name := range declared {
			known[name] = true
		}
	}
	for name, from := range t.imports {
		known[name] = true
		file := templates[path.Join(path.Dir(t.file), from)]
		if file == nil || file.vars[name] == nil && file.types[name] == nil {
			findings = append(findings, fmt.Sprintf("%s: %s is not in %s", t.file, name, from))
		}
	}
	for _, d := range slices.Concat(t.resources, t.modules) {
		known[d.symbol] = true
	}
	t.root.walk(func(n *node) bool {
		if n.Type == "lambda_expression" || n.Type == "for_statement" {
			for _, name := range bound(n) {
				known[name] = true
			}
		}
		return true
	})
	visit(t.root, func(n *node) {
		if used[n.Text] = true; !known[n.Text] {
			findings = append(findings, fmt.Sprintf("%s:%d: %s is not declared", t.file, n.Line, n.Text))
		}
	})
	for name := range t.params {
		if !used[name] {
			findings = append(findings, fmt.Sprintf("%s: the parameter %s is not used", t.file, name))
		}
	}
	for name, v := range t.vars {
		if !used[name] && !strings.Contains(t.root.Text, "@export()\nvar "+name) {
			findings = append(findings, fmt.Sprintf("%s:%d: the variable %s is not used", t.file, v.Line, name))
		}
	}
	return findings
}

// bound are the names that a lambda or a loop brings.
func bound(n *node) (names []string) {
	for _, c := range n.Children[:1] {
		c.walk(func(c *node) bool {
			if len(c.Children) == 0 {
				names = append(names, c.Text)
			}
			return true
		})
	}
	return names
}

// visit hands the uses of names in n to use: identifiers that are neither declarations, nor keys, nor properties.
func visit(n *node, use func(*node)) {
	switch n.Type {
	case "decorators", "import_functionality", "target_scope_assignment", "comment":
		return
	case "type_declaration":
		return // of settings.bicep, whose types are plain
	case "identifier":
		use(n)
		return
	case "resource_expression":
		use(n.Children[0])
		return
	}
	for i, c := range n.Children {
		declared := i == 0 && (strings.HasSuffix(n.Type, "_declaration") || n.Type == "object_property" && c.Type == "identifier")
		if !declared && c.Type != "property_identifier" {
			visit(c, use)
		}
	}
}

// checkLoops finds loops where Bicep takes none: anywhere but as the value of a variable or output, or in a resource's or module's properties.
func (t *template) checkLoops() (findings []string) {
	for name, v := range t.vars {
		v.last().walk(func(n *node) bool {
			if n.Type == "for_statement" && n != v.last() {
				findings = append(findings, fmt.Sprintf("%s:%d: a loop inside the variable %s: use map", t.file, n.Line, name))
			}
			return true
		})
	}
	return findings
}

// checkModule finds arguments that a module does not take, and parameters that it does not get.
func (t *template) checkModule(templates map[string]*template, m declaration) (findings []string) {
	where := fmt.Sprintf("%s:%d: module %s", t.file, m.line, m.symbol)
	called := templates[path.Join(path.Dir(t.file), m.of)]
	if called == nil {
		return []string{where + ": there is no file " + m.of}
	}
	given := map[string]bool{}
	if params := m.body.property("params"); params != nil {
		for _, p := range params.Children {
			name := p.Children[0].Text
			if given[name] = true; called.params[name] == nil {
				findings = append(findings, fmt.Sprintf("%s: %s has no parameter %s", where, m.of, name))
			}
		}
	}
	for name, p := range called.params {
		if !given[name] && p.last().Type == "type" && !strings.HasSuffix(p.Text, "?") {
			findings = append(findings, fmt.Sprintf("%s: %s needs the parameter %s", where, m.of, name))
		}
	}
	t.root.walk(func(n *node) bool {
		for _, reference := range []string{m.symbol + ".outputs.", m.symbol + "!.outputs."} {
			if output, ok := strings.CutPrefix(n.Text, reference); ok && n.Type == "member_expression" && !called.outputs[output] {
				findings = append(findings, fmt.Sprintf("%s:%d: %s has no output %s", t.file, n.Line, m.of, output))
			}
		}
		return true
	})
	return findings
}

// checkParameterFile finds parameters that the template does not have, and those it needs and does not get.
func checkParameterFile(templates map[string]*template, t *template) (findings []string) {
	main := templates["main.bicep"]
	if main == nil {
		return []string{t.file + ": there is no main.bicep"}
	}
	for name, v := range t.vars {
		switch {
		case main.params[name] == nil:
			findings = append(findings, fmt.Sprintf("%s:%d: main.bicep has no parameter %s", t.file, v.Line, name))
		case name == "settings":
			for _, p := range v.last().Children {
				if p.Type == "object_property" && !slices.Contains(settingsOf(templates["settings.bicep"]), p.Children[0].Text) {
					findings = append(findings, fmt.Sprintf("%s:%d: there is no setting %s", t.file, p.Line, p.Children[0].Text))
				}
			}
		}
	}
	for name, p := range main.params {
		if t.vars[name] == nil && p.last().Type == "type" {
			findings = append(findings, fmt.Sprintf("%s: main.bicep needs the parameter %s", t.file, name))
		}
	}
	return findings
}
