package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// blockSize is how much is read from a connection at once. A row that is larger gets
// a larger block.
const blockSize = 256 << 10

// Query is a COPY: what to select and in which form the rows come.
type Query struct {
	SQL    string
	Binary bool
}

func (q *Query) statement() string {
	s := "COPY (" + q.SQL + ") TO STDOUT"
	if q.Binary {
		s += " (FORMAT binary)"
	}
	return s
}

// Copy runs a COPY and hands each row to row: in text form its line, in binary form
// the count of fields and what follows. The row is lent for the call. It returns how
// many rows there were. After an error the connection is of no further use.
func Copy(ctx context.Context, c *pgconn.PgConn, q Query, row func(row []byte) error) (n int64, err error) {
	x, err := startCopy(ctx, c, q, make([]byte, blockSize))
	if err != nil {
		return 0, err
	}
	defer x.stop()
	for {
		b, err := x.next()
		if err != nil || b == nil {
			return n, x.fail(ctx, err)
		}
		rows, err := eachRow(b, row)
		n += rows
		if err != nil {
			x.abandon()
			return n, err
		}
	}
}

// eachRow walks over the messages of a block.
func eachRow(b []byte, row func([]byte) error) (n int64, err error) {
	for len(b) > 0 {
		end := 1 + binary.BigEndian.Uint32(b[1:])
		if err := row(b[5:end]); err != nil {
			return n, err
		}
		n++
		b = b[end:]
	}
	return n, nil
}

// copyStream reads the answer to a COPY from the connection itself, since the driver
// would hand out each row by itself, from reads of 8 KiB. The protocol is
// https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY.
type copyStream struct {
	c    *pgconn.PgConn
	conn net.Conn
	sql  string
	free func() bool // ends the watch over ctx

	buf    []byte
	at, to int // what of buf was read and not yet handed out

	binary bool // the header of the binary form is still to come, or rows are binary
	header bool // it has been taken off
	answer error
	ended  bool
}

func startCopy(ctx context.Context, c *pgconn.PgConn, q Query, buf []byte) (*copyStream, error) {
	if err := c.SyncConn(ctx); err != nil {
		return nil, fmt.Errorf("prepare the connection for COPY: %w", err)
	}
	x := &copyStream{c: c, conn: c.Conn(), sql: q.SQL, buf: buf, binary: q.Binary}
	x.free = context.AfterFunc(ctx, func() { _ = x.conn.SetDeadline(time.Unix(1, 0)) })
	text := q.statement()
	msg := make([]byte, 5, len(text)+6)
	msg[0] = 'Q'
	binary.BigEndian.PutUint32(msg[1:], uint32(len(text)+5))
	msg = append(append(msg, text...), 0)
	if _, err := x.conn.Write(msg); err != nil {
		err = x.fail(ctx, err)
		x.stop()
		return nil, err
	}
	return x, nil
}

// stop ends the watch; the connection stays open when the answer was read to its end.
func (x *copyStream) stop() {
	x.free()
	if !x.ended {
		x.abandon()
	}
}

// abandon closes a connection whose answer was not read to its end.
func (x *copyStream) abandon() {
	x.ended = true
	_ = x.conn.Close()
}

// fail explains the end of a stream: nil where it was the regular one.
func (x *copyStream) fail(ctx context.Context, err error) error {
	if err == nil {
		err = x.answer
	} else {
		x.abandon()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if x.answer != nil {
			err = x.answer // the server said why before it closed the connection
		}
	}
	if err != nil {
		return fmt.Errorf("read rows by %s: %w", x.sql, err)
	}
	return nil
}

// next returns messages with rows, whole and one after the other, or nil at the end.
// They lie in the buffer until the next call, unless take gave that another one.
func (x *copyStream) next() ([]byte, error) {
	for {
		rows, err := x.parse()
		if err != nil || rows != nil || x.ended {
			return rows, err
		}
		if x.at > 0 {
			x.to = copy(x.buf, x.buf[x.at:x.to])
			x.at = 0
		}
		if need := x.need(); need > len(x.buf) {
			x.buf = append(make([]byte, 0, need), x.buf[:x.to]...)[:need]
		}
		n, err := x.conn.Read(x.buf[x.to:])
		x.to += n
		if err != nil && n == 0 {
			return nil, err
		}
	}
}

// need is the size of the buffer for the message that begins in it.
func (x *copyStream) need() int {
	if x.to < 5 {
		return blockSize
	}
	return max(blockSize, 1+int(binary.BigEndian.Uint32(x.buf[1:])))
}

// take gives the buffer away and goes on with another one.
func (x *copyStream) take(buf []byte) {
	rest := x.buf[x.at:x.to]
	if len(buf) < len(rest) {
		buf = make([]byte, max(blockSize, len(rest)))
	}
	x.to = copy(buf, rest)
	x.at, x.buf = 0, buf
}

// signature begins the binary form; flags and the length of an extension follow.
const signature = "PGCOPY\n\xff\r\n\x00"

var errCopyForm = errors.New("the server's answer to COPY is malformed")

// parse goes over the messages that are there in full. It returns those with rows
// that come one after the other.
func (x *copyStream) parse() (rows []byte, err error) {
	from := -1
	give := func() []byte {
		if from < 0 {
			return nil
		}
		return x.buf[from:x.at:x.at]
	}
	for x.to-x.at >= 5 {
		size := int(binary.BigEndian.Uint32(x.buf[x.at+1:]))
		if size < 4 || size > 1<<30+64 {
			return nil, errCopyForm
		}
		if x.to-x.at < 1+size {
			break
		}
		body := x.buf[x.at+5 : x.at+1+size]
		if x.buf[x.at] == 'd' {
			skip, row, err := x.data(body)
			if err != nil {
				return nil, err
			}
			if row {
				if from < 0 {
					from = x.at + skip
				}
				x.at += 1 + size
				continue
			}
		} else if from < 0 {
			if err := x.control(x.buf[x.at], body); err != nil {
				return nil, err
			}
		}
		if from >= 0 { // rows first
			break
		}
		x.at += 1 + size
		if x.ended {
			break
		}
	}
	return give(), nil
}

// data looks at a message with data: whether it holds a row, and how many bytes of
// the binary form's header to skip. Then the message's own head is moved behind them.
func (x *copyStream) data(body []byte) (skip int, row bool, err error) {
	if !x.binary {
		return 0, true, nil
	}
	if !x.header {
		if len(body) < len(signature)+8 || !bytes.HasPrefix(body, []byte(signature)) {
			return 0, false, errCopyForm
		}
		skip = len(signature) + 8 + int(binary.BigEndian.Uint32(body[len(signature)+4:]))
		if skip > len(body) {
			return 0, false, errCopyForm
		}
		x.header = true
		if body = body[skip:]; len(body) == 0 {
			return 0, false, nil
		}
		head := x.buf[x.at+skip:]
		head[0] = 'd'
		binary.BigEndian.PutUint32(head[1:], uint32(4+len(body)))
	}
	return skip, !(len(body) == 2 && body[0] == 0xFF && body[1] == 0xFF), nil // the trailer
}

// control handles a message without data.
func (x *copyStream) control(kind byte, body []byte) error {
	switch kind {
	case 'H', 'c', 'C', 'S', 'N', 'A':
	case 'E':
		var m pgproto3.ErrorResponse
		if err := m.Decode(body); err != nil {
			return errCopyForm
		}
		x.answer = pgconn.ErrorResponseToPgError(&m)
	case 'Z':
		x.ended = true
		x.free()
	default:
		return errCopyForm
	}
	return nil
}
