package migration

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"fhirmigration/handler/internal/ledger"
	"fhirmigration/handler/internal/settings"
	"fhirmigration/handler/internal/staging"
	"fhirmigration/sandbox/azurite"
)

// inEmulator makes a world whose tables and blobs are in a storage emulator.
func (ws *worlds) inEmulator(ctx context.Context) (*world, error) {
	server, release, err := emulators.Take(ctx)
	if err != nil {
		return nil, err
	}
	forget := func() {
		if err := release(); err != nil {
			panic(err)
		}
	}
	return ws.inAccount(ctx, server.ConnectionString(), account{server.ConnectionString(), nil, forget})
}

// inAccount makes a world whose tables and blobs are in a storage account, which handlers reach by connectionString.
func (ws *worlds) inAccount(ctx context.Context, connectionString string, a account) (*world, error) {
	set, n := ws.settings, rigs.Add(1)
	set.StorageConnectionString = settings.Secret(connectionString)
	set.ExportTableName, set.ChunkTableName, set.ExceptionTableName = fmt.Sprintf("export%d", n), fmt.Sprintf("chunk%d", n), fmt.Sprintf("exceptions%d", n)
	return newWorld(ctx, ws.scenario, set, a, func(set settings.Settings) (*ledger.Ledger, *staging.Store, error) {
		rows, err := ledger.Open(tableOptions(set))
		if err != nil {
			return nil, nil, err
		}
		blobs, err := staging.Open(staging.Options{ConnectionString: connectionString})
		return rows, blobs, err
	})
}

// A sample of the suite with the tables and blobs of the storage emulator, which takes a hundred times as long as the twins: what it does agrees with them.
func TestCrashInTheEmulator(t *testing.T) {
	t.Parallel()
	ws := newWorlds(t)
	p := ws.inPeace(t, exportFirst)
	blows := []blow{killBefore, killAfter, loseReply, retryEchoed, timeOut, pauseBefore, pauseAfter}
	runs := 0
	for n := 0; n < len(p.effects); n += 13 * crashEvery {
		b := blows[runs%len(blows)]
		at := n
		for at < len(p.effects)-1 && !b.possible(p.effects[at]) {
			at++
		}
		if !strike(t, ws.inEmulator, p, b, at, anotherTicks(exportStep, importStep)) {
			t.Fatal("that is enough")
		}
		runs++
	}
	reported(t, "crashed at %d of %d effects with the storage emulator", runs, len(p.effects))
}

// deafProxy stands before the storage emulator. It loses the reply to one write: the write takes effect, then the connection
// breaks, and the SDK tries again by itself.
type deafProxy struct {
	connectionString string
	writes           atomic.Int64 // so far
	lose             int64        // number of the write whose reply is lost, from 1
}

func newDeafProxy(t *testing.T, emulator *azurite.Server) *deafProxy {
	t.Helper()
	p := &deafProxy{connectionString: emulator.ConnectionString()}
	for _, endpoint := range []string{emulator.TableURL(), emulator.BlobURL()} {
		target, err := url.Parse(endpoint)
		if err != nil {
			t.Fatal(err)
		}
		account := target.Path
		target.Path = ""
		proxy := httputil.NewSingleHostReverseProxy(target)
		proxy.ModifyResponse = func(reply *http.Response) error {
			if reply.Request.Method != http.MethodGet && p.writes.Add(1) == p.lose {
				return errLost
			}
			return nil
		}
		proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
		server := httptest.NewServer(proxy)
		t.Cleanup(server.Close)
		p.connectionString = strings.Replace(p.connectionString, endpoint, server.URL+account, 1)
	}
	return p
}

// T29: the reply to a save is lost after the save took effect, whether it inserts or updates. The SDK repeats it and gets a
// conflict, which is recognised as our own: no step fails, nothing is started twice, nothing is cancelled. It is the SDK itself that is tried here, so
// the storage emulator is needed and the writes are a sample; the crash suite has every one of them (retryEchoed).
func TestT29LostReplyToASave(t *testing.T) {
	t.Parallel()
	ws := newWorlds(t)
	p := ws.inPeace(t, exportFirst)
	emulator := emulators.For(t)
	migrate := func(lose int64) (writes int64) {
		t.Helper()
		proxy := newDeafProxy(t, emulator)
		proxy.lose = lose
		w, err := ws.inAccount(t.Context(), proxy.connectionString, account{emulator.ConnectionString(), nil, func() {}})
		if err != nil {
			t.Fatal(err)
		}
		defer w.end()
		if _, err = w.migrate(t.Context(), p.order, maxCrashTicks); err == nil {
			err = w.check(t.Context())
		}
		if exports, cancelled := len(w.witness.started), len(w.witness.cancelled); err == nil && (exports != p.exports || cancelled > 0 || w.witness.imports() != p.imports) {
			err = fmt.Errorf("%d exports and %d imports were started and %d exports cancelled, want %d, %d and none", exports, w.witness.imports(), cancelled, p.exports, p.imports)
		}
		if err != nil {
			t.Errorf("the reply to write %d is lost: %v\n%s", lose, err, w.log.String())
		}
		return proxy.writes.Load()
	}
	writes := migrate(0)
	runs := 0
	for n := int64(1); n <= writes; n += 12 * crashEvery {
		if migrate(n) <= writes {
			t.Errorf("write %d was not repeated: nothing was tested", n)
		}
		runs++
	}
	reported(t, "lost the reply to %d of %d writes", runs, writes)
}
