package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/errs"
	"millrace/internal/javaregex"
	"millrace/internal/metrics"
)

// ErrNoTopics: none of a sink's topics exists.
var ErrNoTopics = errors.New("the topics of the connector do not exist")

// Replay reads the topics of a sink connector from their beginning, through its
// converters and transforms, beside the connector: it joins no group, commits
// nothing and writes no dead letters.
type Replay struct {
	task  *SinkTask
	group string
	cl    *kgo.Client
	adm   *kadm.Client
	next  map[string]map[int32]int64 // the first offset not read yet
	// Cut are topics that no longer have their first records.
	Cut []string
	// Records is how many were read.
	Records int64
}

// NewReplay makes a replay from a sink's properties, config providers resolved.
func (w *Worker) NewReplay(name string, props map[string]string, log *slog.Logger) (*Replay, error) {
	own := map[string]string{}
	for k, v := range props {
		if k != "errors.deadletterqueue.topic.name" {
			own[k] = v
		}
	}
	set := metrics.New()
	t := &runningTask{s: &supervisor{name: name}, w: w, log: log}
	cfg, err := t.sinkConfig(TaskEnv{Connector: name, Props: own, Log: log, Metrics: set.Task(name, "0")})
	if err != nil {
		return nil, err
	}
	cfg.OnTopic = nil
	st := NewSinkTask(cfg, nil)
	r := &Replay{task: st, group: st.cfg.Group, next: map[string]map[int32]int64{}}
	if r.cl, err = kgo.NewClient(append(cfg.Consumer, kgo.KeepControlRecords(), kgo.FetchMaxBytes(1<<20), kgo.FetchMaxPartitionBytes(512<<10))...); err != nil {
		return nil, fmt.Errorf("make a Kafka client: %w", err)
	}
	r.adm = kadm.NewClient(r.cl)
	return r, nil
}

// Close closes the client.
func (r *Replay) Close() { r.cl.Close() }

// topics lists those of the connector that exist.
func (r *Replay) topics(ctx context.Context) ([]string, error) {
	have, err := r.adm.ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("reach Kafka: %w", err)
	}
	var out []string
	if r.task.cfg.Pattern != "" {
		re, err := javaregex.Compile(r.task.cfg.Pattern, 0)
		if err != nil {
			return nil, err
		}
		for _, name := range have.Names() {
			if re.MatchWhole(name) {
				out = append(out, name)
			}
		}
	} else {
		for _, name := range r.task.cfg.Topics {
			if have.Has(name) {
				out = append(out, name)
			}
		}
	}
	if len(out) == 0 {
		return nil, ErrNoTopics
	}
	return out, nil
}

// silence is how long a topic may give nothing before its end counts as reached.
const silence = 20 * time.Second

// Read gives everything from where the last Read ended to the present end of the
// topics to put, in the order of each partition. progress is told how far it is; may
// be nil. It returns how many records were new.
func (r *Replay) Read(ctx context.Context, sink Sink, progress func(done, all int64)) (fresh int64, err error) {
	ends, all, err := r.span(ctx)
	if err != nil || len(ends) == 0 {
		return 0, err
	}
	from := map[string]map[int32]kgo.Offset{}
	for topic, ps := range ends {
		from[topic] = map[int32]kgo.Offset{}
		for p := range ps {
			from[topic][p] = kgo.NewOffset().At(r.next[topic][p])
		}
	}
	r.cl.AddConsumePartitions(from)
	defer func() {
		gone := map[string][]int32{}
		for topic, ps := range from {
			for p := range ps {
				gone[topic] = append(gone[topic], p)
			}
		}
		r.cl.RemoveConsumePartitions(gone)
	}()
	var done int64
	heard := time.Now()
	for len(ends) > 0 {
		poll, cancel := context.WithTimeout(ctx, time.Second)
		fetches := r.cl.PollRecords(poll, r.task.cfg.MaxPollRecords)
		cancel()
		if ctx.Err() != nil {
			return fresh, ctx.Err()
		}
		for _, e := range fetches.Errors() {
			if poll.Err() != nil && errors.Is(e.Err, poll.Err()) {
				continue
			}
			heard = time.Now()
			if err := r.task.fetchError(e); err != nil {
				return fresh, err
			}
		}
		if fetches.NumRecords() > 0 {
			heard = time.Now()
		} else if time.Since(heard) > silence {
			// What lies before the end is gone: compaction leaves such ends.
			r.task.cfg.Log.Warn("no record comes before the end of the topics any more", "partitions", ends)
			break
		}
		n, passed, err := r.put(ctx, sink, fetches, ends)
		if err != nil {
			return fresh, err
		}
		fresh, done = fresh+n, done+passed
		if progress != nil {
			progress(done, all)
		}
	}
	r.Records += fresh
	return fresh, nil
}

