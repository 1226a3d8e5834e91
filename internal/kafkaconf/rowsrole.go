package kafkaconf

import (
	"math"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/configdef"
)

// producerRows are the properties of producers only.
var producerRows = []row{
	{name: "acks", roles: forProducer, typ: configdef.String, oneOf: []string{"all", "-1", "0", "1"}, apply: func(r *reader, v string, _ int64) {
		r.acks = v
	}},
	{name: "enable.idempotence", roles: forProducer, typ: configdef.Boolean, apply: func(r *reader, _ string, n int64) {
		r.idempotent, r.idemSet = n == 1, true
	}},
	{name: "max.in.flight.requests.per.connection", roles: forProducer, typ: configdef.Int, hasMin: true, min: 1,
		note:  "up to five requests are under way with idempotence, one without; the order is kept either way",
		apply: ms(func(r *reader, n int64) { r.inFlight = int(n) })},
	{name: "linger.ms", roles: forProducer, typ: configdef.Long, hasMin: true, apply: func(r *reader, _ string, n int64) {
		r.lingerMs = min(n, 60000)
	}},
	{name: "batch.size", roles: forProducer, typ: configdef.Int, hasMin: true, note: "record batches grow up to max.request.size while requests are under way"},
	{name: "buffer.memory", roles: forProducer, typ: configdef.Long, hasMin: true, apply: func(r *reader, _ string, n int64) {
		if n > 0 {
			r.add(kgo.MaxBufferedBytes(int(n)))
		}
	}},
	{name: "compression.type", roles: forProducer, typ: configdef.String, oneOf: []string{"none", "gzip", "snappy", "lz4", "zstd"}, apply: func(r *reader, v string, _ int64) {
		r.codec = v
	}},
	{name: "compression.gzip.level", roles: forProducer, typ: configdef.Int, apply: level("gzip", -1, 9)},
	{name: "compression.lz4.level", roles: forProducer, typ: configdef.Int, apply: level("lz4", 1, 17)},
	{name: "compression.zstd.level", roles: forProducer, typ: configdef.Int, apply: level("zstd", -131072, 22)},
	{name: "max.request.size", roles: forProducer, typ: configdef.Int, hasMin: true, apply: func(r *reader, _ string, n int64) {
		if n > 1<<30 {
			n = 1 << 30
		}
		r.res.MaxRequestSize = int(n)
	}},
	{name: "delivery.timeout.ms", roles: forProducer, typ: configdef.Int, hasMin: true, apply: func(r *reader, _ string, n int64) {
		if n < math.MaxInt32 {
			r.deliveryMs = n
		}
	}},
	{name: "max.block.ms", roles: forProducer, typ: configdef.Long, hasMin: true, note: "the source waits for Kafka as long as it takes, as under Connect"},
	{name: "partitioner.class", roles: forProducer, typ: configdef.Class, fine: []string{"", roundRobinClass, stickyClass, defaultClass},
		refuse: "use the transform io.debezium.transforms.partitions.PartitionRouting",
		apply:  func(r *reader, v string, _ int64) { r.partitioner = v }},
	{name: "partitioner.ignore.keys", roles: forProducer, typ: configdef.Boolean, apply: ms(func(r *reader, n int64) { r.ignoreKeys = n == 1 })},
	{name: "partitioner.adaptive.partitioning.enable", roles: forProducer, typ: configdef.Boolean, note: "records without key stick to one partition per batch"},
	{name: "partitioner.availability.timeout.ms", roles: forProducer, typ: configdef.Long, note: "records without key stick to one partition per batch"},
	{name: "partitioner.rack.aware", roles: forProducer, typ: configdef.Boolean, apply: func(r *reader, _ string, n int64) {
		if n == 1 {
			r.add(kgo.RackAwarePartitioning())
		}
	}},
	{name: "metadata.max.idle.ms", roles: forProducer, typ: configdef.Long, hasMin: true, min: 5000, note: "topics stay known as long as the task runs"},
	{name: "key.serializer", roles: forProducer, typ: configdef.Class, fine: []string{byteArraySer}, refuse: serialNote},
	{name: "value.serializer", roles: forProducer, typ: configdef.Class, fine: []string{byteArraySer}, refuse: serialNote},
	{name: "transactional.id", roles: forProducer, typ: configdef.String, refuse: "set exactly.once.source.support=enabled on the worker"},
	{name: "transaction.timeout.ms", roles: forProducer, typ: configdef.Int, hasMin: true, min: 1, apply: ms(func(r *reader, n int64) { r.txnMs = n })},
	{name: "transaction.two.phase.commit.enable", roles: forProducer, typ: configdef.Boolean, fine: []string{"false"}, refuse: "two phase commit is not available"},
}

