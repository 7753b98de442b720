package supervise

import "context"

// A ModelFetch coordinates the supervisors whose servers share one folder of models: the first of
// them fetches the model, and the others start when it is there.
type ModelFetch struct {
	turn chan struct{} // holds a value while a supervisor has the turn: it checks for the model and fetches it
	done chan struct{} // closed when the model is there
}

// NewModelFetch returns a fetch of a model that may or may not be there.
func NewModelFetch() *ModelFetch {
	return &ModelFetch{turn: make(chan struct{}, 1), done: make(chan struct{})}
}

// acquire waits until the model is there or it is the caller's turn to fetch it. If that is not so
// at once, waiting is called first. The caller has to call release, with whether the model is there
// now; further calls of it have no effect. The error is ctx's.
func (f *ModelFetch) acquire(ctx context.Context, waiting func()) (release func(fetched bool), err error) {
	select {
	case <-f.done:
		return func(bool) {}, nil
	case f.turn <- struct{}{}:
	default:
		waiting()
		select {
		case <-f.done:
			return func(bool) {}, nil
		case f.turn <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	held := true
	return func(fetched bool) {
		if !held {
			return
		}
		held = false
		select {
		case <-f.done: // before it was the caller's turn
		default:
			if fetched {
				close(f.done)
			}
		}
		<-f.turn
	}, nil
}
