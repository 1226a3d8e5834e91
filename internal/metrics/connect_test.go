package metrics

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A task's numbers appear under Connect's and Debezium's names, and vanish with
// their connector.
func TestConnectNames(t *testing.T) {
	s := New()
	src := s.Task("orders", "0")
	src.Describe(Info{Kind: Source, Plugin: "postgres", Server: "shop"})
	src.Running(true)
	src.Records.Add(5)
	src.Skipped("tolerated").Inc()
	src.Skipped("transform").Inc()
	src.SnapshotRows("public.t").Add(3)
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
debezium_metrics_MilliSecondsBehindSource{context="streaming",name="shop",plugin="postgres",task="0"} 250
# HELP debezium_metrics_RowsScanned Rows read by snapshots.
# TYPE debezium_metrics_RowsScanned counter
debezium_metrics_RowsScanned{context="snapshot",name="shop",plugin="postgres",table="public.t",task="0"} 3
`
	names := []string{"kafka_connect_source_task_source_record_poll_total", "kafka_connect_task_error_total_records_skipped", "kafka_connect_sink_task_partition_count",
		"kafka_connect_connector_task_offset_commit_failure_percentage", "debezium_metrics_MilliSecondsBehindSource", "debezium_metrics_RowsScanned"}
	if err := testutil.GatherAndCompare(s.Registry, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
	s.Forget("orders")
	s.Forget("copy")
	if n, err := testutil.GatherAndCount(s.Registry, names...); err != nil || n != 0 {
		t.Errorf("%d series are left, %v", n, err)
	}
}
