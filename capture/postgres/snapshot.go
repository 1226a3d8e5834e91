package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"

	"millrace/capture"
	"millrace/decode/pgvalue"
	"millrace/emit"
	"millrace/internal/record"
	"millrace/snapshot"
	snappg "millrace/snapshot/postgres"
)

// progressEvery is how often a running snapshot logs its progress.
const progressEvery = 5 * time.Second

// snapshot reads the tables and leaves the session at the position where
// streaming goes on: every transaction is either visible in the snapshot or
// streamed, none is both and none neither.
//
// A slot that was just made has exported such a snapshot. When the slot was there
// before, a temporary one exports it: its consistent point lies behind the slot's
// position, so the slot can stream from there.
func (t *task) snapshot(ctx context.Context, tables []*tableMeta, slot *slotState, exported string, at LSN) error {
	if d := t.opts.Snapshot.Delay; d > 0 {
		t.log.Info("waiting before the snapshot", "delay", d.String())
		if err := t.pause(ctx, d); err != nil {
			return err
		}
	}
	if exported == "" && slot != nil {
		conn, name, point, err := t.borrowSnapshot(ctx)
		if err != nil {
			return err
		}
		defer closeConn(conn)
		if exported, at = name, point; name == "" {
			at = slot.Confirmed
		}
	}
	conn, err := t.snapshotConn(ctx)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	info, err := snappg.Begin(ctx, conn, snappg.Tx{Snapshot: exported, Serializable: t.opts.Snapshot.Isolation == "serializable"})
	if err != nil {
		return err
	}
	if at == 0 {
		at = info.LSN
	}
	r := &snapshotReader{task: t, conn: conn, at: at, info: info, kind: "INITIAL", now: time.Now(), logged: time.Now()}
	t.noteSnapshot("STARTED")
	if err := r.choose(ctx, tables, t.opts.Snapshot.Overrides); err != nil {
		return err
	}
	defer r.closeMore()
	if err := r.openMore(ctx); err != nil {
		return err
	}
	if err := r.read(ctx); err != nil {
		return err
	}
	if d := t.opts.Snapshot.StreamDelay; d > 0 {
		t.log.Info("waiting before streaming", "delay", d.String())
		return t.pause(ctx, d)
	}
	return nil
}

// borrowSnapshot exports a snapshot by a temporary slot, whose connection must
// stay open until it was imported. If the server cannot make one, name is "" and
// the snapshot must do with a transaction of its own: streaming then repeats what
// the slot holds, which loses nothing.
func (t *task) borrowSnapshot(ctx context.Context) (conn *pgconn.PgConn, name string, at LSN, err error) {
	if conn, _, err = t.opts.Conn.connectReplication(ctx); err != nil {
		return nil, "", 0, fmt.Errorf("open a replication connection for the snapshot: %w", err)
	}
	at, name, err = t.createSlot(ctx, conn, "millrace_"+strings.ReplaceAll(capture.UUID(), "-", "")[:24], true)
	if err == nil {
		return conn, name, at, nil
	}
	closeConn(conn)
	if errors.Is(err, errSlotWait) || sqlState(err) == "53400" || t.standby {
		t.log.Warn("no temporary slot for an exact snapshot; streaming will repeat the changes that the slot still holds", "error", err)
		return nil, "", 0, nil
	}
	return nil, "", 0, err
}

// snapshotConn opens the connection that tables are read on. The initial
// statements may have changed how values are printed; only the time zone is the
// user's.
func (t *task) snapshotConn(ctx context.Context) (*pgconn.PgConn, error) {
	conn, err := t.opts.Conn.connect(ctx, appGeneral)
	if err != nil {
		return nil, fmt.Errorf("open a connection for the snapshot: %w", err)
	}
	set := ""
	for _, k := range []string{"DateStyle", "IntervalStyle", "extra_float_digits", "bytea_output", "client_encoding"} {
		set += "SET " + k + " = " + quoteLiteral(settings[k]) + ";"
	}
	if _, err := exec(ctx, conn, set); err != nil {
		closeConn(conn)
		return nil, fmt.Errorf("prepare the connection for the snapshot: %w", err)
	}
	return conn, nil
}

// snapshotReader reads tables into the session's batches.
type snapshotReader struct {
	*task
	conn *pgconn.PgConn
	at   LSN
	info snappg.Info
	kind string // INITIAL or BLOCKING
	// more are further connections on the same snapshot, for snapshot.max.threads.
	more []*pgconn.PgConn

	tables []*snapshotTable
	split  snappg.Splitter
	cells  [snapshot.Markers]record.Cell
	epoch  uint64 // of cells

	now    time.Time
	rows   int64
	logged time.Time
	since  int64 // rows when it was logged
}

