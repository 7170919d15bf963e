// The FHIR migration as a function app: storage, identity and roles, monitoring, and what else the parameters ask for. infra/README.md tells
// each step. Deployed to a resource group of its own; the FHIR services may be in any other of the tenant.
targetScope = 'resourceGroup'

import { migrationSettings } from 'settings.bicep'
import { roles } from 'modules/roles.bicep'

@description('Where everything is made. Best the region of the destination.')
param location string = resourceGroup().location

@description('Begins the names of all that is made: lower-case letters and digits.')
@minLength(3)
@maxLength(11)
param namePrefix string = 'fhirmigrate'

@description('The function app\'s name, which is part of its host name.')
param functionAppName string = '${namePrefix}-${uniqueString(resourceGroup().id)}'

param tags object = {}

// The plan

@description('FlexConsumption: pay for what runs, private networking possible. Dedicated: a Linux B1 plan with Always On, one machine, a fixed price.')
@allowed([
  'FlexConsumption'
  'Dedicated'
])
param plan string = 'FlexConsumption'

@description('Memory of an instance on Flex Consumption, in MB. The handler takes the same for a large migration as for a small one.')
@allowed([
  512
  2048
  4096
])
param instanceMemoryMB int = 512

@description('When the export timer fires: six fields, seconds first, UTC.')
param exportTimerSchedule string = '*/30 * * * * *'

@description('When the import timer fires.')
param importTimerSchedule string = '*/30 * * * * *'

@description('When the timer of checks fires.')
param verifyTimerSchedule string = '*/30 * * * * *'

@description('Whether the timers fire. False keeps everything as it is: before the first start, and after the cutover.')
param timersEnabled bool = false

// The FHIR services

@description('Resource id of the source: a Microsoft.HealthcareApis/workspaces/fhirservices or a Microsoft.HealthcareApis/services (Azure API for FHIR). Empty when it is in another tenant: then sourceUri, and roles given there by hand.')
param sourceResourceId string = ''

@description('Base URL of the source, where it is not the one that follows from the resource id in the public cloud.')
param sourceUri string = ''

@description('Resource id of the destination: a Microsoft.HealthcareApis/workspaces/fhirservices.')
param destinationResourceId string

@description('Base URL of the destination, where it is not the one that follows from the resource id in the public cloud.')
param destinationUri string = ''

@description('Whether the FHIR services\' own identities get Storage Blob Data Contributor on the export account. Both must have a system-assigned identity, or get one by the next parameter.')
param grantFhirServicesStorageAccess bool = false

@description('Whether $export is switched on at the source and incremental $import at the destination, both with the export account. It writes the services anew as they are, with those settings changed: read infra/README.md first. An Azure API for FHIR is left as it is.')
param configureFhirServices bool = false

// Storage

@description('Resource id of the account that holds the tables and manifests: that of the original tool, to go on with its tables. Empty: the account made here.')
param stateStorageResourceId string = ''

@description('Resource id of the account that the FHIR services export to and import from. Empty: the account of the tables.')
param exportStorageResourceId string = ''

@description('Days for which deleted blobs and containers of the account made here can be brought back.')
@minValue(1)
@maxValue(365)
param softDeleteDays int = 7

@description('Days after which exported files, manifests and payloads in the account made here are removed; 0 keeps them. Set it when the cutover is certified, not before.')
@minValue(0)
@maxValue(3650)
param retentionDays int = 0

@description('Whether the app may write to an export account that is not its own: it posts refused lines again, and writes files without the lines that preflight found (docs/operations.md).')
param repairExportedFiles bool = false

// What is migrated, and how

@description('The app settings of docs/settings.md, each under its name; those left out have their defaults.')
param settings migrationSettings = {}

@description('With settings.ClientCredential: the Key Vault that holds the client secret of the source\'s tenant.')
param keyVaultResourceId string = ''

@description('The name of that secret in the vault.')
param clientSecretName string = ''

// Network

@description('Whether the app calls through a virtual network and reaches its storage by private endpoints only.')
param privateNetwork bool = false

@description('Address space of that network: a /24 at least.')
param addressPrefix string = '10.90.0.0/24'

@description('With privateNetwork: whether the FHIR services get private endpoints in that network too. A service that has one takes no more public calls, from nobody: read infra/README.md first.')
param fhirPrivateEndpoints bool = false

