package kafkaconf

import (
	"fmt"
	"log/slog"
	"net"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/configdef"
)

// Result is what a set of properties means.
type Result struct {
	// Opts make the client. They are complete only if there are no Problems.
	Opts []kgo.Opt
	// Problems are errors in Kafka's words, one per property.
	Problems []configdef.Problem
	// Notes are known properties without effect here, with the reason.
	Notes []configdef.Problem
	// Unknown are names that no Kafka client knows.
	Unknown []string

	// MaxRequestSize is the producer's max.request.size in bytes: the size of the
	// largest record.
	MaxRequestSize int
	// Compressed: the producer's compression.type is not none.
	Compressed bool
	// GroupID is the consumer's group.id, "" if not given.
	GroupID string
	// Member are the options of a consumer that joins a group, beside Opts: timeouts,
	// instance id, assignors. They are read with and without a group.id.
	Member []kgo.Opt
	// MaxPollRecords is the consumer's max.poll.records, for kgo's PollRecords.
	MaxPollRecords int
	// RequestTimeout is request.timeout.ms.
	RequestTimeout time.Duration
}

// Err joins the problems to one error text, nil if there are none.
func (r *Result) Err() error {
	if len(r.Problems) == 0 {
		return nil
	}
	texts := make([]string, len(r.Problems))
	for i, p := range r.Problems {
		texts[i] = p.Text
	}
	return fmt.Errorf("%s", strings.Join(texts, "\n"))
}

// Log writes notes and unknown names, once per client.
func (r *Result) Log(log *slog.Logger, client string) {
	for _, n := range r.Notes {
		log.Info("property has no effect", "client", client, "property", n.Property, "reason", n.Text)
	}
	if len(r.Unknown) > 0 {
		log.Warn("unknown Kafka client properties", "client", client, "properties", strings.Join(r.Unknown, ","))
	}
}

// Producer reads the properties of a producer. Connect's defaults: acks=all, no
// limit on delivery, and (better than Connect's own one request in flight)
// idempotence on. Records for an explicit partition keep it; the others are
// placed by Kafka's own hash of the key.
func Producer(props map[string]string) Result { return read(forProducer, props, "") }

// Transactional reads the properties of a producer that writes in transactions
// under an id. Idempotence and acks=all are on, whatever the properties say, as in
// Connect; a note tells.
func Transactional(props map[string]string, id string) Result { return read(forProducer, props, id) }

// Consumer reads the properties of a sink's consumer. Connect's defaults: start
// at the earliest offset. The group is Result.GroupID, and how to be a member of one
// Result.Member: a client that reads without a group leaves both.
func Consumer(props map[string]string) Result { return read(forConsumer, props, "") }

// Admin reads the properties of an admin client.
func Admin(props map[string]string) Result { return read(forAdmin, props, "") }

// reader collects what the rows of the table say.
type reader struct {
	role  role
	props map[string]string
	res   Result
	opts  []kgo.Opt

	acks        string
	idempotent  bool
	idemSet     bool
	inFlight    int
	lingerMs    int64
	requestMs   int64
	deliveryMs  int64
	backoff     backoff
	codec       string
	codecLevels map[string]int
	partitioner string
	ignoreKeys  bool
	ages        ages
	net         dialer
	seeds       []string
	protocol    string
	sessionMs   int64
	heartbeatMs int64
	txnID       string // of a transactional producer
	txnMs       int64  // 0: the default of a minute
}

