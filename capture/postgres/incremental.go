package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"millrace/capture"
	"millrace/decode/pgoutput"
	"millrace/decode/pgvalue"
	"millrace/internal/record"
)

// incrementalEngine reads chunks and writes watermarks for capture.Incremental. It
// implements capture.IncrementalEngine.
//
// With read.only nothing is written: the window opens at once, and closes when the
// stream has passed the end that the log had after the chunk was read. Every
// transaction that the chunk could see has then been streamed, and what was streamed
// of a row in between is at least as new.
//
// Everything runs on the reader's goroutine.
type incrementalEngine struct {
	s    *session
	conn *pgconn.PgConn
	// reading is the table under way; nil before its first chunk.
	reading *chunkReader
	until   LSN // read-only: the window closes here
	// unread are the transactions that the chunk in flight may not see. They may lie
	// before the opening watermark: a commit is logged before queries see it.
	unread []uint32
	// since is when the stream was first ahead of what queries see; zero: it is not.
	since time.Time
}

// close gives up what belongs to connections.
func (e *incrementalEngine) close() {
	closeConn(e.conn)
	e.conn, e.reading, e.until, e.since, e.unread = nil, nil, 0, time.Time{}, nil
}

// Notify implements capture.IncrementalEngine.
func (e *incrementalEngine) Notify(n capture.Notification) {
	if m := e.s.t.metrics; m != nil && n.Type == "TABLE_SCAN_COMPLETED" {
		for _, d := range n.Data {
			if d[0] == "scanned_collection" {
				m.SnapshotTableDone(d[1])
			}
		}
	}
	e.s.t.notify(e.s.batch(), n)
}

// connect opens the connection that chunks are read by.
func (e *incrementalEngine) connect(ctx context.Context) (err error) {
	if e.conn != nil && !e.conn.IsClosed() {
		return nil
	}
	if e.conn, err = e.s.t.snapshotConn(ctx); err == nil {
		_, err = exec(ctx, e.conn, "SET TimeZone = 'UTC'; SET statement_timeout = 0") // keys are compared as text with those of the log
	}
	return err
}

// Open implements capture.IncrementalEngine.
func (e *incrementalEngine) Open(ctx context.Context, c capture.Collection, key, most string) (capture.ChunkReader, string, error) {
	s := e.s
	e.reading = nil
	if err := e.connect(ctx); err != nil {
		return nil, "", err
	}
	ts, err := s.t.cat.tables(ctx, "n.nspname || '.' || c.relname = $1 AND c.relkind IN ('r', 'p')", c.ID)
	if err != nil {
		return nil, "", err
	}
	if len(ts) == 0 || !s.t.opts.Tables.Included(ts[0].Schema, ts[0].Name) {
		s.log.Warn("a table of an incremental snapshot is not there or not captured", "table", c.ID)
		return nil, capture.ScanUnknownSchema, nil
	}
	m := ts[0]
	m.Columns = slices.DeleteFunc(m.Columns, func(c columnMeta) bool { return c.Generated }) // as in the stream
	r := &chunkReader{e: e, st: &snapshotTable{meta: m}, filter: c.Where(), size: max(s.t.opts.Incremental.ChunkSize, 1)}
	r.st.oid, r.st.captured, r.st.name = m.OID, true, c.ID
	if err := s.t.compile(ctx, &r.st.table, m.Columns, m.Key, m.Schema, m.Name, pgvalue.Snapshot); err != nil {
		return nil, "", err
	}
	if s.t.metrics != nil {
		r.st.counter = s.t.metrics.SnapshotRows(c.ID)
		s.t.metrics.SnapshotTable(c.ID, e.about(ctx, m.OID), 0)
	}
	if status := r.choose(c.Surrogate); status != "" {
		return nil, status, nil
	}
	r.describe()
	if r.most = r.parse(most); r.most != nil {
		r.last = r.parse(key)
	}
	e.reading = r
	return r, "", nil
}

// Begin implements capture.IncrementalEngine.
func (e *incrementalEngine) Begin(ctx context.Context, id string, began time.Time) (bool, error) {
	if ready, err := e.caughtUp(ctx); err != nil || !ready || e.s.t.opts.ReadOnly {
		return ready, err
	}
	if err := e.mark(ctx, "INSERT INTO "+e.signalTable()+" VALUES ($1, $2, $3)", id+"-open", capture.SignalOpen, `{"openWindowTimestamp": "`+stamp(began)+`"}`); err != nil {
		return false, err
	}
	running, _, err := runningXIDs(ctx, e.conn)
	e.unread = running
	return err == nil, err
}

