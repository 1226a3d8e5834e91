package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// mostTopics bounds the series by topic against transforms that make a topic per
// record; what comes after goes to otherTopics.
const (
	mostTopics  = 10_000
	otherTopics = "(others)"
)

// Topic returns the number of records of a topic, to add to. It is of the task's
// records that were converted for Kafka.
func (t *Task) Topic(name string) *atomic.Uint64 {
	st := t.stats
	st.mu.Lock()
	defer st.mu.Unlock()
	n := st.topics[name]
	if n == nil {
		if len(st.topics) >= mostTopics {
			name = otherTopics
		}
		if n = st.topics[name]; n == nil {
			n = &atomic.Uint64{}
			st.topics[name] = n
		}
	}
	return n
}

// tableRead is a table in the snapshot that runs or ran last.
type tableRead struct {
	rows     atomic.Uint64
	expected int64 // 0 unknown
	done     bool
}

// SnapshotTable notes a table that a snapshot will read, before its first row:
// expected is about how many rows it has, 0 when that is not known, and already how
// many of them were read before an interruption.
func (t *Task) SnapshotTable(table string, expected, already int64) {
	r := &tableRead{expected: expected}
	r.rows.Store(uint64(max(0, already)))
	t.stats.mu.Lock()
	defer t.stats.mu.Unlock()
	t.stats.reads[table] = r
}

// SnapshotTableDone notes that a table was read.
func (t *Task) SnapshotTableDone(table string) {
	t.stats.mu.Lock()
	defer t.stats.mu.Unlock()
	if r := t.stats.reads[table]; r != nil {
		r.done = true
	}
}

// IncrementalState is what the incremental snapshot of a task does.
type IncrementalState int32

// The states of an incremental snapshot, as the metric has them.
const (
	IncrementalNone IncrementalState = iota
	IncrementalRunning
	IncrementalPaused
)

// Incremental notes what the incremental snapshot does. It is cheap.
func (t *Task) Incremental(s IncrementalState) {
	if was := IncrementalState(t.stats.incremental.Swap(int32(s))); was != s {
		t.stats.log.paused(was, s, time.Now())
	}
}

// tables makes the series by topic and by table of a task.
func (st *stats) tables(ch chan<- prometheus.Metric, k taskKey, kind Kind) {
	task := []string{k.connector, k.task}
	e := emitter{ch, []string{"connector", "task"}, task}
	running := 0.0
	if st.snap.running.Load() {
		running = 1
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if len(st.reads) > 0 {
		e.gauge("millrace_snapshot_running", "1 while an initial or blocking snapshot runs.", running)
	}
	if kind == Source {
		e.gauge("millrace_incremental_snapshot_state", "Of the incremental snapshot: 0 none, 1 running, 2 paused.", float64(st.incremental.Load()))
	}
	by := emitter{ch, []string{"connector", "task", "topic"}, nil}
	for topic, n := range st.topics {
		by.strings = []string{k.connector, k.task, topic}
		by.total("millrace_source_topic_records_total", "Records made for a topic.", n)
	}
	by.names = []string{"connector", "task", "table"}
	for table, r := range st.reads {
		by.strings = []string{k.connector, k.task, table}
		by.gauge("millrace_snapshot_table_rows", "Rows of the table that the snapshot that runs, or ran last, has read.", float64(r.rows.Load()))
		if r.expected > 0 {
			by.gauge("millrace_snapshot_table_expected_rows", "Rows that it will read there, by the statistics of the server; absent when they say nothing.", float64(r.expected))
		}
		done := 0.0
		if r.done {
			done = 1
		}
		by.gauge("millrace_snapshot_table_done", "1 once it has read the table.", done)
	}
}
