// The built-in roles that are given, by name, and nothing but these. The ids are the same in every tenant and cloud.
@export()
var roles = {
  fhirDataReader: {
    name: 'FHIR Data Reader'
    id: '4c8d0bbc-75d3-4935-991f-5f3c56d81508'
  }
  fhirDataExporter: {
    name: 'FHIR Data Exporter'
    id: '3db33094-8700-4567-8da5-1501d4e7e843'
  }
  fhirDataImporter: {
    name: 'FHIR Data Importer'
    id: '4465e953-8ced-4406-a58e-0f6e3f3b530b'
  }
  fhirDataContributor: {
    name: 'FHIR Data Contributor'
    id: '5a1fc7df-4bf1-4951-a576-89034ee01acd'
  }
  storageBlobDataReader: {
    name: 'Storage Blob Data Reader'
    id: '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1'
  }
  storageBlobDataContributor: {
    name: 'Storage Blob Data Contributor'
    id: 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
  }
  storageBlobDataOwner: {
    name: 'Storage Blob Data Owner'
    id: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  }
  storageTableDataContributor: {
    name: 'Storage Table Data Contributor'
    id: '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
  }
  monitoringMetricsPublisher: {
    name: 'Monitoring Metrics Publisher'
    id: '3913510d-42f4-4e42-8a64-420c390055eb'
  }
  keyVaultSecretsUser: {
    name: 'Key Vault Secrets User'
    id: '4633458b-17de-408a-b874-0445c86b69e6'
  }
}
