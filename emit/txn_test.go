package emit

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/errs"
	"millrace/internal/kafkaconf"
)

// txnClient is a task's producer with a transactional id.
func txnClient(t *testing.T, addr, id string) *kgo.Client {
	t.Helper()
	res := kafkaconf.Transactional(props(addr), id)
	if err := res.Err(); err != nil {
		t.Fatal(err)
	}
	c, err := kgo.NewClient(res.Opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, _, err := c.ProducerID(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

func txnRig(t *testing.T, addr string, interval time.Duration) (*rig, chan string) {
	t.Helper()
	done := make(chan string, 100)
	r := newRig(t, txnClient(t, addr, "g-c-0"), func(c *Config) {
		c.Transaction = &Transaction{Interval: interval,
			Offset:    func(p, o []byte) *kgo.Record { return &kgo.Record{Topic: "offsets", Key: p, Value: o, Partition: -1} },
			Committed: func(_, o []byte) { done <- string(o) }}
	})
	return r, done
}

// committed is what a reader of committed records sees of a topic up to its end.
func committed(t *testing.T, addr, topic string) []string {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(50*time.Millisecond), kgo.KeepControlRecords())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// A record behind everything else says that the reader is at the end.
	end := &kgo.Record{Topic: topic, Value: []byte("END")}
	plain := client(t, props(addr))
	if err := plain.ProduceSync(ctx, end).FirstErr(); err != nil {
		t.Fatal(err)
	}
	var out []string
	for {
		f := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("the end of %s does not come; so far %v", topic, out)
		}
		for _, r := range f.Records() {
			switch {
			case r.Attrs.IsControl():
			case string(r.Value) == "END":
				if r.Offset == end.Offset {
					return out
				}
			default:
				out = append(out, string(r.Value))
			}
		}
	}
}

func await(t *testing.T, ch chan string, want string) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		select {
		case got := <-ch:
			if got == want {
				return
			}
		case <-late:
			t.Fatalf("offset %s was never committed", want)
		}
	}
}

func TestTransactions(t *testing.T) {
	addr := fake(t, kfake.SeedTopics(1, "a", "offsets")).ListenAddrs()[0]
	r, done := txnRig(t, addr, 0)
	r.send(t, r.batch(at(1), topicA, "k", "a1", "k", "a2"))
	await(t, done, `{"n":1}`)
	r.send(t, r.batch(at(2), topicA, "k", "a3"))
	r.send(t, r.batch(at(3), topicA)) // progress without a record rides with the next one
	r.send(t, r.batch(at(4), topicA, "k", "a4"))
	await(t, done, `{"n":4}`)
	r.send(t, r.batch(at(5), topicA)) // or is stored at the end
	r.drain(t)
	await(t, done, `{"n":5}`)
	if got := r.Stored(); got != at(5) {
		t.Errorf("stored %v", got)
	}
	if got := strings.Join(committed(t, addr, "a"), " "); got != "a1 a2 a3 a4" {
		t.Errorf("records %s", got)
	}
	if got := committed(t, addr, "offsets"); got[0] != `{"n":1}` || got[len(got)-1] != `{"n":5}` {
		t.Errorf("offsets %v", got)
	}
}

// What is written since the last commit is not visible when the task fails, and
// neither is its offset.
func TestAFailureCommitsNothing(t *testing.T) {
	addr := fake(t, kfake.SeedTopics(1, "a", "offsets")).ListenAddrs()[0]
	r, done := txnRig(t, addr, 0)
	r.val.bad = map[string]error{"bad": errors.New("no")}
	r.send(t, r.batch(at(1), topicA, "k", "a1"))
	await(t, done, `{"n":1}`)
	r.send(t, r.batch(at(2), topicA, "k", "a2", "k", "bad", "k", "a3"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := r.Drain(ctx); err == nil || r.Stored() != at(1) {
		t.Errorf("error %v, stored %v", err, r.Stored())
	}
	if got := strings.Join(committed(t, addr, "a"), " "); got != "a1" {
		t.Errorf("records %s", got)
	}
	if got := strings.Join(committed(t, addr, "offsets"), " "); got != `{"n":1}` {
		t.Errorf("offsets %s", got)
	}
}

// A task whose successor has started can write no more, whatever it still holds.
func TestFencedTask(t *testing.T) {
	addr := fake(t, kfake.SeedTopics(1, "a", "offsets")).ListenAddrs()[0]
	r, done := txnRig(t, addr, time.Hour) // its transaction stays open
	r.send(t, r.batch(at(1), topicA, "k", "old"))
	next, done2 := txnRig(t, addr, 0)
	next.send(t, next.batch(at(1), topicA, "k", "new"))
	await(t, done2, `{"n":1}`)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := r.Drain(ctx)
	if err == nil || !strings.Contains(errs.Trace(err), "org.apache.kafka.common.errors.ProducerFencedException: There is a newer producer") {
		t.Errorf("error %v", errs.Trace(err))
	}
	next.drain(t)
	if len(done) > 0 {
		t.Error("the old task committed")
	}
	if got := strings.Join(committed(t, addr, "a"), " "); got != "new" {
		t.Errorf("records %s", got)
	}
}

// With an interval, a transaction takes many batches and ends by the clock.
func TestTransactionInterval(t *testing.T) {
	addr := fake(t, kfake.SeedTopics(1, "a", "offsets")).ListenAddrs()[0]
	r, done := txnRig(t, addr, 50*time.Millisecond)
	for i := 1; i <= 20; i++ {
		r.send(t, r.batch(at(i), topicA, "k", "x"))
	}
	await(t, done, `{"n":20}`)
	r.drain(t)
	if got := len(committed(t, addr, "a")); got != 20 {
		t.Errorf("%d records", got)
	}
}
