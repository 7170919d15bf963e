// The function app's storage account: the host's own blobs, the package, and the migration's tables and blobs, unless those lie in another
// account. No shared key, no public blob, TLS 1.2 at least.

param name string
param location string
param tags object

@description('The tables of the migration, made here so that they are there from the start. The handler makes what is missing.')
param tableNames string[]

@description('Days for which deleted blobs and containers can be brought back.')
param softDeleteDays int

@description('Days after which staged files and payloads are removed; 0 removes nothing.')
param retentionDays int

@description('Whether exports are de-identified: their files then lie in folders of the container anonymization, beside the configuration.')
param deidentified bool

@description('The de-identification configuration in the container anonymization. It is never removed.')
param configFile string

@description('Whether only private endpoints, and the resources below, get through the firewall.')
param closed bool

@description('Resources that get through the closed firewall: the workspaces and services of the FHIR services that export to this account and import from it.')
param trustedResourceIds string[]

resource account 'Microsoft.Storage/storageAccounts@2023-05-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: 'Standard_LRS'
  }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: 'Enabled' // trusted resources need it; the firewall below is what closes
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: closed ? 'Deny' : 'Allow'
      resourceAccessRules: [for id in trustedResourceIds: {
        tenantId: tenant().tenantId
        resourceId: id
      }]
    }
  }
}

resource blobService 'Microsoft.Storage/storageAccounts/blobServices@2023-05-01' = {
  parent: account
  name: 'default'
  properties: {
    deleteRetentionPolicy: {
      enabled: true
      days: softDeleteDays
    }
    containerDeleteRetentionPolicy: {
      enabled: true
      days: softDeleteDays
    }
  }
}

// Flex Consumption keeps the published package here.
resource packages 'Microsoft.Storage/storageAccounts/blobServices/containers@2023-05-01' = {
  parent: blobService
  name: 'app-package'
  properties: {
    publicAccess: 'None'
  }
}

// Where a de-identification configuration is put; exports and manifests have containers of their own, made as they begin.
resource anonymization 'Microsoft.Storage/storageAccounts/blobServices/containers@2023-05-01' = if (deidentified) {
  parent: blobService
  name: 'anonymization'
  properties: {
    publicAccess: 'None'
  }
}

resource tableService 'Microsoft.Storage/storageAccounts/tableServices@2023-05-01' = {
  parent: account
  name: 'default'
}

resource tables 'Microsoft.Storage/storageAccounts/tableServices/tables@2023-05-01' = [for table in tableNames: {
  parent: tableService
  name: table
}]

// A prefix begins with the container's name. A job's folder under anonymization begins with the year, so a configuration whose name does
// so as well is safe only if that prefix is left out.
var stagedPrefixes = [
  'export-'
  'import-'
  'importprocessed-'
]
var jobFolders = deidentified && !startsWith(configFile, '20') ? [
  'anonymization/20'
] : []

resource retention 'Microsoft.Storage/storageAccounts/managementPolicies@2023-05-01' = if (retentionDays > 0) {
  parent: account
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          name: 'remove-staged-files'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: [
                'blockBlob'
              ]
              prefixMatch: concat(stagedPrefixes, jobFolders)
            }
            actions: {
              baseBlob: {
                delete: {
                  daysAfterModificationGreaterThan: retentionDays
                }
              }
            }
          }
        }
      ]
    }
  }
  dependsOn: [
    blobService
  ]
}

output id string = account.id
output name string = account.name
output blobEndpoint string = account.properties.primaryEndpoints.blob
output tableEndpoint string = account.properties.primaryEndpoints.table
