package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ErrNotLeader: another worker has claimed the right to write since.
var ErrNotLeader = errors.New("another worker leads the group by now and has taken over the right to write configs")

// Claim makes this process the only one whose AppendClaimed works: what leaders
// before it still try to write is refused by Kafka. Without TopicSpec.LeaderID it
// does nothing.
func (l *KafkaLog) Claim(ctx context.Context) error {
	if l.spec.LeaderID == "" {
		return nil
	}
	l.leadMu.Lock()
	defer l.leadMu.Unlock()
	if err := l.claim(ctx); err != nil {
		return err
	}
	return l.Sync(ctx) // what others had committed behind the open transaction of a leader that died
}

// Yield forgets the claim; the next one fences it.
func (l *KafkaLog) Yield() {
	l.leadMu.Lock()
	defer l.leadMu.Unlock()
	if l.lead != nil {
		l.lead.Close()
		l.lead = nil
	}
}

func (l *KafkaLog) claim(ctx context.Context) error {
	if l.lead != nil {
		l.lead.Close()
		l.lead = nil
	}
	cl, err := kgo.NewClient(append(append([]kgo.Opt{}, l.opts...), kgo.TransactionalID(l.spec.LeaderID),
		kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()))...)
	if err != nil {
		return fmt.Errorf("client of the group's leader: %w", err)
	}
	if _, _, err := cl.ProducerID(ctx); err != nil {
		cl.Close()
		return fmt.Errorf("claim the right to write to topic %s as %s: %w", l.spec.Name, l.spec.LeaderID, err)
	}
	l.lead = cl
	return nil
}

// AppendClaimed is Append for what only the leader may write: one transaction under
// the leader's id. ErrNotLeader: somebody else has claimed since.
func (l *KafkaLog) AppendClaimed(ctx context.Context, recs ...Record) error {
	if l.spec.LeaderID == "" {
		return l.Append(ctx, recs...)
	}
	want, err := l.appendClaimed(ctx, recs)
	if err != nil {
		return err
	}
	return l.wait(ctx, want)
}

func (l *KafkaLog) appendClaimed(ctx context.Context, recs []Record) (map[int32]int64, error) {
	l.leadMu.Lock()
	defer l.leadMu.Unlock()
	if l.lead == nil {
		if err := l.claim(ctx); err != nil {
			return nil, err
		}
	}
	want := map[int32]int64{}
	krs := make([]*kgo.Record, len(recs))
	for i, r := range recs {
		krs[i] = &kgo.Record{Topic: l.spec.Name, Key: r.Key, Value: r.Value}
	}
	err := l.lead.BeginTransaction()
	if err == nil {
		res := l.lead.ProduceSync(ctx, krs...)
		if err = res.FirstErr(); err == nil {
			for _, r := range res {
				want[r.Record.Partition] = max(want[r.Record.Partition], r.Record.Offset+1)
			}
			err = l.lead.EndTransaction(ctx, kgo.TryCommit)
		}
	}
	if err == nil {
		return want, nil
	}
	l.lead.Close() // its transaction is ended by the next claim
	l.lead = nil
	if errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) {
		return nil, fmt.Errorf("write to topic %s: %w", l.spec.Name, ErrNotLeader)
	}
	return nil, fmt.Errorf("write to topic %s as the leader: %w", l.spec.Name, err)
}

// claimer is a log whose leaders fence each other.
type claimer interface {
	Claim(ctx context.Context) error
	AppendClaimed(ctx context.Context, recs ...Record) error
}

// Claim takes the right to write configs, when this worker has become the leader.
func (c *Configs) Claim(ctx context.Context) error {
	if l, ok := c.log.(claimer); ok {
		return l.Claim(ctx)
	}
	return nil
}

// Yield forgets what Claim took; the next write or Claim takes it anew.
func (c *Configs) Yield() {
	if l, ok := c.log.(interface{ Yield() }); ok {
		l.Yield()
	}
}

// lead writes what only the leader may write.
func (c *Configs) lead(ctx context.Context, recs ...Record) error {
	ctx, cancel := context.WithTimeout(ctx, c.writeMax)
	defer cancel()
	write := c.log.Append
	if l, ok := c.log.(claimer); ok {
		write = l.AppendClaimed
	}
	if err := write(ctx, recs...); err != nil {
		return fmt.Errorf("write to the config storage: %w", err)
	}
	return nil
}
