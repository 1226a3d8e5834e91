package emit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/internal/configdef"
	"millrace/internal/errs"
	"millrace/internal/kafkaconf"
	"millrace/internal/record"
	"millrace/internal/testkit"
)

func TestParseTopicRules(t *testing.T) {
	pre := "topic.creation."
	cases := []struct {
		name  string
		props map[string]string
		want  []string
	}{
		{"none", map[string]string{"x": "y"}, nil},
		{"default alone", map[string]string{pre + "default.partitions": "-1", pre + "default.replication.factor": "1"}, nil},
		{"both are required", map[string]string{pre + "groups": "a"}, []string{
			`Missing required configuration "topic.creation.default.partitions" which has no default value.`,
			`Missing required configuration "topic.creation.default.replication.factor" which has no default value.`}},
		{"values", map[string]string{pre + "groups": "a", pre + "default.partitions": "x", pre + "default.replication.factor": "0", pre + "a.partitions": "-2", pre + "a.include": "*bad"}, []string{
			"Invalid value x for configuration topic.creation.default.partitions: Not a number of type INT",
			"Invalid value 0 for configuration topic.creation.default.replication.factor: Replication factor must be positive and not larger than the number of brokers in the Kafka cluster, or -1 to use the broker's default",
			"Invalid value [*bad] for configuration topic.creation.a.include: Syntax error in regular expression: Dangling meta character '*' near index 0\n*bad\n^",
			"Invalid value -2 for configuration topic.creation.a.partitions: Number of partitions must be positive, or -1 to use the broker's default"}},
		{"twice", map[string]string{pre + "groups": "a, a,", pre + "default.partitions": "1", pre + "default.replication.factor": "1"}, []string{
			"Invalid value [a, a, ] for configuration topic.creation.groups: Duplicate alias provided."}},
	}
	for _, c := range cases {
		rules, ps := ParseTopicRules(c.props)
		var got []string
		for _, p := range ps {
			got = append(got, p.Text)
		}
		if fmt.Sprint(got) != fmt.Sprint(c.want) {
			t.Errorf("%s: %q", c.name, got)
		}
		if (rules == nil) != (c.want != nil || c.name == "none") {
			t.Errorf("%s: rules %v", c.name, rules)
		}
	}
	in := configdef.Input{Name: "topic.creation.groups", Value: "a,a,"}
	if got := CheckTopicGroups(in); len(got) != 1 || got[0] != "Invalid value [a, a, ] for configuration topic.creation.groups: Duplicate alias provided." {
		t.Errorf("CheckTopicGroups: %q", got)
	}
}

// groupProps are those of the recorded case topics-groups.
var groupProps = map[string]string{
	"topic.creation.groups":                     "wide,logs",
	"topic.creation.default.partitions":         "1",
	"topic.creation.default.replication.factor": "1",
	"topic.creation.default.retention.ms":       "7200000",
	"topic.creation.wide.include":               `.*\.(wide|log)`,
	"topic.creation.wide.exclude":               `.*\.log`,
	"topic.creation.wide.partitions":            "3",
	"topic.creation.logs.include":               `.*\.log,.*\.wide`,
	"topic.creation.logs.partitions":            "2",
	"topic.creation.logs.cleanup.policy":        "delete",
	"topic.creation.logs.retention.ms":          "3600000",
}

