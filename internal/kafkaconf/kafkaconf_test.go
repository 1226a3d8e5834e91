package kafkaconf

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// opt reads back what a client was made with.
func opt(t *testing.T, c *kgo.Client, o any) any { t.Helper(); return c.OptValue(o) }

func build(t *testing.T, r Result) *kgo.Client {
	t.Helper()
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	c, err := kgo.NewClient(r.Opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestProducerDefaults(t *testing.T) {
	r := Producer(map[string]string{"bootstrap.servers": " a:1, b:2 "})
	c := build(t, r)
	for _, x := range []struct {
		name      string
		got, want any
	}{
		{"servers", opt(t, c, kgo.SeedBrokers), []string{"a:1", "b:2"}},
		{"acks", opt(t, c, kgo.RequiredAcks), kgo.AllISRAcks()},
		{"idempotence is not disabled", opt(t, c, kgo.DisableIdempotentWrite), false},
		{"linger", opt(t, c, kgo.ProducerLinger), time.Duration(0)},
		{"delivery timeout", opt(t, c, kgo.RecordDeliveryTimeout), time.Duration(0)},
		{"unknown topics", opt(t, c, kgo.UnknownTopicRetries), int64(-1)},
		{"metadata age", opt(t, c, kgo.MetadataMaxAge), 5 * time.Minute},
		{"compression", fmt.Sprint(opt(t, c, kgo.ProducerBatchCompression)), fmt.Sprint([]kgo.CompressionCodec{kgo.NoCompression()})},
		{"max request size", r.MaxRequestSize, 1 << 20},
	} {
		if fmt.Sprint(x.got) != fmt.Sprint(x.want) {
			t.Errorf("%s: %v, want %v", x.name, x.got, x.want)
		}
	}
}

func TestProperties(t *testing.T) {
	get := func(c *kgo.Client, o any) string { return fmt.Sprint(c.OptValue(o)) }
	cases := []struct {
		as        func(map[string]string) Result
		name, val string
		opt       any
		want      string
	}{
		{Producer, "client.id", "me", kgo.ClientID, "me"},
		{Producer, "acks", "1", kgo.RequiredAcks, fmt.Sprint(kgo.LeaderAck())},
		{Producer, "acks", "1", kgo.DisableIdempotentWrite, "true"},
		{Producer, "enable.idempotence", "false", kgo.DisableIdempotentWrite, "true"},
		{Producer, "linger.ms", "7", kgo.ProducerLinger, "7ms"},
		{Producer, "request.timeout.ms", "41000", kgo.ProduceRequestTimeout, "41s"},
		{Consumer, "request.timeout.ms", "41000", kgo.RequestTimeoutOverhead, "41s"},
		{Producer, "delivery.timeout.ms", "60000", kgo.RecordDeliveryTimeout, "1m0s"},
		{Producer, "delivery.timeout.ms", "2147483647", kgo.RecordDeliveryTimeout, "0s"},
		{Producer, "retries", "3", kgo.RecordRetries, "3"},
		{Admin, "retries", "3", kgo.RequestRetries, "3"},
		{Producer, "buffer.memory", "1000000", kgo.MaxBufferedBytes, "1000000"},
		{Producer, "connections.max.idle.ms", "60000", kgo.ConnIdleTimeout, "1m0s"},
		{Producer, "connections.max.idle.ms", "-1", kgo.ConnIdleTimeout, "15m0s"},
		{Producer, "metadata.max.age.ms", "1000", kgo.MetadataMaxAge, "1s"},
		{Producer, "metadata.max.age.ms", "0", kgo.MetadataMaxAge, "10ms"},
		{Consumer, "fetch.min.bytes", "5", kgo.FetchMinBytes, "5"},
		{Consumer, "fetch.max.bytes", "52428800", kgo.FetchMaxBytes, "52428800"},
		{Consumer, "fetch.max.bytes", "500000000", kgo.FetchMaxBytes, "500000000"},
		{Consumer, "max.partition.fetch.bytes", "1000", kgo.FetchMaxPartitionBytes, "1000"},
		{Consumer, "fetch.max.wait.ms", "250", kgo.FetchMaxWait, "250ms"},
		{Consumer, "client.rack", "r1", kgo.Rack, "r1"},
		{Consumer, "isolation.level", "read_committed", kgo.FetchIsolationLevel, "1"},
		{Consumer, "auto.offset.reset", "latest", kgo.ConsumeStartOffset, fmt.Sprint(kgo.NewOffset().AtEnd())},
		{Consumer, "session.timeout.ms", "20000", kgo.SessionTimeout, "20s"},
		{Consumer, "heartbeat.interval.ms", "1000", kgo.HeartbeatInterval, "1s"},
		{Consumer, "max.poll.interval.ms", "90000", kgo.RebalanceTimeout, "1m30s"},
		{Consumer, "group.instance.id", "i", kgo.InstanceID, "i"},
		{Consumer, "allow.auto.create.topics", "true", kgo.AllowAutoTopicCreation, "true"},
	}
	for _, x := range cases {
		r := x.as(map[string]string{"bootstrap.servers": "a:1", "group.id": "g", x.name: x.val})
		if r.Member != nil { // as a sink's client is made
			r.Opts = append(r.Opts, append(r.Member, kgo.ConsumerGroup(r.GroupID))...)
		}
		c := build(t, r)
		got := get(c, x.opt)
		if v, ok := c.OptValue(x.opt).(*string); ok && v != nil {
			got = *v
		}
		if got != x.want {
			t.Errorf("%s=%s gives %s, want %s", x.name, x.val, got, x.want)
		}
		for _, u := range r.Unknown {
			if u != "group.id" {
				t.Errorf("%s is not known", u)
			}
		}
	}
}

func TestProblems(t *testing.T) {
	cases := []struct {
		as    func(map[string]string) Result
		props string
		want  string
	}{
		{Producer, "acks=7", "Invalid value 7 for configuration acks: String must be one of: all, -1, 0, 1"},
		{Producer, "linger.ms=x", "Invalid value x for configuration linger.ms: Not a number of type LONG"},
		{Producer, "max.in.flight.requests.per.connection=0", "Invalid value 0 for configuration max.in.flight.requests.per.connection: Value must be at least 1"},
		{Producer, "acks=1 enable.idempotence=true", "Must set acks to all in order to use the idempotent producer. Otherwise we cannot guarantee idempotence."},
		{Producer, "delivery.timeout.ms=10", "delivery.timeout.ms should be equal to or larger than linger.ms + request.timeout.ms"},
		{Producer, "transactional.id=x", "The 'transactional.id' property is not supported by millrace: set exactly.once.source.support=enabled on the worker"},
		{Producer, "interceptor.classes=com.example.X", "The 'interceptor.classes' property is not supported by millrace: it names a Java class, and millrace runs none; remove it"},
		{Producer, "key.serializer=org.apache.kafka.common.serialization.StringSerializer", "The 'key.serializer' property is not supported by millrace: keys and values are made by the connector's converters"},
		{Producer, "security.protocol=TLS", "Invalid value TLS for configuration security.protocol: String must be one of: PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL"},
		{Producer, "security.protocol=SASL_SSL sasl.mechanism=GSSAPI sasl.jaas.config=a|required|b=\"c\"; sasl.kerberos.service.name=kafka",
			"The 'sasl.kerberos.service.name' property is not supported by millrace: Kerberos is not available; use SCRAM-SHA-512 or OAUTHBEARER\nThe 'sasl.mechanism' GSSAPI is not supported by millrace: use PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER"},
		{Producer, "security.protocol=SASL_PLAINTEXT sasl.mechanism=PLAIN sasl.jaas.config=a|required|password=hunter2", "Invalid value [hidden] for configuration sasl.jaas.config: JAAS config entry not terminated by semi-colon"},
		{Producer, "security.protocol=SSL ssl.truststore.location=/no/such/file", "Failed to load the trust store of ssl.truststore.location: open /no/such/file: no such file or directory"},
		{Producer, "security.protocol=SSL ssl.endpoint.identification.algorithm=x", "Invalid value x for configuration ssl.endpoint.identification.algorithm: use https, or an empty value to accept any host name"},
		{Consumer, "group.id=g group.protocol=consumer", "The 'group.protocol' property is not supported by millrace: sinks use the classic group protocol"},
		{Consumer, "group.id=g enable.auto.commit=true", "The 'enable.auto.commit' property is not supported by millrace: a sink commits what it has written"},
		{Consumer, "group.id=g heartbeat.interval.ms=50000", "heartbeat.interval.ms must be lower than session.timeout.ms"},
		{Admin, "bootstrap.servers=nohost", "Invalid url in bootstrap.servers: nohost"},
		{Producer, "partitioner.class=com.example.P", "The 'partitioner.class' property is not supported by millrace: use the transform io.debezium.transforms.partitions.PartitionRouting"},
	}
	for _, c := range cases {
		props := map[string]string{"bootstrap.servers": "a:1"}
		for _, kv := range strings.Fields(c.props) {
			k, v, _ := strings.Cut(kv, "=")
			props[k] = strings.ReplaceAll(v, "|", " ")
		}
		r := c.as(props)
		if err := r.Err(); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v", c.props, err)
		}
		if strings.Contains(fmt.Sprint(r.Err(), r.Notes, r.Unknown), "hunter2") {
			t.Errorf("%s: the secret is told", c.props)
		}
	}
	r := Producer(nil)
	if err := r.Err(); err == nil || err.Error() != `Missing required configuration "bootstrap.servers" which has no default value.` {
		t.Errorf("no servers: %v", err)
	}
}

func TestUnknownAndNotes(t *testing.T) {
	r := Producer(map[string]string{"bootstrap.servers": "a:1", "no.such.thing": "1", "fetch.min.bytes": "1", "batch.size": "1000"})
	if !slices.Equal(r.Unknown, []string{"fetch.min.bytes", "no.such.thing"}) {
		t.Errorf("unknown %v", r.Unknown)
	}
	if len(r.Notes) != 1 || r.Notes[0].Property != "batch.size" {
		t.Errorf("notes %v", r.Notes)
	}
	if !Secret("sasl.jaas.config") || Secret("acks") || !Known("acks") || Known("x") {
		t.Error("Secret or Known")
	}
}

// What a client cannot do is known before it is made, and only then.
func TestUnsupported(t *testing.T) {
	for _, x := range []struct {
		of, name, value string
		refused         bool
	}{
		{"producer", "interceptor.classes", "com.example.Audit", true}, {"producer", "interceptor.classes", "", false}, {"admin", "interceptor.classes", "com.example.Audit", false},
		{"consumer", "group.protocol", "consumer", true}, {"consumer", "group.protocol", "Classic", false}, {"producer", "acks", "7", false}, {"producer", "no.such", "1", false},
	} {
		if got := Unsupported(x.of, x.name, x.value); (got != "") != x.refused {
			t.Errorf("%s %s=%s: %q", x.of, x.name, x.value, got)
		}
	}
	if r := Admin(map[string]string{"bootstrap.servers": "a:1", "security.protocol": "ssl", "metadata.recovery.strategy": "REBOOTSTRAP"}); r.Err() != nil {
		t.Errorf("any case is fine: %v", r.Err())
	}
}

// Every row does something: it applies, refuses, or says why it has no effect.
// The rows of the security table are read as a group.
func TestNoRowIsSilent(t *testing.T) {
	grouped := map[string]bool{}
	for i := range securityRows {
		grouped[securityRows[i].name] = true
	}
	for name, w := range index {
		if w.apply == nil && w.refuse == "" && w.note == "" && !grouped[name] {
			t.Errorf("%s is accepted and ignored", name)
		}
	}
}

// The partitions are those of the recorded case partition-default.
func TestPartitioner(t *testing.T) {
	p := Partitioner("", false).ForTopic("t")
	key := func(k string) *kgo.Record { return &kgo.Record{Key: []byte(k), Partition: -1} }
	for k, want := range map[string]int{`{"id":1}`: 1, `{"id":3}`: 1, `{"id":6}`: 1, `{"id":4}`: 2, `{"id":2}`: 4, `{"id":5}`: 4} {
		r := key(k)
		if got := p.Partition(r, 5); got != want {
			t.Errorf("%s goes to %d, recorded %d", k, got, want)
		}
		if !p.RequiresConsistency(r) {
			t.Errorf("%s: a key asks for consistency", k)
		}
	}
	r := &kgo.Record{Partition: 3}
	if got := p.Partition(r, 5); got != 3 || !p.RequiresConsistency(r) {
		t.Errorf("explicit partition: %d", got)
	}
	if p.RequiresConsistency(&kgo.Record{Partition: -1}) {
		t.Error("a record without key may go anywhere")
	}
	sticky := Partitioner("", true).ForTopic("t")
	if sticky.RequiresConsistency(key("x")) {
		t.Error("partitioner.ignore.keys")
	}
}

func TestISODuration(t *testing.T) {
	for s, want := range map[string]time.Duration{"P1D": 24 * time.Hour, "PT1H30M": 90 * time.Minute, "P2DT0.5S": 48*time.Hour + 500*time.Millisecond, "pt5m": 5 * time.Minute} {
		if got, ok := isoDuration(s); !ok || got != want {
			t.Errorf("%s: %v %t", s, got, ok)
		}
	}
	for _, s := range []string{"", "P", "1D", "P1Y", "PTx", "PT-1S"} {
		if _, ok := isoDuration(s); ok {
			t.Errorf("%q is taken", s)
		}
	}
}

func TestReachesABroker(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "a"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cl := build(t, Producer(map[string]string{"bootstrap.servers": "PLAINTEXT://" + c.ListenAddrs()[0], "compression.type": "zstd",
		"compression.zstd.level": "3", "send.buffer.bytes": "65536", "receive.buffer.bytes": "65536"}))
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "a", Value: []byte("x")}).FirstErr(); err != nil {
		t.Error(err)
	}
}
