package mysql

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"millrace/emit"
	"millrace/internal/record"
	"millrace/schemahistory"
	"millrace/snapshot"
)

// progressEvery is how often a running snapshot logs its progress.
const progressEvery = 5 * time.Second

// snapshot reads the schemas and, if asked, the rows of all captured tables as of
// one position of the log.
func (t *task) snapshot(ctx context.Context, data bool) error {
	if err := wait(ctx, t.opts.Snapshot.Delay); err != nil {
		return err
	}
	conn, err := t.opts.Conn.session(ctx, t.db)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	started := time.Now()
	unlock, err := t.consistent(ctx, conn)
	if err != nil {
		return err
	}
	defer unlock()
	place, err := t.server.place(ctx, conn)
	if err != nil {
		return err
	}
	s := t.session
	place.Snapshot = "INITIAL"
	place.TsSec = time.Now().Unix()
	s.at = *place
	s.src.file, s.src.pos, s.src.gtid, s.src.serverID, s.src.thread, s.src.query = place.File, place.Pos, "", 0, 0, ""
	s.src.moved()
	s.src.tsUs = time.Now().UnixMicro()
	t.model = t.newModel()
	t.noteSnapshot("STARTED")
	if err := t.readSchemas(ctx, conn, true); err != nil {
		return err
	}
	if t.opts.Snapshot.Locking != "extended" {
		unlock()
	}
	rows := int64(0)
	if data {
		if rows, err = t.readRows(ctx, conn); err != nil {
			return err
		}
	}
	if _, err := conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		return fmt.Errorf("end the snapshot's transaction: %w", err)
	}
	unlock()
	s.now = time.Now()
	s.at.Snapshot = ""
	t.noteSnapshot("COMPLETED")
	if t.opts.Heartbeat > 0 {
		s.heartbeat(ctx)
	}
	s.dirty = true
	if err := s.send(ctx); err != nil {
		return err
	}
	took := time.Since(started)
	t.log.Info("snapshot ended", "rows", rows, "took", took.Round(time.Millisecond).String(), "rows_per_s", int64(float64(rows)/took.Seconds()), "file", s.at.File, "pos", s.at.Pos)
	return wait(ctx, t.opts.Snapshot.StreamDelay)
}

func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// consistent opens a consistent view under a short global lock, so that the
// position read next is exactly that of the view. Where the lock is refused (as by
// hosted servers) the position is read before the view opens: changes in between
// come twice, none is lost. unlock may be called several times.
func (t *task) consistent(ctx context.Context, conn *sql.Conn) (unlock func(), err error) {
	secs := max(1, int(t.opts.Snapshot.LockTimeout.Seconds()))
	for _, q := range []string{fmt.Sprintf("SET SESSION lock_wait_timeout = %d", secs), fmt.Sprintf("SET SESSION innodb_lock_wait_timeout = %d", secs),
		"SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"} {
		if _, err := conn.ExecContext(ctx, q); err != nil {
			return nil, fmt.Errorf("prepare the snapshot (%s): %w", q, err)
		}
	}
	locked := false
	unlock = func() {
		if locked {
			locked = false
			ctx, cancel := closing(ctx)
			defer cancel()
			if _, err := conn.ExecContext(ctx, "UNLOCK TABLES"); err != nil {
				t.log.Warn("the snapshot's lock could not be released; it ends with the connection", "error", err)
			}
		}
	}
	lock := map[string]string{"minimal": "FLUSH TABLES WITH READ LOCK", "extended": "FLUSH TABLES WITH READ LOCK",
		"minimal_percona": "LOCK TABLES FOR BACKUP", "minimal_percona_no_table_locks": "LOCK TABLES FOR BACKUP"}[t.opts.Snapshot.Locking]
	if lock != "" {
		_, err := conn.ExecContext(ctx, lock)
		if err != nil && strings.HasPrefix(lock, "LOCK") {
			_, err = conn.ExecContext(ctx, "FLUSH TABLES WITH READ LOCK")
		}
		switch {
		case err == nil:
			locked = true
		case ctx.Err() != nil:
			return nil, ctx.Err()
		default:
			t.log.Warn("the global read lock is refused; going on without: rows changed in the first instant of the snapshot may come twice", "error", err)
		}
	}
	if _, err := conn.ExecContext(ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT"); err != nil {
		unlock()
		return nil, fmt.Errorf("open a consistent view: %w", err)
	}
	return unlock, nil
}

