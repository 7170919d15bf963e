package infra

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// root is the repository.
const root = ".."

// committed are the templates as they are, parsed once.
var committed = sync.OnceValues(func() (map[string]*template, error) {
	files, err := templatesIn(".")
	if err != nil {
		return nil, err
	}
	trees, err := parse(files)
	templates := make(map[string]*template)
	for path, tree := range trees {
		name := filepath.ToSlash(path)
		templates[name] = newTemplate(name, tree)
	}
	return templates, err
})

// check finds what is wrong with templates, alone and beside the rest of the repository. folder holds what belongs to them.
func check(templates map[string]*template, folder string) (findings []string) {
	for _, t := range templates {
		findings = append(findings, t.checkSyntax()...)
	}
	if len(findings) > 0 {
		return findings
	}
	return slices.Concat(checkNames(templates), checkRoles(templates), checkPromised(templates), checkKeys(templates), checkRetention(templates), checkStart(templates),
		checkSettings(templates, root), checkEvents(templates, folder))
}

// The templates can be read, every name in them leads somewhere, and they keep what docs/security.md promises.
func TestTemplates(t *testing.T) {
	t.Parallel()
	templates, err := committed()
	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range check(templates, ".") {
		t.Error(finding)
	}
}

// parameterTold is a parameter with its value, as pages tell of it.
var parameterTold = regexp.MustCompile("`(\\w+) = [^`]+`")

// The pages tell of parameters that there are.
func TestParametersToldOf(t *testing.T) {
	t.Parallel()
	templates, err := committed()
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, page := range append(pages, "README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range parameterTold.FindAllStringSubmatch(string(text), -1) {
			if told++; templates["main.bicep"].params[m[1]] == nil {
				t.Errorf("%s tells of %s: main.bicep has no parameter %s", page, m[0], m[1])
			}
		}
	}
	if told < 5 {
		t.Errorf("%d parameters found", told)
	}
}

