package functionshost

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// defaultLifetime is how long a managed identity's token lives on Azure.
const defaultLifetime = 24 * time.Hour

// The ways in which a token is no good. A service answers all of them with 401.
var (
	ErrUnknownToken  = errors.New("token was never issued, or is revoked")
	ErrWrongAudience = errors.New("token is for another audience")
	ErrExpiredToken  = errors.New("token has expired")
)

// Identity plays the managed identity of a function app: the endpoint that App Service offers to the app alone, and the word of Microsoft Entra
// on whether a token is good.
//
// The endpoint is GET $IDENTITY_ENDPOINT?api-version=2019-08-01&resource=<audience> with the header X-IDENTITY-HEADER: $IDENTITY_HEADER. It answers
// access_token, expires_on (Unix seconds, as a string), resource and token_type. A wrong header is 401, a query without resource or with another
// version 400. With both variables in its environment, azidentity's DefaultAzureCredential takes this road; it makes the audience from a scope by
// cutting "/.default" off. It keeps a token until five minutes before it expires, so a token that lives shorter is asked for every time; one that is revoked
// is offered again until it expires, as on Azure.
//
// Tokens are random texts that say nothing. One Identity may serve several hosts, one after the other.
type Identity struct {
	clock func() time.Time

	mu       sync.Mutex
	lifetime time.Duration
	tokens   map[string]token
	issued   map[string]int // by audience
}

type token struct {
	audience string
	expires  time.Time
}

// NewIdentity makes an identity that has issued nothing. Its tokens live for 24 hours.
func NewIdentity() *Identity {
	return &Identity{clock: time.Now, lifetime: defaultLifetime, tokens: map[string]token{}, issued: map[string]int{}}
}

// Verify says whether a token is good for an audience now: nil, [ErrUnknownToken], [ErrWrongAudience] or [ErrExpiredToken].
// Audiences are compared as they are; a slash at the end makes another one, as on Azure.
func (i *Identity) Verify(accessToken, audience string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	t, ok := i.tokens[accessToken]
	switch {
	case !ok:
		return ErrUnknownToken
	case t.audience != audience:
		return fmt.Errorf("%w: it is for %s, not %s", ErrWrongAudience, t.audience, audience)
	case !i.clock().Before(t.expires):
		return ErrExpiredToken
	}
	return nil
}

// Issued is how many tokens were issued for an audience, revoked ones included.
func (i *Identity) Issued(audience string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.issued[audience]
}

// SetLifetime changes how long tokens live that are issued from now on; expires_on tells it to the client.
func (i *Identity) SetLifetime(d time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.lifetime = d
}

// ExpireAll makes every token issued so far expire now, earlier than the client was told.
func (i *Identity) ExpireAll() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for text, t := range i.tokens {
		t.expires = i.clock()
		i.tokens[text] = t
	}
}

// RevokeAll forgets every token issued so far.
func (i *Identity) RevokeAll() {
	i.mu.Lock()
	defer i.mu.Unlock()
	clear(i.tokens)
}

// issue makes a token.
func (i *Identity) issue(audience string) (string, time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	text := rand.Text() + rand.Text()
	expires := i.clock().Add(i.lifetime)
	i.tokens[text] = token{audience: audience, expires: expires}
	i.issued[audience]++
	return text, expires
}

// endpoint is the identity's HTTP side for one host, whose secret the callers must show.
func (i *Identity) endpoint(secret string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /msi/token", func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		switch {
		case !matches(r.Header.Get("X-IDENTITY-HEADER"), secret):
			http.Error(w, `{"statusCode":401,"message":"X-IDENTITY-HEADER is missing or wrong"}`, http.StatusUnauthorized)
			return
		case query.Get("api-version") != "2019-08-01" || query.Get("resource") == "":
			http.Error(w, `{"statusCode":400,"message":"api-version=2019-08-01 and resource are needed"}`, http.StatusBadRequest)
			return
		}
		text, expires := i.issue(query.Get("resource"))
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		// The client has gone when this cannot be written.
		_ = json.NewEncoder(w).Encode(map[string]string{
			"access_token": text,
			"expires_on":   strconv.FormatInt(expires.Unix(), 10),
			"resource":     query.Get("resource"),
			"token_type":   "Bearer",
		})
	})
	return mux
}
