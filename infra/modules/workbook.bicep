// The tiles of the original's dashboard, over this app's events.

param name string
param location string
param tags object

@description('The Application Insights component whose traces are shown.')
param insightsId string

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(insightsId, 'fhir-migration')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: '${name}: FHIR migration'
    category: 'workbook'
    version: 'Notebook/1.0'
    sourceId: insightsId
    serializedData: string(union(loadJsonContent('workbook.json'), {
      fallbackResourceIds: [
        insightsId // where the queries ask, wherever the workbook is opened
      ]
    }))
  }
}

output id string = workbook.id
