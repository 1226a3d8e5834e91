package worker

import (
	"context"
	"fmt"
	"testing"
	"time"

	"millrace/internal/convert"
	"millrace/internal/metrics"
	"millrace/internal/record"
)

// swallow is a sink that takes everything.
type swallow struct{}

func (swallow) Start(context.Context) error              { return nil }
func (swallow) Put(context.Context, *record.Batch) error { return nil }
func (swallow) Flush(context.Context) error              { return nil }
func (swallow) Stop() error                              { return nil }

// TestSinkCountsByTopic: rows, bytes, put time and the lag since the source's commit
// are counted per topic.
func TestSinkCountsByTopic(t *testing.T) {
	rig := newSinkRig(t, 1)
	set := metrics.New()
	cfg := rig.config(t, "counted")
	cfg.Metrics = set.Task("counted", "0")
	var err error
	if cfg.Value, err = convert.NewJSON(nil, false); err != nil {
		t.Fatal(err)
	}
	field := `{"type":"int64","optional":true,"field":%q}`
	flat := `{"type":"struct","fields":[` + fmt.Sprintf(field, "__source_ts_ms") + `]}`
	whole := `{"type":"struct","fields":[{"type":"struct","optional":true,"field":"source","fields":[` + fmt.Sprintf(field, "ts_ms") + `]}]}`
	at := time.Now().Add(-time.Hour).UnixMilli()
	rig.produce(t, 0,
		fmt.Sprintf(`{"schema":%s,"payload":{"source":{"ts_ms":%d}}}`, whole, at),
		fmt.Sprintf(`{"schema":%s,"payload":{"__source_ts_ms":%d}}`, flat, at),
		`{"schema":{"type":"string"},"payload":"without"}`)
	_, stop := run(t, cfg, swallow{})
	rig.awaitCommit(t, "connect-counted", 3)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	families, err := set.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case "millrace_sink_topic_records_total":
				seen++
				if m.GetCounter().GetValue() != 3 {
					t.Errorf("%v records", m.GetCounter().GetValue())
				}
			case "millrace_sink_topic_lag_seconds":
				seen++
				if sum := m.GetHistogram().GetSampleSum(); m.GetHistogram().GetSampleCount() != 3 || sum < 7200 || sum > 7200+600 {
					t.Errorf("lag: %v", m.GetHistogram())
				}
			case "millrace_sink_topic_put_seconds", "millrace_sink_topic_bytes_total":
				seen++
			}
		}
	}
	if seen != 4 {
		t.Errorf("%d of 4 series", seen)
	}
	set.Forget("counted")
	families, err = set.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "millrace_sink_topic_records_total" {
			t.Error("the series of a deleted connector stay")
		}
	}
}

// The time of the commit is found in values without schema, too.
func TestSinkCommitTimes(t *testing.T) {
	bare, err := convert.NewJSON(map[string]string{"schemas.enable": "false"}, false)
	if err != nil {
		t.Fatal(err)
	}
	task := NewSinkTask(SinkConfig{Connector: "c"}, swallow{})
	for text, want := range map[string]int64{
		`{"before":null,"source":{"lsn":5,"ts_ms":17},"ts_ms":9}`: 17, `{"id":1,"__source_ts_ms":18}`: 18,
		`{"source":{"ts_ms":"soon"}}`: 0, `{"source":17}`: 0, `{"id":1}`: 0, `[17]`: 0, `17`: 0, `null`: 0} {
		var b record.Batch
		r := b.Append()
		if r.ValueSchema, r.Value, err = bare.Decode(t.Context(), &record.Topic{Name: "t"}, []byte(text), &b); err != nil {
			t.Fatal(err)
		}
		if got := task.committed(&b, r); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}