@description('Address ranges that may call the app\'s HTTP functions and publish to it, such as 203.0.113.0/24. Empty: all, with a key.')
param allowedIpRanges string[] = []

// Monitoring

@description('Who gets a mail when the migration halts, a window is held, or nothing moves.')
param alertEmails string[] = []

@description('Whether the alert rules look.')
param alertsEnabled bool = true

@description('Hours without any progress that are worth a mail.')
@minValue(1)
@maxValue(47)
param noProgressHours int = 6

@description('Hours that the watermark may be behind before a mail is sent. It is behind by years at first: set it low when the migration has caught up.')
@minValue(1)
param lagLimitHours int = 87600

@description('Days for which logs are kept.')
@minValue(30)
@maxValue(730)
param logRetentionDays int = 90

// Parts of the resource ids: /subscriptions/2/resourceGroups/4/providers/6/7/8/9/10.
var source = split(sourceResourceId, '/')
var destination = split(destinationResourceId, '/')
var stateAccount = split(stateStorageResourceId, '/')
var exportAccount = split(exportStorageResourceId, '/')
var vault = split(keyVaultResourceId, '/')

var here = {
  subscription: subscription().subscriptionId
  group: resourceGroup().name
}
var sourceIsService = contains(toLower(sourceResourceId), '/microsoft.healthcareapis/workspaces/')
var sourceIsApiForFhir = contains(toLower(sourceResourceId), '/microsoft.healthcareapis/services/')
var sourceBase = !empty(sourceUri) ? sourceUri : sourceIsService ? 'https://${source[?8] ?? ''}-${source[?10] ?? ''}.fhir.azurehealthcareapis.com' : 'https://${source[?8] ?? ''}.azurehealthcareapis.com'
var destinationBase = !empty(destinationUri) ? destinationUri : 'https://${destination[8]}-${destination[10]}.fhir.azurehealthcareapis.com'

var accountName = toLower('${namePrefix}${uniqueString(resourceGroup().id)}')
var ownState = empty(stateStorageResourceId)
var stateAccountName = ownState ? accountName : stateAccount[?8] ?? ''
var exportElsewhere = !empty(exportStorageResourceId) && toLower(exportStorageResourceId) != toLower(stateStorageResourceId)
var exportAccountName = exportElsewhere ? exportAccount[?8] ?? '' : stateAccountName
var exportSubscription = exportElsewhere ? exportAccount[?2] ?? here.subscription : ownState ? here.subscription : stateAccount[?2] ?? here.subscription
var exportGroup = exportElsewhere ? exportAccount[?4] ?? here.group : ownState ? here.group : stateAccount[?4] ?? here.group

var deidentified = settings.?IsExportDeidentified ?? false
var copiesSearchParameters = settings.?MigrateSearchParameters ?? true
var hasSecret = !empty(keyVaultResourceId)

var tableNames = [
  settings.?ExportTableName ?? 'export'
  settings.?ChunkTableName ?? 'chunk'
  settings.?ExceptionTableName ?? 'exceptions'
]

// The workspaces and services that get through the firewall of the account made here, and that private endpoints lead to.
var workspaceIds = union(sourceIsService ? [
  join(take(source, 9), '/')
] : [], [
  join(take(destination, 9), '/')
])
var apiForFhirIds = sourceIsApiForFhir ? [
  sourceResourceId
] : []

module storage 'modules/storage.bicep' = {
  name: 'storage'
  params: {
    name: accountName
    location: location
    tags: tags
    tableNames: ownState ? tableNames : []
    softDeleteDays: softDeleteDays
    retentionDays: retentionDays
    deidentified: deidentified
    configFile: settings.?ConfigFile ?? ''
    closed: privateNetwork
    trustedResourceIds: toLower(exportAccountName) == accountName ? concat(workspaceIds, apiForFhirIds) : []
  }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  params: {
    name: functionAppName
    location: location
    tags: tags
    logRetentionDays: logRetentionDays
    alertEmails: alertEmails
    alertsEnabled: alertsEnabled
    noProgressHours: noProgressHours
    lagLimitHours: lagLimitHours
  }
}

module workbook 'modules/workbook.bicep' = {
  name: 'workbook'
  params: {
    name: functionAppName
    location: location
    tags: tags
    insightsId: monitoring.outputs.insightsId
  }
}

