package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/errs"
	"millrace/internal/kafkaconf"
	"millrace/internal/store"
)

// taskOffsets are the offsets of one source connector: those in a topic of its own
// (offsets.storage.topic), and behind them those in the worker's topic, where they
// are from before and where they are kept as a copy.
type taskOffsets struct {
	w     *Worker
	name  string
	topic string         // where the connector's offsets are written
	own   *store.Offsets // nil: the worker's topic only
}

// offsetsOf opens the offsets of a connector; sync must come before Get, and close
// ends it.
func (w *Worker) offsetsOf(ctx context.Context, name string, props map[string]string) (*taskOffsets, error) {
	o := &taskOffsets{w: w, name: name, topic: w.cfg.OffsetTopic}
	topic := strings.TrimSpace(props["offsets.storage.topic"])
	// Transactions do not span clusters: offsets go where the records go.
	brokers := w.cfg.Props["producer.bootstrap.servers"]
	if b := props["producer.override.bootstrap.servers"]; b != "" {
		brokers = b
	}
	away := w.cfg.ExactlyOnce && brokers != "" && brokers != w.cfg.Props["bootstrap.servers"]
	if !w.cfg.Distributed || (topic == "" || topic == w.cfg.OffsetTopic) && !away {
		return o, nil
	}
	if topic != "" {
		o.topic = topic
	}
	override, err := w.cfg.overrides(props, "admin.override.")
	if err != nil {
		return nil, err
	}
	cp := w.cfg.clientProps("admin.", override, "connector-offset-producer-"+name)
	if brokers != "" {
		cp["bootstrap.servers"] = brokers
	}
	kc := kafkaconf.Admin(cp)
	if err := kc.Err(); err != nil {
		return nil, &errs.Error{Java: errs.ConfigException, Msg: err.Error()}
	}
	spec := w.cfg.topicSpec(o.topic, "offset.storage.topic", w.cfg.int32("offset.storage.partitions", 25), false)
	spec.Role, spec.NoCreate = "offsets.storage.topic", false
	o.own = store.NewOffsets(store.NewKafkaLog(spec, w.log, kc.Opts...), w.log)
	if err := o.own.Start(ctx); err != nil {
		o.own = nil
		return nil, err
	}
	return o, nil
}

// sync reads to the end of both topics.
func (o *taskOffsets) sync(ctx context.Context) error {
	if o.own != nil {
		if err := o.own.Sync(ctx); err != nil {
			return err
		}
	}
	return o.w.offsets.Sync(ctx)
}

func (o *taskOffsets) close() {
	if o.own == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), o.w.cfg.FlushTimeout)
	defer cancel()
	if err := o.own.Close(ctx); err != nil {
		o.w.log.Warn("close the connector's offset topic", "connector", o.name, "topic", o.topic, "error", err)
	}
}

// Get returns the offset of a partition.
func (o *taskOffsets) Get(partition []byte) []byte {
	if o.own != nil {
		if v := o.own.Get(o.name, partition); v != nil {
			return v
		}
	}
	return o.w.offsets.Get(o.name, partition)
}

// List returns all partitions that have an offset.
func (o *taskOffsets) List() []store.PartitionOffset {
	out := o.w.offsets.List(o.name)
	if o.own == nil {
		return out
	}
	own := o.own.List(o.name)
	for _, p := range out {
		if o.own.Get(o.name, p.Partition) == nil {
			own = append(own, p)
		}
	}
	return own
}

// Put stores offsets. A reset (nil) goes to the worker's topic first: otherwise the
// old offset there would come back to light.
func (o *taskOffsets) Put(ctx context.Context, offsets ...store.PartitionOffset) error {
	if o.own == nil {
		return o.w.offsets.Put(ctx, o.name, offsets...)
	}
	var resets []store.PartitionOffset
	for _, p := range offsets {
		if p.Offset == nil {
			resets = append(resets, p)
		}
	}
	if len(resets) > 0 {
		if err := o.w.offsets.Put(ctx, o.name, resets...); err != nil {
			return err
		}
	}
	if err := o.own.Put(ctx, o.name, offsets...); err != nil {
		return err
	}
	if err := o.w.offsets.Put(ctx, o.name, offsets...); err != nil {
		o.w.log.Warn("the copy of the offsets in the worker's topic is behind", "connector", o.name, "error", err)
	}
	return nil
}

// record is the record that stores an offset within a transaction.
func (o *taskOffsets) record(partition, offset []byte) *kgo.Record {
	from := o.w.offsets
	if o.own != nil {
		from = o.own
	}
	return &kgo.Record{Topic: o.topic, Key: from.Key(o.name, partition), Value: offset, Partition: -1}
}

// committed copies an offset to the worker's topic after its transaction.
func (o *taskOffsets) committed(partition, offset []byte) {
	if o.own != nil {
		o.w.offsets.PutAsync(o.name, store.PartitionOffset{Partition: partition, Offset: offset})
	}
}

// liveOffsets is the offset store of a task's pipeline; it refuses once the task
// was left behind, so that a successor's offsets are never overwritten.
type liveOffsets struct {
	t *runningTask
	o *taskOffsets
}

// Put implements emit.OffsetStore.
func (l liveOffsets) Put(ctx context.Context, partition, offset []byte) error {
	if !l.t.live.Load() {
		return errors.New("this task was stopped and replaced; its offsets no longer count")
	}
	if err := l.o.Put(ctx, store.PartitionOffset{Partition: partition, Offset: offset}); err != nil {
		return fmt.Errorf("connector %s: %w", l.o.name, err)
	}
	return nil
}
