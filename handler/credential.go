package main

import (
	"fmt"
	"net"
	"net/url"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"fhirmigration/handler/internal/settings"
)

// credentials authorise calls; azidentity caches the tokens of each scope by itself where it can, fhir.Service does it where
// that matters.
type credentials struct {
	source, destination azcore.TokenCredential // nil: no token
	storage             azcore.TokenCredential
}

// newCredentials makes them from the settings; it calls nothing. Tokens for the source may come from another tenant, everything else
// is the function app's own identity. All are asked for at AZURE_AUTHORITY_HOST where that is set.
func newCredentials(set settings.Settings) (credentials, error) {
	client := azcore.ClientOptions{}
	if set.AuthorityHost != "" {
		client.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: set.AuthorityHost}
	}
	// Microsoft is asked whether an authority is to be trusted, unless it is one of its own. On this machine, nobody else can say.
	local := isLocal(set.AuthorityHost)
	own, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: client, DisableInstanceDiscovery: local})
	if err != nil {
		return credentials{}, fmt.Errorf("default Azure credential: %w", err)
	}
	c := credentials{source: own, destination: own, storage: own}
	if set.ClientCredential {
		c.source, err = azidentity.NewClientSecretCredential(set.TenantId, set.ClientId, set.ClientSecret.Reveal(),
			&azidentity.ClientSecretCredentialOptions{ClientOptions: client, DisableInstanceDiscovery: local})
		if err != nil {
			return credentials{}, fmt.Errorf("AZURE_ClientCredential: %w", err)
		}
	}
	if set.SourceCredential == settings.CredentialNone {
		c.source = nil
	}
	if set.DestinationCredential == settings.CredentialNone {
		c.destination = nil
	}
	return c, nil
}

// isLocal says whether a URL leads to this machine.
func isLocal(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && (u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback())
}

// scope is what tokens for an audience are asked for; "" leaves it to the service's base URL.
func scope(audience string) string {
	if audience == "" {
		return ""
	}
	return audience + "/.default"
}
