package demo

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"time"
)

// Options say what the demo does.
type Options struct {
	// Mode is what is shown: one of the modes of mode.go, "" for the whole system.
	Mode string
	// Data is a file or a folder of NDJSON to migrate in place of synthetic data, "" for synthetic data.
	Data string
	// Resources is how many synthetic resources there are.
	Resources int
	// Seed decides what they are, and when the handler is killed under Chaos.
	Seed uint64
	// Chaos kills the handler every few seconds.
	Chaos bool
	// Keep leaves everything running after the comparison, until the context ends.
	Keep bool
	// Screenshot is the file into which a picture of the dashboard is taken half-way, "" for none.
	Screenshot string
	// Pace scales how long the jobs of the FHIR services take: 1 is seconds, 0.1 a tenth of that.
	Pace float64
	own  *mode // of a soak, in place of Mode

	// Root is the folder of the function app: host.json, the functions' folders, bin/handler.
	Root string

	// Out takes everything the demo says. Terminal tells whether it is one: then there are bars, else lines.
	Out      io.Writer
	Terminal bool
	// Clock tells the time, Random gives bytes nobody can guess.
	Clock  func() time.Time
	Random io.Reader
}

// Parse reads the options from the command line, and those that it does not name from the environment: DATA, RESOURCES,
// SEED, CHAOS, KEEP, MODE, SCREENSHOT. It returns flag.ErrHelp when help was asked for and printed to usage.
func Parse(arguments []string, lookup func(string) (string, bool), usage io.Writer) (Options, error) {
	var o Options
	e := environment{lookup: lookup}
	flags := flag.NewFlagSet("sandbox", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.StringVar(&o.Mode, "mode", e.text("MODE", defaultMode), "what is shown: "+modeNames()+" (MODE)")
	flags.StringVar(&o.Data, "data", e.text("DATA", ""), "file or folder of NDJSON (.ndjson, .ndjson.gz) to migrate; synthetic data without it (DATA)")
	flags.IntVar(&o.Resources, "resources", e.number("RESOURCES", 20_000), "number of synthetic resources (RESOURCES)")
	flags.Uint64Var(&o.Seed, "seed", uint64(e.number("SEED", 1)), "decides everything left to chance (SEED)")
	flags.BoolVar(&o.Chaos, "chaos", e.yes("CHAOS"), "kill the handler every few seconds (CHAOS=1)")
	flags.BoolVar(&o.Keep, "keep", e.yes("KEEP"), "leave everything running until Ctrl-C (KEEP=1)")
	flags.StringVar(&o.Screenshot, "screenshot", e.text("SCREENSHOT", ""), "take a picture of the dashboard half-way into this PNG, with Chromium (SCREENSHOT)")
	flags.Float64Var(&o.Pace, "pace", 1, "how long the services' jobs take, as a multiple of a few seconds")
	flags.StringVar(&o.Root, "root", ".", "folder of the function app")
	if err := e.err(); err != nil {
		return Options{}, err
	}
	if err := flags.Parse(arguments); err != nil {
		return Options{}, err
	}
	if flags.NArg() > 0 {
		return Options{}, fmt.Errorf("argument %q: there are flags only, see -help", flags.Arg(0))
	}
	if o.Resources < 1 {
		return Options{}, fmt.Errorf("%d resources: ask for one or more", o.Resources)
	}
	if o.Pace < 0 || o.Pace > 1000 {
		return Options{}, fmt.Errorf("pace %v: choose one between 0 and 1000", o.Pace)
	}
	if _, err := modeNamed(o.Mode); err != nil {
		return Options{}, err
	}
	return o, nil
}

// ParseSoak reads the options of a soak from the command line, and those that it does not name from the environment: DURATION, SEED, RESOURCES.
func ParseSoak(arguments []string, lookup func(string) (string, bool), usage io.Writer) (SoakOptions, error) {
	var o SoakOptions
	e := environment{lookup: lookup}
	flags := flag.NewFlagSet("sandbox soak", flag.ContinueOnError)
	flags.SetOutput(usage)
	duration, err := time.ParseDuration(e.text("DURATION", "5m"))
	if err != nil {
		e.problems = append(e.problems, fmt.Errorf("DURATION is %q: set it to a time such as 90s or 1h", e.text("DURATION", "")))
	}
	flags.DurationVar(&o.Duration, "duration", duration, "for how long the app is mistreated (DURATION)")
	flags.Uint64Var(&o.Seed, "seed", uint64(e.number("SEED", 1)), "decides data, kills and faults (SEED)")
	flags.IntVar(&o.Resources, "resources", e.number("RESOURCES", 2000), "number of synthetic resources of a round (RESOURCES)")
	flags.StringVar(&o.Root, "root", ".", "folder of the function app")
	if err := e.err(); err != nil {
		return o, err
	}
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	if flags.NArg() > 0 || o.Duration <= 0 || o.Resources < 1 {
		return o, errors.New("a soak takes a positive duration, at least one resource, and no argument: see -help")
	}
	return o, nil
}

// environment reads variables and collects what is wrong with them.
type environment struct {
	lookup   func(string) (string, bool)
	problems []error
}

func (e *environment) text(name, otherwise string) string {
	if value, ok := e.lookup(name); ok && value != "" {
		return value
	}
	return otherwise
}

func (e *environment) number(name string, otherwise int) int {
	text := e.text(name, strconv.Itoa(otherwise))
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		e.problems = append(e.problems, fmt.Errorf("%s is %q: set it to a whole number", name, text))
	}
	return n
}

func (e *environment) yes(name string) bool {
	text := e.text(name, "0")
	yes, err := strconv.ParseBool(text)
	if err != nil {
		e.problems = append(e.problems, fmt.Errorf("%s is %q: set it to 1 or 0", name, text))
	}
	return yes
}

func (e *environment) err() error { return errors.Join(e.problems...) }
