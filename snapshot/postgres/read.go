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
	Xmin   uint64        // oldest transaction that the snapshot does not see as ended, with its epoch
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
		" CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, txid_snapshot_xmin(txid_current_snapshot())"
	res, err := c.Exec(ctx, sql).ReadAll()
	if err != nil {
		return Info{}, fmt.Errorf("open the snapshot transaction: %w", err)
	}
	row := res[len(res)-1].Rows[0]
	var in Info
	in.TxID, _ = strconv.ParseInt(string(row[0]), 10, 64)
	in.TsUsec, _ = strconv.ParseInt(string(row[1]), 10, 64)
	in.Xmin, _ = strconv.ParseUint(string(row[3]), 10, 64)
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

// Column is a column of a query.
type Column struct {
	Name    string
	TypeOID uint32 // of a domain: its base type
}

// Columns returns the columns of a query, without running it.
func Columns(ctx context.Context, c *pgconn.PgConn, sql string) ([]Column, error) {
	d, err := c.Prepare(ctx, "", sql, nil)
	if err != nil {
		return nil, fmt.Errorf("look at the columns of %s: %w", sql, err)
	}
	out := make([]Column, len(d.Fields))
	for i, f := range d.Fields {
		out[i] = Column{f.Name, f.DataTypeOID}
	}
	return out, nil
}

// Select makes the query of a chunk: expressions in order, no ORDER BY, and, as in
// Debezium, with the rows of child tables where the table has any.
func Select(schema, table string, exprs []string, where string) string {
	sql := "SELECT " + strings.Join(exprs, ", ") + " FROM " + Ident(schema) + "." + Ident(table)
	if where != "" {
		sql += " WHERE " + where
	}
	return sql
}

// Ident quotes an identifier.
func Ident(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// PageRange is the condition that a row lies in the pages from (included) to (not
// included; below 0: no end). The server, from version 14 on, reads only these. ""
// means all pages.
func PageRange(from, to int64) string {
	low := "ctid >= '(" + strconv.FormatInt(from, 10) + ",0)'::tid"
	high := "ctid < '(" + strconv.FormatInt(to, 10) + ",0)'::tid"
	switch {
	case from <= 0 && to < 0:
		return ""
	case from <= 0:
		return high
	case to < 0:
		return low
	}
	return low + " AND " + high
}

// NewerThan is the condition that a row version was written by transaction xmin or a
// later one. Versions of very long ago may pass as well.
func NewerThan(xmin uint64) string {
	return "age(xmin) <= age('" + strconv.FormatUint(xmin&0xFFFFFFFF, 10) + "'::xid)"
}
