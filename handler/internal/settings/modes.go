package settings

import "strings"

func (c *checker) pause() {
	s := c.settings
	if s.PauseDm && s.StartTime == s.EndTime && !c.unsound("StartTime", "EndTime") {
		c.wrong("EndTime", "is %d like %[2]sStartTime: nobody can say whether that is a pause of no or of 24 hours; set different hours, "+
			"or stop the function app to stop for good", s.EndTime, prefix)
	}
}

// modes refuses what was asked for and cannot be done. A migration in another mode than the one that was asked for would move what
// nobody wanted moved.
func (c *checker) modes() {
	s := c.settings
	if s.IsExportDeidentified {
		c.deidentified()
	}
	if s.ConfigFile == "" || s.IsExportDeidentified {
		return
	}
	if _, decided := c.given[strings.ToUpper(prefix+"IsExportDeidentified")]; decided {
		s.Notices = append(s.Notices, prefix+"ConfigFile has no effect: "+prefix+"IsExportDeidentified is false")
		return
	}
	c.wrong("ConfigFile", "is set, but %[1]sIsExportDeidentified is not: set that to true for a de-identified export, or to false if identified data may go to "+
		"the destination", prefix)
}

// deidentified refuses what a de-identified export cannot be made with.
func (c *checker) deidentified() {
	s := c.settings
	if !s.IsParallel {
		c.wrong("IsExportDeidentified", "is true and %[1]sIsParallel false: only the whole system is exported de-identified; set %[1]sIsParallel to true", prefix)
	}
	switch name := strings.TrimSuffix(s.AnonymizationFile(), ".json"); {
	case s.ConfigFile == "":
		c.wrong("ConfigFile", "is missing: %sIsExportDeidentified is true; set it to the name of the configuration in the container anonymization", prefix)
	case name == "" || strings.ContainsFunc(s.ConfigFile, func(r rune) bool { return notInHeader(r) || strings.ContainsRune(`/\:?#"<>|*`, r) }):
		c.wrong("ConfigFile", "is %q: set it to the name of a file without folders, such as configuration.json", s.ConfigFile)
	}
}

func (c *checker) deletes() {
	if s := c.settings; !s.ExportWithDelete && !s.AllowDeletedToReturn {
		c.wrong("ExportWithDelete", "is false: a window exports resources as they were at its end, so one that was deleted later "+
			"comes back alive at the destination, and only a later window with deletes removes it again; "+
			"set %[1]sExportWithDelete to true, or accept it with %[1]sAllowDeletedToReturn=true", prefix)
	}
}

// tenant checks the settings of a source in another tenant against each other.
func (c *checker) tenant() {
	s := c.settings
	parts := []struct {
		name string
		set  bool
	}{{"TenantId", s.TenantId != ""}, {"ClientId", s.ClientId != ""}, {"ClientSecret", s.ClientSecret != ""}}
	for _, part := range parts {
		switch {
		case s.ClientCredential && !part.set:
			c.wrong(part.name, "is missing: %sClientCredential is true", prefix)
		case !s.ClientCredential && part.set:
			s.Notices = append(s.Notices, prefix+part.name+" has no effect without "+prefix+"ClientCredential=true")
		}
	}
	if strings.Trim(s.TenantId, tenantCharacters) != "" {
		c.wrong("TenantId", "is %q: set it to the tenant's id or one of its domain names", s.TenantId)
	}
	if s.ClientCredential && s.SourceCredential == CredentialNone {
		c.wrong("ClientCredential", "is true and %[1]sSourceCredential is none: set %[1]sSourceCredential to default, or take the client credential away", prefix)
	}
	c.audience("SourceAudience", s.SourceAudience)
	c.audience("DestinationAudience", s.DestinationAudience)
	if s.AuthorityHost != "" && !strings.HasPrefix(s.AuthorityHost, "https://") {
		c.problems = append(c.problems, problem{"", "AZURE_AUTHORITY_HOST is " + s.AuthorityHost + ": set it to the https URL that hands out tokens, such as https://login.microsoftonline.us/"})
	}
}

const tenantCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"

// audience refuses a scope where an audience is asked for: the two are easily mistaken for each other.
func (c *checker) audience(name, audience string) {
	switch {
	case strings.HasSuffix(audience, "/.default"):
		c.wrong(name, "is %q: leave /.default away, it is added", audience)
	case strings.ContainsFunc(audience, func(r rune) bool { return notInHeader(r) || r == ' ' }):
		c.wrong(name, "is %q: set it to one URI without spaces, such as https://example.fhir.azurehealthcareapis.com", audience)
	}
}
