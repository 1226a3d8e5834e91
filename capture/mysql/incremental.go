package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	sqldriver "database/sql/driver"

	mysqldriver "github.com/go-sql-driver/mysql"

	"millrace/capture"
	"millrace/decode/binlog"
	"millrace/decode/myvalue"
	"millrace/schemahistory"
)

// incrementalEngine reads chunks and writes watermarks. It implements
// capture.IncrementalEngine.
//
// With read.only a chunk must not be older than the stream, since what was streamed
// before the window opened is not looked at again. The server hands out events
// before their transactions are visible to queries, so this is asked for: MySQL
// says which transactions are visible (gtid_executed), MariaDB at which place of
// the log a view lies (binlog_snapshot_position). What is visible to the chunk was
// in the log before; once the stream has passed the end that the log has then, the
// window closes.
type incrementalEngine struct {
	s     *session
	conn  *sql.Conn
	until logPlace
	since time.Time // when the stream was ahead of what can be read; zero: it is not
}

// erTableDenied is the number of a right that is missing on a table.
const erTableDenied = 1142

// logPlace is a place of the log as one server counts.
type logPlace struct {
	file  string
	pos   int64
	gtids string
}

// before reports whether p lies before q, file names of one server compared by
// their numbers.
func (p logPlace) before(q logPlace) bool {
	if a, b := fileNumber(p.file), fileNumber(q.file); a != b {
		return a < b
	}
	return p.pos < q.pos
}

// connect opens the connection that chunks are read by.
func (e *incrementalEngine) connect(ctx context.Context) error {
	if e.conn != nil {
		return nil
	}
	c, err := e.s.t.opts.Conn.session(ctx, e.s.t.db)
	if err != nil {
		return err
	}
	// Keys that are no valid dates must be comparable, and long ones sortable.
	for _, q := range []string{"SET SESSION sql_mode = 'ALLOW_INVALID_DATES'", "SET SESSION max_sort_length = 8192", "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"} {
		if _, err := c.ExecContext(ctx, q); err != nil {
			return errors.Join(fmt.Errorf("prepare an incremental snapshot (%s): %w", q, err), c.Close())
		}
	}
	e.conn = c
	return nil
}

// close gives the connection back.
func (e *incrementalEngine) close() {
	if e.conn != nil {
		_ = e.conn.Raw(func(any) error { return sqldriver.ErrBadConn }) // its settings are not for others
		_ = e.conn.Close()
		e.conn = nil
	}
	e.since = time.Time{}
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
	e.s.t.notify(n)
}

// Open implements capture.IncrementalEngine.
func (e *incrementalEngine) Open(ctx context.Context, c capture.Collection, key, most string) (capture.ChunkReader, string, error) {
	s, t := e.s, e.s.t
	db, name, _ := strings.Cut(c.ID, ".")
	id := schemahistory.TableID{DB: db, Name: name}
	v := t.model.Table(id)
	if v == nil || !t.captured(id) {
		s.log.Warn("a table of an incremental snapshot is not there or not captured", "table", c.ID)
		return nil, capture.ScanUnknownSchema, nil
	}
	if err := e.connect(ctx); err != nil {
		return nil, "", err
	}
	tb, err := t.compile(v, nil)
	if err != nil {
		return nil, "", err
	}
	r := &chunkReader{s: s, conn: e.conn, tb: tb, from: quote(db) + "." + quote(name), where: c.Where(), size: t.opts.Signals.ChunkSize}
	primary := columnsOf(v, v.Key())
	own := t.opts.KeyColumns.For(db, name, columnNames(v))
	order := primary
	if len(order) == 0 {
		order = own
	}
	if c.Surrogate != nil {
		if order = columnsOf(v, []string{*c.Surrogate}); len(order) == 0 {
			s.log.Warn("the surrogate key is no column of the table", "table", c.ID, "column", *c.Surrogate)
			return nil, capture.ScanNoKey, nil
		}
	}
	if len(order) == 0 {
		s.log.Warn("a table without a key is left out of the incremental snapshot; the signal can name a surrogate-key", "table", c.ID)
		return nil, capture.ScanNoKey, nil
	}
	ident := primary
	if len(ident) == 0 {
		ident = own
	}
	r.ties = !slices.Equal(order, primary)
	if r.ident, err = t.identity(v, ident, order); err != nil {
		return nil, "", err
	}
	if r.keys, err = e.describe(ctx, v, order); err != nil {
		return nil, "", err
	}
	if r.keys == nil {
		return nil, capture.ScanUnknownSchema, nil
	}
	if r.most = r.parse(most); r.most != nil {
		r.last = r.parse(key)
	}
	s.reading = r
	if m := t.metrics; m != nil {
		m.SnapshotTable(tb.name, about(ctx, e.conn, id), 0)
	}
	return r, "", nil
}

func columnNames(v *schemahistory.Table) []string {
	out := make([]string, len(v.Columns))
	for i := range v.Columns {
		out[i] = v.Columns[i].Name
	}
	return out
}

