// Package metrics holds the Prometheus series of the daemon. Handles are bound to
// their labels once, when a task starts, so that the row path only adds numbers.
package metrics

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Set is everything one daemon exports.
type Set struct {
	Registry *prometheus.Registry

	events     *prometheus.CounterVec
	bytes      *prometheus.CounterVec
	skipped    *prometheus.CounterVec
	lag        *prometheus.HistogramVec
	queueBytes *prometheus.GaugeVec
	slotLag    *prometheus.GaugeVec
	snapRows   *prometheus.CounterVec
	sinkRows   *prometheus.CounterVec
	sinkLag    *prometheus.HistogramVec
	restarts   *prometheus.CounterVec
	putTime    *prometheus.HistogramVec
	rereads    *prometheus.CounterVec
	places     *places
	sinkTopics *sinkTopics

	mu    sync.Mutex
	tasks map[taskKey]*stats
}

// New makes an empty set with its own registry.
func New() *Set {
	s := &Set{Registry: prometheus.NewRegistry(), tasks: map[taskKey]*stats{}}
	task := []string{"connector", "task"}
	buckets := []float64{.001, .002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 21600}
	s.events = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_source_records_total", Help: "Records acknowledged by Kafka."}, task)
	s.bytes = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_source_bytes_total", Help: "Key and value bytes acknowledged by Kafka."}, task)
	s.skipped = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_records_skipped_total", Help: "Records dropped by errors.tolerance=all or by transforms."}, append(task, "reason"))
	s.lag = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "millrace_source_lag_seconds", Help: "Time from commit in the source database to Kafka's acknowledgement.", Buckets: buckets}, task)
	s.queueBytes = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "millrace_source_queue_bytes", Help: "Bytes read from the log that Kafka has not acknowledged yet."}, task)
	s.slotLag = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "millrace_source_log_lag_bytes", Help: "Bytes between the source's log head and the confirmed position."}, task)
	s.snapRows = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_snapshot_rows_total", Help: "Rows read by snapshots."}, append(task, "table"))
	s.sinkRows = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_sink_records_total", Help: "Records written to the target and committed."}, task)
	s.sinkLag = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "millrace_sink_lag_seconds", Help: "Time from the Kafka record time to the write in the target.", Buckets: buckets}, task)
	s.restarts = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_task_restarts_total", Help: "Tasks that were started again after an error that may pass."}, []string{"connector"})
	s.putTime = prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "millrace_sink_put_seconds", Help: "Time that the target took for a batch.", Buckets: buckets}, task)
	s.rereads = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_catalog_rereads_total", Help: "Table definitions read from the catalog because a statement could not be followed or rows did not fit the schema history."}, append(task, "reason"))
	s.sinkTopics = newSinkTopics(s.Registry, buckets)
	s.places = newPlaces()
	for _, g := range s.places.all {
		s.Registry.MustRegister(g)
	}
	s.Registry.MustRegister(connectNames{s}, s.rereads, s.putTime, s.restarts, s.events, s.bytes, s.skipped, s.lag, s.queueBytes, s.slotLag, s.snapRows, s.sinkRows, s.sinkLag)
	return s
}

// Task is the handles of one task. The zero value (and nil fields) must not be
// used; get one from Set.Task.
type Task struct {
	set             *Set
	stats           *stats
	connector, task string

	Records    prometheus.Counter
	Bytes      prometheus.Counter
	Lag        prometheus.Observer // seconds
	QueueBytes prometheus.Gauge
	SlotLag    prometheus.Gauge
	SinkRows   prometheus.Counter
	SinkLag    prometheus.Observer // seconds
}

// Task binds the handles of a connector's task.
func (s *Set) Task(connector, task string) *Task {
	st := s.statsOf(connector, task)
	return &Task{set: s, connector: connector, task: task, stats: st,
		Records: counted{s.events.WithLabelValues(connector, task), func(n uint64) {
			st.written.Add(n)
			st.lastEvent.Store(time.Now().UnixMilli())
		}}, Bytes: s.bytes.WithLabelValues(connector, task),
		Lag: lag{s.lag.WithLabelValues(connector, task), st}, QueueBytes: level{s.queueBytes.WithLabelValues(connector, task), &st.queue},
		SlotLag: s.slotLag.WithLabelValues(connector, task), SinkRows: counted{s.sinkRows.WithLabelValues(connector, task), func(n uint64) { st.put.Add(n) }},
		SinkLag: s.sinkLag.WithLabelValues(connector, task)}
}

// CatalogRereads binds the counter of table definitions that were read from the
// catalog in mid-stream, by reason: "statement" (it could not be followed) or "rows"
// (they did not fit the schema history).
func (t *Task) CatalogRereads(reason string) prometheus.Counter {
	return t.set.rereads.WithLabelValues(t.connector, t.task, reason)
}

// Skipped binds the counter of records dropped for a reason ("transform",
// "tolerated", "filtered").
func (t *Task) Skipped(reason string) prometheus.Counter {
	c := t.set.skipped.WithLabelValues(t.connector, t.task, reason)
	if reason != "tolerated" {
		return counted{c, func(n uint64) { t.stats.filtered.Add(n) }}
	}
	return counted{c, func(n uint64) { t.stats.skipped.Add(n) }}
}

// SnapshotRows binds the counter of rows read from a table.
func (t *Task) SnapshotRows(table string) prometheus.Counter {
	t.stats.mu.Lock()
	defer t.stats.mu.Unlock()
	rows := t.stats.rows[table]
	if rows == nil {
		rows = &atomic.Uint64{}
		t.stats.rows[table] = rows
	}
	return counted{t.set.snapRows.WithLabelValues(t.connector, t.task, table), func(n uint64) {
		rows.Add(n)
		t.stats.mu.Lock()
		defer t.stats.mu.Unlock()
		if r := t.stats.reads[table]; r != nil {
			r.rows.Add(n)
		}
	}}
}

// Restarts is the counter of a connector's tasks that were started again after a
// failure.
func (s *Set) Restarts(connector string) prometheus.Counter {
	return s.restarts.WithLabelValues(connector)
}

// Forget removes the series of a connector that was deleted.
func (s *Set) Forget(connector string) {
	l := prometheus.Labels{"connector": connector}
	s.mu.Lock()
	for k := range s.tasks {
		if k.connector == connector {
			delete(s.tasks, k)
		}
	}
	s.mu.Unlock()
	for _, v := range []interface{ DeletePartialMatch(prometheus.Labels) int }{s.events, s.bytes, s.skipped, s.lag, s.queueBytes, s.slotLag, s.snapRows, s.sinkRows, s.sinkLag, s.restarts, s.putTime, s.rereads} {
		v.DeletePartialMatch(l)
	}
	s.sinkTopics.forget(connector)
	for _, g := range s.places.all {
		g.DeletePartialMatch(l)
	}
}

// Process adds the series of the process and the Go runtime: memory, CPU,
// goroutines, open files.
func (s *Set) Process() {
	s.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}
