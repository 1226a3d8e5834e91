package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/emit"
	"millrace/internal/convert"
	"millrace/internal/errs"
	"millrace/internal/metrics"
	"millrace/internal/record"
	"millrace/internal/transform"
)

// collect is a sink that notes what it gets.
type collect struct {
	mu      sync.Mutex
	got     []string
	put     func(b *record.Batch) error // decides; nil: all is well
	changed chan struct{}
}

func newCollect() *collect { return &collect{changed: make(chan struct{}, 1000)} }

func (c *collect) Start(context.Context) error { return nil }
func (c *collect) Flush(context.Context) error { return nil }
func (c *collect) Stop() error                 { return nil }

func (c *collect) Put(_ context.Context, b *record.Batch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	if c.put != nil {
		err = c.put(b)
	}
	bad := map[int]bool{}
	var re *errs.RecordError
	if errors.As(err, &re) {
		for _, x := range re.Bad {
			bad[x.Index] = true
		}
	} else if err != nil {
		return err
	}
	for i := range b.Records {
		r := &b.Records[i]
		if !bad[i] {
			c.got = append(c.got, fmt.Sprintf("%s/%d/%d=%s", r.Origin.Topic.Name, r.Origin.Partition, r.Origin.Offset, b.Raw(r.Value)))
		}
	}
	select {
	case c.changed <- struct{}{}:
	default:
	}
	return err
}

func (c *collect) values() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.got...)
}

// await waits until n records have arrived.
func (c *collect) await(t *testing.T, n int) {
	t.Helper()
	late := time.After(time.Minute)
	for len(c.values()) < n {
		select {
		case <-c.changed:
		case <-late:
			t.Fatalf("%d of %d records arrived: %v", len(c.values()), n, c.values())
		}
	}
}

type sinkRig struct {
	addrs []string
	cl    *kgo.Client
	adm   *kadm.Client
}

func newSinkRig(t *testing.T, partitions int32) *sinkRig {
	t.Helper()
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return &sinkRig{addrs: k.ListenAddrs(), cl: cl, adm: kadm.NewClient(cl)}
}

func (r *sinkRig) produce(t *testing.T, partition int32, values ...string) {
	t.Helper()
	for _, v := range values {
		rec := &kgo.Record{Topic: "orders", Partition: partition, Value: []byte(v), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}}}
		if err := r.cl.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *sinkRig) config(t *testing.T, name string) SinkConfig {
	t.Helper()
	text, err := convert.NewString(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	hdr, err := convert.NewSimpleHeader(nil)
	if err != nil {
		t.Fatal(err)
	}
	return SinkConfig{Connector: name, Consumer: []kgo.Opt{kgo.SeedBrokers(r.addrs...), kgo.FetchMaxWait(100 * time.Millisecond)}, Topics: []string{"orders"},
		Key: text, Value: text, Header: hdr, KeyClass: "K", ValueClass: "V", HeaderClass: "H",
		CommitInterval: 50 * time.Millisecond, CommitTimeout: 5 * time.Second,
		Log: slog.New(slog.DiscardHandler), Metrics: metrics.New().Task(name, "0")}
}

// run starts a task and returns what ends it and gives its error.
func run(t *testing.T, cfg SinkConfig, s Sink) (task *SinkTask, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	task = NewSinkTask(cfg, s)
	done := make(chan error, 1)
	up := make(chan struct{})
	go func() { done <- task.Run(ctx, func() { close(up) }) }()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() {
			cancel()
			err = <-done
		})
		return err
	}
	t.Cleanup(func() { _ = stop() })
	select {
	case <-up:
	case err = <-done:
		once.Do(cancel)
	}
	return task, stop
}

func (r *sinkRig) committed(t *testing.T, group string) map[int32]int64 {
	t.Helper()
	os, err := r.adm.FetchOffsets(t.Context(), group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		t.Fatal(err)
	}
	out := map[int32]int64{}
	os.Each(func(o kadm.OffsetResponse) { out[o.Partition] = o.At })
	return out
}

