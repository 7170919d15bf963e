// Writes a FHIR service anew as it is, with its identity, $export and $import switched on. What can be read but not written is left out.

param workspaceName string
param serviceName string
param location string
param kind string
param tags object

@description('The service as it is.')
param identity object
param properties object

param storageAccountName string

@description('Whether $export writes to the account.')
param enableExport bool

@description('Whether incremental $import reads from the account.')
param enableImport bool

var readOnly = [
  'eventState'
  'privateEndpointConnections'
  'provisioningState'
]
var writable = toObject(filter(items(properties), p => !contains(readOnly, p.key)), p => p.key, p => p.value)
var userAssigned = identity.?userAssignedIdentities ?? {}
var exportSetting = enableExport ? {
  exportConfiguration: {
    storageAccountName: storageAccountName
  }
} : {}
var importSetting = enableImport ? {
  importConfiguration: {
    enabled: true
    initialImportMode: false
    integrationDataStore: storageAccountName
  }
} : {}

resource service 'Microsoft.HealthcareApis/workspaces/fhirservices@2024-03-31' = {
  name: '${workspaceName}/${serviceName}'
  location: location
  kind: kind
  tags: tags
  identity: empty(userAssigned) ? {
    type: 'SystemAssigned'
  } : {
    type: 'SystemAssigned,UserAssigned'
    userAssignedIdentities: toObject(items(userAssigned), i => i.key, i => {})
  }
  properties: union(writable, exportSetting, importSetting)
}

output servicePrincipalId string = service.identity.principalId
