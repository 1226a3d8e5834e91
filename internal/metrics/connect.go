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

	written, skipped, filtered, put atomic.Uint64
	taken, left                     atomic.Uint64 // from the source or Kafka; given up by tasks that ended
	commits, commitFails, settled   atomic.Uint64 // settled: records whose offset is committed (sinks)
	deadLetters, deadLetterFails    atomic.Uint64
	failures, errors, retries, told atomic.Uint64
	lastError, lastEvent            atomic.Int64 // ms; 0 never
	lagMs, queue, capacity          atomic.Uint64
	partitions, lagMax              atomic.Int64
	running, sinks                  atomic.Bool // sinks: the task is a sink's
	snap                            snapshotStats
	log                             logStats

	commitTime, putTime, pollTime, batches, active, transactions meter
	takenPace, writtenPace, putPace, commitPace                  pace
	ratios                                                       ratios

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
	st := t.stats
	st.info = i
	st.sinks.Store(i.Kind == Sink)
	st.ratios.begin(time.Now())
	// What the task before had under way comes again.
	taken := st.taken.Load()
	st.left.Store(0)
	st.left.Store(taken - min(taken, st.done()))
	st.settled.Store(taken)
	st.lagMax.Store(0)
}

// Running tells whether the task runs.
func (t *Task) Running(yes bool) {
	t.stats.running.Store(yes)
	is := stateOther
	if yes {
		is = stateRunning
	}
	t.stats.ratios.set(time.Now(), is)
}

// Paused tells that a task is paused, or that it goes on. It does nothing for a task
// that never ran here.
func (s *Set) Paused(connector, task string, yes bool) {
	s.mu.Lock()
	st := s.tasks[taskKey{connector, task}]
	s.mu.Unlock()
	if st == nil {
		return
	}
	is := stateRunning
	if yes {
		is = statePaused
	}
	st.ratios.set(time.Now(), is)
}

// Retire takes the series of a task that this worker no longer has away, except for
// counters of its own names, which go on when it comes back.
func (s *Set) Retire(connector, task string) {
	s.mu.Lock()
	if st := s.tasks[taskKey{connector, task}]; st != nil {
		st.info = Info{}
		st.running.Store(false)
		st.ratios.set(time.Now(), stateOther)
	}
	s.mu.Unlock()
	l := prometheus.Labels{"connector": connector, "task": task}
	for _, g := range append([]*prometheus.GaugeVec{s.queueBytes, s.slotLag}, s.places.all...) {
		g.DeletePartialMatch(l)
	}
}

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
	t.stats.commitTime.add(time.Now(), millis(took))
}

// PutTook notes how long a sink took for a batch.
func (t *Task) PutTook(took time.Duration) {
	t.set.putTime.WithLabelValues(t.connector, t.task).Observe(took.Seconds())
	t.stats.putTime.add(time.Now(), millis(took))
}

func millis(d time.Duration) float64 { return max(0, d.Seconds()*1000) }

// DeadLetter notes a record that went to the dead letter queue, or did not.
func (t *Task) DeadLetter(err error) {
	t.stats.deadLetters.Add(1)
	if err != nil {
		t.stats.deadLetterFails.Add(1)
	}
}

// Failed notes that the task ended with an error.
func (t *Task) Failed(at time.Time) { t.stats.lastError.Store(at.UnixMilli()) }

// RecordFailed notes a record that could not be processed, whether it is tolerated or
// not; logged tells that the log was told (errors.log.enable).
func (t *Task) RecordFailed(at time.Time, logged bool) {
	st := t.stats
	st.failures.Add(1)
	st.errors.Add(1)
	st.lastError.Store(at.UnixMilli())
	if logged {
		st.told.Add(1)
	}
}

// Retried notes that a step of a record failed and is tried again.
func (t *Task) Retried() {
	t.stats.failures.Add(1)
	t.stats.retries.Add(1)
}

