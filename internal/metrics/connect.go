package metrics

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Kind is what a task is, for the names of its series.
type Kind string

// The kinds of tasks.
const (
	Source Kind = "source"
	Sink   Kind = "sink"
)

// Info says what is needed to name a task's series as Connect and Debezium do.
type Info struct {
	Kind Kind
	// Plugin and Server are the labels plugin and name of Debezium's series (postgres,
	// the topic prefix); "" for connectors that are not Debezium's.
	Plugin, Server string
	// QueueSize is max.queue.size, in records; 0 when there is none.
	QueueSize int
}

// stats are a task's numbers, from which the series in the spelling of the usual
// jmx_exporter rules are made when they are asked for.
type stats struct {
	info Info

	written, skipped, filtered, put           atomic.Uint64
	commits, commitFails, commitNs, commitMax atomic.Uint64
	puts, putNs, putMax                       atomic.Uint64
	deadLetters, deadLetterFails, failures    atomic.Uint64
	lastError, lastEvent                      atomic.Int64 // ms; 0 never
	lagMs, queue, capacity                    atomic.Uint64
	partitions                                atomic.Int64
	running                                   atomic.Bool
	snap                                      snapshotStats
	log                                       logStats

	mu     sync.Mutex
	rows   map[string]*atomic.Uint64 // snapshot rows by table
	topics map[string]*atomic.Uint64 // records by topic
	reads  map[string]*tableRead     // of the snapshot that runs or ran last

	incremental atomic.Int32 // an IncrementalState
}

// counted adds to a number of the stats as well.
type counted struct {
	prometheus.Counter
	more func(n uint64)
}

func (c counted) Inc() { c.Add(1) }

func (c counted) Add(v float64) {
	c.Counter.Add(v)
	c.more(uint64(v))
}

// lag keeps the newest observation and the extremes.
type lag struct {
	prometheus.Observer
	st *stats
}

func (l lag) Observe(v float64) {
	l.Observer.Observe(v)
	ms := uint64(v * 1000)
	l.st.lagMs.Store(ms)
	l.st.log.lag(ms)
}

// level keeps a gauge's value.
type level struct {
	prometheus.Gauge
	value *atomic.Uint64
}

func (l level) Set(v float64) {
	l.Gauge.Set(v)
	l.value.Store(uint64(max(0, v)))
}

type taskKey struct{ connector, task string }

// statsOf are the numbers of a task, made at first use.
func (s *Set) statsOf(connector, task string) *stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := taskKey{connector, task}
	st := s.tasks[k]
	if st == nil {
		st = &stats{rows: map[string]*atomic.Uint64{}, topics: map[string]*atomic.Uint64{}, reads: map[string]*tableRead{}}
		s.tasks[k] = st
	}
	return st
}

// Describe says what the task is; without it the task has no series under the names
// of Connect and Debezium.
func (t *Task) Describe(i Info) {
	t.set.mu.Lock()
	defer t.set.mu.Unlock()
	t.stats.info = i
}

// Running tells whether the task runs.
func (t *Task) Running(yes bool) { t.stats.running.Store(yes) }

// Capacity is the bound of the queue, in bytes.
func (t *Task) Capacity(bytes int) { t.stats.capacity.Store(uint64(max(0, bytes))) }

// Partitions is how many partitions a sink task has.
func (t *Task) Partitions(n int) { t.stats.partitions.Store(int64(n)) }

// Commit notes a commit of offsets that took so long.
func (t *Task) Commit(took time.Duration, err error) {
	if err != nil {
		t.stats.commitFails.Add(1)
		return
	}
	t.stats.commits.Add(1)
	timed(&t.stats.commitNs, &t.stats.commitMax, took)
}

// PutTook notes how long a sink took for a batch.
func (t *Task) PutTook(took time.Duration) {
	t.set.putTime.WithLabelValues(t.connector, t.task).Observe(took.Seconds())
	t.stats.puts.Add(1)
	timed(&t.stats.putNs, &t.stats.putMax, took)
}

