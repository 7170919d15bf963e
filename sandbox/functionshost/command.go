package functionshost

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// command is what it takes to start the handler, once or again.
type command struct {
	root        string
	description description
	port        int               // the same over every restart
	environ     map[string]string // the host's own and the app settings
}

// invocable is a command line ready to be run.
type invocable struct {
	path, dir  string
	args, envs []string
}

// prepare expands the command line for one start. Each start has a worker id of its own.
func (c command) prepare() (invocable, error) {
	environ := maps.Clone(c.environ)
	port, id := strconv.Itoa(c.port), uuid.NewString()
	environ["FUNCTIONS_CUSTOMHANDLER_PORT"], environ["FUNCTIONS_HTTPWORKER_PORT"] = port, port
	environ["FUNCTIONS_CUSTOMHANDLER_WORKER_ID"], environ["FUNCTIONS_HTTPWORKER_ID"] = id, id
	environ["FUNCTIONS_APP_ROOT_PATH"] = c.root

	path, err := c.executable(environ)
	if err != nil {
		return invocable{}, err
	}
	dir := expandVariables(c.description.workingDirectory, environ)
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(c.root, dir)
	}
	return invocable{path: path, dir: dir, args: c.arguments(environ), envs: pairs(environ)}, nil
}

// executable makes a relative path absolute when there is such a file below the worker directory; otherwise PATH decides. The executable bit
// is not mended: only Linux Consumption and Flex do that, and not on a read-only package.
func (c command) executable(environ map[string]string) (string, error) {
	name := expandVariables(c.description.executable, environ)
	if filepath.IsAbs(name) {
		return name, nil
	}
	below := filepath.Join(c.root, c.description.workerDirectory, name)
	if filepath.IsAbs(c.description.workerDirectory) {
		below = filepath.Join(c.description.workerDirectory, name)
	}
	if _, err := os.Stat(below); err == nil {
		return below, nil
	}
	if !strings.ContainsRune(name, filepath.Separator) {
		for _, dir := range filepath.SplitList(environ["PATH"]) {
			candidate := filepath.Join(dir, name)
			if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				return candidate, nil
			}
		}
	}
	return "", fmt.Errorf("%s is neither at %s nor on PATH: build the handler", name, below)
}

// leftover is what the host deletes from the argument string once all variables are expanded.
var leftover = regexp.MustCompile(`%[^%]*%`)

// arguments joins all arguments by spaces, without quoting them, and splits the result again as .NET does. An argument with a space in it is
// thus two, unless it holds its own quotes.
func (c command) arguments(environ map[string]string) []string {
	parts := slices.Clone(c.description.arguments)
	if c.description.workerPath != "" {
		parts = append(parts, `"`+c.description.workerPath+`"`)
	}
	parts = append(parts, c.description.workerArguments...)
	for i := range parts {
		parts[i] = expandVariables(parts[i], environ)
	}
	return splitArguments(leftover.ReplaceAllString(strings.Join(parts, " "), ""))
}

// splitArguments splits at blanks outside double quotes; \" is a quote.
func splitArguments(line string) []string {
	var args []string
	var current strings.Builder
	quoted, started := false, false
	for i := 0; i < len(line); i++ {
		switch ch := line[i]; {
		case ch == '\\' && i+1 < len(line) && line[i+1] == '"':
			i++
			current.WriteByte('"')
			started = true
		case ch == '"':
			quoted, started = !quoted, true
		case (ch == ' ' || ch == '\t') && !quoted:
			if started {
				args = append(args, current.String())
			}
			current.Reset()
			started = false
		default:
			current.WriteByte(ch)
			started = true
		}
	}
	if started {
		args = append(args, current.String())
	}
	return args
}

// hostEnvironment is what the handler inherits: the base environment, then the app settings with their names as written, then what the host adds.
func hostEnvironment(root string, base []string, settings map[string]string) (map[string]string, error) {
	environ := map[string]string{
		"AZURE_FUNCTIONS_ENVIRONMENT": "Development",
	}
	for _, pair := range base {
		if name, value, ok := strings.Cut(pair, "="); ok && name != "" {
			environ[name] = value
		}
	}
	for name, value := range settings {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.ContainsRune(value, 0) {
			return nil, errors.New("app setting " + strconv.Quote(name) + " cannot be an environment variable")
		}
		environ[name] = value
	}
	environ["AzureWebJobsScriptRoot"] = root
	return environ, nil
}

// minimalEnvironment is the base environment by default: what programs need to run, and nothing of the caller's that could steer the handler.
func minimalEnvironment() []string {
	var base []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			base = append(base, name+"="+value)
		}
	}
	return base
}

func pairs(environ map[string]string) []string {
	list := make([]string, 0, len(environ))
	for _, name := range sortedNames(environ) {
		list = append(list, name+"="+environ[name])
	}
	return list
}
