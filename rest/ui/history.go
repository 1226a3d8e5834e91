package ui

import (
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// History of what the metrics say of each connector: sampleEvery apart, keepSamples
// of them. window is what rates and percentiles are of.
const (
	sampleEvery = 5 * time.Second
	keepSamples = 120
	window      = 6
)

// Names of the series that pages show.
const (
	sourceRecords = "millrace_source_records_total"
	sourceLag     = "millrace_source_lag_seconds"
	sinkRecords   = "millrace_sink_records_total"
	sinkLag       = "millrace_sink_lag_seconds"
	queueBytes    = "millrace_source_queue_bytes"
	logLag        = "millrace_source_log_lag_bytes"
	snapshotRows  = "millrace_snapshot_rows_total"
	restartsTotal = "millrace_task_restarts_total"
	skippedTotal  = "millrace_records_skipped_total"
)

// point is one sample of a connector.
type point struct {
	at      time.Time
	records float64
	queue   float64
	behind  float64 // bytes of the log
	counts  []float64
	tables  map[string]float64
	restart float64
	skipped float64
}

// sums are the series that a point adds up over the tasks of a connector.
var sums = map[string]func(*point) *float64{
	sourceRecords: func(p *point) *float64 { return &p.records },
	sinkRecords:   func(p *point) *float64 { return &p.records },
	queueBytes:    func(p *point) *float64 { return &p.queue },
	logLag:        func(p *point) *float64 { return &p.behind },
	restartsTotal: func(p *point) *float64 { return &p.restart },
	skippedTotal:  func(p *point) *float64 { return &p.skipped },
}

type history struct {
	mu     sync.Mutex
	bounds []float64 // upper bounds of the lag buckets, seconds
	series map[string][]point
}

func newHistory() *history { return &history{series: map[string][]point{}} }

// sample takes the metrics' present values.
func (h *history) sample(g prometheus.Gatherer, now time.Time) {
	families, err := g.Gather()
	if err != nil && len(families) == 0 {
		return
	}
	next := map[string]*point{}
	of := func(m *dto.Metric) (*point, map[string]string) {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		p := next[labels["connector"]]
		if p == nil {
			p = &point{at: now, tables: map[string]float64{}}
			next[labels["connector"]] = p
		}
		return p, labels
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range families {
		for _, m := range f.GetMetric() {
			at := sums[f.GetName()]
			switch f.GetName() {
			case snapshotRows:
				p, labels := of(m)
				p.tables[labels["table"]] += m.GetCounter().GetValue()
			case sourceLag, sinkLag:
				p, _ := of(m)
				h.addLag(p, m.GetHistogram())
			default:
				if at != nil {
					p, _ := of(m)
					*at(p) += m.GetCounter().GetValue() + m.GetGauge().GetValue() // it is one of them
				}
			}
		}
	}
	for name, p := range next {
		s := append(h.series[name], *p)
		if len(s) > keepSamples {
			s = s[len(s)-keepSamples:]
		}
		h.series[name] = s
	}
	for name := range h.series {
		if next[name] == nil {
			delete(h.series, name)
		}
	}
}

func (h *history) addLag(p *point, hist *dto.Histogram) {
	buckets := hist.GetBucket()
	if p.counts == nil {
		p.counts = make([]float64, len(buckets)+1)
		h.bounds = h.bounds[:0]
		for _, b := range buckets {
			h.bounds = append(h.bounds, b.GetUpperBound())
		}
	}
	for i, b := range buckets {
		if i < len(p.counts) {
			p.counts[i] += float64(b.GetCumulativeCount())
		}
	}
	p.counts[len(p.counts)-1] += float64(hist.GetSampleCount())
}

// reading is what is known of a connector at one moment.
type reading struct {
	At       int64 // s since 1970
	Rate     float64
	P50, P99 float64 // seconds; NaN: no record in the window
	Queue    float64
	Behind   float64
}

// readings returns one reading per sample, oldest first.
func (h *history) readings(name string) []reading {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.series[name]
	out := make([]reading, 0, len(s))
	for i := range s {
		from := max(0, i-window)
		r := reading{At: s[i].at.Unix(), Queue: s[i].queue, Behind: s[i].behind, P50: math.NaN(), P99: math.NaN()}
		if i > 0 {
			back := max(0, i-1)
			if d := s[i].at.Sub(s[back].at).Seconds(); d > 0 {
				r.Rate = max(0, s[i].records-s[back].records) / d
			}
			r.P50, r.P99 = h.percentile(&s[from], &s[i], .5), h.percentile(&s[from], &s[i], .99)
		}
		out = append(out, r)
	}
	return out
}

// percentile of the lags between two samples, by linear interpolation.
func (h *history) percentile(a, b *point, q float64) float64 {
	if len(b.counts) == 0 {
		return math.NaN()
	}
	delta := func(i int) float64 {
		if i < len(a.counts) {
			return b.counts[i] - a.counts[i]
		}
		return b.counts[i]
	}
	total := delta(len(b.counts) - 1)
	if total <= 0 {
		return math.NaN()
	}
	below, lower := 0.0, 0.0
	for i, bound := range h.bounds {
		if n := delta(i); n >= q*total {
			if n == below {
				return bound
			}
			return lower + (bound-lower)*(q*total-below)/(n-below)
		} else {
			below, lower = n, bound
		}
	}
	return lower
}

// tableRow is the snapshot progress of a table.
type tableRow struct {
	Name string
	Rows float64
	Rate float64
}

// tables returns the rows that snapshots read.
func (h *history) tables(name string) (out []tableRow) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.series[name]
	if len(s) == 0 {
		return nil
	}
	last, before := s[len(s)-1], s[max(0, len(s)-2)]
	for t, rows := range last.tables {
		r := tableRow{Name: t, Rows: rows}
		if d := last.at.Sub(before.at).Seconds(); d > 0 {
			r.Rate = max(0, rows-before.tables[t]) / d
		}
		out = append(out, r)
	}
	return out
}

// totals returns the counts since the worker started.
func (h *history) totals(name string) (records, restarts, skipped float64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := h.series[name]; len(s) > 0 {
		p := s[len(s)-1]
		return p.records, p.restart, p.skipped
	}
	return 0, 0, 0
}