// End implements capture.IncrementalEngine.
func (e *incrementalEngine) End(ctx context.Context, id string, began time.Time) (err error) {
	switch {
	case e.s.t.opts.ReadOnly:
		e.until, err = e.logEnd(ctx)
		return err
	case e.s.t.opts.Incremental.DeleteOpen:
		return e.mark(ctx, "DELETE FROM "+e.signalTable()+" WHERE "+e.s.signalID()+" = $1", id+"-open")
	}
	return e.mark(ctx, "INSERT INTO "+e.signalTable()+" VALUES ($1, $2, $3)", id+"-close", capture.SignalClose,
		`{"openWindowTimestamp": "`+stamp(began)+`", "closeWindowTimestamp": "`+stamp(time.Now())+`"}`)
}

// Passed implements capture.IncrementalEngine.
func (e *incrementalEngine) Passed() bool { return e.until != 0 && e.s.at.Commit >= e.until }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func (e *incrementalEngine) signalTable() string {
	schema, name, _ := strings.Cut(e.s.t.opts.Signal.Table, ".")
	return quoteIdent(schema) + "." + quoteIdent(name)
}

// mark writes a watermark into the signal table.
func (e *incrementalEngine) mark(ctx context.Context, sql string, args ...string) error {
	_, err := query(ctx, e.conn, sql, args...)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("write a watermark of the incremental snapshot into %s: %w", e.s.t.opts.Signal.Table, err)
	if sqlState(err) == "42501" {
		err = fmt.Errorf("%w; grant it: GRANT INSERT, DELETE, SELECT ON %s TO %s, or set read.only=true", err, e.signalTable(), quoteIdent(e.s.t.opts.Conn.User))
	}
	return refused(err)
}

// refused marks what a server says about a statement, as opposed to a connection that
// broke or a fault that passes.
func refused(err error) error {
	if sqlState(err) != "" && !retriable(err) {
		return &capture.QueryError{Err: err}
	}
	return err
}

func (e *incrementalEngine) logEnd(ctx context.Context) (LSN, error) {
	rows, err := exec(ctx, e.conn, "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END")
	if err != nil {
		return 0, fmt.Errorf("ask for the end of the log: %w", err)
	}
	return parseLSN(rows[0][0])
}

// Limits of waiting for queries to see what was streamed. It is an instant, but for
// commits that wait for a synchronous standby.
const (
	viewWait = time.Second
	viewStep = 2 * time.Millisecond
	viewWarn = 10 * time.Second
)

// caughtUp reports whether queries see every transaction that was streamed: the
// server hands a commit out before it is visible, and an older row must not be
// emitted behind a newer one.
func (e *incrementalEngine) caughtUp(ctx context.Context) (bool, error) {
	ok, err := e.s.awaitVisible(ctx, e.conn)
	switch {
	case err != nil || ok:
		e.since = time.Time{}
	case e.since.IsZero():
		e.since = time.Now()
	case time.Since(e.since) > viewWarn:
		e.since = time.Now()
		e.s.log.Warn("the incremental snapshot waits: queries do not see yet what was streamed; does a commit wait for a synchronous standby?")
	}
	return ok, err
}

// awaitVisible waits a moment until queries on a connection see every transaction
// that was streamed; false: they do not yet.
func (s *session) awaitVisible(ctx context.Context, conn *pgconn.PgConn) (bool, error) {
	for began := time.Now(); ; {
		ok, err := s.visible(ctx, conn)
		if err != nil || ok || time.Since(began) > viewWait {
			return ok, err
		}
		if err := sleep(ctx, viewStep); err != nil {
			return false, err
		}
	}
}

// streamedXIDs remembers the transactions that were streamed last. Those that queries
// do not see yet are at most one for each session of the server.
type streamedXIDs struct {
	ids [1024]uint32
	n   uint
}

func (x *streamedXIDs) add(xid int64) {
	x.ids[x.n%uint(len(x.ids))] = uint32(xid)
	x.n++
}

