package infra

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// builtIn are the ids of Azure's built-in roles that may be given.
var builtIn = map[string]string{
	"FHIR Data Reader":               "4c8d0bbc-75d3-4935-991f-5f3c56d81508",
	"FHIR Data Exporter":             "3db33094-8700-4567-8da5-1501d4e7e843",
	"FHIR Data Importer":             "4465e953-8ced-4406-a58e-0f6e3f3b530b",
	"FHIR Data Contributor":          "5a1fc7df-4bf1-4951-a576-89034ee01acd",
	"Storage Blob Data Reader":       "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
	"Storage Blob Data Contributor":  "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
	"Storage Blob Data Owner":        "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
	"Storage Table Data Contributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
	"Monitoring Metrics Publisher":   "3913510d-42f4-4e42-8a64-420c390055eb",
	"Key Vault Secrets User":         "4633458b-17de-408a-b874-0445c86b69e6",
}

// given are the roles that main.bicep gives, by the module that gives them, as docs/security.md says. A role in brackets takes a parameter.
var given = map[string]string{
	"ownStorageRoles":           "storageBlobDataOwner storageTableDataContributor",
	"stateStorageRoles":         "storageBlobDataContributor storageTableDataContributor",
	"exportStorageRoles":        "deidentified || repairExportedFiles ? storageBlobDataContributor : storageBlobDataReader",
	"telemetryRole":             "monitoringMetricsPublisher",
	"secretRole":                "keyVaultSecretsUser",
	"sourceService":             "fhirDataExporter fhirDataReader",
	"sourceApiForFhir":          "fhirDataExporter fhirDataReader",
	"destinationService":        "fhirDataImporter fhirDataReader copiesSearchParameters ? fhirDataContributor",
	"sourceServiceStorage":      "storageBlobDataContributor",
	"sourceApiForFhirStorage":   "storageBlobDataContributor",
	"destinationServiceStorage": "storageBlobDataContributor",
}

var (
	roleID  = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	roleUse = regexp.MustCompile(`roles\.(\w+)\.id`)
)

// checkRoles finds roles that are wider than what is promised, by what they allow or by where they hold.
func checkRoles(templates map[string]*template) (findings []string) {
	found := map[string]string{}
	if t := templates["modules/roles.bicep"]; t != nil {
		for _, p := range t.vars["roles"].last().Children {
			found[unquoted(p.Children[1].property("name"))] = unquoted(p.Children[1].property("id"))
		}
	}
	if !maps.Equal(found, builtIn) {
		findings = append(findings, fmt.Sprintf("modules/roles.bicep: the roles are %v", found))
	}
	assigned := 0
	for _, t := range templates {
		if filepath.Ext(t.file) == ".bicep" && t.file != "modules/roles.bicep" && roleID.MatchString(t.root.Text) {
			findings = append(findings, t.file+": a role is given by its id: name it in modules/roles.bicep")
		}
		for _, r := range t.resources {
			if strings.HasPrefix(r.of, "Microsoft.Authorization/roleDefinitions@") {
				findings = append(findings, fmt.Sprintf("%s:%d: a role of its own", t.file, r.line))
			}
			if strings.HasPrefix(r.of, "Microsoft.Authorization/roleAssignments@") {
				assigned++
				findings = append(findings, t.checkAssignment(r)...)
			}
		}
	}
	if assigned == 0 {
		findings = append(findings, "no role is assigned")
	}
	return append(findings, checkGiven(templates["main.bicep"])...)
}

// checkAssignment: a role holds on one resource that the template names, and is one of those that its caller asks for.
func (t *template) checkAssignment(r declaration) (findings []string) {
	where := fmt.Sprintf("%s:%d: role assignment %s", t.file, r.line, r.symbol)
	scope := r.body.property("scope").text()
	if !slices.ContainsFunc(t.resources, func(on declaration) bool {
		return on.symbol == scope && on.existing && !strings.HasPrefix(on.of, "Microsoft.Resources/")
	}) {
		findings = append(findings, fmt.Sprintf("%s: its scope is %q, not a resource", where, scope))
	}
	if role := r.body.property("properties", "roleDefinitionId").text(); role != "subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleId)" {
		findings = append(findings, fmt.Sprintf("%s: its role is %s, not one of roleIds", where, role))
	}
	return findings
}

