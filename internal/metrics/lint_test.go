package metrics

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// Our own names keep Prometheus' conventions (promtool check metrics); Connect's and
// Debezium's are what they are, but all of it must be readable.
func TestNamesKeepConventions(t *testing.T) {
	s := New()
	src, sink := s.Task("orders", "0"), s.Task("copy", "0")
	src.Describe(Info{Kind: Source, Plugin: "mysql", Server: "shop", QueueSize: 8000})
	sink.Describe(Info{Kind: Sink})
	src.Took(3, time.Second)
	src.TransactionSize(3)
	src.Records.Add(3)
	src.Lag.Observe(1)
	src.Skipped("tolerated").Inc()
	src.SnapshotBegins(1)
	src.SnapshotTable("t", 10, 0)
	src.SnapshotRows("t").Inc()
	src.Topic("t").Add(1)
	src.CatalogRereads("rows").Inc()
	src.SourcePlace().Set(time.Now(), 100, Reached{Stage: StageRead, At: 50})
	sink.SinkPlace().Set(time.Now(), 100, Reached{Stage: StageWritten, At: 50})
	sink.SinkRows.Inc()
	sink.SinkTopic("t").Lag.Observe(1)
	sink.PutTook(time.Second)
	s.Restarts("orders").Inc()
	problems, err := promlint.New(strings.NewReader(scrape(t, s))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "millrace_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	for _, name := range []string{"orders", "copy"} {
		s.Retire(name, "0")
		for _, line := range strings.Split(scrape(t, s), "\n") {
			if strings.HasPrefix(line, "kafka_connect_") || strings.HasPrefix(line, "debezium_") || strings.HasPrefix(line, "millrace_source_position") {
				if strings.Contains(line, `"`+name+`"`) {
					t.Errorf("left of a task that has gone: %s", line)
				}
			}
		}
	}
}

// A maximum falls again, a mean is one of what was lately, a rate that of the last minute.
func TestMeterForgets(t *testing.T) {
	var m meter
	var p pace
	at := time.Unix(1000, 0)
	m.add(at, 100)
	m.add(at.Add(20*time.Second), 20)
	if mean, top := m.read(at.Add(40 * time.Second)); mean != 60 || top != 100 {
		t.Errorf("mean %v, most %v", mean, top)
	}
	m.add(at.Add(45*time.Second), 40)
	if mean, top := m.read(at.Add(75 * time.Second)); mean != 40 || top != 40 {
		t.Errorf("later: mean %v, most %v", mean, top)
	}
	if mean, top := m.read(at.Add(10 * time.Minute)); mean != 0 || top != 0 {
		t.Errorf("nothing: mean %v, most %v", mean, top)
	}
	p.rate(at, 0)
	if r := p.rate(at.Add(10*time.Second), 50); r != 5 {
		t.Errorf("rate %v", r)
	}
	if r := p.rate(at.Add(10*time.Minute), 50); r != 0 {
		t.Errorf("rate of nothing %v", r)
	}
	var r ratios
	r.begin(at)
	r.set(at, stateRunning)
	r.set(at.Add(30*time.Second), statePaused)
	r.begin(at.Add(40 * time.Second)) // a source that goes on
	r.set(at.Add(40*time.Second), stateRunning)
	if run, paused := r.read(at.Add(100 * time.Second)); run != 0.9 || paused != 0.1 {
		t.Errorf("ran %v, paused %v", run, paused)
	}
}
