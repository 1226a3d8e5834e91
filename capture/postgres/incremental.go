package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"millrace/capture"
	"millrace/decode/pgvalue"
	"millrace/emit"
	"millrace/internal/record"
	"millrace/internal/store"
	"millrace/snapshot"
	snappg "millrace/snapshot/postgres"
)

// Keys of the source offset while an incremental snapshot runs, as Debezium's.
const (
	keyIncKey  = "incremental_snapshot_primary_key"
	keyIncMax  = "incremental_snapshot_maximum_key"
	keyIncList = "incremental_snapshot_collections"
	keyIncID   = "incremental_snapshot_correlation_id"
)

// incremental reads tables chunk by chunk while the log streams. A chunk is read
// between two watermarks; what the log says about its rows in between wins.
//
// Normally the watermarks are rows that are inserted into the signal table, which
// come back in the log. With read.only nothing is written: the window opens at
// once, and closes when the stream has passed the end that the log had after the
// chunk was read. Every transaction that the chunk could see has then been streamed,
// and what was streamed of a row in between is at least as new.
//
// Everything runs on the reader's goroutine.
type incremental struct {
	s    *session
	conn *pgconn.PgConn

	id     string // of the request, in notifications
	queue  []incrementalTable
	cur    *chunkReader // of queue[0]; nil before its first chunk
	win    snapshot.Window
	until  LSN // read-only: the window closes here
	split  snappg.Splitter
	paused bool
	stops  []stopRequest

	// Of an offset: where the first table goes on.
	resumeKey, resumeMax [][]byte
}

type stopRequest struct{ patterns []string }

type incrementalTable struct {
	ID        string  `json:"incremental_snapshot_collections_id"`
	Filter    *string `json:"incremental_snapshot_collections_additional_condition"`
	Surrogate *string `json:"incremental_snapshot_collections_surrogate_key"`
}

// chunkReader reads one table in chunks.
type chunkReader struct {
	st       *snapshotTable
	cols     []string
	key      []int    // columns that chunks are ordered by
	dedup    []int    // columns of the record's key
	types    []string // names of the key's types
	casts    []string
	nullable bool
	ties     bool // several rows may have one key: all of them come in one chunk
	max      [][]byte
	last     [][]byte // key of the last row that was read; nil before the first chunk
	sent     [][]byte // key of the last row of the last closed window
	scanned  int64
}

func (i *incremental) running() bool { return len(i.queue) > 0 }

// restore takes the state of a stored offset.
func (i *incremental) restore(extra []store.Entry) []store.Entry {
	var rest []store.Entry
	for _, e := range extra {
		var text string
		_ = json.Unmarshal([]byte(e.Value), &text)
		switch e.Key {
		case keyIncList:
			if err := json.Unmarshal([]byte(text), &i.queue); err != nil {
				i.s.log.Warn("the incremental snapshot in the stored offset cannot be read and is not continued", "error", err)
				i.queue = nil
			}
		case keyIncID:
			i.id = text
		case keySignals:
			i.s.restoreSignals(e)
			rest = append(rest, e)
		case keyIncKey, keyIncMax:
			key, err := parseJavaKey(text)
			if err != nil {
				i.s.log.Warn("the key of an incremental snapshot in the stored offset cannot be read; its table is read from the start", "error", err)
			}
			if e.Key == keyIncKey {
				i.resumeKey = key
			} else {
				i.resumeMax = key
			}
		default:
			rest = append(rest, e)
		}
	}
	return rest
}

// extra is the state for the offset.
func (i *incremental) extra() []store.Entry {
	if !i.running() {
		return nil
	}
	text := func(s string) string { q, _ := json.Marshal(s); return string(q) }
	list, _ := json.Marshal(i.queue)
	out := []store.Entry{{Key: keyIncList, Value: text(string(list))}}
	if i.id != "" {
		out = append(out, store.Entry{Key: keyIncID, Value: text(i.id)})
	}
	key, most, types := i.resumeKey, i.resumeMax, []string(nil)
	if i.cur != nil {
		key, most, types = i.cur.sent, i.cur.max, i.cur.types
	}
	if types == nil {
		types = make([]string, max(len(key), len(most)))
	}
	if key != nil {
		out = append(out, store.Entry{Key: keyIncKey, Value: text(javaKey(key, types))})
	}
	if most != nil {
		out = append(out, store.Entry{Key: keyIncMax, Value: text(javaKey(most, types))})
	}
	return out
}

