// Package preflight looks at lines of exported NDJSON for what an import would stumble over: what makes the whole job fail, and what it
// would refuse line by line. It reads no storage: a caller hands it line after line, and keeps what Look.Save writes.
//
// Memory is bounded, however much is looked at, and so is what can be found:
//
//   - Order and repeats of versions are found between lines that have at most 200,000 versions between them, and among the last
//     1,000 versions of one resource.
//   - Of milliseconds, 100,000 are counted at a time, those with most lines: one with more than 10,000 lines is found when it has at least a
//     hundred-thousandth of all lines more than that.
//   - At most 100,000 lines can be left out; beyond that the files have to be mended. Of findings that leave nothing out the
//     first 1,000 of a kind are kept, and all are counted.
//
// What it knows of the service is in microsoft/fhir-server: rows are indexed as decimal(36,18), surrogate ids are made of the millisecond and
// a sequence, and version conflicts are found row by row.
package preflight
