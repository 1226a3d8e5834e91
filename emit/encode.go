package emit

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/convert"
	"millrace/internal/errs"
	"millrace/internal/record"
)

// encoder is the goroutine that turns batches into Kafka records. Everything in
// it belongs to that goroutine.
type encoder struct {
	p       *Pipeline
	cfg     *Config
	routes  map[*record.Topic]*route
	topic   *record.Topic // the last route, for runs of one table
	route   *route
	slab    *slab
	mean    int // bytes of a converted record, a moving mean
	batch   uint64
	told    uint64 // Pipeline.told at the start of the batch
	dropped counters

	// headers of the previous record: deletes and tombstones, and often a whole
	// batch, share them
	lastFrom  *record.Header
	lastLen   int
	lastHdrs  []kgo.RecordHeader
	lastRoute *route
}

// route is what is known about one topic.
type route struct {
	topic      *record.Topic
	ready      bool   // the topic exists
	told       uint64 // Pipeline.told at the last OnTopic, plus one
	limit      int    // bytes of the largest record; 0 unknown
	setting    string
	needsKey   bool
	records    *atomic.Uint64 // made for the topic
	key, value planCache
}

// planCache remembers the plans of a topic by schema; the last one is found
// without a map.
type planCache struct {
	schema *record.Schema
	enc    convert.Encoder
	all    map[*record.Schema]convert.Encoder
}

func (c *planCache) get(ctx context.Context, conv convert.Converter, t *record.Topic, s *record.Schema) (convert.Encoder, error) {
	if c.enc != nil && c.schema == s {
		return c.enc, nil
	}
	enc, ok := c.all[s]
	if !ok {
		var err error
		if enc, err = conv.Encoder(ctx, t, s); err != nil {
			return nil, err
		}
		if c.all == nil || len(c.all) >= plansKept {
			c.all = map[*record.Schema]convert.Encoder{}
		}
		c.all[s] = enc
	}
	c.schema, c.enc = s, enc
	return enc, nil
}

// routesKept and plansKept bound the caches against transforms that make a new
// topic or schema per record; forgetting only costs compiling again.
const (
	routesKept = 20000
	plansKept  = 1000
)

func newEncoder(p *Pipeline) *encoder {
	return &encoder{p: p, cfg: &p.cfg, routes: map[*record.Topic]*route{}, mean: 512, dropped: bindCounters(p.cfg.Metrics)}
}

// loop runs until stop is closed and the queue is empty, or until the pipeline
// dies. ctx ends its waits; send is what the client's records live by.
func (e *encoder) loop(ctx, send context.Context) {
	for {
		var b *record.Batch
		select {
		case b = <-e.p.in:
		case <-e.p.dead:
			return
		case <-e.p.stop:
			select {
			case b = <-e.p.in:
			default:
				return
			}
		}
		n := b.Bytes()
		err := e.encode(ctx, send, b)
		b.Release()
		e.p.credit(n)
		if err != nil {
			e.p.kill(err)
			return
		}
	}
}

// encode converts and produces the records of a batch. On an error the records
// before the failing one are produced nevertheless, but the batch stays open in
// the Ledger, so its position is never stored.
func (e *encoder) encode(ctx, send context.Context, b *record.Batch) error {
	e.batch = e.p.open(b.End)
	e.lastFrom, e.told = nil, e.p.told.Load()
	for i := range b.Records {
		if err := e.one(ctx, send, b, i); err != nil {
			e.submit(send)
			return err
		}
	}
	e.submit(send)
	e.p.seal(e.batch)
	return nil
}

