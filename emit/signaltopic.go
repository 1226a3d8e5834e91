package emit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/kafkaconf"
)

// SignalTopic reads the signals of a source from a Kafka topic: the values of
// partition 0 whose record key is the source's logical name. It starts where its
// group last committed, else at the beginning. It does not join the group, so
// several connectors may use the same name, as Debezium's default has it.
//
// It is for one goroutine.
type SignalTopic struct {
	client    *kgo.Client
	admin     *kadm.Client
	topic     string
	key       string
	group     string
	wait      time.Duration
	assigned  bool
	next      int64 // offset behind what Poll returned last
	committed int64
}

// NewSignalTopic makes the reader; it connects with the first Poll. props are
// consumer properties in Java's spelling, bootstrap.servers among them; wait is how
// long a Poll waits for the broker when nothing has come.
func NewSignalTopic(topic, key, group string, wait time.Duration, props map[string]string, log *slog.Logger) (*SignalTopic, error) {
	res := kafkaconf.Consumer(props)
	if err := res.Err(); err != nil {
		return nil, fmt.Errorf("signal.consumer: %w", err)
	}
	res.Log(log, "signals of "+key)
	c, err := kgo.NewClient(res.Opts...)
	if err != nil {
		return nil, fmt.Errorf("open the signal topic %s: %w", topic, err)
	}
	return &SignalTopic{client: c, admin: kadm.NewClient(c), topic: topic, key: key, group: group, wait: max(wait, 20*time.Millisecond)}, nil
}

// Poll returns the signals that have come since the last call, whose own signals
// count as done now and are committed.
func (s *SignalTopic) Poll(ctx context.Context) ([][]byte, error) {
	if err := s.assign(ctx); err != nil {
		return nil, err
	}
	s.commit(ctx)
	poll, cancel := context.WithTimeout(ctx, s.wait)
	defer cancel()
	fs := s.client.PollFetches(poll)
	var out [][]byte
	fs.EachRecord(func(r *kgo.Record) {
		s.next = r.Offset + 1
		if string(r.Key) == s.key {
			out = append(out, r.Value)
		}
	})
	for _, e := range fs.Errors() {
		if !errors.Is(e.Err, context.DeadlineExceeded) && !errors.Is(e.Err, context.Canceled) {
			return out, e.Err
		}
	}
	return out, nil
}

func (s *SignalTopic) assign(ctx context.Context) error {
	if s.assigned {
		return nil
	}
	ask, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	at := kgo.NewOffset().AtStart()
	done, err := s.admin.FetchOffsetsForTopics(ask, s.group, s.topic)
	if err != nil {
		return fmt.Errorf("look up the offset of group %s: %w", s.group, err)
	}
	if o, ok := done.Lookup(s.topic, 0); ok && o.Err == nil && o.At >= 0 {
		at = kgo.NewOffset().At(o.At)
	}
	s.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{s.topic: {0: at}})
	s.assigned = true
	return nil
}

// commit stores how far signals were taken; failing is no harm but a repeat after
// a restart.
func (s *SignalTopic) commit(ctx context.Context) {
	if s.next == s.committed {
		return
	}
	ask, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var os kadm.Offsets
	os.Add(kadm.Offset{Topic: s.topic, Partition: 0, At: s.next, LeaderEpoch: -1})
	if _, err := s.admin.CommitOffsets(ask, s.group, os); err == nil {
		s.committed = s.next
	}
}

// Close commits what was taken and closes the client.
func (s *SignalTopic) Close() {
	s.commit(context.Background())
	s.client.Close()
}
