// Package ledger keeps what the migration knows, in the two storage tables of the durable original and one of its own, so
// that every tick can start from nothing and a storage browser shows what goes on.
//
// The chunk row of table "chunk" (PartitionKey, RowKey as the app settings say) has the next row number JobId, the watermark
// since, and our own plannedTill, openWindows, totals and pinned; outages, search parameters and checks have rows beside it,
// so that they do not contend with it. Table "export" has one row a window, under RowKey + number, and the rows of checks.
// Table "exceptions" has one row a refused line. Columns that this package does not know are kept as they are.
//
// Three rules hold everywhere, and callers rely on them:
//
//   - A row is changed only by the moves of this package (move_*.go, chunk.go). Each takes a row, refuses what is not
//     legal in its phase, and returns the row to save. No other code assigns a column.
//   - A save names the ETag that was read. Without one it is an error; aztables would take a missing ETag for
//     "overwrite whatever is there".
//   - A conflict (ErrConflict, ErrExists) may be the echo of our own save whose reply was lost. The caller reloads and
//     looks at the one column that it meant to set.
//
// A tick finds rows by key alone: each table is one partition, and a filter on anything but keys would read all of it.
//
// There is a twin of the table service in memory (Memory), and a Gate to put before every call: both for the tests that let
// a migration die at each of its saves.
package ledger
