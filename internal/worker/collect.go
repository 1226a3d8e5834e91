package worker

import (
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Descriptions under the names that the usual jmx_exporter rules give Connect's
// own metrics, so that dashboards and alerts keep working.
var (
	// The usual rules give this name to the states of tasks, those of connectors have
	// none there: they are told by having no label task.
	connStatusDesc    = prometheus.NewDesc("kafka_connect_connector_status", connStatusHelp, []string{"connector", "status"}, nil)
	taskStateDesc     = prometheus.NewDesc("kafka_connect_connector_status", connStatusHelp, []string{"connector", "task", "status"}, nil)
	taskStatusDesc    = prometheus.NewDesc("kafka_connect_connector_task_status", "1 for the state a task is in.", []string{"connector", "task", "status"}, nil)
	connCountDesc     = prometheus.NewDesc("kafka_connect_worker_connector_count", "Connectors that run on this worker.", nil, nil)
	taskCountDesc     = prometheus.NewDesc("kafka_connect_worker_task_count", "Tasks that run on this worker.", nil, nil)
	assignedConnsDesc = prometheus.NewDesc("kafka_connect_coordinator_assigned_connectors", "Connectors that the group has given this worker.", []string{"clientId"}, nil)
	assignedTasksDesc = prometheus.NewDesc("kafka_connect_coordinator_assigned_tasks", "Tasks that the group has given this worker.", []string{"clientId"}, nil)
	versionDesc       = prometheus.NewDesc("kafka_connect_version_info", "1; the release of Kafka Connect that the worker stands for.", []string{"clientId", "version"}, nil)
	epochDesc         = prometheus.NewDesc("kafka_connect_worker_rebalance_epoch", "Generation of the group of workers.", nil, nil)
)

const connStatusHelp = "1 for the state that a task is in, and without the label task for that of its connector."

// counts are what the worker has done since its start.
type counts struct {
	connectorStarts, connectorFailures, taskStarts, tasksUp, taskStartFailures, taskFailures, rebalances atomic.Int64
	lastRebalance                                                                                        atomic.Int64 // ms since 1970
}

// part is a share of a number of attempts; 0 when there were none, as in Connect.
func part(of, all int64) float64 {
	if all <= 0 {
		return 0
	}
	return float64(of) / float64(all)
}

// The worker's own series under Connect's names.
var workerSeries = []struct {
	name, help string
	counter    bool
	value      func(w *Worker) float64
}{
	{"kafka_connect_worker_connector_startup_attempts_total", "Connectors that were started.", true, func(w *Worker) float64 { return float64(w.counts.connectorStarts.Load()) }},
	{"kafka_connect_worker_connector_startup_success_total", "Connectors that started.", true, func(w *Worker) float64 {
		return float64(w.counts.connectorStarts.Load() - w.counts.connectorFailures.Load())
	}},
	{"kafka_connect_worker_connector_startup_failure_total", "Connectors that could not start.", true, func(w *Worker) float64 { return float64(w.counts.connectorFailures.Load()) }},
	{"kafka_connect_worker_task_startup_attempts_total", "Tasks that were started.", true, func(w *Worker) float64 { return float64(w.counts.taskStarts.Load()) }},
	{"kafka_connect_worker_connector_startup_success_percentage", "Part of the starts of connectors that worked out.", false, func(w *Worker) float64 {
		all := w.counts.connectorStarts.Load()
		return part(all-w.counts.connectorFailures.Load(), all)
	}},
	{"kafka_connect_worker_connector_startup_failure_percentage", "Part of the starts of connectors that did not.", false, func(w *Worker) float64 {
		return part(w.counts.connectorFailures.Load(), w.counts.connectorStarts.Load())
	}},
	{"kafka_connect_worker_task_startup_success_total", "Tasks that started.", true, func(w *Worker) float64 { return float64(w.counts.tasksUp.Load()) }},
	{"kafka_connect_worker_task_startup_failure_total", "Tasks that could not start.", true, func(w *Worker) float64 { return float64(w.counts.taskStartFailures.Load()) }},
	{"kafka_connect_worker_task_startup_success_percentage", "Part of the starts of tasks that worked out.", false, func(w *Worker) float64 {
		return part(w.counts.tasksUp.Load(), w.counts.tasksUp.Load()+w.counts.taskStartFailures.Load())
	}},
	{"kafka_connect_worker_task_startup_failure_percentage", "Part of the starts of tasks that did not.", false, func(w *Worker) float64 {
		return part(w.counts.taskStartFailures.Load(), w.counts.tasksUp.Load()+w.counts.taskStartFailures.Load())
	}},
	{"kafka_connect_worker_rebalance_rebalance_avg_time_ms", "Mean time of the newest 20 rebalances.", false, func(w *Worker) float64 { mean, _ := w.rebalanceTimes(); return mean }},
	{"kafka_connect_worker_rebalance_rebalance_max_time_ms", "Longest of the newest 20 rebalances.", false, func(w *Worker) float64 { _, top := w.rebalanceTimes(); return top }},
	{"kafka_connect_worker_task_failure_total", "Tasks that ended with an error.", true, func(w *Worker) float64 { return float64(w.counts.taskFailures.Load()) }},
	{"kafka_connect_worker_rebalance_completed_rebalances_total", "Rebalances of the group.", true, func(w *Worker) float64 { return float64(w.counts.rebalances.Load()) }},
	{"kafka_connect_worker_rebalance_rebalancing", "1 while this worker is no member of its group.", false, func(w *Worker) float64 {
		if v := w.view.Load(); v != nil && v.lost {
			return 1
		}
		return 0
	}},
	{"kafka_connect_worker_rebalance_time_since_last_rebalance_ms", "Time since the last rebalance.", false, func(w *Worker) float64 {
		if at := w.counts.lastRebalance.Load(); at > 0 {
			return float64(time.Now().UnixMilli() - at)
		}
		return 0
	}},
}

// rebalanceTimes are the mean and the longest time of the rebalances that are
// remembered, in ms.
func (w *Worker) rebalanceTimes() (mean, top float64) {
	w.past.mu.Lock()
	defer w.past.mu.Unlock()
	for _, r := range w.past.list {
		mean += float64(r.Millis) / float64(len(w.past.list))
		top = max(top, float64(r.Millis))
	}
	return mean, top
}

// taskStates are the states that the worker counts per connector.
var taskStates = []string{"running", "paused", "failed", "unassigned", "restarting", "destroyed"}

// collectTasks counts a connector's tasks by state.
func collectTasks(ch chan<- prometheus.Metric, name string, states []string) {
	put := func(metric, help string, n int) {
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(metric, help, []string{"connector"}, nil), prometheus.GaugeValue, float64(n), name)
	}
	put("kafka_connect_worker_connector_total_task_count", "Tasks of the connector on this worker.", len(states))
	for _, s := range taskStates {
		n := 0
		for _, x := range states {
			if x == s {
				n++
			}
		}
		put("kafka_connect_worker_connector_"+s+"_task_count", "Tasks of the connector on this worker that are "+s+".", n)
	}
}

