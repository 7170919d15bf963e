// Package fhirservice plays a FHIR service on this machine: the SQL kind (Azure Health Data Services) or the Cosmos kind (Azure API for FHIR),
// as microsoft/fhir-server behaves behind both.
//
// It is a judge, not a friend. It refuses what the real service refuses, with its status codes and bodies, and it has the habits that catch a careless
// client: an export of a past window shows resources as they were then, pages of a Cosmos search may be empty and still have a next link, an import that
// failed is handed back when the same body is posted again, a deleted export job takes its manifest with it.
//
// How it works, bottom-up:
//
//   - A [Version] is one stored version of a resource. The store keeps all of them, by type and id and along the axis of lastUpdated. The bytes of a
//     resource are kept as they came, but for id and meta: decimals and the order of keys survive digit for digit.
//   - Searches, histories, reads, writes and batches answer from the store at once.
//   - Custom search parameters are checked when they are written and searchable after a $reindex, for expressions that are simple paths.
//   - $export and $import make jobs. A job waits for one of [Options.Workers], is at work for as long as [Options.ExportTime] or [Options.ImportTime]
//     says, and then ends. Only [Options.Clock] decides when: each call first lets everything happen that was due by then, in order of time, so that a test
//     that moves the clock by an hour and polls sees what an hour would have done. Blobs are read and written in the background from the moment a job starts.
//   - A [Fault] is a misbehaviour on request, given to [Service.Inject] or posted to /_sandbox/faults.
//
// Every FHIR call is recorded ([Service.Calls], GET /_sandbox/calls).
//
// Left out, because they would only make a caller wait on the wall clock: the 15 seconds for which a finished export is held back and the sleep of up to a
// minute inside an import status call. Who wants them adds them to ExportTime or to a Fault with a Delay. Left out, too: search by the parameters of the specification,
// profiles, roles, and transactions.
package fhirservice
