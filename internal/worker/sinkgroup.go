package worker

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/errs"
)

// The group callbacks. While Run works on polled records rebalances are blocked
// (BlockRebalanceOnPoll); while it waits to put a batch again they are allowed,
// and mu is free. A poll that gives nothing does not block them, so a revocation
// may come while a Put is in flight: it waits for that Put first (joinPut), since
// what is written after the partition has gone could be put over newer rows of its
// next owner.

func (t *SinkTask) onAssigned(_ context.Context, cl *kgo.Client, added map[string][]int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.countPartitions()
	t.member = cl
	for topic, ps := range added {
		m := t.assigned[topic]
		if m == nil {
			m = map[int32]*sinkPart{}
			t.assigned[topic] = m
		}
		for _, p := range ps {
			m[p] = &sinkPart{topic: topic, partition: p, next: -1, committed: -1, epoch: -1}
		}
	}
}

func (t *SinkTask) onRevoked(ctx context.Context, _ *kgo.Client, gone map[string][]int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer caught(t.cfg.Log, "sink", &t.failed) // the goroutine is the client's: nobody else would
	t.joinPut()
	if !t.closing {
		if err := t.commit(ctx); err != nil && t.failed == nil {
			t.failed = err
		}
	}
	t.forget(gone)
}

func (t *SinkTask) onLost(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	t.fence.now() // before mu, which Run holds while it waits for the Put
	t.mu.Lock()
	defer t.mu.Unlock()
	defer caught(t.cfg.Log, "sink", &t.failed)
	t.joinPut()
	t.forget(gone)
}

// joinPut waits for the Put in flight. A failed one stays for Run, which drops what
// was revoked before it puts the rest again. It is called with mu held.
func (t *SinkTask) joinPut() {
	c := t.inflight
	if c == nil {
		return
	}
	err := <-t.result
	if err != nil {
		t.result <- err
		return
	}
	t.inflight = nil
	t.count(c)
	t.advance(c)
}

func (t *SinkTask) forget(gone map[string][]int32) {
	defer t.countPartitions()
	for topic, ps := range gone {
		for _, p := range ps {
			if part := t.assigned[topic][p]; part != nil {
				part.revoked = true
				delete(t.assigned[topic], p)
				if t.positioned != nil {
					t.positioned.Revoked(topic, p)
				}
			}
		}
	}
}

func (t *SinkTask) countPartitions() {
	n := 0
	for _, ps := range t.assigned {
		n += len(ps)
	}
	t.cfg.Metrics.Partitions(n)
}

// commitLocked is commit for callers that do not hold mu.
func (t *SinkTask) commitLocked(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.commit(ctx)
}

// commit flushes the sink and commits what is durable. Offsets are committed only
// after Flush returned: that order is what makes delivery at-least-once. A
// failing commit is tried again at the next interval.
func (t *SinkTask) commit(ctx context.Context) error {
	if !t.dirty {
		return nil
	}
	if err := t.sink.Flush(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		if errs.Retriable(err) {
			t.cfg.Log.Warn("flush the sink, trying again at the next commit", "error", err)
			return nil
		}
		return unrecoverable(err)
	}
	offsets := map[string]map[int32]kgo.EpochOffset{}
	type sentPart struct {
		*sinkPart
		next int64
	}
	var sent []sentPart
	t.dirty = false
	for topic, ps := range t.assigned {
		for p, part := range ps {
			next, epoch := t.durable(part)
			if next < part.next {
				t.dirty = true
			}
			if next < 0 || next == part.committed {
				continue
			}
			m := offsets[topic]
			if m == nil {
				m = map[int32]kgo.EpochOffset{}
				offsets[topic] = m
			}
			m[p] = kgo.EpochOffset{Epoch: epoch, Offset: next}
			sent = append(sent, sentPart{part, next})
		}
	}
	if len(sent) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, t.cfg.CommitTimeout)
	defer cancel()
	began := time.Now()
	err := t.commitOffsets(ctx, offsets)
	t.cfg.Metrics.Commit(time.Since(began), err)
	if err != nil {
		t.dirty = true
		t.cfg.Log.Warn("commit offsets, trying again at the next commit", "group", t.cfg.Group, "error", err)
		return nil
	}
	for _, part := range sent {
		part.sinkPart.committed = part.next
	}
	if !t.dirty && t.inflight == nil {
		t.cfg.Metrics.Settled()
	}
	return nil
}

// durable returns the offset to commit of a partition and its leader epoch, -1 when
// it is not known: what was put, or less when the sink holds some of it back.
func (t *SinkTask) durable(part *sinkPart) (next int64, epoch int32) {
	if t.positioned != nil {
		if held, ok := t.positioned.Durable(part.topic, part.partition); ok && held < part.next {
			return held, -1
		}
	}
	return part.next, part.epoch
}

// finish waits for the Put in flight and makes the last commit; the group is left
// by closing the client.
func (t *SinkTask) finish() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*t.cfg.CommitTimeout)
	defer cancel()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopping = true
	if err := t.settle(ctx); err != nil {
		t.cfg.Log.Warn("the last batch was not written; it is read again at the next start", "error", err)
	}
	err := t.commit(ctx)
	t.closing = true
	return err
}

// matchTopics adds the topics that match a pattern that Go's regexp cannot
// express; the client looks for new topics itself in all other cases.
func (t *SinkTask) matchTopics(ctx context.Context) {
	t.rematch = time.Now().Add(time.Minute)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	all, err := kadm.NewClient(t.cl).ListTopics(ctx)
	if err != nil {
		t.rematch = time.Now().Add(5 * time.Second)
		t.cfg.Log.Warn("list topics for topics.regex", "error", err)
		return
	}
	var found []string
	for _, name := range all.Names() {
		if t.match.MatchWhole(name) {
			found = append(found, name)
		}
	}
	t.cl.AddConsumeTopics(found...)
}
