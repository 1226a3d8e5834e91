package worker

import (
	"context"
	"sync/atomic"
)

// Signaled is a Source that takes Debezium's signals directly, beside those of its
// channels.
type Signaled interface {
	// Signal hands a signal over; what is wrong with the request is an error. It does
	// not wait for the signal to be acted on.
	Signal(id, kind string, data []byte) error
}

// signaled is the source of a running task, if it is one.
type signaled struct{ at atomic.Pointer[Signaled] }

func (s *signaled) set(src Source) {
	if x, ok := src.(Signaled); ok {
		s.at.Store(&x)
	}
}

// Signal answers POST …/signals: it gives a signal to the source that this worker runs.
func (w *Worker) Signal(ctx context.Context, name, id, kind string, data []byte) error {
	if w.configs.Get(name) == nil {
		return statusErrorf(404, "Unknown connector: %s", name)
	}
	var to *Signaled
	err := w.inSupervisor(ctx, name, func(_ context.Context, s *supervisor) {
		if t := s.tasks[0]; t != nil {
			select {
			case <-t.done:
			default:
				to = t.signaled.at.Load()
			}
		}
	})
	switch {
	case err != nil:
		return err
	case to == nil:
		return statusErrorf(409, "No task of %s runs that takes signals: it must be a running source of a database. GET /connectors/%s/status tells its state.", name, name)
	}
	if err := (*to).Signal(id, kind, data); err != nil {
		return statusErrorf(400, "%s", err.Error())
	}
	return nil
}