module network 'modules/network.bicep' = if (privateNetwork) {
  name: 'network'
  params: {
    name: functionAppName
    location: location
    tags: tags
    addressPrefix: addressPrefix
    flex: plan == 'FlexConsumption'
    storageAccountIds: union([
      storage.outputs.id
    ], ownState ? [] : [
      stateStorageResourceId
    ], exportElsewhere ? [
      exportStorageResourceId
    ] : [])
    workspaceIds: fhirPrivateEndpoints ? workspaceIds : []
    apiForFhirIds: fhirPrivateEndpoints ? apiForFhirIds : []
  }
}

// What the host reads. The account's name is enough in the public cloud; others need the endpoints.
var hostSettings = union(environment().name == 'AzureCloud' ? {
  AzureWebJobsStorage__accountName: accountName
} : {
  AzureWebJobsStorage__blobServiceUri: 'https://${accountName}.blob.${environment().suffixes.storage}'
  AzureWebJobsStorage__queueServiceUri: 'https://${accountName}.queue.${environment().suffixes.storage}'
  AzureWebJobsStorage__tableServiceUri: 'https://${accountName}.table.${environment().suffixes.storage}'
  AZURE_AUTHORITY_HOST: environment().authentication.loginEndpoint
}, {
  AzureWebJobsStorage__credential: 'managedidentity'
  APPLICATIONINSIGHTS_CONNECTION_STRING: monitoring.outputs.connectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'Authorization=AAD'
  ExportTimerSchedule: exportTimerSchedule
  ImportTimerSchedule: importTimerSchedule
  VerifyTimerSchedule: verifyTimerSchedule
  'AzureWebJobs.ExportTimer.Disabled': timersEnabled ? 'false' : 'true'
  'AzureWebJobs.ImportTimer.Disabled': timersEnabled ? 'false' : 'true'
  'AzureWebJobs.VerifyTimer.Disabled': timersEnabled ? 'false' : 'true'
})

// What follows from the resources.
var placeSettings = union({
  AZURE_SourceUri: sourceBase
  AZURE_DestinationUri: destinationBase
  AZURE_StagingStorageUri: 'https://${stateAccountName}.table.${environment().suffixes.storage}'
  AZURE_BlobStorageUri: 'https://${stateAccountName}.blob.${environment().suffixes.storage}'
  AZURE_ExportStorageUri: 'https://${exportAccountName}.blob.${environment().suffixes.storage}'
  AZURE_StagingStorageAccountName: stateAccountName
}, hasSecret ? {
  AZURE_ClientSecret: '@Microsoft.KeyVault(VaultName=${vault[?8] ?? ''};SecretName=${clientSecretName})'
} : {})

// What the deployer chose.
var chosenSettings = toObject(items(settings), s => 'AZURE_${s.key}', s => string(s.value))

module app 'modules/function-app.bicep' = {
  name: 'function-app'
  params: {
    name: functionAppName
    location: location
    tags: tags
    plan: plan
    instanceMemoryMB: instanceMemoryMB
    appSettings: union(hostSettings, placeSettings, chosenSettings)
    packageContainerUrl: '${storage.outputs.blobEndpoint}app-package'
    subnetId: privateNetwork ? network!.outputs.appSubnetId : ''
    allowedIpRanges: allowedIpRanges
  }
}

// Roles of the app, each on the resource itself

module ownStorageRoles 'modules/storage-role.bicep' = {
  name: 'roles-own-storage'
  params: {
    accountName: storage.outputs.name
    principalId: app.outputs.principalId
    roleIds: [
      roles.storageBlobDataOwner.id
      roles.storageTableDataContributor.id
    ]
  }
}

module stateStorageRoles 'modules/storage-role.bicep' = if (!ownState) {
  name: 'roles-state-storage'
  scope: resourceGroup(stateAccount[?2] ?? here.subscription, stateAccount[?4] ?? here.group)
  params: {
    accountName: stateAccountName
    principalId: app.outputs.principalId
    roleIds: [
      roles.storageBlobDataContributor.id
      roles.storageTableDataContributor.id
    ]
  }
}

module exportStorageRoles 'modules/storage-role.bicep' = if (exportElsewhere) {
  name: 'roles-export-storage'
  scope: resourceGroup(exportSubscription, exportGroup)
  params: {
    accountName: exportAccountName
    principalId: app.outputs.principalId
    roleIds: [
      deidentified || repairExportedFiles ? roles.storageBlobDataContributor.id : roles.storageBlobDataReader.id
    ]
  }
}

