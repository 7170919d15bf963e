// Package status says how a migration stands: as a struct, which is also the JSON of GET /api/Status, and as a page made of it.
//
// It reads the ledger alone, and few rows of it however long the migration is: the chunk row, the control row, the rows of search
// parameters and checks, those of windows that are open or were closed last, and a summary row. What the services would have to be
// asked for (their clocks, their totals) and what is spread over many rows (the windows that are closed) VerifyTimer puts into that
// summary row, a piece at each tick (Tick); a GET writes nothing and asks nobody else.
//
// What is not known is absent, never zero, and there is a reason with it.
package status
