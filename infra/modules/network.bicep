// Private networking: a virtual network with a subnet that the app calls through and one for private endpoints, and the DNS zones that
// make names resolve to them.

param name string
param location string
param tags object

@description('The network\'s address space, a /24 at least. The first /26 is the app\'s, the second the private endpoints\'.')
param addressPrefix string

@description('Flex Consumption and dedicated plans want their subnet delegated to different services.')
param flex bool

@description('Storage accounts whose blobs and tables are reached privately.')
param storageAccountIds string[]

@description('Azure Health Data Services workspaces that are reached privately.')
param workspaceIds string[]

@description('Azure API for FHIR services that are reached privately.')
param apiForFhirIds string[]

var storageEndpoints = flatten(map(storageAccountIds, id => [
  {
    target: id
    group: 'blob'
    zones: [
      blobZone
    ]
  }
  {
    target: id
    group: 'table'
    zones: [
      tableZone
    ]
  }
]))
var workspaceEndpoints = map(workspaceIds, id => {
  target: id
  group: 'healthcareworkspace'
  zones: workspaceZones
})
var apiForFhirEndpoints = map(apiForFhirIds, id => {
  target: id
  group: 'fhir'
  zones: [
    apiForFhirZone
  ]
})

var blobZone = 'privatelink.blob.${environment().suffixes.storage}'
var tableZone = 'privatelink.table.${environment().suffixes.storage}'
var workspaceZones = [
  'privatelink.workspace.azurehealthcareapis.com'
  'privatelink.fhir.azurehealthcareapis.com'
  'privatelink.dicom.azurehealthcareapis.com'
]
var apiForFhirZone = 'privatelink.azurehealthcareapis.com'

var endpoints = concat(storageEndpoints, workspaceEndpoints, apiForFhirEndpoints)
var zoneNames = concat([
  blobZone
  tableZone
], empty(workspaceIds) ? [] : workspaceZones, empty(apiForFhirIds) ? [] : [
  apiForFhirZone
])

resource network 'Microsoft.Network/virtualNetworks@2024-01-01' = {
  name: '${name}-vnet'
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [
        addressPrefix
      ]
    }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 26, 0)
          delegations: [
            {
              name: 'app'
              properties: {
                serviceName: flex ? 'Microsoft.App/environments' : 'Microsoft.Web/serverFarms'
              }
            }
          ]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: cidrSubnet(addressPrefix, 26, 1)
        }
      }
    ]
  }

  resource app 'subnets' existing = {
    name: 'app'
  }

  resource endpointSubnet 'subnets' existing = {
    name: 'endpoints'
  }
}

resource zones 'Microsoft.Network/privateDnsZones@2020-06-01' = [for zone in zoneNames: {
  name: zone
  location: 'global'
  tags: tags
}]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2020-06-01' = [for (zone, i) in zoneNames: {
  parent: zones[i]
  name: '${name}-vnet'
  location: 'global'
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: network.id
    }
  }
}]

resource privateEndpoints 'Microsoft.Network/privateEndpoints@2024-01-01' = [for endpoint in endpoints: {
  name: '${name}-${endpoint.group}-${uniqueString(endpoint.target)}'
  location: location
  tags: tags
  properties: {
    subnet: {
      id: network::endpointSubnet.id
    }
    privateLinkServiceConnections: [
      {
        name: endpoint.group
        properties: {
          privateLinkServiceId: endpoint.target
          groupIds: [
            endpoint.group
          ]
        }
      }
    ]
  }
}]

resource zoneGroups 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-01-01' = [for (endpoint, i) in endpoints: {
  parent: privateEndpoints[i]
  name: 'default'
  properties: {
    privateDnsZoneConfigs: map(endpoint.zones, zone => {
      name: replace(zone, '.', '-')
      properties: {
        privateDnsZoneId: resourceId('Microsoft.Network/privateDnsZones', zone)
      }
    })
  }
  dependsOn: [
    zones
  ]
}]

output appSubnetId string = network::app.id