// execute starts a snapshot, or adds tables to the one that runs.
func (i *incremental) execute(ctx context.Context, id string, req *capture.SnapshotRequest) error {
	tables, err := i.s.t.captured(ctx)
	if err != nil {
		return err
	}
	idle := !i.running()
	for _, name := range resolve(req.Collections, tables) {
		t := incrementalTable{ID: name}
		for _, c := range req.Conditions {
			if matchName(c.Collection, name, true) {
				t.Filter = &c.Filter
			}
		}
		if req.Surrogate != "" {
			t.Surrogate = &req.Surrogate
		}
		i.queue = append(i.queue, t)
	}
	if len(i.queue) == 0 {
		i.s.log.Warn("a snapshot was asked for, but no captured table matches", "signal", id, "collections", strings.Join(req.Collections, ","))
		return nil
	}
	i.id = id
	i.note("STARTED", [2]string{"data_collections", i.names()})
	if idle && !i.paused {
		return i.next(ctx)
	}
	return nil
}

// stop notes a request; it takes effect before the next chunk.
func (i *incremental) stop(id string, patterns []string) {
	if !i.running() {
		i.s.log.Warn("a snapshot is to be stopped, but none is running", "signal", id)
		return
	}
	i.stops = append(i.stops, stopRequest{patterns})
}

func (i *incremental) pause() {
	if i.running() && !i.paused {
		i.paused = true
		i.note("PAUSED", [2]string{"data_collections", i.names()})
	}
}

func (i *incremental) resume(ctx context.Context) error {
	if !i.paused {
		return nil
	}
	i.paused = false
	i.note("RESUMED", [2]string{"data_collections", i.names()})
	if i.win.ID() != "" {
		return nil // the window in flight goes on by itself
	}
	return i.next(ctx)
}

// applyStops removes what stop signals named: the tables still to come first, the
// one being read last.
func (i *incremental) applyStops() {
	for _, r := range i.stops {
		var gone []string
		cur := ""
		if i.cur != nil {
			cur = i.queue[0].ID
		}
		i.queue = slices.DeleteFunc(i.queue, func(t incrementalTable) bool {
			hit := len(r.patterns) == 0 || slices.ContainsFunc(r.patterns, func(p string) bool { return matchName(p, t.ID, false) })
			if hit {
				gone = append(gone, t.ID)
			}
			return hit
		})
		if len(gone) == 0 {
			continue
		}
		if slices.Contains(gone, cur) {
			i.cur = nil
		}
		id := i.id
		if !i.running() {
			i.note("COMPLETED")
			id = capture.UUID() // the request has ended by now
		}
		i.s.t.notify(i.s.batch(), capture.Notification{ID: id, Aggregate: capture.IncrementalSnapshot, Type: "ABORTED",
			Data: [][2]string{{"connector_name", i.s.t.opts.Prefix}, {"data_collections", strings.Join(gone, ",")}}})
	}
	i.stops = nil
}

// next reads the next chunk. Tables that have no rows left are finished on the way.
func (i *incremental) next(ctx context.Context) error {
	for {
		had := i.running()
		if i.applyStops(); !i.running() {
			if had {
				i.s.dirty = true
			}
			return nil
		}
		if i.paused {
			return nil
		}
		if i.cur == nil {
			status, err := i.open(ctx)
			if err != nil {
				return err
			}
			if status != "" {
				i.finishTable(status, 0)
				continue
			}
		}
		n, err := i.readChunk(ctx)
		if err != nil {
			if sqlState(err) == "" {
				return err // the connection, not the query
			}
			i.s.log.Error("a table is left out of the incremental snapshot", "table", i.queue[0].ID, "error", err)
			i.finishTable("SQL_EXCEPTION", i.cur.scanned)
			continue
		}
		if n == 0 {
			status := "SUCCEEDED"
			if i.cur.max == nil {
				status = "EMPTY"
			}
			i.finishTable(status, i.cur.scanned)
			continue
		}
		i.note("IN_PROGRESS", [2]string{"data_collections", i.names()}, [2]string{"current_collection_in_progress", i.queue[0].ID},
			[2]string{"maximum_key", joinKey(i.cur.max)}, [2]string{"last_processed_key", joinKey(i.cur.last)})
		return nil
	}
}

