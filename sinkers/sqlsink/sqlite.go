package sqlsink

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"millrace/internal/record"
)

// sqliteTarget is the connection of one task to a SQLite file: one transaction per
// write, prepared statements per plan.
type sqliteTarget struct {
	cfg   *config
	log   *slog.Logger
	spell *sqliteSpell
	begin string // how a transaction begins
	db    *sql.DB
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
	args  []any
	enc   pgEncoder
	buf   []byte
}

func newSQLite(c *config, log *slog.Logger) *sqliteTarget {
	return &sqliteTarget{cfg: c, log: log, spell: &sqliteSpell{plain: c.plain}, begin: "BEGIN IMMEDIATE"}
}

// sqliteSpell spells SQLite's names and types. Names keep their case, which SQLite
// does not compare. Temporal values are ISO texts; decimals that a double cannot
// hold exactly are texts too.
type sqliteSpell struct {
	plain bool // the types of Confluent's sink
}

func (*sqliteSpell) fold(name string) string  { return name }
func (*sqliteSpell) quote(name string) string { return pgQuote(name) }

func (s *sqliteSpell) columnType(c *column) (string, error) {
	m := &c.sem
	if t := sqlitePlain[m.kind]; s.plain && t != "" {
		return t, nil
	}
	switch m.kind {
	case kindInt8, kindInt16, kindInt32, kindInt64, kindYear, kindDuration:
		return "integer", nil
	case kindBool:
		return "boolean", nil
	case kindFloat32, kindFloat64:
		return "real", nil
	case kindDecimal:
		if m.precision > 0 && m.precision <= 15 {
			return fmt.Sprintf("numeric(%d,%d)", m.precision, max(0, m.scale)), nil
		}
		return "text", nil
	case kindDate:
		return "date", nil
	case kindTime, kindZonedTime:
		return "time", nil
	case kindTimestamp, kindZonedTimestamp:
		return "timestamp", nil
	case kindBytes, kindGeometry, kindGeography, kindPoint:
		return "blob", nil
	}
	return "text", nil
}

func (s *sqliteSpell) defaultValue(c *column) (string, bool) {
	d := c.schema.Default
	if d.Root.IsNull() {
		return "", false
	}
	t := sqliteTarget{}
	v, err := t.bind(&c.sem, c.schema, d.Batch(), d.Root)
	if err != nil {
		return "", false
	}
	switch x := v.(type) {
	case int64, float64:
		return fmt.Sprint(x), true
	case string:
		return "'" + strings.ReplaceAll(x, "'", "''") + "'", true
	}
	return "", false
}

func (*sqliteSpell) addColumns(table string, defs []string) []string {
	out := make([]string, len(defs))
	for i, d := range defs {
		out[i] = "ALTER TABLE " + table + " ADD COLUMN " + d
	}
	return out
}

func (t *sqliteTarget) open(ctx context.Context) error {
	t.close()
	db, err := sql.Open("sqlite", t.cfg.url.database)
	if err != nil {
		return &dbError{what: "open " + t.cfg.url.database, err: err}
	}
	t.db, t.stmts = db, map[string]*sql.Stmt{}
	db.SetMaxOpenConns(1)
	if t.conn, err = db.Conn(ctx); err != nil {
		return sqliteError("open "+t.cfg.url.database, err)
	}
	for _, q := range []string{"PRAGMA busy_timeout = 10000", "PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL"} {
		if _, err := t.conn.ExecContext(ctx, q); err != nil {
			return sqliteError(q+" on "+t.cfg.url.database, err)
		}
	}
	return nil
}

func (t *sqliteTarget) close() {
	if t.conn != nil {
		for _, s := range t.stmts {
			s.Close()
		}
		t.conn.Close()
		t.conn = nil
	}
	if t.db != nil {
		t.db.Close()
		t.db = nil
	}
}

func (t *sqliteTarget) exec(ctx context.Context, q string) error {
	if t.conn == nil {
		if err := t.open(ctx); err != nil {
			return err
		}
	}
	if _, err := t.conn.ExecContext(ctx, q); err != nil {
		return sqliteError(q, err)
	}
	return nil
}

