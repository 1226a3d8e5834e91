package emit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/internal/record"
	"millrace/internal/testkit"
)

// network is a dialer whose connections break: each after a random number of
// bytes while flaky, and all at once on cut.
type network struct {
	flaky   atomic.Bool
	refuse  atomic.Bool
	refused atomic.Int64
	broken  atomic.Int64
	most    int64 // connections that may break
	mu      sync.Mutex
	conns   map[*brittle]bool
	rng     *rand.Rand
}

func newNetwork(seed uint64) *network {
	return &network{most: 20, conns: map[*brittle]bool{}, rng: rand.New(rand.NewPCG(seed, 7))}
}

func (n *network) dial(ctx context.Context, nw, addr string) (net.Conn, error) {
	if n.refuse.Load() {
		n.refused.Add(1)
		// As the net package says it: the client tells network errors from others by their type.
		return nil, &net.OpError{Op: "dial", Net: nw, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, nw, addr)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	b := &brittle{Conn: c, n: n}
	b.left.Store(40000 + n.rng.Int64N(200000))
	n.conns[b] = true
	return b, nil
}

func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		_ = c.Conn.Close()
	}
	clear(n.conns)
}

type brittle struct {
	net.Conn
	n    *network
	left atomic.Int64
}

// spend reports whether the connection breaks now, after k more bytes.
func (b *brittle) spend(k int) bool {
	if !b.n.flaky.Load() || b.left.Add(int64(-k)) >= 0 || b.n.broken.Add(1) > b.n.most {
		return false
	}
	return true
}

func (b *brittle) Write(p []byte) (int, error) {
	if b.spend(len(p)) { // half a request arrives
		n, _ := b.Conn.Write(p[:len(p)/2])
		_ = b.Conn.Close()
		return n, net.ErrClosed
	}
	return b.Conn.Write(p)
}

func (b *brittle) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if b.spend(20 * n) { // the answer is lost, the records are not
		_ = b.Conn.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

// wal reads what a cluster holds, again and again, and judges it.
type wal struct {
	t     testing.TB
	cl    *kgo.Client
	adm   *kadm.Client
	topic string

	mu    sync.Mutex
	next  map[int32]int64
	seen  map[int]bool // sequence numbers
	byKey map[string][]int
}

func newWAL(t testing.TB, addr, topic string) *wal {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(topic), kgo.FetchMaxWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return &wal{t: t, cl: cl, adm: kadm.NewClient(cl), topic: topic, next: map[int32]int64{}, seen: map[int]bool{}, byKey: map[string][]int{}}
}

// catchUp reads everything that is in the log now.
func (w *wal) catchUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	ends, err := w.adm.ListEndOffsets(ctx, w.topic)
	if err != nil {
		w.t.Errorf("end offsets: %v", err)
		return
	}
	behind := func() bool {
		late := false
		ends.Each(func(o kadm.ListedOffset) { late = late || w.next[o.Partition] < o.Offset })
		return late
	}
	for behind() {
		f := w.cl.PollFetches(ctx)
		if ctx.Err() != nil {
			w.t.Error("the log cannot be read")
			return
		}
		f.EachRecord(func(r *kgo.Record) {
			w.next[r.Partition] = r.Offset + 1
			n, err := strconv.Atoi(strings.TrimRight(string(r.Value), "."))
			if err != nil {
				w.t.Errorf("record %q", r.Value)
			}
			w.seen[n] = true
			w.byKey[string(r.Key)] = append(w.byKey[string(r.Key)], n)
		})
	}
}

// missing reports the first sequence number up to n that is missing.
func (w *wal) missing(n int) (int, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := 1; i <= n; i++ {
		if !w.seen[i] {
			return i, true
		}
	}
	return 0, false
}

// disorder returns a key whose records, each taken at its first appearance, are
// not in order.
func (w *wal) disorder() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for k, ns := range w.byKey {
		most := 0
		had := map[int]bool{}
		for _, n := range ns {
			if !had[n] && n < most {
				return fmt.Sprintf("%s: %d after %d", k, n, most)
			}
			had[n] = true
			most = max(most, n)
		}
	}
	return ""
}

