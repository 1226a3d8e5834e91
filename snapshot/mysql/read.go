package mysql

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
)

// View is several connections that see the database at one moment, each in a
// transaction that was begun by Begin.
type View []*Conn

// Begin opens a consistent view on a connection. Statements like ALTER TABLE need
// not wait for its end once their table was read: going back to the savepoint gives
// up the table's metadata lock. (MariaDB keeps it.)
func Begin(ctx context.Context, c *Conn) error {
	for _, q := range []string{"SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION WITH CONSISTENT SNAPSHOT", "SAVEPOINT millrace"} {
		if err := c.Exec(ctx, q); err != nil {
			return fmt.Errorf("open a consistent view: %w", err)
		}
	}
	return nil
}

// Close ends all connections.
func (v View) Close() {
	for _, c := range v {
		_ = c.Close() // reading is over; there is nothing to lose
	}
}

// Table is what Read reads.
type Table struct {
	Source
	// SQL is a statement of the user's instead of the table; "" none.
	SQL string
	// Step is how many rows a range has, if several connections read; 0 the whole.
	Step int64
	// Names, if set, gets the names of the result's columns.
	Names func([]string) error
}

// block is rows of one range on their way, each with its length in front.
type block struct {
	id    int
	rows  int64
	data  []byte
	ended bool
}

// blockSize is how much of a range's rows travels at once.
const blockSize = 64 << 10

// Read reads a table and hands the rows to row on the caller's goroutine, each with
// its range; they are lent for the call. Ranges come interleaved, the rows of one in
// the key's order. All readers have ended when it returns.
func (v View) Read(ctx context.Context, t *Table, tr *Tracker, row func(id int, row []byte) error) (rows int64, err error) {
	conns := v
	if t.SQL != "" || len(t.Key) == 0 {
		conns = v[:1]
	}
	rd := &reading{t: t, tr: tr, full: make(chan block, 1+len(conns)), free: make(chan []byte, 2+2*len(conns))}
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	g, run := errgroup.WithContext(stop)
	for _, c := range conns {
		g.Go(func() error { return rd.ranges(run, c) })
	}
	ended := make(chan error, 1)
	go func() {
		ended <- g.Wait()
		close(rd.full)
	}()
	for b := range rd.full {
		if err == nil {
			tr.came(b.id, b.rows, b.ended)
			if err = each(b, row); err != nil {
				cancel() // the readers end, and what they still give is dropped
			}
			rows += b.rows
		}
		select {
		case rd.free <- b.data[:0]:
		default:
		}
	}
	if e := <-ended; err == nil {
		err = e
	}
	return rows, err
}

func each(b block, row func(id int, row []byte) error) error {
	for p := b.data; len(p) > 0; {
		n := int(binary.LittleEndian.Uint32(p))
		if err := row(b.id, p[4:4+n:4+n]); err != nil {
			return err
		}
		p = p[4+n:]
	}
	return nil
}

// reading is one table being read.
type reading struct {
	t    *Table
	tr   *Tracker
	full chan block
	free chan []byte
	take sync.Mutex
}

// ranges reads ranges on one connection until there are none left.
func (rd *reading) ranges(ctx context.Context, c *Conn) error {
	for {
		rd.take.Lock()
		id, r, ok, err := rd.tr.take(func(from Values) (Values, error) { return rd.boundary(ctx, c, from) })
		rd.take.Unlock()
		if err != nil {
			return err
		}
		if !ok {
			return c.Exec(ctx, "ROLLBACK TO SAVEPOINT millrace")
		}
		if err := rd.read(ctx, c, id, r); err != nil {
			return err
		}
	}
}

// boundary finds the last key of a range that begins behind from.
func (rd *reading) boundary(ctx context.Context, c *Conn, from Values) (to Values, err error) {
	t := rd.t
	if t.Step <= 0 || len(t.Key) == 0 || t.SQL != "" {
		return nil, nil
	}
	err = c.Query(ctx, t.Boundary(from, t.Step), nil, func(row []byte) error {
		f, err := Split(nil, row)
		if err != nil || len(f) != len(t.Key) {
			return errors.Join(ErrRow, err)
		}
		for _, v := range f {
			to = append(to, string(v))
		}
		return nil
	})
	return to, err
}

func (rd *reading) read(ctx context.Context, c *Conn, id int, r Range) error {
	b := block{id: id, data: rd.buffer()}
	give := func() error {
		select {
		case rd.full <- b:
			b = block{id: id, data: rd.buffer()}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	text := rd.t.SQL
	if text == "" {
		text = rd.t.Select(r)
	}
	err := c.Query(ctx, text, rd.t.Names, func(row []byte) error {
		if len(b.data) > 0 && len(b.data)+len(row) > blockSize {
			if err := give(); err != nil {
				return err
			}
		}
		b.data = append(binary.LittleEndian.AppendUint32(b.data, uint32(len(row))), row...)
		b.rows++
		return nil
	})
	if err != nil {
		return err
	}
	b.ended = true
	return give()
}

func (rd *reading) buffer() []byte {
	select {
	case b := <-rd.free:
		return b
	default:
		return make([]byte, 0, blockSize+blockSize/8)
	}
}