func read(as role, props map[string]string, txnID string) Result {
	r := &reader{role: as, txnID: txnID, props: props, acks: "all", idempotent: true, inFlight: 5, requestMs: 30000,
		backoff: backoff{first: 100 * time.Millisecond, most: time.Second}, codec: "none", codecLevels: map[string]int{},
		ages: ages{metadataMs: 300000}, net: dialer{setupMs: 10000, send: -1, receive: -1}, protocol: "PLAINTEXT",
		sessionMs: 45000, heartbeatMs: 3000}
	r.res.MaxRequestSize, r.res.MaxPollRecords = 1<<20, 500
	names := make([]string, 0, len(props))
	for k := range props {
		names = append(names, k)
	}
	sort.Strings(names)
	for _, name := range names {
		r.property(name, strings.TrimSpace(props[name]))
	}
	if _, ok := props["bootstrap.servers"]; !ok {
		r.problem("bootstrap.servers", `Missing required configuration "bootstrap.servers" which has no default value.`)
	}
	r.common()
	switch as {
	case forProducer:
		r.producer()
	case forConsumer:
		r.consumer()
	}
	r.res.Opts, r.res.Compressed = r.opts, r.codec != "none"
	r.res.RequestTimeout = time.Duration(r.requestMs) * time.Millisecond
	return r.res
}

func (r *reader) add(o ...kgo.Opt) { r.opts = append(r.opts, o...) }

func (r *reader) problem(name, text string) {
	r.res.Problems = append(r.res.Problems, configdef.Problem{Property: name, Text: text})
}

func (r *reader) note(name, text string) {
	r.res.Notes = append(r.res.Notes, configdef.Problem{Property: name, Text: text})
}

// property looks a name up in the table and applies it.
func (r *reader) property(name, v string) {
	row := find(name)
	if row == nil {
		r.res.Unknown = append(r.res.Unknown, name)
		return
	}
	if row.roles&r.role == 0 {
		r.res.Unknown = append(r.res.Unknown, name) // as Java: not known to this client
		return
	}
	n, text := row.check(v)
	if text != "" {
		shown := v
		if row.secret {
			shown = "[hidden]"
		}
		r.problem(name, fmt.Sprintf("Invalid value %s for configuration %s: %s", shown, name, text))
		return
	}
	if row.refuse != "" && !row.harmless(v) {
		r.problem(name, refusal(row))
		return
	}
	if row.note != "" {
		r.note(name, row.note)
	}
	if row.apply != nil {
		row.apply(r, v, n)
	}
}

func (r *reader) common() {
	r.opts = append(r.opts, kgo.SeedBrokers(r.seeds...))
	seeds := r.seeds
	r.add(kgo.OnRebootstrapRequired(func() ([]string, error) { return seeds, nil }))
	age := min(max(time.Duration(r.ages.metadataMs)*time.Millisecond, 10*time.Millisecond), time.Hour)
	r.add(kgo.MetadataMaxAge(age), kgo.MetadataMinAge(min(250*time.Millisecond, age)))
	r.add(kgo.RetryBackoffFn(r.backoff.after))
	conf := r.tls()
	r.add(kgo.Dialer(r.net.dial(conf)))
	r.sasl(conf)
}