// Describe implements prometheus.Collector.
func (w *Worker) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{taskStatusDesc, connCountDesc, taskCountDesc, epochDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector: the states of what this worker runs,
// each connector reported by one worker of the group only.
func (w *Worker) Collect(ch chan<- prometheus.Metric) {
	select {
	case <-w.started:
	default:
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	conns, tasks := 0, 0
	for _, name := range w.configs.Names() {
		if st := w.statuses.Connector(name); st != nil && st.WorkerID == w.cfg.Advertised {
			conns++
			gauge(connStatusDesc, 1, name, strings.ToLower(st.State))
		}
		var states []string
		ids, sts := w.statuses.Tasks(name)
		for i, id := range ids {
			if sts[i].WorkerID == w.cfg.Advertised {
				tasks++
				states = append(states, strings.ToLower(sts[i].State))
				gauge(taskStateDesc, 1, name, strconv.Itoa(id), strings.ToLower(sts[i].State))
				gauge(taskStatusDesc, 1, name, strconv.Itoa(id), strings.ToLower(sts[i].State))
			}
		}
		if len(states) > 0 {
			collectTasks(ch, name, states)
		}
	}
	for _, s := range workerSeries {
		kind := prometheus.GaugeValue
		if s.counter {
			kind = prometheus.CounterValue
		}
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(s.name, s.help, nil, nil), kind, s.value(w))
	}
	if w.member != nil {
		client := "connect-" + w.cfg.Advertised
		if id := strings.TrimSpace(w.cfg.Props["client.id"]); id != "" {
			client = id
		}
		gauge(assignedConnsDesc, float64(conns), client)
		gauge(assignedTasksDesc, float64(tasks), client)
		gauge(versionDesc, 1, client, ConnectVersion)
	}
	gauge(connCountDesc, float64(conns))
	gauge(taskCountDesc, float64(tasks))
	gauge(epochDesc, float64(w.generation()))
}
