package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"millrace/internal/errs"
)

// Automatic restart: a task that failed for a reason that may pass by itself is
// started again after a pause that doubles with each failure. Its status is FAILED
// with the trace meanwhile, so that nothing hides a fault that stays.

const (
	firstRevival = time.Second
	mostRevival  = time.Minute
	// healthyFor is how long a task must have run for its failure to count as a first
	// one again.
	healthyFor = 5 * time.Minute
)

// revival is what a supervisor remembers of a task's failures.
type revival struct{ tries int }

// pause counts a failure after a run that began at began and returns how long to wait.
func (r *revival) pause(began, now time.Time) time.Duration {
	if now.Sub(began) >= healthyFor {
		r.tries = 0
	}
	d := min(firstRevival<<min(r.tries, 10), mostRevival)
	r.tries++
	return d
}

// transient reports whether an error may pass without anyone doing anything.
func transient(err error) bool {
	if errs.Retriable(err) {
		return true
	}
	var nerr net.Error
	var kerror *kerr.Error
	switch {
	case errors.As(err, &kerror):
		// A fenced producer belongs to a task that was replaced, or to one that must
		// claim its id again; whether it is still wanted is checked at its start.
		return kerror.Retriable || errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch)
	case errors.As(err, &nerr):
		return true
	}
	return false
}

// reviveLater starts a failed task again after a while, unless it was restarted,
// reconfigured or taken away until then.
func (s *supervisor) reviveLater(t *runningTask, err error) {
	if !s.w.cfg.AutoRestart || !transient(err) {
		return
	}
	failed := s.m.running[t.id]
	if failed == nil {
		return
	}
	r := s.revivals[t.id]
	if r == nil {
		r = &revival{}
		s.revivals[t.id] = r
	}
	d := r.pause(t.began, time.Now())
	d += time.Duration(rand.Int64N(int64(d)/4 + 1)) // tasks that failed together do not come back together
	t.log.Warn("the task is started again, since its error may pass; task.auto.restart=false leaves it FAILED", "in", d.Round(time.Millisecond).String(), "failures", r.tries)
	time.AfterFunc(d, func() {
		s.post(func(ctx context.Context) {
			if s.m.running[t.id] == failed {
				s.w.metrics.Restarts(s.name).Inc()
				s.do(ctx, s.m.Revive(t.id))
			}
		})
	})
}