func (t *sqliteTarget) describe(ctx context.Context, tab *table) (*tableInfo, error) {
	schema := tab.schema
	if schema == "" {
		schema = "main"
	}
	rows, err := t.conn.QueryContext(ctx, "SELECT name, type, \"notnull\", dflt_value IS NOT NULL, hidden IN (2, 3) FROM pragma_table_xinfo(?, ?)", tab.ident, schema)
	if err != nil {
		return nil, sqliteError("read the catalog", err)
	}
	defer rows.Close()
	info := &tableInfo{cols: map[string]*colInfo{}}
	for rows.Next() {
		c := &colInfo{}
		if err := rows.Scan(&c.name, &c.typ, &c.notNull, &c.hasDefault, &c.generated); err != nil {
			return nil, sqliteError("read the catalog", err)
		}
		info.cols[strings.ToLower(c.name)] = c
	}
	if err := rows.Err(); err != nil {
		return nil, sqliteError("read the catalog", err)
	}
	if len(info.cols) == 0 {
		return nil, nil
	}
	return info, nil
}

func (t *sqliteTarget) write(ctx context.Context, src *rows, units []*unit) error {
	if err := t.exec(ctx, t.begin); err != nil {
		return err
	}
	for n, u := range units {
		if err := t.unit(ctx, src, u); err != nil {
			if e := t.exec(context.WithoutCancel(ctx), "ROLLBACK"); e != nil {
				t.log.Debug("rolling back", "error", e)
			}
			return &unitError{unit: n, err: err}
		}
	}
	err := t.exec(ctx, "COMMIT")
	if err != nil { // the transaction may be open still, when there is no room for its pages
		if e := t.exec(context.WithoutCancel(ctx), "ROLLBACK"); e != nil {
			t.log.Debug("rolling back", "error", e)
		}
	}
	return err
}

func (t *sqliteTarget) unit(ctx context.Context, src *rows, u *unit) error {
	p := u.plan
	cols := make([]*column, 0, len(p.cols))
	for i := range p.cols {
		if !p.table.info.cols[strings.ToLower(p.cols[i].name)].generated {
			cols = append(cols, &p.cols[i])
		}
	}
	keys, rest := cols[:p.keys], cols[p.keys:]
	insert := "INSERT INTO " + p.table.sql + " (" + join(cols, ", ", "", "") + ") VALUES (" + strings.TrimSuffix(strings.Repeat("?,", len(cols)), ",") + ")"
	upsert := insert + " ON CONFLICT (" + join(keys, ", ", "", "") + ") DO NOTHING"
	if len(rest) > 0 {
		upsert = insert + " ON CONFLICT (" + join(keys, ", ", "", "") + ") DO UPDATE SET " + joinExcluded(rest)
	}
	where := " WHERE " + join(keys, " AND ", "", " = ?")
	update := "UPDATE " + p.table.sql + " SET " + join(rest, ", ", "", " = ?") + where
	byKeyLast := append(append([]*column{}, rest...), keys...)
	switch {
	case u.op == unitTruncate:
		return t.exec(ctx, "DELETE FROM "+p.table.sql)
	case u.op == unitDelete:
		return t.each(ctx, src, u, keys, "DELETE FROM "+p.table.sql+where, nil)
	case u.op == unitInsert:
		return t.each(ctx, src, u, cols, insert, nil)
	case len(rest) == 0 && u.op == unitUpdate:
		return nil
	case u.op == unitUpdate:
		return t.each(ctx, src, u, byKeyLast, update, nil)
	case p.partial && len(rest) > 0:
		return t.each(ctx, src, u, byKeyLast, update, func(i int32) error {
			return t.each(ctx, src, &unit{op: unitUpsert, plan: p, rows: []int32{i}, live: 1}, cols, upsert, nil)
		})
	}
	return t.each(ctx, src, u, cols, upsert, nil)
}

func join(cols []*column, sep, before, after string) string {
	var sb strings.Builder
	for i, c := range cols {
		if i > 0 {
			sb.WriteString(sep)
		}
		sb.WriteString(before + pgQuote(c.name) + after)
	}
	return sb.String()
}