// awaitCommit asks until the group has committed an offset for partition 0.
func (r *sinkRig) awaitCommit(t *testing.T, group string, offset int64) {
	t.Helper()
	late := time.Now().Add(time.Minute)
	for r.committed(t, group)[0] != offset {
		if time.Now().After(late) {
			t.Fatalf("group %s committed %v, want %d", group, r.committed(t, group), offset)
		}
	}
}

func TestSinkDeliversAndCommitsOriginalOffsets(t *testing.T) {
	rig := newSinkRig(t, 2)
	rig.produce(t, 0, "a", "b", "c")
	rig.produce(t, 1, "x")
	cfg := rig.config(t, "deliver")
	cfg.Stages = []transform.Stage{{Alias: "route", Step: stepFunc(func(b *record.Batch, rec *record.Record) (bool, error) {
		rec.Topic, rec.Partition = &record.Topic{Name: "renamed"}, 7
		return string(b.Raw(rec.Value)) != "c", nil // the last one is dropped
	})}}
	s := newCollect()
	_, stop := run(t, cfg, s)
	s.await(t, 3)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := rig.committed(t, "connect-deliver"); got[0] != 3 || got[1] != 1 {
		t.Errorf("committed %v, want 3 and 1: a dropped record counts as done", got)
	}
}

type stepFunc func(b *record.Batch, r *record.Record) (bool, error)

func (f stepFunc) Apply(b *record.Batch, r *record.Record) (bool, error) { return f(b, r) }

func TestSinkPutsABatchAgain(t *testing.T) {
	rig := newSinkRig(t, 1)
	rig.produce(t, 0, "a", "b")
	s := newCollect()
	tries := 0
	s.put = func(*record.Batch) error {
		if tries++; tries < 4 {
			return &quickErr{}
		}
		return nil
	}
	_, stop := run(t, rig.config(t, "again"), s)
	s.await(t, 2)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.values(), " "); got != "orders/0/0=a orders/0/1=b" {
		t.Errorf("got %s", got)
	}
	if got := rig.committed(t, "connect-again"); got[0] != 2 {
		t.Errorf("committed %v", got)
	}
}

type quickErr struct{}

func (*quickErr) Error() string             { return "busy" }
func (*quickErr) RetryAfter() time.Duration { return 10 * time.Millisecond }
func (*quickErr) Unwrap() error             { return &errs.Error{Msg: "busy", Retriable: true} }

func TestSinkDeadLetters(t *testing.T) {
	rig := newSinkRig(t, 1)
	rig.produce(t, 0, "a", "bad", "c")
	s := newCollect()
	s.put = func(b *record.Batch) error {
		for i := range b.Records {
			if string(b.Raw(b.Records[i].Value)) == "bad" {
				return &RecordError{Bad: []errs.BadRecord{{Index: i, Err: &errs.Error{Java: errs.DataException, Msg: "refused"}}}}
			}
		}
		return nil
	}
	cfg := rig.config(t, "dead")
	cfg.Tolerance = emit.Tolerance{All: true}
	cfg.DLQ = &DeadLetters{Topic: "dlq", Replication: 1, Headers: true, Connector: "dead", Producer: []kgo.Opt{kgo.SeedBrokers(rig.addrs...)}}
	_, stop := run(t, cfg, s)
	rig.awaitCommit(t, "connect-dead", 3)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(rig.addrs...), kgo.ConsumeTopics("dlq"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	recs := cl.PollFetches(ctx).Records()
	if len(recs) != 1 || string(recs[0].Value) != "bad" {
		t.Fatalf("dead letters: %v", recs)
	}
	var names []string
	for _, h := range recs[0].Headers {
		names = append(names, strings.TrimPrefix(h.Key, "__connect.errors.")+"="+strings.SplitN(string(h.Value), "\n", 2)[0])
	}
	want := "h=v topic=orders partition=0 offset=1 connector.name=dead task.id=0 stage=TASK_PUT class.name=org.apache.kafka.connect.sink.SinkTask " +
		"exception.class.name=org.apache.kafka.connect.errors.DataException exception.message=refused exception.stacktrace=org.apache.kafka.connect.errors.DataException: refused"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("headers\n got %s\nwant %s", got, want)
	}
}

