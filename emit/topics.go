package emit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/internal/errs"
	"millrace/internal/kafkaconf"
)

// Topics is the TopicMaker of a source task: it creates topics by the rules of
// the connector, or sees to it that the broker does.
type Topics struct {
	client *kgo.Client
	rules  *TopicRules
	log    *slog.Logger
	most   int32 // max.request.size
	packed bool  // the producer compresses

	mu    sync.Mutex
	known map[string]topicLimits
}

// topicLimits are the settings of a topic that make it refuse records.
type topicLimits struct {
	bytes   int32 // max.message.bytes if it is below max.request.size, else 0
	compact bool  // cleanup.policy has compact: no record without key
}

// NewTopics makes a TopicMaker. client is the task's admin client (the caller
// closes it), rules what ParseTopicRules gave; nil rules, also passed when the
// worker says topic.creation.enable=false, leave creation to the broker.
// producer is what kafkaconf.Producer made of the producer's properties.
func NewTopics(client *kgo.Client, rules *TopicRules, producer *kafkaconf.Result, log *slog.Logger) *Topics {
	return &Topics{client: client, rules: rules, log: log, most: int32(producer.MaxRequestSize), packed: producer.Compressed, known: map[string]topicLimits{}}
}

// ProducerOpts must be added to the options of the task's producer: they make
// record batches small enough for topics with a low max.message.bytes. Java's
// producer splits a batch that the broker refuses; ours never makes it.
func (t *Topics) ProducerOpts() []kgo.Opt {
	return []kgo.Opt{kgo.ProducerBatchMaxBytesFn(t.batchLimit)}
}

func (t *Topics) batchLimit(topic string) int32 {
	if n := t.limits(topic).bytes; n > 0 {
		return n
	}
	return max(t.most, 512)
}

func (t *Topics) limits(topic string) topicLimits {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known[topic]
}

// recordLimits tells what a record for the topic must keep to: its size in bytes,
// the setting that says so, and whether it needs a key.
func (t *Topics) recordLimits(topic string) (bytes int, setting string, needsKey bool) {
	l := t.limits(topic)
	if l.bytes > 0 {
		return int(l.bytes), "max.message.bytes", l.compact
	}
	return int(t.most), "max.request.size", l.compact
}

// pause between attempts while Kafka cannot be reached, and how long to wait for
// a topic that somebody else must create before saying so.
const (
	topicRetryFirst = 5 * time.Millisecond // a broker shows a new topic after 10 to 30 ms
	topicRetryMost  = 5 * time.Second
	topicComplain   = time.Minute
)

