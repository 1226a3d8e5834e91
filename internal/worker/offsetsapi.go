package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"millrace/internal/store"
)

// OffsetEntry is one partition of a connector with its offset; Offset nil resets it.
type OffsetEntry struct {
	Partition json.RawMessage `json:"partition"`
	Offset    json.RawMessage `json:"offset"`
}

// group is the consumer group of a sink.
func (w *Worker) group(name string, config *store.Map) string {
	if g := strings.TrimSpace(config.Value("consumer.override.group.id")); g != "" && w.cfg.mayOverride("group.id") {
		return g
	}
	if g := strings.TrimSpace(w.cfg.Props["consumer.group.id"]); g != "" {
		return g
	}
	return "connect-" + name
}

// Offsets answers GET …/offsets.
func (w *Worker) Offsets(ctx context.Context, name string) ([]OffsetEntry, error) {
	c := w.configs.Get(name)
	if c == nil {
		return nil, notFound(name)
	}
	p := w.reg.Connector(className(c.Config.Strings()))
	if p == nil {
		return nil, statusErrorf(500, "Failed to get offsets for connector %s: %s", name, w.noClass(className(c.Config.Strings())))
	}
	out := []OffsetEntry{}
	if p.Kind == KindSource {
		err := w.withOffsets(ctx, c, func(offsets *taskOffsets) error {
			for _, o := range offsets.List() {
				out = append(out, OffsetEntry{o.Partition, o.Offset})
			}
			return nil
		})
		return out, err
	}
	offs, err := w.adm.FetchOffsets(ctx, w.group(name, c.Config))
	if errors.Is(err, kerr.GroupIDNotFound) {
		return out, nil // never committed, or deleted
	}
	if err != nil {
		return nil, fmt.Errorf("read the offsets of the consumer group %s: %w", w.group(name, c.Config), err)
	}
	offs.Each(func(o kadm.OffsetResponse) {
		if o.At < 0 || o.Err != nil {
			return
		}
		part := store.AppendJSONString(fmt.Appendf(nil, `{"kafka_partition":%d,"kafka_topic":`, o.Partition), o.Topic)
		out = append(out, OffsetEntry{append(part, '}'), fmt.Appendf(nil, `{"kafka_offset":%d}`, o.At)})
	})
	sort.Slice(out, func(i, j int) bool { return string(out[i].Partition) < string(out[j].Partition) })
	return out, nil
}

// withOffsets runs f on the offsets of a source connector, read to their end.
func (w *Worker) withOffsets(ctx context.Context, c *store.Connector, f func(*taskOffsets) error) error {
	props, err := w.cfg.Providers.Resolve(c.Config.Strings())
	if err != nil {
		return err
	}
	o, err := w.offsetsOf(ctx, c.Name, props)
	if err != nil {
		return fmt.Errorf("open the offsets of %s: %w", c.Name, err)
	}
	defer o.close()
	if err := o.sync(ctx); err != nil {
		return err
	}
	return f(o)
}

// change writes offsets of a stopped source connector. With exactly-once its old
// tasks are fenced before, so that none of them can write an offset afterwards.
func (w *Worker) change(ctx context.Context, c *store.Connector, f func(*taskOffsets) []store.PartitionOffset) error {
	if w.cfg.ExactlyOnce {
		if err := w.FenceTasks(ctx, c.Name); err != nil {
			return err
		}
	}
	return w.withOffsets(ctx, c, func(o *taskOffsets) error {
		puts := f(o)
		if len(puts) == 0 {
			return nil
		}
		if err := o.Put(ctx, puts...); err != nil {
			return fmt.Errorf("store the offsets of %s: %w", c.Name, err)
		}
		return nil
	})
}

// The success texts of changed offsets: short when the connector itself has
// agreed, long when it may keep offsets of its own.
func changedText(p *Plugin, verb string) string {
	if strings.HasPrefix(p.Class, "org.apache.kafka.connect.file.") {
		return "The offsets for this connector have been " + verb + " successfully"
	}
	return fmt.Sprintf("The Connect framework-managed offsets for this connector have been %s successfully. However, if this connector manages offsets externally, they will need to be manually %s in the system that the connector uses.", verb, verb)
}

