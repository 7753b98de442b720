package outage

import (
	"context"
	"time"
)

// WithGrace returns a context that ends a grace after ctx has ended, with the same cause: for work
// that is better finished than left half done. The caller has to call the function that comes with
// it, which ends the context at once.
func WithGrace(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	graced, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if Sleep(graced, grace) == nil {
			cancel(context.Cause(ctx))
		}
	})
	return graced, func() { stop(); cancel(nil) }
}