// checkGiven compares what main.bicep gives with what is promised.
func checkGiven(main *template) (findings []string) {
	found := map[string]string{}
	for _, m := range main.modules {
		if roleIDs := m.body.property("params", "roleIds"); roleIDs != nil {
			text := roleUse.ReplaceAllString(roleIDs.Text, "$1")
			text = strings.NewReplacer("concat(", " ", "[", " ", "]", " ", ",", " ", ")", " ", ": []", " ").Replace(strings.ReplaceAll(text, ": []", ""))
			found[m.symbol] = strings.Join(strings.Fields(text), " ")
		}
	}
	for name := range found {
		if found[name] != given[name] {
			findings = append(findings, fmt.Sprintf("main.bicep: %s gives %q; docs/security.md and this test say %q", name, found[name], given[name]))
		}
	}
	for name := range given {
		if _, ok := found[name]; !ok {
			findings = append(findings, fmt.Sprintf("main.bicep: %s gives nothing", name))
		}
	}
	return findings
}

// promised are the roles in docs/security.md's table of what the app may do.
var promised = regexp.MustCompile("(?ms)^## What the app may do\n(.*?)^## ")

// checkPromised compares that table with what main.bicep gives the app, an Azure API for FHIR like any other source.
func checkPromised(templates map[string]*template) (findings []string) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		return []string{err.Error()}
	}
	section := promised.FindString(string(page))
	var said, gives []string
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		for role := range strings.SplitSeq(cells[1], ",") {
			if role = strings.TrimSpace(role); builtIn[role] != "" {
				said = append(said, role)
			}
		}
	}
	names := templates["modules/roles.bicep"].vars["roles"].last()
	for module, roles := range given {
		if module == "sourceApiForFhir" || strings.HasSuffix(module, "ServiceStorage") || module == "sourceApiForFhirStorage" {
			continue // the same as sourceService; the FHIR services' own
		}
		for _, word := range strings.Fields(roles) {
			if role := names.property(word); role != nil {
				gives = append(gives, unquoted(role.property("name")))
			}
		}
	}
	slices.Sort(said)
	slices.Sort(gives)
	if !slices.Equal(said, gives) {
		findings = append(findings, fmt.Sprintf("docs/security.md promises %q, main.bicep gives %q", said, gives))
	}
	return findings
}

// checkRetention: staged files go only when asked, and a de-identification configuration never does.
func checkRetention(templates map[string]*template) (findings []string) {
	main, storage := templates["main.bicep"], templates["modules/storage.bicep"]
	if got := main.params["retentionDays"].last().text(); got != "0" {
		findings = append(findings, "main.bicep: files are removed after "+got+" days without being asked")
	}
	for _, r := range storage.resources {
		if strings.HasPrefix(r.of, "Microsoft.Storage/storageAccounts/managementPolicies@") && r.condition != "(retentionDays > 0)" {
			findings = append(findings, fmt.Sprintf("modules/storage.bicep:%d: the rule holds %s, not only when days are given", r.line, r.condition))
		}
	}
	prefixes := strings.Join(strings.Fields(storage.vars["stagedPrefixes"].last().text()), " ")
	if prefixes != "[ 'export-' 'import-' 'importprocessed-' ]" {
		findings = append(findings, "modules/storage.bicep: files are removed under "+prefixes)
	}
	folders := strings.Join(strings.Fields(storage.vars["jobFolders"].last().text()), " ")
	if folders != "deidentified && !startsWith(configFile, '20') ? [ 'anonymization/20' ] : []" {
		findings = append(findings, "modules/storage.bicep: job folders are "+folders)
	}
	return findings
}