func columnsOf(v *schemahistory.Table, names []string) []int {
	var out []int
	for _, n := range names {
		if i := slices.IndexFunc(v.Columns, func(c schemahistory.Column) bool { return strings.EqualFold(c.Name, n) }); i >= 0 {
			out = append(out, i)
		}
	}
	return out
}

// describe asks the catalog for the types of the columns that chunks are ordered
// by; nil: the table is not there as the log says, so what was done to it is still
// to come.
func (e *incrementalEngine) describe(ctx context.Context, v *schemahistory.Table, order []int) ([]keyColumn, error) {
	rows, err := query(ctx, e.conn, "SELECT COLUMN_NAME AS n, DATA_TYPE AS d, COLUMN_TYPE AS c, CHARACTER_SET_NAME AS cs, IS_NULLABLE AS o FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?", v.ID.DB, v.ID.Name)
	if err != nil {
		return nil, fmt.Errorf("read the columns of %s.%s: %w", v.ID.DB, v.ID.Name, err)
	}
	var out []keyColumn
	for _, at := range order {
		i := slices.IndexFunc(rows, func(r map[string]string) bool { return strings.EqualFold(r["n"], v.Columns[at].Name) })
		if i < 0 {
			e.s.log.Warn("a key column of a table is not on the server", "table", v.ID.DB+"."+v.ID.Name, "column", v.Columns[at].Name)
			return nil, nil
		}
		out = append(out, keyColumn{at: at, name: quote(v.Columns[at].Name), kind: strings.ToLower(rows[i]["d"]), class: classOf(rows[i]["d"]), charset: rows[i]["cs"],
			unsigned: strings.Contains(rows[i]["c"], "unsigned"), nullable: strings.EqualFold(rows[i]["o"], "yes"), labels: labelValues(v.Columns[at].Labels)})
	}
	return out, nil
}

// Begin implements capture.IncrementalEngine.
func (e *incrementalEngine) Begin(ctx context.Context, id string, began time.Time) (bool, error) {
	if e.s.t.opts.Signals.ReadOnly {
		return e.beginReadOnly(ctx)
	}
	return true, e.mark(ctx, "INSERT INTO "+e.signalTable()+" VALUES (?, ?, ?)", id+"-open", capture.SignalOpen, `{"openWindowTimestamp": "`+stamp(began)+`"}`)
}

// End implements capture.IncrementalEngine.
func (e *incrementalEngine) End(ctx context.Context, id string, began time.Time) error {
	o := &e.s.t.opts.Signals
	switch {
	case o.ReadOnly:
		return e.endReadOnly(ctx)
	case o.DeleteOpen:
		return e.mark(ctx, "DELETE FROM "+e.signalTable()+" WHERE "+e.signalKey()+" = ?", id+"-open")
	}
	return e.mark(ctx, "INSERT INTO "+e.signalTable()+" VALUES (?, ?, ?)", id+"-close", capture.SignalClose,
		`{"openWindowTimestamp": "`+stamp(began)+`", "closeWindowTimestamp": "`+stamp(time.Now())+`"}`)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func (e *incrementalEngine) mark(ctx context.Context, text string, args ...any) error {
	_, err := e.conn.ExecContext(ctx, text, args...)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("write a watermark of the incremental snapshot into %s: %w", e.s.t.opts.SignalTable, err)
	if my := new(mysqldriver.MySQLError); errors.As(err, &my) && (my.Number == erTableDenied || my.Number == erAccessDenied) {
		err = fmt.Errorf("%w; grant it: GRANT INSERT, DELETE ON %s TO the connector's user, or set read.only=true", err, e.signalTable())
	}
	return refused(err)
}

func (e *incrementalEngine) signalTable() string {
	db, name, _ := strings.Cut(e.s.t.opts.SignalTable, ".")
	return quote(db) + "." + quote(name)
}

// signalKey is the signal table's first column.
func (e *incrementalEngine) signalKey() string {
	db, name, _ := strings.Cut(e.s.t.opts.SignalTable, ".")
	if v := e.s.t.model.Table(schemahistory.TableID{DB: db, Name: name}); v != nil && len(v.Columns) > 0 {
		return quote(v.Columns[0].Name)
	}
	return quote("id")
}

// Limits of waiting for queries to see what was streamed. It is an instant, but
// under writers there is always a next one: so the stream waits, too.
const (
	viewWait = time.Second
	viewStep = 2 * time.Millisecond
)

// beginReadOnly opens a view that is not older than the stream.
func (e *incrementalEngine) beginReadOnly(ctx context.Context) (bool, error) {
	for began := time.Now(); ; {
		ready, err := e.view(ctx)
		if ready {
			e.since = time.Time{}
		}
		if err != nil || ready {
			return ready, err
		}
		if time.Since(began) > viewWait {
			break
		}
		if err := wait(ctx, viewStep); err != nil {
			return false, err
		}
	}
	if e.since.IsZero() {
		e.since = time.Now()
	} else if time.Since(e.since) > 10*time.Second {
		e.since = time.Now()
		e.s.log.Warn("the incremental snapshot waits: queries do not see yet what was streamed; is another server behind this address?", "gtids", e.s.at.GTIDs)
	}
	return false, nil
}

// view opens a view and reports whether it is not older than the stream.
func (e *incrementalEngine) view(ctx context.Context) (bool, error) {
	s := e.s
	if _, err := e.conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		return false, fmt.Errorf("end a view: %w", err)
	}
	if s.t.opts.Flavor == MariaDB {
		if _, err := e.conn.ExecContext(ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT"); err != nil {
			return false, fmt.Errorf("open a view: %w", err)
		}
		at, err := e.viewPlace(ctx)
		e.until = at
		return err == nil && !at.before(s.ended), err
	}
	if s.at.GTIDs == "" {
		return true, nil
	}
	rows, err := query(ctx, e.conn, "SELECT GTID_SUBSET(?, @@GLOBAL.gtid_executed) AS seen", s.at.GTIDs)
	if err != nil {
		return false, fmt.Errorf("ask for the executed transactions: %w", err)
	}
	return rows[0]["seen"] == "1", nil
}