func TestSinkStopsOnBadRecords(t *testing.T) {
	rig := newSinkRig(t, 1)
	rig.produce(t, 0, "a", "bad")
	t.Run("refused", func(t *testing.T) {
		s := newCollect()
		s.put = func(*record.Batch) error {
			return &RecordError{Bad: []errs.BadRecord{{Index: 1, Err: errors.New("refused")}}}
		}
		task, _ := run(t, rig.config(t, "stop1"), s)
		err := waitEnd(t, task)
		if !strings.HasPrefix(errs.Trace(err), "org.apache.kafka.connect.errors.ConnectException: Exiting WorkerSinkTask due to unrecoverable exception.") {
			t.Errorf("trace %q", errs.Trace(err))
		}
		if got := rig.committed(t, "connect-stop1"); len(got) != 0 {
			t.Errorf("committed %v", got)
		}
	})
	t.Run("refused behind what is done", func(t *testing.T) {
		s := newCollect()
		s.put = func(b *record.Batch) error {
			for i := range b.Records {
				if string(b.Raw(b.Records[i].Value)) == "bad" {
					return &RecordError{Bad: []errs.BadRecord{{Index: i, Err: errors.New("refused")}}, Done: i}
				}
			}
			return nil
		}
		task, _ := run(t, rig.config(t, "stop3"), s)
		if err := waitEnd(t, task); err == nil {
			t.Error("the task goes on")
		}
		if got := rig.committed(t, "connect-stop3"); got[0] != 1 {
			t.Errorf("committed %v, want the offset of the bad record", got)
		}
	})
	t.Run("converter", func(t *testing.T) {
		cfg := rig.config(t, "stop2")
		js, err := convert.NewJSON(map[string]string{"schemas.enable": "false"}, false)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Value = js
		task, _ := run(t, cfg, newCollect())
		if err := waitEnd(t, task); err == nil || !strings.HasPrefix(err.Error(), "Tolerance exceeded in error handler") {
			t.Errorf("error %v", err)
		}
	})
}

// waitEnd runs a second task of the same config to its end; the first one's error
// is what its own goroutine got.
func waitEnd(t *testing.T, task *SinkTask) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := NewSinkTask(task.cfg, task.sink).Run(ctx, func() {})
	if ctx.Err() != nil {
		t.Fatal("the task did not stop")
	}
	return err
}

// What a connector says of its place in the group is what its client does; without
// a group.id of its own, too.
func TestSinkMembership(t *testing.T) {
	c, err := NewConfig(distributedProps(map[string]string{"consumer.session.timeout.ms": "20000"}), quiet)
	if err != nil {
		t.Fatal(err)
	}
	props := map[string]string{"consumer.override.heartbeat.interval.ms": "700", "consumer.override.max.poll.interval.ms": "90000", "consumer.override.group.instance.id": "one",
		"consumer.override.partition.assignment.strategy": "org.apache.kafka.clients.consumer.RoundRobinAssignor", "consumer.override.max.poll.records": "7"}
	for _, group := range []string{"", "mine"} {
		if group != "" {
			props["consumer.override.group.id"] = group
		}
		kc, poll, err := c.sinkConsumer("x", 0, props)
		if err != nil {
			t.Fatal(err)
		}
		task := NewSinkTask(SinkConfig{Connector: "x", Consumer: kc.Opts, Member: kc.Member, Group: kc.GroupID, Topics: []string{"t"}, Log: quiet}, newCollect())
		if task.cl, err = task.newClient(); err != nil {
			t.Fatal(err)
		}
		defer task.cl.Close()
		instance, _ := task.cl.OptValues(kgo.InstanceID)[0].(string)
		balancers, _ := task.cl.OptValue(kgo.Balancers).([]kgo.GroupBalancer)
		if instance != "one" || len(balancers) != 1 || balancers[0].ProtocolName() != "roundrobin" || poll != 7 {
			t.Errorf("group %q: instance %q, balancers %v, at most %d records", group, instance, balancers, poll)
		}
		for what, x := range map[string]struct{ opt, want any }{"session": {kgo.SessionTimeout, 20 * time.Second}, "heartbeat": {kgo.HeartbeatInterval, 700 * time.Millisecond},
			"rebalance": {kgo.RebalanceTimeout, 90 * time.Second}, "group": {kgo.ConsumerGroup, map[string]string{"": "connect-x", "mine": "mine"}[group]}} {
			if got := task.cl.OptValue(x.opt); got != x.want {
				t.Errorf("group %q: %s is %v, want %v", group, what, got, x.want)
			}
		}
	}
}