func timed(sum, most *atomic.Uint64, took time.Duration) {
	ns := uint64(max(0, took))
	sum.Add(ns)
	for m := most.Load(); ns > m && !most.CompareAndSwap(m, ns); m = most.Load() {
	}
}

// DeadLetter notes a record that went to the dead letter queue, or did not.
func (t *Task) DeadLetter(err error) {
	t.stats.deadLetters.Add(1)
	if err != nil {
		t.stats.deadLetterFails.Add(1)
	}
}

// Failed notes an error of a record or of the task.
func (t *Task) Failed(at time.Time) {
	t.stats.failures.Add(1)
	t.stats.lastError.Store(at.UnixMilli())
}

// connectNames makes the series of all tasks under Connect's and Debezium's names.
type connectNames struct{ s *Set }

// Describe implements prometheus.Collector: nothing, since series come and go.
func (connectNames) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c connectNames) Collect(ch chan<- prometheus.Metric) {
	type one struct {
		k  taskKey
		st *stats
		i  Info
	}
	c.s.mu.Lock()
	all := make([]one, 0, len(c.s.tasks))
	for k, st := range c.s.tasks {
		all = append(all, one{k, st, st.info})
	}
	c.s.mu.Unlock()
	now := time.Now()
	for _, x := range all {
		e := emitter{ch, []string{"connector", "task"}, []string{x.k.connector, x.k.task}}
		switch x.i.Kind {
		case Source:
			x.st.source(e)
		case Sink:
			x.st.sink(e)
		default:
			continue
		}
		x.st.task(e)
		x.st.tables(ch, x.k, x.i.Kind)
		if x.i.Server != "" {
			x.st.debezium(ch, x.i, x.k.task, now)
		}
	}
}

// emitter writes series with one set of labels.
type emitter struct {
	ch             chan<- prometheus.Metric
	names, strings []string
}

func (e emitter) put(name, help string, kind prometheus.ValueType, v float64) {
	if math.IsNaN(v) {
		v = 0
	}
	e.ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, e.names, nil), kind, v, e.strings...)
}

func (e emitter) total(name, help string, v *atomic.Uint64) {
	e.put(name, help, prometheus.CounterValue, float64(v.Load()))
}

func (e emitter) gauge(name, help string, v float64) { e.put(name, help, prometheus.GaugeValue, v) }

func (st *stats) source(e emitter) {
	polled := st.written.Load() + st.skipped.Load() + st.filtered.Load()
	e.put("kafka_connect_source_task_source_record_poll_total", "Records that the source has given.", prometheus.CounterValue, float64(polled))
	e.total("kafka_connect_source_task_source_record_write_total", "Records that were written to Kafka.", &st.written)
}

func (st *stats) sink(e emitter) {
	read := st.put.Load() + st.skipped.Load() + st.filtered.Load()
	e.put("kafka_connect_sink_task_sink_record_read_total", "Records that were read from Kafka and dealt with.", prometheus.CounterValue, float64(read))
	e.total("kafka_connect_sink_task_sink_record_send_total", "Records that were given to the sink.", &st.put)
	e.gauge("kafka_connect_sink_task_partition_count", "Partitions of the task.", float64(st.partitions.Load()))
	e.total("kafka_connect_sink_task_offset_commit_completion_total", "Commits of offsets.", &st.commits)
	e.gauge("kafka_connect_sink_task_put_batch_avg_time_ms", "Mean time that the sink took for a batch.", mean(&st.putNs, &st.puts))
	e.gauge("kafka_connect_sink_task_put_batch_max_time_ms", "Longest time that the sink took for a batch.", float64(st.putMax.Load())/1e6)
}

func mean(ns, n *atomic.Uint64) float64 { return float64(ns.Load()) / float64(n.Load()) / 1e6 }

