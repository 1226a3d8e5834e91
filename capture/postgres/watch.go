package postgres

import (
	"context"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"millrace/capture"
	"millrace/internal/metrics"
	"millrace/internal/record"
)

// watchEvery is how often the server is asked where its log ends, and watchTimeout
// how long an answer may take.
const (
	watchEvery   = 5 * time.Second
	watchTimeout = 5 * time.Second
)

// appWatch is the application name of the connection that asks.
const appWatch = "millrace position"

// watch tells the metrics where the task is in the server's log, and what the server
// keeps for it. It asks on a connection of its own: a server that is slow to answer
// does not hold up the stream, and a long snapshot is watched as well.
type watch struct {
	t     *task
	place *metrics.Place
	read  atomic.Uint64 // LSN up to which the stream was read; 0 it was not opened yet
	wg    sync.WaitGroup
	conn  *pgconn.PgConn
}

// startWatch starts it; stop joins it. Without metrics it does nothing.
func startWatch(ctx context.Context, t *task) (w *watch, stop func()) {
	w = &watch{t: t}
	if t.metrics == nil {
		return w, func() {}
	}
	w.place = t.metrics.SourcePlace()
	ctx, cancel := context.WithCancel(ctx)
	w.wg.Go(func() { w.run(ctx) })
	return w, func() { cancel(); w.wg.Wait() }
}

func (w *watch) run(ctx context.Context) {
	defer func() {
		closeConn(w.conn)
		w.place.Unknown()
	}()
	known := true
	for wait := time.Second; ; wait = watchEvery {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		err := w.look(ctx)
		if err != nil && ctx.Err() == nil {
			w.place.Unknown()
			closeConn(w.conn)
			w.conn = nil
			if known { // once, not every few seconds; the stream has its own words when the server is away
				w.t.log.Warn("the server does not say where its log ends, so there are no figures about it for now", "error", err)
			}
		}
		known = err == nil
	}
}

// watchSQL counts places in bytes from the beginning of the log.
const watchSQL = `SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END - '0/0'::pg_lsn,
 s.restart_lsn - '0/0'::pg_lsn, s.confirmed_flush_lsn - '0/0'::pg_lsn, s.safe_wal_size,
 (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size')
 FROM (SELECT 1) x LEFT JOIN pg_catalog.pg_replication_slots s ON s.slot_name = $1`

// look asks once.
func (w *watch) look(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	if w.conn == nil || w.conn.IsClosed() {
		if w.conn, err = w.t.opts.Conn.connect(ctx, appWatch); err != nil {
			return err
		}
	}
	rows, err := query(ctx, w.conn, watchSQL, w.t.opts.Slot.Name)
	if err != nil {
		return err
	}
	number := func(b []byte) float64 {
		v, err := strconv.ParseFloat(string(b), 64)
		if err != nil {
			return math.NaN()
		}
		return v
	}
	row := rows[0]
	head := number(row[0])
	if math.IsNaN(head) {
		return nil // a standby that has replayed nothing yet
	}
	var reached []metrics.Reached
	if at := w.read.Load(); at != 0 {
		reached = append(reached, metrics.Reached{Stage: metrics.StageRead, At: at})
	}
	if p := w.acknowledged(); p != nil {
		reached = append(reached, metrics.Reached{Stage: metrics.StageAcknowledged, At: uint64(max(p.LSN, p.Commit, p.Proc)), Written: p.TsUsec})
	}
	if at := number(row[2]); at > 0 {
		reached = append(reached, metrics.Reached{Stage: metrics.StageConfirmed, At: uint64(at)})
	}
	w.place.Set(time.Now(), uint64(head), reached...)
	kept := metrics.UnknownKept()
	kept.Bytes = max(0, head-number(row[1]))
	if mb := number(row[4]); mb >= 0 {
		kept.Budget, kept.Left = mb*(1<<20), max(0, number(row[3]))
	}
	w.place.Keep(kept)
	return nil
}

// incremental tells what the incremental snapshot does.
func (w *watch) incremental(i *capture.Incremental) {
	if w.t.metrics == nil {
		return
	}
	state := metrics.IncrementalNone
	switch {
	case i.Running() && i.Paused():
		state = metrics.IncrementalPaused
	case i.Running():
		state = metrics.IncrementalRunning
	}
	w.t.metrics.Incremental(state)
}

// about is how many rows the statistics say that a table has, 0 when they say nothing.
func (e *incrementalEngine) about(ctx context.Context, table uint32) int64 {
	rows, err := query(ctx, e.conn, "SELECT reltuples::bigint FROM pg_catalog.pg_class WHERE oid = $1", strconv.FormatUint(uint64(table), 10))
	if err != nil || len(rows) == 0 {
		return 0 // an estimate is not worth a failure; the next statement will tell
	}
	return max(0, num(rows[0][0]))
}

// acknowledged is the newest position that Kafka has everything of.
func (w *watch) acknowledged() *Position {
	a, ok := w.t.out.(interface{ Acknowledged() record.Position })
	if !ok {
		return nil
	}
	p, _ := a.Acknowledged().(*Position)
	return p
}
