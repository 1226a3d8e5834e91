package worker

import (
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Descriptions under the names that the usual jmx_exporter rules give Connect's
// own metrics, so that dashboards and alerts keep working.
var (
	connStatusDesc = prometheus.NewDesc("kafka_connect_connector_status", "1 for the state a connector is in.", []string{"connector", "status"}, nil)
	taskStatusDesc = prometheus.NewDesc("kafka_connect_connector_task_status", "1 for the state a task is in.", []string{"connector", "task", "status"}, nil)
	connCountDesc  = prometheus.NewDesc("kafka_connect_worker_connector_count", "Connectors that run on this worker.", nil, nil)
	taskCountDesc  = prometheus.NewDesc("kafka_connect_worker_task_count", "Tasks that run on this worker.", nil, nil)
	epochDesc      = prometheus.NewDesc("kafka_connect_worker_rebalance_epoch", "Generation of the group of workers.", nil, nil)
)

// Describe implements prometheus.Collector.
func (w *Worker) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{connStatusDesc, taskStatusDesc, connCountDesc, taskCountDesc, epochDesc} {
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
		ids, sts := w.statuses.Tasks(name)
		for i, id := range ids {
			if sts[i].WorkerID == w.cfg.Advertised {
				tasks++
				gauge(taskStatusDesc, 1, name, strconv.Itoa(id), strings.ToLower(sts[i].State))
			}
		}
	}
	gauge(connCountDesc, float64(conns))
	gauge(taskCountDesc, float64(tasks))
	gauge(epochDesc, float64(w.generation()))
}
