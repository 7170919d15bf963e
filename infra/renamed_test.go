package infra

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What is renamed in the handler is missed by the alert or tile that asks for it: the other side of TestRulesFindWhatIsWrong.
func TestRenamedInTheHandler(t *testing.T) {
	t.Parallel()
	templates, err := committed()
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]mutation{
		"nothing":              {file: "main.go"},
		"an event":             {file: "internal/migration/migration.go", old: `"event", "Held"`, new: `"event", "Hold"`, want: "the alert 'held' asks for the event Held"},
		"an event's constant":  {file: "internal/event/event.go", old: `Operator = "Operator"`, new: `Operator = "Action"`, want: "the tile operators asks for the event Operator"},
		"a message":            {file: "internal/migration/migration.go", old: `"window closed"`, new: `"window done"`, want: `the alert 'no-progress' asks for the message "window closed"`},
		"a property":           {file: "internal/migration/migration.go", old: `"openWindows"`, new: `"open"`, want: "the tile migrated-till reads openWindows"},
		"a summary's property": {file: "internal/migration/migration.go", old: `json:"migratedTill,`, new: `json:"watermark,`, want: "the alert 'lag' reads migratedTill"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			if err := os.CopyFS(filepath.Join(root, "handler"), os.DirFS(filepath.Join("..", "handler"))); err != nil {
				t.Fatal(err)
			}
			m.folder = filepath.Join(root, "handler")
			if m.old != "" {
				if err := m.change(); err != nil {
					t.Fatal(err)
				}
			}
			events, err := readEvents(root)
			if err != nil {
				t.Fatal(err)
			}
			findings := events.checkQueries(templates, ".")
			if found := strings.Join(findings, "\n"); !strings.Contains(found, m.want) || (m.want == "") != (found == "") {
				t.Errorf("found %q, not %q", findings, m.want)
			}
		})
	}
}
