package worker

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/emit"
	"millrace/internal/convert"
	"millrace/internal/errs"
	"millrace/internal/metrics"
	"millrace/internal/record"
	"millrace/internal/testkit"
)

// deadLetters reads n records of a topic.
func deadLetters(t *testing.T, addrs []string, topic string, n int) []*kgo.Record {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.ConsumeTopics(topic))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out []*kgo.Record
	for len(out) < n {
		f := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d dead letters", len(out), n)
		}
		out = append(out, f.Records()...)
	}
	return out
}

// errorHeader is one of Connect's headers; "-" when it is not there.
func errorHeader(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == "__connect.errors."+name {
			return string(h.Value)
		}
	}
	return "-"
}

// A batch of which nothing is left is committed, each record is a dead letter with
// what Connect writes (recorded with FileStreamSink), and the series count as there.
func TestDeadLettersOfConverters(t *testing.T) {
	rig := newSinkRig(t, 1)
	rig.produce(t, 0, "not json", `{"a":1}`)
	set := metrics.New()
	cfg := rig.config(t, "letters")
	cfg.Metrics = set.Task("letters", "0")
	cfg.Metrics.Describe(metrics.Info{Kind: metrics.Sink})
	js, err := convert.NewJSON(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Value, cfg.ValueClass = js, "org.apache.kafka.connect.json.JsonConverter"
	cfg.Tolerance = emit.Tolerance{All: true, Log: true}
	cfg.DLQ = &DeadLetters{Topic: "letters-dlq", Replication: 1, Headers: true, Connector: "letters", Producer: []kgo.Opt{kgo.SeedBrokers(rig.addrs...)}}
	_, stop := run(t, cfg, newCollect())
	rig.awaitCommit(t, "connect-letters", 2)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	got := deadLetters(t, rig.addrs, "letters-dlq", 2)
	for i, want := range []string{"Converting byte[] to Kafka Connect data failed due to serialization error: ", `JsonConverter with schemas.enable requires "schema" and "payload" fields and may not contain additional fields. If you are trying to deserialize plain JSON data, set schemas.enable=false in your converter configuration.`} {
		for name, want := range map[string]string{"stage": "VALUE_CONVERTER", "class.name": "org.apache.kafka.connect.json.JsonConverter", "exception.class.name": errs.DataException, "exception.message": want} {
			if got := errorHeader(got[i], name); got != want {
				t.Errorf("record %d, %s:\n got %s\nwant %s", i, name, got, want)
			}
		}
		if trace := errorHeader(got[i], "exception.stacktrace"); !strings.HasPrefix(trace, errs.DataException+": "+want+"\n\t") && !strings.HasPrefix(trace, errs.DataException+": "+want+"\nCaused by: "+errs.SerializationException) {
			t.Errorf("trace %s", trace)
		}
	}
	w := httptest.NewRecorder()
	promhttp.HandlerFor(set.Registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	for _, line := range []string{"task_error_total_record_failures 2", "task_error_total_record_errors 2", "task_error_total_records_skipped 2", "task_error_total_retries 0", "task_error_total_errors_logged 2",
		"task_error_deadletterqueue_produce_requests 2", "task_error_deadletterqueue_produce_failures 0", "sink_task_sink_record_read_total 2", "sink_task_sink_record_send_total 0", "sink_task_sink_record_active_count 0"} {
		name, value, _ := strings.Cut(line, " ")
		if line := "kafka_connect_" + name + `{connector="letters",task="0"} ` + value + "\n"; !strings.Contains(w.Body.String(), line) {
			t.Errorf("missing: %s", line)
		}
	}
}

// A record that only its trace makes too large for the queue goes there without it; one
// that does not fit ends the task, since going on would lose it.
func TestDeadLetterTooLarge(t *testing.T) {
	rig := newSinkRig(t, 1)
	rig.produce(t, 0, "bad", strings.Repeat("x", 2000))
	s := newCollect()
	s.put = func(b *record.Batch) error {
		e := &RecordError{}
		for i := range b.Records {
			e.Bad = append(e.Bad, errs.BadRecord{Index: i, Err: &errs.Error{Java: errs.DataException, Msg: strings.Repeat("y", 600)}})
		}
		return e
	}
	cfg := rig.config(t, "large")
	cfg.Tolerance = emit.Tolerance{All: true}
	cfg.DLQ = &DeadLetters{Topic: "large-dlq", Replication: 1, Headers: true, Connector: "large", Producer: []kgo.Opt{kgo.SeedBrokers(rig.addrs...), kgo.ProducerBatchMaxBytes(1536), kgo.ProducerBatchCompression(kgo.NoCompression())}}
	task, _ := run(t, cfg, s)
	trace := errs.Trace(waitEnd(t, task))
	if !strings.Contains(trace, "\nCaused by: "+errs.ConnectException+": Could not produce message to dead letter queue. topic=large-dlq\n\t... Raise producer.override.max.request.size") {
		t.Errorf("trace %s", trace)
	}
	got := deadLetters(t, rig.addrs, "large-dlq", 1)
	if m := errorHeader(got[0], "exception.message"); len(m) != 600 {
		t.Errorf("message %q", m)
	}
	if s := errorHeader(got[0], "exception.stacktrace"); s != "-" {
		t.Errorf("trace %q", s)
	}
}

// The topic is only made when it is not there, and its failure is worded as Connect's.
func TestDeadLetterTopic(t *testing.T) {
	addr := testkit.Kafka(t)
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	topic := testkit.Name("dlq")
	t.Cleanup(func() { _, _ = adm.DeleteTopics(context.WithoutCancel(t.Context()), topic) })
	try := func(topic string, replication int) error {
		cfg := &DeadLetters{Topic: topic, Replication: replication, Producer: []kgo.Opt{kgo.SeedBrokers(addr)}}
		w, err := newDLQWriter(t.Context(), cfg, slog.New(slog.DiscardHandler))
		if err == nil {
			w.close()
		}
		return err
	}
	fails := func(topic string, replication int, cause, hint string) {
		t.Helper()
		trace := errs.Trace(try(topic, replication))
		want := errs.ConnectException + ": Could not initialize dead letter queue with topic=" + topic + "\n\t... "
		if !strings.HasPrefix(trace, want) || !strings.Contains(trace, "\nCaused by: org.apache.kafka.common.errors."+cause+": ") || !strings.Contains(trace, hint) {
			t.Errorf("trace %s", trace)
		}
	}
	fails(topic, 1000, "InvalidReplicationFactorException", "replication factor 1000. Set errors.deadletterqueue.topic.replication.factor")
	fails(topic, 0, "InvalidReplicationFactorException", "replication factor 0.")
	fails("no topic/!", 1, "InvalidTopicException", "Change errors.deadletterqueue.topic.name")
	if err := try(topic, -1); err != nil { // the broker's default
		t.Fatal(err)
	}
	if err := try(topic, 1000); err != nil {
		t.Errorf("a topic that is there: %v", err)
	}
	made, err := adm.ListTopics(t.Context(), topic)
	if err != nil || len(made[topic].Partitions) != 1 {
		t.Errorf("%v, %v", made[topic], err)
	}
}
