// Package functionshost plays the Azure Functions host for a custom handler on one machine.
//
// The real host reads host.json and one function.json a function, starts the handler as its child, and from then on speaks HTTP with it:
// `POST /<Function>` with an envelope when a timer fires, and the caller's own request for an HTTP function. It restarts a handler that
// crashes, until it crashes too often; it kills without warning a handler that outlives functionTimeout, and any handler when the host stops.
// This package does the same, so that a handler which works here has met the host's habits: the empty reply that hangs, the wrong content
// type that fails, the run that overlaps another, the SIGKILL in the middle of everything; and, with [Options.Freeze], the standstill after each answer.
//
// The way through the files: [Start] (host.go) reads the app (hostjson.go, functions.go, settings.go), keeps the handler alive (worker.go, process.go,
// probe.go), fires timers (schedule.go, timespan.go, timer.go), lets callers in (front.go, routing.go), and gives out tokens as the platform
// does (identity.go). Every call of the handler is an [Invocation] (invocation.go, envelope.go, proxy.go).
//
// # Where the rules come from
//
// Comments say "host" for what the sources of azure-functions-host do, and "documentation" for what Microsoft's documentation says. The host played
// is of the 4.1041 line, the first that forwards HTTP functions through a proxy. It has the habits of that line which later hosts lost: a handler
// that leaves with exit code 0 is not missed, and all calls fail from then on.
//
// # What is not played
//
// Other triggers than timer and HTTP, retry policies, HTTP functions in the envelope (set customHandler.enableProxyingHttpRequest), log levels of
// host.json, the lock and the status of a timer in blob storage (one host, one memory: a timer is never past due), scale-out, drain mode, limits
// of request size and of silence on a proxied request, CORS. A function that asks for one of the first three is listed with an error instead of being played wrongly.
package functionshost