func (i *incremental) finishTable(status string, scanned int64) {
	t := i.queue[0]
	if m := i.s.t.metrics; m != nil {
		m.SnapshotTableDone(t.ID)
	}
	i.note("TABLE_SCAN_COMPLETED", [2]string{"data_collections", i.names()}, [2]string{"scanned_collection", t.ID},
		[2]string{"total_rows_scanned", strconv.FormatInt(scanned, 10)}, [2]string{"status", status})
	i.queue, i.cur, i.resumeKey, i.resumeMax = i.queue[1:], nil, nil, nil
	i.win.Start("")
	i.s.dirty = true
	if !i.running() {
		i.note("COMPLETED")
		i.id = ""
	}
}

// open looks at the first table; a status says why it is not read.
func (i *incremental) open(ctx context.Context) (status string, err error) {
	t := i.queue[0]
	if err := i.connect(ctx); err != nil {
		return "", err
	}
	schema, name, _ := strings.Cut(t.ID, ".")
	ts, err := i.s.t.cat.tables(ctx, "n.nspname || '.' || c.relname = $1 AND c.relkind IN ('r', 'p')", t.ID)
	if err != nil {
		return "", err
	}
	if len(ts) == 0 || !i.s.t.opts.Tables.Included(ts[0].Schema, ts[0].Name) {
		i.s.log.Warn("a table of an incremental snapshot is not there or not captured", "table", t.ID, "schema", schema, "name", name)
		return "UNKNOWN_SCHEMA", nil
	}
	m := ts[0]
	m.Columns = slices.DeleteFunc(m.Columns, func(c columnMeta) bool { return c.Generated }) // as in the stream
	r := &chunkReader{st: &snapshotTable{meta: m}, last: i.resumeKey, sent: i.resumeKey}
	r.st.oid, r.st.captured, r.st.name = m.OID, true, t.ID
	if err := i.s.t.compile(ctx, &r.st.table, m.Columns, m.Key, m.Schema, m.Name, pgvalue.Snapshot); err != nil {
		return "", err
	}
	if i.s.t.metrics != nil {
		r.st.counter = i.s.t.metrics.SnapshotRows(t.ID)
		i.s.t.metrics.SnapshotTable(t.ID, i.about(ctx, m.OID), 0)
	}
	r.dedup = r.st.rows.Spec.Key
	if r.key = r.dedup; t.Surrogate != nil {
		if r.key = []int{slices.IndexFunc(m.Columns, func(c columnMeta) bool { return c.Name == *t.Surrogate })}; r.key[0] < 0 {
			i.s.log.Warn("the surrogate key is no column of the table", "table", t.ID, "column", *t.Surrogate)
			return "NO_PRIMARY_KEY", nil
		}
	}
	if len(r.key) == 0 {
		i.s.log.Warn("a table without a key is left out of the incremental snapshot; the signal can name a surrogate-key", "table", t.ID)
		return "NO_PRIMARY_KEY", nil
	}
	if len(r.dedup) == 0 {
		r.dedup = r.key
	}
	r.ties = !slices.Equal(r.key, r.st.primary)
	i.describe(r)
	if r.max = i.resumeMax; len(r.max) != len(r.key) {
		r.max, r.last, r.sent = nil, nil, nil
	}
	i.cur = r
	return "", nil
}

