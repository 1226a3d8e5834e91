package worker

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/emit"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// chunkBytes bounds the raw bytes of one batch, so that a poll of large records
// does not become one huge batch.
const chunkBytes = 6 << 20

// process takes the records of a poll through decode, transforms and Put, chunk by
// chunk; the last chunk's Put is left running. It is called with mu held.
func (t *SinkTask) process(ctx context.Context, fetches kgo.Fetches) error {
	// Whose the records are is settled now: while a chunk waits to be put again the
	// group may take a partition away and give it back, and then it is read anew.
	owned := map[string]map[int32]*sinkPart{}
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		if len(f.Records) > 0 {
			if owned[f.Topic] == nil {
				owned[f.Topic] = map[int32]*sinkPart{}
			}
			owned[f.Topic][f.Partition] = t.assigned[f.Topic][f.Partition]
		}
	})
	it := fetches.RecordIter()
	for !it.Done() {
		c := &t.slots[0]
		if c == t.inflight {
			c = &t.slots[1]
		}
		c.reset()
		t.renewUsed()
		for size := 0; !it.Done() && size < chunkBytes; {
			rec := it.Next()
			part := owned[rec.Topic][rec.Partition]
			if part == nil || part.revoked { // while an earlier chunk waited
				continue
			}
			size += len(rec.Key) + len(rec.Value)
			c.all = append(c.all, chunkEntry{part, rec})
			part.read = rec.Offset + 1
			err := t.take(ctx, c, part, rec)
			if t.dlq == nil { // nobody asks for its bytes any more
				rec.Key, rec.Value, rec.Headers = nil, nil, nil
			}
			if err != nil {
				// What came before it is written first, as without decoding ahead.
				if e := t.settle(ctx); e != nil {
					return e
				}
				return err
			}
			if ctx.Err() != nil {
				return nil
			}
		}
		t.cfg.Metrics.Took(len(c.all), t.waited)
		t.waited = 0
		if err := t.settle(ctx); err != nil || ctx.Err() != nil {
			return err
		}
		t.cfg.Metrics.GaveUp(c.dropRevoked())
		t.launch(ctx, c)
	}
	return nil
}

func (c *chunk) reset() {
	c.batch.Reset()
	c.letGo()
	c.parts, c.sizes = c.parts[:0], c.sizes[:0]
}

// letGo gives up what was read of Kafka: fetches are large, and a chunk that was
// written is only filled again with what comes next.
func (c *chunk) letGo() {
	clear(c.raws)
	clear(c.all)
	c.raws, c.all = c.raws[:0], c.all[:0]
}