// duplicates counts records that are there more than once.
func (w *wal) duplicates() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := 0
	for _, ns := range w.byKey {
		all += len(ns)
	}
	return all - len(w.seen)
}

// feed sends records numbered from+1 to to, in batches of random size, and stops
// early when the pipeline dies.
func feed(t testing.TB, r *rig, topic *record.Topic, rng *rand.Rand, from, to int) {
	t.Helper()
	pad := strings.Repeat(".", 200)
	for n := from; n < to; {
		b := r.pool.Get()
		for range min(1+rng.IntN(40), to-n) {
			n++
			k := b.Append()
			k.Topic, k.KeySchema, k.ValueSchema = topic, record.PlainString, record.PlainString
			k.Key, k.Value = b.StringCell(fmt.Sprint("k", n*7919%23)), b.StringCell(strconv.Itoa(n)+pad)
		}
		b.End = at(n)
		if r.Send(t.Context(), b, nil) != nil {
			return
		}
	}
}

// judge makes an offset store's Put check that everything up to the offset is in
// the log.
func judge(t testing.TB, o *offsets, w *wal, fail func(n int) error) *checked {
	return &checked{offsets: o, t: t, w: w, failing: fail}
}

type checked struct {
	*offsets
	t       testing.TB
	w       *wal
	failing func(n int) error
	n       int
	stored  int
	puts    int
}

func (c *checked) Put(ctx context.Context, p, offset []byte) error {
	var n int
	if _, err := fmt.Sscanf(string(offset), `{"n":%d}`, &n); err != nil {
		c.t.Errorf("offset %s", offset)
	}
	c.n++
	c.w.catchUp()
	if miss, bad := c.w.missing(n); bad {
		c.t.Errorf("position %d is stored and record %d is not in the log", n, miss)
	}
	if n < c.stored {
		c.t.Errorf("position %d is stored after %d", n, c.stored)
	}
	if c.failing != nil {
		if err := c.failing(c.n); err != nil {
			return err
		}
	}
	c.stored = n
	c.puts++
	return c.offsets.Put(ctx, p, offset)
}

// TestNoPositionBeforeItsRecords produces through a broker that answers with
// errors, late or not at all, kills the pipeline again and again, and checks at
// every stored position that all records up to it are in the log.
func TestNoPositionBeforeItsRecords(t *testing.T) {
	seeds := 6
	if s := os.Getenv("MILLRACE_TEST_SEEDS"); s != "" {
		seeds, _ = strconv.Atoi(s)
	}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 3))
			c := fake(t, kfake.SeedTopics(3, "a"))
			mischief(c, rand.New(rand.NewPCG(seed, 4)), 30)
			w := newWAL(t, addr(c), "a")
			last, total := 0, 6000
			for round := 0; last < total; round++ {
				nw := newNetwork(seed*100 + uint64(round))
				nw.flaky.Store(true)
				var chk *checked
				r := newRig(t, client(t, props(addr(c)), kgo.Dialer(nw.dial)), func(cfg *Config) {
					chk = judge(t, cfg.Offsets.(*offsets), w, func(n int) error {
						if n%3 == 0 {
							return errors.New("the offset topic is away")
						}
						return nil
					})
					chk.stored = last
					cfg.Offsets = chk
					cfg.FlushInterval = 20 * time.Millisecond
					cfg.QueueBytes = 128 << 10
				})
				feed(t, r, topicA, rng, last, min(total, last+500+rng.IntN(2000)))
				if rng.IntN(2) == 0 {
					r.Abort()
				} else {
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					_ = r.Drain(ctx)
					cancel()
				}
				last = max(last, chk.stored)
				if p := r.Stored(); p != nil && int(p.(at)) != chk.stored {
					t.Errorf("Stored() = %v, the store holds %d", p, chk.stored)
				}
				if round > 200 {
					t.Fatal("no progress")
				}
			}
			w.catchUp()
			if miss, bad := w.missing(total); bad {
				t.Errorf("record %d is missing", miss)
			}
			if k := w.disorder(); k != "" {
				t.Errorf("disorder of key %s", k)
			}
		})
	}
}

