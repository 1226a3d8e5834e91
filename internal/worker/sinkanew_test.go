package worker

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/errs"
)

// TestTopicMadeAnewWhileRead: a topic whose id stays unknown starts the task again; a
// moment of it, as of a new topic, does not. Answers that come as seldom as fetches do
// beside quiet topics belong together.
func TestTopicMadeAnewWhileRead(t *testing.T) {
	s := NewSinkTask(SinkConfig{Connector: "c", Log: slog.New(slog.DiscardHandler)}, nil)
	at := time.Now()
	for _, step := range []struct {
		after time.Duration
		ends  bool
	}{{0, false}, {strangerFor - time.Millisecond, false}, {2 * strangerQuiet, false}, {strangerFor + time.Millisecond, true}} {
		at = at.Add(step.after)
		err := s.madeAnew("t", at)
		if (err != nil) != step.ends || err != nil && (!errs.Retriable(err) || !transient(err)) {
			t.Errorf("after %v: %v", step.after, err)
		}
	}
	if err := s.fetchError(kgo.FetchError{Topic: "u", Err: kerr.UnknownTopicID}); err != nil {
		t.Errorf("the first answer: %v", err)
	}
}

// informed is a sink that keeps what it is told.
type informed struct {
	*collect
	anew map[string][]int32
}

func (i informed) Anew(topic string, p int32) { i.anew[topic] = append(i.anew[topic], p) }

// A commit names every partition, also those that nothing was read of, as Connect's
// does. A sink that is told of partitions without a stored offset is told of those and
// no others, and has nothing committed that it did not write.
func TestSinkPlaces(t *testing.T) {
	rig := newSinkRig(t, 3)
	rig.produce(t, 0, "a")
	rig.produce(t, 2, "b")
	told := informed{newCollect(), map[string][]int32{}}
	for name, sink := range map[string]Sink{"plain": told.collect, "told": told} {
		var stored kadm.Offsets
		stored.AddOffset("orders", 2, 1, -1)
		if _, err := rig.adm.CommitOffsets(t.Context(), "connect-"+name, stored); err != nil {
			t.Fatal(err)
		}
		before := len(told.values())
		_, stop := run(t, rig.config(t, name), sink)
		told.await(t, before+1)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"plain": "map[0:1 1:0 2:1]", "told": "map[0:1 2:1]"}[name]
		if got := fmt.Sprint(rig.committed(t, "connect-"+name)); got != want {
			t.Errorf("%s: committed %s, want %s", name, got, want)
		}
	}
	slices.Sort(told.anew["orders"])
	if fmt.Sprint(told.anew) != "map[orders:[0 1]]" {
		t.Errorf("told of %v", told.anew)
	}
}

// A task that begins at the end reads what came to a quiet partition while it was away:
// its place there was committed with the others.
func TestSinkBeginsAtTheEnd(t *testing.T) {
	rig := newSinkRig(t, 2)
	rig.produce(t, 0, "old")
	rig.produce(t, 1, "old")
	cfg := rig.config(t, "end")
	cfg.Consumer = append(cfg.Consumer, kgo.ConsumeStartOffset(kgo.NewOffset().AtEnd()), kgo.ConsumeResetOffset(kgo.NewOffset().AtEnd()))
	s := newCollect()
	task, stop := run(t, cfg, s)
	placed := func() bool {
		task.mu.Lock()
		defer task.mu.Unlock()
		ps := task.assigned["orders"]
		return len(ps) == 2 && ps[0].next == 1 && ps[1].next == 1
	}
	for late := time.Now().Add(time.Minute); !placed(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("the partitions were not assigned")
		}
	}
	rig.produce(t, 0, "new")
	s.await(t, 1)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	rig.produce(t, 1, "late")
	_, stop = run(t, cfg, s)
	s.await(t, 2)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.values(), " "); got != "orders/0/1=new orders/1/1=late" {
		t.Errorf("got %s", got)
	}
}

// auto.offset.reset=none: no stored offset, or one that the topic does not have, ends
// the task with the class that Connect's trace begins with.
func TestSinkWithoutReset(t *testing.T) {
	rig := newSinkRig(t, 2)
	cfg := rig.config(t, "none")
	cfg.Consumer = append(cfg.Consumer, kgo.ConsumeStartOffset(kgo.NewOffset().AtCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtCommitted()))
	for _, want := range []string{"org.apache.kafka.clients.consumer.NoOffsetForPartitionException: Undefined offset with no reset policy for partitions: [orders-0, orders-1]",
		"org.apache.kafka.clients.consumer.OffsetOutOfRangeException: Fetch position is out of range for partition orders-"} {
		err := NewSinkTask(cfg, newCollect()).Run(t.Context(), func() {})
		if got := errs.Trace(err); !strings.HasPrefix(got, want) {
			t.Errorf("ended with %s, want %s", got, want)
		}
		var stored kadm.Offsets
		stored.AddOffset("orders", 0, 99, -1)
		stored.AddOffset("orders", 1, 99, -1)
		if _, err := rig.adm.CommitOffsets(t.Context(), "connect-none", stored); err != nil {
			t.Fatal(err)
		}
	}
}

// After the connector's active topics were reset a topic is told again with its next
// record. One whose records cannot be converted is not told.
func TestSinkTopicsInUse(t *testing.T) {
	s := NewSinkTask(SinkConfig{Connector: "c"}, nil)
	var told []string
	epoch := uint64(1)
	s.cfg.OnTopic, s.cfg.TopicEpoch = func(name string) { told = append(told, name) }, func() uint64 { return epoch }
	for range 2 {
		s.renewUsed()
		for _, name := range []string{"a", "a", "b", "a", "b"} {
			s.use(s.topic(name))
		}
	}
	epoch++
	s.renewUsed()
	s.use(s.topic("b"))
	if fmt.Sprint(told) != "[a b b]" {
		t.Errorf("told %v", told)
	}
}