// stopped returns the plugin of a connector whose offsets may be changed.
func (w *Worker) stopped(name string) (*store.Connector, *Plugin, error) {
	c := w.configs.Get(name)
	if c == nil {
		return nil, nil, notFound(name)
	}
	if c.Target != store.Stopped || len(c.Tasks) != 0 {
		return nil, nil, statusErrorf(400, "Connectors must be in the STOPPED state before their offsets can be modified. This can be done for the specified connector by issuing a 'PUT' request to the '/connectors/%s/stop' endpoint", name)
	}
	p := w.reg.Connector(className(c.Config.Strings()))
	if p == nil {
		return nil, nil, statusErrorf(500, "Failed to modify offsets for connector %s: %s", name, w.noClass(className(c.Config.Strings())))
	}
	return c, p, nil
}

// AlterOffsets answers PATCH …/offsets.
func (w *Worker) AlterOffsets(ctx context.Context, name string, offsets []OffsetEntry) (string, error) {
	if len(offsets) == 0 {
		return "", statusErrorf(400, "Partitions / offsets need to be provided for an alter offsets request")
	}
	c, p, err := w.stopped(name)
	if err != nil {
		return "", err
	}
	if p.Kind == KindSink {
		err = w.alterSink(ctx, name, w.group(name, c.Config), offsets)
	} else {
		err = w.alterSource(ctx, c, p, offsets)
	}
	if err != nil {
		return "", err
	}
	return changedText(p, "altered"), nil
}

func (w *Worker) alterSource(ctx context.Context, c *store.Connector, p *Plugin, offsets []OffsetEntry) error {
	var puts []store.PartitionOffset
	for _, o := range offsets {
		part, err := flat(o.Partition)
		if err != nil {
			return err
		}
		off, err := flat(o.Offset)
		if err != nil {
			return err
		}
		if part == nil {
			return statusErrorf(400, "The partition for a source connector offset cannot be null or missing")
		}
		if p.CheckOffset != nil {
			if err := p.CheckOffset(part, off); err != nil {
				return err
			}
		}
		puts = append(puts, store.PartitionOffset{Partition: hashJSON(part), Offset: hashJSON(off)})
	}
	return w.change(ctx, c, func(*taskOffsets) []store.PartitionOffset { return puts })
}

// flat parses a partition or offset, whose values must be primitive.
func flat(raw json.RawMessage) (*store.Object, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	v, err := store.ParseJSON(raw)
	o, ok := v.(*store.Object)
	if err != nil || !ok {
		return nil, statusErrorf(500, "partition and offset must be JSON objects")
	}
	for _, f := range o.Fields {
		switch f.Value.(type) {
		case []any:
			return nil, statusErrorf(500, "Offsets may only contain primitive types as values, but field %s contains ARRAY", f.Key)
		case *store.Object:
			return nil, statusErrorf(500, "Offsets may only contain primitive types as values, but field %s contains MAP", f.Key)
		}
	}
	return o, nil
}

// hashJSON writes an object with its keys in the order of a Java HashMap; nil
// for none.
func hashJSON(o *store.Object) []byte {
	if o == nil {
		return nil
	}
	order := store.NewHash()
	for _, f := range o.Fields {
		order.Put(f.Key, "")
	}
	out := &store.Object{}
	for _, e := range order.Entries() {
		v, _ := o.Get(e.Key)
		out.Fields = append(out.Fields, store.Field{Key: e.Key, Value: v})
	}
	return store.AppendJSON(nil, out)
}

// sinkOffset is one parsed entry of a sink's PATCH.
type sinkOffset struct {
	topic     string
	partition int32
	offset    int64
	reset     bool
}

func parseSinkOffset(o OffsetEntry) (sinkOffset, error) {
	var s sinkOffset
	bad := func(format string, a ...any) (sinkOffset, error) { return s, statusErrorf(400, format, a...) }
	part, err := flat(o.Partition)
	if err != nil {
		return s, err
	}
	if part == nil {
		return bad("The partition for a sink connector offset cannot be null or missing")
	}
	tv, ok1 := part.Get("kafka_topic")
	pv, ok2 := part.Get("kafka_partition")
	if !ok1 || !ok2 {
		return bad("The partition for a sink connector offset must contain the keys 'kafka_topic' and 'kafka_partition'")
	}
	if tv == nil {
		return bad("Kafka topic names must be valid strings and may not be null")
	}
	if pv == nil {
		return bad("Kafka partitions must be valid numbers and may not be null")
	}
	s.topic, _, _ = store.Scalar(tv)
	text, _, _ := store.Scalar(pv)
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return bad("Failed to parse the following Kafka partition value in the provided offsets: '%s'. Partition values for sink connectors need to be integers.", text)
	}
	s.partition = int32(n)
	off, err := flat(o.Offset)
	if err != nil {
		return s, err
	}
	if off == nil {
		s.reset = true
		return s, nil
	}
	ov, ok := off.Get("kafka_offset")
	if !ok {
		return bad("The offset for a sink connector should either be null or contain the key 'kafka_offset'")
	}
	if ov == nil {
		return bad("Kafka offset values must be valid numbers and may not be null")
	}
	text, _, _ = store.Scalar(ov)
	if s.offset, err = strconv.ParseInt(text, 10, 64); err != nil {
		return bad("Failed to parse the following Kafka offset value in the provided offsets: '%s'. Offset values for sink connectors need to be integers.", text)
	}
	return s, nil
}

