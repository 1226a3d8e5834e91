package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
)

// Tx says in which transaction a snapshot is read.
type Tx struct {
	// Snapshot is the exported snapshot to import; "" takes a new one.
	Snapshot string
	// Serializable asks for SERIALIZABLE, READ ONLY, DEFERRABLE; else REPEATABLE READ,
	// READ ONLY. Nothing weaker is offered: tables read in one snapshot must show
	// one moment.
	Serializable bool
}

// Info is what a snapshot transaction says about itself.
type Info struct {
	TxID   int64         // 0 on a standby, which assigns none
	TsUsec int64         // its CURRENT_TIMESTAMP, µs since 1970
	LSN    pglogrepl.LSN // end of the log when it began
}

// Begin opens the transaction on a connection. The caller ends it by closing the
// connection or by Rollback.
func Begin(ctx context.Context, c *pgconn.PgConn, tx Tx) (Info, error) {
	sql := "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
	if tx.Serializable && tx.Snapshot == "" {
		sql = "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE;"
	}
	if tx.Snapshot != "" {
		sql += "SET TRANSACTION SNAPSHOT '" + strings.ReplaceAll(tx.Snapshot, "'", "''") + "';"
	}
	// COPY of a large table takes as long as it takes.
	sql += "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0;" +
		"SELECT CASE WHEN pg_is_in_recovery() THEN 0 ELSE txid_current() END, (extract(epoch FROM CURRENT_TIMESTAMP) * 1000000)::bigint," +
		" CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END"
	res, err := c.Exec(ctx, sql).ReadAll()
	if err != nil {
		return Info{}, fmt.Errorf("open the snapshot transaction: %w", err)
	}
	row := res[len(res)-1].Rows[0]
	var in Info
	in.TxID, _ = strconv.ParseInt(string(row[0]), 10, 64)
	in.TsUsec, _ = strconv.ParseInt(string(row[1]), 10, 64)
	if len(row[2]) > 0 {
		if in.LSN, err = pglogrepl.ParseLSN(string(row[2])); err != nil {
			return Info{}, err
		}
	}
	return in, nil
}

// Export exports the snapshot of an open transaction, for further connections.
func Export(ctx context.Context, c *pgconn.PgConn) (string, error) {
	res, err := c.Exec(ctx, "SELECT pg_export_snapshot()").ReadAll()
	if err != nil {
		return "", fmt.Errorf("export the snapshot: %w", err)
	}
	return string(res[0].Rows[0][0]), nil
}

// Lock takes ACCESS SHARE locks on tables (quoted names), waiting at most timeoutMs for each.
func Lock(ctx context.Context, c *pgconn.PgConn, timeoutMs int64, tables []string) error {
	sql := "SET LOCAL lock_timeout = " + strconv.FormatInt(timeoutMs, 10)
	for _, t := range tables {
		sql += "; LOCK TABLE " + t + " IN ACCESS SHARE MODE"
	}
	if _, err := c.Exec(ctx, sql).ReadAll(); err != nil {
		return fmt.Errorf("lock the tables of the snapshot: %w", err)
	}
	return nil
}

// Columns returns the column names of a query, without running it.
func Columns(ctx context.Context, c *pgconn.PgConn, sql string) ([]string, error) {
	d, err := c.Prepare(ctx, "", sql, nil)
	if err != nil {
		return nil, fmt.Errorf("look at the columns of %s: %w", sql, err)
	}
	out := make([]string, len(d.Fields))
	for i, f := range d.Fields {
		out[i] = f.Name
	}
	return out, nil
}

// Copy runs COPY of a query and hands each row's line to row; the line is lent for
// the call. It returns how many rows there were.
func Copy(ctx context.Context, c *pgconn.PgConn, query string, row func(line []byte) error) (int64, error) {
	w := &lines{row: row}
	_, err := c.CopyTo(ctx, w, "COPY ("+query+") TO STDOUT")
	if w.err != nil {
		return w.n, w.err
	}
	if err != nil {
		return w.n, fmt.Errorf("read rows by %s: %w", query, err)
	}
	return w.n, nil
}

// lines is the writer of COPY: the server sends one message per row.
type lines struct {
	row func([]byte) error
	n   int64
	err error
}

func (l *lines) Write(p []byte) (int, error) {
	l.n++
	if l.err == nil {
		l.err = l.row(p)
	}
	return len(p), l.err
}

// Select makes the query of a chunk: the columns in order, no ORDER BY, and, as in
// Debezium, with the rows of child tables where the table has any.
func Select(schema, table string, columns []string, where string) string {
	var sb strings.Builder
	sb.WriteString("SELECT ")
	for i, c := range columns {
		if i > 0 {
			sb.WriteString(", ")
		}
		sb.WriteString(ident(c))
	}
	sb.WriteString(" FROM " + ident(schema) + "." + ident(table))
	if where != "" {
		sb.WriteString(" WHERE " + where)
	}
	return sb.String()
}

func ident(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
