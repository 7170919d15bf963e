package functionshost

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// 1.1: what is read from host.json and from the settings that override it.
func TestHostConfig(t *testing.T) {
	t.Parallel()
	const text = `{"version":"2.0","unknown":[1,{"a":null}],"functionTimeout":"00:10:00","extensions":{"http":{"routePrefix":"/v1/"}},
		"customHandler":{"initializationTimeout":"00:00:05","enableProxyingHttpRequest":true,
		"description":{"defaultExecutablePath":"bin/handler","arguments":["a","b"]}}}`
	base := hostConfig{
		functionTimeout: 10 * time.Minute, initializationTimeout: 5 * time.Second, routePrefix: "v1", proxying: true,
		description: description{executable: "bin/handler", arguments: []string{"a", "b"}, stderrIsError: true},
	}
	for name, c := range map[string]struct {
		settings map[string]string
		change   func(*hostConfig)
	}{
		"as written":        {},
		"functionTimeout":   {map[string]string{"AzureFunctionsJobHost__functionTimeout": "01:00:00"}, func(c *hostConfig) { c.functionTimeout = time.Hour }},
		"unbounded":         {map[string]string{"azurefunctionsjobhost__FUNCTIONTIMEOUT": "-1"}, func(c *hostConfig) { c.functionTimeout = 0 }},
		"executable":        {map[string]string{"AzureFunctionsJobHost__customHandler__description__defaultExecutablePath": "x"}, func(c *hostConfig) { c.description.executable = "x" }},
		"arguments":         {map[string]string{"AzureFunctionsJobHost__customHandler__description__arguments": `["c"]`}, func(c *hostConfig) { c.description.arguments = []string{"c"} }},
		"one argument":      {map[string]string{"AzureFunctionsJobHost__customHandler__description__arguments__1": "c"}, func(c *hostConfig) { c.description.arguments = []string{"a", "c"} }},
		"booleans":          {map[string]string{"AzureFunctionsJobHost__customHandler__enableForwardingHttpRequest": "True"}, func(c *hostConfig) { c.forwarding = true }},
		"an empty prefix":   {map[string]string{"AzureFunctionsJobHost__extensions__http__routePrefix": ""}, func(c *hostConfig) { c.routePrefix = "" }},
		"not of the host's": {settings: map[string]string{"functionTimeout": "01:00:00"}},
	} {
		want := base
		if c.change != nil {
			c.change(&want)
		}
		got, err := readHostConfig(folder(t, map[string]string{"host.json": text}), c.settings)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(hostConfig{}, description{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// 1.1 and 2.4: what makes the host refuse an app.
func TestBadHostJSON(t *testing.T) {
	t.Parallel()
	const description = `"customHandler":{"description":{"defaultExecutablePath":"x"}}`
	for name, c := range map[string]struct{ text, want string }{
		"missing":        {"", "no such file"},
		"no JSON":        {"{", "unexpected EOF"},
		"no version":     {`{` + description + `}`, `"version": "2.0"`},
		"version 1":      {`{"version":"1.0",` + description + `}`, `"version": "2.0"`},
		"no handler":     {`{"version":"2.0"}`, "customHandler.description.defaultExecutablePath"},
		"no description": {`{"version":"2.0","customHandler":{"enableProxyingHttpRequest":true}}`, "customHandler.description.defaultExecutablePath"},
		"short timeout":  {`{"version":"2.0","functionTimeout":"00:00:00.9",` + description + `}`, "functionTimeout"},
		"bad timeout":    {`{"version":"2.0","functionTimeout":"ten minutes",` + description + `}`, `functionTimeout: time span "ten minutes"`},
		"bad boolean":    {`{"version":"2.0","customHandler":{"enableProxyingHttpRequest":"maybe","description":{"defaultExecutablePath":"x"}}}`, "maybe"},
	} {
		files := map[string]string{"host.json": c.text}
		if c.text == "" {
			files = nil
		}
		_, err := Start(t.Context(), Options{Root: folder(t, files)})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", name, err, c.want)
		}
	}
}

// Sections 2.1, 3 and 5: one bad function is listed with its error, and the others are fine.
func TestFunctions(t *testing.T) {
	t.Parallel()
	timer := func(properties string) string {
		return `{"bindings":[{"type":"timerTrigger","name":"tick",` + properties + `}]}`
	}
	page := func(properties string) string {
		return `{"bindings":[{"type":"httpTrigger","name":"req"` + properties + `},{"type":"http","direction":"out","name":"res"}]}`
	}
	cases := map[string]struct {
		text string
		want Function
		err  string
	}{
		"Timer":     {text: timer(`"schedule":"%Every%"`), want: Function{Trigger: "timer", Schedule: "0 */5 * * * *"}},
		"Off":       {text: `{"disabled":true,` + timer(`"schedule":"00:05:00"`)[1:], want: Function{Trigger: "timer", Schedule: "00:05:00", Disabled: true}},
		"BadTime":   {text: timer(`"schedule":"often"`), err: `schedule "often"`},
		"NoSetting": {text: timer(`"schedule":"%Nowhere%"`), err: "%Nowhere% does not resolve"},
		"NoName":    {text: `{"bindings":[{"type":"timerTrigger","schedule":"00:05:00"}]}`, err: `"name"`},
		"Output":    {text: timer(`"direction":"out","schedule":"00:05:00"`), err: `"direction"`},
		"Retry":     {text: `{"retry":{"strategy":"fixedDelay"},` + timer(`"schedule":"00:05:00"`)[1:], err: "retry"},
		"NoJSON":    {text: `{`, err: "function.json"},
		"NoTrigger": {text: `{"bindings":[]}`, err: "no trigger"},
		"Queue":     {text: `{"bindings":[{"type":"queueTrigger","name":"q"}]}`, err: "queueTrigger"},
		"host":      {text: timer(`"schedule":"00:05:00"`), err: "no valid name"},
		"1st":       {text: timer(`"schedule":"00:05:00"`), err: "no valid name"},
		"Page":      {text: page(""), want: Function{Trigger: "http", Route: "/api/Page", AuthLevel: "function"}},
		"Open":      {text: page(`,"authLevel":"Anonymous","route":"/runs/{id}","methods":["get"]`), want: Function{Trigger: "http", Route: "/api/runs/{id}", AuthLevel: "anonymous", Methods: []string{"GET"}}},
		"Post":      {text: page(`,"route":"runs/{other}","methods":["post"]`), want: Function{Trigger: "http", Route: "/api/runs/{other}", AuthLevel: "function", Methods: []string{"POST"}}},
		"Taken":     {text: page(`,"route":"PAGE"`), err: "same route"},
		"Adminfoo":  {text: page(""), err: `begins with "admin"`},
		"Run":       {text: page(`,"route":"Runtime/x"`), err: `begins with "runtime"`},
		"User":      {text: page(`,"authLevel":"user"`), err: "authLevel"},
		"Typed":     {text: page(`,"route":"x/{id:int}"`), err: "{id:int}"},
		"Inward":    {text: `{"bindings":[{"type":"httpTrigger","name":"req"},{"type":"http","direction":"in","name":"res"}]}`, err: `"direction": "out"`},
		"NoOutput":  {text: `{"bindings":[{"type":"httpTrigger","name":"req"}]}`, err: "0 http output"},
	}
	files := map[string]string{"ignored.json": "{", "deep/er/function.json": "{"}
	for name, c := range cases {
		files[name+"/function.json"] = c.text
	}
	got, err := readFunctions(folder(t, files), hostConfig{routePrefix: "api", proxying: true}, map[string]string{"EVERY": "0 */5 * * * *"}, time.Now())
	if err != nil || len(got) != len(cases) {
		t.Fatalf("%d functions, %v; want %d", len(got), err, len(cases))
	}
	for _, f := range got {
		c := cases[f.Name]
		if c.err != "" {
			if f.Err == nil || !strings.Contains(f.Err.Error(), c.err) {
				t.Errorf("%s: error %v, want %q in it", f.Name, f.Err, c.err)
			}
			continue
		}
		c.want.Name = f.Name
		if diff := cmp.Diff(c.want, f.Function); diff != "" {
			t.Errorf("%s (-want +got):\n%s", f.Name, diff)
		}
	}

	got, err = readFunctions(folder(t, map[string]string{"Page/function.json": page("")}), hostConfig{}, nil, time.Now())
	if err != nil || got[0].Err == nil || !strings.Contains(got[0].Err.Error(), "enableProxyingHttpRequest") {
		t.Errorf("without proxying: %v, %v; want the setting named", got[0].Err, err)
	}
}

// The project's own app is one that the host can read.
func TestOwnApp(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	c, err := readHostConfig(root, nil)
	if err != nil || c.functionTimeout != 10*time.Minute || c.description.executable != "bin/handler" {
		t.Errorf("host.json is read as %+v, %v", c, err)
	}
	settings := map[string]string{"ExportTimerSchedule": "*/30 * * * * *", "ImportTimerSchedule": "*/30 * * * * *"}
	functions, err := readFunctions(root, c, settings, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ExportTimer", "ImportTimer"} {
		i := slices.IndexFunc(functions, func(f *function) bool { return f.Name == name })
		if i < 0 || functions[i].Err != nil || functions[i].useMonitor {
			t.Errorf("%s is not a timer without a monitor: %+v", name, functions)
		}
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		route string
		path  string
		want  bool
	}{
		{"status", "/api/status", true}, {"status", "/API/Status/", true}, {"status", "/api/status/x", false}, {"status", "/status", false},
		{"runs/{id}", "/api/runs/1", true}, {"runs/{id}", "/api/runs", false}, {"runs/{id}", "/api/runs/1/x", false},
		{"runs/{id?}", "/api/runs", true}, {"runs/{id?}", "/api/runs/1", true}, {"runs/{id?}", "/api/runs/1/x", false},
		{"{*rest}", "/api", true}, {"{*rest}", "/api/a/b", true}, {"x/{*rest}", "/api/y/b", false},
		{"runs/{id}", "/api/r%75ns/a%2Fb", true}, {"runs/{id}/b", "/api/runs/a%2Fb", false},
	} {
		r, err := parseRoute("api", c.route)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.matches(c.path); got != c.want {
			t.Errorf("%s matches %s: %v, want %v", c.route, c.path, got, c.want)
		}
	}
	order := []string{"runs/all", "runs/{id}/x", "runs/{id}", "runs", "runs/{*rest}", "{id}", "{*rest}"}
	compare := func(a, b string) int {
		ra, errA := parseRoute("", a)
		rb, errB := parseRoute("", b)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		return ra.compare(rb)
	}
	for i := range order {
		for j := range order[:i] {
			if order[j] != "runs" && order[i] != "runs" && compare(order[j], order[i]) >= 0 {
				t.Errorf("%s does not go before %s", order[j], order[i])
			}
		}
	}
	for _, bad := range []string{"{id?}/x", "{*rest}/x", "a{b}", "{*rest?}", "{}"} {
		if _, err := parseRoute("api", bad); err == nil {
			t.Errorf("route %s is taken", bad)
		}
	}
}

func TestLoadSettings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want map[string]string
		err  string
	}{
		"values":    {text: `{"IsEncrypted":false,"Values":{"AZURE_SourceUri":"u","azure_sourceuri":""},"Host":{"LocalHttpPort":7071}}`, want: map[string]string{"AZURE_SourceUri": "u", "azure_sourceuri": ""}},
		"nothing":   {text: `{}`, want: map[string]string{}},
		"encrypted": {text: `{"IsEncrypted":true,"Values":{"A":"x"}}`, err: "decrypt"},
		"a number":  {text: `{"Values":{"MaxCount":5}}`, err: "MaxCount is 5: write it as a string"},
		"null":      {text: `{"Values":{"MaxCount":null}}`, err: "MaxCount is null"},
		"no JSON":   {text: `Values`, err: "local.settings.json"},
	} {
		got, err := LoadSettings(filepath.Join(folder(t, map[string]string{"local.settings.json": c.text}), "local.settings.json"))
		if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: error %v, want %q", name, err, c.err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if _, err := LoadSettings(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing file is read")
	}
}

func TestBadSettingName(t *testing.T) {
	t.Parallel()
	a := newApp(t, "serve", "Echo")
	a.options.Settings["A=B"] = "x"
	if _, err := Start(context.Background(), a.options); err == nil || !strings.Contains(err.Error(), `"A=B"`) {
		t.Errorf("got %v, want the setting named", err)
	}
}

// folder makes a folder with files in it.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}