func (w *Worker) alterSink(ctx context.Context, name, group string, offsets []OffsetEntry) error {
	var set kadm.Offsets
	var reset kadm.TopicsSet
	for _, o := range offsets {
		s, err := parseSinkOffset(o)
		if err != nil {
			return err
		}
		if s.reset {
			reset.Add(s.topic, s.partition)
			continue
		}
		if s.offset < 0 {
			return statusErrorf(500, "Failed to modify offsets for sink connector %s", name)
		}
		set.AddOffset(s.topic, s.partition, s.offset, -1)
	}
	if len(set) > 0 {
		if err := w.checkPartitions(ctx, name, set); err != nil {
			return err
		}
		if err := w.groupEmpty(ctx, name, group); err != nil {
			return err
		}
		rs, err := w.adm.CommitOffsets(ctx, group, set)
		if err == nil {
			err = rs.Error()
		}
		if err != nil {
			w.log.Error("cannot alter the offsets of a consumer group", "connector", name, "group", group, "error", err)
			return statusErrorf(500, "Failed to alter consumer group offsets for connector %s", name)
		}
	}
	if len(reset) > 0 {
		rs, err := w.adm.DeleteOffsets(ctx, group, reset)
		if err == nil {
			err = rs.Error()
		}
		if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
			w.log.Error("cannot reset offsets of a consumer group", "connector", name, "group", group, "error", err)
			return statusErrorf(500, "Failed to alter consumer group offsets for connector %s", name)
		}
	}
	return nil
}

// checkPartitions refuses partitions that do not exist.
func (w *Worker) checkPartitions(ctx context.Context, name string, set kadm.Offsets) error {
	topics := make([]string, 0, len(set))
	for t := range set {
		topics = append(topics, t)
	}
	ts, err := w.adm.ListTopics(ctx, topics...)
	if err != nil {
		return fmt.Errorf("look for the topics of %s: %w", name, err)
	}
	for t, ps := range set {
		for p := range ps {
			if d, ok := ts[t]; !ok || d.Err != nil || p < 0 || int(p) >= len(d.Partitions) {
				return statusErrorf(500, "Failed to alter consumer group offsets for connector %s", name)
			}
		}
	}
	return nil
}

// groupEmpty refuses while a consumer of the group is still there.
func (w *Worker) groupEmpty(ctx context.Context, name, group string) error {
	gs, err := w.adm.DescribeGroups(ctx, group)
	if err != nil {
		return fmt.Errorf("look for the consumer group %s: %w", group, err)
	}
	if g, ok := gs[group]; ok && len(g.Members) > 0 {
		return statusErrorf(500, "Failed to alter consumer group offsets for connector %s either because its tasks haven't stopped completely yet or the connector was resumed before the request to alter its offsets could be successfully completed. If the connector is in a stopped state, this operation can be safely retried. If it doesn't eventually succeed, the Connect cluster may need to be restarted to get rid of the zombie sink tasks.", name)
	}
	return nil
}

// ResetOffsets answers DELETE …/offsets.
func (w *Worker) ResetOffsets(ctx context.Context, name string) (string, error) {
	c, p, err := w.stopped(name)
	if err != nil {
		return "", err
	}
	if p.Kind == KindSource {
		err := w.change(ctx, c, func(offsets *taskOffsets) []store.PartitionOffset {
			var puts []store.PartitionOffset
			for _, o := range offsets.List() {
				puts = append(puts, store.PartitionOffset{Partition: o.Partition})
			}
			return puts
		})
		if err != nil {
			return "", err
		}
		return changedText(p, "reset"), nil
	}
	group := w.group(name, c.Config)
	if err := w.groupEmpty(ctx, name, group); err != nil {
		return "", err
	}
	r, err := w.adm.DeleteGroup(ctx, group)
	if err == nil {
		err = r.Err
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		w.log.Error("cannot delete a consumer group", "connector", name, "group", group, "error", err)
		return "", statusErrorf(500, "Failed to reset consumer group offsets for connector %s", name)
	}
	return changedText(p, "reset"), nil
}
