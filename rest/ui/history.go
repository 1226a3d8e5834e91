package ui

import (
	"math"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// History of what the metrics say of each connector: sampleEvery apart, keepSamples
// of them. window is what percentiles are of.
const (
	sampleEvery = 5 * time.Second
	keepSamples = 120
	window      = 6
)

// reading is what is known of a connector at one moment.
type reading struct {
	At       int64 // s since 1970
	Rate     float64
	P50, P99 float64 // seconds; NaN: no record in the window
	Queue    float64
	Behind   float64 // of a source bytes that are not confirmed, of a sink records that are not written
	Age      float64 // seconds, of the oldest change that Kafka, or the target, does not have; NaN unknown
}

// unknownReading is that of a connector without samples.
var unknownReading = reading{P50: math.NaN(), P99: math.NaN(), Age: math.NaN()}

// counters are what rates and percentiles are made of.
type counters struct {
	at      time.Time
	records float64
	lags    []float64 // cumulative, by bucket; the last is the count of all
}

// detail is the newest state of a connector, summed up over its tasks.
type detail struct {
	counters
	queue, restarts, skipped float64

	// By stage: the place, how far behind the head it is, and since when.
	at, behind, age map[string]float64
	// NaN is unknown.
	kept, limit, left, full, expires float64

	// before is the last state in which the place was known, when it is not; else nil.
	before *detail

	topics      map[string]*countRow
	tables      map[string]*tableRow
	snapshot    bool
	incremental int // 0 none, 1 runs, 2 paused
}

// countRow is the records of a topic, and of a sink how late they were written.
type countRow struct {
	Records, Rate float64
	Lag           float64 // seconds, the mean since the last sample; NaN: nothing was written

	lagSum, lagCount float64
}

// tableRow is a table in the snapshot that runs or ran last.
type tableRow struct {
	Name           string
	Rows, Expected float64
	Rate           float64
	Done           bool
}

func newDetail(now time.Time) *detail {
	nan := math.NaN()
	return &detail{counters: counters{at: now}, at: map[string]float64{}, behind: map[string]float64{}, age: map[string]float64{}, kept: nan, limit: nan, left: nan, full: nan, expires: nan,
		topics: map[string]*countRow{}, tables: map[string]*tableRow{}}
}

// known reports whether it is known where the log ends.
func (d *detail) known() bool { _, ok := d.at["head"]; return ok }

func (d *detail) topic(name string) *countRow {
	t := d.topics[name]
	if t == nil {
		t = &countRow{Lag: math.NaN()}
		d.topics[name] = t
	}
	return t
}

func (d *detail) table(name string) *tableRow {
	t := d.tables[name]
	if t == nil {
		t = &tableRow{Name: name}
		d.tables[name] = t
	}
	return t
}

// add adds a number of which NaN is unknown.
func add(to *float64, v float64) {
	if math.IsNaN(*to) {
		*to = 0
	}
	*to += v
}

// least keeps the smaller number, of which NaN is unknown.
func least(to *float64, v float64) {
	if math.IsNaN(*to) || v < *to {
		*to = v
	}
}

// takers say what the series mean that pages show.
var takers = map[string]func(d *detail, label func(string) string, v float64){
	"millrace_source_records_total":         func(d *detail, _ func(string) string, v float64) { d.records += v },
	"millrace_sink_records_total":           func(d *detail, _ func(string) string, v float64) { d.records += v },
	"millrace_source_queue_bytes":           func(d *detail, _ func(string) string, v float64) { d.queue += v },
	"millrace_task_restarts_total":          func(d *detail, _ func(string) string, v float64) { d.restarts += v },
	"millrace_records_skipped_total":        func(d *detail, _ func(string) string, v float64) { d.skipped += v },
	"millrace_source_position_bytes":        func(d *detail, l func(string) string, v float64) { d.at[l("stage")] += v },
	"millrace_sink_position_records":        func(d *detail, l func(string) string, v float64) { d.at[l("stage")] += v },
	"millrace_source_behind_bytes":          func(d *detail, l func(string) string, v float64) { d.behind[l("stage")] += v },
	"millrace_sink_behind_records":          func(d *detail, l func(string) string, v float64) { d.behind[l("stage")] += v },
	"millrace_source_behind_seconds":        func(d *detail, l func(string) string, v float64) { d.age[l("stage")] = max(d.age[l("stage")], v) },
	"millrace_sink_behind_seconds":          func(d *detail, l func(string) string, v float64) { d.age[l("stage")] = max(d.age[l("stage")], v) },
	"millrace_source_retained_bytes":        func(d *detail, _ func(string) string, v float64) { add(&d.kept, v) },
	"millrace_source_retained_limit_bytes":  func(d *detail, _ func(string) string, v float64) { add(&d.limit, v) },
	"millrace_source_retained_left_bytes":   func(d *detail, _ func(string) string, v float64) { add(&d.left, v) },
	"millrace_source_retained_left_seconds": func(d *detail, _ func(string) string, v float64) { least(&d.full, v) },
	"millrace_source_log_expires_seconds":   func(d *detail, _ func(string) string, v float64) { least(&d.expires, v) },
	"millrace_snapshot_running":             func(d *detail, _ func(string) string, v float64) { d.snapshot = d.snapshot || v == 1 },
	"millrace_incremental_snapshot_state":   func(d *detail, _ func(string) string, v float64) { d.incremental = max(d.incremental, int(v)) },
	"millrace_source_topic_records_total":   func(d *detail, l func(string) string, v float64) { d.topic(l("topic")).Records += v },
	"millrace_sink_topic_records_total":     func(d *detail, l func(string) string, v float64) { d.topic(l("topic")).Records += v },
	"millrace_snapshot_table_rows":          func(d *detail, l func(string) string, v float64) { d.table(l("table")).Rows += v },
	"millrace_snapshot_table_expected_rows": func(d *detail, l func(string) string, v float64) { d.table(l("table")).Expected += v },
	"millrace_snapshot_table_done":          func(d *detail, l func(string) string, v float64) { d.table(l("table")).Done = v == 1 },
}

// series is what is kept of one connector.
type series struct {
	readings []reading  // oldest first
	recent   []counters // the last ones, oldest first
	now      *detail
}

type history struct {
	mu     sync.Mutex
	bounds []float64 // upper bounds of the lag buckets, seconds
	all    map[string]*series
}

func newHistory() *history { return &history{all: map[string]*series{}} }

// sample takes the metrics' present values.
func (h *history) sample(g prometheus.Gatherer, now time.Time) {
	families, err := g.Gather()
	if err != nil && len(families) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	next := map[string]*detail{}
	for _, f := range families {
		name := f.GetName()
		take := takers[name]
		lag := name == "millrace_source_lag_seconds" || name == "millrace_sink_lag_seconds"
		topicLag := name == "millrace_sink_topic_lag_seconds"
		if take == nil && !lag && !topicLag {
			continue
		}
		for _, m := range f.GetMetric() {
			label := func(name string) string {
				for _, l := range m.GetLabel() {
					if l.GetName() == name {
						return l.GetValue()
					}
				}
				return ""
			}
			d := next[label("connector")]
			if d == nil {
				d = newDetail(now)
				next[label("connector")] = d
			}
			switch {
			case lag:
				h.addLag(&d.counters, m.GetHistogram())
			case topicLag:
				t := d.topic(label("topic"))
				t.lagSum += m.GetHistogram().GetSampleSum()
				t.lagCount += float64(m.GetHistogram().GetSampleCount())
			default:
				take(d, label, m.GetCounter().GetValue()+m.GetGauge().GetValue()) // it is one of them
			}
		}
	}
	for name, d := range next {
		s := h.all[name]
		if s == nil {
			s = &series{}
			h.all[name] = s
		}
		h.extend(s, d)
	}
	for name := range h.all {
		if next[name] == nil {
			delete(h.all, name)
		}
	}
}

// extend adds a sample to a series.
func (h *history) extend(s *series, d *detail) {
	r := unknownReading
	r.At, r.Queue = d.counters.at.Unix(), d.queue
	for _, stage := range []string{"acknowledged", "written"} {
		if age, ok := d.age[stage]; ok {
			r.Age = age
		}
	}
	r.Behind = d.behind["confirmed"] + d.behind["written"]
	if before := s.now; before != nil {
		if !d.known() {
			if d.before = before; !before.known() {
				d.before = before.before
			}
		}
		if sec := d.counters.at.Sub(before.counters.at).Seconds(); sec > 0 {
			r.Rate = max(0, d.records-before.records) / sec
			for name, t := range d.topics {
				was := &countRow{} // a topic that is new
				if b := before.topics[name]; b != nil {
					was = b
				}
				t.Rate = max(0, t.Records-was.Records) / sec
				if n := t.lagCount - was.lagCount; n > 0 {
					t.Lag = max(0, t.lagSum-was.lagSum) / n
				}
			}
			for name, t := range d.tables {
				if was := before.tables[name]; was != nil {
					t.Rate = max(0, t.Rows-was.Rows) / sec
				}
			}
		}
		from := &s.recent[0]
		r.P50, r.P99 = h.percentile(from, &d.counters, .5), h.percentile(from, &d.counters, .99)
	}
	s.now = d
	s.recent = last(append(s.recent, d.counters), window)
	s.readings = last(append(s.readings, r), keepSamples)
}

// last keeps the n last elements, in the same memory.
func last[T any](s []T, n int) []T {
	if len(s) <= n {
		return s
	}
	copy(s, s[len(s)-n:])
	return s[:n]
}

func (h *history) addLag(c *counters, hist *dto.Histogram) {
	buckets := hist.GetBucket()
	if c.lags == nil {
		c.lags = make([]float64, len(buckets)+1)
		h.bounds = h.bounds[:0]
		for _, b := range buckets {
			h.bounds = append(h.bounds, b.GetUpperBound())
		}
	}
	for i, b := range buckets {
		if i < len(c.lags) {
			c.lags[i] += float64(b.GetCumulativeCount())
		}
	}
	c.lags[len(c.lags)-1] += float64(hist.GetSampleCount())
}

// percentile of the lags between two samples, by linear interpolation.
func (h *history) percentile(a, b *counters, q float64) float64 {
	if len(b.lags) == 0 {
		return math.NaN()
	}
	delta := func(i int) float64 {
		if i < len(a.lags) {
			return b.lags[i] - a.lags[i]
		}
		return b.lags[i]
	}
	total := delta(len(b.lags) - 1)
	if total <= 0 {
		return math.NaN()
	}
	below, lower := 0.0, 0.0
	for i, bound := range h.bounds {
		n := delta(i)
		if n >= q*total {
			if n == below {
				return bound
			}
			return lower + (bound-lower)*(q*total-below)/(n-below)
		}
		below, lower = n, bound
	}
	return lower
}

// readings returns one reading per sample, oldest first.
func (h *history) readings(name string) []reading {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.all[name]; s != nil {
		return append([]reading(nil), s.readings...)
	}
	return nil
}

// now returns the newest state of a connector, which is not changed any more; nil
// when nothing is known. since is how long it has been watched.
func (h *history) now(name string) (d *detail, newest reading, since time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.all[name]
	if s == nil || s.now == nil {
		return nil, unknownReading, 0
	}
	first := s.readings[0]
	newest = s.readings[len(s.readings)-1]
	return s.now, newest, time.Duration(newest.At-first.At) * time.Second
}

// tableOf is the name of a topic without the prefix of its connector.
func tableOf(topic, prefix string) string { return strings.TrimPrefix(topic, prefix+".") }