module telemetryRole 'modules/telemetry-role.bicep' = {
  name: 'roles-telemetry'
  params: {
    insightsName: monitoring.outputs.insightsName
    principalId: app.outputs.principalId
    roleIds: [
      roles.monitoringMetricsPublisher.id
    ]
  }
}

module secretRole 'modules/secret-role.bicep' = if (hasSecret) {
  name: 'roles-secret'
  scope: resourceGroup(vault[?2] ?? here.subscription, vault[?4] ?? here.group)
  params: {
    vaultName: vault[?8] ?? ''
    secretName: clientSecretName
    principalId: app.outputs.principalId
    roleIds: [
      roles.keyVaultSecretsUser.id
    ]
  }
}

module sourceService 'modules/fhir-service.bicep' = if (sourceIsService) {
  name: 'source'
  scope: resourceGroup(source[?2] ?? here.subscription, source[?4] ?? here.group)
  params: {
    workspaceName: source[?8] ?? ''
    serviceName: source[?10] ?? ''
    principalId: app.outputs.principalId
    roleIds: [
      roles.fhirDataExporter.id
      roles.fhirDataReader.id
    ]
    enableExport: configureFhirServices
    enableImport: false
    storageAccountName: exportAccountName
    readIdentity: grantFhirServicesStorageAccess
  }
}

module sourceApiForFhir 'modules/api-for-fhir.bicep' = if (sourceIsApiForFhir) {
  name: 'source-api-for-fhir'
  scope: resourceGroup(source[?2] ?? here.subscription, source[?4] ?? here.group)
  params: {
    serviceName: source[?8] ?? ''
    principalId: app.outputs.principalId
    roleIds: [
      roles.fhirDataExporter.id
      roles.fhirDataReader.id
    ]
    readIdentity: grantFhirServicesStorageAccess
  }
}

module destinationService 'modules/fhir-service.bicep' = {
  name: 'destination'
  scope: resourceGroup(destination[2], destination[4])
  params: {
    workspaceName: destination[8]
    serviceName: destination[10]
    principalId: app.outputs.principalId
    roleIds: concat([
      roles.fhirDataImporter.id
      roles.fhirDataReader.id
    ], copiesSearchParameters ? [
      roles.fhirDataContributor.id
    ] : [])
    enableExport: false
    enableImport: configureFhirServices
    storageAccountName: exportAccountName
    readIdentity: grantFhirServicesStorageAccess
  }
}

// Roles of the FHIR services themselves, on the account that they export to and import from

module sourceServiceStorage 'modules/storage-role.bicep' = if (grantFhirServicesStorageAccess && sourceIsService) {
  name: 'roles-source-export'
  scope: resourceGroup(exportSubscription, exportGroup)
  params: {
    accountName: exportAccountName
    principalId: sourceService!.outputs.servicePrincipalId
    roleIds: [
      roles.storageBlobDataContributor.id
    ]
  }
  dependsOn: [
    storage
  ]
}

module sourceApiForFhirStorage 'modules/storage-role.bicep' = if (grantFhirServicesStorageAccess && sourceIsApiForFhir) {
  name: 'roles-source-api-export'
  scope: resourceGroup(exportSubscription, exportGroup)
  params: {
    accountName: exportAccountName
    principalId: sourceApiForFhir!.outputs.servicePrincipalId
    roleIds: [
      roles.storageBlobDataContributor.id
    ]
  }
  dependsOn: [
    storage
  ]
}

module destinationServiceStorage 'modules/storage-role.bicep' = if (grantFhirServicesStorageAccess) {
  name: 'roles-destination-import'
  scope: resourceGroup(exportSubscription, exportGroup)
  params: {
    accountName: exportAccountName
    principalId: destinationService.outputs.servicePrincipalId
    roleIds: [
      roles.storageBlobDataContributor.id
    ]
  }
  dependsOn: [
    storage
  ]
}

@description('For make publish APP=...')
output functionAppName string = app.outputs.name
output hostName string = app.outputs.hostName
output functionAppPrincipalId string = app.outputs.principalId
output storageAccountName string = storage.outputs.name
output workbookId string = workbook.outputs.id
