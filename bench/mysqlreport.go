package main

import (
	"fmt"
	"time"
)

func (m *mysqlBench) reportDrain(changes int64, raw1, raw2 time.Duration, how string, formats []*format) {
	perS := func(d time.Duration) string { return thousands(int64(float64(changes) / d.Seconds())) }
	best := min(raw1, raw2)
	for _, f := range formats {
		m.report.rows = append(m.report.rows, row{
			what: m.label + ": drain of " + thousands(changes) + " changes, " + f.name, value: perS(f.took) + " changes/s", limit: perS(best) + "/s (" + how + ")",
			share: fmt.Sprintf("%.0f %%", 100*best.Seconds()/f.took.Seconds()), cpu: fmt.Sprintf("%.1f µs", f.cpuUs), rss: fmt.Sprintf("%.0f MiB", f.rssMiB),
		})
	}
	m.report.notes = append(m.report.notes, fmt.Sprintf("%s: %s before and after: %s and %s changes/s", m.label, how, perS(raw1), perS(raw2)))
}

func (m *mysqlBench) reportSnapshot(name string, rows int64, took, plain time.Duration, cpuUs, rss float64) {
	perS := func(d time.Duration) string { return thousands(int64(float64(rows) / d.Seconds())) }
	m.report.rows = append(m.report.rows, row{
		what: m.label + ": snapshot of " + thousands(rows) + " rows, " + name, value: perS(took) + " rows/s", limit: perS(plain) + "/s (SELECT)",
		share: fmt.Sprintf("%.0f %%", 100*plain.Seconds()/took.Seconds()), cpu: fmt.Sprintf("%.1f µs", cpuUs), rss: fmt.Sprintf("%.0f MiB", rss),
	})
}

func (m *mysqlBench) reportLatency(lat []time.Duration, cpuPct, rss float64) {
	q := func(p float64) string {
		return fmt.Sprintf("%.1f ms", float64(lat[min(len(lat)-1, int(p*float64(len(lat))))].Microseconds())/1000)
	}
	m.report.rows = append(m.report.rows, row{
		what:  fmt.Sprintf("%s: commit → consumer at %d transactions/s", m.label, m.rate),
		value: "p50 " + q(.5) + ", p99 " + q(.99), limit: "max " + q(1), cpu: fmt.Sprintf("%.1f %% of a core", cpuPct), rss: fmt.Sprintf("%.0f MiB", rss),
	})
}
