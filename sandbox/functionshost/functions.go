package functionshost

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Function is one function of the app as the host lists it.
type Function struct {
	Name      string // its folder
	Trigger   string // "timer" or "http"; empty when function.json could not be read
	Schedule  string // of a timer, with %Setting% resolved
	Route     string // of an HTTP function, prefix included, as /api/status
	Methods   []string
	AuthLevel string // "anonymous", "function" or "admin"
	Disabled  bool   // never fired, and answered with 404
	Err       error  // why the host cannot run it; the others run
}

// function is a Function with what is needed to run it.
type function struct {
	Function
	binding      string // the trigger's name, the key of its data in the envelope
	schedule     schedule
	runOnStartup bool
	useMonitor   bool
	route        route
}

// functionJSON is a function.json as far as it matters here.
type functionJSON struct {
	Bindings []binding
	Disabled bool
	Retry    json.RawMessage
}

type binding struct {
	Type, Direction, Name string
	Schedule              string
	RunOnStartup          bool
	UseMonitor            *bool
	Route, AuthLevel      string
	Methods               []string
}

// functionName is the host's rule; "host" is taken.
var functionName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,127}$`)

// readFunctions reads every */function.json below root, sorted by name. What is wrong with one function is kept in its Err.
func readFunctions(root string, c hostConfig, settings map[string]string, now time.Time) ([]*function, error) {
	files, err := filepath.Glob(filepath.Join(root, "*", "function.json"))
	if err != nil {
		return nil, fmt.Errorf("find functions: %w", err)
	}
	slices.Sort(files)
	var all []*function
	for _, file := range files {
		f := &function{Function: Function{Name: filepath.Base(filepath.Dir(file))}}
		if err := f.read(file, c, settings, now); err != nil {
			f.Err = fmt.Errorf("function %s: %w", f.Name, err)
		}
		if f.Err == nil {
			f.Err = conflict(f, all)
		}
		all = append(all, f)
	}
	return all, nil
}

func (f *function) read(file string, c hostConfig, settings map[string]string, now time.Time) error {
	if !functionName.MatchString(f.Name) || strings.EqualFold(f.Name, "host") {
		return errors.New("is no valid name: want a letter, then letters, digits, _ and -, at most 128, and not \"host\"")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read function.json: %w", err)
	}
	var content functionJSON
	if err := json.Unmarshal(text, &content); err != nil {
		return fmt.Errorf("read function.json: %w", err)
	}
	if len(content.Retry) > 0 && string(content.Retry) != "null" {
		return errors.New("retry policies are not played here")
	}
	f.Disabled = content.Disabled || isDisabled(f.Name, settings)
	return f.bind(content.Bindings, c, settings, now)
}

// isDisabled reads the app setting AzureWebJobs.<Function>.Disabled.
func isDisabled(name string, settings map[string]string) bool {
	value, _ := lookup(settings, "AzureWebJobs."+name+".Disabled")
	return strings.EqualFold(value, "true") || value == "1"
}

// bind finds the trigger among the bindings and reads it.
func (f *function) bind(bindings []binding, c hostConfig, settings map[string]string, now time.Time) error {
	var trigger *binding
	var outputs int
	for i, b := range bindings {
		switch strings.ToLower(b.Type) {
		case "timertrigger", "httptrigger":
			if trigger != nil {
				return errors.New("has two triggers: a function has one")
			}
			trigger = &bindings[i]
		case "http":
			if !strings.EqualFold(b.Direction, "out") {
				return errors.New(`its http binding needs "direction": "out"`)
			}
			outputs++
		default:
			return fmt.Errorf("binding type %q is not played here: want timerTrigger, httpTrigger or http", b.Type)
		}
	}
	if trigger == nil {
		return errors.New("has no trigger")
	}
	if trigger.Name == "" || trigger.Direction != "" && !strings.EqualFold(trigger.Direction, "in") {
		return errors.New(`its trigger needs a "name", and "direction": "in"`)
	}
	f.binding = trigger.Name
	if strings.EqualFold(trigger.Type, "timerTrigger") {
		return f.bindTimer(trigger, settings, now)
	}
	if outputs != 1 {
		return fmt.Errorf("has %d http output bindings: a request is forwarded only for one httpTrigger with one http output", outputs)
	}
	return f.bindHTTP(trigger, c)
}

func (f *function) bindTimer(b *binding, settings map[string]string, now time.Time) error {
	f.Trigger = "timer"
	resolved, err := resolveSettings(b.Schedule, settings)
	if err != nil {
		return err
	}
	f.Schedule = resolved
	if f.schedule, err = parseSchedule(resolved); err != nil {
		return err
	}
	f.runOnStartup = b.RunOnStartup
	f.useMonitor = (b.UseMonitor == nil || *b.UseMonitor) && !subMinute(f.schedule, now)
	return nil
}

func (f *function) bindHTTP(b *binding, c hostConfig) error {
	f.Trigger = "http"
	if !c.proxying {
		return errors.New("HTTP functions are played in proxy mode only: set customHandler.enableProxyingHttpRequest to true in host.json")
	}
	template := b.Route
	if strings.TrimSpace(template) == "" {
		template = f.Name
	}
	var err error
	if f.route, err = parseRoute(c.routePrefix, template); err != nil {
		return err
	}
	f.Route = "/" + strings.Join(pathSegments(c.routePrefix+"/"+template), "/")
	f.AuthLevel = strings.ToLower(b.AuthLevel)
	switch f.AuthLevel {
	case "":
		f.AuthLevel = "function"
	case "anonymous", "function", "admin":
	default:
		return fmt.Errorf("authLevel %q: want anonymous, function or admin", b.AuthLevel)
	}
	for _, m := range b.Methods {
		f.Methods = append(f.Methods, strings.ToUpper(m))
	}
	return nil
}

// allows says whether the function takes a method; without a list it takes all.
func (f *function) allows(method string) bool {
	return len(f.Methods) == 0 || slices.Contains(f.Methods, method)
}

// conflict refuses a name, or a route and method, that an earlier function has.
func conflict(f *function, earlier []*function) error {
	for _, e := range earlier {
		if strings.EqualFold(e.Name, f.Name) {
			return fmt.Errorf("function %s: %s has the same name", f.Name, e.Name)
		}
		if e.Err == nil && e.Trigger == "http" && f.Trigger == "http" && e.route.same(f.route) && e.sharesMethod(f) {
			return fmt.Errorf("function %s: %s has the same route %s", f.Name, e.Name, e.Route)
		}
	}
	return nil
}

func (f *function) sharesMethod(other *function) bool {
	for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodTrace} {
		if f.allows(m) && other.allows(m) {
			return true
		}
	}
	return false
}
