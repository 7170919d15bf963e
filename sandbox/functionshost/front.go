package functionshost

import (
	"cmp"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// serveFront answers the callers of the function app: the admin's demand to run a function, and HTTP functions by their routes.
func (h *Host) serveFront(w http.ResponseWriter, r *http.Request) {
	if !h.begin() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	defer h.running.Done()
	if name, ok := strings.CutPrefix(r.URL.Path, "/admin/functions/"); ok {
		h.serveAdmin(w, r, name)
		return
	}
	h.serveFunction(w, r)
}

// serveAdmin is POST /admin/functions/{name}: it starts a run and answers 202 without waiting for it. The run does not take the timer's turn, so it can
// overlap one of the schedule, and a disabled function runs too (documentation).
func (h *Host) serveAdmin(w http.ResponseWriter, r *http.Request, name string) {
	if !matches(keyOf(r), h.masterKey) {
		http.Error(w, "the master key is needed, in x-functions-key", http.StatusUnauthorized)
		return
	}
	f := h.function(name)
	switch {
	case f == nil || r.Method != http.MethodPost:
		http.NotFound(w, r)
	case f.Trigger != "timer":
		http.Error(w, fmt.Sprintf("%s has no timer: call its route %s", f.Name, f.Route), http.StatusBadRequest)
	case !strings.Contains(r.Header.Get("Content-Type"), "json"):
		http.Error(w, "Content-Type: application/json is needed", http.StatusUnsupportedMediaType)
	case !isObject(r.Body):
		http.Error(w, `a JSON object is needed as the body: {"input":""}`, http.StatusBadRequest)
	case !h.begin():
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		go func() {
			defer h.running.Done()
			h.runTimer(h.life, f, causeAdmin, h.timers[f.Name].current())
		}()
		w.WriteHeader(http.StatusAccepted)
	}
}

// isObject says whether a body begins with a JSON object.
func isObject(body io.Reader) bool {
	var object map[string]any
	return json.NewDecoder(body).Decode(&object) == nil && object != nil
}

// serveFunction finds the function, checks the key and forwards the request. What is not there, not allowed as a method or disabled is 404 to
// everyone; only the master key runs a disabled function.
func (h *Host) serveFunction(w http.ResponseWriter, r *http.Request) {
	f := h.route(r)
	if f == nil || f.Disabled && !matches(keyOf(r), h.masterKey) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if !h.authorized(f, r) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	answered := &answer{ResponseWriter: w}
	inv := h.invoke(r.Context(), f, causeHTTP, forward(answered, r))
	switch {
	case inv.Reason == errAborted.Error():
		panic(http.ErrAbortHandler)
	case !answered.begun && !inv.Succeeded:
		w.WriteHeader(http.StatusServiceUnavailable) // the handler was never ready
	}
}

// route returns the most particular function for a request, nil when there is none.
func (h *Host) route(r *http.Request) *function {
	var found []*function
	for _, f := range h.functions {
		if f.Err == nil && f.Trigger == "http" && f.allows(r.Method) && f.route.matches(r.URL.EscapedPath()) {
			found = append(found, f)
		}
	}
	if len(found) == 0 {
		return nil
	}
	return slices.MinFunc(found, func(a, b *function) int { return a.route.compare(b.route) })
}

// authorized checks the key for the function's level. The master key opens every door.
func (h *Host) authorized(f *function, r *http.Request) bool {
	key := keyOf(r)
	switch f.AuthLevel {
	case "anonymous":
		return true
	case "function":
		return matches(key, h.functionKey) || matches(key, h.masterKey) || matches(key, h.KeyOf(f.Name))
	}
	return matches(key, h.masterKey)
}

// keyOf is the key that came with a request: the header, else the query. Neither is taken off before the handler sees the request.
func keyOf(r *http.Request) string {
	return cmp.Or(r.Header.Get("x-functions-key"), r.URL.Query().Get("code"))
}

func matches(got, want string) bool {
	return subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1
}

// answer notes whether anything was answered.
type answer struct {
	http.ResponseWriter
	begun bool
}

func (a *answer) WriteHeader(status int) {
	a.begun = true
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(p)
}

// Unwrap lets the proxy flush.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
