package postgres

import (
	"context"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"
)

// block is rows on their way from a reader.
type block struct {
	chunk int
	rows  []byte // in buf
	buf   []byte
	last  bool // the chunk ends here
}

// CopyChunks runs several COPYs, each a chunk of a table, over connections that have
// the same snapshot. It hands the rows to row, and tells end of each chunk that was
// read whole, on the caller's goroutine. Rows of one chunk come in order; with one
// connection the chunks do too. All readers have ended when it returns; after an
// error the connections are of no further use.
func CopyChunks(ctx context.Context, conns []*pgconn.PgConn, chunks []Query, row func(row []byte) error, end func(chunk int)) (rows int64, err error) {
	if len(conns) == 1 || len(chunks) == 1 {
		for i, q := range chunks {
			n, err := Copy(ctx, conns[0], q, row)
			rows += n
			if err != nil {
				return rows, err
			}
			end(i)
		}
		return rows, nil
	}
	r := &parallel{chunks: chunks, full: make(chan block, len(conns)), free: make(chan []byte, 3*len(conns))}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	g, run := errgroup.WithContext(ctx)
	for _, c := range conns {
		g.Go(func() error { return r.read(run, c) })
	}
	ended := make(chan error, 1)
	go func() {
		ended <- g.Wait()
		close(r.full)
	}()
	for b := range r.full {
		n, e := eachRow(b.rows, row)
		rows += n
		if e != nil {
			err = e
			break
		}
		if b.last {
			end(b.chunk)
		}
		r.give(b.buf)
	}
	if err != nil {
		cancel()
		for range r.full {
			continue
		}
		<-ended //nolint:errcheck // err, or what it brought about
		return rows, err
	}
	return rows, <-ended
}

// parallel is what the readers share.
type parallel struct {
	chunks []Query
	next   atomic.Int64
	full   chan block
	free   chan []byte
}

// read reads chunks until none is left.
func (r *parallel) read(ctx context.Context, c *pgconn.PgConn) error {
	for {
		i := int(r.next.Add(1)) - 1
		if i >= len(r.chunks) {
			return nil
		}
		if err := r.chunk(ctx, c, i); err != nil {
			return err
		}
	}
}

func (r *parallel) chunk(ctx context.Context, c *pgconn.PgConn, i int) error {
	x, err := startCopy(ctx, c, r.chunks[i], r.buffer())
	if err != nil {
		return err
	}
	defer x.stop()
	for {
		rows, err := x.next()
		if err != nil || rows == nil {
			r.give(x.buf)
			if err := x.fail(ctx, err); err != nil {
				return err
			}
		}
		b := block{chunk: i, rows: rows, last: rows == nil}
		if !b.last {
			b.buf = x.buf
			x.take(r.buffer())
		}
		select {
		case r.full <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
		if b.last {
			return nil
		}
	}
}

func (r *parallel) buffer() []byte {
	select {
	case b := <-r.free:
		return b
	default:
		return make([]byte, blockSize)
	}
}

func (r *parallel) give(b []byte) {
	if cap(b) != blockSize {
		return // none, or one that a large row needed
	}
	select {
	case r.free <- b[:blockSize]:
	default:
	}
}
