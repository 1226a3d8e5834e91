package emit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/convert"
	"millrace/internal/errs"
	"millrace/internal/kafkaconf"
	"millrace/internal/metrics"
	"millrace/internal/record"
	"millrace/internal/transform"
)

// raw is a converter that takes the bytes of String cells as they are; a text in
// bad fails with the error, a text in retriable does so a number of times.
type raw struct {
	mu        sync.Mutex
	bad       map[string]error
	retriable map[string]int
}

func (c *raw) Encoder(context.Context, *record.Topic, *record.Schema) (convert.Encoder, error) {
	return c, nil
}

func (c *raw) Append(dst []byte, b *record.Batch, v record.Cell) ([]byte, bool, error) {
	if v.IsNull() {
		return dst, true, nil
	}
	s := b.Raw(v)
	if c.bad != nil || c.retriable != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if err := c.bad[string(s)]; err != nil {
			return nil, false, err
		}
		if c.retriable[string(s)] > 0 {
			c.retriable[string(s)]--
			return nil, false, &errs.Error{Java: errs.RetriableException, Msg: "not now", Retriable: true}
		}
	}
	return append(dst, s...), false, nil
}

func (c *raw) Decode(context.Context, *record.Topic, []byte, *record.Batch) (*record.Schema, record.Cell, error) {
	return nil, record.Cell{}, errors.New("not used")
}

func (c *raw) AppendHeader(dst []byte, _ *record.Topic, b *record.Batch, h record.Header) ([]byte, bool, error) {
	return c.Append(dst, b, h.Value)
}

func (c *raw) DecodeHeader(*record.Topic, string, []byte, *record.Batch) (record.Header, error) {
	return record.Header{}, errors.New("not used")
}

// at is a position that counts.
type at int

func (a at) Offset() []byte { return fmt.Appendf(nil, `{"n":%d}`, int(a)) }

// offsets is an OffsetStore that remembers; fail says what Put returns.
type offsets struct {
	mu   sync.Mutex
	puts []string
	fail func(n int) error
	n    int
	got  chan string
}

func (o *offsets) Put(_ context.Context, _, offset []byte) error {
	o.mu.Lock()
	o.n++
	n, fail := o.n, o.fail
	o.mu.Unlock()
	if fail != nil {
		if err := fail(n); err != nil {
			return err
		}
	}
	o.mu.Lock()
	o.puts = append(o.puts, string(offset))
	o.mu.Unlock()
	if o.got != nil {
		select {
		case o.got <- string(offset):
		default:
		}
	}
	return nil
}

func (o *offsets) last() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.puts) == 0 {
		return ""
	}
	return o.puts[len(o.puts)-1]
}

type noTopics struct{}

func (noTopics) Ensure(context.Context, string) error { return nil }

func fake(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// props are producer properties against a broker.
func props(addr string, kv ...string) map[string]string {
	m := map[string]string{"bootstrap.servers": addr, "retry.backoff.ms": "10", "retry.backoff.max.ms": "50"}
	for i := 0; i+1 < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return m
}

func client(t testing.TB, p map[string]string, extra ...kgo.Opt) *kgo.Client {
	t.Helper()
	res := kafkaconf.Producer(p)
	if err := res.Err(); err != nil {
		t.Fatal(err)
	}
	c, err := kgo.NewClient(append(res.Opts, extra...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

type rig struct {
	*Pipeline
	off     *offsets
	val     *raw
	pool    record.Pool
	metrics *metrics.Set
}

func newRig(t testing.TB, cl *kgo.Client, change func(*Config)) *rig {
	t.Helper()
	r := newRigUnstarted(t, cl, change)
	r.Start(t.Context())
	return r
}

// newRigUnstarted leaves starting to the test.
func newRigUnstarted(t testing.TB, cl *kgo.Client, change func(*Config)) *rig {
	t.Helper()
	r := &rig{off: &offsets{got: make(chan string, 1024)}, val: &raw{}, metrics: metrics.New()}
	cfg := Config{Connector: "c", Key: &raw{}, Value: r.val, Header: &raw{}, Client: cl, Topics: noTopics{},
		Partition: []byte(`{"server":"s"}`), Offsets: r.off, FlushInterval: 50 * time.Millisecond, FlushTimeout: 5 * time.Second,
		QueueBytes: 32 << 20, Log: slog.New(slog.DiscardHandler), Metrics: r.metrics.Task("c", "0")}
	if change != nil {
		change(&cfg)
	}
	r.Pipeline = New(cfg)
	return r
}

var topicA, topicB = &record.Topic{Name: "a"}, &record.Topic{Name: "b"}

// batch makes a batch of key=value texts for a topic.
func (r *rig) batch(end record.Position, topic *record.Topic, kv ...string) *record.Batch {
	b := r.pool.Get()
	b.End = end
	for i := 0; i+1 < len(kv); i += 2 {
		k := b.Append()
		k.Topic = topic
		k.KeySchema, k.ValueSchema = record.PlainString, record.PlainString
		k.Key, k.Value = b.StringCell(kv[i]), b.StringCell(kv[i+1])
	}
	return b
}

func (r *rig) send(t testing.TB, b *record.Batch) {
	t.Helper()
	if err := r.Send(t.Context(), b, nil); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) drain(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := r.Drain(ctx); err != nil {
		t.Fatal(err)
	}
}

// read consumes n records of a topic, in order of partition and offset.
func read(t testing.TB, addr, topic string, n int) []*kgo.Record {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(topic), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var out []*kgo.Record
	for len(out) < n {
		f := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("read %d of %d records of %s", len(out), n, topic)
		}
		out = append(out, f.Records()...)
	}
	return out
}

// step makes a stage of a function.
type step func(b *record.Batch, r *record.Record) (bool, error)

func (f step) Apply(b *record.Batch, r *record.Record) (bool, error) { return f(b, r) }

func stage(f step) transform.Stage {
	return transform.Stage{Alias: "x", Class: "com.example.X", Step: f}
}