func level(codec string, least, most int64) func(*reader, string, int64) {
	return func(r *reader, v string, n int64) {
		if n < least || n > most {
			r.problem("compression."+codec+".level", "Invalid value "+v+" for configuration compression."+codec+".level: Value must be between the least and the highest level of "+codec)
			return
		}
		r.codecLevels[codec] = int(n)
	}
}

// consumerRows are the properties of consumers only.
var consumerRows = []row{
	{name: "group.id", roles: forConsumer, typ: configdef.String, apply: func(r *reader, v string, _ int64) { r.res.GroupID = v }},
	{name: "group.instance.id", roles: forConsumer, typ: configdef.String, apply: func(r *reader, v string, _ int64) {
		if v != "" {
			r.ages.group = append(r.ages.group, kgo.InstanceID(v))
		}
	}},
	{name: "group.protocol", roles: forConsumer, typ: configdef.String, fine: []string{"classic"}, refuse: "sinks use the classic group protocol"},
	{name: "share.acknowledgement.mode", roles: forConsumer, note: "it is for share groups; sinks use consumer groups"},
	{name: "share.acquire.mode", roles: forConsumer, note: "it is for share groups; sinks use consumer groups"},
	{name: "group.remote.assignor", roles: forConsumer, typ: configdef.String, fine: []string{""}, refuse: "sinks use the classic group protocol"},
	{name: "session.timeout.ms", roles: forConsumer, typ: configdef.Int, apply: ms(func(r *reader, n int64) { r.sessionMs = n })},
	{name: "heartbeat.interval.ms", roles: forConsumer, typ: configdef.Int, apply: ms(func(r *reader, n int64) { r.heartbeatMs = n })},
	{name: "max.poll.interval.ms", roles: forConsumer, typ: configdef.Int, hasMin: true, min: 1, apply: func(r *reader, _ string, n int64) {
		d := max(time.Duration(n)*time.Millisecond, 100*time.Millisecond)
		r.ages.group = append(r.ages.group, kgo.RebalanceTimeout(d))
	}},
	{name: "max.poll.records", roles: forConsumer, typ: configdef.Int, hasMin: true, min: 1, apply: func(r *reader, _ string, n int64) { r.res.MaxPollRecords = int(n) }},
	{name: "partition.assignment.strategy", roles: forConsumer, typ: configdef.List, apply: assignors},
	{name: "enable.auto.commit", roles: forConsumer, typ: configdef.Boolean, fine: []string{"false"}, refuse: "a sink commits what it has written"},
	{name: "auto.commit.interval.ms", roles: forConsumer, typ: configdef.Int, note: "a sink commits what it has written, every offset.flush.interval.ms of the worker"},
	{name: "auto.offset.reset", roles: forConsumer, typ: configdef.String, apply: offsetReset},
	{name: "isolation.level", roles: forConsumer, typ: configdef.String, oneOf: []string{"read_committed", "read_uncommitted"}, apply: func(r *reader, v string, _ int64) {
		if v == "read_committed" {
			r.add(kgo.FetchIsolationLevel(kgo.ReadCommitted()))
		}
	}},
	{name: "fetch.min.bytes", roles: forConsumer, typ: configdef.Int, hasMin: true, apply: func(r *reader, _ string, n int64) { r.add(kgo.FetchMinBytes(int32(n))) }},
	{name: "fetch.max.bytes", roles: forConsumer, typ: configdef.Int, hasMin: true, apply: func(r *reader, _ string, n int64) {
		r.add(kgo.FetchMaxBytes(int32(n)), kgo.BrokerMaxReadBytes(int32(max(100<<20, min(2*n, 1<<30)))))
	}},
	{name: "max.partition.fetch.bytes", roles: forConsumer, typ: configdef.Int, hasMin: true, apply: func(r *reader, _ string, n int64) { r.add(kgo.FetchMaxPartitionBytes(int32(n))) }},
	{name: "fetch.max.wait.ms", roles: forConsumer, typ: configdef.Int, hasMin: true, apply: func(r *reader, _ string, n int64) {
		r.add(kgo.FetchMaxWait(max(time.Duration(n)*time.Millisecond, 10*time.Millisecond)))
	}},
	{name: "check.crcs", roles: forConsumer, typ: configdef.Boolean, apply: func(r *reader, _ string, n int64) {
		if n == 0 {
			r.add(kgo.DisableFetchCRCValidation())
		}
	}},
	{name: "exclude.internal.topics", roles: forConsumer, typ: configdef.Boolean, note: "a sink reads the topics that topics or topics.regex name"},
	{name: "allow.auto.create.topics", roles: forConsumer, typ: configdef.Boolean, apply: func(r *reader, _ string, n int64) {
		if n == 1 {
			r.add(kgo.AllowAutoTopicCreation())
		}
	}},
	{name: "key.deserializer", roles: forConsumer, typ: configdef.Class, fine: []string{byteArrayDes}, refuse: serialNote},
	{name: "value.deserializer", roles: forConsumer, typ: configdef.Class, fine: []string{byteArrayDes}, refuse: serialNote},
}