// mischief answers some of the produce requests with errors before or after the
// records were written, late, or by cutting the connection.
func mischief(c *kfake.Cluster, rng *rand.Rand, most int) {
	done := 0
	var mu sync.Mutex // must not be held in SleepControl, which lets other requests in
	draw := func() (kind int, d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		if kind = rng.IntN(12); done >= most || kind > 4 {
			return -1, 0
		}
		done++
		return kind, time.Duration(rng.IntN(30)) * time.Millisecond
	}
	c.ControlKey(int16(kmsg.Produce), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		switch kind, d := draw(); kind {
		case 0:
			return refuse(kreq.(*kmsg.ProduceRequest), kerr.NotLeaderForPartition.Code), nil, true
		case 1:
			return refuse(kreq.(*kmsg.ProduceRequest), kerr.NotEnoughReplicas.Code), nil, true
		case 2:
			return nil, errors.New("cut"), true
		case 3, 4:
			c.SleepControl(func() { time.Sleep(d) })
		}
		return nil, nil, false
	})
}

// TestConnectionCutsDuplicateNothing runs against a real broker over connections
// that break in the middle of requests and answers: with idempotence, nothing is
// lost, doubled or reordered within one run.
func TestConnectionCutsDuplicateNothing(t *testing.T) {
	addr := testkit.Kafka(t)
	token := testkit.Name("emit")
	testkit.DropTopics(t, token)
	topics, idle := topicsRig(t, addr, map[string]string{"topic.creation.default.partitions": "3", "topic.creation.default.replication.factor": "1"})
	idle.Abort()
	nw := newNetwork(1)
	nw.flaky.Store(true)
	r := newRig(t, client(t, props(addr), kgo.Dialer(nw.dial)), func(c *Config) { c.Topics = topics })
	feed(t, r, &record.Topic{Name: token}, rand.New(rand.NewPCG(1, 1)), 0, 10000)
	r.drain(t)
	w := newWAL(t, addr, token)
	w.catchUp()
	if miss, bad := w.missing(10000); bad || w.disorder() != "" || w.duplicates() != 0 {
		t.Errorf("missing %d, disorder %q, duplicates %d", miss, w.disorder(), w.duplicates())
	}
	if nw.broken.Load() == 0 {
		t.Error("no connection broke")
	}
	t.Logf("%d connections broke", nw.broken.Load())
}

// TestKafkaAway starts while no broker answers, and later loses all of them
// again: the pipeline waits and goes on, and the reader stays free to answer its
// own server.
func TestKafkaAway(t *testing.T) {
	c := fake(t, kfake.SeedTopics(3, "a"))
	nw := newNetwork(1)
	nw.refuse.Store(true)
	r := newRig(t, client(t, props(addr(c)), kgo.Dialer(nw.dial)), func(c *Config) { c.QueueBytes = 4 << 20 })
	done := make(chan struct{})
	go func() {
		defer close(done)
		feed(t, r, topicA, rand.New(rand.NewPCG(1, 1)), 0, 5000)
	}()
	await := func(n int64) {
		for begun := nw.refused.Load(); nw.refused.Load() < begun+n; {
			select {
			case <-r.Err():
				t.Fatal(r.Cause())
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	await(24) // more attempts than a client's usual limit
	nw.refuse.Store(false)
	<-done
	nw.refuse.Store(true)
	nw.cut()
	feed(t, r, topicA, rand.New(rand.NewPCG(1, 1)), 5000, 5100) // fits into the queue
	await(8)
	nw.refuse.Store(false)
	r.drain(t)
	w := newWAL(t, addr(c), "a")
	w.catchUp()
	if miss, bad := w.missing(5100); bad || w.disorder() != "" || w.duplicates() != 0 {
		t.Errorf("missing %d, disorder %q, duplicates %d", miss, w.disorder(), w.duplicates())
	}
	if p := r.Stored(); p != at(5100) {
		t.Errorf("Stored() = %v", p)
	}
}
