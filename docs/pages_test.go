// Package docs holds the documentation; its tests keep it true where a program can tell.
package docs

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// pages are the committed Markdown files, by their paths from the root, with what they say.
func pages(t *testing.T) map[string]string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "-C", "..", "ls-files", "--cached", "--others", "--exclude-standard", "*.md").Output()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, name := range strings.Fields(string(out)) {
		text, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		found[name] = string(text)
	}
	if len(found) < 8 {
		t.Fatalf("%d pages", len(found))
	}
	return found
}

var (
	link    = regexp.MustCompile(`!?\[[^\]]*\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	fenced  = regexp.MustCompile("(?ms)^```[a-z]*\n(.*?)^```")
)

// Each relative link leads to a file, and to a heading in it.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	all := pages(t)
	for page, text := range all {
		for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := page
			if file != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(page), file))
			}
			if _, err := os.Stat(filepath.Join("..", target)); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
				continue
			}
			if anchor != "" && !slices.Contains(anchors(all[target]), anchor) {
				t.Errorf("%s links to %s: that page has no such heading", page, m[1])
			}
		}
	}
}

// anchors are the names that GitHub gives to a page's headings.
func anchors(text string) (names []string) {
	for _, m := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		names = append(names, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(m[1])))
	}
	return names
}

// inAzure begin the commands that take a subscription, and so are run by nobody here.
var inAzure = []string{"az ", "func ", "curl ", "KEY="}

// runBy says of every other command who runs it.
var runBy = map[string]string{
	"make help":       "printing the targets takes no test",
	"make demo":       "sandbox/demo",
	"make soak":       "sandbox/demo, by its parts; the whole takes minutes and is run by hand",
	"make test":       "CI",
	"make lint":       "make test",
	"make build":      "make test",
	"make race":       "the same tests as make test",
	"make bench":      "the packages' benchmarks",
	"make package":    "e2e",
	"make screenshot": "sandbox/demo, whose options have tests; the picture needs Chromium",
	"make publish":    "e2e, with a func that notes how it is called",
	"make clean":      "removes what was built",
	"npm ci":          "make test",
	"go run":          "sandbox/demo, whose options have tests",
}

// Each command in a page is one that somebody runs: a test, make test, or whoever has a subscription. Each target of make is there.
func TestCommandsAreRun(t *testing.T) {
	t.Parallel()
	makefile, err := os.ReadFile(filepath.Join("..", "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	for page, text := range pages(t) {
		for _, block := range fenced.FindAllStringSubmatch(text, -1) {
			for line := range strings.Lines(block[1]) {
				words := strings.Fields(line)
				if len(words) < 2 || !slices.Contains([]string{"make", "npm", "go", "az", "func", "curl", "docker", "git", "node"}, words[0]) {
					continue
				}
				commands++
				if slices.ContainsFunc(inAzure, func(begin string) bool { return strings.HasPrefix(strings.TrimSpace(line), begin) }) {
					continue
				}
				if runBy[words[0]+" "+words[1]] == "" {
					t.Errorf("%s: nobody runs %q", page, strings.TrimSpace(line))
				}
			}
		}
		for _, m := range regexp.MustCompile("`make ([a-z]+)").FindAllStringSubmatch(text, -1) {
			if runBy["make "+m[1]] == "" {
				t.Errorf("%s: nobody runs make %s", page, m[1])
			}
		}
	}
	for command := range runBy {
		if target, ok := strings.CutPrefix(command, "make "); ok && !strings.Contains(string(makefile), "\n"+target+":") {
			t.Errorf("there is no %s", command)
		}
	}
	if commands < 20 {
		t.Errorf("%d commands found", commands)
	}
}

var call = regexp.MustCompile(`(GET|POST) (?:https://<app>\.azurewebsites\.net)?/api/([A-Za-z]+)((?:/(?:[a-zA-Z{}?]+|…))*)`)

// Each HTTP function that a page tells of is there, under that route and method.
func TestFunctionsAreThere(t *testing.T) {
	t.Parallel()
	routes, err := httpRoutes()
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for page, text := range pages(t) {
		for _, m := range call.FindAllStringSubmatch(text, -1) {
			told++
			if !slices.ContainsFunc(routes, func(r route) bool { return r.takes(m[1], m[2]+m[3]) }) {
				t.Errorf("%s tells of %s, which no function.json has", page, m[0])
			}
		}
	}
	if told < 10 {
		t.Errorf("%d calls found", told)
	}
}

// route is where the host lets callers in.
type route struct {
	path    string
	methods []string
}

func (r route) takes(method, path string) bool {
	if !slices.Contains(r.methods, strings.ToLower(method)) {
		return false
	}
	want, got := strings.Split(r.path, "/"), strings.Split(path, "/")
	for i, segment := range want {
		optional := strings.HasSuffix(segment, "?}")
		switch {
		case i >= len(got):
			return optional
		case !strings.HasPrefix(segment, "{") && segment != got[i]:
			return false
		}
	}
	return len(got) <= len(want)
}

func httpRoutes() (routes []route, err error) {
	files, err := filepath.Glob(filepath.Join("..", "*", "function.json"))
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var function struct {
			Bindings []struct {
				Type, Route string
				Methods     []string
			}
		}
		if err := json.Unmarshal(content, &function); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, b := range function.Bindings {
			if b.Type == "httpTrigger" {
				path := b.Route
				if path == "" {
					path = filepath.Base(filepath.Dir(file))
				}
				routes = append(routes, route{path, b.Methods})
			}
		}
	}
	return routes, nil
}

// The tree in development.md has every package of the handler.
func TestTreeIsWhole(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("development.md")
	if err != nil {
		t.Fatal(err)
	}
	folders, err := filepath.Glob(filepath.Join("..", "handler", "internal", "*"))
	if err != nil || len(folders) < 8 {
		t.Fatalf("%d packages (%v)", len(folders), err)
	}
	for _, folder := range folders {
		if name := "handler/internal/" + filepath.Base(folder); !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("development.md does not tell of %s", name)
		}
	}
}
