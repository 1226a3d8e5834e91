package postgres

import (
	"context"

	"github.com/jackc/pgx/v5/pgconn"

	snappg "millrace/snapshot/postgres"
)

const (
	// chunkPages is the size of a chunk, in pages of 8 KiB: what an interrupted
	// snapshot reads again at most. A chunk costs the server less than a millisecond.
	chunkPages = 2048
	// minPages is the size below which further readers do not help.
	minPages = 256
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
			return imported(err)
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

// chunkSize is how many pages of a table make a chunk.
func (r *snapshotReader) chunkSize(st *snapshotTable) int64 {
	o := &r.opts.Snapshot
	times := max(o.Multiplier, 1)
	if m, ok := o.MultiplierByTable[st.name]; ok {
		times = max(m, 1)
	}
	if n := int64(max(o.Threads, 1) * times); n > 1 && st.size.pages >= minPages {
		return min(chunkPages, (st.size.pages+n-1)/n)
	}
	return chunkPages
}

// copyTable reads the chunks of one table over all connections.
func (r *snapshotReader) copyTable(ctx context.Context, st *snapshotTable, row func([]byte) error) (int64, error) {
	queries := make([]snappg.Query, len(st.chunks))
	for i, c := range st.chunks {
		q := snappg.Query{SQL: st.sql, Binary: st.binary != nil}
		if where := snappg.PageRange(c.From, c.To); st.size.paged && (where != "" || c.Again) {
			if c.Again {
				where = and(snappg.NewerThan(r.progress.Xmin), where)
			}
			q.SQL = snappg.Select(st.meta.Schema, st.meta.Name, st.exprs, where)
		}
		queries[i] = q
	}
	before := r.came
	return snappg.CopyChunks(ctx, append([]*pgconn.PgConn{r.conn}, r.more...), queries, row, func(i int) {
		n := r.came - before
		before = r.came
		r.mark(func() { r.progress.Add(st.chunks[i].Pages, n) })
	})
}
