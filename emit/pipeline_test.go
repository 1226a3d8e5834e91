package emit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/internal/errs"
	"millrace/internal/record"
)

func addr(c *kfake.Cluster) string { return c.ListenAddrs()[0] }

func TestPipelineCarriesRecordsInOrder(t *testing.T) {
	c := fake(t, kfake.SeedTopics(1, "a"), kfake.SeedTopics(1, "b"))
	r := newRig(t, client(t, props(addr(c))), nil)
	const n = 5000
	for i := range n {
		b := r.batch(at(i+1), topicA, fmt.Sprint("k", i), fmt.Sprint("v", i))
		if i%10 == 0 {
			k := b.Append()
			k.Topic, k.Key, k.Timestamp = topicB, b.StringCell("x"), 1700000000123
			h := record.Header{Key: "h", Schema: record.PlainString, Value: b.StringCell(fmt.Sprint("hv", i))}
			b.AddHeader(k, h)
		}
		r.send(t, b)
	}
	r.drain(t)
	if got := r.off.last(); got != `{"n":5000}` {
		t.Errorf("stored offset %s", got)
	}
	if p := r.Stored(); p != at(n) {
		t.Errorf("Stored() = %v", p)
	}
	for i, rec := range read(t, addr(c), "a", n) {
		if string(rec.Key) != fmt.Sprint("k", i) || string(rec.Value) != fmt.Sprint("v", i) {
			t.Fatalf("record %d is %s=%s", i, rec.Key, rec.Value)
		}
	}
	for i, rec := range read(t, addr(c), "b", n/10) {
		if string(rec.Key) != "x" || rec.Value != nil || rec.Timestamp.UnixMilli() != 1700000000123 ||
			len(rec.Headers) != 1 || rec.Headers[0].Key != "h" || string(rec.Headers[0].Value) != fmt.Sprint("hv", 10*i) {
			t.Fatalf("record %d of b: %v", i, rec)
		}
	}
}

func TestEmptyBatchesCarryProgress(t *testing.T) {
	c := fake(t, kfake.SeedTopics(1, "a"))
	r := newRig(t, client(t, props(addr(c))), nil)
	r.send(t, r.batch(nil, topicA, "k", "v")) // no progress of its own
	r.send(t, r.batch(at(7), topicA))
	if got := <-r.off.got; got != `{"n":7}` {
		t.Errorf("stored %s", got)
	}
	r.drain(t)
}

func TestExplicitPartitionIsKept(t *testing.T) {
	c := fake(t, kfake.SeedTopics(5, "a"))
	r := newRig(t, client(t, props(addr(c))), nil)
	b := r.batch(at(1), topicA, "1", "x", "2", "x", "3", "x", "4", "x")
	for i := range b.Records {
		b.Records[i].Partition = int32(i)
	}
	r.send(t, b)
	r.drain(t)
	for _, rec := range read(t, addr(c), "a", 4) {
		if string(rec.Key) != fmt.Sprint(rec.Partition+1) {
			t.Errorf("key %s in partition %d", rec.Key, rec.Partition)
		}
	}
}

func TestToleranceNone(t *testing.T) {
	c := fake(t, kfake.SeedTopics(1, "a"))
	data := &errs.Error{Java: errs.DataException, Msg: "not a number"}
	r := newRig(t, client(t, props(addr(c))), nil)
	r.val.bad = map[string]error{"bad": data}
	r.send(t, r.batch(at(1), topicA, "1", "ok"))
	r.send(t, r.batch(at(2), topicA, "2", "ok", "3", "bad", "4", "ok"))
	<-r.Err()
	want := errs.ConnectException + ": Tolerance exceeded in error handler\nCaused by: " + errs.DataException + ": not a number"
	if got := errs.Trace(r.Cause()); got != want {
		t.Errorf("trace %s", got)
	}
	if err := r.Send(t.Context(), r.batch(at(3), topicA, "5", "ok"), nil); !errors.Is(err, data) {
		t.Errorf("Send on a dead pipeline: %v", err)
	}
	if err := r.Drain(t.Context()); !errors.Is(err, data) {
		t.Errorf("Drain: %v", err)
	}
	if got := r.off.last(); got != `{"n":1}` {
		t.Errorf("stored %s: what was acknowledged before the failure is stored, no more", got)
	}
	got := read(t, addr(c), "a", 2)
	if len(got) != 2 || string(got[1].Key) != "2" {
		t.Errorf("records before the failing one are kept, and none after: %d", len(got))
	}
}

