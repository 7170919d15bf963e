package functionshost

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// overridePrefix begins the app settings that override values of host.json, as in AzureFunctionsJobHost__functionTimeout.
const overridePrefix = "AzureFunctionsJobHost__"

const (
	defaultFunctionTimeout       = 30 * time.Minute // on every plan but Consumption, whose default is 5 minutes
	leastFunctionTimeout         = time.Second
	defaultInitializationTimeout = 30 * time.Second
)

// hostConfig is what host.json and the settings that override it say.
type hostConfig struct {
	functionTimeout       time.Duration // zero: unbounded
	initializationTimeout time.Duration // how long a handler may take to its first answer
	routePrefix           string        // without slashes at its ends
	forwarding, proxying  bool          // enableForwardingHttpRequest, enableProxyingHttpRequest
	description           description
}

// description is customHandler.description: the handler's command line, before %VAR% is expanded.
type description struct {
	executable       string // defaultExecutablePath
	workingDirectory string
	workerDirectory  string
	workerPath       string // defaultWorkerPath
	arguments        []string
	workerArguments  []string
	stderrIsError    bool // useStdErrorStreamForErrorsOnly
}

// configValues are a JSON document's leaves by their path, in the way of .NET's configuration: lower case, parts joined by colons, items of an
// array by their index.
type configValues map[string]string

// readHostConfig reads root/host.json. A missing file, version or description is an error, as in the host; unknown keys are not.
func readHostConfig(root string, settings map[string]string) (hostConfig, error) {
	values, err := readHostJSON(filepath.Join(root, "host.json"))
	if err != nil {
		return hostConfig{}, err
	}
	values.override(settings)

	c := hostConfig{routePrefix: "api", description: values.description()}
	if prefix, ok := values["extensions:http:routeprefix"]; ok {
		c.routePrefix = strings.Trim(prefix, "/")
	}
	if c.description.executable == "" {
		return hostConfig{}, errors.New("host.json: customHandler.description.defaultExecutablePath is missing: name the handler's executable")
	}
	var errs []error
	report := func(err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("host.json: %w", err))
		}
	}
	c.functionTimeout, err = values.functionTimeout()
	report(err)
	c.initializationTimeout, err = values.timeSpan("customHandler:initializationTimeout", defaultInitializationTimeout)
	report(err)
	c.forwarding, err = values.boolean("customHandler:enableForwardingHttpRequest", false)
	report(err)
	c.proxying, err = values.boolean("customHandler:enableProxyingHttpRequest", false)
	report(err)
	c.description.stderrIsError, err = values.boolean("customHandler:description:useStdErrorStreamForErrorsOnly", true)
	report(err)
	return c, errors.Join(errs...)
}

// readHostJSON flattens the file and checks its version, which an app setting cannot supply.
func readHostJSON(file string) (configValues, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read host.json: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var document map[string]any
	if err := decoder.Decode(&document); err != nil {
		return nil, fmt.Errorf("read host.json: %s: %w", file, err)
	}
	if version, ok := document["version"].(string); !ok || version != "2.0" {
		return nil, fmt.Errorf(`read host.json: %s: "version": "2.0" is missing`, file)
	}
	values := configValues{}
	values.flatten("", document)
	return values, nil
}

func (v configValues) flatten(path string, node any) {
	switch node := node.(type) {
	case map[string]any:
		for key, child := range node {
			v.flatten(joinPath(path, key), child)
		}
	case []any:
		for i, child := range node {
			v.flatten(joinPath(path, strconv.Itoa(i)), child)
		}
	case nil: // as if it were not there
	default:
		v[path] = fmt.Sprint(node)
	}
}

func joinPath(path, key string) string {
	return strings.TrimPrefix(path+":"+strings.ToLower(key), ":")
}

// override lays AzureFunctionsJobHost__a__b over the value at a:b.
func (v configValues) override(settings map[string]string) {
	for _, name := range sortedNames(settings) {
		if len(name) > len(overridePrefix) && strings.EqualFold(name[:len(overridePrefix)], overridePrefix) {
			path := strings.ReplaceAll(name[len(overridePrefix):], "__", ":")
			v[strings.ToLower(path)] = settings[name]
		}
	}
}

func (v configValues) at(path string) string { return v[strings.ToLower(path)] }

func (v configValues) description() description {
	const base = "customHandler:description:"
	return description{
		executable:       v.at(base + "defaultExecutablePath"),
		workingDirectory: v.at(base + "workingDirectory"),
		workerDirectory:  v.at(base + "workerDirectory"),
		workerPath:       v.at(base + "defaultWorkerPath"),
		arguments:        v.list(base + "arguments"),
		workerArguments:  v.list(base + "workerArguments"),
	}
}

// list reads an array, or, from an app setting, the text of a JSON array, which wins.
func (v configValues) list(path string) []string {
	var list []string
	if text := v.at(path); text != "" && json.Unmarshal([]byte(text), &list) == nil {
		return list
	}
	for i := 0; ; i++ {
		item, ok := v[joinPath(strings.ToLower(path), strconv.Itoa(i))]
		if !ok {
			return list
		}
		list = append(list, item)
	}
}

func (v configValues) functionTimeout() (time.Duration, error) {
	if v.at("functionTimeout") == "-1" {
		return 0, nil
	}
	d, err := v.timeSpan("functionTimeout", defaultFunctionTimeout)
	if err == nil && d < leastFunctionTimeout {
		return 0, fmt.Errorf("functionTimeout %s is under one second", formatTimeSpan(d))
	}
	return d, err
}

func (v configValues) timeSpan(path string, otherwise time.Duration) (time.Duration, error) {
	text := v.at(path)
	if text == "" {
		return otherwise, nil
	}
	d, err := parseTimeSpan(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", strings.ReplaceAll(path, ":", "."), err)
	}
	return d, nil
}

func (v configValues) boolean(path string, otherwise bool) (bool, error) {
	text := v.at(path)
	if text == "" {
		return otherwise, nil
	}
	b, err := strconv.ParseBool(strings.ToLower(text))
	if err != nil {
		return false, fmt.Errorf("%s is %q: want true or false", strings.ReplaceAll(path, ":", "."), text)
	}
	return b, nil
}