// one takes a record into the slab, unless it is dropped.
func (e *encoder) one(ctx, send context.Context, b *record.Batch, i int) error {
	r := &b.Records[i]
	if e.slab == nil || !e.slab.room(2*e.mean) {
		e.submit(send)
		s, err := e.p.takeSlab(ctx, len(b.Records)-i, e.mean, e.batch)
		if err != nil {
			return err
		}
		e.slab, e.lastFrom = s, nil
	}
	s := e.slab
	from, hfrom := len(s.buf), len(s.hdrs)
	s.recs = s.recs[:len(s.recs)+1]
	k := &s.recs[len(s.recs)-1]
	*k = kgo.Record{}
	ok, err := e.convert(ctx, b, r, k)
	if err == nil && ok && !e.route.ready {
		if err = e.ready(ctx, r.Topic); err != nil && e.cfg.Tolerance.All && refusedName(err) {
			k.Topic = e.route.topic.Name
			e.p.tolerated(k, err)
			ok, err = false, nil
		}
	}
	if err == nil && ok && e.route.limit > 0 {
		ok, err = e.fits(k)
	}
	if err != nil || !ok {
		s.recs = s.recs[:len(s.recs)-1]
		s.buf, s.hdrs = s.buf[:from], s.hdrs[:hfrom]
		e.lastFrom = nil
		return err
	}
	k.Topic = e.route.topic.Name
	e.route.records.Add(1)
	if e.route.told != e.told+1 {
		e.route.told = e.told + 1
		if e.cfg.OnTopic != nil {
			e.cfg.OnTopic(k.Topic)
		}
	}
	k.Partition = r.Partition // a transform may have chosen it
	if r.Timestamp != record.NoTimestamp {
		k.Timestamp = time.UnixMilli(r.Timestamp)
	}
	if r.CommitUs > s.commitUs {
		s.commitUs = r.CommitUs
	}
	e.mean += (len(s.buf) - from - e.mean) / 16
	return nil
}

// convert runs the transforms and converters on a record; every step is retried
// by itself, since transforms change the record in place. ok false: dropped.
func (e *encoder) convert(ctx context.Context, b *record.Batch, r *record.Record, k *kgo.Record) (ok bool, err error) {
	stages := len(e.cfg.Stages)
	var re Retry
	for step := 0; step < stages+3; {
		keep := true
		switch step - stages {
		default:
			keep, err = e.cfg.Stages[step].Apply(b, r)
		case 0:
			k.Headers, err = e.headers(b, r)
		case 1:
			k.Key, err = e.bytes(ctx, &e.route.key, e.cfg.Key, r.KeySchema, b, r, r.Key, false)
		case 2:
			k.Value, err = e.bytes(ctx, &e.route.value, e.cfg.Value, r.ValueSchema, b, r, r.Value, true)
		}
		switch {
		case err == nil && keep:
			step++
			re = Retry{}
		case err == nil:
			e.dropped.transform.Inc()
			return false, nil
		case re.Again(ctx, &e.cfg.Tolerance, err):
			if m := e.cfg.Metrics; m != nil {
				m.Retried()
			}
		default:
			return false, e.failed(step, r, err)
		}
	}
	return true, nil
}

func (e *encoder) setRoute(t *record.Topic) {
	if t == e.topic && e.route != nil {
		return
	}
	rt := e.routes[t]
	if rt == nil {
		if len(e.routes) >= routesKept {
			e.routes = map[*record.Topic]*route{}
		}
		rt = &route{topic: t, records: &atomic.Uint64{}}
		if m := e.cfg.Metrics; m != nil {
			rt.records = m.Topic(t.Name)
		}
		e.routes[t] = rt
	}
	e.topic, e.route = t, rt
}

// bytes appends the converted key or value v of r to the slab; nil is Kafka's
// null. A converter of values may look at the whole record.
func (e *encoder) bytes(ctx context.Context, c *planCache, conv convert.Converter, s *record.Schema, b *record.Batch, r *record.Record, v record.Cell, value bool) ([]byte, error) {
	enc, err := c.get(ctx, conv, r.Topic, s)
	if err != nil {
		return nil, err
	}
	sl := e.slab
	from := len(sl.buf)
	var out []byte
	var null bool
	if whole, ok := enc.(convert.RecordEncoder); ok && value {
		out, null, err = whole.AppendRecord(sl.buf, b, r)
	} else {
		out, null, err = enc.Append(sl.buf, b, v)
	}
	if err != nil {
		return nil, err
	}
	if null {
		return nil, nil
	}
	e.took(out)
	return out[from:len(out):len(out)], nil
}

// took stores the slab's buffer after an append. When it had to grow, the old
// array lives on under the records that point into it.
func (e *encoder) took(out []byte) {
	sl := e.slab
	if cap(out) != cap(sl.buf) {
		e.p.lend(sl, cap(out))
	}
	sl.buf = out
}