// viewPlace is the place of the log that a view of MariaDB lies at.
func (e *incrementalEngine) viewPlace(ctx context.Context) (logPlace, error) {
	rows, err := query(ctx, e.conn, "SHOW STATUS LIKE 'binlog_snapshot_%'")
	if err != nil {
		return logPlace{}, fmt.Errorf("ask for the place of a view: %w", err)
	}
	var p logPlace
	for _, r := range rows {
		switch strings.ToLower(r["variable_name"]) {
		case "binlog_snapshot_file":
			p.file = r["value"]
		case "binlog_snapshot_position":
			if _, err := fmt.Sscan(r["value"], &p.pos); err != nil {
				return p, fmt.Errorf("read the place of a view: %w", err)
			}
		}
	}
	if p.file == "" {
		return p, errors.New("the server does not say at which place of the log a view lies (binlog_snapshot_file); is its binary log on?")
	}
	// Those of the log's end are not older; for those of the view itself the server
	// would read the whole file.
	rows, err = query(ctx, e.conn, "SELECT @@GLOBAL.gtid_binlog_pos AS g")
	if err != nil {
		return p, fmt.Errorf("ask for the GTIDs of the log's end: %w", err)
	}
	p.gtids = rows[0]["g"]
	return p, nil
}

// endReadOnly notes the end of the log and ends the view.
func (e *incrementalEngine) endReadOnly(ctx context.Context) error {
	if e.s.t.opts.Flavor == MariaDB { // the view is exactly at a place
		if _, err := e.conn.ExecContext(ctx, "ROLLBACK"); err != nil {
			return fmt.Errorf("end a view: %w", err)
		}
		return nil
	}
	p, err := e.s.t.server.place(ctx, e.conn)
	if err != nil {
		return err
	}
	e.until = logPlace{p.File, p.Pos, p.GTIDs}
	return nil
}

// Passed implements capture.IncrementalEngine.
func (e *incrementalEngine) Passed() bool {
	s := e.s
	if !s.t.opts.Signals.ReadOnly {
		return false
	}
	if !s.reached.before(e.until) {
		return true
	}
	if e.until.gtids == "" || s.at.GTIDs == "" {
		return false
	}
	have, err1 := parseGTIDs(s.t.opts.Flavor, s.at.GTIDs)
	want, err2 := parseGTIDs(s.t.opts.Flavor, e.until.gtids)
	return err1 == nil && err2 == nil && have.Contain(want)
}

// identity makes the plans that tell rows of a table apart. order are columns that
// a chunk needs besides.
func (t *task) identity(v *schemahistory.Table, columns, order []int) (*identity, error) {
	x := &identity{columns: columns, needs: make([]bool, len(v.Columns)), version: v, task: t}
	for i := range v.Columns {
		x.needs[i] = t.opts.Columns.Included(v.ID.DB, v.ID.Name, v.Columns[i].Name) || slices.Contains(columns, i) || slices.Contains(order, i)
	}
	for _, i := range t.opts.KeyColumns.For(v.ID.DB, v.ID.Name, columnNames(v)) {
		x.needs[i] = true
	}
	var err error
	x.texts, err = x.compile(nil)
	return x, err
}

func (x *identity) compile(wire *binlog.TableMap) (*myvalue.Table, error) {
	v := x.version
	spec := myvalue.TableSpec{KeyName: "identity", ValueName: "none", Key: x.columns, Columns: make([]myvalue.Column, len(v.Columns)), InValue: make([]bool, len(v.Columns))}
	for i := range v.Columns {
		c := &v.Columns[i]
		spec.Columns[i] = myvalue.Column{Name: c.Name, TypeName: c.TypeName, Length: c.Length, Scale: c.Scale, Charset: c.Charset, Optional: true, Labels: unquoteLabels(c.Labels), Truncate: -1, MaskChars: -1}
	}
	if wire != nil {
		spec.Wire = wire.Columns
	}
	out, err := myvalue.CompileTable(spec, exactModes, x.task.interner)
	if err != nil {
		return nil, fault(err, "", "Cannot read keys of table %s.%s", v.ID.DB, v.ID.Name)
	}
	return out, nil
}
