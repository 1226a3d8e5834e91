package metrics

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// mostSinkTopics bounds the series that sinks have per topic; topics beyond it share one.
const mostSinkTopics = 1000

// sinkTopics are the series of sinks by topic.
type sinkTopics struct {
	rows, bytes *prometheus.CounterVec
	put, lag    *prometheus.HistogramVec

	mu   sync.Mutex
	seen map[taskKey]map[string]*SinkTopic
}

// SinkTopic counts what one task of a sink wrote of one topic.
type SinkTopic struct {
	// Rows and Bytes are records and the bytes of their keys and values in Kafka.
	Rows, Bytes prometheus.Counter
	// Put is the time in seconds that the target took for a batch with records of the
	// topic; Lag the time from the commit in the source database to the write.
	Put, Lag prometheus.Observer
}

func newSinkTopics(r *prometheus.Registry, buckets []float64) *sinkTopics {
	by := []string{"connector", "task", "topic"}
	s := &sinkTopics{seen: map[taskKey]map[string]*SinkTopic{},
		rows:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_sink_topic_records_total", Help: "Records of a topic that were written to the target."}, by),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_sink_topic_bytes_total", Help: "Key and value bytes of those records in Kafka."}, by),
		put:   prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "millrace_sink_topic_put_seconds", Help: "Time that the target took for a batch with records of the topic.", Buckets: buckets}, by),
		lag:   prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "millrace_sink_topic_lag_seconds", Help: "Time from the commit in the source database (without it, the Kafka record time) to the write in the target.", Buckets: buckets}, by)}
	r.MustRegister(s.rows, s.bytes, s.put, s.lag)
	return s
}

// SinkTopic binds the series of one topic.
func (t *Task) SinkTopic(topic string) *SinkTopic {
	s, key := t.set.sinkTopics, taskKey{t.connector, t.task}
	s.mu.Lock()
	defer s.mu.Unlock()
	mine := s.seen[key]
	if mine == nil {
		mine = map[string]*SinkTopic{}
		s.seen[key] = mine
	}
	if mine[topic] == nil && len(mine) >= mostSinkTopics {
		topic = otherTopics
	}
	if mine[topic] == nil {
		labels := []string{t.connector, t.task, topic}
		mine[topic] = &SinkTopic{Rows: s.rows.WithLabelValues(labels...), Bytes: s.bytes.WithLabelValues(labels...), Put: s.put.WithLabelValues(labels...), Lag: s.lag.WithLabelValues(labels...)}
	}
	return mine[topic]
}

// forget drops the series of a connector.
func (s *sinkTopics) forget(connector string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.seen {
		if k.connector == connector {
			delete(s.seen, k)
		}
	}
	labels := prometheus.Labels{"connector": connector}
	for _, v := range []*prometheus.CounterVec{s.rows, s.bytes} {
		v.DeletePartialMatch(labels)
	}
	for _, v := range []*prometheus.HistogramVec{s.put, s.lag} {
		v.DeletePartialMatch(labels)
	}
}