// describe fills in the columns and the types of the key.
func (i *incremental) describe(r *chunkReader) {
	spec := &r.st.rows.Spec
	all := len(spec.Columns)
	r.st.pick, r.st.fields = make([]int, all), make([][]byte, all)
	for c := range spec.Columns {
		r.st.pick[c] = -1
		if spec.InValue[c] || slices.Contains(r.key, c) || slices.Contains(r.dedup, c) {
			r.st.pick[c] = len(r.cols)
			r.cols = append(r.cols, spec.Columns[c].Name)
		}
	}
	r.st.columns = len(r.cols)
	for _, c := range r.key {
		typ := i.s.t.cat.Type(spec.Columns[c].TypeOID)
		if typ == nil {
			typ = &pgvalue.Type{Schema: "pg_catalog", Name: "text"}
		}
		r.types = append(r.types, typ.Name)
		r.casts = append(r.casts, "::"+quoteIdent(typ.Schema)+"."+quoteIdent(typ.Name))
		r.nullable = r.nullable || !spec.Columns[c].NotNull
	}
	r.ties = r.ties || r.nullable
}

func (i *incremental) readMax(ctx context.Context, r *chunkReader, filter *string) error {
	sql := "SELECT " + r.names("") + " FROM " + quoteIdent(r.st.meta.Schema) + "." + quoteIdent(r.st.meta.Name)
	if filter != nil && *filter != "" {
		sql += " WHERE (" + *filter + ")"
	}
	rows, err := exec(ctx, i.conn, sql+" ORDER BY "+r.names(" DESC")+" LIMIT 1")
	if err != nil {
		return fmt.Errorf("read the greatest key of %s: %w", r.st.name, err)
	}
	if len(rows) == 1 {
		r.max = rows[0]
	}
	return nil
}

// readChunk reads the next chunk between its watermarks and returns its rows.
func (i *incremental) readChunk(ctx context.Context) (int, error) {
	r, o := i.cur, i.s.t.opts
	id := capture.UUID()
	began := time.Now()
	if err := i.mark(ctx, id, capture.SignalOpen, began); err != nil {
		return 0, err
	}
	i.win.Start(id)
	if r.max == nil { // within the window, so that what happens from here on is seen
		if err := i.readMax(ctx, r, i.queue[0].Filter); err != nil || r.max == nil {
			i.win.Start("")
			return 0, err
		}
	}
	where := r.where()
	if f := i.queue[0].Filter; f != nil && *f != "" {
		where = "(" + *f + ")" + and(where)
	}
	exprs := make([]string, len(r.cols))
	for c, name := range r.cols {
		exprs[c] = snappg.Ident(name)
	}
	sql := snappg.Select(r.st.meta.Schema, r.st.meta.Name, exprs, where) + " ORDER BY " + r.names("") + r.limit(max(o.Incremental.ChunkSize, 1))
	n, err := snappg.Copy(ctx, i.conn, snappg.Query{SQL: sql}, func(line []byte) error {
		f, err := i.split.Split(line)
		if err != nil {
			return err
		}
		for c, from := range r.st.pick {
			r.st.fields[c] = nil
			if from >= 0 {
				r.st.fields[c] = f[from]
			}
		}
		r.last = keyOf(r.st.fields, r.key)
		i.win.Add(keyText(r.st.fields, r.dedup), line)
		return nil
	})
	if err != nil {
		return 0, err
	}
	r.scanned += n
	if o.ReadOnly {
		if i.until, err = i.logEnd(ctx); err != nil {
			return 0, err
		}
		i.win.Open(id)
		if n == 0 {
			i.win.Start("")
		}
		return int(n), nil
	}
	if err := i.mark(ctx, id, capture.SignalClose, began); err != nil {
		return 0, err
	}
	if n == 0 {
		i.win.Start("")
	}
	return int(n), nil
}

