package schemahistory

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Topic is io.debezium.storage.kafka.history.KafkaSchemaHistory: entries in
// partition 0 of a topic, key null, value pretty-printed JSON, kept for ever.
type Topic struct {
	Name string
	// Options connect to the cluster: brokers, security, client id.
	Producer, Consumer []kgo.Opt

	client *kgo.Client
}

func (h *Topic) open() (*kgo.Client, error) {
	if h.client != nil {
		return h.client, nil
	}
	opts := append([]kgo.Opt{kgo.RequiredAcks(kgo.AllISRAcks()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression())}, h.Producer...)
	c, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("open schema history topic %s: %w", h.Name, err)
	}
	h.client = c
	return c, nil
}

// Create makes the topic if it is not there: one partition, never cleaned up.
func (h *Topic) Create(ctx context.Context) error {
	c, err := h.open()
	if err != nil {
		return err
	}
	set := func(s string) *string { return &s }
	resp, err := kadm.NewClient(c).CreateTopic(ctx, 1, -1, map[string]*string{
		"cleanup.policy": set("delete"), "retention.ms": set(strconv.FormatInt(math.MaxInt64, 10)), "retention.bytes": set("-1")}, h.Name)
	if err == nil {
		err = resp.Err
	}
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("create schema history topic %s: %w", h.Name, err)
	}
	return nil
}

// Append produces the entries and waits until all in-sync replicas have them.
func (h *Topic) Append(ctx context.Context, entries ...*Entry) error {
	c, err := h.open()
	if err != nil {
		return err
	}
	records := make([]*kgo.Record, len(entries))
	for i, e := range entries {
		v, err := e.Pretty()
		if err != nil {
			return err
		}
		records[i] = &kgo.Record{Topic: h.Name, Value: v}
	}
	if err := c.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("write schema history topic %s: %w", h.Name, err)
	}
	return nil
}

// ends returns the first and the next offset of partition 0.
func (h *Topic) ends(ctx context.Context) (from, to int64, found bool, err error) {
	c, err := h.open()
	if err != nil {
		return 0, 0, false, err
	}
	adm := kadm.NewClient(c)
	topics, err := adm.ListTopics(ctx, h.Name)
	if err != nil {
		return 0, 0, false, fmt.Errorf("look up schema history topic %s: %w", h.Name, err)
	}
	if !topics.Has(h.Name) {
		return 0, 0, false, nil
	}
	start, err := adm.ListStartOffsets(ctx, h.Name)
	if err != nil {
		return 0, 0, true, fmt.Errorf("look up schema history topic %s: %w", h.Name, err)
	}
	end, err := adm.ListEndOffsets(ctx, h.Name)
	if err != nil {
		return 0, 0, true, fmt.Errorf("look up schema history topic %s: %w", h.Name, err)
	}
	a, _ := start.Lookup(h.Name, 0)
	b, _ := end.Lookup(h.Name, 0)
	if err := errors.Join(a.Err, b.Err); err != nil {
		return 0, 0, true, fmt.Errorf("look up schema history topic %s: %w", h.Name, err)
	}
	return a.Offset, b.Offset, true, nil
}

// Exists reports whether the topic is there with at least one record.
func (h *Topic) Exists(ctx context.Context) (bool, error) {
	from, to, found, err := h.ends(ctx)
	return found && to > from, err
}

// Load reads partition 0 to the end it had when Load was called.
func (h *Topic) Load(ctx context.Context, each func(*Entry) error, bad func(error)) error {
	from, to, found, err := h.ends(ctx)
	if err != nil || !found || from >= to {
		return err
	}
	opts := append([]kgo.Opt{kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{h.Name: {0: kgo.NewOffset().At(from)}}), kgo.KeepControlRecords()}, h.Consumer...) // the last offset may be one of those
	c, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("open schema history topic %s: %w", h.Name, err)
	}
	defer c.Close()
	for next := from; next < to; {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return fmt.Errorf("read schema history topic %s: %w", h.Name, err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			next = r.Offset + 1
			if len(r.Value) == 0 || r.Offset >= to || r.Attrs.IsControl() {
				continue
			}
			e, err := ParseEntry(r.Value)
			if err != nil {
				if bad != nil {
					bad(fmt.Errorf("offset %d: %w", r.Offset, err))
				}
				continue
			}
			if err := each(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// Close ends the producer.
func (h *Topic) Close() error {
	if h.client != nil {
		h.client.Close()
	}
	return nil
}