// checkStart: nothing begins to move because it was deployed and published, before anybody has asked what is missing and what would be done.
func checkStart(templates map[string]*template) (findings []string) {
	for file, value := range map[string]*node{"main.bicep": templates["main.bicep"].params["timersEnabled"].last(), "main.bicepparam": templates["main.bicepparam"].vars["timersEnabled"].last()} {
		if value.text() != "false" {
			findings = append(findings, fmt.Sprintf("%s: timersEnabled is %s: the migration begins as soon as it is published", file, value.text()))
		}
	}
	return findings
}

// withoutParameter are the settings that no template sets, and why.
var withoutParameter = []string{
	"SourceCredential", "DestinationCredential", // none is for one machine
	"StorageConnectionString", // for an emulator
	"FunctionTimeoutMinutes",  // goes with host.json, which is in the package
}

var (
	documented = regexp.MustCompile("(?m)^\\| `(\\w+)` \\|")
	appSetting = regexp.MustCompile(`AZURE_(\w+):`)
	settingUse = regexp.MustCompile(`settings\.\?(\w+)`)
	schedule   = regexp.MustCompile(`"%(\w+)%"`)
)

// settingsOf are the settings that are parameters.
func settingsOf(t *template) (names []string) {
	if t == nil || t.types["migrationSettings"] == nil {
		return nil
	}
	for _, p := range t.types["migrationSettings"].last().Children {
		if name := p.child("identifier"); name != nil && p.Type == "object_property" {
			names = append(names, name.Text)
		}
	}
	return names
}

// checkSettings: every app setting that the handler reads is set, is a parameter, or is none for Azure, and nothing else is.
func checkSettings(templates map[string]*template, root string) (findings []string) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "settings.md"))
	if err != nil {
		return []string{err.Error()}
	}
	set := slices.Concat(settingsOf(templates["settings.bicep"]), withoutParameter)
	main := templates["main.bicep"].root.Text
	for _, m := range appSetting.FindAllStringSubmatch(main, -1) {
		if m[1] != "AUTHORITY_HOST" { // azidentity's own
			set = append(set, m[1])
		}
	}
	var known []string
	for _, m := range documented.FindAllStringSubmatch(string(page), -1) {
		known = append(known, m[1])
	}
	for _, name := range known {
		if n := count(set, name); n != 1 {
			findings = append(findings, fmt.Sprintf("the setting %s is in the templates %d times", name, n))
		}
	}
	for _, name := range set {
		if !slices.Contains(known, name) {
			findings = append(findings, fmt.Sprintf("the templates set %s, which is no setting of docs/settings.md", name))
		}
	}
	for _, m := range settingUse.FindAllStringSubmatch(main, -1) {
		if !slices.Contains(settingsOf(templates["settings.bicep"]), m[1]) {
			findings = append(findings, fmt.Sprintf("main.bicep reads settings.%s, which there is not", m[1]))
		}
	}
	functions, err := filepath.Glob(filepath.Join(root, "*", "function.json"))
	if err != nil || len(functions) == 0 {
		findings = append(findings, fmt.Sprintf("no function under %s (%v)", root, err))
	}
	for _, f := range functions {
		content, err := os.ReadFile(f)
		if err != nil {
			findings = append(findings, err.Error())
		}
		for _, m := range schedule.FindAllStringSubmatch(string(content), -1) {
			if !strings.Contains(main, "\n  "+m[1]+": ") {
				findings = append(findings, fmt.Sprintf("%s needs the app setting %s, which main.bicep does not set", f, m[1]))
			}
			if off := "'AzureWebJobs." + filepath.Base(filepath.Dir(f)) + ".Disabled': timersEnabled ? 'false' : 'true'"; !strings.Contains(main, off) {
				findings = append(findings, fmt.Sprintf("main.bicep does not switch the timer of %s", f))
			}
		}
	}
	return findings
}

func count(names []string, name string) (n int) {
	for _, s := range names {
		if s == name {
			n++
		}
	}
	return n
}
