package fhir

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"fhirmigration/sandbox/testclock"
)

// credential gives token-1, token-2, ... with a life of an hour, or as get says.
type credential struct {
	get func(ctx context.Context, n int) (azcore.AccessToken, error)

	mu     sync.Mutex
	given  int
	scopes []string
}

func (c *credential) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	c.mu.Lock()
	c.given++
	n := c.given
	c.scopes = append(c.scopes, o.Scopes...)
	c.mu.Unlock()
	if c.get != nil {
		return c.get(ctx, n)
	}
	return azcore.AccessToken{Token: fmt.Sprintf("token-%d", n), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

func (c *credential) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.given
}

func withCredential(c *credential) func(*Options) { return func(o *Options) { o.Credential = c } }

const countJSON = `{"resourceType":"Bundle","total":3}`

func TestTokenIsSharedAndRenewedEarly(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name              string
		life              time.Duration
		stillAt, renewsAt time.Duration
	}{
		{"long", time.Hour, 54 * time.Minute, 55 * time.Minute},
		{"short", 6 * time.Minute, 2 * time.Minute, 3 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			clock := testclock.New(since)
			c := &credential{get: func(_ context.Context, n int) (azcore.AccessToken, error) {
				return azcore.AccessToken{Token: fmt.Sprintf("token-%d", n), ExpiresOn: clock.Now().Add(test.life)}, nil
			}}
			s := startOdd(t, reply(200, countJSON), withCredential(c), func(o *Options) { o.Clock = clock.Now; o.Base += "/fhir" })
			for _, step := range []struct {
				after time.Duration
				want  string
			}{{0, "token-1"}, {test.stillAt, "token-1"}, {test.renewsAt - test.stillAt, "token-2"}} {
				clock.Advance(step.after)
				if _, err := s.CountResources(t.Context(), period); err != nil {
					t.Fatal(err)
				}
				asked := s.asked()
				if got := asked[len(asked)-1].Header.Get("Authorization"); got != "Bearer "+step.want {
					t.Errorf("at %v: Authorization %q, want Bearer %s", clock.Now(), got, step.want)
				}
			}
			if want := s.url + "/fhir/.default"; c.scopes[0] != want {
				t.Errorf("scope %s, want %s", c.scopes[0], want)
			}
		})
	}
}

func TestConcurrentCallsShareOneRenewal(t *testing.T) {
	t.Parallel()
	const calls = 20
	begun, release := make(chan struct{}, calls), make(chan struct{})
	c := &credential{get: func(ctx context.Context, _ int) (azcore.AccessToken, error) {
		begun <- struct{}{}
		select {
		case <-ctx.Done():
			return azcore.AccessToken{}, ctx.Err()
		case <-release:
		}
		return azcore.AccessToken{Token: "token", ExpiresOn: time.Now().Add(time.Hour)}, nil
	}}
	s := startOdd(t, reply(200, countJSON), withCredential(c))

	gone, cancel := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { _, err := s.CountResources(gone, period); first <- err }()
	<-begun
	cancel() // who began the renewal gives up; the others get it all the same
	if err := <-first; err != context.Canceled {
		t.Fatalf("cancelled call: %v, want context.Canceled as it is", err)
	}
	errs := make(chan error, calls)
	for range calls {
		go func() { _, err := s.CountResources(t.Context(), period); errs <- err }()
	}
	close(release)
	for range calls {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := c.count(); got != 1 {
		t.Errorf("%d tokens asked for, want 1", got)
	}
}

func TestTokenIsRenewedOnceOn401(t *testing.T) {
	t.Parallel()
	accept := func(token string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "Bearer "+token {
				reply(200, countJSON)(w, r)
				return
			}
			reply(401, outcomeJSON("login", "who sent "+r.Header.Get("Authorization")))(w, r)
		}
	}
	t.Run("and then taken", func(t *testing.T) {
		t.Parallel()
		c := &credential{}
		s := startOdd(t, accept("token-2"), withCredential(c))
		if got, err := s.CountResources(t.Context(), period); err != nil || got.N != 3 {
			t.Errorf("%v, %v, want 3", got, err)
		}
		if c.count() != 2 || len(s.asked()) != 2 {
			t.Errorf("%d tokens and %d requests, want 2 and 2", c.count(), len(s.asked()))
		}
	})
	t.Run("and then refused", func(t *testing.T) {
		t.Parallel()
		c := &credential{}
		s := startOdd(t, accept("token-3"), withCredential(c))
		_, err := s.CountResources(t.Context(), period)
		if KindOf(err) != Unauthorized {
			t.Fatalf("%v, want kind unauthorized", err)
		}
		if strings.Contains(err.Error(), "token-") {
			t.Errorf("the error shows a token that the service echoed: %v", err)
		}
		if c.count() != 2 || len(s.asked()) != 2 {
			t.Errorf("%d tokens and %d requests, want 2 and 2", c.count(), len(s.asked()))
		}
	})
	t.Run("but not when it is how a job ended", func(t *testing.T) {
		t.Parallel()
		c := &credential{}
		s := startOdd(t, reply(401, outcomeJSON("processing", "export operation failed for reason: no identity")), withCredential(c))
		if _, err := s.PollExport(t.Context(), s.url+"/_operations/export/1", nil); KindOf(err) != JobFailed {
			t.Errorf("%v, want kind job failed", err)
		}
		if len(s.asked()) != 1 {
			t.Errorf("%d requests, want 1", len(s.asked()))
		}
	})
}

func TestRenewalThatFails(t *testing.T) {
	t.Parallel()
	clock := testclock.New(since)
	c := &credential{get: func(_ context.Context, n int) (azcore.AccessToken, error) {
		if n == 1 {
			return azcore.AccessToken{Token: "token-1", ExpiresOn: clock.Now().Add(time.Hour)}, nil
		}
		return azcore.AccessToken{}, errors.New("no identity\nis assigned")
	}}
	s := startOdd(t, reply(200, countJSON), withCredential(c), func(o *Options) { o.Clock = clock.Now })
	for _, step := range []struct {
		after  time.Duration
		kind   Kind
		tokens int
	}{
		{0, 0, 1},
		{56 * time.Minute, 0, 2}, // not renewed, but it still holds
		{29 * time.Second, 0, 2}, // not tried again at once
		{2 * time.Second, 0, 3},  // but after a while
		{10 * time.Minute, Unauthorized, 4},
	} {
		clock.Advance(step.after)
		_, err := s.CountResources(t.Context(), period)
		if KindOf(err) != step.kind || c.count() != step.tokens {
			t.Errorf("at %v: %v after %d tokens, want kind %v after %d", clock.Now(), err, c.count(), step.kind, step.tokens)
		}
		if err != nil && !strings.HasSuffix(err.Error(), "no identity is assigned") {
			t.Errorf("error %q, want one line with the reason", err)
		}
	}
}
