// Package verify proves what the migration copied. It only reads the two FHIR services, and keeps what it finds.
//
// Two checks share one machinery. SurfaceCheck counts each type on both sides. DeepCheck compares contents, from a sample up to
// everything, against the live source or against the NDJSON that was exported. Either is a run: a row of the ledger with a cursor,
// counts and a seed, started by a request and advanced by a timer in steps that keep to a budget. A step saves after each part, so that
// whoever kills the process costs the parts that were under way and nothing else: they are done again, and counted once.
//
// Bottom-up:
//
//   - compare.go tells in what two resources differ, digit for digit; rank.go puts what matters to a patient first.
//   - outcome.go names what can become of a resource. "Could not be determined" is an outcome of its own, never a match.
//   - lookup.go asks the destination for given resources in bulk; join.go walks through a stretch of both sides side by side.
//   - live.go, sample.go, staged.go are the three ways of a DeepCheck; surface.go is the other check.
//   - run.go starts, reads, cancels and advances runs; report.go is what is answered.
package verify
