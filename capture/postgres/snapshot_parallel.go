package postgres

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	snappg "millrace/snapshot/postgres"
)

// openMore opens the connections of snapshot.max.threads. All of them import the
// snapshot of the first one, so that every chunk of every table shows one moment.
func (r *snapshotReader) openMore(ctx context.Context) error {
	n := r.opts.Snapshot.Threads - 1
	if n <= 0 || len(r.tables) == 0 {
		return nil
	}
	name, err := snappg.Export(ctx, r.conn)
	if err != nil {
		return err
	}
	for range n {
		conn, err := r.snapshotConn(ctx)
		if err != nil {
			return err
		}
		r.more = append(r.more, conn)
		if _, err := snappg.Begin(ctx, conn, snappg.Tx{Snapshot: name}); err != nil {
			return err
		}
	}
	return nil
}

func (r *snapshotReader) closeMore() {
	for _, c := range r.more {
		closeConn(c)
	}
	r.more = nil
}

// copyTable reads one table: a large plain one in ranges of pages over all
// connections, anything else by one query.
func (r *snapshotReader) copyTable(ctx context.Context, st *snapshotTable, row func([]byte) error) (int64, error) {
	if len(r.more) == 0 || r.serverMajor < 14 || st.meta.Kind != 'r' || st.overridden {
		return snappg.Copy(ctx, r.conn, st.sql, row)
	}
	res, err := exec(ctx, r.conn, "SELECT pg_relation_size("+strconv.FormatUint(uint64(st.oid), 10)+"::oid) / current_setting('block_size')::int, EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE inhparent = "+strconv.FormatUint(uint64(st.oid), 10)+")")
	if err != nil {
		return 0, fmt.Errorf("ask for the size of table %s: %w", st.name, err)
	}
	o := &r.opts.Snapshot
	times := max(o.Multiplier, 1)
	if m, ok := o.MultiplierByTable[st.name]; ok {
		times = max(m, 1)
	}
	if isTrue(res[0][1]) { // ctid says nothing about which child a row is in
		return snappg.Copy(ctx, r.conn, st.sql, row)
	}
	var queries []string
	for _, where := range snappg.Ranges(num(res[0][0]), o.Threads*times) {
		queries = append(queries, snappg.Select(st.meta.Schema, st.meta.Name, st.names, where))
	}
	if len(queries) == 1 {
		return snappg.Copy(ctx, r.conn, queries[0], row)
	}
	return snappg.CopyParallel(ctx, append([]*pgconn.PgConn{r.conn}, r.more...), queries, row)
}
