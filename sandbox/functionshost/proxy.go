package functionshost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"
)

// forward gives the caller's request to the handler as it came: path, query, method, headers and body, streamed both ways. The invocation
// succeeds whatever status the handler answers; it fails when there is no answer.
func forward(w http.ResponseWriter, r *http.Request) work {
	return func(ctx context.Context, p *process, id string) (logs []string, err error) {
		target, err := url.Parse(p.base)
		if err != nil {
			return nil, err
		}
		proxy := httputil.ReverseProxy{
			Rewrite:       func(pr *httputil.ProxyRequest) { rewrite(pr, target, id) },
			Transport:     patientTransport{p.client.Transport},
			FlushInterval: -1,
			ErrorLog:      log.New(io.Discard, "", 0), // the error is the invocation's reason
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, proxyErr error) {
				err = fmt.Errorf("%w: %w", errNoAnswer, proxyErr)
				w.WriteHeader(http.StatusBadGateway)
			},
		}
		defer func() {
			// An answer that breaks off after its headers can only be passed on as one that breaks off.
			if cause := recover(); cause != nil {
				if cause != http.ErrAbortHandler {
					panic(cause)
				}
				err = errAborted
			}
		}()
		proxy.ServeHTTP(w, r.WithContext(ctx))
		return nil, err
	}
}

// errAborted is the reason of an invocation whose answer broke off half-way.
var errAborted = errors.New("the answer broke off")

// rewrite points the request at the handler and puts the host's headers over the caller's.
func rewrite(pr *httputil.ProxyRequest, target *url.URL, id string) {
	pr.Out.URL.Scheme, pr.Out.URL.Host = target.Scheme, target.Host
	pr.Out.URL.RawQuery = pr.In.URL.RawQuery // untouched, even where it cannot be parsed
	pr.Out.Host = ""
	pr.SetXForwarded()
	pr.Out.Header.Set("X-Azure-Functions-InvocationId", id)
	pr.Out.Header.Set("X-Azure-Functions-HostVersion", hostVersion)
	pr.Out.Header.Set("X-Ms-Invocation-Id", id)
	pr.Out.Header.Set("Traceparent", traceParent())
}

// patientTransport tries again when the handler gives no answer, as the host's proxy does: up to ten times within two seconds, so that a quick
// restart does not show. The handler may have received the request, and done what it asks for, before its connection broke: then it gets it
// twice. A request with a body is sent again only when nobody listened, because the body can be read once.
type patientTransport struct{ next http.RoundTripper }

func (t patientTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	const tries = 10
	for try := 1; ; try++ {
		attempt, once := r.Clone(r.Context()), r.Body != nil && r.Body != http.NoBody
		if once {
			attempt.Body = io.NopCloser(r.Body) // a failed try closes its body
		}
		response, err := t.next.RoundTrip(attempt)
		var broken *net.OpError
		if err == nil || try == tries || once && !(errors.As(err, &broken) && broken.Op == "dial") {
			return response, err
		}
		if !sleep(r.Context(), 50*time.Millisecond+rand.N(150*time.Millisecond)) {
			return nil, r.Context().Err()
		}
	}
}
