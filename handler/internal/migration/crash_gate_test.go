package migration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/staging"
	"fhirmigration/sandbox/fhirservice"
)

// blow is what befalls a handler at an effect.
type blow string

const (
	noBlow      blow = ""
	killBefore  blow = "killed before"
	killAfter   blow = "killed after"
	loseReply   blow = "reply lost"
	cutReply    blow = "reply cut short"             // of a FHIR service: half of its body arrives
	retryEchoed blow = "reply lost, the SDK retries" // of storage: the retry meets what the first try did
	timeOut     blow = "fails without effect"
	pauseBefore blow = "paused before" // while another handler ticks
	pauseAfter  blow = "paused after"
)

// possible says whether a blow can be dealt at an effect.
func (b blow) possible(effect string) bool {
	storage := strings.HasPrefix(effect, "tables: ") || strings.HasPrefix(effect, "blobs: ")
	switch b {
	case cutReply:
		return !storage
	case retryEchoed:
		return storage
	}
	return true
}

// plan says what befalls the handlers of a world. The zero plan leaves them in peace.
type plan struct {
	next      func(effect string) blow
	meanwhile func() error // during a pause
	paused    bool         // a handler is, and another one ticks
	dealt     int          // blows so far
	hurt      int          // of them, those that are more than a pause
	frozen    bool         // a pause lasted until claims had run out
	err       error        // of meanwhile
}

// once deals one blow, at the effect of that name.
func once(b blow, at string) func(string) blow {
	dealt := false
	return func(effect string) blow {
		if dealt || effect != at {
			return noBlow
		}
		dealt = true
		return b
	}
}

var (
	errKilled = errors.New("the handler is dead")
	errLost   = errors.New("connection reset by peer")
	errCut    = errors.New("unexpected end of the body")
)

// pass lets a call happen, or not, as the plan says; what it returns is what the handler gets. effect is the name of what the
// call changes or asks a FHIR service, "" for a read of storage. One call of a handler is under way at a time.
func (l *life) pass(ctx context.Context, effect string, do func() error) error {
	l.turn.Lock()
	defer l.turn.Unlock()
	if l.dead {
		return errKilled
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if effect == "" {
		return do()
	}
	effect = l.world.witness.effect(effect)
	p, b := &l.world.plan, noBlow
	if p.next != nil {
		b = p.next(effect)
	}
	fmt.Fprintf(&l.world.log, "effect: %s %s\n", effect, b)
	if b == noBlow {
		return do()
	}
	p.dealt++
	if b != pauseBefore && b != pauseAfter {
		p.hurt++
	}
	return l.deal(b, do)
}

func (l *life) deal(b blow, do func() error) error {
	p := &l.world.plan
	switch b {
	case killBefore:
		l.die()
		return errKilled
	case killAfter:
		_ = do() // nobody is left to hear of it
		l.die()
		return errKilled
	case loseReply:
		_ = do()
		return errLost
	case cutReply:
		if err := do(); err != nil {
			return err
		}
		return errCut
	case retryEchoed:
		_ = do()
		return do()
	case timeOut:
		return errLost
	case pauseBefore:
		p.pause()
		return do()
	case pauseAfter:
		err := do()
		p.pause()
		return err
	}
	panic("no such blow: " + b)
}

func (p *plan) pause() {
	p.paused = true
	p.err = errors.Join(p.err, p.meanwhile())
	p.paused = false
}

func (l *life) die() {
	l.dead = true
	l.kill()
}

// tableCall and blobCall stand before all calls to storage.
func (l *life) tableCall(ctx context.Context, c ledger.Call, do func() error) error {
	if !c.Writes() {
		return l.pass(ctx, "", do)
	}
	return l.pass(ctx, l.world.witness.tableEffect(c), func() error {
		err := do()
		l.world.witness.saved(c) // after an error, too: a conflict may be the echo of a save whose reply was lost
		l.world.checkWatermark(ctx, c)
		return err
	})
}

func (l *life) blobCall(ctx context.Context, c staging.Call, do func() error) error {
	if !c.Writes() {
		return l.pass(ctx, "", do)
	}
	return l.pass(ctx, fmt.Sprintf("blobs: %s %s/%s", c.Op, c.Container, c.Blob), do)
}

// wire is the way from a handler to a FHIR service, which is called without a network: that is quicker.
type wire struct {
	life    *life
	name    string
	service *fhirservice.Service
}

// bodyOf reads the body of a request that is sent, and closes it.
func bodyOf(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	defer r.Body.Close()
	return io.ReadAll(r.Body)
}

// RoundTrip makes one call.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := bodyOf(r)
	if err != nil {
		return nil, err
	}
	c := newFHIRCall(w.name, r, body)
	var reply *http.Response
	err = w.life.pass(r.Context(), c.text, func() error {
		w.life.world.scenario.misfortune(w.life.world, c)
		served := r.Clone(r.Context())
		served.Host, served.Body = r.URL.Host, io.NopCloser(bytes.NewReader(body))
		recorder := httptest.NewRecorder()
		w.service.ServeHTTP(recorder, served)
		reply = recorder.Result()
		reply.Request = r
		w.life.world.witness.served(c, reply)
		return nil
	})
	switch {
	case errors.Is(err, errCut):
		reply.Body = io.NopCloser(io.MultiReader(io.LimitReader(reply.Body, reply.ContentLength/2), cutBody{}))
	case err != nil:
		return nil, err
	}
	return reply, nil
}

// cutBody is the end of a body that breaks off.
type cutBody struct{}

// Read fails.
func (cutBody) Read([]byte) (int, error) { return 0, errCut }