// Took notes a batch of records that came from the source, or from Kafka, before
// transforms; waited is how long it took to come.
func (t *Task) Took(records int, waited time.Duration) {
	st, now := t.stats, time.Now()
	n := st.taken.Add(uint64(max(0, records)))
	if records > 0 {
		st.batches.add(now, float64(records))
		st.pollTime.add(now, millis(waited))
	}
	if out := st.under(n); out > 0 {
		st.active.add(now, float64(out))
	}
}

// GaveUp notes records that were taken and then left to somebody else.
func (t *Task) GaveUp(records int) { t.stats.left.Add(uint64(max(0, records))) }

// Settled notes that the offsets of all records that a sink was given are committed.
func (t *Task) Settled() { t.stats.settled.Store(t.stats.done()) }

// TransactionSize notes how many records a committed transaction had.
func (t *Task) TransactionSize(records int) {
	t.stats.transactions.add(time.Now(), float64(records))
}

// LagMax notes how many records the partition that is most behind has left.
func (t *Task) LagMax(records int64) { t.stats.lagMax.Store(max(0, records)) }

// done is how many records were dealt with: written, put, skipped or filtered, or
// given up by a task that ended.
func (st *stats) done() uint64 {
	return st.written.Load() + st.put.Load() + st.skipped.Load() + st.filtered.Load() + st.left.Load()
}

// open is how many records are under way.
func (st *stats) open() uint64 { return st.under(st.taken.Load()) }

// under is open once so many records were taken.
func (st *stats) under(taken uint64) uint64 {
	done := st.done()
	if st.sinks.Load() {
		done = st.settled.Load()
	}
	return taken - min(taken, done)
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
			x.st.source(e, now)
		case Sink:
			x.st.sink(e, now)
		default:
			continue
		}
		x.st.task(e, now)
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

func (st *stats) source(e emitter, now time.Time) {
	taken, written := float64(st.taken.Load()), float64(st.written.Load())
	e.put("kafka_connect_source_task_source_record_poll_total", "Records that the source has given.", prometheus.CounterValue, taken)
	e.gauge("kafka_connect_source_task_source_record_poll_rate", "Records per second that the source has given.", st.takenPace.rate(now, taken))
	e.total("kafka_connect_source_task_source_record_write_total", "Records that were written to Kafka.", &st.written)
	e.gauge("kafka_connect_source_task_source_record_write_rate", "Records per second that were written to Kafka.", st.writtenPace.rate(now, written))
	e.meter("kafka_connect_source_task_poll_batch_avg_time_ms", "kafka_connect_source_task_poll_batch_max_time_ms", "time until the source had a batch", &st.pollTime, now)
	e.gauge("kafka_connect_source_task_source_record_active_count", "Records under way to Kafka.", float64(st.open()))
	e.meter("kafka_connect_source_task_source_record_active_count_avg", "kafka_connect_source_task_source_record_active_count_max", "number of records under way to Kafka", &st.active, now)
	if _, top := st.transactions.read(now); top > 0 {
		e.meter("kafka_connect_source_task_transaction_size_avg", "kafka_connect_source_task_transaction_size_max", "number of records in a transaction", &st.transactions, now)
	}
}

