// Package migration moves FHIR data window by window: the plan, the export step and the import step. A window is of all resource types, or in
// type mode (plan_types.go) of one.
//
// Each step is one tick of a timer. It reads the ledger, does what the ledger and the services allow, saves every single
// thing it did, and returns; nothing is remembered from one tick to the next, and a tick may die anywhere. ExportStep
// plans windows, starts their exports and follows them until they are exported; ImportStep takes them from there.
//
//	         $export accepted      200, manifest saved     payloads posted       all jobs ended, books balance
//	planned ------------------> exporting -----------> exported ---------> importing ----------------------> done
//	 ^ ^ |                        |  |  |                 |                    |                              ^
//	 | | | claim, kick-off        |  |  +-- nothing in it, and the source says so too ----------------------+
//	 | | +- too large ----+       |  |                    |                    |
//	 | +--- attempt failed| <-----+  |                    |                    |
//	 |                    v          v                    v                    |
//	 |                 splitting <---+------- more payloads than its row takes|
//	 +-- files gone: exported again <---------------------+--------------------+
//	held: out of attempts, books that do not balance, or lines that would fail the import. An operator releases it; other windows go on.
//
// The order of effects is what makes a crash harmless, and it must stay as it is (each is a counterexample of the
// protocol's model):
//
//   - A window row is inserted, then listed in the chunk row. A row found under the next number was inserted by a tick
//     that died: it is adopted as it stands, and looked for before planning jumps over a stretch or calls itself finished.
//   - The claim is saved, then $export is called, then its status URL is saved. Who cannot save the URL cancels its own job,
//     unless the row names that very job: then the save was ours and its reply was lost.
//   - The manifest is saved, then the row says exported. The request body is saved, then posted, then its URL is saved.
//     The import's result is saved, then the payload is complete.
//   - What a look at exported files found is saved as a blob, then the window is held. An acceptance is saved, then files are written without the
//     lines, then the row says that those take the place of the exported ones.
//   - A window is saved as done, then taken off the chunk row.
//
// Where the source was retired and answers exports alone, windows are not cut by counts but by what exports bring, and the newest one is
// open to its end: see exportonly.go, and exportparameters.go for its search parameters.
//
// Waiting is not failing: what is throttled, unreachable or still running leaves the window as it is, with a time before
// which it is not asked again.
package migration
