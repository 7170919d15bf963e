package fhirservice

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// Call is one FHIR call as it arrived.
type Call struct {
	Time     time.Time `json:"time"` // by the service's clock
	Method   string    `json:"method"`
	Path     string    `json:"path"`
	RawQuery string    `json:"rawQuery,omitempty"`
	Host     string    `json:"host"` // as in the Host header
	Kind     Operation `json:"kind"`
	Token    bool      `json:"token"`  // whether the call carried a Bearer token
	Agent    string    `json:"agent"`  // its User-Agent
	Status   int       `json:"status"` // 0 while it is being answered
}

type callLog struct {
	mu    sync.Mutex
	calls []Call
}

// callEntry is one call in the log, to be completed.
type callEntry struct {
	log    *callLog
	number int64 // from 1
}

func (l *callLog) begin(now time.Time, r *http.Request) *callEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, Call{
		Time: now, Method: r.Method, Path: r.URL.Path, RawQuery: r.URL.RawQuery, Host: r.Host, Kind: Other,
		Token: strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "), Agent: r.UserAgent(),
	})
	return &callEntry{log: l, number: int64(len(l.calls))}
}

func (l *callLog) list() []Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Call{}, l.calls...)
}

func (e *callEntry) operation(op Operation) {
	e.log.mu.Lock()
	defer e.log.mu.Unlock()
	e.log.calls[e.number-1].Kind = op
}

func (e *callEntry) status(code int) {
	e.log.mu.Lock()
	defer e.log.mu.Unlock()
	e.log.calls[e.number-1].Status = code
}

func (e *callEntry) requestID() string { return numberedID(requestSpace, e.number) }