func (st *stats) task(e emitter) {
	ok, bad := float64(st.commits.Load()), float64(st.commitFails.Load())
	all := ok + bad
	if all == 0 {
		ok, all = 1, 1 // nothing went wrong
	}
	running := 0.0
	if st.running.Load() {
		running = 1
	}
	e.gauge("kafka_connect_connector_task_running_ratio", "1 while the task runs.", running)
	e.gauge("kafka_connect_connector_task_offset_commit_success_percentage", "Part of the commits of offsets that worked out.", ok/all)
	e.gauge("kafka_connect_connector_task_offset_commit_failure_percentage", "Part of the commits of offsets that did not.", bad/all)
	e.gauge("kafka_connect_connector_task_offset_commit_avg_time_ms", "Mean time of a commit of offsets.", mean(&st.commitNs, &st.commits))
	e.gauge("kafka_connect_connector_task_offset_commit_max_time_ms", "Longest time of a commit of offsets.", float64(st.commitMax.Load())/1e6)
	e.total("kafka_connect_task_error_total_record_errors", "Errors of records and of the task.", &st.failures)
	e.total("kafka_connect_task_error_total_records_skipped", "Records that errors.tolerance=all let go.", &st.skipped)
	e.total("kafka_connect_task_error_deadletterqueue_produce_requests", "Records for the dead letter queue.", &st.deadLetters)
	e.total("kafka_connect_task_error_deadletterqueue_produce_failures", "Records that could not be written there.", &st.deadLetterFails)
	e.gauge("kafka_connect_task_error_last_error_timestamp", "Time of the last error in milliseconds since 1970; 0 none.", float64(st.lastError.Load()))
}

// debezium makes the series of Debezium's own example for jmx_exporter.
func (st *stats) debezium(ch chan<- prometheus.Metric, i Info, task string, now time.Time) {
	e := emitter{ch, []string{"plugin", "name", "context", "task"}, []string{i.Plugin, i.Server, "streaming", task}}
	yes := 0.0
	if st.running.Load() {
		yes = 1
	}
	seen := float64(st.written.Load() + st.skipped.Load() + st.filtered.Load())
	e.gauge("debezium_metrics_Connected", "1 while the connector reads the log.", yes)
	e.gauge("debezium_metrics_MilliSecondsBehindSource", "Age of the newest change when Kafka had it.", float64(st.lagMs.Load()))
	e.put("debezium_metrics_TotalNumberOfEventsSeen", "Events that the connector has made.", prometheus.CounterValue, seen)
	e.total("debezium_metrics_NumberOfEventsFiltered", "Events that were dropped.", &st.filtered)
	e.total("debezium_metrics_NumberOfErroneousEvents", "Events that errors.tolerance let go.", &st.skipped)
	st.log.debezium(e, i, now, 1-float64(st.queue.Load())/float64(max(1, st.capacity.Load())))
	e.gauge("debezium_metrics_MaxQueueSizeInBytes", "Bound of the queue.", float64(st.capacity.Load()))
	e.gauge("debezium_metrics_CurrentQueueSizeInBytes", "Bytes in the queue.", float64(st.queue.Load()))
	since := -1.0
	if at := st.lastEvent.Load(); at > 0 {
		since = float64(now.UnixMilli() - at)
	}
	e.gauge("debezium_metrics_MilliSecondsSinceLastEvent", "Time since Kafka had the last event; -1 none.", since)
	st.snap.debezium(ch, i, task, now, st)
	snap := e
	snap.names = append(append([]string{}, e.names...), "table")
	st.mu.Lock()
	defer st.mu.Unlock()
	for table, n := range st.rows {
		snap.strings = []string{i.Plugin, i.Server, "snapshot", task, table}
		snap.put("debezium_metrics_RowsScanned", "Rows read by snapshots.", prometheus.CounterValue, float64(n.Load()))
	}
}