func (r *reader) producer() {
	if r.txnID != "" {
		if r.acks != "all" && r.acks != "-1" || !r.idempotent {
			r.note("enable.idempotence", "with exactly-once the producer is idempotent and waits for all replicas (acks=all)")
		}
		r.acks, r.idempotent = "all", true
		r.add(kgo.TransactionalID(r.txnID))
		if r.txnMs > 0 {
			r.add(kgo.TransactionTimeout(time.Duration(r.txnMs) * time.Millisecond))
		}
	}
	if r.idemSet && r.idempotent && r.acks != "all" && r.acks != "-1" {
		r.problem("acks", "Must set acks to all in order to use the idempotent producer. Otherwise we cannot guarantee idempotence.")
	}
	if r.idemSet && r.idempotent && r.inFlight > 5 {
		r.problem("max.in.flight.requests.per.connection", "Must set max.in.flight.requests.per.connection to at most 5 to use the idempotent producer.")
	}
	if r.deliveryMs > 0 && r.deliveryMs < r.lingerMs+r.requestMs {
		r.problem("delivery.timeout.ms", "delivery.timeout.ms should be equal to or larger than linger.ms + request.timeout.ms")
	}
	switch r.acks {
	case "0":
		r.add(kgo.RequiredAcks(kgo.NoAck()))
		r.idempotent = false
	case "1":
		r.add(kgo.RequiredAcks(kgo.LeaderAck()))
		r.idempotent = false
	default:
		r.add(kgo.RequiredAcks(kgo.AllISRAcks()))
	}
	if r.idempotent {
		// A gap in the sequence means that the broker lost data: stop and let the
		// task start again from the stored offset instead of going on behind it.
		r.add(kgo.StopProducerOnDataLossDetected())
	} else {
		r.add(kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(1))
	}
	timeout := max(time.Duration(r.requestMs)*time.Millisecond, 100*time.Millisecond)
	r.add(kgo.ProduceRequestTimeout(timeout), kgo.ProducerLinger(time.Duration(r.lingerMs)*time.Millisecond))
	if r.deliveryMs > 0 {
		r.add(kgo.RecordDeliveryTimeout(max(time.Duration(r.deliveryMs)*time.Millisecond, time.Second)))
	}
	r.add(kgo.ProducerBatchMaxBytes(int32(max(r.res.MaxRequestSize, 512))), kgo.ProducerBatchCompression(r.compression()))
	r.add(kgo.BrokerMaxWriteBytes(int32(max(r.res.MaxRequestSize, 100<<20))))
	// The pipeline bounds what is under way in bytes; a second bound in records
	// would only block it at odd moments.
	r.add(kgo.MaxBufferedRecords(1<<20), kgo.UnknownTopicRetries(-1))
	r.add(kgo.RecordPartitioner(Partitioner(r.partitioner, r.ignoreKeys)))
}

func (r *reader) consumer() {
	r.add(kgo.ConsumeStartOffset(r.ages.start()), kgo.ConsumeResetOffset(r.ages.reset()))
	if r.heartbeatMs >= r.sessionMs {
		r.problem("heartbeat.interval.ms", "heartbeat.interval.ms must be lower than session.timeout.ms")
		return
	}
	r.res.Member = append(r.ages.group, kgo.SessionTimeout(time.Duration(r.sessionMs)*time.Millisecond),
		kgo.HeartbeatInterval(time.Duration(r.heartbeatMs)*time.Millisecond))
}

func (r *reader) compression() kgo.CompressionCodec {
	c := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}[r.codec]
	if level, ok := r.codecLevels[r.codec]; ok {
		c = c.WithLevel(level)
	}
	return c
}

// ages holds what the consumer rows collect.
type ages struct {
	metadataMs int64
	offset     string
	resetBack  time.Duration
	group      []kgo.Opt
}

func (a *ages) start() kgo.Offset {
	switch a.offset {
	case "latest":
		return kgo.NewOffset().AtEnd()
	case "none":
		return kgo.NewOffset().AtCommitted()
	case "duration":
		return kgo.NewOffset().AfterMilli(time.Now().Add(-a.resetBack).UnixMilli())
	}
	return kgo.NewOffset().AtStart()
}

func (a *ages) reset() kgo.Offset { return a.start() }

// backoff is Java's exponential backoff with 20 % jitter.
type backoff struct{ first, most time.Duration }

func (b backoff) after(fails int) time.Duration {
	d := b.first << min(max(fails-1, 0), 20)
	if d > b.most || d <= 0 {
		d = b.most
	}
	return jitter(d)
}

// servers parses bootstrap.servers.
func servers(v string) (hosts []string, text string) {
	for _, s := range configdef.SplitList(v) {
		if s == "" {
			continue
		}
		host, port, err := net.SplitHostPort(s[strings.LastIndex(s, "/")+1:])
		n, perr := strconv.Atoi(port)
		if err != nil || perr != nil || host == "" || n < 0 || n > 65535 {
			return nil, "Invalid url in bootstrap.servers: " + s
		}
		hosts = append(hosts, net.JoinHostPort(host, port))
	}
	if len(hosts) == 0 {
		return nil, "No resolvable bootstrap urls given in bootstrap.servers"
	}
	return hosts, ""
}
