package worker

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A task whose process stood still (a paused machine, SIGSTOP) longer than its session
// wakes up in the middle of a Put: its partitions are another's by then, and what it
// goes on to write may be older than what is there. So such a Put is cut off, and put
// again only after the group had time to say whose the partitions are.

// cutter ends the Put in flight, from any goroutine.
type cutter struct {
	mu     sync.Mutex
	cancel context.CancelFunc // of the Put in flight, nil: none
	cut    bool               // the last Put was cut off
}

func (x *cutter) begin(cancel context.CancelFunc) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cancel, x.cut = cancel, false
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
	wg.Go(func() {
		for last := time.Now(); sleep(ctx, every); last = time.Now() {
			if stood := stoodStill(last, time.Now(), every); stood > session && t.fence.now() {
				t.cfg.Log.Warn("the process stood still longer than its session in the consumer group; the batch that was being written is left until the group says whose it is", "for", stood.Round(time.Second), "session.timeout.ms", session.Milliseconds(), "group", t.cfg.Group)
			}
		}
	})
}

// stoodStill is how long a wait took beyond what it should. Of a machine that was
// suspended only the wall clock knows.
func stoodStill(from, to time.Time, wait time.Duration) time.Duration {
	return max(to.Sub(from), to.Round(0).Sub(from.Round(0))) - wait
}

// verdict is how long a group may take to tell a member that it is none any more.
func (t *SinkTask) verdict() time.Duration {
	heartbeat, _ := t.cl.OptValue(kgo.HeartbeatInterval).(time.Duration)
	return heartbeat + time.Second
}
