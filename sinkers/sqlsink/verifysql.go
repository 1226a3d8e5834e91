package sqlsink

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// How each dialect makes a twin of a table and compares two columns.

func (p *postgres) ask(ctx context.Context, q string) ([][]string, error) {
	rows, err := p.query(ctx, q)
	if err != nil {
		return nil, err
	}
	out := make([][]string, len(rows))
	for i, r := range rows {
		for _, c := range r {
			out[i] = append(out[i], string(c))
		}
	}
	return out, nil
}

// scratch copies columns and defaults, but no default that draws from the table's
// own sequence, and nothing that could refuse a row that was stored.
func (p *postgres) scratch(ctx context.Context, t *table, n int, keys []string) (string, error) {
	name := fmt.Sprintf("pg_temp.millrace_verify_%d", n)
	if err := p.exec(ctx, "CREATE TEMP TABLE "+strings.TrimPrefix(name, "pg_temp.")+" (LIKE "+t.sql+" INCLUDING DEFAULTS INCLUDING GENERATED)"); err != nil {
		return "", err
	}
	rows, err := p.ask(ctx, `SELECT a.attname, coalesce(pg_get_expr(d.adbin, d.adrelid), ''), a.attnotnull, a.attgenerated FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		WHERE a.attrelid = to_regclass('`+name+`') AND a.attnum > 0 AND NOT a.attisdropped`)
	if err != nil {
		return "", err
	}
	alter := "ALTER TABLE " + name
	for _, r := range rows {
		q := pgQuote(r[0])
		if strings.Contains(r[1], "nextval(") && r[3] == "" {
			alter += " ALTER COLUMN " + q + " DROP DEFAULT,"
		}
		if r[2] == "t" {
			alter += " ALTER COLUMN " + q + " DROP NOT NULL,"
		}
	}
	quoted := make([]string, len(keys))
	for i, k := range keys {
		quoted[i] = pgQuote(k)
	}
	return name, p.exec(ctx, alter+" ADD PRIMARY KEY ("+strings.Join(quoted, ", ")+")")
}

// pgComparable are types whose equality is that of what is stored; the others are
// compared by their text.
var pgComparable = map[string]bool{"smallint": true, "integer": true, "bigint": true, "real": true, "double precision": true, "numeric": true, "boolean": true,
	"text": true, "character varying": true, "date": true, "time without time zone": true, "time with time zone": true, "timestamp without time zone": true,
	"timestamp with time zone": true, "interval": true, "uuid": true, "bytea": true, "jsonb": true}

func (p *postgres) differ(q string, info *colInfo, json bool) string {
	if pgComparable[info.typ] && !(json && info.typ != "jsonb") {
		return "s." + q + " IS DISTINCT FROM t." + q
	}
	unlike := "s." + q + "::text IS DISTINCT FROM t." + q + "::text"
	if json || info.typ == "json" { // jsonb takes no escaped zero characters
		return "CASE WHEN NOT (" + unlike + ") THEN false WHEN s." + q + " IS NULL OR t." + q + " IS NULL OR concat(s." + q + ", t." + q + ") LIKE '%\\u0000%' THEN true ELSE s." + q + "::text::jsonb <> t." + q + "::text::jsonb END"
	}
	return unlike
}

func (p *postgres) text(q string) string { return q + "::text" }

func (p *postgres) digest(cols []string) string {
	if len(cols) == 0 {
		return "''"
	}
	return "md5(ROW(" + strings.Join(cols, ", ") + ")::text)"
}

func (t *mysqlTarget) ask(ctx context.Context, q string) ([][]string, error) {
	if err := t.ready(ctx); err != nil {
		return nil, err
	}
	rows, err := t.conn.QueryContext(ctx, q)
	if err != nil {
		return nil, t.note(short(q), err)
	}
	out, err := texts(rows)
	return out, t.note(short(q), err)
}