func TestToleranceAllSkips(t *testing.T) {
	c := fake(t, kfake.SeedTopics(1, "a"))
	r := newRig(t, client(t, props(addr(c))), func(cfg *Config) {
		cfg.Tolerance.All = true
		cfg.Stages = append(cfg.Stages, stage(func(b *record.Batch, r *record.Record) (bool, error) {
			if string(b.Raw(r.Value)) == "fails" {
				return false, errors.New("no")
			}
			return string(b.Raw(r.Value)) != "filtered", nil
		}))
	})
	r.val.bad = map[string]error{"bad": errors.New("bad")}
	r.send(t, r.batch(at(1), topicA, "1", "bad"))
	r.send(t, r.batch(at(2), topicA, "2", "ok", "3", "filtered", "4", "fails", "5", "bad", "6", "ok"))
	r.drain(t)
	if got := r.off.last(); got != `{"n":2}` {
		t.Errorf("stored %s", got)
	}
	got := read(t, addr(c), "a", 2)
	if string(got[0].Key) != "2" || string(got[1].Key) != "6" {
		t.Errorf("got %s and %s", got[0].Key, got[1].Key)
	}
	fam, err := r.metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(fam)
	for _, want := range []string{`value:"transform"`, `value:"tolerated"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
}

func TestRetriesOnlyRetriableErrorsAndOnlyTheFailedStep(t *testing.T) {
	c := fake(t, kfake.SeedTopics(1, "a"))
	ran := 0
	r := newRig(t, client(t, props(addr(c))), func(cfg *Config) {
		cfg.Tolerance.RetryTimeout = -1
		cfg.Tolerance.RetryMax = time.Millisecond
		cfg.Stages = append(cfg.Stages, stage(func(*record.Batch, *record.Record) (bool, error) { ran++; return true, nil }))
	})
	r.val.retriable = map[string]int{"ok": 3}
	r.send(t, r.batch(at(1), topicA, "1", "ok"))
	r.drain(t)
	if ran != 1 || r.val.retriable["ok"] != 0 {
		t.Errorf("the transform ran %d times, %d failures left", ran, r.val.retriable["ok"])
	}
}

func TestRetryDelays(t *testing.T) {
	var re Retry
	half := func(n int64) int64 { return n / 2 }
	for i, want := range []time.Duration{300, 600, 1200, 2400, 4800, 2500} {
		if got := re.delay(5*time.Second, half); got != want*time.Millisecond {
			t.Errorf("delay %d: %v", i, got)
		}
	}
}

func TestProduceFailureStopsAndStoresNothingBehindIt(t *testing.T) {
	c := fake(t, kfake.SeedTopics(1, "a"))
	r := newRig(t, client(t, props(addr(c))), nil)
	r.send(t, r.batch(at(1), topicA, "1", "ok"))
	<-r.off.got
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		return refuse(req.(*kmsg.ProduceRequest), kerr.TopicAuthorizationFailed.Code), nil, true
	})
	r.send(t, r.batch(at(2), topicA, "2", "ok"))
	<-r.Err()
	trace := errs.Trace(r.Cause())
	if !strings.HasPrefix(trace, errs.ConnectException+": Unrecoverable exception from producer send callback\nCaused by: org.apache.kafka.common.errors.TopicAuthorizationException: Not authorized to write to topic 'a'") {
		t.Errorf("trace %s", trace)
	}
	if err := r.Drain(t.Context()); err == nil {
		t.Error("Drain gave no error")
	}
	if got := r.off.last(); got != `{"n":1}` {
		t.Errorf("stored %s", got)
	}
}

func refuse(req *kmsg.ProduceRequest, code int16) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	for _, rt := range req.Topics {
		st := kmsg.NewProduceResponseTopic()
		st.Topic, st.TopicID = rt.Topic, rt.TopicID
		for _, rp := range rt.Partitions {
			sp := kmsg.NewProduceResponseTopicPartition()
			sp.Partition, sp.ErrorCode = rp.Partition, code
			st.Partitions = append(st.Partitions, sp)
		}
		resp.Topics = append(resp.Topics, st)
	}
	return resp
}

func TestFailedPutIsRetriedWithNewestData(t *testing.T) {
	c := fake(t, kfake.SeedTopics(1, "a"))
	r := newRig(t, client(t, props(addr(c))), func(cfg *Config) {})
	failed := make(chan struct{})
	r.off.mu.Lock()
	r.off.fail = func(n int) error {
		switch n {
		case 1:
			close(failed)
			return errors.New("no broker")
		case 2, 3:
			return errors.New("no broker")
		}
		return nil
	}
	r.off.mu.Unlock()
	r.send(t, r.batch(at(1), topicA, "1", "ok"))
	<-failed
	if r.Stored() != nil {
		t.Errorf("Stored() = %v after a failed Put", r.Stored())
	}
	r.send(t, r.batch(at(2), topicA, "2", "ok"))
	for got := range r.off.got {
		if got == `{"n":2}` {
			break
		}
	}
	r.drain(t)
	if p := r.Stored(); p != at(2) {
		t.Errorf("Stored() = %v", p)
	}
}

func TestSendBlocksOnAFullQueueAndCallsIdle(t *testing.T) {
	c := fake(t, kfake.SeedTopics(1, "a"))
	hold := make(chan struct{})
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		c.SleepControl(func() { <-hold })
		return nil, nil, false
	})
	r := newRig(t, client(t, props(addr(c))), func(cfg *Config) { cfg.QueueBytes = 64 << 10 })
	big := strings.Repeat("x", 20<<10)
	idle := errors.New("idle was called")
	var err error
	sent := 0
	for err == nil && sent < 100 {
		err = r.Send(t.Context(), r.batch(at(sent+1), topicA, "k", big), func() error { return idle })
		sent++
	}
	if !errors.Is(err, idle) || sent > 10 {
		t.Errorf("after %d batches: %v", sent, err)
	}
	close(hold)
	r.drain(t)
	if p := r.Stored(); p != at(sent-1) {
		t.Errorf("Stored() = %v, sent %d", p, sent-1)
	}
}

func TestAbortStoresNothingAndJoins(t *testing.T) {
	c := fake(t, kfake.SeedTopics(1, "a"))
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		return refuse(req.(*kmsg.ProduceRequest), kerr.NotLeaderForPartition.Code), nil, true
	})
	r := newRig(t, client(t, props(addr(c))), nil)
	r.send(t, r.batch(at(1), topicA, "1", "ok"))
	r.Abort()
	r.Abort()
	if r.Stored() != nil || r.off.last() != "" {
		t.Errorf("stored %v", r.Stored())
	}
	if err := r.Drain(t.Context()); err == nil {
		t.Error("Drain after Abort gave no error")
	}
}

func TestDrainIsBounded(t *testing.T) {
	c := fake(t, kfake.SeedTopics(1, "a"))
	r := newRig(t, client(t, props(addr(c))), nil)
	r.send(t, r.batch(at(1), topicA, "1", "ok"))
	<-r.off.got
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		return refuse(req.(*kmsg.ProduceRequest), kerr.NotLeaderForPartition.Code), nil, true
	})
	r.send(t, r.batch(at(2), topicA, "2", "ok"))
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if err := r.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Drain: %v", err)
	}
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("took %v", took)
	}
	if got := r.off.last(); got != `{"n":1}` {
		t.Errorf("stored %s", got)
	}
}

func TestNeverStarted(t *testing.T) {
	c := fake(t)
	for _, end := range []func(*Pipeline){func(p *Pipeline) { p.Abort() }, func(p *Pipeline) { _ = p.Drain(t.Context()) }} {
		end(New(Config{Client: client(t, props(addr(c)))}))
	}
}

func TestOnTopicIsToldOnceAndAgainAfterAReset(t *testing.T) {
	c := fake(t, kfake.SeedTopics(1, "a"), kfake.SeedTopics(1, "b"))
	told := make(chan string, 100)
	r := newRig(t, client(t, props(addr(c))), func(cfg *Config) { cfg.OnTopic = func(s string) { told <- s } })
	r.send(t, r.batch(at(1), topicA, "1", "x", "2", "x"))
	r.send(t, r.batch(at(2), topicB, "1", "x"))
	r.send(t, r.batch(at(3), topicA, "3", "x"))
	for got := ""; got != `{"n":3}`; {
		got = <-r.off.got
	}
	r.ForgetTopics()
	r.send(t, r.batch(at(4), topicA, "1", "x", "2", "x"))
	r.drain(t)
	close(told)
	got := ""
	for s := range told {
		got += s
	}
	if got != "aba" {
		t.Errorf("told %s", got)
	}
}

func TestCauseSaysWhetherARestartMayHelp(t *testing.T) {
	for code, want := range map[int16]bool{kerr.TopicAuthorizationFailed.Code: false, kerr.UnknownServerError.Code: true} {
		c := fake(t, kfake.SeedTopics(1, "a"))
		c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
			return refuse(req.(*kmsg.ProduceRequest), code), nil, true
		})
		r := newRig(t, client(t, props(addr(c))), nil)
		r.send(t, r.batch(at(1), topicA, "1", "x"))
		<-r.Err()
		if got := errs.Retriable(r.Cause()); got != want {
			t.Errorf("%v: retriable %t", r.Cause(), got)
		}
		r.Abort()
	}
}
