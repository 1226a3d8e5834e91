package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"millrace/capture"
	"millrace/emit"
	"millrace/internal/metrics"
	"millrace/internal/record"
	"millrace/snapshot"
	snappg "millrace/snapshot/postgres"
)

// snapshotReader reads tables into the session's batches.
type snapshotReader struct {
	*task
	conn *pgconn.PgConn
	at   LSN // of the snapshot; rows carry it
	info snappg.Info
	kind string // INITIAL or BLOCKING
	// more are further connections on the same snapshot, for snapshot.max.threads.
	more []*pgconn.PgConn

	tables []*snapshotTable
	split  snappg.Splitter
	cells  [snapshot.Markers]record.Cell
	epoch  uint64 // of cells
	look   snapshot.Lookahead

	// How far it is, for a restart; see snapshot_resume.go.
	resumes  bool // it can go on after an interruption
	resumed  bool // it does
	progress snapshot.Progress
	before   snapshot.Progress // of before the interruption
	came     int64             // rows that were read
	marks    []mark

	now    time.Time
	rows   int64 // that were made into records
	logged time.Time
	since  int64 // rows when it was logged
}

func newSnapshotReader(t *task, conn *pgconn.PgConn, kind string, at LSN, info snappg.Info) *snapshotReader {
	now := time.Now()
	return &snapshotReader{task: t, conn: conn, at: at, info: info, kind: kind, now: now, logged: now, progress: snapshot.Progress{Xmin: info.Xmin}}
}

// read reads all tables and moves the session behind the snapshot. A blocking
// snapshot leaves it where it was in the log.
func (r *snapshotReader) read(ctx context.Context) (err error) {
	s := r.session
	began := time.Now()
	r.look.Emit = func(table int, row []byte, m snapshot.Marker) error { return r.emit(ctx, table, row, m) }
	if r.kind == "INITIAL" {
		if err := r.start(ctx); err != nil {
			return err
		}
	}
	s.at.Snapshot, s.at.LastRow, s.at.Completed = r.kind, false, false
	s.src.tsUs, s.src.txID, s.src.commit, s.src.xmin = r.info.TsUsec, r.info.TxID, s.lastCommit, 0
	s.src.origin = ""
	names := r.names()
	if r.metrics != nil {
		r.metrics.SnapshotBegins(len(r.tables))
		for _, st := range r.tables {
			r.metrics.SnapshotTable(st.name, st.about, 0)
		}
		defer func() { r.ended(err) }()
	}
	r.log.Info("snapshot begins", "kind", r.kind, "tables", len(r.tables), "lsn", r.at.String())
	for i, st := range r.tables {
		if err := r.table(ctx, i, st, names); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("snapshot of table %s: %w", st.name, err)
		}
		if r.metrics != nil {
			st.count()
			r.metrics.SnapshotTableDone(st.name)
			r.metrics.SnapshotRemaining(len(r.tables) - 1 - i)
		}
	}
	s.at.LastRow, s.at.Completed = true, true
	r.marks, s.at.Extra = nil, withoutProgress(s.at.Extra)
	r.noteSnapshot("COMPLETED")
	if r.opts.Heartbeat.Interval > 0 {
		capture.AppendHeartbeat(s.batch(), r.topics.heartbeat, r.opts.Prefix, time.Now().UnixMilli())
	}
	if err := s.send(ctx, r.idle); err != nil {
		return err
	}
	for _, st := range r.tables {
		st.count()
	}
	took := time.Since(began)
	r.log.Info("snapshot ended", "rows", r.rows, "took", took.Round(time.Millisecond).String(), "rows_per_s", int64(float64(r.rows)/max(took.Seconds(), 1e-3)))
	return nil
}

// ended notes how the snapshot ended.
func (r *snapshotReader) ended(err error) {
	if err != nil {
		r.metrics.SnapshotEnds(metrics.SnapshotAborted)
	} else {
		r.metrics.SnapshotEnds(metrics.SnapshotCompleted)
	}
}

