package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TopicSpec is a storage topic: what it must be and how to make it.
type TopicSpec struct {
	Name string
	// Role is the worker property that names it, for error texts.
	Role string
	// Partitions and Replication at creation; -1 is the broker's default.
	Partitions  int32
	Replication int16
	// OnePartition: the topic must have exactly one (config topic).
	OnePartition bool
	// NoCreate: a missing topic is an error. Absent is what it then says, "" for the
	// setting that forbids to make it.
	NoCreate bool
	Absent   string
	// Configs are further topic settings at creation; cleanup.policy is always compact.
	Configs map[string]string
	// LeaderID is the transactional id under which the leader of a group writes; ""
	// when leaders need not fence each other.
	LeaderID string
}

// KafkaLog is a Log over a compacted topic.
type KafkaLog struct {
	spec TopicSpec
	opts []kgo.Opt
	log  *slog.Logger

	client *kgo.Client
	stop   context.CancelFunc
	done   chan struct{}

	leadMu sync.Mutex
	lead   *kgo.Client // the leader's producer; nil until Claim

	mu      sync.Mutex
	applied map[int32]int64 // next offset to be applied per partition
	moved   chan struct{}   // closed and replaced when applied moves
}

// NewKafkaLog makes a log; opts carry brokers, security and client.id. Nothing
// connects before Start.
func NewKafkaLog(spec TopicSpec, log *slog.Logger, opts ...kgo.Opt) *KafkaLog {
	return &KafkaLog{spec: spec, opts: opts, log: log, applied: map[int32]int64{}, moved: make(chan struct{})}
}

// Start implements Log: it makes or checks the topic and reads it to its end.
func (l *KafkaLog) Start(ctx context.Context, apply func(Record)) error {
	admin, err := kgo.NewClient(l.opts...)
	if err != nil {
		return fmt.Errorf("client for topic %s: %w", l.spec.Name, err)
	}
	defer admin.Close()
	adm := kadm.NewClient(admin)
	n, err := EnsureTopic(ctx, adm, l.spec, l.log)
	if err != nil {
		return err
	}
	from := map[int32]kgo.Offset{}
	for p := int32(0); p < n; p++ {
		from[p] = kgo.NewOffset().AtStart()
	}
	opts := append(append([]kgo.Opt{}, l.opts...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{l.spec.Name: from}),
		kgo.KeepControlRecords(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(500*time.Millisecond),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.UnknownTopicRetries(10),
	)
	if l.client, err = kgo.NewClient(opts...); err != nil {
		return fmt.Errorf("client for topic %s: %w", l.spec.Name, err)
	}
	run, stop := context.WithCancel(context.Background())
	l.stop, l.done = stop, make(chan struct{})
	go l.read(run, apply)
	// Up to the first open transaction: one that a killed task left open ends only
	// when its successor fences it, which a worker does once it has started.
	if err := l.sync(ctx, (*kadm.Client).ListCommittedOffsets); err != nil {
		stop()
		<-l.done
		l.client.Close()
		return err
	}
	return nil
}

// read polls until ctx ends. It is the only goroutine that calls apply.
func (l *KafkaLog) read(ctx context.Context, apply func(Record)) {
	defer close(l.done)
	for {
		fs := l.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		fs.EachError(func(t string, p int32, err error) {
			if kerr.IsRetriable(err) || errors.Is(err, context.Canceled) {
				return
			}
			l.log.Error("cannot read a storage topic; still trying", "topic", t, "partition", p, "error", err)
		})
		next := map[int32]int64{}
		fs.EachRecord(func(r *kgo.Record) {
			next[r.Partition] = r.Offset + 1
			if !r.Attrs.IsControl() {
				apply(Record{Key: r.Key, Value: r.Value, Partition: r.Partition, Offset: r.Offset})
			}
		})
		if len(next) == 0 {
			continue
		}
		l.mu.Lock()
		for p, o := range next {
			l.applied[p] = o
		}
		close(l.moved)
		l.moved = make(chan struct{})
		l.mu.Unlock()
	}
}

// wait returns when every partition of want has been applied up to its offset.
func (l *KafkaLog) wait(ctx context.Context, want map[int32]int64) error {
	for {
		l.mu.Lock()
		moved, behind := l.moved, false
		for p, o := range want {
			if l.applied[p] < o {
				behind = true
			}
		}
		l.mu.Unlock()
		if !behind {
			return nil
		}
		select {
		case <-moved:
		case <-l.done:
			return fmt.Errorf("topic %s is no longer read: the worker is stopping", l.spec.Name)
		case <-ctx.Done():
			return fmt.Errorf("read topic %s to its end: %w", l.spec.Name, ctx.Err())
		}
	}
}

// Sync implements Log. It reads up to the very end, not only to the first open
// transaction: behind that of another task there may be committed offsets of the
// one that asks.
func (l *KafkaLog) Sync(ctx context.Context) error { return l.sync(ctx, (*kadm.Client).ListEndOffsets) }

func (l *KafkaLog) sync(ctx context.Context, ofEnds func(*kadm.Client, context.Context, ...string) (kadm.ListedOffsets, error)) error {
	if err := l.client.Flush(ctx); err != nil {
		return fmt.Errorf("write what is left to topic %s: %w", l.spec.Name, err)
	}
	adm := kadm.NewClient(l.client)
	ends, err := ofEnds(adm, ctx, l.spec.Name)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("find the end of topic %s: %w", l.spec.Name, err)
	}
	starts, err := adm.ListStartOffsets(ctx, l.spec.Name)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return fmt.Errorf("find the start of topic %s: %w", l.spec.Name, err)
	}
	want := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if s, ok := starts.Lookup(o.Topic, o.Partition); !ok || s.Offset < o.Offset {
			want[o.Partition] = o.Offset
		}
	})
	return l.wait(ctx, want)
}

// Append implements Log.
func (l *KafkaLog) Append(ctx context.Context, recs ...Record) error {
	krs := make([]*kgo.Record, len(recs))
	for i, r := range recs {
		krs[i] = &kgo.Record{Topic: l.spec.Name, Key: r.Key, Value: r.Value}
	}
	want := map[int32]int64{}
	for _, res := range l.client.ProduceSync(ctx, krs...) {
		if res.Err != nil {
			return fmt.Errorf("write to topic %s: %w", l.spec.Name, res.Err)
		}
		if o := res.Record.Offset + 1; o > want[res.Record.Partition] {
			want[res.Record.Partition] = o
		}
	}
	return l.wait(ctx, want)
}

// AppendAsync implements Log. The client retries for ever, so an error means
// that the log was closed or that the broker refuses the record.
func (l *KafkaLog) AppendAsync(rec Record, done func(error)) {
	l.client.Produce(context.Background(), &kgo.Record{Topic: l.spec.Name, Key: rec.Key, Value: rec.Value}, func(_ *kgo.Record, err error) {
		if done != nil {
			done(err)
		}
	})
}

// Close implements Log.
func (l *KafkaLog) Close(ctx context.Context) error {
	if l.client == nil {
		return nil
	}
	err := l.client.Flush(ctx)
	l.stop()
	<-l.done
	l.client.Close()
	l.leadMu.Lock()
	if l.lead != nil {
		l.lead.Close()
		l.lead = nil
	}
	l.leadMu.Unlock()
	if err != nil {
		return fmt.Errorf("write what is left to topic %s: %w", l.spec.Name, err)
	}
	return nil
}
