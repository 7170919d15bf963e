package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// scenarios is how many acceptance scenarios there are.
const scenarios = 32

var (
	scenarioRow  = regexp.MustCompile(`(?m)^\| T(\d\d) \| .+ \| .+ \| (.+) \|$`)
	scenarioTest = regexp.MustCompile(`(?m)^func (TestT(\d\d)[A-Za-z]\w*)\(t \*testing\.T\)`)
)

// numberedTests are the tests in the code whose names begin with the number of a scenario, by that number.
func numberedTests(t *testing.T) map[int][]string {
	t.Helper()
	found := map[int][]string{}
	for _, root := range []string{"handler", "e2e", "sandbox", "infra"} {
		err := filepath.WalkDir(filepath.Join("..", root), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.Name() == "node_modules" {
				return fs.SkipDir
			}
			if !strings.HasSuffix(path, "_test.go") {
				return nil
			}
			source, err := os.ReadFile(path)
			for _, m := range scenarioTest.FindAllStringSubmatch(string(source), -1) {
				n, _ := strconv.Atoi(m[2])
				found[n] = append(found[n], m[1])
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// Each scenario has a row with at least one test, the tests that a row names are in the code, and a test with a number is of a scenario, and in its row.
func TestScenariosHaveTests(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	tests, rows := numberedTests(t), 0
	for i, m := range scenarioRow.FindAllStringSubmatch(string(page), -1) {
		rows++
		if n, _ := strconv.Atoi(m[1]); n != i+1 {
			t.Errorf("row %d of scenarios.md is T%s", i+1, m[1])
		}
		for name := range strings.SplitSeq(m[2], ", ") {
			if !slices.Contains(tests[i+1], strings.Trim(name, "`")) {
				t.Errorf("scenarios.md has the test %s for T%s, which is not in the code", name, m[1])
			}
		}
	}
	if rows != scenarios {
		t.Errorf("scenarios.md has %d rows, want %d", rows, scenarios)
	}
	for n, names := range tests {
		for _, name := range names {
			if !strings.Contains(string(page), "`"+name+"`") {
				t.Errorf("scenarios.md does not have the test %s", name)
			}
		}
		if n < 1 || n > scenarios {
			t.Errorf("%v have the number of no scenario: there are T01 to T%d", names, scenarios)
		}
	}
}
