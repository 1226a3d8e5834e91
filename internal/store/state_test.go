package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestJSONStrings(t *testing.T) {
	for in, want := range map[string]string{
		"żółć \u2028 😀 <&>": "\"żółć \u2028 \\uD83D\\uDE00 <&>\"",
		"x\ty\nz\x01\x1f":   `"x\ty\nz\u0001\u001F"`,
		"\"\\\x7f":          "\"\\\"\\\\\x7f\"",
	} {
		if got := string(AppendJSONString(nil, in)); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

func TestIncompleteTaskSetIsInconsistent(t *testing.T) {
	c := NewConfigs(NewMemoryLog(), slog.New(slog.DiscardHandler))
	if err := c.Start(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	feed := func(key, value string) {
		if _, _, err := c.applyLocked(key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	feed("connector-c", `{"properties":{"name":"c"}}`)
	feed("task-c-0", `{"properties":{"a":"1"}}`)
	feed("task-c-2", `{"properties":{"a":"3"}}`)
	feed("commit-c", `{"tasks":3}`)
	if g := c.Get("c"); !g.Inconsistent || len(g.Tasks) != 0 {
		t.Fatalf("a set that compaction has torn counts: %+v", g)
	}
	for i := range 3 {
		feed(fmt.Sprintf("task-c-%d", i), `{"properties":{"a":"x"}}`)
	}
	feed("commit-c", `{"tasks":3}`)
	if g := c.Get("c"); g.Inconsistent || len(g.Tasks) != 3 {
		t.Fatalf("a complete set does not count: %+v", g)
	}
}

// Records that nobody should have written, as KafkaConfigBackingStore and
// KafkaStatusBackingStore of Kafka 4.3 take them.
func TestForeignRecords(t *testing.T) {
	var told []Event
	c := NewConfigs(NewMemoryLog(), slog.New(slog.DiscardHandler))
	if err := c.Start(t.Context(), func(e Event) { told = append(told, e) }); err != nil {
		t.Fatal(err)
	}
	feed := func(key, value string) {
		r := Record{Key: []byte(key)}
		if value != "" {
			r.Value = []byte(value)
		}
		c.apply(r)
	}
	feed("connector-c", `{"properties":{"name":"c","a":null}}`)
	for value, want := range map[string]TargetState{`{"state":"PAUSED","state.v2":null}`: Paused, `{"state":"PAUSED","state.v2":7}`: Paused, `{"state":"PAUSED","state.v2":"STOPPED"}`: Stopped} {
		feed("target-state-c", value)
		if got := c.Get("c").Target; got != want {
			t.Errorf("%s: %s", value, got)
		}
	}
	for _, value := range []string{`{"state":"PAUSED","state.v2":"BOGUS"}`, `{"state":1}`, `{}`, `[]`, `x`} {
		feed("target-state-c", value)
		if got := c.Get("c").Target; got != Stopped {
			t.Errorf("%s: %s", value, got)
		}
	}
	// The set of two tasks and the record of a third that compaction has left.
	for _, kv := range [][2]string{{"task-c-0", `{"properties":{"n":"0"}}`}, {"task-c-2", `{"properties":{"n":"2"}}`}, {"task-c-1", `{"properties":{"n":"1"}}`}, {"task-c", `{"properties":{}}`},
		{"task-c-x", `{"properties":{}}`}, {"task-c-3", ""}, {"task-c-4", `{"no":1}`}, {"commit-c", `{"tasks":"two"}`}, {"commit-c", `{"tasks":2}`}, {"commit-gone", `{"tasks":2}`}} {
		feed(kv[0], kv[1])
	}
	if g := c.Get("c"); len(g.Tasks) != 2 || !c.KnowsTask("c", 2) || c.KnowsTask("c", 4) || !g.Unfenced || c.Get("gone") != nil {
		t.Errorf("tasks %+v", g)
	}
	feed("session-key", `{"key":"a2V5","algorithm":"HmacSHA256","creation-timestamp":5}`)
	for _, value := range []string{"", `{"key":"a2V5","algorithm":7,"creation-timestamp":6}`, `{"key":"a2V5","algorithm":"HmacSHA256","creation-timestamp":"6"}`} {
		feed("session-key", value)
	}
	if c.Session().Created != 5 {
		t.Errorf("session key %+v", c.Session())
	}
	told = nil
	feed("restart-connector-c", `{"include-tasks":"yes","only-failed":true}`)
	feed("restart-connector-c", "")
	feed("logger-cluster-a.b", `{"level":7}`)
	feed("logger-cluster-a.b", `{"level":"DEBUG"}`)
	feed("something-else", `{"x":1}`)
	want := []Event{{Kind: RestartRequested, Connector: "c", OnlyFailed: true}, {Kind: LoggerChanged, Namespace: "a.b", Level: "DEBUG"}}
	if !slices.Equal(told, want) {
		t.Errorf("told %+v", told)
	}
	for _, value := range []string{`{"state":"BOGUS","generation":1}`, `{"state":"RUNNING","generation":"1"}`, `{"state":"RUNNING"}`, `[]`, `{`} {
		if st := ParseStatus([]byte(value)); st != nil {
			t.Errorf("%s is taken as %+v", value, st)
		}
	}
	if st := ParseStatus([]byte(`{"state":"FAILED","trace":"t","worker_id":"w","generation":3,"more":1}`)); st == nil || st.Trace != "t" || st.Generation != 3 {
		t.Errorf("a status of an older worker: %+v", st)
	}
}

func TestStatusOfAnotherWorkerIsKept(t *testing.T) {
	s := NewStatuses(NewMemoryLog(), slog.New(slog.DiscardHandler))
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.PutTask("c", 0, Status{State: StateRunning, WorkerID: "new", Generation: 7})
	s.PutTaskSafe("c", 0, Status{State: StateUnassigned, WorkerID: "old", Generation: 6})
	if st := s.Task("c", 0); st.State != StateRunning {
		t.Errorf("a late UNASSIGNED of the old owner replaced %+v", st)
	}
	s.PutTask("c", 0, Status{State: StateUnassigned, WorkerID: "old", Generation: 6}) // not even when it is in the log
	if st := s.Task("c", 0); st.State != StateRunning {
		t.Errorf("a late UNASSIGNED of the old owner replaced %+v", st)
	}
	s.PutTask("c", 0, Status{State: StateUnassigned, WorkerID: "old", Generation: 7})
	if st := s.Task("c", 0); st.State != StateRunning {
		t.Errorf("an UNASSIGNED of the same generation replaced %+v", st)
	}
	s.PutTaskSafe("c", 0, Status{State: StateUnassigned, WorkerID: "new", Generation: 7})
	if st := s.Task("c", 0); st.State != StateUnassigned {
		t.Errorf("the owner's own UNASSIGNED is lost: %+v", st)
	}
}

func kafka(t *testing.T) string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()[0]
}

func TestKafkaLogReadsBack(t *testing.T) {
	boot := kafka(t)
	spec := TopicSpec{Name: "cfg", Role: "config.storage.topic", Partitions: 1, Replication: 1, OnePartition: true}
	open := func() *Configs {
		c := NewConfigs(NewKafkaLog(spec, slog.New(slog.DiscardHandler), kgo.SeedBrokers(boot)), slog.New(slog.DiscardHandler))
		if err := c.Start(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := c.Close(ctx); err != nil {
				t.Error(err)
			}
		})
		return c
	}
	a := open()
	m := NewOrdered()
	m.Put("name", "c")
	if err := a.PutConnector(t.Context(), "c", m, Paused); err != nil {
		t.Fatal(err)
	}
	if g := a.Get("c"); g == nil || g.Target != Paused {
		t.Fatalf("not read back by the time it was written: %+v", g)
	}
	b := open() // another worker, or this one later
	if g := b.Get("c"); g == nil || g.Target != Paused || !g.Config.Equal(m) {
		t.Fatalf("replay gives %+v", g)
	}
	if err := a.RemoveConnector(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	if err := b.Sync(t.Context()); err != nil || b.Get("c") != nil {
		t.Fatalf("after Sync: %v, %+v", err, b.Get("c"))
	}
}

func TestStorageTopicsAreChecked(t *testing.T) {
	boot := kafka(t)
	cl, err := kgo.NewClient(kgo.SeedBrokers(boot))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	del := "delete"
	if _, err := adm.CreateTopic(t.Context(), 1, 1, map[string]*string{"cleanup.policy": &del}, "wrong-policy"); err != nil {
		t.Fatal(err)
	}
	compact := "compact"
	if _, err := adm.CreateTopic(t.Context(), 2, 1, map[string]*string{"cleanup.policy": &compact}, "two"); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	for _, c := range []struct {
		spec TopicSpec
		want string
	}{
		{TopicSpec{Name: "wrong-policy", Role: "offset.storage.topic", Partitions: 1, Replication: 1}, "'cleanup.policy=compact'"},
		{TopicSpec{Name: "two", Role: "config.storage.topic", OnePartition: true, Partitions: 1, Replication: 1}, "single partition"},
		{TopicSpec{Name: "missing", Role: "status.storage.topic", NoCreate: true}, "does not exist"},
	} {
		if _, err := EnsureTopic(t.Context(), adm, c.spec, log); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.spec.Name, err, c.want)
		}
	}
	n, err := EnsureTopic(t.Context(), adm, TopicSpec{Name: "new", Role: "offset.storage.topic", Partitions: 3, Replication: 1, Configs: map[string]string{"cleanup.policy": "delete", "segment.bytes": "1048576"}}, log)
	if err != nil || n != 3 {
		t.Fatal(n, err)
	}
	rs, err := adm.DescribeTopicConfigs(t.Context(), "new")
	if err != nil || len(rs) != 1 {
		t.Fatal(err, errors.New("no description"))
	}
	got := map[string]string{}
	for _, c := range rs[0].Configs {
		got[c.Key] = c.MaybeValue()
	}
	if got["cleanup.policy"] != "compact" || got["segment.bytes"] != "1048576" {
		t.Errorf("made with cleanup.policy=%s, segment.bytes=%s", got["cleanup.policy"], got["segment.bytes"])
	}
}
