package worker

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/emit"
	"millrace/internal/errs"
	"millrace/internal/kafkaconf"
)

// DeadLetters is errors.deadletterqueue.*.
type DeadLetters struct {
	Topic       string
	Replication int // of the topic if it must be made; -1 is the broker's default
	Headers     bool
	Connector   string
	Task        int
	Producer    []kgo.Opt // seeds, security, producer.override.*
	Admin       []kgo.Opt // the same of the client that makes the topic, admin.override.*; nil: Producer
}

// failure is where a record failed, in Connect's words.
type failure struct {
	stage string // KEY_CONVERTER, VALUE_CONVERTER, HEADER_CONVERTER, TRANSFORMATION, stagePut
	class string // Java class name
}

// stagePut is the stage of records that the target refuses.
const stagePut = "TASK_PUT"

// tolerate reports a failed record and says whether the task may go on: nil, or
// the error that ends it.
func (t *SinkTask) tolerate(ctx context.Context, rec *kgo.Record, at failure, err error) error {
	t.cfg.Metrics.RecordFailed(time.Now(), t.cfg.Tolerance.Log)
	if e := t.report(ctx, rec, at, err); e != nil {
		return e
	}
	if !t.cfg.Tolerance.All {
		return &errs.Error{Java: errs.ConnectException, Msg: "Tolerance exceeded in error handler", Retriable: errs.Retriable(err), Cause: err}
	}
	t.cfg.Metrics.Skipped("tolerated").Inc()
	return nil
}

// report tells the log and the dead letter queue about a record. It returns an
// error only when the dead letter cannot be written, since going on would lose the
// record.
func (t *SinkTask) report(ctx context.Context, rec *kgo.Record, at failure, err error) error {
	if t.cfg.Tolerance.Log {
		attrs := []any{"stage", at.stage, "class", at.class, "error", err}
		if t.cfg.Tolerance.LogMessages {
			attrs = append(attrs, "topic", rec.Topic, "partition", rec.Partition, "offset", rec.Offset, "timestamp", rec.Timestamp.UnixMilli())
		}
		t.cfg.Log.Error(emit.FailedIn(t.cfg.Connector, t.cfg.Task), attrs...)
	}
	if t.dlq == nil {
		return nil
	}
	e := t.dlq.write(ctx, rec, at, err)
	t.cfg.Metrics.DeadLetter(e)
	if e != nil {
		if ctx.Err() != nil {
			return errStopping
		}
		return unrecoverable(t.dlq.refused(e))
	}
	return nil
}

// dlqWriter writes records as they were read to the dead letter queue.
type dlqWriter struct {
	cfg *DeadLetters
	cl  *kgo.Client
}

func newDLQWriter(ctx context.Context, cfg *DeadLetters, log *slog.Logger) (*dlqWriter, error) {
	if err := ensureDLQ(ctx, cfg); err != nil {
		return nil, err
	}
	opts := append([]kgo.Opt{kgo.RequiredAcks(kgo.AllISRAcks())}, cfg.Producer...)
	opts = append(opts, kgo.RecordPartitioner(dlqPartitioner()))
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, &errs.Error{Java: errs.ConnectException, Msg: "make the producer of the dead letter queue", Cause: err}
	}
	log.Info("dead letter queue ready", "topic", cfg.Topic)
	return &dlqWriter{cfg: cfg, cl: cl}, nil
}