// assignors maps Java's assignor classes.
func assignors(r *reader, v string, _ int64) {
	known := map[string]kgo.GroupBalancer{
		"RangeAssignor": kgo.RangeBalancer(), "RoundRobinAssignor": kgo.RoundRobinBalancer(),
		"StickyAssignor": kgo.StickyBalancer(), "CooperativeStickyAssignor": kgo.CooperativeStickyBalancer(),
	}
	var out []kgo.GroupBalancer
	for _, c := range configdef.SplitList(v) {
		b, ok := known[strings.TrimPrefix(c, "org.apache.kafka.clients.consumer.")]
		if !ok {
			r.problem("partition.assignment.strategy", "The 'partition.assignment.strategy' class "+c+" is not supported by millrace: use Kafka's RangeAssignor, RoundRobinAssignor, StickyAssignor or CooperativeStickyAssignor")
			return
		}
		out = append(out, b)
	}
	if len(out) > 0 {
		r.ages.group = append(r.ages.group, kgo.Balancers(out...))
	}
}

func offsetReset(r *reader, v string, _ int64) {
	switch low := strings.ToLower(v); {
	case low == "earliest" || low == "latest" || low == "none":
		r.ages.offset = low
	case strings.HasPrefix(low, "by_duration:"):
		d, ok := isoDuration(v[len("by_duration:"):])
		if !ok {
			r.problem("auto.offset.reset", "Invalid value "+v+" for configuration auto.offset.reset: the part after 'by_duration:' must be an ISO 8601 duration such as P1DT2H")
			return
		}
		r.ages.offset, r.ages.resetBack = "duration", d
	default:
		r.problem("auto.offset.reset", "Invalid value "+v+" for configuration auto.offset.reset: Invalid value `"+v+"` for configuration auto.offset.reset. The value must be either 'earliest', 'latest', 'none' or of the format 'by_duration:<PnDTnHnMn.nS>'.")
	}
}

// isoDuration reads Java's Duration form PnDTnHnMn.nS.
func isoDuration(s string) (time.Duration, bool) {
	s = strings.ToUpper(s)
	rest, ok := strings.CutPrefix(s, "P")
	if !ok || rest == "" {
		return 0, false
	}
	days, clock, _ := strings.Cut(rest, "T")
	var total time.Duration
	if days != "" {
		n, ok := strings.CutSuffix(days, "D")
		if !ok {
			return 0, false
		}
		d, err := time.ParseDuration(n + "h")
		if err != nil {
			return 0, false
		}
		total = 24 * d
	}
	if clock != "" {
		d, err := time.ParseDuration(strings.ToLower(clock))
		if err != nil {
			return 0, false
		}
		total += d
	}
	return total, total >= 0
}