type snapshotTable struct {
	table
	meta  *tableMeta
	sql   string
	names []string // columns of sql
	// overridden: sql is a statement of the user.
	overridden bool
	pick       []int // with an override: for each column of the table the field of the query, -1 none
	columns    int   // fields of the query
	fields     [][]byte
	done       int64 // rows read
	counted    int64 // of them in the metric
	counter    prometheus.Counter
}

// choose picks and compiles the tables to read, in reading order.
func (r *snapshotReader) choose(ctx context.Context, tables []*tableMeta, overrides map[string]string) error {
	o := &r.opts.Snapshot
	var names []string
	for _, m := range tables {
		if m.Schema+"."+m.Name == r.opts.Signal.Table || r.kind == "INITIAL" && !o.Include.Match(m.Schema, m.Name) {
			continue
		}
		if len(m.Columns) == 0 {
			r.log.Warn("a table without columns is left out of the snapshot", "table", m.Schema+"."+m.Name)
			continue
		}
		st := &snapshotTable{meta: m}
		st.oid, st.captured, st.name = m.OID, true, m.Schema+"."+m.Name
		if err := r.compile(ctx, &st.table, m.Columns, m.Key, m.Schema, m.Name, pgvalue.Snapshot); err != nil {
			return err
		}
		if err := r.selectOf(ctx, st, overrides); err != nil {
			return err
		}
		if r.metrics != nil {
			st.counter = r.metrics.SnapshotRows(st.name)
		}
		r.tables = append(r.tables, st)
		names = append(names, quoteIdent(m.Schema)+"."+quoteIdent(m.Name))
	}
	if o.Locking == "shared" && len(names) > 0 {
		return snappg.Lock(ctx, r.conn, o.LockTimeout.Milliseconds(), names)
	}
	return nil
}

// selectOf makes a table's query: the columns that the value or the key need, or
// the statement that overrides it.
func (r *snapshotReader) selectOf(ctx context.Context, st *snapshotTable, overrides map[string]string) error {
	all := make([]string, len(st.meta.Columns))
	for i, c := range st.meta.Columns {
		all[i] = c.Name
	}
	var cols []string
	if over, ok := overrides[st.name]; ok {
		st.sql, st.overridden = strings.TrimRight(strings.TrimSpace(over), "; \n\t"), true
		var err error
		if cols, err = snappg.Columns(ctx, r.conn, st.sql); err != nil {
			return fault(err, "Correct the statement", "The property snapshot.select.statement.overrides.%s does not work", st.name)
		}
	} else {
		for i, c := range all {
			if st.rows.Spec.InValue[i] || slices.Contains(st.rows.Spec.Key, i) {
				cols = append(cols, c)
			}
		}
		if len(cols) == 0 {
			cols = all
		}
		st.names, st.sql = cols, snappg.Select(st.meta.Schema, st.meta.Name, cols, "")
	}
	st.pick, st.columns, st.fields = make([]int, len(all)), len(cols), make([][]byte, len(all))
	for i, c := range all {
		st.pick[i] = slices.Index(cols, c)
	}
	for _, c := range cols {
		if !slices.Contains(all, c) {
			return fault(nil, "Select only columns of the table", "The property snapshot.select.statement.overrides.%s selects %q, which is no column of the table", st.name, c)
		}
	}
	return nil
}

// read reads all tables and moves the session behind the snapshot. A blocking
// snapshot leaves it where it was in the log.
func (r *snapshotReader) read(ctx context.Context) error {
	s := r.session
	began := time.Now()
	if r.kind == "INITIAL" {
		s.moveTo(&Position{LSN: r.at, TxID: r.info.TxID, TsUsec: r.info.TsUsec})
	}
	s.at.Snapshot, s.at.LastRow, s.at.Completed = r.kind, false, false
	s.src.tsUs, s.src.txID, s.src.commit, s.src.xmin = r.info.TsUsec, r.info.TxID, s.lastCommit, 0
	s.src.origin = ""
	look := snapshot.Lookahead{Emit: func(table int, line []byte, m snapshot.Marker) error { return r.emit(ctx, table, line, m) }}
	names := r.names()
	r.log.Info("snapshot begins", "kind", r.kind, "tables", len(r.tables), "lsn", r.at.String())
	for i, st := range r.tables {
		r.log.Info("reading table", "table", st.name)
		r.noteSnapshot("IN_PROGRESS", [2]string{"current_collection_in_progress", st.name}, [2]string{"data_collections", names})
		start := time.Now()
		n, err := r.copyTable(ctx, st, func(line []byte) error { return look.Row(i, line) })
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("snapshot of table %s: %w", st.name, err)
		}
		r.log.Info("table read", "table", st.name, "rows", n, "took", time.Since(start).Round(time.Millisecond).String())
		if i == len(r.tables)-1 {
			if _, err := look.End(); err != nil {
				return err
			}
		}
		r.noteSnapshot("TABLE_SCAN_COMPLETED", [2]string{"scanned_collection", st.name}, [2]string{"total_rows_scanned", strconv.FormatInt(n, 10)},
			[2]string{"data_collections", names}, [2]string{"status", "SUCCEEDED"})
	}
	s.at.LastRow, s.at.Completed = true, true
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

