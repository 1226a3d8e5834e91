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

	"millrace/internal/errs"
	"millrace/internal/kafkaconf"
)

// DeadLetters is errors.deadletterqueue.*.
type DeadLetters struct {
	Topic       string
	Replication int // of the topic if it must be made; Connect's default is 3
	Headers     bool
	Connector   string
	Task        int
	Producer    []kgo.Opt // seeds, security, producer.override.*
}

// failure is where a record failed, in Connect's words.
type failure struct {
	stage string // KEY_CONVERTER, VALUE_CONVERTER, HEADER_CONVERTER, TRANSFORMATION, TASK_PUT
	class string // Java class name
}

// tolerate reports a failed record and says whether the task may go on: nil, or
// the error that ends it.
func (t *SinkTask) tolerate(ctx context.Context, rec *kgo.Record, at failure, err error) error {
	if e := t.report(ctx, rec, at, err); e != nil {
		return e
	}
	if !t.cfg.Tolerance.All {
		return &errs.Error{Java: errs.ConnectException, Msg: "Tolerance exceeded in error handler", Cause: err}
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
		t.cfg.Log.Error("Error encountered in task "+t.cfg.Connector+"-"+strconv.Itoa(t.cfg.Task), attrs...)
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
		return unrecoverable(&errs.Error{Java: errs.ConnectException, Msg: "write a record to the dead letter queue " + t.cfg.DLQ.Topic, Cause: e})
	}
	return nil
}

// dlqWriter writes records as they were read to the dead letter queue.
type dlqWriter struct {
	cfg *DeadLetters
	cl  *kgo.Client
}

func newDLQWriter(ctx context.Context, cfg *DeadLetters, log *slog.Logger) (*dlqWriter, error) {
	opts := append([]kgo.Opt{kgo.RequiredAcks(kgo.AllISRAcks())}, cfg.Producer...)
	opts = append(opts, kgo.RecordPartitioner(dlqPartitioner()))
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, &errs.Error{Java: errs.ConnectException, Msg: "make the producer of the dead letter queue", Cause: err}
	}
	replication := cfg.Replication
	if replication == 0 {
		replication = 3
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	resp, err := kadm.NewClient(cl).CreateTopic(ctx, 1, int16(replication), nil, cfg.Topic)
	if err == nil {
		err = resp.Err
	}
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		cl.Close()
		return nil, &errs.Error{Java: errs.ConnectException, Msg: "create the dead letter queue topic " + cfg.Topic + " with replication factor " + strconv.Itoa(replication),
			Hint: "Set errors.deadletterqueue.topic.replication.factor to what the cluster can give, or create the topic", Cause: err}
	}
	log.Info("dead letter queue ready", "topic", cfg.Topic)
	return &dlqWriter{cfg: cfg, cl: cl}, nil
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
	return w.cl.ProduceSync(ctx, out).FirstErr()
}

// errorHeaders are DeadLetterQueueReporter's headers, in its order.
func errorHeaders(cfg *DeadLetters, rec *kgo.Record, at failure, cause error) []kgo.RecordHeader {
	const p = "__connect.errors."
	class, msg := errs.ConnectException, cause.Error()
	var e *errs.Error
	if errors.As(cause, &e) {
		if e.Java != "" {
			class = e.Java
		}
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
	replication := 0
	if v := strings.TrimSpace(props["errors.deadletterqueue.topic.replication.factor"]); v != "" {
		if replication, err = strconv.Atoi(v); err != nil {
			return nil, &errs.Error{Java: errs.ConfigException, Msg: "errors.deadletterqueue.topic.replication.factor must be a number, it is " + v}
		}
	}
	return &DeadLetters{Topic: topic, Replication: replication, Connector: t.s.name, Task: t.id, Producer: kc.Opts,
		Headers: strings.EqualFold(strings.TrimSpace(props["errors.deadletterqueue.context.headers.enable"]), "true")}, nil
}
