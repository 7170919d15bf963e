// An Azure API for FHIR as the source: the app's roles on it. Its identity and its export account are set in the portal or with az
// (infra/README.md): the service is retired, and a deployment over it may be refused.

param serviceName string

@description('The function app\'s identity.')
param principalId string

@description('Ids of built-in roles that the app gets on the service.')
param roleIds string[]

@description('Whether the service\'s own identity is read, to give it a role. It must have one.')
param readIdentity bool

resource service 'Microsoft.HealthcareApis/services@2021-11-01' existing = {
  name: serviceName
}

resource assignments 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for roleId in roleIds: {
  name: guid(service.id, principalId, roleId)
  scope: service
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roleId)
  }
}]

output servicePrincipalId string = readIdentity ? service.identity.principalId : ''