func (t *mysqlTarget) scratch(ctx context.Context, tab *table, n int, _ []string) (string, error) {
	name := myQuote(fmt.Sprintf("millrace_verify_%d", n))
	if tab.schema != "" {
		name = myQuote(tab.schema) + "." + name
	}
	return name, t.exec(ctx, "CREATE TEMPORARY TABLE "+name+" LIKE "+tab.sql)
}

func (t *mysqlTarget) differ(q string, info *colInfo, json bool) string {
	if json && t.spell.maria && strings.Contains(info.typ, "text") {
		return "(NOT (BINARY s." + q + " <=> BINARY t." + q + ") AND NOT COALESCE(JSON_COMPACT(s." + q + ") = JSON_COMPACT(t." + q + "), FALSE))"
	}
	for _, text := range []string{"char", "text", "enum", "set("} {
		if strings.Contains(info.typ, text) { // a collation may call different texts equal
			return "NOT (CAST(s." + q + " AS BINARY) <=> CAST(t." + q + " AS BINARY))"
		}
	}
	return "NOT (s." + q + " <=> t." + q + ")"
}

func (t *mysqlTarget) text(q string) string { return "CAST(" + q + " AS CHAR)" }

// digest: MySQL 9.7 has no MD5.
func (t *mysqlTarget) digest(cols []string) string {
	parts := []string{"''"}
	for _, c := range cols {
		parts = append(parts, "IFNULL(CAST("+c+" AS BINARY), 'NULL')")
	}
	return "SHA2(CONCAT_WS('|', " + strings.Join(parts, ", ") + "), 256)"
}

func (t *sqliteTarget) ask(ctx context.Context, q string) ([][]string, error) {
	rows, err := t.conn.QueryContext(ctx, q)
	if err != nil {
		return nil, sqliteError(q, err)
	}
	out, err := texts(rows)
	if err != nil {
		return nil, sqliteError(q, err)
	}
	return out, nil
}

func (t *sqliteTarget) scratch(ctx context.Context, tab *table, n int, keys []string) (string, error) {
	name := fmt.Sprintf("temp.millrace_verify_%d", n)
	rows, err := t.ask(ctx, "SELECT name, type, dflt_value FROM pragma_table_xinfo('"+strings.ReplaceAll(tab.ident, "'", "''")+"') WHERE hidden = 0")
	if err != nil {
		return "", err
	}
	var defs []string
	for _, r := range rows {
		def := pgQuote(r[0]) + " " + r[1]
		if r[2] != "" {
			def += " DEFAULT (" + r[2] + ")"
		}
		defs = append(defs, def)
	}
	quoted := make([]string, len(keys))
	for i, k := range keys {
		quoted[i] = pgQuote(k)
	}
	return name, t.exec(ctx, "CREATE TABLE "+name+" ("+strings.Join(defs, ", ")+", PRIMARY KEY ("+strings.Join(quoted, ", ")+"))")
}

func (t *sqliteTarget) differ(q string, _ *colInfo, json bool) string {
	unlike := "s." + q + " IS NOT t." + q
	if json {
		return "CASE WHEN json_valid(s." + q + ") AND json_valid(t." + q + ") THEN json(s." + q + ") IS NOT json(t." + q + ") ELSE " + unlike + " END"
	}
	return unlike
}

func (t *sqliteTarget) text(q string) string { return "CAST(" + q + " AS TEXT)" }

// digest: SQLite has no hash, so it is the row itself.
func (t *sqliteTarget) digest(cols []string) string {
	parts := []string{"''"}
	for _, c := range cols {
		parts = append(parts, "quote("+c+")")
	}
	return strings.Join(parts, " || '|' || ")
}

// texts reads rows to their end and closes them.
func texts(rows *sql.Rows) ([][]string, error) {
	defer rows.Close()
	cols, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var out [][]string
	cells, into := make([]sql.NullString, len(cols)), make([]any, len(cols))
	for i := range cells {
		into[i] = &cells[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		row := make([]string, len(cols))
		for i, c := range cells {
			row[i] = c.String
		}
		out = append(out, row)
	}
	return out, rows.Err()
}