// Each rule finds what it is there for: one thing is changed in one place of a copy.
func TestRulesFindWhatIsWrong(t *testing.T) {
	t.Parallel()
	mutations := map[string]mutation{
		"a syntax error":                     {"main.bicep", "param tags object = {}", "param tags object = {", "cannot be parsed", ""},
		"a name that nobody declares":        {"modules/storage.bicep", "days: softDeleteDays", "days: softDeletedDays", "softDeletedDays is not declared", ""},
		"a parameter that nobody uses":       {"modules/workbook.bicep", "displayName: '${name}: FHIR migration'", "displayName: 'FHIR migration'", "name is not used", ""},
		"an argument too many":               {"main.bicep", "    closed: privateNetwork\n", "    closed: privateNetwork\n    open: true\n", "has no parameter open", ""},
		"an argument too few":                {"main.bicep", "    closed: privateNetwork\n", "", "needs the parameter closed", ""},
		"an output that there is not":        {"main.bicep", "storage.outputs.name\n", "storage.outputs.names\n", "has no output names", ""},
		"a loop where none may be":           {"main.bicep", "group: resourceGroup().name\n}", "group: [for i in range(0, 2): i]\n}", "use map", ""},
		"a role widened":                     {"main.bicep", "roles.fhirDataExporter.id\n      roles.fhirDataReader.id\n    ]\n    enableExport", "roles.fhirDataContributor.id\n    ]\n    enableExport", "sourceService gives", ""},
		"a role's id changed":                {"modules/roles.bicep", "4c8d0bbc-75d3-4935-991f-5f3c56d81508", "b24988ac-6180-42a0-ab88-20f7382dd24c", "the roles are", ""},
		"a role given by its id":             {"modules/storage-role.bicep", "', roleId)", "', 'b24988ac-6180-42a0-ab88-20f7382dd24c')", "a role is given by its id", ""},
		"a role on the resource group":       {"modules/fhir-service.bicep", "  scope: service\n", "", "not a resource", ""},
		"a shared key":                       {"modules/storage.bicep", "allowSharedKeyAccess: false", "allowSharedKeyAccess: true", "allowSharedKeyAccess", ""},
		"a key that is read":                 {"modules/storage.bicep", "output id string = account.id", "output id string = account.listKeys().keys[0].value", "listKeys", ""},
		"basic publishing":                   {"modules/function-app.bicep", "  name: 'scm'\n  properties: {\n    allow: false", "  name: 'scm'\n  properties: {\n    allow: true", "properties.allow is true", ""},
		"plain http":                         {"modules/function-app.bicep", "httpsOnly: true", "httpsOnly: false", "httpsOnly is false", ""},
		"publishing from anywhere":           {"modules/function-app.bicep", "  scmIpSecurityRestrictionsUseMain: true // publishing is bounded as calls are\n", "", "scmIpSecurityRestrictionsUseMain", ""},
		"what Flex Consumption refuses":      {"modules/function-app.bicep", "  http20Enabled: true\n", "  http20Enabled: true\n  ftpsState: 'Disabled'\n", "refuses a site with ftpsState", ""},
		"old TLS":                            {"modules/storage.bicep", "'TLS1_2'", "'TLS1_0'", "TLS1_0", ""},
		"a secret in an app setting":         {"main.bicep", "'@Microsoft.KeyVault(VaultName=${vault[?8] ?? ''};SecretName=${clientSecretName})'", "clientSecretName", "no Key Vault reference", ""},
		"files removed unasked":              {"main.bicep", "param retentionDays int = 0", "param retentionDays int = 30", "without being asked", ""},
		"timers on by default":               {"main.bicep", "param timersEnabled bool = false", "param timersEnabled bool = true", "begins as soon as it is published", ""},
		"timers on in the example":           {"main.bicepparam", "param timersEnabled = false", "param timersEnabled = true", "begins as soon as it is published", ""},
		"the configuration removed":          {"modules/storage.bicep", "'anonymization/20'", "'anonymization/'", "job folders are", ""},
		"a setting renamed in the templates": {"settings.bicep", "  ChunkLimit: int?", "  ChunkLimits: int?", "ChunkLimits, which is no setting", ""},
		"a setting renamed where it is set":  {"main.bicep", "AZURE_BlobStorageUri:", "AZURE_BlobUri:", "BlobUri, which is no setting", ""},
		"a setting misspelt by a deployer":   {"main.bicepparam", "ExportWithHistory:", "ExportHistory:", "no setting ExportHistory", ""},
		"a parameter misspelt":               {"main.bicepparam", "param retentionDays", "param retainDays", "has no parameter retainDays", ""},
		"a schedule renamed":                 {"main.bicep", "  VerifyTimerSchedule:", "  CheckTimerSchedule:", "VerifyTimerSchedule", ""},
		"an event renamed in an alert":       {"modules/monitoring.bicep", "== 'Held'", "== 'Hold'", "event Hold", ""},
		"a halt that nobody hears of":        {"modules/monitoring.bicep", "'ExportRetries'", "'ExportFailures'", "event ExportFailures", ""},
		"a summary's property renamed":       {"modules/monitoring.bicep", "line.migratedTill", "line.watermark", "reads watermark", ""},
		"a halt that is over by itself":      {"modules/monitoring.bicep", "lasts: false", "lasts: true", "it is logged once", ""},
		"a message renamed in an alert":      {"modules/monitoring.bicep", "'window closed'", "'window done'", "window done", ""},
		"an event renamed in the workbook":   {"modules/workbook.json", "== 'Outage'", "== 'Outages'", "event Outages", ""},
		"a message renamed in the workbook":  {"modules/workbook.json", "'export completed'", "'export finished'", "export finished", ""},
		"a property renamed in the workbook": {"modules/workbook.json", "line.sourceCount", "line.countAtSource", "reads countAtSource", ""},
	}
	var files []string
	for name, m := range mutations {
		m.folder = t.TempDir()
		if err := m.apply(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		mutations[name] = m
		if filepath.Ext(m.file) != ".json" {
			files = append(files, filepath.Join(m.folder, m.file))
		}
	}
	trees, err := parse(files) // all at once: starting node takes longest
	if err != nil {
		t.Fatal(err)
	}
	templates, err := committed()
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range mutations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changed := maps.Clone(templates)
			if tree := trees[filepath.Join(m.folder, m.file)]; tree != nil {
				changed[m.file] = newTemplate(m.file, tree)
			}
			findings := check(changed, m.folder)
			if !strings.Contains(strings.Join(findings, "\n"), m.want) || len(findings) == 0 {
				t.Errorf("found %q, not %q", findings, m.want)
			}
		})
	}
}

// mutation is a change of one text in one file of a copy, and what is then to be found.
type mutation struct{ file, old, new, want, folder string }

// apply copies the templates into the mutation's folder and makes the change.
func (m mutation) apply() error {
	if err := os.CopyFS(m.folder, os.DirFS(".")); err != nil {
		return err
	}
	return m.change()
}

// change makes it in the copy.
func (m mutation) change() error {
	file := filepath.Join(m.folder, m.file)
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	changed := strings.ReplaceAll(string(content), m.old, m.new)
	if changed == string(content) {
		return fmt.Errorf("%s has no %q", m.file, m.old)
	}
	return os.WriteFile(file, []byte(changed), 0o644)
}