// readSchemas reads the definitions of all tables into the model and the history
// and, in a snapshot, makes their records.
func (t *task) readSchemas(ctx context.Context, q querier, records bool) error {
	if t.model == nil {
		t.model = t.newModel()
	}
	all, err := t.listTables(ctx, q)
	if err != nil {
		return err
	}
	keep := all[:0:0]
	for _, id := range all {
		h := &t.opts.History
		if t.captured(id) || !h.CapturedOnly && (!h.DatabasesOnly || t.capturesDatabase(id.DB)) {
			keep = append(keep, id)
		}
	}
	apply := func(db, ddl string) error { return t.schemaStep(ctx, db, ddl, records) }
	if err := apply("", fmt.Sprintf("SET character_set_server=%s, collation_server=%s", t.server.charset, t.server.collation)); err != nil {
		return err
	}
	var dbs []string
	for _, id := range keep {
		if err := apply(id.DB, "DROP TABLE IF EXISTS "+quote(id.DB)+"."+quote(id.Name)); err != nil {
			return err
		}
		if !slices.Contains(dbs, id.DB) {
			dbs = append(dbs, id.DB)
		}
	}
	for _, db := range dbs {
		cs, co, err := databaseCharset(ctx, q, db)
		if err != nil {
			return fmt.Errorf("read the character set of database %s: %w", db, err)
		}
		for _, ddl := range []string{"DROP DATABASE IF EXISTS " + quote(db), "CREATE DATABASE " + quote(db) + " CHARSET " + cs + " COLLATE " + co, "USE " + quote(db)} {
			if err := apply(db, ddl); err != nil {
				return err
			}
		}
		for _, id := range keep {
			if id.DB != db {
				continue
			}
			text, err := showCreate(ctx, q, id)
			if err != nil {
				if t.captured(id) {
					return err
				}
				continue
			}
			if err := apply(db, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// schemaStep applies, remembers and publishes one statement of a snapshot.
func (t *task) schemaStep(ctx context.Context, db, ddl string, records bool) error {
	s := t.session
	for _, step := range t.model.Apply(db, ddl) {
		if step.Ignored {
			continue
		}
		s.now = time.Now()
		if step.DDL == "" {
			step.DDL = ddl
		}
		if strings.HasPrefix(ddl, "DROP TABLE") || !strings.HasPrefix(ddl, "CREATE TABLE") {
			step.DDL = ddl
		}
		if err := t.remember(ctx, &s.at, s.now.UnixMilli(), &step); err != nil {
			return err
		}
		if records && t.opts.SchemaChanges {
			b := s.batch()
			s.appendSchemaChange(&step, s.src.marker(b, snapshot.True))
		}
	}
	if s.full() {
		return s.send(ctx)
	}
	return nil
}

// readRows reads the rows of all captured tables.
func (t *task) readRows(ctx context.Context, conn *sql.Conn) (int64, error) {
	var ids []schemahistory.TableID
	for _, id := range t.model.IDs() {
		if t.captured(id) && (t.opts.Snapshot.Include == nil || t.opts.Snapshot.Include.Match(id.DB, id.Name)) {
			ids = append(ids, id)
		}
	}
	slices.SortStableFunc(ids, func(a, b schemahistory.TableID) int {
		return t.opts.Tables.Rank(a.DB, a.Name) - t.opts.Tables.Rank(b.DB, b.Name)
	})
	r := &rowReader{t: t, started: time.Now()}
	tables := make([]*table, len(ids))
	r.ahead = &snapshot.Lookahead{Emit: func(i int, line []byte, m snapshot.Marker) error { return r.emit(ctx, tables[i], line, m) }}
	for i, id := range ids {
		tb, err := t.compile(t.model.Table(id), nil)
		if err != nil {
			return r.rows, err
		}
		tables[i] = tb
		if err := r.table(ctx, conn, i, tb); err != nil {
			return r.rows, fmt.Errorf("read the rows of table %s: %w", tb.name, err)
		}
	}
	_, err := r.ahead.End()
	return r.rows, err
}

// rowReader reads tables row by row, one row behind, since the last row of a table
// and of all is marked.
type rowReader struct {
	t       *task
	ahead   *snapshot.Lookahead
	started time.Time
	logged  time.Time
	line    []byte
	fields  [][]byte
	rows    int64
	ts      map[string]int64 // table -> µs
}

func (r *rowReader) table(ctx context.Context, conn *sql.Conn, i int, tb *table) error {
	t := r.t
	now, err := query(ctx, conn, "SELECT UNIX_TIMESTAMP() AS n")
	if err != nil {
		return err
	}
	var sec int64
	if _, err := fmt.Sscan(now[0]["n"], &sec); err != nil {
		return err
	}
	if r.ts == nil {
		r.ts = map[string]int64{}
	}
	r.ts[tb.name] = sec * 1e6
	text, own := t.opts.Snapshot.Overrides[tb.name]
	if !own {
		cols := make([]string, len(tb.version.Columns))
		for i, c := range tb.version.Columns {
			cols[i] = quote(c.Name)
		}
		text = "SELECT " + strings.Join(cols, ", ") + " FROM " + quote(tb.id.DB) + "." + quote(tb.id.Name)
	}
	rows, err := conn.QueryContext(ctx, text)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	place, err := places(rows, tb, own)
	if err != nil {
		return err
	}
	raw := make([]sql.RawBytes, len(place))
	ptrs := make([]any, len(place))
	for j := range raw {
		ptrs[j] = &raw[j]
	}
	byColumn := make([]sql.RawBytes, len(tb.version.Columns))
	for rows.Next() {
		if err := rows.Scan(ptrs...); err != nil {
			return err
		}
		for j, at := range place {
			if at >= 0 {
				byColumn[at] = raw[j]
			}
		}
		r.line = pack(r.line[:0], byColumn)
		if err := r.ahead.Row(i, r.line); err != nil {
			return err
		}
	}
	return rows.Err()
}

// places maps result columns to table columns; an override may leave some out.
func places(rows *sql.Rows, tb *table, own bool) ([]int, error) {
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	out := make([]int, len(names))
	for i, n := range names {
		if out[i] = i; own {
			if out[i] = tb.version.Column(n); out[i] < 0 {
				return nil, fmt.Errorf("the statement of snapshot.select.statement.overrides gives column %q, which the table does not have", n)
			}
		}
	}
	return out, nil
}

const nullField = 0xffffffff

// pack writes fields with their lengths in front; nil is NULL.
func pack(dst []byte, fields []sql.RawBytes) []byte {
	for _, f := range fields {
		if f == nil {
			dst = binary.LittleEndian.AppendUint32(dst, nullField)
			continue
		}
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(f)))
		dst = append(dst, f...)
	}
	return dst
}

var errPacked = errors.New("a packed row is cut off")

func unpack(fields [][]byte, p []byte) ([][]byte, error) {
	for len(p) > 0 {
		if len(p) < 4 {
			return nil, errPacked
		}
		n := binary.LittleEndian.Uint32(p)
		p = p[4:]
		if n == nullField {
			fields = append(fields, nil)
			continue
		}
		if int(n) > len(p) {
			return nil, errPacked
		}
		fields = append(fields, p[:n:n])
		p = p[n:]
	}
	return fields, nil
}

// emit makes the record of one row.
func (r *rowReader) emit(ctx context.Context, tb *table, line []byte, m snapshot.Marker) (err error) {
	t, s := r.t, r.t.session
	if r.fields, err = unpack(r.fields[:0], line); err != nil {
		return err
	}
	s.now = time.Now()
	b := s.batch()
	row, fails := tb.rows.Texts(b, r.fields)
	if fails != nil {
		s.warnFailures(tb, fails)
	}
	r.rows++
	if !t.opts.Skipped.Has(byte(emit.OpRead)) {
		s.src.tsUs = r.ts[tb.name]
		s.at.TsSec = s.src.tsUs / 1e6
		tb.env.Append(b, s.shared, &emit.Change{Op: emit.OpRead, After: row.Value, Key: row.Key, NowNs: s.now.UnixNano(),
			Source: s.src.cell(b, &tb.src, 0, s.src.marker(b, m)), Tx: record.Cell{}})
	}
	if t.metrics != nil && r.rows%1024 == 0 {
		t.metrics.SnapshotRows(tb.name).Add(1024)
	}
	if s.now.Sub(r.logged) > progressEvery {
		r.logged = s.now
		t.log.Info("snapshot", "table", tb.name, "rows", r.rows, "rows_per_s", int64(float64(r.rows)/time.Since(r.started).Seconds()))
	}
	if s.full() {
		return s.send(ctx)
	}
	return nil
}
