package settings

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/kelseyhightower/envconfig"
)

// Load reads the settings from environ (os.Environ form). Every problem found is in the error, each naming
// its setting and saying what to do; the Settings are then of no use. Variables without the prefix AZURE_ and those that
// are Azure's own are not looked at.
func Load(environ []string) (Settings, error) {
	found := spellings(environ)
	values, problems := fold(found)
	notices, unheardOf := unknown(found)
	problems = append(problems, unheardOf...)
	s, unread, err := process(values)
	if err != nil {
		return Settings{}, fmt.Errorf("read settings: %w", err)
	}
	s.Notices = notices
	s.AuthorityHost = exactly(environ, "AZURE_AUTHORITY_HOST")
	check := &checker{settings: &s, given: values, problems: append(problems, unread...)}
	check.all()
	if len(check.problems) == 0 {
		return s, nil
	}
	var all []error
	for _, p := range check.problems {
		all = append(all, errors.New(p.text))
	}
	return Settings{}, errors.Join(all...)
}

// exactly is the value of a variable that Azure's SDKs read: they mind the case.
func exactly(environ []string, variable string) (value string) {
	for _, entry := range environ {
		if name, v, _ := strings.Cut(entry, "="); name == variable {
			value = v
		}
	}
	return value
}

// environment guards the process environment, which envconfig reads and cannot be told not to.
var environment sync.Mutex

// process lets envconfig fill Settings from values and apply the defaults. envconfig stops at the first value it
// cannot read; that one is then taken away and reported, and the rest read again.
func process(values map[string]string) (s Settings, problems []problem, err error) {
	environment.Lock()
	defer environment.Unlock()
	restore, err := place(values)
	defer restore()
	if err != nil {
		return Settings{}, nil, err
	}
	for {
		s = Settings{}
		err = envconfig.Process(strings.TrimSuffix(prefix, "_"), &s)
		var unread *envconfig.ParseError
		if !errors.As(err, &unread) {
			return s, problems, err
		}
		if _, ours := values[unread.KeyName]; !ours { // unreachable unless a default in the struct tags is broken
			return s, problems, err
		}
		problems = append(problems, problem{unread.FieldName,
			fmt.Sprintf("%s is %q: %v", prefix+unread.FieldName, unread.Value, unread.Err)})
		delete(values, unread.KeyName)
		if err := os.Unsetenv(unread.KeyName); err != nil {
			return s, problems, err
		}
	}
}

// place makes the process environment hold exactly values under the settings' folded names; restore puts
// back what was there and is never nil.
func place(values map[string]string) (restore func(), err error) {
	before := make(map[string]string)
	restore = func() {
		for _, f := range fields() {
			if value, was := before[f.variable()]; was {
				os.Setenv(f.variable(), value)
			} else {
				os.Unsetenv(f.variable())
			}
		}
	}
	for _, f := range fields() {
		if value, is := os.LookupEnv(f.variable()); is {
			before[f.variable()] = value
		}
	}
	for _, f := range fields() {
		name := f.variable()
		if value, is := values[name]; is {
			err = os.Setenv(name, value)
		} else {
			err = os.Unsetenv(name)
		}
		if err != nil {
			return restore, err
		}
	}
	return restore, nil
}