// launch starts the Put of a chunk; settle joins it.
func (t *SinkTask) launch(ctx context.Context, c *chunk) {
	t.inflight = c
	if len(c.batch.Records) == 0 {
		t.result <- nil
		return
	}
	// A stop lets the Put end by itself for a while: one that is cut off may have
	// been written all the same, and would be written again.
	put, cancel := context.WithCancel(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(ctx, func() { time.AfterFunc(t.cfg.CommitTimeout, cancel) })
	go func() {
		began := time.Now()
		err := t.putFenced(put, cancel, c)
		c.took = time.Since(began)
		t.cfg.Metrics.PutTook(c.took)
		t.result <- err
		unhook()
		cancel()
		t.wake()
	}()
}

// putGuarded turns a panic of the sink into an error: in a goroutine of its own it would
// end the whole worker.
func (t *SinkTask) putGuarded(ctx context.Context, b *record.Batch) (err error) {
	defer caught(t.cfg.Log, "sink", &err)
	return t.sink.Put(ctx, b)
}

// settle waits for the Put in flight and deals with its result: afterwards every
// record of its chunk is written, reported or given up to another owner. It is
// called with mu held.
func (t *SinkTask) settle(ctx context.Context) error {
	c := t.inflight
	if c == nil {
		return nil
	}
	err := <-t.result
	t.inflight = nil
	switch err = t.put(ctx, c, err); {
	case err == nil:
		t.advance(c)
	case errors.Is(err, errStopping):
		return nil
	}
	return err
}

// errStopping: the task stops before a chunk was written; it will be read again.
var errStopping = errors.New("the task stops")

// settleLocked is settle for callers that do not hold mu.
func (t *SinkTask) settleLocked(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.settle(ctx)
}

// take decodes and transforms one record into the batch. A record that cannot be
// is reported and, when tolerated, left out.
func (t *SinkTask) take(ctx context.Context, c *chunk, part *sinkPart, rec *kgo.Record) error {
	b := &c.batch
	r := b.Append()
	topic := t.topic(rec.Topic)
	r.Topic, r.Partition, r.Offset = topic, rec.Partition, rec.Offset
	r.Timestamp = rec.Timestamp.UnixMilli()
	r.Origin = record.Origin{Topic: topic, Partition: rec.Partition, Offset: rec.Offset}
	stage, err := t.decode(ctx, b, rec, r)
	if err == nil {
		t.use(topic)
		for i := range t.cfg.Stages {
			var keep bool
			s := &t.cfg.Stages[i]
			keep, err = s.Apply(b, r)
			if err != nil && errs.Retriable(err) {
				keep, err = t.retryTransform(ctx, i, b, r, err)
			}
			if err != nil {
				stage = failure{"TRANSFORMATION", s.Class}
				break
			}
			if !keep {
				b.Records = b.Records[:len(b.Records)-1]
				t.cfg.Metrics.Skipped("transform").Inc()
				return nil
			}
		}
	}
	if err != nil {
		b.Records = b.Records[:len(b.Records)-1]
		if ctx.Err() != nil {
			return nil
		}
		return t.tolerate(ctx, rec, stage, err)
	}
	c.parts = append(c.parts, part)
	c.raws = append(c.raws, rec)
	c.sizes = append(c.sizes, len(rec.Key)+len(rec.Value))
	return nil
}

func (t *SinkTask) decode(ctx context.Context, b *record.Batch, rec *kgo.Record, r *record.Record) (failure, error) {
	var err error
	if r.KeySchema, r.Key, err = t.cfg.Key.Decode(ctx, r.Topic, rec.Key, b); err != nil {
		err = t.retry(ctx, err, func() (e error) {
			r.KeySchema, r.Key, e = t.cfg.Key.Decode(ctx, r.Topic, rec.Key, b)
			return e
		})
		if err != nil {
			return failure{"KEY_CONVERTER", t.cfg.KeyClass}, err
		}
	}
	if r.ValueSchema, r.Value, err = t.cfg.Value.Decode(ctx, r.Topic, rec.Value, b); err != nil {
		err = t.retry(ctx, err, func() (e error) {
			r.ValueSchema, r.Value, e = t.cfg.Value.Decode(ctx, r.Topic, rec.Value, b)
			return e
		})
		if err != nil {
			return failure{"VALUE_CONVERTER", t.cfg.ValueClass}, err
		}
	}
	for i := range rec.Headers {
		h, err := t.cfg.Header.DecodeHeader(r.Topic, rec.Headers[i].Key, rec.Headers[i].Value, b)
		if err != nil {
			return failure{"HEADER_CONVERTER", t.cfg.HeaderClass}, err
		}
		b.AddHeader(r, h)
	}
	return failure{}, nil
}

func (t *SinkTask) retryTransform(ctx context.Context, i int, b *record.Batch, r *record.Record, err error) (keep bool, _ error) {
	err = t.retry(ctx, err, func() (e error) {
		keep, e = t.cfg.Stages[i].Apply(b, r)
		return e
	})
	return keep, err
}

// retry tries a retriable error again for errors.retry.timeout, with Connect's delays.
func (t *SinkTask) retry(ctx context.Context, err error, again func() error) error {
	var re emit.Retry
	for re.Again(ctx, &t.cfg.Tolerance, err) {
		t.cfg.Metrics.Retried()
		if err = again(); err == nil {
			return nil
		}
	}
	return err
}

// put deals with the result of a chunk's Put. On a retriable error it lets the
// group rebalance while it waits, drops what belongs to somebody else by then, and
// puts the rest again.
func (t *SinkTask) put(ctx context.Context, c *chunk, err error) error {
	delay := time.Second
	for attempt := 1; ; attempt++ {
		var bad *errs.RecordError
		switch {
		case err == nil:
			t.count(c)
			return nil
		case errors.As(err, &bad):
			return t.refused(ctx, c, bad)
		case ctx.Err() != nil || t.stopping:
			return errStopping
		}
		wait := delay
		var wish interface{ RetryAfter() time.Duration }
		switch {
		case t.fence.taken():
			wait = t.verdict()
		case !errs.Retriable(err):
			return unrecoverable(err)
		case errors.As(err, &wish):
			wait = wish.RetryAfter()
		}
		t.cfg.Log.Warn("the target did not take a batch, putting it again", "error", err, "records", len(c.batch.Records), "attempt", attempt, "delay", wait)
		t.mu.Unlock()
		t.cl.AllowRebalance()
		alive := sleep(ctx, wait)
		t.mu.Lock()
		if !alive {
			return errStopping
		}
		if t.failed != nil {
			return t.failed
		}
		if t.cfg.Metrics.GaveUp(c.dropRevoked()); len(c.batch.Records) == 0 {
			return nil
		}
		err = t.putAgain(ctx, c)
		delay = min(2*delay, 30*time.Second)
	}
}

func (t *SinkTask) putAgain(ctx context.Context, c *chunk) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return t.putFenced(ctx, cancel, c)
}