func topicsRig(t *testing.T, addr string, rules map[string]string, kv ...string) (*Topics, *rig) {
	t.Helper()
	p := props(addr, kv...)
	admin, producer := kafkaconf.Admin(map[string]string{"bootstrap.servers": addr}), kafkaconf.Producer(p)
	adm, err := kgo.NewClient(admin.Opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(adm.Close)
	parsed, ps := ParseTopicRules(rules)
	if ps != nil {
		t.Fatal(ps)
	}
	topics := NewTopics(adm, parsed, &producer, slog.New(slog.DiscardHandler))
	return topics, newRig(t, client(t, p, topics.ProducerOpts()...), func(c *Config) { c.Topics = topics })
}

func TestTopicsAreCreatedByTheirGroup(t *testing.T) {
	addr := testkit.Kafka(t)
	token := testkit.Name("emit")
	testkit.DropTopics(t, token)
	topics, r := topicsRig(t, addr, groupProps)
	defer r.drain(t)
	adm := kadm.NewClient(topics.client)
	for _, c := range []struct {
		topic, retention string
		partitions       int
	}{{"small", "7200000", 1}, {"wide", "604800000", 3}, {"log", "3600000", 2}} {
		name := token + ".public." + c.topic
		for range 2 { // the second time it exists
			if err := topics.Ensure(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
		d, err := adm.ListTopics(t.Context(), name)
		if err != nil || len(d[name].Partitions) != c.partitions {
			t.Errorf("%s: %d partitions, %v", name, len(d[name].Partitions), err)
		}
		conf, err := adm.DescribeTopicConfigs(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		for _, kv := range conf[0].Configs {
			if kv.Key == "retention.ms" && *kv.Value != c.retention {
				t.Errorf("%s: retention %s, want %s (settings of the default group are not inherited)", name, *kv.Value, c.retention)
			}
		}
	}
}

func TestTopicThatCannotBeCreated(t *testing.T) {
	addr := testkit.Kafka(t)
	topics, r := topicsRig(t, addr, map[string]string{"topic.creation.default.partitions": "1", "topic.creation.default.replication.factor": "3"})
	defer r.drain(t)
	name := testkit.Name("emit-rf")
	err := topics.Ensure(t.Context(), name)
	const why = "Unable to replicate the partition 3 time(s): The target replication factor of 3 cannot be reached because only 1 broker(s) are registered"
	trace := errs.Trace(err)
	if !strings.HasPrefix(trace, errs.ConnectException+": Unable to create topic(s) '"+name+"': "+why) ||
		!strings.Contains(trace, "\nCaused by: org.apache.kafka.common.errors.InvalidReplicationFactorException: "+why) {
		t.Errorf("trace %s", trace)
	}
}

func TestBadTopicName(t *testing.T) {
	addr := testkit.Kafka(t)
	topics, r := topicsRig(t, addr, nil)
	defer r.drain(t)
	err := topics.Ensure(t.Context(), "bad topic name")
	want := errs.ConnectException + ": Unrecoverable exception from producer send callback\nCaused by: org.apache.kafka.common.errors.InvalidTopicException: Invalid topics: [bad topic name]"
	if got := errs.Trace(err); got != want {
		t.Errorf("trace %s", got)
	}
	looking, other := topicsRig(t, addr, map[string]string{"topic.creation.default.partitions": "1", "topic.creation.default.replication.factor": "1"})
	defer other.drain(t)
	want = errs.ConnectException + ": Error while attempting to describe topics 'bad topic name'\nCaused by: org.apache.kafka.common.errors.InvalidTopicException: Invalid topics: [bad topic name]"
	if got := errs.Trace(looking.Ensure(t.Context(), "bad topic name")); got != want {
		t.Errorf("trace %s", got)
	}
}

// TestBadTopicNameTolerated: with errors.tolerance=all a record whose topic cannot
// have its name, as an outbox may route it, is skipped and the rest is sent.
func TestBadTopicNameTolerated(t *testing.T) {
	addr := testkit.Kafka(t)
	token := testkit.Name("emit-name")
	testkit.DropTopics(t, token)
	_, r := topicsRig(t, addr, nil)
	r.cfg.Tolerance.All = true
	bad, good := *topicA, *topicA
	bad.Name, good.Name = token+" x", token
	b := r.batch(at(1), &good, "1", "ok")
	for _, topic := range []*record.Topic{&bad, &good, &bad} {
		k := b.Append()
		k.Topic, k.Key, k.Value = topic, b.StringCell("2"), b.StringCell("v")
	}
	r.send(t, b)
	r.drain(t)
	if got := read(t, addr, token, 2); string(got[1].Key) != "2" {
		t.Errorf("got %s", got[1].Key)
	}
}

func TestBrokerCreatesTopics(t *testing.T) {
	c := fake(t, kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(2))
	_, r := topicsRig(t, addr(c), nil)
	r.send(t, r.batch(at(1), topicA, "k", "v"))
	r.drain(t)
	if got := read(t, addr(c), "a", 1); string(got[0].Value) != "v" {
		t.Errorf("got %v", got)
	}
}

func TestTopicMadeBySomebodyElseIsWaitedFor(t *testing.T) {
	c := fake(t)
	asked := make(chan struct{}, 100)
	c.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		for _, rt := range req.(*kmsg.MetadataRequest).Topics {
			if rt.Topic != nil && *rt.Topic == "a" {
				asked <- struct{}{}
			}
		}
		return nil, nil, false
	})
	_, r := topicsRig(t, addr(c), nil)
	r.send(t, r.batch(at(1), topicA, "k", "v"))
	<-asked
	<-asked
	if err := c.CreateTopic("a", 1, nil); err != nil {
		t.Fatal(err)
	}
	r.drain(t)
	if p := r.Stored(); p != at(1) {
		t.Errorf("Stored() = %v", p)
	}
}

func TestTopicCreationSurvivesABrokerThatIsAway(t *testing.T) {
	c := fake(t)
	n := 0
	c.ControlKey(int16(kmsg.CreateTopics), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		n++
		if n == 1 {
			return nil, errors.New("cut"), true // closes the connection
		}
		if n > 3 {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
		rt := kmsg.NewCreateTopicsResponseTopic()
		rt.Topic, rt.ErrorCode = "a", kerr.NotController.Code
		resp.Topics = append(resp.Topics, rt)
		return resp, nil, true
	})
	_, r := topicsRig(t, addr(c), map[string]string{"topic.creation.default.partitions": "4", "topic.creation.default.replication.factor": "-1"})
	r.send(t, r.batch(at(1), topicA, "k", "v"))
	r.drain(t)
	if got := c.TopicInfo("a"); got == nil {
		t.Error("no topic")
	}
}

func TestRecordTooLarge(t *testing.T) {
	for _, tolerate := range []bool{false, true} {
		c := fake(t, kfake.SeedTopics(1, "a"))
		_, r := topicsRig(t, addr(c), nil, "max.request.size", "20000")
		r.cfg.Tolerance.All = tolerate
		r.send(t, r.batch(at(1), topicA, "1", "ok", "2", strings.Repeat("x", 30000), "3", "ok"))
		if tolerate {
			r.drain(t)
			if got := read(t, addr(c), "a", 2); string(got[1].Key) != "3" {
				t.Errorf("got %s", got[1].Key)
			}
			continue
		}
		<-r.Err()
		want := errs.ConnectException + ": Unrecoverable exception from producer send callback\nCaused by: org.apache.kafka.common.errors.RecordTooLargeException: The message is 30088 bytes when serialized which is larger than 20000, which is the value of the max.request.size configuration."
		if got := errs.Trace(r.Cause()); !strings.HasPrefix(got, want) {
			t.Errorf("trace %s", got)
		}
		_ = r.Drain(t.Context())
		if got := read(t, addr(c), "a", 1); string(got[0].Key) != "1" {
			t.Errorf("got %s", got[0].Key)
		}
	}
}

func TestTopicWithSmallerLimitThanTheProducer(t *testing.T) {
	addr := testkit.Kafka(t)
	token := testkit.Name("emit")
	testkit.DropTopics(t, token)
	topics, r := topicsRig(t, addr, map[string]string{"topic.creation.default.partitions": "1", "topic.creation.default.replication.factor": "1",
		"topic.creation.default.max.message.bytes": "10000", "topic.creation.default.cleanup.policy": "compact"})
	r.cfg.Tolerance.All = true
	topic := *topicA
	topic.Name = token
	b := r.batch(at(1), &topic)
	for i := range 200 { // many records that together are larger than the topic takes in one batch
		k := b.Append()
		k.Topic, k.Key, k.Value = &topic, b.StringCell(fmt.Sprint(i)), b.StringCell(strings.Repeat("x", 500))
		if i == 7 {
			k.Value = b.StringCell(strings.Repeat("x", 20000))
		}
		if i == 8 {
			k.Key = b.Append().Key // null: no place in a compacted topic
			b.Records = b.Records[:len(b.Records)-1]
		}
	}
	r.send(t, b)
	r.drain(t)
	if got := read(t, addr, token, 198); len(got) != 198 {
		t.Errorf("%d records", len(got))
	}
	if n, setting, key := topics.recordLimits(token); n != 10000 || setting != "max.message.bytes" || !key {
		t.Errorf("limit %d by %s, key %t", n, setting, key)
	}
}

func TestEnsureEndsWithItsContext(t *testing.T) {
	topics, r := topicsRig(t, "127.0.0.1:1", nil)
	r.Abort()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := topics.Ensure(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Ensure: %v", err)
	}
}