// Ensure returns when the topic exists. While Kafka cannot be reached it waits.
func (t *Topics) Ensure(ctx context.Context, topic string) error {
	pause := topicRetryFirst
	begun := time.Now()
	complain := begun.Add(10 * time.Second)
	for {
		err := t.once(ctx, topic)
		if err == nil {
			t.learnLimits(ctx, topic)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !transient(err) {
			return err
		}
		if now := time.Now(); now.After(complain) {
			complain = now.Add(topicComplain)
			t.log.Warn("waiting for a topic", "topic", topic, "since", now.Sub(begun).Round(time.Second).String(), "err", err,
				"hint", "let the broker create topics, or set topic.creation.default.partitions and .replication.factor, or create the topic")
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		pause = min(pause*3/2, topicRetryMost)
	}
}

// transient errors go away by themselves, or when somebody creates the topic.
func transient(err error) bool {
	var e *errs.Error
	if errors.As(err, &e) {
		return e.Retriable
	}
	return true // network
}

// once looks for the topic and creates it if it is missing.
func (t *Topics) once(ctx context.Context, topic string) error {
	found, err := t.describe(ctx, topic, t.rules == nil)
	if err != nil || found {
		return err
	}
	if t.rules == nil {
		return &errs.Error{Java: kafkaErrors + "UnknownTopicOrPartitionException", Msg: "topic '" + topic + "' does not exist", Retriable: true}
	}
	g := t.rules.group(topic)
	t.log.Debug("creating topic", "topic", topic, "group", g.name, "partitions", g.partitions, "replication_factor", g.replication)
	resp, err := kadm.NewClient(t.client).CreateTopics(ctx, g.partitions, g.replication, g.settings, topic)
	if err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	r := resp[topic]
	switch {
	case r.Err == nil || errors.Is(r.Err, kerr.TopicAlreadyExists):
		// The controller has it; the brokers follow within milliseconds.
		return &errs.Error{Java: kafkaErrors + "UnknownTopicOrPartitionException", Msg: "topic '" + topic + "' was created and no broker shows it yet", Retriable: true}
	case kerr.IsRetriable(r.Err) && !errors.Is(r.Err, kerr.InvalidReplicationFactor):
		return fmt.Errorf("create topic %s: %w", topic, r.Err)
	case errors.Is(r.Err, kerr.TopicAuthorizationFailed), errors.Is(r.Err, kerr.ClusterAuthorizationFailed):
		return &errs.Error{Java: errs.ConnectException, Msg: fmt.Sprintf("Task failed to create new topic (name=%s, numPartitions=%d, replicationFactor=%d). Ensure that the task is authorized to create topics or that the topic exists and restart the task", topic, g.partitions, g.replication)}
	}
	msg := r.ErrMessage
	if msg == "" {
		msg = r.Err.Error()
	}
	return &errs.Error{Java: errs.ConnectException, Msg: fmt.Sprintf("Unable to create topic(s) '%s': %s", topic, msg),
		Cause: &errs.Error{Java: JavaClass(r.Err), Msg: msg}}
}

const kafkaErrors = "org.apache.kafka.common.errors."

// JavaClass names a broker's error as Java does: INVALID_REPLICATION_FACTOR is
// InvalidReplicationFactorException.
func JavaClass(err error) string {
	var ke *kerr.Error
	if !errors.As(err, &ke) {
		return errs.ConnectException
	}
	switch ke {
	case kerr.InvalidConfig:
		return kafkaErrors + "InvalidConfigurationException"
	case kerr.InvalidTopicException:
		return kafkaErrors + "InvalidTopicException"
	}
	var sb strings.Builder
	for _, w := range strings.Split(strings.ToLower(ke.Message), "_") {
		if w != "" {
			sb.WriteString(strings.ToUpper(w[:1]) + w[1:])
		}
	}
	return kafkaErrors + sb.String() + "Exception"
}

// describe reports whether the topic exists; with create the broker is asked to
// create it, as a producer does.
func (t *Topics) describe(ctx context.Context, topic string, create bool) (bool, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = create
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = &topic
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(ctx, t.client)
	if err != nil {
		return false, fmt.Errorf("ask for topic %s: %w", topic, err)
	}
	for i := range resp.Topics {
		switch err := kerr.ErrorForCode(resp.Topics[i].ErrorCode); {
		case err == nil:
			return true, nil
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			return false, nil
		case kerr.IsRetriable(err):
			return false, fmt.Errorf("ask for topic %s: %w", topic, err)
		case errors.Is(err, kerr.InvalidTopicException):
			cause := &errs.Error{Java: invalidTopic, Msg: "Invalid topics: [" + topic + "]"}
			if t.rules != nil { // Connect looks before it sends
				return false, &errs.Error{Java: errs.ConnectException, Msg: "Error while attempting to describe topics '" + topic + "'", Cause: cause}
			}
			return false, sendFailure(cause)
		case errors.Is(err, kerr.TopicAuthorizationFailed):
			return false, sendFailure(&errs.Error{Java: kafkaErrors + "TopicAuthorizationException", Msg: "Not authorized to access topics: [" + topic + "]",
				Hint: "Grant DESCRIBE and WRITE on the topic to the connector's principals"})
		default:
			return false, sendFailure(&errs.Error{Java: JavaClass(err), Msg: err.Error()})
		}
	}
	return false, nil
}

const (
	invalidTopic = kafkaErrors + "InvalidTopicException"
	sendFailed   = "Unrecoverable exception from producer send callback"
)

// refusedName reports whether a record cannot be sent since its topic's name is
// none, which errors.tolerance=all skips; other failures of a topic concern all
// that is sent to it.
func refusedName(err error) bool {
	var e, cause *errs.Error
	return errors.As(err, &e) && e.Msg == sendFailed && errors.As(e.Cause, &cause) && cause.Java == invalidTopic
}

// sendFailure wraps what Java's producer would report from its callback.
func sendFailure(cause error) error {
	return &errs.Error{Java: errs.ConnectException, Msg: sendFailed, Retriable: errs.Retriable(cause), Cause: cause}
}

// learnLimits asks for the topic's settings. Not being allowed to know them is no
// error: then the broker's answer tells.
func (t *Topics) learnLimits(ctx context.Context, topic string) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	got, err := kadm.NewClient(t.client).DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return
	}
	var l topicLimits
	for _, rc := range got {
		for _, c := range rc.Configs {
			switch {
			case c.Value == nil:
			case c.Key == "cleanup.policy":
				l.compact = strings.Contains(*c.Value, "compact")
			case c.Key == "max.message.bytes" && !t.packed: // a limit on compressed bytes, which nobody knows yet
				if n, err := strconv.Atoi(*c.Value); err == nil && n > 0 && int32(n) < t.most {
					l.bytes = int32(max(n, 512))
				}
			}
		}
	}
	t.mu.Lock()
	t.known[topic] = l
	t.mu.Unlock()
}