// table reads one table, unless that was done before an interruption.
func (r *snapshotReader) table(ctx context.Context, i int, st *snapshotTable, names string) error {
	last := func() error {
		if i < len(r.tables)-1 {
			return nil
		}
		_, err := r.look.End()
		return err
	}
	if r.progress.Finished(st.name, st.print()) {
		return last()
	}
	before := r.begin(st)
	if r.metrics != nil && before > 0 {
		r.metrics.SnapshotTable(st.name, st.about, before)
	}
	r.log.Info("reading table", "table", st.name, "about_rows", st.about, "chunks", len(st.chunks))
	r.noteSnapshot("IN_PROGRESS", [2]string{"current_collection_in_progress", st.name}, [2]string{"data_collections", names})
	start := time.Now()
	n, err := r.copyTable(ctx, st, func(row []byte) error {
		r.came++
		return r.look.Row(i, row)
	})
	if err != nil {
		return err
	}
	took := time.Since(start)
	r.log.Info("table read", "table", st.name, "rows", n, "took", took.Round(time.Millisecond).String(), "rows_per_s", int64(float64(n)/max(took.Seconds(), 1e-3)))
	if err := last(); err != nil {
		return err
	}
	r.mark(func() { r.progress.End(st.print()) })
	r.noteSnapshot("TABLE_SCAN_COMPLETED", [2]string{"scanned_collection", st.name}, [2]string{"total_rows_scanned", strconv.FormatInt(before+n, 10)},
		[2]string{"data_collections", names}, [2]string{"status", "SUCCEEDED"})
	return nil
}

func (r *snapshotReader) names() string {
	out := make([]string, len(r.tables))
	for i, st := range r.tables {
		out[i] = st.name
	}
	return strings.Join(out, ",")
}

// decode makes the cells of one row.
func (r *snapshotReader) decode(b *record.Batch, st *snapshotTable, row []byte) (value, key record.Cell, err error) {
	if st.binary != nil {
		x, err := st.binary.Decode(b, row)
		if x.Failures != nil {
			r.session.warnFailures(&st.table, x.Failures)
		}
		return x.Value, x.Key, err
	}
	fields, err := r.split.Split(row)
	if err != nil {
		return value, key, err
	}
	if len(fields) != st.columns {
		return value, key, fmt.Errorf("a row of table %s has %d values instead of %d", st.name, len(fields), st.columns)
	}
	for i, from := range st.pick {
		st.fields[i] = nil
		if from >= 0 {
			st.fields[i] = fields[from]
		}
	}
	x, err := st.rows.DecodeTexts(b, st.fields)
	if x.Failures != nil {
		r.session.warnFailures(&st.table, x.Failures)
	}
	return x.Value, x.Key, err
}

// emit makes the record of one row.
func (r *snapshotReader) emit(ctx context.Context, index int, row []byte, m snapshot.Marker) error {
	st, s := r.tables[index], r.session
	if r.rows++; r.rows%clockEvery == 1 {
		r.now = time.Now()
		st.count()
		r.logProgress(st)
		if err := r.keepAlive(); err != nil {
			return err
		}
	}
	st.done++
	b := s.batch()
	value, key, err := r.decode(b, st, row)
	if err != nil {
		return st.fail(err, r.at)
	}
	if r.epoch != s.src.epoch {
		r.epoch = s.src.epoch
		for i := range r.cells {
			r.cells[i] = b.StringCell(snapshot.Marker(i).String())
		}
	}
	st.env.Append(b, s.shared, &emit.Change{Op: emit.OpRead, After: value, Key: key, NowNs: r.now.UnixNano(),
		Source: s.src.cell(b, &st.src, r.at, r.cells[m])})
	if s.full() {
		r.settle()
		return s.send(ctx, r.idle)
	}
	return nil
}

// idle is called while the queue is full, and now and then while rows come. During a
// blocking snapshot the stream's connection is open and wants to be kept alive.
func (r *snapshotReader) idle() error {
	if st := r.src.current.Load(); st != nil {
		return st.idle()
	}
	return nil
}

// keepAlive answers for the stream's connection while a blocking snapshot reads.
func (r *snapshotReader) keepAlive() error {
	if st := r.src.current.Load(); st != nil && r.now.Sub(st.status) >= r.opts.Flush.StatusInterval {
		return st.idle()
	}
	return nil
}

// progressEvery is how often a running snapshot logs its progress.
const progressEvery = 5 * time.Second

// logProgress logs how far the snapshot is, every few seconds.
func (r *snapshotReader) logProgress(st *snapshotTable) {
	d := r.now.Sub(r.logged)
	if d < progressEvery {
		return
	}
	rate := float64(r.rows-r.since) / d.Seconds()
	r.logged, r.since = r.now, r.rows
	args := []any{"table", st.name, "rows", st.done, "rows_per_s", int64(rate)}
	if left := st.about - st.done; left > 0 && rate > 0 {
		args = append(args, "about_rows", st.about, "table_done_in", time.Duration(float64(left)/rate*float64(time.Second)).Round(time.Second).String())
	}
	r.log.Info("snapshot goes on", args...)
}

// count adds the rows read since the last call to the metric.
func (st *snapshotTable) count() {
	if st.counter != nil {
		st.counter.Add(float64(st.done - st.counted))
		st.counted = st.done
	}
}
