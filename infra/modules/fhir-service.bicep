// A FHIR service of an Azure Health Data Services workspace: the app's roles on it and, when asked for, its identity, $export and $import.

param workspaceName string
param serviceName string

@description('The function app\'s identity.')
param principalId string

@description('Ids of built-in roles that the app gets on the service.')
param roleIds string[]

@description('Whether the service\'s managed identity is switched on, and $export to storageAccountName: for a source.')
param enableExport bool

@description('Whether the service\'s managed identity is switched on, and incremental $import from storageAccountName: for a destination.')
param enableImport bool

param storageAccountName string

@description('Whether the service\'s own identity is read, to give it a role. It must have one, or be given one by enableExport or enableImport.')
param readIdentity bool

resource workspace 'Microsoft.HealthcareApis/workspaces@2024-03-31' existing = {
  name: workspaceName
}

resource service 'Microsoft.HealthcareApis/workspaces/fhirservices@2024-03-31' existing = {
  parent: workspace
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

var configure = enableExport || enableImport

module configuration 'fhir-service-configuration.bicep' = if (configure) {
  name: 'configure-${workspaceName}-${serviceName}' // source and destination may have one name, and lie in one resource group
  params: {
    workspaceName: workspaceName
    serviceName: serviceName
    location: service.location
    kind: service.kind
    tags: service.?tags ?? {}
    identity: service.?identity ?? {}
    properties: service.properties
    storageAccountName: storageAccountName
    enableExport: enableExport
    enableImport: enableImport
  }
}

output servicePrincipalId string = configure ? configuration!.outputs.servicePrincipalId : (readIdentity ? service.identity.principalId : '')
