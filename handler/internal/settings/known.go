package settings

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// withoutEffect are names that the durable original reads, or once read, and why they have no effect here.
var withoutEffect = []struct{ name, why string }{
	{"AppInsightConnectionString", "the Functions host sends the logs"},
	{"Debug", "there is no debug mode"},
	{"RetryCount", "retries are chosen by the kind of error"},
	{"WaitForRetry", "pauses between retries grow by themselves, and follow what the service asks for"},
	{"SourceHttpClient", "it was internal"},
	{"DestinationHttpClient", "it was internal"},
	{"TokenCredential", "it was internal"},
	{"QuerySurface", "it was internal"},
	{"QueryDeep", "it was internal"},
	{"HistoryDeleteQuerySurface", "it was internal"},
	{"HistoryDeleteQueryDeep", "it was internal"},
	{"StagingContainerName", "containers are named after the export"},
	{"StopDm", "PauseDm has taken its place"},
}

// azuresOwn are variables that Azure's SDKs, tools and platform read or set: azidentity 1.15 and azcore 1.24 (environment variables
// in their source), the Functions host, the Azure CLI and the Azure Developer CLI. Case matters to them.
var azuresOwn = strings.Fields(`
	AZURE_ADDITIONALLY_ALLOWED_TENANTS AZURE_AUTHORITY_HOST AZURE_CLIENT_CERTIFICATE_PASSWORD AZURE_CLIENT_CERTIFICATE_PATH AZURE_CLIENT_ID
	AZURE_CLIENT_SECRET AZURE_CLIENT_SEND_CERTIFICATE_CHAIN AZURE_FEDERATED_TOKEN_FILE AZURE_IDENTITY_DISABLE_MULTITENANTAUTH
	AZURE_KUBERNETES_CA_DATA AZURE_KUBERNETES_CA_FILE AZURE_KUBERNETES_SNI_NAME AZURE_KUBERNETES_TOKEN_PROXY AZURE_PASSWORD
	AZURE_POD_IDENTITY_AUTHORITY_HOST AZURE_REGIONAL_AUTHORITY_NAME AZURE_SDK_GO_LOGGING AZURE_TENANT_ID AZURE_TOKEN_CREDENTIALS AZURE_USERNAME
	AZURE_FUNCTIONS_ENVIRONMENT AZURE_TRACING_DISABLED AZURE_HTTP_USER_AGENT AZURE_CLOUD AZURE_ENVIRONMENT AZURE_CONFIG_DIR AZURE_EXTENSION_DIR
	AZURE_ENV_NAME AZURE_LOCATION AZURE_RESOURCE_GROUP AZURE_SUBSCRIPTION_ID AZURE_PRINCIPAL_ID AZURE_PRINCIPAL_TYPE`)

// azuresFamilies begin the names that the command lines make of their configuration. None of them is a setting spelt wrong: those have no
// underscore behind the prefix.
var azuresFamilies = []string{"AZURE_CLI_", "AZURE_CORE_", "AZURE_DEFAULTS_", "AZURE_DEV_", "AZURE_EXTENSION_", "AZURE_STORAGE_"}

// connectorEndings end the names that Azure's Service Connector makes: AZURE_<service>_RESOURCEENDPOINT.
var connectorEndings = []string{"_RESOURCEENDPOINT", "_CONNECTIONSTRING", "_CLIENTID", "_CLIENTSECRET", "_TENANTID", "_SCOPE", "_LISTCONNECTIONSTRINGURL", "_LISTKEYURL"}

func isAzures(name string) bool {
	return slices.ContainsFunc(connectorEndings, func(ending string) bool { return strings.HasSuffix(strings.TrimPrefix(name, prefix), ending) }) ||
		slices.Contains(azuresOwn, name) || slices.ContainsFunc(azuresFamilies, func(family string) bool { return strings.HasPrefix(name, family) })
}

// unknown sorts what is left of the spellings: a notice for each name that is accepted without effect, a problem for each that nobody
// knows. A misspelt setting must stop the migration: it may be the one that asked for de-identification.
func unknown(left map[string][]spelling) (notices []string, problems []problem) {
	for _, upper := range slices.Sorted(maps.Keys(left)) {
		for _, s := range left[upper] {
			if isAzures(s.name) {
				continue
			}
			if why, ok := effectless(upper); ok {
				notices = append(notices, fmt.Sprintf("%s is accepted and ignored: %s", s.name, why))
				continue
			}
			problems = append(problems, problem{"", fmt.Sprintf("%s is not a setting: did you mean %s? Correct the name, or take the setting away",
				s.name, nearest(s.name))})
		}
	}
	return slices.Compact(notices), problems
}

func effectless(upper string) (why string, ok bool) {
	for _, w := range withoutEffect {
		if upper == strings.ToUpper(prefix+w.name) {
			return w.why, true
		}
	}
	return "", false
}

// nearest is the setting whose name is nearest to name.
func nearest(name string) string {
	var labels []string
	for _, f := range fields() {
		labels = append(labels, f.label())
		if alias := f.tag("alias"); alias != "" {
			labels = append(labels, prefix+alias)
		}
	}
	return nearestOf(name, labels)
}

// nearestOf is the one of names that takes the fewest edits to get to from name, whatever the case; of several, the first.
func nearestOf(name string, names []string) string {
	return slices.MinFunc(names, func(a, b string) int {
		return edits(strings.ToUpper(name), strings.ToUpper(a)) - edits(strings.ToUpper(name), strings.ToUpper(b))
	})
}

// edits is the Levenshtein distance of two texts, in bytes: how many insertions, deletions and replacements make one the other.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
