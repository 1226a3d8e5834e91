package worker

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/record"
)

// stuck is a sink whose first Put ends only when it is cut off.
type stuck struct {
	*collect
	begun chan struct{}
	tries int
}

func (s *stuck) Put(ctx context.Context, b *record.Batch) error {
	if s.tries++; s.tries == 1 {
		close(s.begun)
		<-ctx.Done()
		return ctx.Err()
	}
	return s.collect.Put(ctx, b)
}

// A Put that is cut off because the process stood still is put again, and the task
// does not fail for it.
func TestSinkCutOff(t *testing.T) {
	rig := newSinkRig(t, 1)
	rig.produce(t, 0, "a", "b")
	cfg := rig.config(t, "cut")
	cfg.Member = []kgo.Opt{kgo.HeartbeatInterval(50 * time.Millisecond)}
	s := &stuck{collect: newCollect(), begun: make(chan struct{})}
	task, stop := run(t, cfg, s)
	<-s.begun
	if !task.fence.now() || task.fence.now() {
		t.Error("the Put was not cut off, or twice")
	}
	s.await(t, 2)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := rig.committed(t, "connect-cut"); got[0] != 2 || s.tries < 2 {
		t.Errorf("committed %v after %d tries", got, s.tries)
	}
}

// A task that has lost its partitions writes nothing more for them.
func TestSinkLosesItsPlace(t *testing.T) {
	rig := newSinkRig(t, 1)
	rig.produce(t, 0, "a")
	s := &stuck{collect: newCollect(), begun: make(chan struct{})}
	task, stop := run(t, rig.config(t, "lost"), s)
	<-s.begun
	task.onLost(t.Context(), nil, map[string][]int32{"orders": {0}})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if len(s.values()) != 0 || len(rig.committed(t, "connect-lost")) != 0 {
		t.Errorf("wrote %v, committed %v", s.values(), rig.committed(t, "connect-lost"))
	}
}

func TestStoodStill(t *testing.T) {
	now := time.Now()
	if got := stoodStill(now, now.Add(time.Minute)); got != time.Minute {
		t.Error(got)
	}
	// Of a suspended machine the monotonic clock knows nothing.
	if got := stoodStill(now, now.Round(0).Add(time.Hour)); got != time.Hour {
		t.Error(got)
	}
	var x cutter
	if x.tick(time.Hour) != 0 || !x.begin(func() {}) {
		t.Error("a Put did not begin")
	}
	x.end()
	x.ticked = x.ticked.Add(-2 * time.Hour) // nobody has noticed yet
	if x.begin(func() {}) || !x.taken() || x.taken() {
		t.Error("a Put began behind a standstill")
	}
	if x.tick(time.Hour) < 2*time.Hour || !x.begin(func() {}) {
		t.Error("a Put did not begin after the verdict")
	}
	x.end()
	x.doubt() // noticed while nothing was written
	if x.begin(func() {}) || !x.taken() || !x.begin(func() {}) {
		t.Error("not one Put waited")
	}
}
