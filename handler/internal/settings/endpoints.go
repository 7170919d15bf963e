package settings

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

func (c *checker) services() {
	s := c.settings
	c.service("SourceUri", &s.SourceUri, "SourceCredential", s.SourceCredential, "export from")
	c.service("DestinationUri", &s.DestinationUri, "DestinationCredential", s.DestinationCredential, "import into")
	if !c.unsound("SourceUri", "DestinationUri") && s.SourceUri == s.DestinationUri {
		c.wrong("DestinationUri", "is the same as %sSourceUri: a service is not copied onto itself", prefix)
	}
}

func (c *checker) service(uriName string, uri *string, credentialName string, credential Credential, purpose string) {
	if *uri == "" {
		c.wrong(uriName, "is missing: set it to the base URL of the FHIR service to %s", purpose)
		return
	}
	base, err := endpoint(*uri)
	if err != nil {
		c.wrong(uriName, "%v", err)
		return
	}
	*uri = base.String()
	if credential == CredentialNone && !loopback(base) {
		c.wrong(credentialName, "is none, but %s%s is not on this machine: set it to default", prefix, uriName)
	}
}

func (c *checker) storage() {
	s := c.settings
	if s.StorageConnectionString != "" {
		if err := emulator(s.StorageConnectionString.Reveal()); err != nil {
			c.wrong("StorageConnectionString", "%v", err)
		}
	}
	c.store("StagingStorageUri", &s.StagingStorageUri, "table", "https://<account>.table.core.windows.net")
	c.store("BlobStorageUri", &s.BlobStorageUri, "blob", "https://<account>.blob.core.windows.net")
	if s.ExportStorageUri != "" {
		c.store("ExportStorageUri", &s.ExportStorageUri, "blob", "https://<account>.blob.core.windows.net")
	}
	if name := s.StagingStorageAccountName; name != "" && s.StagingStorageUri != "" && !c.unsound("StagingStorageUri") {
		if found := account(s.StagingStorageUri); !strings.EqualFold(found, name) {
			c.wrong("StagingStorageAccountName", "is %q, but %sStagingStorageUri leads to the account %q: set both to the same account, or take the name away",
				name, prefix, found)
		}
	}
}

func (c *checker) store(name string, uri *string, kind, example string) {
	if *uri == "" {
		if c.settings.StorageConnectionString == "" {
			c.wrong(name, "is missing: set it to the %s endpoint of the tool's storage account, such as %s", kind, example)
		}
		return
	}
	base, err := endpoint(*uri)
	if err != nil {
		c.wrong(name, "%v", err)
		return
	}
	*uri = base.String()
}

// account is the storage account of an endpoint: the first part of its host in every cloud.
func account(endpoint string) string {
	_, host, _ := strings.Cut(endpoint, "://")
	name, _, _ := strings.Cut(host, ".")
	return strings.TrimSuffix(name, "-secondary")
}

// endpoint reads a base URL without its trailing slash. The errors do not show the URL: what is wrong with it may be the
// password or the signature in it.
func endpoint(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil, u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "":
		return nil, errors.New("is not a URL: set it to one such as https://example.fhir.azurehealthcareapis.com")
	case u.User != nil:
		return nil, errors.New("holds a user name: take it out, credentials have settings of their own")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(raw, "#"):
		return nil, errors.New("has a query or a fragment: end it before the ? or #")
	case u.Scheme == "http" && !loopback(u):
		return nil, errors.New("begins with http: use https, data and tokens go there")
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = strings.TrimRight(u.RawPath, "/")
	u.Host = strings.ToLower(u.Host)
	return u, nil
}

// loopback says whether u is on this machine.
func loopback(u *url.URL) bool {
	host := u.Hostname()
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}

// emulator checks that a connection string leads to an emulator on this machine, whichever client reads it. The
// storage clients look up exact names, invent an address in Azure where an endpoint is missing, and the table
// client does so for a shared access signature even if one is given.
func emulator(connection string) error {
	found := make(map[string]bool)
	for part := range strings.SplitSeq(strings.TrimRight(connection, ";"), ";") {
		name, value, ok := strings.Cut(part, "=")
		if !ok {
			return errors.New("is not a connection string: write name=value pairs with ; between them")
		}
		found[name] = value != ""
		switch lower := strings.ToLower(name); {
		case lower == "endpointsuffix" || lower == "sharedaccesssignature" || lower == "usedevelopmentstorage":
			return fmt.Errorf("holds %s: name the emulator's endpoints and its account key instead; for a storage account in Azure, "+
				"set %[2]sStagingStorageUri and %[2]sBlobStorageUri and leave this empty", name, prefix)
		case strings.HasSuffix(lower, "endpoint"):
			if u, err := url.Parse(value); err != nil || !loopback(u) {
				return fmt.Errorf("has a %s that is not on this machine: it is for an emulator; for a storage account in Azure, "+
					"set %[2]sStagingStorageUri and %[2]sBlobStorageUri and leave this empty", name, prefix)
			}
		}
	}
	for _, needed := range []string{"AccountName", "AccountKey", "BlobEndpoint", "TableEndpoint"} {
		if !found[needed] {
			return fmt.Errorf("holds no %s: name AccountName, AccountKey, BlobEndpoint and TableEndpoint of the emulator", needed)
		}
	}
	return nil
}
