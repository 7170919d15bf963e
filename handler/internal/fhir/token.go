package fhir

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"golang.org/x/sync/singleflight"
)

const (
	renewBefore = 5 * time.Minute  // a token is renewed this long before it ends
	renewPause  = 30 * time.Second // between two tries while the old token still holds
)

// errTokenLate is a token that did not come within a call's time.
var errTokenLate = errors.New("no token in time")

// tokenSource is the token of one service: cached, renewed early, and renewed once for all calls that wait for it.
type tokenSource struct {
	credential azcore.TokenCredential
	scope      string
	clock      func() time.Time
	timeout    time.Duration

	renewals singleflight.Group

	mu      sync.Mutex
	token   string // "" for none
	renewAt time.Time
	endsAt  time.Time
	spoilt  bool // the service refused the last one: what the credential has cached is no better
}

// get is a token that still holds.
func (t *tokenSource) get(ctx context.Context) (string, error) {
	if token, fresh := t.cached(); fresh {
		return token, nil
	}
	// The renewal outlives the call that began it: others wait for it too.
	renewal := t.renewals.DoChan("", func() (any, error) { return t.renew(context.WithoutCancel(ctx)) })
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case done := <-renewal:
		token, _ := done.Val.(string)
		return token, done.Err
	}
}

// refused forgets a token that the service did not take, unless it has been renewed since.
func (t *tokenSource) refused(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token == token {
		t.token, t.spoilt = "", true
	}
}

func (t *tokenSource) cached() (token string, fresh bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.token, t.token != "" && t.clock().Before(t.renewAt)
}

func (t *tokenSource) renew(ctx context.Context) (string, error) {
	if token, fresh := t.cached(); fresh { // renewed between the look and the wait
		return token, nil
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	got, err := t.credential.GetToken(ctx, t.request())
	if err == nil && got.Token == "" {
		err = errors.New("the credential gave an empty one")
	}
	if err != nil && ctx.Err() != nil {
		err = errTokenLate // the caller's own end is seen where the caller waits
	}

	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock()
	if err != nil {
		if t.token != "" && now.Before(t.endsAt) { // the old one still holds
			t.renewAt = now.Add(renewPause)
			return t.token, nil
		}
		return "", fmt.Errorf("token for %s: %w", t.scope, err)
	}
	t.token, t.endsAt, t.renewAt, t.spoilt = got.Token, got.ExpiresOn, renewalTime(now, got), false
	return t.token, nil
}

// request asks for a token. The credentials of azidentity answer from a cache of their own, which they pass by only for a
// request with claims; so after a refusal the claim is made that Entra ID itself makes when it revokes: a token not issued
// before now.
func (t *tokenSource) request() policy.TokenRequestOptions {
	t.mu.Lock()
	defer t.mu.Unlock()
	o := policy.TokenRequestOptions{Scopes: []string{t.scope}}
	if t.spoilt {
		o.Claims = fmt.Sprintf(`{"access_token":{"nbf":{"essential":true,"value":"%d"}}}`, t.clock().Unix())
	}
	return o
}

// renewalTime is five minutes before the token's end, or at half its life when that is later, or when the credential says.
func renewalTime(now time.Time, token azcore.AccessToken) time.Time {
	at := token.ExpiresOn.Add(-renewBefore)
	if half := now.Add(token.ExpiresOn.Sub(now) / 2); half.After(at) {
		at = half
	}
	if !token.RefreshOn.IsZero() && token.RefreshOn.Before(at) {
		at = token.RefreshOn
	}
	return at
}