// ensureDLQ makes the topic when it is not there. It looks first: who may write to a
// topic may not always create one.
func ensureDLQ(ctx context.Context, cfg *DeadLetters) error {
	failed := func(cause error, hint string) error {
		return &errs.Error{Java: errs.ConnectException, Msg: "Could not initialize dead letter queue with topic=" + cfg.Topic, Hint: hint, Cause: cause, Retriable: transient(cause)}
	}
	opts := cfg.Admin
	if opts == nil {
		opts = cfg.Producer
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return failed(err, "")
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	adm := kadm.NewClient(cl)
	known, err := adm.ListTopics(ctx)
	if err != nil {
		return failed(err, "")
	}
	if known.Has(cfg.Topic) {
		return nil
	}
	resp, err := adm.CreateTopics(ctx, 1, int16(cfg.Replication), nil, cfg.Topic)
	if err != nil {
		return failed(err, "")
	}
	r := resp[cfg.Topic]
	if r.Err == nil || errors.Is(r.Err, kerr.TopicAlreadyExists) {
		return nil
	}
	msg := r.ErrMessage
	if msg == "" {
		msg = r.Err.Error()
	}
	hint := "Create the topic, or let the connector's principal do it (CREATE on the topic)"
	switch {
	case errors.Is(r.Err, kerr.InvalidReplicationFactor):
		hint = "It was to be created with replication factor " + strconv.Itoa(cfg.Replication) + ". Set errors.deadletterqueue.topic.replication.factor to what the cluster can give, or create the topic"
	case errors.Is(r.Err, kerr.InvalidTopicException):
		hint = "Change errors.deadletterqueue.topic.name"
	}
	return failed(&errs.Error{Java: emit.JavaClass(r.Err), Msg: msg, Retriable: r.Err != kerr.InvalidReplicationFactor && transient(r.Err)}, hint) //nolint:errorlint // kadm hands out the error itself
}

func dlqPartitioner() kgo.Partitioner { return kgo.StickyKeyPartitioner(nil) }

// write sends the record with Connect's headers and waits for the acknowledgement:
// its offset is committed only afterwards.
func (w *dlqWriter) write(ctx context.Context, rec *kgo.Record, at failure, cause error) error {
	out := &kgo.Record{Topic: w.cfg.Topic, Key: rec.Key, Value: rec.Value, Timestamp: rec.Timestamp}
	out.Headers = append(out.Headers, rec.Headers...)
	if w.cfg.Headers {
		out.Headers = append(out.Headers, errorHeaders(w.cfg, rec, at, cause)...)
	}
	err := w.cl.ProduceSync(ctx, out).FirstErr()
	if w.cfg.Headers && errors.Is(err, kerr.MessageTooLarge) {
		// The record fitted its own topic: what makes it too large is the trace.
		out = &kgo.Record{Topic: out.Topic, Key: out.Key, Value: out.Value, Timestamp: out.Timestamp, Headers: out.Headers[:len(out.Headers)-1]}
		err = w.cl.ProduceSync(ctx, out).FirstErr()
	}
	return err
}

// refused words the failure of a write: the task ends, since going on would lose the
// record.
func (w *dlqWriter) refused(err error) error {
	hint := ""
	if errors.Is(err, kerr.MessageTooLarge) {
		hint = "Raise producer.override.max.request.size of the connector and max.message.bytes of the topic " + w.cfg.Topic
	}
	return &errs.Error{Java: errs.ConnectException, Msg: "Could not produce message to dead letter queue. topic=" + w.cfg.Topic, Hint: hint, Cause: err, Retriable: transient(err)}
}

// errorHeaders are DeadLetterQueueReporter's headers, in its order.
func errorHeaders(cfg *DeadLetters, rec *kgo.Record, at failure, cause error) []kgo.RecordHeader {
	const p = "__connect.errors."
	class, msg := errs.ConnectException, cause.Error()
	var e *errs.Error
	if errors.As(cause, &e) && e.Java != "" {
		class = e.Java
	}
	if top, ok := cause.(*errs.Error); ok && at.stage != stagePut { //nolint:errorlint // of the outer one, as Java's getMessage
		msg = top.Msg // what is behind it stands in the trace; texts of our sinks are only whole with it
	}
	h := func(k, v string) kgo.RecordHeader { return kgo.RecordHeader{Key: p + k, Value: []byte(v)} }
	return []kgo.RecordHeader{
		h("topic", rec.Topic), h("partition", strconv.Itoa(int(rec.Partition))), h("offset", strconv.FormatInt(rec.Offset, 10)),
		h("connector.name", cfg.Connector), h("task.id", strconv.Itoa(cfg.Task)), h("stage", at.stage), h("class.name", at.class),
		h("exception.class.name", class), h("exception.message", msg), h("exception.stacktrace", errs.Trace(cause)),
	}
}

func (w *dlqWriter) close() { w.cl.Close() }

// deadLetters reads errors.deadletterqueue.* of a sink task; nil without a topic.
func (t *runningTask) deadLetters(props map[string]string, id string) (*DeadLetters, error) {
	topic := strings.TrimSpace(props["errors.deadletterqueue.topic.name"])
	if topic == "" {
		return nil, nil
	}
	override, err := t.w.cfg.overrides(props, "producer.override.")
	if err != nil {
		return nil, err
	}
	kc := kafkaconf.Producer(t.w.cfg.clientProps("producer.", override, "connector-dlq-producer-"+id))
	if err := kc.Err(); err != nil {
		return nil, &errs.Error{Java: errs.ConfigException, Msg: err.Error()}
	}
	admin, err := t.w.cfg.overrides(props, "admin.override.")
	if err != nil {
		return nil, err
	}
	ka := kafkaconf.Admin(t.w.cfg.clientProps("admin.", admin, "connector-dlq-adminclient-"+id))
	if err := ka.Err(); err != nil {
		return nil, &errs.Error{Java: errs.ConfigException, Msg: err.Error()}
	}
	replication := 3
	if v := strings.TrimSpace(props["errors.deadletterqueue.topic.replication.factor"]); v != "" {
		if replication, err = strconv.Atoi(v); err != nil {
			return nil, &errs.Error{Java: errs.ConfigException, Msg: "errors.deadletterqueue.topic.replication.factor must be a number, it is " + v}
		}
	}
	return &DeadLetters{Topic: topic, Replication: replication, Connector: t.s.name, Task: t.id, Producer: kc.Opts, Admin: ka.Opts,
		Headers: strings.EqualFold(strings.TrimSpace(props["errors.deadletterqueue.context.headers.enable"]), "true")}, nil
}
