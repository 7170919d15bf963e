package fhir

import "context"

type observerKey struct{}

// WithObserver returns a context under which every call tells observer how it ended: nil when the service answered what was
// wanted. So a step learns whether a service is there at all, without each of its calls saying so. The observer is called from
// the goroutines of the calls.
func WithObserver(ctx context.Context, observer func(err error)) context.Context {
	return context.WithValue(ctx, observerKey{}, observer)
}

func observe(ctx context.Context, err error) {
	if observer, ok := ctx.Value(observerKey{}).(func(error)); ok {
		observer(err)
	}
}
