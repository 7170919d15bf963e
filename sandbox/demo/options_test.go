package demo_test

import (
	"bytes"
	"errors"
	"flag"
	"strings"
	"testing"

	"fhirmigration/sandbox/demo"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func variables(set map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := set[name]
		return value, ok
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		arguments []string
		environ   map[string]string
		want      demo.Options
	}{
		"nothing": {want: demo.Options{Mode: "system", Resources: 20_000, Seed: 1, Pace: 1, Root: "."}},
		"empty variables, as make passes them on": {
			environ: map[string]string{"DATA": "", "CHAOS": "", "KEEP": "", "SEED": "", "RESOURCES": "", "MODE": ""},
			want:    demo.Options{Mode: "system", Resources: 20_000, Seed: 1, Pace: 1, Root: "."},
		},
		"variables": {
			environ: map[string]string{"DATA": "d", "CHAOS": "1", "KEEP": "true", "SEED": "7", "RESOURCES": "9", "MODE": "history"},
			want:    demo.Options{Mode: "history", Data: "d", Chaos: true, Keep: true, Seed: 7, Resources: 9, Pace: 1, Root: "."},
		},
		"flags go before variables": {
			arguments: []string{"-data", "f", "-chaos=false", "-seed", "8", "-resources", "5", "-pace", "0.5", "-root", "r", "-mode", "deletes"},
			environ:   map[string]string{"DATA": "d", "CHAOS": "1", "SEED": "7", "MODE": "history"},
			want:      demo.Options{Mode: "deletes", Data: "f", Seed: 8, Resources: 5, Pace: 0.5, Root: "r"},
		},
	}
	for name, test := range tests {
		var usage bytes.Buffer
		got, err := demo.Parse(test.arguments, variables(test.environ), &usage)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(test.want, got, cmpopts.IgnoreUnexported(demo.Options{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		arguments []string
		environ   map[string]string
		want      string // in the error
	}{
		"an argument":    {arguments: []string{"data"}, want: `argument "data"`},
		"no resources":   {arguments: []string{"-resources", "0"}, want: "0 resources"},
		"a backward run": {arguments: []string{"-pace", "-1"}, want: "pace -1"},
		"unknown flag":   {arguments: []string{"-fast"}, want: "-fast"},
		"MODE":           {environ: map[string]string{"MODE": "fast"}, want: `mode "fast": choose one of `},
		"CHAOS":          {environ: map[string]string{"CHAOS": "maybe"}, want: `CHAOS is "maybe"`},
		"SEED":           {environ: map[string]string{"SEED": "-1"}, want: `SEED is "-1"`},
		"RESOURCES":      {environ: map[string]string{"RESOURCES": "many"}, want: `RESOURCES is "many"`},
	}
	for name, test := range tests {
		var usage bytes.Buffer
		if _, err := demo.Parse(test.arguments, variables(test.environ), &usage); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		}
	}
}

func TestParseHelp(t *testing.T) {
	t.Parallel()
	var usage bytes.Buffer
	if _, err := demo.Parse([]string{"-help"}, variables(nil), &usage); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("error %v, want flag.ErrHelp", err)
	}
	for _, name := range []string{"DATA", "RESOURCES", "SEED", "CHAOS", "KEEP", "MODE"} {
		if !strings.Contains(usage.String(), name) {
			t.Errorf("help does not tell of %s:\n%s", name, usage.String())
		}
	}
}