func (r *snapshotReader) names() string {
	out := make([]string, len(r.tables))
	for i, st := range r.tables {
		out[i] = st.name
	}
	return strings.Join(out, ",")
}

// readBlocking reads tables while streaming waits, each row at least as new as the
// place in the log. filters are conditions or whole statements by table.
func (t *task) readBlocking(ctx context.Context, tables []*tableMeta, filters map[string]string) error {
	conn, err := t.snapshotConn(ctx)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	info, err := snappg.Begin(ctx, conn, snappg.Tx{})
	if err != nil {
		return err
	}
	s := t.session
	overrides := maps.Clone(t.opts.Snapshot.Overrides)
	if overrides == nil {
		overrides = map[string]string{}
	}
	for name, f := range filters {
		if !strings.HasPrefix(strings.ToUpper(strings.TrimSpace(f)), "SELECT") {
			schema, table, _ := strings.Cut(name, ".")
			f = "SELECT * FROM " + quoteIdent(schema) + "." + quoteIdent(table) + " WHERE " + f
		}
		overrides[name] = f
	}
	t.noteSnapshot("STARTED")
	r := &snapshotReader{task: t, conn: conn, at: info.LSN, info: info, kind: "BLOCKING", now: time.Now(), logged: time.Now()}
	if err := r.choose(ctx, tables, overrides); err != nil {
		return err
	}
	defer func() { s.at.Snapshot, s.at.LastRow, s.at.Completed = "", false, false }()
	return r.read(ctx)
}

// emit makes the record of one row.
func (r *snapshotReader) emit(ctx context.Context, index int, line []byte, m snapshot.Marker) error {
	st, s := r.tables[index], r.session
	fields, err := r.split.Split(line)
	if err != nil {
		return err
	}
	if len(fields) != st.columns {
		return fmt.Errorf("a row of table %s has %d values instead of %d", st.name, len(fields), st.columns)
	}
	for i, from := range st.pick {
		st.fields[i] = nil
		if from >= 0 {
			st.fields[i] = fields[from]
		}
	}
	if r.rows++; r.rows%clockEvery == 1 {
		r.now = time.Now()
		st.count()
		r.progress(st)
		if err := r.keepAlive(); err != nil {
			return err
		}
	}
	st.done++
	b := s.batch()
	row, err := st.rows.DecodeTexts(b, st.fields)
	if err != nil {
		return st.fail(err, r.at)
	}
	if row.Failures != nil {
		s.warnFailures(&st.table, row.Failures)
	}
	if r.epoch != s.src.epoch {
		r.epoch = s.src.epoch
		for i := range r.cells {
			r.cells[i] = b.StringCell(snapshot.Marker(i).String())
		}
	}
	st.env.Append(b, s.shared, &emit.Change{Op: emit.OpRead, After: row.Value, Key: row.Key, NowNs: r.now.UnixNano(),
		Source: s.src.cell(b, &st.src, r.at, r.cells[m])})
	if s.full() {
		return s.send(ctx, r.idle)
	}
	return nil
}

// progress logs how far the snapshot is, every few seconds.
func (r *snapshotReader) progress(st *snapshotTable) {
	if d := r.now.Sub(r.logged); d >= progressEvery {
		r.log.Info("snapshot goes on", "table", st.name, "rows", st.done, "rows_per_s", int64(float64(r.rows-r.since)/d.Seconds()))
		r.logged, r.since = r.now, r.rows
	}
}

// idle is called while the queue is full, and now and then while rows come. During a
// blocking snapshot the stream's connection is open and wants to be kept alive.
func (r *snapshotReader) idle() error {
	if st := r.src.current.Load(); st != nil {
		return st.idle()
	}
	return nil
}

// count adds the rows read since the last call to the metric.
func (st *snapshotTable) count() {
	if st.counter != nil {
		st.counter.Add(float64(st.done - st.counted))
		st.counted = st.done
	}
}

// keepAlive answers for the stream's connection while a blocking snapshot reads.
func (r *snapshotReader) keepAlive() error {
	if st := r.src.current.Load(); st != nil && r.now.Sub(st.status) >= r.opts.Flush.StatusInterval {
		return st.idle()
	}
	return nil
}
