package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/google/go-cmp/cmp"

	"fhirmigration/handler/internal/settings"
)

// asked is a credential that hands out nothing and remembers what it was asked for.
type asked struct{ scopes []string }

var errNoToken = errors.New("no token here")

func (a *asked) GetToken(_ context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	a.scopes = append(a.scopes, o.Scopes...)
	return azcore.AccessToken{}, errNoToken
}

// load reads settings of Azure Government, with more on top.
func load(t *testing.T, more ...string) settings.Settings {
	t.Helper()
	set, err := settings.Load(append([]string{
		"AZURE_SourceUri=https://contoso-r4.fhir.azurehealthcareapis.us", "AZURE_DestinationUri=https://destination.fhir.azurehealthcareapis.us",
		"AZURE_StagingStorageUri=https://account.table.core.usgovcloudapi.net", "AZURE_BlobStorageUri=https://account.blob.core.usgovcloudapi.net",
	}, more...))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// T26: in a sovereign cloud, tokens are for the service's own URL, or for the audience that is set.
func TestT26ScopesInASovereignCloud(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		more []string
		want string
	}{
		{"own URL", nil, "https://contoso-r4.fhir.azurehealthcareapis.us/.default"},
		{"custom audience", []string{"AZURE_SourceAudience=api://contoso"}, "api://contoso/.default"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			set, credential := load(t, test.more...), &asked{}
			source, err := service(set.SourceUri, scope(set.SourceAudience), credential, set, time.Now)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := source.Now(t.Context()); !errors.Is(err, errNoToken) {
				t.Errorf("called without a token: %v", err)
			}
			if diff := cmp.Diff([]string{test.want}, credential.scopes); diff != "" {
				t.Errorf("scopes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	client := []string{"AZURE_ClientCredential=true", "AZURE_TenantId=contoso.example", "AZURE_ClientId=app", "AZURE_ClientSecret=s"}
	isDefault := func(c azcore.TokenCredential) bool { _, is := c.(*azidentity.DefaultAzureCredential); return is }
	isSecret := func(c azcore.TokenCredential) bool { _, is := c.(*azidentity.ClientSecretCredential); return is }

	c, err := newCredentials(load(t))
	if err != nil || !isDefault(c.source) || !isDefault(c.destination) || !isDefault(c.storage) {
		t.Errorf("by default: %T, %T, %T, %v", c.source, c.destination, c.storage, err)
	}
	c, err = newCredentials(load(t, client...))
	if err != nil || !isSecret(c.source) || !isDefault(c.destination) || !isDefault(c.storage) {
		t.Errorf("with a client secret: %T, %T, %T, %v", c.source, c.destination, c.storage, err)
	}
	local := load(t)
	local.SourceCredential, local.DestinationCredential = settings.CredentialNone, settings.CredentialNone
	c, err = newCredentials(local)
	if err != nil || c.source != nil || c.destination != nil || !isDefault(c.storage) {
		t.Errorf("without: %T, %T, %T, %v", c.source, c.destination, c.storage, err)
	}
	if _, err = newCredentials(load(t, append(client, "AZURE_AUTHORITY_HOST=https://login.microsoftonline.us/")...)); err != nil {
		t.Errorf("in a sovereign cloud: %v", err)
	}
}
