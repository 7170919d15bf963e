package infra

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// logged are the events of the handler and what their lines say, read from its source: a message and properties for each call of the logger.
type logged map[string]*lines

type lines struct {
	messages   []string
	properties []string
}

// readEvents reads the names in handler/internal/event and who logs them.
func readEvents(root string) (logged, error) {
	names := map[string]string{} // by constant
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "handler", "internal", "event", "event.go"), nil, 0)
	if err != nil {
		return nil, err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if c, ok := n.(*ast.ValueSpec); ok && len(c.Values) == 1 {
			if value, ok := stringOf(c.Values[0]); ok {
				names[c.Names[0].Name] = value
			}
		}
		return true
	})
	found := logged{}
	err = filepath.WalkDir(filepath.Join(root, "handler"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				found.add(call, names)
			}
			return true
		})
		return nil
	})
	if err == nil {
		err = found.readSummary(root)
	}
	return found, err
}

// step is what stands for the events in a query of the summaries that timers end with: they have none.
const step = "step"

// readSummary notes what a step's summary says, and of which steps there are some.
func (l logged) readSummary(root string) error {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "handler", "internal", "migration", "migration.go"), nil, 0)
	if err != nil {
		return err
	}
	summary := &lines{}
	ast.Inspect(file, func(n ast.Node) bool {
		if t, ok := n.(*ast.TypeSpec); ok && t.Name.Name == "Summary" {
			for _, field := range t.Type.(*ast.StructType).Fields.List {
				if field.Tag != nil {
					tag, _ := stringOf(field.Tag)
					name, _, _ := strings.Cut(reflect.StructTag(tag).Get("json"), ",")
					summary.properties = append(summary.properties, name)
				}
			}
		}
		return true
	})
	l[step] = summary
	return nil
}

// add notes a call that logs an event: log.Info(message, "event", event.Export, "window", n, ...).
func (l logged) add(call *ast.CallExpr, names map[string]string) {
	at := slices.IndexFunc(call.Args, func(a ast.Expr) bool { s, ok := stringOf(a); return ok && s == "event" })
	if at < 0 || at+1 == len(call.Args) {
		return
	}
	var events []string
	switch value := call.Args[at+1].(type) {
	case *ast.BasicLit:
		name, _ := stringOf(value)
		events = append(events, name)
	case *ast.SelectorExpr:
		events = append(events, names[value.Sel.Name])
	case *ast.CallExpr: // eventOf(kind) of the checks
		events = append(events, names["SurfaceCheck"], names["DeepCheck"])
	}
	for _, event := range events {
		if l[event] == nil {
			l[event] = &lines{properties: []string{"event", "msg", "level", "time"}}
		}
		message := ""
		ast.Inspect(call.Args[0], func(n ast.Node) bool {
			if e, ok := n.(ast.Expr); ok {
				if s, ok := stringOf(e); ok {
					message += s
				}
			}
			return true
		})
		l[event].messages = append(l[event].messages, message)
		for i := at; i < len(call.Args); i += 2 {
			if s, ok := stringOf(call.Args[i]); ok {
				l[event].properties = append(l[event].properties, s)
			}
		}
	}
}

func stringOf(e ast.Expr) (string, bool) {
	literal, ok := e.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(literal.Value)
	return s, err == nil
}

var (
	eventTest    = regexp.MustCompile(`tostring\(line\.event\) (?:==|in) (\([^)]*\)|'[^']*')`)
	messageTest  = regexp.MustCompile(`tostring\(line\.msg\) (?:==|in) (\([^)]*\)|'[^']*')`)
	stepTest     = regexp.MustCompile(`tostring\(line\.step\) == 'export'`)
	propertyTest = regexp.MustCompile(`line\.(\w+)`)
	toldOnce     = regexp.MustCompile(`'(Held|ExportRetries)'`) // what is logged when it begins, and not while it lasts
	quotedName   = regexp.MustCompile(`'([^']*)'`)
)

// handlersEvents are read once.
var handlersEvents = sync.OnceValues(func() (logged, error) { return readEvents(root) })

// checkEvents: what alerts and the workbook look for in the log is what the handler logs.
func checkEvents(templates map[string]*template, folder string) (findings []string) {
	events, err := handlersEvents()
	if err != nil {
		return []string{err.Error()}
	}
	return events.checkQueries(templates, folder)
}

// checkQueries compares every alert, and every tile of the workbook in folder, with what is logged.
func (l logged) checkQueries(templates map[string]*template, folder string) (findings []string) {
	alerts := templates["modules/monitoring.bicep"].vars["alerts"].last()
	alertQueries := 0
	alerts.walk(func(n *node) bool {
		if query := n.property("query"); query != nil {
			alertQueries++
			where := "the alert " + n.property("name").text()
			findings = append(findings, l.check(where, query.Text)...)
			if lasts := n.property("lasts").text(); toldOnce.MatchString(query.Text) && lasts != "false" {
				findings = append(findings, where+" is resolved when nobody logs it any more, but it is logged once")
			}
		}
		return true
	})
	if alertQueries < 5 {
		findings = append(findings, fmt.Sprintf("there are %d alerts", alertQueries))
	}
	content, err := os.ReadFile(filepath.Join(folder, "modules", "workbook.json"))
	if err != nil {
		return append(findings, err.Error())
	}
	var workbook struct {
		Items []struct {
			Name    string
			Content struct{ Query string }
		}
	}
	if err := json.Unmarshal(content, &workbook); err != nil {
		return append(findings, "workbook.json: "+err.Error())
	}
	tiles := 0
	for _, item := range workbook.Items {
		if strings.HasPrefix(item.Content.Query, "traces") {
			tiles++
			findings = append(findings, l.check("the tile "+item.Name, item.Content.Query)...)
		}
	}
	if tiles < 10 {
		findings = append(findings, fmt.Sprintf("the workbook has %d tiles", tiles))
	}
	return findings
}

// check compares one query with what is logged.
func (l logged) check(where, query string) (findings []string) {
	asked := eventTest.FindStringSubmatch(query)
	if stepTest.MatchString(query) {
		asked = []string{"", "'" + step + "'"}
	}
	if asked == nil {
		return []string{where + " asks for no event"}
	}
	var messages, properties []string
	for _, name := range quotedName.FindAllStringSubmatch(asked[1], -1) {
		if l[name[1]] == nil {
			findings = append(findings, fmt.Sprintf("%s asks for the event %s, which the handler does not log", where, name[1]))
			continue
		}
		messages = append(messages, l[name[1]].messages...)
		properties = append(properties, l[name[1]].properties...)
	}
	if len(findings) > 0 {
		return findings
	}
	if asked := messageTest.FindStringSubmatch(query); asked != nil {
		for _, message := range quotedName.FindAllStringSubmatch(asked[1], -1) {
			if !slices.Contains(messages, message[1]) {
				findings = append(findings, fmt.Sprintf("%s asks for the message %q, which the handler does not log with that event", where, message[1]))
			}
		}
	}
	for _, property := range propertyTest.FindAllStringSubmatch(query, -1) {
		if !slices.Contains(properties, property[1]) {
			findings = append(findings, fmt.Sprintf("%s reads %s, which lines of that event do not have", where, property[1]))
		}
	}
	return findings
}
