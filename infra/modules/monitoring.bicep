// Log Analytics, Application Insights, who is told, and when. The handler writes one JSON line a transition to the host's log, which becomes
// a row of traces; its "event" is what the queries look for.

param name string
param location string
param tags object

@description('Days for which logs are kept.')
param logRetentionDays int

@description('Who gets a mail when something is wrong.')
param alertEmails string[]

@description('Whether the alert rules look. Switch it off before the first migration begins and after the last one ended.')
param alertsEnabled bool

@description('Hours without any progress that are worth a mail, up to 48.')
param noProgressHours int

@description('Hours that the watermark may be behind, once it has caught up.')
param lagLimitHours int

resource workspace 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: '${name}-logs'
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: logRetentionDays
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: '${name}-insights'
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: workspace.id
    DisableLocalAuth: true // telemetry is taken from identities that have the role for it, and from no key
  }
}

resource operators 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: '${name}-operators'
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'fhirmigrate'
    emailReceivers: [for (address, i) in alertEmails: {
      name: 'operator-${i}'
      emailAddress: address
      useCommonAlertSchema: true
    }]
  }
}

// Each query gives rows when something is wrong, and none otherwise. What is logged once, when it begins, is no state: that an hour later
// nobody logs it does not say that it is over. Such an alert (lasts: false) mails and is not resolved by itself; the time that it is then
// muted is that of its window, so that a line is told of once, and one that comes late is not missed.
var alerts = [
  {
    name: 'halted'
    description: 'The migration has halted: too many ticks in a row failed. Nothing new starts until somebody calls POST /api/ClearMaxExportRetries. docs/troubleshooting.md says what to do.'
    severity: 1
    lasts: false
    frequency: 'PT5M'
    window: 'PT15M'
    query: '''
      traces
      | extend line = parse_json(message)
      | where tostring(line.event) == 'ExportRetries' and tostring(line.level) == 'ERROR'
    '''
  }
  {
    name: 'not-working'
    description: 'App settings that cannot be, or a step that fails each time: a role that is missing, a setting that changed. It goes on when that is mended. docs/troubleshooting.md says what to do.'
    severity: 1
    lasts: true
    frequency: 'PT5M'
    window: 'PT15M'
    query: '''
      traces
      | extend line = parse_json(message)
      | where tostring(line.event) in ('Settings', 'Step') and tostring(line.level) == 'ERROR'
      | where isempty(tostring(line.function)) or tostring(line.function) endswith 'Timer'
      | summarize lines = count() by event = tostring(line.event)
      | where event != 'Step' or lines >= 3
    '''
  }
  {
    name: 'held'
    description: 'A window waits for an operator; others go on. docs/operations.md says how to release it.'
    severity: 2
    lasts: false
    frequency: 'PT5M'
    window: 'PT15M'
    query: '''
      traces
      | extend line = parse_json(message)
      | where tostring(line.event) == 'Held'
    '''
  }
  {
    name: 'no-progress'
    description: 'The timers fire, and no window was planned, exported, imported or closed for ${noProgressHours} hours. infra/README.md says when that is as it should be.'
    severity: 2
    lasts: true
    frequency: 'PT1H'
    window: 'P2D'
    query: replace('''
      traces
      | extend line = parse_json(message)
      | where tostring(line.event) in ('Export', 'Import', 'ImportTill')
      | where tostring(line.msg) in ('migration started', 'global window begun', 'window planned', 'window planned without a count', 'empty stretch passed over', 'types without anything passed over',
          'export completed', 'import completed', 'window closed', 'migrated till')
      | project timestamp, tick = false
      | union (requests | where operation_Name == 'ExportTimer' | project timestamp, tick = true)
      | summarize last = maxif(timestamp, not(tick)), first = minif(timestamp, tick), ticks = countif(tick and timestamp > ago(1h))
      | where ticks > 0 and first < ago(HOURSh) and (isnull(last) or last < ago(HOURSh))
    ''', 'HOURS', string(noProgressHours))
  }
  {
    name: 'lag'
    description: 'The watermark is more than ${lagLimitHours} hours behind.'
    severity: 3
    lasts: true
    frequency: 'PT1H'
    window: 'PT1H'
    query: replace('''
      traces
      | extend line = parse_json(message)
      | where tostring(line.step) == 'export' and isnotempty(tostring(line.migratedTill))
      | summarize till = max(todatetime(line.migratedTill))
      | where till < ago(HOURSh)
    ''', 'HOURS', string(lagLimitHours))
  }
]

resource rules 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for alert in alerts: {
  name: '${name}-${alert.name}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: '${name}: ${alert.name}'
    description: alert.description
    enabled: alertsEnabled
    severity: alert.severity
    scopes: [
      insights.id
    ]
    evaluationFrequency: alert.frequency
    windowSize: alert.window
    autoMitigate: alert.lasts
    muteActionsDuration: alert.lasts ? null : alert.window
    skipQueryValidation: true // the tables are empty at first
    criteria: {
      allOf: [
        {
          query: alert.query
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: {
            numberOfEvaluationPeriods: 1
            minFailingPeriodsToAlert: 1
          }
        }
      ]
    }
    actions: {
      actionGroups: [
        operators.id
      ]
    }
  }
}]

output insightsId string = insights.id
output insightsName string = insights.name
output connectionString string = insights.properties.ConnectionString