// mark writes a watermark into the signal table.
func (i *incremental) mark(ctx context.Context, id, kind string, began time.Time) error {
	o := i.s.t.opts
	if o.ReadOnly {
		return nil
	}
	schema, name, _ := strings.Cut(o.Signal.Table, ".")
	table := quoteIdent(schema) + "." + quoteIdent(name)
	stamp := began.UTC().Format(time.RFC3339Nano)
	var err error
	switch {
	case kind == capture.SignalOpen:
		_, err = query(ctx, i.conn, "INSERT INTO "+table+" VALUES ($1, $2, $3)", id+"-open", kind, `{"openWindowTimestamp": "`+stamp+`"}`)
	case o.Incremental.DeleteOpen:
		_, err = query(ctx, i.conn, "DELETE FROM "+table+" WHERE "+i.s.signalID()+" = $1", id+"-open")
	default:
		_, err = query(ctx, i.conn, "INSERT INTO "+table+" VALUES ($1, $2, $3)", id+"-close", kind,
			`{"openWindowTimestamp": "`+stamp+`", "closeWindowTimestamp": "`+time.Now().UTC().Format(time.RFC3339Nano)+`"}`)
	}
	if err != nil {
		return fmt.Errorf("write a watermark of the incremental snapshot into %s: %w", o.Signal.Table, err)
	}
	return nil
}

// goOn continues after a connection was opened: signals that wait, the chunk that was
// in flight, or the one that the stored offset names next.
func (i *incremental) goOn(ctx context.Context) error {
	if err := i.s.actOnSignals(ctx); err != nil {
		return err
	}
	if !i.running() || i.paused || i.win.ID() != "" {
		return nil
	}
	return i.next(ctx)
}

// closed emits what is left of a window.
func (i *incremental) closed(ctx context.Context, id string) error {
	lines, ok := i.win.Close(id)
	if !ok || i.cur == nil {
		return nil
	}
	s, st := i.s, i.cur.st
	for _, line := range lines {
		f, err := i.split.Split(line)
		if err != nil {
			return err
		}
		for c, from := range st.pick {
			if st.fields[c] = nil; from >= 0 {
				st.fields[c] = f[from]
			}
		}
		b := s.batch()
		row, err := st.rows.DecodeTexts(b, st.fields)
		if err != nil {
			return st.fail(err, s.at.LSN)
		}
		if row.Failures != nil {
			s.warnFailures(&st.table, row.Failures)
		}
		st.env.Append(b, s.shared, &emit.Change{Op: emit.OpRead, After: row.Value, Key: row.Key, NowNs: s.now.UnixNano(), Source: s.incrementalSource(b, &st.src)})
		st.done++
	}
	st.count()
	i.cur.sent = i.cur.last
	s.dirty = true
	return i.next(ctx)
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

func (i *incremental) connect(ctx context.Context) (err error) {
	if i.conn != nil && !i.conn.IsClosed() {
		return nil
	}
	if i.conn, err = i.s.t.snapshotConn(ctx); err == nil {
		_, err = exec(ctx, i.conn, "SET TimeZone = 'UTC'; SET statement_timeout = 0") // keys are compared as text with those of the log
	}
	return err
}

func (i *incremental) logEnd(ctx context.Context) (LSN, error) {
	rows, err := exec(ctx, i.conn, "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END")
	if err != nil {
		return 0, fmt.Errorf("ask for the end of the log: %w", err)
	}
	return parseLSN(rows[0][0])
}

// disconnected forgets what belongs to connections; the chunk in flight is read
// again after a reconnect.
func (i *incremental) disconnected() {
	closeConn(i.conn)
	i.conn = nil
	i.win.Start("")
	if i.cur != nil {
		i.resumeKey, i.resumeMax = i.cur.sent, i.cur.max
		i.cur = nil
	}
}

func (i *incremental) names() string {
	out := make([]string, len(i.queue))
	for j, t := range i.queue {
		out[j] = t.ID
	}
	return strings.Join(out, ",")
}

func (i *incremental) note(kind string, data ...[2]string) {
	i.s.t.notify(i.s.batch(), capture.Notification{ID: i.id, Aggregate: capture.IncrementalSnapshot, Type: kind,
		Data: append([][2]string{{"connector_name", i.s.t.opts.Prefix}}, data...)})
}
