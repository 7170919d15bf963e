package infra

import (
	"fmt"
	"regexp"
	"strings"
)

// musts are property values that resources of a type must have.
var musts = []struct{ resource, path, value string }{
	{"Microsoft.Storage/storageAccounts", "properties.allowSharedKeyAccess", "false"},
	{"Microsoft.Storage/storageAccounts", "properties.allowBlobPublicAccess", "false"},
	{"Microsoft.Storage/storageAccounts", "properties.minimumTlsVersion", "'TLS1_2'"},
	{"Microsoft.Storage/storageAccounts", "properties.supportsHttpsTrafficOnly", "true"},
	{"Microsoft.Storage/storageAccounts/blobServices/containers", "properties.publicAccess", "'None'"},
	{"Microsoft.Web/sites", "properties.httpsOnly", "true"},
	{"Microsoft.Web/sites", "identity.type", "'SystemAssigned'"},
	{"Microsoft.Web/sites/basicPublishingCredentialsPolicies", "properties.allow", "false"},
	{"Microsoft.Insights/components", "properties.DisableLocalAuth", "true"},
}

// forbidden are texts that would be a key or lead to one.
var forbidden = []string{"listKeys", "listAccountSas", "listServiceSas", "AccountKey", "connectionString:", "SharedAccessSignature", "allowSharedKeyAccess: true", "FtpsOnly", "AllAllowed"}

// checkKeys finds whatever works with a key or without encryption.
func checkKeys(templates map[string]*template) (findings []string) {
	policies := map[string]bool{}
	seen := map[string]bool{}
	for _, t := range templates {
		for _, text := range forbidden {
			if strings.Contains(t.root.Text, text) {
				findings = append(findings, fmt.Sprintf("%s: it says %s", t.file, text))
			}
		}
		for _, r := range t.resources {
			of, version, _ := strings.Cut(r.of, "@")
			if version == "" && !strings.Contains(of, "/") {
				continue // a child named inside its parent
			}
			if version == "" || strings.HasSuffix(version, "preview") {
				findings = append(findings, fmt.Sprintf("%s:%d: %s has no released API version", t.file, r.line, r.of))
			}
			if r.existing {
				continue
			}
			if of == "Microsoft.Web/sites/basicPublishingCredentialsPolicies" {
				policies[unquoted(r.body.property("name"))] = true
			}
			for _, m := range musts {
				if m.resource != of {
					continue
				}
				seen[m.resource] = true
				if got := r.body.property(strings.Split(m.path, ".")...).text(); got != m.value {
					findings = append(findings, fmt.Sprintf("%s:%d: %s is %s, must be %s", t.file, r.line, m.path, got, m.value))
				}
			}
		}
	}
	if !policies["ftp"] || !policies["scm"] {
		findings = append(findings, "basic publishing is not switched off for ftp and scm")
	}
	for _, m := range musts {
		if !seen[m.resource] {
			findings = append(findings, "there is no "+m.resource)
		}
	}
	findings = append(findings, checkSite(templates["modules/function-app.bicep"])...)
	if secret := templates["main.bicep"].root; regexp.MustCompile(`AZURE_ClientSecret: '@Microsoft\.KeyVault\(`).FindString(secret.Text) == "" {
		findings = append(findings, "main.bicep: AZURE_ClientSecret is no Key Vault reference")
	}
	return findings
}

// refusedByFlex are properties of a site that Flex Consumption answers with 400 ("for Flex Consumption sites is invalid"), whatever they say.
var refusedByFlex = []string{"alwaysOn", "ftpsState", "functionAppScaleLimit", "functionsRuntimeScaleMonitoringEnabled", "linuxFxVersion", "netFrameworkVersion",
	"preWarmedInstanceCount", "use32BitWorkerProcess", "windowsFxVersion"}

// checkSite finds what lets callers in that should not get in, and what keeps a site from being made.
func checkSite(t *template) (findings []string) {
	both, dedicated := t.vars["siteConfig"].last(), t.vars["dedicatedSiteConfig"].last()
	for _, m := range []struct {
		of          *node
		name, value string
	}{
		{both, "minTlsVersion", "'1.2'"},
		{both, "scmMinTlsVersion", "'1.2'"},
		{both, "ipSecurityRestrictionsDefaultAction", "empty(allowedIpRanges) ? 'Allow' : 'Deny'"},
		{both, "scmIpSecurityRestrictionsUseMain", "true"},
		{dedicated, "ftpsState", "'Disabled'"},
		{dedicated, "alwaysOn", "true"},
	} {
		if got := m.of.property(m.name).text(); got != m.value {
			findings = append(findings, fmt.Sprintf("%s: %s is %q, must be %q", t.file, m.name, got, m.value))
		}
	}
	for _, name := range refusedByFlex {
		if both.property(name) != nil {
			findings = append(findings, fmt.Sprintf("%s: Flex Consumption refuses a site with %s", t.file, name))
		}
	}
	return findings
}
