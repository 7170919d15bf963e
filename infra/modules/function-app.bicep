// The plan and the function app. The app has a system-assigned identity and uses it for everything: its storage, its package, its telemetry.

param name string
param location string
param tags object

@description('FlexConsumption, or Dedicated: Linux B1 with Always On.')
@allowed([
  'FlexConsumption'
  'Dedicated'
])
param plan string

@description('Memory of an instance on Flex Consumption, in MB.')
param instanceMemoryMB int

@description('All app settings but those that a plan adds.')
param appSettings object

@description('Where Flex Consumption keeps the published package.')
param packageContainerUrl string

@description('The subnet that calls leave through; empty without private networking.')
param subnetId string

@description('Address ranges that may call the app, in CIDR notation; empty lets all through. Every function asks for a key all the same.')
param allowedIpRanges string[]

var flex = plan == 'FlexConsumption'

var planSku = flex ? {
  name: 'FC1'
  tier: 'FlexConsumption'
} : {
  name: 'B1'
  tier: 'Basic'
}

// Flex Consumption refuses a site that says more: it has no FTP, is never always on, and takes its stack from functionAppConfig.
var siteConfig = {
  minTlsVersion: '1.2'
  scmMinTlsVersion: '1.2'
  http20Enabled: true
  ipSecurityRestrictionsDefaultAction: empty(allowedIpRanges) ? 'Allow' : 'Deny'
  ipSecurityRestrictions: map(range(0, length(allowedIpRanges)), i => {
    name: 'allowed-${i}'
    action: 'Allow'
    priority: 100 + i
    ipAddress: allowedIpRanges[i]
  })
  scmIpSecurityRestrictionsUseMain: true // publishing is bounded as calls are
}

// An empty linuxFxVersion is the stack of a custom handler.
var dedicatedSiteConfig = {
  alwaysOn: true
  ftpsState: 'Disabled'
  linuxFxVersion: ''
  vnetRouteAllEnabled: !empty(subnetId)
}

// On Flex Consumption these are no app settings: functionAppConfig says them.
var dedicatedSettings = {
  FUNCTIONS_EXTENSION_VERSION: '~4'
  FUNCTIONS_WORKER_RUNTIME: 'custom'
  WEBSITE_RUN_FROM_PACKAGE: '1'
}

resource hosting 'Microsoft.Web/serverfarms@2024-04-01' = {
  name: '${name}-plan'
  location: location
  tags: tags
  kind: flex ? 'functionapp' : 'linux'
  sku: planSku
  properties: {
    reserved: true // Linux
  }
}

resource app 'Microsoft.Web/sites@2024-04-01' = {
  name: name
  location: location
  tags: tags
  kind: 'functionapp,linux'
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    serverFarmId: hosting.id
    httpsOnly: true
    keyVaultReferenceIdentity: 'SystemAssigned'
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: flex ? siteConfig : union(siteConfig, dedicatedSiteConfig)
    functionAppConfig: flex ? {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packageContainerUrl
          authentication: {
            type: 'SystemAssignedIdentity'
          }
        }
      }
      runtime: {
        name: 'custom'
        version: '1.0'
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: 40
      }
    } : null
  }
}

resource settings 'Microsoft.Web/sites/config@2024-04-01' = {
  parent: app
  name: 'appsettings'
  properties: flex ? appSettings : union(appSettings, dedicatedSettings)
}

resource noFtp 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'ftp'
  properties: {
    allow: false
  }
}

resource noBasicPublishing 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'scm'
  properties: {
    allow: false
  }
}

output id string = app.id
output name string = app.name
output principalId string = app.identity.principalId
output hostName string = app.properties.defaultHostName
