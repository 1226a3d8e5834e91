package metrics

import (
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Stage is how far something has come on its way out of a log.
type Stage string

// The stages of a source, whose log is that of its database, and of a sink, whose
// log are its partitions.
const (
	StageRead         Stage = "read"         // by the source
	StageAcknowledged Stage = "acknowledged" // by Kafka
	StageConfirmed    Stage = "confirmed"    // stored, and told to the database where it wants to know
	StageConsumed     Stage = "consumed"     // by the sink task
	StageWritten      Stage = "written"      // to the target
)

// Reached is the place that a stage has reached, counted as the log's end is: in
// bytes, of sinks in records.
type Reached struct {
	Stage Stage
	At    uint64
	// Written is when the newest change before the place was committed, in µs since
	// 1970; 0 unknown. It dates places from before the log was watched.
	Written int64
}

// Kept is what the source's server keeps of its log for a connector. What is not
// known is NaN.
type Kept struct {
	Bytes  float64 // kept because of this connector
	Budget float64 // the most that it may be; NaN also when there is no limit
	Left   float64 // what is left of that
	// Expires is the time in seconds until the server may delete what is still needed
	// by its age (binlog_expire_logs_seconds).
	Expires float64
}

// UnknownKept knows nothing.
func UnknownKept() Kept { return Kept{math.NaN(), math.NaN(), math.NaN(), math.NaN()} }

// places are the series of Place.
type places struct {
	at, behind, age                   *prometheus.GaugeVec // of sources, by stage
	kept, budget, left, full, expires *prometheus.GaugeVec
	sinkAt, sinkBehind, sinkAge       *prometheus.GaugeVec
	all                               []*prometheus.GaugeVec
}

func newPlaces() *places {
	p := &places{}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, append([]string{"connector", "task"}, labels...))
		p.all = append(p.all, g)
		return g
	}
	p.at = gauge("millrace_source_position_bytes", "Place in the source's log, in bytes: the log's head, and what was read, acknowledged by Kafka and confirmed. Absent while the head is not known.", "stage")
	p.behind = gauge("millrace_source_behind_bytes", "Log between its head and what was read, acknowledged by Kafka and confirmed.", "stage")
	p.age = gauge("millrace_source_behind_seconds", "Age of the oldest part of the log that is not read, acknowledged or confirmed yet; 0 at its head.", "stage")
	p.kept = gauge("millrace_source_retained_bytes", "Log that the source's server keeps because of this connector.")
	p.budget = gauge("millrace_source_retained_limit_bytes", "The most log that the server keeps for the connector (max_slot_wal_keep_size); absent when there is no limit.")
	p.left = gauge("millrace_source_retained_left_bytes", "Log that may still be written before the server drops what the connector needs.")
	p.full = gauge("millrace_source_retained_left_seconds", "Time until then, if the log grows as in the last minutes; absent while it does not grow.")
	p.expires = gauge("millrace_source_log_expires_seconds", "Time until the server may delete log that the connector still needs, by its age (binlog_expire_logs_seconds).")
	p.sinkAt = gauge("millrace_sink_position_records", "Sum over the task's partitions of offsets: the ends of the partitions (head), and what was consumed and written.", "stage")
	p.sinkBehind = gauge("millrace_sink_behind_records", "Records between the ends of the task's partitions and what was consumed and written.", "stage")
	p.sinkAge = gauge("millrace_sink_behind_seconds", "Age of the oldest record that is not consumed or written yet; 0 at the end.", "stage")
	return p
}

// Place keeps the series that say where a task is in its log. It is safe for
// concurrent use.
type Place struct {
	connector, task         string
	at, behind, age         *prometheus.GaugeVec
	kept, budget, left, end *prometheus.GaugeVec
	expires                 *prometheus.GaugeVec
	also                    prometheus.Gauge // behind of StageConfirmed; nil none

	mu      sync.Mutex
	samples []sample // oldest first
}

// sample is the log's head at one time.
type sample struct {
	at   time.Time
	head uint64
}

// samplesKept bounds the memory of a Place. When it is full every second sample goes:
// the further back, the coarser.
const samplesKept = 512

// growthOver is the time over which the growth of a log is measured.
const growthOver = 5 * time.Minute

