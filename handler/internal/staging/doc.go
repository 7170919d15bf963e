// Package staging keeps what is too large for a row, as blobs in the function app's own storage account.
//
// Each export has a container import-<exportId>, as the original names it. In it:
//
//	manifest.json                  the export's 200 body, saved first of all and never replaced
//	import_payload_N.json          the request body of the N-th $import, saved before it is posted
//	import_payload_N_post_M.json   the same, posted again after a failed job
//	..._result.json                what the job answered when it ended, saved before the payload is called complete
//	preflight_N_...                what the N-th look at the exported files found, and files without lines that are left out
//
// What is to be imported derives from the manifest blob alone, and from what an operator has left out, so that two ticks, or a tick and its successor after a
// crash, post the same bodies: the destination knows a body that it has seen and gives the same job.
//
// There is a twin of the storage account in memory (Memory), and a Gate to put before every call: both for the tests that
// let a migration die at each of its writes.
package staging