// headers converts the headers of a record and finds its route: it is the first
// step after the transforms, which may have changed the topic.
func (e *encoder) headers(b *record.Batch, r *record.Record) ([]kgo.RecordHeader, error) {
	e.setRoute(r.Topic)
	hs := b.Headers(r)
	if len(hs) == 0 {
		return nil, nil
	}
	if e.lastFrom == &hs[0] && e.lastLen == len(hs) && e.lastRoute == e.route {
		return e.lastHdrs, nil
	}
	sl := e.slab
	start := len(sl.hdrs)
	for i := range hs {
		from := len(sl.buf)
		out, null, err := e.cfg.Header.AppendHeader(sl.buf, r.Topic, b, hs[i])
		if err != nil {
			sl.hdrs = sl.hdrs[:start]
			return nil, err
		}
		h := kgo.RecordHeader{Key: hs[i].Key}
		if !null {
			e.took(out)
			h.Value = out[from:len(out):len(out)]
		}
		sl.hdrs = append(sl.hdrs, h)
	}
	got := sl.hdrs[start:len(sl.hdrs):len(sl.hdrs)]
	e.lastFrom, e.lastLen, e.lastHdrs, e.lastRoute = &hs[0], len(hs), got, e.route
	return got, nil
}

// submit gives the slab's records to the client.
func (e *encoder) submit(ctx context.Context) {
	s := e.slab
	e.slab = nil
	if s == nil {
		return
	}
	if len(s.recs) == 0 {
		e.p.giveBack(s)
		return
	}
	e.p.sent(s)
	now := time.Now()
	promise, client := s.promise, e.cfg.Client
	recs := s.recs // the slab may settle with the last Produce
	for i := range recs {
		if recs[i].Timestamp.IsZero() {
			recs[i].Timestamp = now
		}
		client.Produce(ctx, &recs[i], promise)
	}
}

// ready makes sure that the topic exists before its first record.
func (e *encoder) ready(ctx context.Context, t *record.Topic) error {
	if e.cfg.Topics != nil {
		if err := e.cfg.Topics.Ensure(ctx, t.Name); err != nil {
			return err
		}
	}
	e.route.ready = true
	if l, ok := e.cfg.Topics.(interface {
		recordLimits(topic string) (int, string, bool)
	}); ok {
		e.route.limit, e.route.setting, e.route.needsKey = l.recordLimits(t.Name)
	}
	return nil
}

// fits checks a record against what the producer and the topic accept, before it
// can spoil the batch of records it would travel in. ok false: it does not fit and
// errors.tolerance=all skips it.
func (e *encoder) fits(k *kgo.Record) (ok bool, err error) {
	n, topic := recordSize(k), e.route.topic.Name
	var cause *errs.Error
	switch {
	case n > e.route.limit && e.route.setting == "max.request.size":
		cause = &errs.Error{Java: kafkaErrors + "RecordTooLargeException",
			Msg:  fmt.Sprintf("The message is %d bytes when serialized which is larger than %d, which is the value of the max.request.size configuration.", n, e.route.limit),
			Hint: "For topic " + topic + ": raise producer.override.max.request.size, and max.message.bytes of the topic"}
	case n > e.route.limit:
		cause = &errs.Error{Java: kafkaErrors + "RecordTooLargeException",
			Msg:  fmt.Sprintf("The message is %d bytes when serialized which is larger than %d, which is the value of max.message.bytes of topic %s.", n, e.route.limit, topic),
			Hint: "Raise max.message.bytes of the topic"}
	case e.route.needsKey && k.Key == nil:
		cause = &errs.Error{Java: "org.apache.kafka.common.InvalidRecordException",
			Msg:  "Compacted topic cannot accept message without key in topic " + topic + ".",
			Hint: "Give the table a primary key or set message.key.columns, or take compact out of the topic's cleanup.policy"}
	default:
		return true, nil
	}
	if e.cfg.Tolerance.All {
		k.Topic = topic
		e.p.tolerated(k, cause)
		return false, nil
	}
	return false, sendFailure(cause)
}

// recordSize is the upper bound that Java's producer compares with
// max.request.size: a batch header, a record header, and the lengths.
func recordSize(k *kgo.Record) int {
	const batchHeader, recordHeader = 61, 21
	n := batchHeader + recordHeader + varint(len(k.Key)) + len(k.Key) + varint(len(k.Value)) + len(k.Value) + varint(len(k.Headers))
	for i := range k.Headers {
		h := &k.Headers[i]
		n += varint(len(h.Key)) + len(h.Key) + varint(len(h.Value)) + len(h.Value)
	}
	return n
}

// varint is the length of a zig-zag varint.
func varint(n int) int {
	size := 1
	for v := uint64(n) << 1; v >= 0x80; v >>= 7 {
		size++
	}
	return size
}
