package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A task whose process stood still (a paused machine, SIGSTOP) longer than its session
// wakes up in the middle of a Put: its partitions are another's by then, and what it
// goes on to write may be older than what is there. So such a Put is cut off, and put
// again only after the group had time to say whose the partitions are.

// cutter ends the Put in flight, from any goroutine, and keeps one from beginning
// before the group has said whose the partitions are.
type cutter struct {
	mu      sync.Mutex
	cancel  context.CancelFunc // of the Put in flight, nil: none
	cut     bool               // the last Put was cut off, or did not begin
	suspect bool               // the process stood still while no Put was in flight
	ticked  time.Time          // when it was seen last that it did not; zero: nobody looks
	longest time.Duration      // without a tick
}

// begin tells of a Put; false: it must not begin.
func (x *cutter) begin(cancel context.CancelFunc) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	// The watch may come to run after this.
	x.cut = x.suspect || !x.ticked.IsZero() && stoodStill(x.ticked, time.Now()) > x.longest
	x.suspect = false
	if !x.cut {
		x.cancel = cancel
	}
	return !x.cut
}

// tick tells that the process runs, and whether it had stood still.
func (x *cutter) tick(longest time.Duration) (stood time.Duration) {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := time.Now()
	if !x.ticked.IsZero() {
		stood = stoodStill(x.ticked, now)
	}
	x.ticked, x.longest = now, longest
	return stood
}

// doubt keeps the next Put from beginning, or cuts off the one in flight.
func (x *cutter) doubt() {
	if x.now() {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.suspect = !x.cut
}

func (x *cutter) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cancel = nil
}

// now cuts the Put in flight off, if there is one.
func (x *cutter) now() (was bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.cancel == nil {
		return false
	}
	x.cancel()
	x.cancel, x.cut = nil, true
	return true
}

// taken tells once that the last Put was cut off.
func (x *cutter) taken() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	was := x.cut
	x.cut = false
	return was
}

// watchStandstill starts the watch for standstills, which ends with ctx; wg joins it.
func (t *SinkTask) watchStandstill(ctx context.Context, wg *sync.WaitGroup) {
	session, _ := t.cl.OptValue(kgo.SessionTimeout).(time.Duration)
	every := max(50*time.Millisecond, min(time.Second, session/10))
	t.fence.tick(session)
	wg.Go(func() {
		for sleep(ctx, every) {
			if stood := t.fence.tick(session); stood > session {
				t.fence.doubt()
				t.cfg.Log.Warn("the process stood still longer than its session in the consumer group; nothing is written until the group says whose the partitions are", "for", stood.Round(time.Second), "session.timeout.ms", session.Milliseconds(), "group", t.cfg.Group)
			}
		}
	})
}

// stoodStill is how long nothing was seen. Of a machine that was suspended only the
// wall clock knows.
func stoodStill(from, to time.Time) time.Duration {
	return max(to.Sub(from), to.Round(0).Sub(from.Round(0)))
}

// errStoodStill is what a Put that must not begin gives.
var errStoodStill = errors.New("the process stood still; the batch waits until the group says whose the partitions are")

// verdict is how long a group may take to tell a member that it is none any more.
func (t *SinkTask) verdict() time.Duration {
	heartbeat, _ := t.cl.OptValue(kgo.HeartbeatInterval).(time.Duration)
	return heartbeat + time.Second
}
