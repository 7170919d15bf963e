package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// againFor bounds how long a save gives way to others. Whoever saved meanwhile has made progress, so this ends long before
// unless something saves the same row without end.
const againFor = 30 * time.Second

// Again calls save until it ends otherwise than with ErrConflict or ErrExists, for at most 30 s. save must read the row anew
// and decide anew each time: what it meant to change may be there already, as its own save whose reply was lost, or may no
// longer be due. The pauses between grow from milliseconds, by chance, or those who contend for one row would meet again and
// again: a number of tries without pauses ran out when four steps shared a busy machine.
func Again[T any](ctx context.Context, save func() (T, error)) (T, error) {
	pauses := backoff.NewExponentialBackOff()
	pauses.InitialInterval = 4 * time.Millisecond
	pauses.MaxInterval = 500 * time.Millisecond
	saved, err := backoff.Retry(ctx, func() (T, error) {
		v, err := save()
		if err == nil || errors.Is(err, ErrConflict) || errors.Is(err, ErrExists) {
			return v, err
		}
		return v, backoff.Permanent(err)
	}, backoff.WithBackOff(pauses), backoff.WithMaxElapsedTime(againFor))
	if errors.Is(err, ErrConflict) || errors.Is(err, ErrExists) {
		return saved, fmt.Errorf("%w again and again for %s", err, againFor)
	}
	return saved, err
}