// SourcePlace is the place of a source task in its database's log.
func (t *Task) SourcePlace() *Place {
	p := t.set.places
	return &Place{connector: t.connector, task: t.task, at: p.at, behind: p.behind, age: p.age, kept: p.kept, budget: p.budget, left: p.left, end: p.full, expires: p.expires, also: t.SlotLag}
}

// SinkPlace is the place of a sink task in its partitions.
func (t *Task) SinkPlace() *Place {
	p := t.set.places
	return &Place{connector: t.connector, task: t.task, at: p.sinkAt, behind: p.sinkBehind, age: p.sinkAge}
}

// Set notes the log's head and what has been reached. A head that goes back is that
// of another log: what was known of times is forgotten.
func (p *Place) Set(now time.Time, head uint64, reached ...Reached) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.samples); n > 0 && head < p.samples[n-1].head {
		p.samples = p.samples[:0]
	}
	if len(p.samples) == samplesKept {
		kept := p.samples[:0]
		for i := 0; i < samplesKept; i += 2 {
			kept = append(kept, p.samples[i])
		}
		p.samples = kept
	}
	p.samples = append(p.samples, sample{now, head})
	p.at.WithLabelValues(p.connector, p.task, "head").Set(float64(head))
	for _, r := range reached {
		at := min(r.At, head) // it may have been read after the head was asked for
		p.at.WithLabelValues(p.connector, p.task, string(r.Stage)).Set(float64(at))
		p.behind.WithLabelValues(p.connector, p.task, string(r.Stage)).Set(float64(head - at))
		p.age.WithLabelValues(p.connector, p.task, string(r.Stage)).Set(p.since(now, at, r.Written).Seconds())
		if r.Stage == StageConfirmed && p.also != nil {
			p.also.Set(float64(head - at))
		}
	}
}

// since is how long ago the log was written that comes next after place at: between
// two samples it is taken to have grown evenly.
func (p *Place) since(now time.Time, at uint64, written int64) time.Duration {
	s := p.samples
	if at >= s[len(s)-1].head {
		return 0
	}
	i := len(s) - 1
	for i >= 0 && s[i].head > at {
		i--
	}
	if i < 0 { // from before the first sample
		then := s[0].at
		if t := time.UnixMicro(written); written > 0 && t.Before(then) {
			then = t
		}
		return max(0, now.Sub(then))
	}
	a, b := s[i], s[i+1]
	part := float64(at-a.head) / float64(b.head-a.head)
	return max(0, now.Sub(a.at.Add(time.Duration(part*float64(b.at.Sub(a.at))))))
}

// Keep notes what the server keeps for the connector.
func (p *Place) Keep(k Kept) {
	p.mu.Lock()
	defer p.mu.Unlock()
	set := func(g *prometheus.GaugeVec, v float64) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			g.DeleteLabelValues(p.connector, p.task)
			return
		}
		g.WithLabelValues(p.connector, p.task).Set(v)
	}
	set(p.kept, k.Bytes)
	set(p.budget, k.Budget)
	set(p.left, k.Left)
	set(p.expires, k.Expires)
	full := math.NaN()
	if grows := p.growth(); grows > 0 {
		full = k.Left / grows
	}
	set(p.end, full)
}

// growth is how fast the log grows, in bytes per second; 0 while it is not known.
func (p *Place) growth() float64 {
	if len(p.samples) < 2 {
		return 0
	}
	last := p.samples[len(p.samples)-1]
	first := p.samples[0]
	for _, s := range p.samples {
		if last.at.Sub(s.at) <= growthOver {
			first = s
			break
		}
	}
	d := last.at.Sub(first.at).Seconds()
	if d <= 0 {
		return 0
	}
	return float64(last.head-first.head) / d
}

// Unknown takes the series away: nobody answers, so nothing is known.
func (p *Place) Unknown() {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := prometheus.Labels{"connector": p.connector, "task": p.task}
	for _, g := range []*prometheus.GaugeVec{p.at, p.behind, p.age, p.kept, p.budget, p.left, p.end, p.expires} {
		if g != nil {
			g.DeletePartialMatch(l)
		}
	}
}

// Restart forgets times, for a log that is counted anew (other partitions).
func (p *Place) Restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.samples = p.samples[:0]
}
