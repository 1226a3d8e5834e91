package metrics

import (
	"sync/atomic"
	"time"
)

// Events counts the row changes that a source has read from its log, by operation.
// It is safe for concurrent use and costs an addition per change.
type Events struct{ creates, updates, deletes atomic.Uint64 }

// Seen counts a change; op is spelled as in the envelope.
func (e *Events) Seen(op byte) {
	switch op {
	case 'c':
		e.creates.Add(1)
	case 'u':
		e.updates.Add(1)
	case 'd':
		e.deletes.Add(1)
	}
}

// logStats are the numbers that Debezium shows of reading a log.
type logStats struct {
	events                   Events
	transactions             atomic.Uint64
	lagMin, lagMax           atomic.Uint64 // ms; lagMin is one more, so that 0 is none yet
	lagSum, lagCount         atomic.Uint64
	binlogPos, disconnects   atomic.Uint64
	gtid                     atomic.Bool
	recovering, recovered    atomic.Int64 // ms; 0 not
	changesRead              atomic.Uint64
	changesApplied           atomic.Uint64
	lastRecovered, lastApply atomic.Int64 // ms; 0 never
	pausedAt, pausedMs       atomic.Int64
}

func (l *logStats) lag(ms uint64) {
	l.lagSum.Add(ms)
	l.lagCount.Add(1)
	for m := l.lagMax.Load(); ms > m && !l.lagMax.CompareAndSwap(m, ms); m = l.lagMax.Load() {
	}
	for m := l.lagMin.Load(); (m == 0 || ms+1 < m) && !l.lagMin.CompareAndSwap(m, ms+1); m = l.lagMin.Load() {
	}
}

// Events are the counters of row changes of the task's log.
func (t *Task) Events() *Events { return &t.stats.log.events }

// Transaction counts a transaction of the source that was read to its commit.
func (t *Task) Transaction() { t.stats.log.transactions.Add(1) }

// Binlog notes the position in the binary log, and whether the server has GTIDs.
func (t *Task) Binlog(position int64, gtid bool) {
	t.stats.log.binlogPos.Store(uint64(max(0, position)))
	t.stats.log.gtid.Store(gtid)
}

// Disconnected counts a connection to the log that broke.
func (t *Task) Disconnected() { t.stats.log.disconnects.Add(1) }

// HistoryRecovery notes that the schema history is read, and once that is over how
// many changes it had.
func (t *Task) HistoryRecovery(now time.Time, changes int, done bool) {
	l := &t.stats.log
	if !done {
		l.recovering.Store(now.UnixMilli())
		return
	}
	l.recovered.Store(now.UnixMilli())
	l.changesRead.Add(uint64(max(0, changes)))
	if changes > 0 {
		l.lastRecovered.Store(now.UnixMilli())
	}
}

// HistoryApplied counts changes of tables that were read from the log and recorded.
func (t *Task) HistoryApplied(now time.Time, changes int) {
	t.stats.log.changesApplied.Add(uint64(max(0, changes)))
	t.stats.log.lastApply.Store(now.UnixMilli())
}

// paused notes when an incremental snapshot is paused and goes on.
func (l *logStats) paused(was, is IncrementalState, now time.Time) {
	switch {
	case is == IncrementalPaused && was != is:
		l.pausedAt.Store(now.UnixMilli())
	case was == IncrementalPaused && was != is:
		l.pausedMs.Add(now.UnixMilli() - l.pausedAt.Load())
	}
}

// debezium makes the series; free is the part of the queue that is free.
func (l *logStats) debezium(e emitter, i Info, now time.Time, free float64) {
	e.total("debezium_metrics_TotalNumberOfCreateEventsSeen", "Inserted rows read from the log.", &l.events.creates)
	e.total("debezium_metrics_TotalNumberOfUpdateEventsSeen", "Updated rows read from the log.", &l.events.updates)
	e.total("debezium_metrics_TotalNumberOfDeleteEventsSeen", "Deleted rows read from the log.", &l.events.deletes)
	e.total("debezium_metrics_NumberOfCommittedTransactions", "Transactions read from the log to their commit.", &l.transactions)
	if n := l.lagCount.Load(); n > 0 {
		e.gauge("debezium_metrics_MilliSecondsBehindSourceMinValue", "Least MilliSecondsBehindSource since the worker started.", float64(l.lagMin.Load()-1))
		e.gauge("debezium_metrics_MilliSecondsBehindSourceMaxValue", "Greatest MilliSecondsBehindSource since the worker started.", float64(l.lagMax.Load()))
		e.gauge("debezium_metrics_MilliSecondsBehindSourceAverageValue", "Mean MilliSecondsBehindSource since the worker started.", float64(l.lagSum.Load())/float64(n))
	}
	if i.QueueSize > 0 {
		free = max(0, min(1, free))
		e.gauge("debezium_metrics_QueueTotalCapacity", "max.queue.size.", float64(i.QueueSize))
		e.gauge("debezium_metrics_QueueRemainingCapacity", "The part of max.queue.size that is free; the queue is bounded in bytes, of which the same part is.", float64(int(free*float64(i.QueueSize))))
	}
	if i.Plugin == "mysql" || i.Plugin == "mariadb" {
		gtid := 0.0
		if l.gtid.Load() {
			gtid = 1
		}
		e.gauge("debezium_metrics_BinlogPosition", "Position in the binary log behind the last event read.", float64(l.binlogPos.Load()))
		e.gauge("debezium_metrics_IsGtidModeEnabled", "1 when the server's transactions have GTIDs.", gtid)
		e.total("debezium_metrics_NumberOfDisconnects", "Connections to the binary log that broke.", &l.disconnects)
		e.strings = append(append([]string{}, e.strings[:2]...), "schema-history", e.strings[3])
		l.history(e, now)
	}
}

func (l *logStats) history(e emitter, now time.Time) {
	since := func(at int64) float64 {
		if at == 0 {
			return -1
		}
		return float64(now.UnixMilli() - at)
	}
	start := -1.0
	if at := l.recovering.Load(); at > 0 {
		start = float64(at)
	}
	e.gauge("debezium_metrics_RecoveryStartTime", "When the schema history was begun to be read, in milliseconds since 1970; -1 not.", start)
	e.total("debezium_metrics_ChangesRecovered", "Changes of tables read from the schema history.", &l.changesRead)
	e.total("debezium_metrics_ChangesApplied", "Changes of tables read from the log, or from the server, and recorded in the schema history.", &l.changesApplied)
	e.gauge("debezium_metrics_MilliSecondsSinceLastRecoveredChange", "Time since the last change was read from the schema history; -1 none.", since(l.lastRecovered.Load()))
	e.gauge("debezium_metrics_MilliSecondsSinceLastAppliedChange", "Time since the last change was recorded in the schema history; -1 none.", since(l.lastApply.Load()))
}