func joinExcluded(cols []*column) string {
	var sb strings.Builder
	for i, c := range cols {
		if i > 0 {
			sb.WriteString(", ")
		}
		sb.WriteString(pgQuote(c.name) + " = excluded." + pgQuote(c.name))
	}
	return sb.String()
}

// each runs a prepared statement per row; missed, when not nil, is called for rows
// that it did not find.
func (t *sqliteTarget) each(ctx context.Context, src *rows, u *unit, cols []*column, q string, missed func(int32) error) error {
	stmt := t.stmts[q]
	if stmt == nil {
		var err error
		if stmt, err = t.conn.PrepareContext(ctx, q); err != nil {
			return sqliteError(q, err)
		}
		t.stmts[q] = stmt
	}
	for _, i := range u.rows {
		if i < 0 {
			continue
		}
		args := t.args[:0]
		for _, c := range cols {
			v, err := t.value(u.plan.table, c, src.b, src.value(c, i))
			if err != nil {
				return badValue(i, c, err)
			}
			args = append(args, v)
		}
		t.args = args
		res, err := stmt.ExecContext(ctx, args...)
		if err != nil {
			return sqliteError("write to "+u.plan.table.name, err)
		}
		if missed == nil {
			continue
		}
		if n, err := res.RowsAffected(); err != nil || n > 0 {
			continue
		}
		if err := missed(i); err != nil {
			return err
		}
	}
	return nil
}

// value is bind, but for one thing: Java's other sinks keep Date, Time and Timestamp
// in columns of type numeric, as milliseconds of UTC whatever their zone is.
func (t *sqliteTarget) value(tab *table, c *column, b *record.Batch, v record.Cell) (any, error) {
	if !t.cfg.plain || v.IsNull() {
		return t.bind(&c.sem, c.schema, b, v)
	}
	switch c.sem.kind {
	case kindDate, kindTime, kindTimestamp:
		if info := tab.info.cols[strings.ToLower(c.name)]; info == nil || !strings.EqualFold(info.typ, "numeric") {
			break
		}
		if c.sem.kind == kindDate {
			return v.Int() * 86_400_000, nil
		}
		return v.Int() / (1e6 / c.sem.unit), nil
	}
	return t.bind(&c.sem, c.schema, b, v)
}

// bind turns a value into what the driver takes.
func (t *sqliteTarget) bind(m *sem, s *record.Schema, b *record.Batch, c record.Cell) (any, error) {
	if c.IsNull() {
		return nil, nil
	}
	switch m.kind {
	case kindInt8, kindInt16, kindInt32, kindInt64, kindYear, kindDuration:
		return c.Int(), nil
	case kindBool:
		if c.Bool() {
			return int64(1), nil
		}
		return int64(0), nil
	case kindFloat32, kindFloat64:
		if math.IsNaN(c.Float()) {
			return "NaN", nil // SQLite makes NULL of the number
		}
		return c.Float(), nil
	case kindBytes:
		return append([]byte{}, b.Raw(c)...), nil
	case kindPoint, kindGeometry, kindGeography:
		wkb, srid, ok := geometryParts(b, s, c)
		if !ok {
			return nil, errors.New("the geometry has no wkb")
		}
		head, rest := ewkb(wkb, srid)
		return append(append([]byte{}, head...), rest...), nil
	case kindArray, kindMap, kindVector, kindHalfVector, kindSparseVector:
		var err error
		jm := m
		if m.elem == nil {
			jm = nil
		}
		t.buf, err = appendJSON(t.buf[:0], jm, s, b, c)
		return string(t.buf), err
	}
	var err error
	t.buf, err = t.enc.raw(t.buf[:0], m, s, b, c)
	return string(t.buf), err
}

// sqliteError classifies an error.
func sqliteError(what string, err error) error {
	e := &dbError{what: what, err: err}
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return e
	}
	switch se.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR:
		e.class = errBusy
	case sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_NOTADB:
		e.class = errSetup
	case sqlite3.SQLITE_ERROR:
		if strings.Contains(err.Error(), "no such table") || strings.Contains(err.Error(), "no such column") || strings.Contains(err.Error(), "has no column") {
			e.class = errNoTable
		}
	}
	return e
}