// span finds the ends of partitions that have something new, and how many offsets lie before them.
func (r *Replay) span(ctx context.Context) (ends map[string]map[int32]int64, all int64, err error) {
	topics, err := r.topics(ctx)
	if err != nil {
		return nil, 0, err
	}
	first, err := r.adm.ListStartOffsets(ctx, topics...)
	if err != nil {
		return nil, 0, err
	}
	last, err := r.adm.ListCommittedOffsets(ctx, topics...) // what readers of committed transactions see
	if err != nil {
		return nil, 0, err
	}
	ends = map[string]map[int32]int64{}
	var failed error
	last.Each(func(o kadm.ListedOffset) {
		if o.Err != nil {
			failed = errors.Join(failed, fmt.Errorf("topic %s, partition %d: %w", o.Topic, o.Partition, o.Err))
			return
		}
		if r.next[o.Topic] == nil {
			r.next[o.Topic] = map[int32]int64{}
		}
		at, begun := r.next[o.Topic][o.Partition]
		if s, ok := first.Lookup(o.Topic, o.Partition); ok && s.Offset > at {
			if !begun {
				r.cut(o.Topic)
			}
			at = s.Offset
		}
		r.next[o.Topic][o.Partition] = at
		if at < o.Offset {
			if ends[o.Topic] == nil {
				ends[o.Topic] = map[int32]int64{}
			}
			ends[o.Topic][o.Partition] = o.Offset
			all += o.Offset - at
		}
	})
	return ends, all, failed
}

func (r *Replay) cut(topic string) {
	for _, t := range r.Cut {
		if t == topic {
			return
		}
	}
	r.Cut = append(r.Cut, topic)
}

// put hands on what a poll gave up to the ends, in chunks.
func (r *Replay) put(ctx context.Context, sink Sink, fetches kgo.Fetches, ends map[string]map[int32]int64) (fresh, passed int64, err error) {
	c := &r.task.slots[0]
	part := &sinkPart{}
	it := fetches.RecordIter()
	for !it.Done() {
		c.reset()
		for size := 0; !it.Done() && size < chunkBytes; {
			rec := it.Next()
			end, open := ends[rec.Topic][rec.Partition]
			if !open || rec.Offset >= end {
				continue
			}
			passed += rec.Offset + 1 - r.next[rec.Topic][rec.Partition]
			r.next[rec.Topic][rec.Partition] = rec.Offset + 1
			if rec.Offset+1 == end {
				if delete(ends[rec.Topic], rec.Partition); len(ends[rec.Topic]) == 0 {
					delete(ends, rec.Topic)
				}
			}
			if rec.Attrs.IsControl() {
				continue
			}
			size += len(rec.Key) + len(rec.Value)
			fresh++
			if err := r.task.take(ctx, c, part, rec); err != nil {
				return fresh, passed, fmt.Errorf("topic %s, partition %d, offset %d: %w", rec.Topic, rec.Partition, rec.Offset, err)
			}
		}
		if len(c.batch.Records) > 0 {
			if err := r.write(ctx, sink, c); err != nil {
				return fresh, passed, err
			}
		}
	}
	return fresh, passed, nil
}

// write puts a chunk, and again while the target is busy.
func (r *Replay) write(ctx context.Context, sink Sink, c *chunk) error {
	for attempt := 1; ; attempt++ {
		err := sink.Put(ctx, &c.batch)
		if err == nil || ctx.Err() != nil || !errs.Retriable(err) || attempt == 5 {
			return err
		}
		if !sleep(ctx, time.Duration(attempt)*200*time.Millisecond) {
			return ctx.Err()
		}
	}
}

// Forget deletes what was read from the topics, of a cluster that belongs to the caller.
func (r *Replay) Forget(ctx context.Context) error {
	upTo := kadm.Offsets{}
	for topic, ps := range r.next {
		for p, at := range ps {
			upTo.Add(kadm.Offset{Topic: topic, Partition: p, At: at})
		}
	}
	_, err := r.adm.DeleteRecords(ctx, upTo)
	return err
}

// Behind is how many records of what was read the connector's group has not
// committed yet; -1 when there is no such group.
func (r *Replay) Behind(ctx context.Context) (int64, error) {
	got, err := r.adm.FetchOffsets(ctx, r.group)
	if err != nil {
		return 0, fmt.Errorf("read the offsets of the group %s: %w", r.group, err)
	}
	var behind int64
	known := false
	for topic, ps := range r.next {
		for p, at := range ps {
			o, ok := got.Lookup(topic, p)
			known = known || ok && o.At >= 0
			if !ok || o.At < 0 {
				behind += at
			} else {
				behind += max(0, at-o.At)
			}
		}
	}
	if !known {
		return -1, nil
	}
	return behind, nil
}

// Group is the consumer group of the connector.
func (r *Replay) Group() string { return r.group }

// Resolve replaces the placeholders of config providers in a connector's properties.
func (w *Worker) Resolve(props map[string]string) (map[string]string, error) {
	return w.cfg.Providers.Resolve(props)
}
