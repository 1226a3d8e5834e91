package worker

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// tardy is a worker whose configs cannot be read for a while.
type tardy struct {
	units []Unit

	mu     sync.Mutex
	broken bool
	tries  int // of reading configs
	rounds int
	owned  []Unit
}

func (h *tardy) configured() ([]Unit, int64) { return h.units, 5 }

func (h *tardy) catchUp(ctx context.Context, _ int64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tries++
	if h.broken {
		return errors.New("the topic cannot be read")
	}
	return ctx.Err()
}

func (h *tardy) apply(owned []Unit) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.owned = owned
}

func (*tardy) became(groupView) {}

func (h *tardy) rebalanced(Rebalance) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rounds++
}

func (h *tardy) look() (tries, rounds, owned int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tries, h.rounds, len(h.owned)
}

// A worker that cannot read the configs tries on without troubling the group, and joins
// again as soon as it can.
func TestConfigsAreReadLate(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	units := []Unit{{"a", -1}, {"a", 0}, {"b", -1}, {"b", 0}}
	ctx, cancel := context.WithCancel(context.Background())
	var left sync.WaitGroup
	defer func() { cancel(); left.Wait() }()
	join := func(h *tardy, url string) {
		cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
		if err != nil {
			t.Fatal(err)
		}
		m := &member{cl: cl, host: h, log: quiet, group: "g", url: url, protos: []string{protoSessioned, protoCompatible, protoEager},
			session: 30 * time.Second, beat: 50 * time.Millisecond, limit: time.Minute, sync: 20 * time.Millisecond, unsync: time.Hour,
			rejoin: make(chan struct{}, 1), poke: make(chan struct{}, 1), generation: -1}
		left.Add(1)
		go func() { defer left.Done(); defer cl.Close(); m.run(ctx) }()
	}
	first, second := &tardy{units: units}, &tardy{units: units, broken: true}
	join(first, "http://first:1/")
	await(t, "the first worker has everything", func() bool { _, _, n := first.look(); return n == 4 })
	join(second, "http://second:1/")
	await(t, "the second worker tries on", func() bool { tries, _, _ := second.look(); return tries > 50 })
	tries, rounds, owned := second.look()
	if owned != 0 || rounds > 10 {
		t.Errorf("%d rounds and %d units after %d failures to read the configs", rounds, owned, tries)
	}
	second.mu.Lock()
	second.broken = false
	second.mu.Unlock()
	await(t, "both have their share", func() bool {
		_, _, n := first.look()
		_, _, k := second.look()
		return n == 2 && k == 2
	})
}