// visible reports whether queries on a connection see every transaction that was
// streamed.
func (s *session) visible(ctx context.Context, conn *pgconn.PgConn) (bool, error) {
	running, next, err := runningXIDs(ctx, conn)
	if err != nil {
		return false, err
	}
	for _, id := range s.streamed.ids[:min(s.streamed.n, uint(len(s.streamed.ids)))] {
		if int32(id-next) >= 0 || slices.Contains(running, id) {
			return false, nil
		}
	}
	return true, nil
}

// runningXIDs asks which transactions queries do not see: those that run, and all from
// next on.
func runningXIDs(ctx context.Context, conn *pgconn.PgConn) (running []uint32, next uint32, err error) {
	rows, err := exec(ctx, conn, "SELECT txid_current_snapshot()::text")
	if err != nil {
		return nil, 0, fmt.Errorf("ask which transactions are visible: %w", err)
	}
	f := strings.Split(string(rows[0][0]), ":") // xmin:xmax:running,...
	if len(f) != 3 {
		return nil, 0, fmt.Errorf("ask which transactions are visible: the server answers %s", rows[0][0])
	}
	most, err := strconv.ParseUint(f[1], 10, 64)
	if err != nil {
		return nil, 0, fmt.Errorf("ask which transactions are visible: %w", err)
	}
	for _, text := range strings.Split(f[2], ",") {
		if id, err := strconv.ParseUint(text, 10, 64); err == nil {
			running = append(running, uint32(id))
		}
	}
	return running, uint32(most), nil
}

// windowSeen tells the window of an incremental snapshot about a change of a row.
func (s *session) windowSeen(tb *table, ch pgoutput.Change) error {
	r := s.chunks.reading
	for _, tuple := range [][]byte{ch.New, ch.Old.Data} {
		if tuple == nil {
			continue
		}
		texts, err := tupleTexts(tuple)
		if err != nil {
			return err
		}
		cols := make([]int, len(r.dedup))
		for i, c := range r.dedup {
			name := r.st.rows.Spec.Columns[c].Name
			if cols[i] = slices.IndexFunc(tb.rows.Spec.Columns, func(c pgvalue.Column) bool { return c.Name == name }); cols[i] < 0 {
				return nil
			}
		}
		if id := keyText(texts, cols); slices.Contains(s.chunks.unread, uint32(s.xid)) {
			s.inc.Unread(id)
		} else {
			s.inc.Seen(id)
		}
	}
	return nil
}

// windowAltered tells the window that the log brings another definition of its table
// than the one that its chunk was read by.
func (s *session) windowAltered(tb *table) {
	r := s.chunks.reading
	if r == nil || !s.inc.Reads(tb.name) {
		return
	}
	same := slices.EqualFunc(tb.rows.Spec.Columns, r.st.rows.Spec.Columns, func(a, b pgvalue.Column) bool {
		return a.Name == b.Name && a.TypeOID == b.TypeOID && a.Typmod == b.Typmod
	})
	if !same {
		s.inc.Altered(tb.name)
	}
}

// incrementalSource is the source block of a row of an incremental snapshot: no
// transaction and no LSN, but the sequence of the place where it is emitted.
func (s *session) incrementalSource(b *record.Batch, t *template) record.Cell {
	src := s.src
	src.tsUs, src.txID, src.origin, src.commit = s.now.UnixMicro(), 0, "", s.lastCommit
	c := src.cell(b, t, 0, b.StringCell("incremental"))
	b.SetChild(c, srcSequence, sequence(b, s.lastCommit, s.at.LSN))
	return c
}

// javaDateTime gives a value the Java type that the JDBC driver reads it as, so that
// Debezium can go on from the offset.
func javaDateTime(layout, text string) (sec int64, nano int32, ok bool) {
	t, err := time.Parse(layout, text)
	return t.Unix(), int32(t.Nanosecond()), err == nil
}

// javaUUID reads a UUID as the server prints it.
func javaUUID(text string) (out capture.JavaUUID, ok bool) {
	hex := strings.ReplaceAll(text, "-", "")
	if len(hex) != 32 {
		return out, false
	}
	hi, err1 := strconv.ParseUint(hex[:16], 16, 64)
	lo, err2 := strconv.ParseUint(hex[16:], 16, 64)
	binary.BigEndian.PutUint64(out[:8], hi)
	binary.BigEndian.PutUint64(out[8:], lo)
	return out, err1 == nil && err2 == nil
}
