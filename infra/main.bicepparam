using 'main.bicep'

// What you must say

// The destination: the FHIR service to import into.
//   az resource list --resource-type Microsoft.HealthcareApis/workspaces/fhirservices --query [].id
param destinationResourceId = '/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/health/providers/Microsoft.HealthcareApis/workspaces/contoso/fhirservices/records'

// The source: another such service, or an Azure API for FHIR (Microsoft.HealthcareApis/services).
param sourceResourceId = '/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/health-old/providers/Microsoft.HealthcareApis/services/contoso-fhir'

// Who hears of trouble.
param alertEmails = [
  'fhir-operators@contoso.example'
]

// Plan and size

// FlexConsumption or Dedicated (Linux B1, Always On).
param plan = 'FlexConsumption'
param instanceMemoryMB = 512

// When the timers fire: six fields, seconds first, UTC. Every 30 seconds costs little, as a tick with nothing to do is over at once.
param exportTimerSchedule = '*/30 * * * * *'
param importTimerSchedule = '*/30 * * * * *'
param verifyTimerSchedule = '*/30 * * * * *'

// Nothing moves while this is false. Set it to true when CheckAccess and Plan say what they should, and to false again when the cutover is done.
param timersEnabled = false

// Storage

// The account of the tool that you ran before, to go on with its tables (docs/migration-guide.md). Empty: a new account.
param stateStorageResourceId = ''

// The account that the FHIR services export to and import from, if it is another one.
param exportStorageResourceId = ''

// Give the FHIR services' identities their role on that account. The deployment fails where a service has no system-assigned identity yet.
param grantFhirServicesStorageAccess = false

// Switch $export and incremental $import on with that account. Read infra/README.md first; the portal does it as well.
param configureFhirServices = false

// Set to true to be able to post refused lines again, and to leave out lines that preflight found, with an export account of its own.
param repairExportedFiles = false

// Days after which exported files and payloads are removed. Leave it at 0 until the cutover is certified.
param retentionDays = 0

// Network

// Call through a virtual network, reach storage by private endpoints only.
param privateNetwork = false

// Address ranges that may call the app; empty: all, with a key.
param allowedIpRanges = []

// What is migrated, and how: the settings that infra/settings.bicep lists. These are the ones most often changed.
param settings = {
  ExportWithHistory: true // every version, not just the latest
  ExportWithDelete: true // deletions too
  // StartDate: '2019-01-01'
  // SpecificRun: true
  // EndDate: '2026-12-31'
  // PauseDm: true // nothing new starts from StartTime until EndTime, in hours UTC
  // StartTime: 8
  // EndTime: 17
}