// putFenced is a Put that can be cut off.
func (t *SinkTask) putFenced(ctx context.Context, cancel context.CancelFunc, c *chunk) error {
	if !t.fence.begin(cancel) {
		return errStoodStill
	}
	defer t.fence.end()
	return t.putGuarded(ctx, &c.batch)
}

// refused reports the records that the target will never take; the others are written.
func (t *SinkTask) refused(ctx context.Context, c *chunk, bad *errs.RecordError) error {
	for _, x := range bad.Bad {
		if x.Index < 0 || x.Index >= len(c.raws) {
			return unrecoverable(x.Err)
		}
		rec := c.raws[x.Index]
		if t.cfg.Tolerance.All {
			if err := t.tolerate(ctx, rec, failure{stagePut, "org.apache.kafka.connect.sink.SinkTask"}, x.Err); err != nil {
				return err
			}
			continue
		}
		t.cfg.Metrics.RecordFailed(time.Now(), t.cfg.Tolerance.Log)
		t.advanceTo(c, bad.Done)
		return unrecoverable(errors.Join(x.Err, t.report(ctx, rec, failure{stagePut, "org.apache.kafka.connect.sink.SinkTask"}, x.Err)))
	}
	t.count(c)
	return nil
}

// dropRevoked takes the records of partitions that were revoked since the poll out
// of the batch: their new owner writes them, and writing them late could put an
// old row over a newer one. It returns how many there were.
func (c *chunk) dropRevoked() (dropped int) {
	n := 0
	for i, part := range c.parts {
		if part.revoked {
			continue
		}
		if n != i {
			c.batch.Records[n], c.parts[n], c.raws[n], c.sizes[n] = c.batch.Records[i], part, c.raws[i], c.sizes[i]
		}
		n++
	}
	dropped = len(c.parts) - n
	c.batch.Records, c.parts, c.raws, c.sizes = c.batch.Records[:n], c.parts[:n], c.raws[:n], c.sizes[:n]
	return dropped
}

// advance notes that every record of the chunk is dealt with.
func (t *SinkTask) advance(c *chunk) {
	for _, e := range c.all {
		e.part.next, e.part.epoch = e.rec.Offset+1, e.rec.LeaderEpoch
	}
	if len(c.all) > 0 {
		t.dirty = true
	}
	c.letGo()
}

// advanceTo is advance for what lies in front of a record of the batch, by index.
func (t *SinkTask) advanceTo(c *chunk, n int) {
	if n <= 0 || n >= len(c.raws) {
		return
	}
	for _, e := range c.all {
		if e.rec == c.raws[n] {
			break
		}
		e.part.next, e.part.epoch = e.rec.Offset+1, e.rec.LeaderEpoch
		t.dirty = true
	}
}

func (t *SinkTask) topic(name string) *record.Topic {
	if topic := t.topics[name]; topic != nil {
		return topic
	}
	topic := &record.Topic{Name: name}
	t.topics[name] = topic
	return topic
}

// usedTopics are those that OnTopic was told of. Records come in runs of one topic.
type usedTopics struct {
	epoch uint64
	last  *record.Topic
	told  map[*record.Topic]struct{}
}

// use tells of a topic that a record was converted of; those of which every record
// fails do not count in Connect either.
func (t *SinkTask) use(topic *record.Topic) {
	u := &t.used
	if topic == u.last || t.cfg.OnTopic == nil {
		return
	}
	if u.told == nil {
		u.told = map[*record.Topic]struct{}{}
	}
	u.last = topic
	if _, ok := u.told[topic]; !ok {
		u.told[topic] = struct{}{}
		t.cfg.OnTopic(topic.Name)
	}
}

// renewUsed lets topics be told again after the connector's were reset.
func (t *SinkTask) renewUsed() {
	if t.cfg.TopicEpoch == nil {
		return
	}
	if epoch := t.cfg.TopicEpoch(); epoch != t.used.epoch {
		t.used = usedTopics{epoch: epoch}
	}
}

// commitOffsets commits and returns the first error, of the request or of a partition.
func (t *SinkTask) commitOffsets(ctx context.Context, offsets map[string]map[int32]kgo.EpochOffset) error {
	var first error
	t.cl.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			first = err
			return
		}
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				if e := kerr.ErrorForCode(p.ErrorCode); e != nil && first == nil {
					first = e
				}
			}
		}
	})
	return first
}
