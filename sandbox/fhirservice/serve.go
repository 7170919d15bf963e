package fhirservice

import (
	"encoding/binary"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// Kestrel's default limits, in bytes: for a request body, and for the line with method and URL.
const (
	maxBody        = 30_000_000
	maxRequestLine = 8192
)

// ServeHTTP answers a FHIR call, or a call of the sandbox itself below /_sandbox/.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", s.now().Format(http.TimeFormat))
	if rest, ok := strings.CutPrefix(r.URL.Path, "/_sandbox/"); ok {
		s.control(w, r, rest)
		return
	}
	call := s.calls.begin(s.now(), r)
	out, lost := s.answer(r, call)
	call.status(out.status)
	if lost {
		panic(http.ErrAbortHandler) // net/http cuts the connection and says nothing
	}
	send(w, out)
}

func send(w http.ResponseWriter, out *reply) {
	for k, v := range out.header {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(out.body)))
	w.WriteHeader(out.status)
	_, _ = w.Write(out.body) // a caller that is gone does not matter
}

// answer does what a call asks for. lost says that the caller must not hear of it.
func (s *Service) answer(r *http.Request, call *callEntry) (out *reply, lost bool) {
	origin := "http://" + r.Host
	q := &request{
		method: r.Method, header: r.Header, id: call.requestID(), now: s.now(),
		origin: origin, base: origin + s.o.BasePath, full: origin + r.URL.RequestURI(),
	}
	out, lost, err := s.dispatch(r, q, call)
	if err != nil {
		out = s.errorReply(q, err)
	}
	out.header.Set("X-Request-Id", q.id)
	if theirs := r.Header.Get("X-Request-Id"); theirs != "" {
		out.header.Set("X-Correlation-Id", theirs)
	}
	if s.o.Kind == Cosmos {
		out.header.Set("X-Ms-Request-Charge", "2.83")
		out.header.Set("X-Ms-Session-Token", "0:-1#"+strconv.FormatInt(call.number, 10))
	}
	return out, lost
}

// dispatch runs the stages of the real pipeline in their order: authentication, the deprecated state, the import lock, throttling and other faults, the
// operation itself.
func (s *Service) dispatch(r *http.Request, q *request, call *callEntry) (*reply, bool, error) {
	if len(r.Method)+len(" ")+len(r.RequestURI)+len(" HTTP/1.1\r\n") > maxRequestLine {
		return newReply(http.StatusRequestURITooLong, "", nil), false, nil
	}
	if err := s.parse(r, q); err != nil {
		return nil, false, err
	}
	op, handle := s.route(q)
	call.operation(op)
	if err := s.authenticate(op, r.Header.Get("Authorization")); err != nil {
		return nil, false, err
	}
	injected := s.faults.takeCall(op, q)
	if err := injected.gone(r); err != nil {
		return nil, false, err
	}
	if locked := s.importLock(q, op); locked != nil {
		return locked, false, nil
	}
	if early, err := injected.before(r.Context(), q); early != nil || err != nil {
		return early, false, err
	}
	s.schedule.settle()
	out, err := handle(r.Context(), q)
	if err != nil {
		out = s.errorReply(q, err)
	}
	injected.rewrite(out, op, q)
	return out, injected.lost(), nil
}

// parse reads path, query and body.
func (s *Service) parse(r *http.Request, q *request) error {
	path, ok := strings.CutPrefix(r.URL.Path, s.o.BasePath)
	if !ok || path != "" && path[0] != '/' {
		return refuse(http.StatusNotFound, codeNotFound, "The FHIR base is %s, the call went to %s.", s.o.BasePath, r.URL.Path)
	}
	if path = strings.TrimPrefix(path, "/"); path != "" {
		q.segments = strings.Split(strings.TrimSuffix(path, "/"), "/")
	}
	var err error
	if q.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return badRequest("The query string cannot be read: %v", err)
	}
	if q.body, err = io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody)); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return refuse(http.StatusRequestEntityTooLarge, codeTooCostly, "The request body is larger than %d bytes.", maxBody)
		}
		return badRequest("The request body cannot be read: %v", err)
	}
	if q.method == http.MethodPost && q.segment(len(q.segments)-1) == "_search" {
		return parseForm(q)
	}
	return nil
}

// parseForm adds the form of a search by POST to the query.
func parseForm(q *request) error {
	media, _, err := mime.ParseMediaType(q.header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" {
		return badRequest("The Content-Type of a search by POST must be application/x-www-form-urlencoded, not %q.", q.header.Get("Content-Type"))
	}
	form, err := url.ParseQuery(string(q.body))
	if err != nil {
		return badRequest("The form cannot be read: %v", err)
	}
	for name, values := range form {
		q.query[name] = append(q.query[name], values...)
	}
	return nil
}

func (s *Service) authenticate(op Operation, authorization string) error {
	if s.o.Verify == nil || op == Metadata {
		return nil
	}
	denied := refuse(http.StatusUnauthorized, codeLogin, "Authentication failed.")
	denied.header.Set("WWW-Authenticate", "Bearer")
	token, ok := strings.CutPrefix(authorization, "Bearer ")
	if !ok || token == "" || s.o.Verify(token) != nil {
		return denied
	}
	return nil
}

// importLock refuses writes while the service is in initial-import mode. Its body is no OperationOutcome.
func (s *Service) importLock(q *request, op Operation) *reply {
	if !s.o.InitialImportMode {
		return nil
	}
	last := q.segment(len(q.segments) - 1)
	allowed := q.method == http.MethodGet && last != "$reindex" ||
		q.method == http.MethodPost && (last == "$import" || op == Search || op == Count) ||
		q.method == http.MethodDelete && (op == ExportCancel || op == ImportCancel || op == ReindexCancel)
	if allowed {
		return nil
	}
	body := map[string]string{"severity": "error", "code": "forbidden", "diagnostics": "Service is locked for initial import mode."}
	return newReply(http.StatusLocked, plainJSON, encode(body))
}

// errorReply turns an error of a handler into an answer; what is no refusal is a fault of the sandbox itself.
func (s *Service) errorReply(q *request, err error) *reply {
	var refused *refusal
	if !errors.As(err, &refused) {
		refused = refuse(http.StatusInternalServerError, codeException, "%v", err)
	}
	return refused.reply(q.id, formatInstant(q.now))
}

// requestSpace makes ids of calls from their numbers, so that a run is the same each time.
var requestSpace = uuid.MustParse("6f0d3c39-8a8c-4b0b-9d7e-3f6a0c0de001")

func numberedID(space uuid.UUID, n int64) string {
	return uuid.NewSHA1(space, binary.BigEndian.AppendUint64(nil, uint64(n))).String()
}
