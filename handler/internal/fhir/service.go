package fhir

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// Options say which service, and how it is called.
type Options struct {
	// Base is the FHIR base URL; it may have a path, and a trailing slash does not matter.
	Base string
	// Credential authorises the calls. nil sends no token, which is for emulators.
	Credential azcore.TokenCredential
	// Scope is what a token is asked for; the default is Base + "/.default".
	Scope string
	// UserAgent is sent with every call; the default is fhir-migration-tool.
	UserAgent string
	// Client makes the calls; the default has a transport of its own. It is copied, and redirects are never followed.
	Client *http.Client
	// Clock is for the life of tokens and for a Retry-After that is a date; the default is time.Now.
	Clock func() time.Time
	// Timeout bounds one call with its body; the default is 100 s, because the status of an import may sleep for 60 s.
	Timeout time.Duration
}

// Service is one FHIR service. Its methods may be called concurrently.
type Service struct {
	base      *url.URL // without a trailing slash
	client    *http.Client
	tokens    *tokenSource // nil: no token
	userAgent string
	clock     func() time.Time
	timeout   time.Duration
}

// New checks the options. A credential is refused for a base that is plain http on another machine.
func New(o Options) (*Service, error) {
	base, err := baseURL(o.Base)
	if err != nil {
		return nil, err
	}
	if o.Credential != nil && base.Scheme == "http" && !loopback(base) {
		return nil, fmt.Errorf("FHIR service %s: a token would travel in the clear: use an https URL", base)
	}
	s := &Service{base: base, userAgent: o.UserAgent, clock: o.Clock, timeout: o.Timeout}
	if s.userAgent == "" {
		s.userAgent = "fhir-migration-tool"
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.timeout <= 0 {
		s.timeout = 100 * time.Second
	}
	client := http.Client{Transport: newTransport()}
	if o.Client != nil {
		client = *o.Client
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s.client = &client
	if o.Credential != nil {
		scope := o.Scope
		if scope == "" {
			scope = base.String() + "/.default"
		}
		s.tokens = &tokenSource{credential: o.Credential, scope: scope, clock: s.clock, timeout: s.timeout}
	}
	return s, nil
}

// Base is the service's base URL without a trailing slash.
func (s *Service) Base() string { return s.base.String() }

// Now is the service's time, to the second below, from the Date header of a cheap call: the status of an export
// that does not exist is answered in every state, also by a service that is retired or that forbids it.
func (s *Service) Now(ctx context.Context) (time.Time, error) {
	c := call{op: "ask for the time", method: http.MethodGet, path: jobPath(exportJob, "0"),
		accept: "application/json", want: []int{http.StatusOK, http.StatusAccepted, http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusGone}}
	a, err := s.do(ctx, c)
	if err != nil {
		return time.Time{}, err
	}
	defer a.close()
	date := a.header.Get("Date")
	now, err := http.ParseTime(date)
	if err != nil {
		return time.Time{}, a.unreadable(fmt.Sprintf("the Date header is %q", date))
	}
	return now.UTC(), nil
}

func baseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, errors.New("FHIR service: the base is not an http(s) URL")
	case u.User != nil, u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return nil, fmt.Errorf("FHIR service %s: the base URL may not have a user, a query or a fragment", u.Host)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = strings.TrimRight(u.RawPath, "/")
	return u, nil
}

// loopback says whether u is on this machine, where plain http is as good as https.
func loopback(u *url.URL) bool {
	host := u.Hostname()
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}

// newTransport is http.DefaultTransport with room for polls side by side, without compression (bounds on bodies would
// mean nothing) and with a bound on headers.
func newTransport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableCompression = true
	t.MaxIdleConnsPerHost = 16
	t.MaxResponseHeaderBytes = 256 << 10
	return t
}