func (st *stats) sink(e emitter, now time.Time) {
	taken, put, commits := float64(st.taken.Load()), float64(st.put.Load()), float64(st.commits.Load())
	e.put("kafka_connect_sink_task_sink_record_read_total", "Records that were read from Kafka.", prometheus.CounterValue, taken)
	e.gauge("kafka_connect_sink_task_sink_record_read_rate", "Records per second that were read from Kafka.", st.takenPace.rate(now, taken))
	e.total("kafka_connect_sink_task_sink_record_send_total", "Records that were given to the sink.", &st.put)
	e.gauge("kafka_connect_sink_task_sink_record_send_rate", "Records per second that were given to the sink.", st.putPace.rate(now, put))
	e.gauge("kafka_connect_sink_task_sink_record_lag_max", "Records that the partition most behind has left.", float64(st.lagMax.Load()))
	e.gauge("kafka_connect_sink_task_sink_record_active_count", "Records that were read and whose offsets are not committed yet.", float64(st.open()))
	e.meter("kafka_connect_sink_task_sink_record_active_count_avg", "kafka_connect_sink_task_sink_record_active_count_max", "number of records whose offsets are not committed yet", &st.active, now)
	e.gauge("kafka_connect_sink_task_partition_count", "Partitions of the task.", float64(st.partitions.Load()))
	e.gauge("kafka_connect_sink_task_offset_commit_seq_no", "Number of the last commit of offsets.", commits)
	e.total("kafka_connect_sink_task_offset_commit_completion_total", "Commits of offsets.", &st.commits)
	e.gauge("kafka_connect_sink_task_offset_commit_completion_rate", "Commits of offsets per second.", st.commitPace.rate(now, commits))
	e.meter("kafka_connect_sink_task_put_batch_avg_time_ms", "kafka_connect_sink_task_put_batch_max_time_ms", "time that the sink took for a batch", &st.putTime, now)
}

func (st *stats) task(e emitter, now time.Time) {
	ok, bad := float64(st.commits.Load()), float64(st.commitFails.Load())
	all := ok + bad
	if all == 0 {
		ok, all = 1, 1 // nothing went wrong
	}
	running, paused := st.ratios.read(now)
	e.gauge("kafka_connect_connector_task_running_ratio", "Part of its time that the task has run, since it was started.", running)
	e.gauge("kafka_connect_connector_task_pause_ratio", "Part of its time that the task was paused, since it was started.", paused)
	e.gauge("kafka_connect_connector_task_offset_commit_success_percentage", "Part of the commits of offsets that worked out.", ok/all)
	e.gauge("kafka_connect_connector_task_offset_commit_failure_percentage", "Part of the commits of offsets that did not.", bad/all)
	e.meter("kafka_connect_connector_task_offset_commit_avg_time_ms", "kafka_connect_connector_task_offset_commit_max_time_ms", "time of a commit of offsets", &st.commitTime, now)
	e.meter("kafka_connect_connector_task_batch_size_avg", "kafka_connect_connector_task_batch_size_max", "number of records in a batch", &st.batches, now)
	e.total("kafka_connect_task_error_total_record_failures", "Steps of records that failed, each try counted.", &st.failures)
	e.total("kafka_connect_task_error_total_record_errors", "Records that could not be processed.", &st.errors)
	e.total("kafka_connect_task_error_total_records_skipped", "Records that errors.tolerance=all let go.", &st.skipped)
	e.total("kafka_connect_task_error_total_retries", "Steps of records that were tried again.", &st.retries)
	e.total("kafka_connect_task_error_total_errors_logged", "Errors of records that were logged (errors.log.enable).", &st.told)
	e.total("kafka_connect_task_error_deadletterqueue_produce_requests", "Records for the dead letter queue.", &st.deadLetters)
	e.total("kafka_connect_task_error_deadletterqueue_produce_failures", "Records that could not be written there.", &st.deadLetterFails)
	e.gauge("kafka_connect_task_error_last_error_timestamp", "Time of the last error in milliseconds since 1970; 0 none.", float64(st.lastError.Load()))
}

// meter makes the mean and the maximum of a meter.
func (e emitter) meter(avg, most, what string, m *meter, now time.Time) {
	mean, top := m.read(now)
	e.gauge(avg, "Mean "+what+", of the last 30 to 60 seconds.", mean)
	e.gauge(most, "Greatest "+what+", of the last 30 to 60 seconds.", top)
}

// debezium makes the series of Debezium's own example for jmx_exporter.
func (st *stats) debezium(ch chan<- prometheus.Metric, i Info, task string, now time.Time) {
	e := emitter{ch, []string{"plugin", "name", "context", "task"}, []string{i.Plugin, i.Server, "streaming", task}}
	yes := 0.0
	if st.running.Load() {
		yes = 1
	}
	seen := float64(st.taken.Load())
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
