package metrics

import (
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A task's numbers appear under Connect's and Debezium's names, and vanish with
// their connector.
func TestConnectNames(t *testing.T) {
	s := New()
	src := s.Task("orders", "0")
	src.Describe(Info{Kind: Source, Plugin: "mysql", Server: "shop", QueueSize: 8000})
	src.Capacity(1000)
	src.QueueBytes.Set(250)
	src.Events().Seen('u')
	src.Transaction()
	src.Binlog(4711, true)
	src.HistoryRecovery(time.Now(), 0, false)
	src.HistoryRecovery(time.Now(), 3, true)
	src.Incremental(IncrementalPaused)
	src.Running(true)
	src.Took(7, time.Millisecond)
	src.Records.Add(5)
	src.Skipped("tolerated").Inc()
	src.Skipped("transform").Inc()
	src.SnapshotRows("public.t").Add(3)
	src.SnapshotBegins(3)
	src.SnapshotRemaining(2)
	running := scrape(t, s)
	src.SnapshotEnds(SnapshotCompleted)
	for _, line := range []string{`RemainingTableCount{context="snapshot",name="shop",plugin="mysql",task="0"} 2`, `SnapshotRunning{context="snapshot",name="shop",plugin="mysql",task="0"} 1`} {
		if !strings.Contains(running, "debezium_metrics_"+line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
	src.Lag.Observe(0.75)
	src.Lag.Observe(0.25)
	src.Commit(2*time.Millisecond, nil)
	sink := s.Task("copy", "1")
	sink.Describe(Info{Kind: Sink})
	sink.SinkRows.Add(7)
	sink.Partitions(4)
	sink.PutTook(10 * time.Millisecond)
	sink.Commit(0, errors.New("no"))
	sink.DeadLetter(nil)
	s.Task("unknown", "0").Records.Inc() // not described: no series under these names
	want := `
# HELP kafka_connect_source_task_source_record_poll_total Records that the source has given.
# TYPE kafka_connect_source_task_source_record_poll_total counter
kafka_connect_source_task_source_record_poll_total{connector="orders",task="0"} 7
# HELP kafka_connect_task_error_total_records_skipped Records that errors.tolerance=all let go.
# TYPE kafka_connect_task_error_total_records_skipped counter
kafka_connect_task_error_total_records_skipped{connector="copy",task="1"} 0
kafka_connect_task_error_total_records_skipped{connector="orders",task="0"} 1
# HELP kafka_connect_sink_task_partition_count Partitions of the task.
# TYPE kafka_connect_sink_task_partition_count gauge
kafka_connect_sink_task_partition_count{connector="copy",task="1"} 4
# HELP kafka_connect_connector_task_offset_commit_failure_percentage Part of the commits of offsets that did not.
# TYPE kafka_connect_connector_task_offset_commit_failure_percentage gauge
kafka_connect_connector_task_offset_commit_failure_percentage{connector="copy",task="1"} 1
kafka_connect_connector_task_offset_commit_failure_percentage{connector="orders",task="0"} 0
# HELP debezium_metrics_MilliSecondsBehindSource Age of the newest change when Kafka had it.
# TYPE debezium_metrics_MilliSecondsBehindSource gauge
debezium_metrics_MilliSecondsBehindSource{context="streaming",name="shop",plugin="mysql",task="0"} 250
# HELP debezium_metrics_RowsScanned Rows read by snapshots.
# TYPE debezium_metrics_RowsScanned counter
debezium_metrics_RowsScanned{context="snapshot",name="shop",plugin="mysql",table="public.t",task="0"} 3
# HELP debezium_metrics_SnapshotCompleted 1 when the last snapshot was completed.
# TYPE debezium_metrics_SnapshotCompleted gauge
debezium_metrics_SnapshotCompleted{context="snapshot",name="shop",plugin="mysql",task="0"} 1
`
	for _, x := range []string{`QueueTotalCapacity{context="streaming",C} 8000`, `QueueRemainingCapacity{context="streaming",C} 6000`, `TotalNumberOfUpdateEventsSeen{context="streaming",C} 1`,
		`TotalNumberOfDeleteEventsSeen{context="streaming",C} 0`, `NumberOfCommittedTransactions{context="streaming",C} 1`, `BinlogPosition{context="streaming",C} 4711`, `IsGtidModeEnabled{context="streaming",C} 1`,
		`MilliSecondsBehindSourceMinValue{context="streaming",C} 250`, `MilliSecondsBehindSourceMaxValue{context="streaming",C} 750`, `MilliSecondsBehindSourceAverageValue{context="streaming",C} 500`,
		`ChangesRecovered{context="schema-history",C} 3`, `ChangesApplied{context="schema-history",C} 0`, `MilliSecondsSinceLastAppliedChange{context="schema-history",C} -1`, `SnapshotPaused{context="snapshot",C} 1`} {
		want += "debezium_metrics_" + strings.ReplaceAll(x, "C}", `name="shop",plugin="mysql",task="0"}`) + "\n"
	}
	got := scrape(t, s)
	for _, line := range strings.Split(strings.TrimSpace(want), "\n") {
		if !strings.Contains(got, line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
	if strings.Contains(got, `kafka_connect_source_task_source_record_poll_total{connector="unknown"`) {
		t.Error("a task that nobody described has a series")
	}
	s.Forget("orders")
	s.Forget("copy")
	if got := scrape(t, s); strings.Contains(got, `"orders"`) || strings.Contains(got, `"copy"`) {
		t.Error("series of connectors that are gone are left")
	}
}

func scrape(t *testing.T, s *Set) string {
	t.Helper()
	rec := httptest.NewRecorder()
	promhttp.HandlerFor(s.Registry, promhttp.HandlerOpts{}).ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	return rec.Body.String()
}
