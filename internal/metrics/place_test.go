package metrics

import (
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// value reads a gauge, series counts those of a collector.
func value(g prometheus.Metric) float64 {
	var m dto.Metric
	_ = g.Write(&m)
	return m.GetGauge().GetValue()
}

func series(c prometheus.Collector) int {
	ch := make(chan prometheus.Metric, 100)
	c.Collect(ch)
	return len(ch)
}

// TestPlaceDatesTheLog: the age of a place is how long ago the log had its end there.
func TestPlaceDatesTheLog(t *testing.T) {
	set := New()
	task := set.Task("c", "0")
	p := task.SourcePlace()
	at := func(s int) time.Time { return time.Unix(1_000_000+int64(s), 0) }
	age := func(s Stage) float64 { return value(set.places.age.WithLabelValues("c", "0", string(s))) }

	old := at(-60).UnixMicro()
	p.Set(at(0), 1000, Reached{StageRead, 400, old}, Reached{StageAcknowledged, 400, 0}, Reached{StageConfirmed, 1000, 0})
	if age(StageRead) != 60 || age(StageAcknowledged) != 0 || age(StageConfirmed) != 0 {
		t.Errorf("first sample: %v %v %v", age(StageRead), age(StageAcknowledged), age(StageConfirmed))
	}
	p.Set(at(10), 2000, Reached{StageRead, 2500, 0}, Reached{StageAcknowledged, 1500, 0}, Reached{StageConfirmed, 1000, 0})
	if age(StageRead) != 0 || age(StageAcknowledged) != 5 || age(StageConfirmed) != 10 {
		t.Errorf("second sample: %v %v %v", age(StageRead), age(StageAcknowledged), age(StageConfirmed))
	}
	if v := value(task.SlotLag); v != 1000 {
		t.Errorf("the old series says %v", v)
	}
	p.Keep(Kept{Bytes: 1000, Budget: 5000, Left: 4000, Expires: math.NaN()})
	if v := value(set.places.full.WithLabelValues("c", "0")); v != 40 {
		t.Errorf("full in %v s", v)
	}
	if n := series(set.places.expires); n != 0 {
		t.Errorf("%d series of what is not known", n)
	}
	for i := range 3 * samplesKept { // thinned out, it still knows
		p.Set(at(11+i), 2000+uint64(i)*100, Reached{StageRead, 1500, 0})
	}
	if got, want := age(StageRead), float64(11+3*samplesKept-1-5); math.Abs(got-want) > 6 {
		t.Errorf("a place of long ago: %v s, want about %v", got, want)
	}
	p.Set(at(5000), 10, Reached{StageRead, 0, 0}) // another log
	if age(StageRead) != 0 {
		t.Errorf("a new log: %v", age(StageRead))
	}
	p.Unknown()
	if n := series(set.places.age) + series(set.places.kept); n != 0 {
		t.Errorf("%d series when nothing is known", n)
	}
}

func TestTablesOfASnapshot(t *testing.T) {
	set := New()
	task := set.Task("c", "0")
	task.Describe(Info{Kind: Source})
	rows := task.SnapshotRows("a.b")
	rows.Add(5) // an earlier snapshot
	task.SnapshotTable("a.b", 100, 0)
	rows.Add(7)
	task.SnapshotTableDone("a.b")
	task.Topic("t").Add(3)
	task.Incremental(IncrementalPaused)
	for i := range mostTopics + 5 {
		task.Topic("x" + time.Duration(i).String()).Add(1)
	}
	found := map[string]float64{}
	families, err := set.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			found[f.GetName()] += m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	for name, want := range map[string]float64{"millrace_snapshot_rows_total": 12, "millrace_snapshot_table_rows": 7, "millrace_snapshot_table_expected_rows": 100,
		"millrace_snapshot_table_done": 1, "millrace_incremental_snapshot_state": 2, "millrace_source_topic_records_total": 3 + mostTopics + 5} {
		if found[name] != want {
			t.Errorf("%s is %v, want %v", name, found[name], want)
		}
	}
	if len(task.stats.topics) != mostTopics+1 {
		t.Errorf("%d topics", len(task.stats.topics))
	}
	set.Forget("c")
	if families, _ := set.Registry.Gather(); len(families) != 0 {
		t.Errorf("%d families of a connector that is gone", len(families))
	}
}