// Tasks beside others of their connector fetch less at once; what the user says holds.
func TestSinkFetchSizes(t *testing.T) {
	for beside, want := range map[int]int32{0: 1 << 20, 1: 1 << 20, 2: 512 << 10, 50: 512 << 10} {
		for _, own := range []bool{false, true} {
			cfg := SinkConfig{Connector: "x", Topics: []string{"t"}, Beside: beside, Log: quiet}
			if own {
				cfg.Consumer, want = []kgo.Opt{kgo.FetchMaxBytes(7 << 20)}, 7<<20
			}
			task := NewSinkTask(cfg, newCollect())
			cl, err := task.newClient()
			if err != nil {
				t.Fatal(err)
			}
			if got := cl.OptValue(kgo.FetchMaxBytes); got != want {
				t.Errorf("%d tasks fetch %v bytes each, want %d", beside, got, want)
			}
			cl.Close()
		}
	}
}

func TestSinkPause(t *testing.T) {
	rig := newSinkRig(t, 1)
	rig.produce(t, 0, "a")
	s := newCollect()
	task, stop := run(t, rig.config(t, "pause"), s)
	s.await(t, 1)
	task.SetPaused(true)
	rig.awaitCommit(t, "connect-pause", 1) // a paused task commits what it has written
	rig.produce(t, 0, "b")
	select { // the broker has it; a paused task must not read it
	case <-time.After(300 * time.Millisecond):
	case <-t.Context().Done():
	}
	if got := s.values(); len(got) != 1 {
		t.Fatalf("a paused task read %v", got)
	}
	g, err := rig.adm.DescribeGroups(t.Context(), "connect-pause")
	if err != nil || len(g["connect-pause"].Members) != 1 {
		t.Errorf("a paused task left its group: %v %v", g, err)
	}
	task.SetPaused(false)
	s.await(t, 2)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// TestSinkRebalance lets a second task join while the first one waits to put a
// batch again: what goes to the other task is not written by the first any more,
// and nothing is lost.
func TestSinkRebalance(t *testing.T) {
	const parts = 4
	rig := newSinkRig(t, parts)
	for p := int32(0); p < parts; p++ {
		for i := 0; i < 5; i++ {
			rig.produce(t, p, strconv.Itoa(i))
		}
	}
	cfg := rig.config(t, "move")
	cfg.Consumer = append(cfg.Consumer, kgo.HeartbeatInterval(50*time.Millisecond))
	first, second := newCollect(), newCollect()
	var mu sync.Mutex
	open := false
	trying := make(chan struct{})
	first.put = func(*record.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		select {
		case <-trying:
		default:
			close(trying)
		}
		if !open {
			return &quickErr{}
		}
		return nil
	}
	_, stop1 := run(t, cfg, first)
	<-trying // it has all partitions
	cfg2 := cfg
	cfg2.Task = 1
	_, stop2 := run(t, cfg2, second)
	second.await(t, 10) // it has got two partitions although the first never wrote
	mu.Lock()
	open = true
	mu.Unlock()
	first.await(t, 10)
	if err := errors.Join(stop1(), stop2()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, v := range append(first.values(), second.values()...) {
		seen[v]++
	}
	if len(seen) != 5*parts {
		t.Errorf("%d different records, want %d", len(seen), 5*parts)
	}
	for v, n := range seen {
		if n != 1 {
			t.Errorf("%s was written %d times", v, n)
		}
	}
	for p, at := range rig.committed(t, "connect-move") {
		if at != 5 {
			t.Errorf("partition %d is committed up to %d", p, at)
		}
	}
}
