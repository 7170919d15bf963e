package routes

import (
	"context"
	"log/slog"
	"net/http"
	"regexp"

	"fhirmigration/handler/internal/migration"
	"fhirmigration/handler/internal/verify"
)

// invocationID is what the host calls an invocation by. With HTTP forwarding a caller can send the header too, so nothing else is taken.
var invocationID = regexp.MustCompile(`^[0-9a-fA-F-]{1,64}$`)

type logKey struct{}

// identified gives each invocation a log whose lines have the host's id of it, by which they are found beside those of the host.
func (o Options) identified(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id := r.Header.Get("X-Azure-Functions-InvocationId"); invocationID.MatchString(id) {
			r = r.WithContext(context.WithValue(r.Context(), logKey{}, o.Log.With("invocationId", id)))
		}
		next.ServeHTTP(w, r)
	})
}

// log is the log of the invocation that ctx belongs to.
func (o Options) log(ctx context.Context) *slog.Logger {
	if log, ok := ctx.Value(logKey{}).(*slog.Logger); ok {
		return log
	}
	return o.Log
}

// migration is the Migration, with the log of the invocation.
func (o Options) migration(ctx context.Context) *migration.Migration {
	return o.Migration.Logging(o.log(ctx))
}

// verify is the Verify, with the log of the invocation.
func (o Options) verify(ctx context.Context) *verify.Verify { return o.Verify.Logging(o.log(ctx)) }
