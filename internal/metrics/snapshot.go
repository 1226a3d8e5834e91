package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// SnapshotEnd is how an initial or blocking snapshot ended.
type SnapshotEnd int32

// The ends of a snapshot.
const (
	SnapshotNone SnapshotEnd = iota // none was taken yet, or one runs
	SnapshotCompleted
	SnapshotAborted
	SnapshotSkipped // the start needed none
)

// snapshotStats are the numbers of the snapshot that runs or ran last.
type snapshotStats struct {
	tables, remaining atomic.Int64
	began, ended      atomic.Int64 // ms; 0 not
	running           atomic.Bool
	end               atomic.Int32
}

// SnapshotBegins notes that an initial or blocking snapshot of so many tables begins.
func (t *Task) SnapshotBegins(tables int) {
	t.stats.mu.Lock()
	clear(t.stats.reads)
	t.stats.mu.Unlock()
	s := &t.stats.snap
	s.tables.Store(int64(tables))
	s.remaining.Store(int64(tables))
	s.began.Store(time.Now().UnixMilli())
	s.ended.Store(0)
	s.end.Store(int32(SnapshotNone))
	s.running.Store(true)
}

// SnapshotRemaining notes how many tables of the running snapshot are still to be read.
func (t *Task) SnapshotRemaining(tables int) { t.stats.snap.remaining.Store(int64(tables)) }

// SnapshotEnds notes how the snapshot ended.
func (t *Task) SnapshotEnds(how SnapshotEnd) {
	s := &t.stats.snap
	if s.running.Swap(false) {
		s.ended.Store(time.Now().UnixMilli())
	}
	s.end.Store(int32(how))
}

// debezium makes the series of Debezium's snapshot context.
func (s *snapshotStats) debezium(ch chan<- prometheus.Metric, i Info, task string, now time.Time, st *stats) {
	e := emitter{ch, []string{"plugin", "name", "context", "task"}, []string{i.Plugin, i.Server, "snapshot", task}}
	truth := func(yes bool) float64 {
		if yes {
			return 1
		}
		return 0
	}
	end := SnapshotEnd(s.end.Load())
	if end == SnapshotNone && s.began.Load() == 0 {
		return // nothing is known
	}
	e.gauge("debezium_metrics_TotalTableCount", "Tables of the snapshot.", float64(s.tables.Load()))
	e.gauge("debezium_metrics_RemainingTableCount", "Tables of the snapshot that are still to be read.", float64(s.remaining.Load()))
	e.gauge("debezium_metrics_SnapshotRunning", "1 while a snapshot runs.", truth(s.running.Load()))
	e.gauge("debezium_metrics_SnapshotCompleted", "1 when the last snapshot was completed.", truth(end == SnapshotCompleted))
	e.gauge("debezium_metrics_SnapshotAborted", "1 when the last snapshot was aborted.", truth(end == SnapshotAborted))
	e.gauge("debezium_metrics_SnapshotSkipped", "1 when the start needed no snapshot.", truth(end == SnapshotSkipped))
	paused, pausedMs := IncrementalState(st.incremental.Load()) == IncrementalPaused, st.log.pausedMs.Load()
	if paused {
		pausedMs += now.UnixMilli() - st.log.pausedAt.Load()
	}
	e.gauge("debezium_metrics_SnapshotPaused", "1 while an incremental snapshot is paused.", truth(paused))
	e.gauge("debezium_metrics_SnapshotPausedDurationInSeconds", "How long incremental snapshots were paused.", float64(pausedMs)/1000)
	took := 0.0
	if from := s.began.Load(); from > 0 {
		to := s.ended.Load()
		if to == 0 {
			to = now.UnixMilli()
		}
		took = float64(to-from) / 1000
	}
	e.gauge("debezium_metrics_SnapshotDurationInSeconds", "How long the last snapshot took, or has taken by now.", took)
}
