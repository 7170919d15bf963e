// Package fhir is one FHIR service, seen by a client that migrates: counts, the oldest resource, deletions, $export, $import
// and the state of their jobs. It speaks to Azure API for FHIR (Cosmos) and to Azure Health Data Services (SQL) and knows
// nothing of windows, tables and blobs.
//
// Every call ends in one of three ways: with what was asked for, with the caller's own context error, or with
// an *Error, whose Kind is the only thing a caller needs to decide what to do next. Status codes and outcomes are looked
// at here and nowhere else (errors.go, outcome.go), because the services report the end of a job with any status
// there is: a 429 from a job's status may be its final failure.
//
// What a service answers is not trusted further than needed. A token goes to the service's own scheme, host and
// path alone (location.go): addresses that come from outside, a Content-Location, a next link or a status URL that was
// stored, are rebuilt on the service's base or refused. Bodies are read as streams and within bounds (bundle.go). An answer
// that is no FHIR, or that lacks the number asked for, is an error and never a zero.
//
// A request goes out once. Nothing here repeats a call, but for one thing: a 401 is answered by renewing the token once
// (token.go). When to try again is for the caller to decide; Error.RetryAfter says what the service asked for.
package fhir
