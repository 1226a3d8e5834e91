package postgres

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// Limits of a batch and of how often small ones are sent.
const (
	batchBytes = 256 << 10
	// batchGap is the shortest time between two batches that are not full: a single
	// change leaves at once, a flood of them in batches.
	batchGap = 2 * time.Millisecond
	// gather is how long the reader of a flood leaves the connection alone when it has
	// read less than gatherBelow frames since it last looked: the server sends each
	// change by itself, and to be woken for each costs more than the change. Nothing is
	// later for it, since the next batch is not due yet.
	gather      = 500 * time.Microsecond
	gatherBelow = 16
	// progressGap is how often progress over changes that are not captured is handed on.
	progressGap = time.Second
	// clockEvery is after how many frames the clock is read while data keeps coming.
	clockEvery = 256
)

// stream is one session of START_REPLICATION. One goroutine owns it and the
// connection; others only call wake.
type stream struct {
	*session
	conn *pgconn.PgConn
	fe   *pgproto3.Frontend
	net  net.Conn
	buf  *bufio.Reader

	spools *spools // transactions that are sent before their commit
	deaf   bool    // a status update could not be sent while nothing was read

	woken    atomic.Bool // someone wants the reader to look around
	received LSN         // end of what was read
	status   time.Time   // last status update sent
	frames   int
	looked   int // frames when the reader last had nothing left to read
}

// openStream starts replication on a connection from the session's position.
func (t *task) openStream(ctx context.Context, s *session, conn *pgconn.PgConn, buf *bufio.Reader) (*stream, error) {
	start, res := newResumer(&s.at)
	s.resume = res
	if err := t.startReplication(ctx, conn, start); err != nil {
		return nil, err
	}
	t.log.Info("streaming", "slot", t.opts.Slot.Name, "from", start.String())
	return &stream{session: s, conn: conn, fe: conn.Frontend(), net: conn.Conn(), buf: buf, spools: newSpools(), received: start}, nil
}

// wake makes the reader stop waiting for data and look around. Safe from any
// goroutine: the reader sets its deadline first and then looks at the flag, so a
// wake in between is seen either way.
func (s *stream) wake() {
	s.woken.Store(true)
	_ = s.net.SetReadDeadline(time.Unix(1, 0)) // a closed connection ends the read anyway
}

// run reads until ctx ends (nil) or something fails. What was read and not yet
// sent stays in the session's batch.
func (s *stream) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, s.wake)
	defer stop()
	s.now = time.Now()
	if err := s.sendStatus(); err != nil {
		return err
	}
	s.meanwhile = s.idle
	if err := s.between(ctx); err != nil { // what waited for a connection
		return err
	}
	timedOut := false
	for {
		blocking := timedOut || s.fe.ReadBufferLen() < 5 && s.buf.Buffered() == 0
		if blocking {
			if err := s.beforeRead(ctx); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return nil
			}
		}
		msg, err := s.fe.Receive()
		if s.frames++; blocking || s.frames%clockEvery == 0 {
			s.now = time.Now()
		}
		if timedOut = isTimeout(err); timedOut {
			continue
		}
		if err != nil {
			return fmt.Errorf("read from replication slot %q: %w", s.t.opts.Slot.Name, err)
		}
		if err := s.message(ctx, msg); err != nil {
			return err
		}
		if s.frames%clockEvery == 0 {
			if err := s.duties(ctx); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return nil
			}
		}
	}
}

// beforeRead runs when no frame is waiting: it does what is due, sends the batch
// if it is time, and sets the deadline of the read that follows.
func (s *stream) beforeRead(ctx context.Context) error {
	s.now = time.Now()
	if err := s.duties(ctx); err != nil {
		return err
	}
	due := s.nextDuty()
	if s.hasRecords() {
		// Within a transaction the rest is on its way; a batch that ends with the
		// commit makes a better offset.
		at := s.sentAt.Add(batchGap)
		if s.inTx && at.Before(s.openedAt.Add(batchGap)) {
			at = s.openedAt.Add(batchGap)
		}
		if !at.After(s.now) {
			if err := s.send(ctx, s.idle); err != nil {
				return err
			}
		} else if at.Before(due) {
			due = at
		}
		if left := s.sentAt.Add(batchGap).Sub(s.now); left > 0 && s.frames-s.looked < gatherBelow {
			time.Sleep(min(gather, left))
		}
	}
	s.looked = s.frames
	if err := s.net.SetReadDeadline(due); err != nil {
		return err
	}
	if s.woken.Load() {
		return s.net.SetReadDeadline(time.Unix(1, 0))
	}
	return nil
}

// duties does what is due by the clock: confirming what was stored, status
// updates, heartbeats, progress.
func (s *stream) duties(ctx context.Context) error {
	s.woken.Store(false)
	if w := s.t.watch; w != nil {
		w.read.Store(uint64(s.received))
		w.incremental(&s.inc)
	}
	if err := s.t.out.Cause(); err != nil {
		return err
	}
	moved := s.takeStored()
	if moved || s.now.Sub(s.status) >= s.t.opts.Flush.StatusInterval {
		if err := s.sendStatus(); err != nil {
			return err
		}
	}
	return s.tick(ctx, s.idle)
}

func (s *stream) nextDuty() time.Time {
	due := s.status.Add(s.t.opts.Flush.StatusInterval)
	if x := s.nextTick(); !x.IsZero() && x.Before(due) {
		due = x
	}
	return due
}

// idle keeps the server content while the pipeline's queue is full.
func (s *stream) idle() error {
	s.now = time.Now()
	s.takeStored()
	return s.sendStatus()
}

// sendStatus tells the server what is confirmed. It never waits for an answer.
func (s *stream) sendStatus() error {
	var m [5 + 34]byte
	m[0] = 'd'
	binary.BigEndian.PutUint32(m[1:], uint32(len(m)-1))
	m[5] = 'r'
	write := max(s.received, s.confirmed)
	binary.BigEndian.PutUint64(m[6:], uint64(write))
	// Flush and apply stay 0 until something was stored: 0 means unknown, and never
	// moves the slot.
	binary.BigEndian.PutUint64(m[14:], uint64(s.confirmed))
	binary.BigEndian.PutUint64(m[22:], uint64(s.confirmed))
	binary.BigEndian.PutUint64(m[30:], uint64(s.now.UnixMicro()-pgEpochUs))
	if d := s.t.opts.Flush.Timeout; d > 0 {
		if err := s.net.SetWriteDeadline(time.Now().Add(d)); err != nil {
			return err
		}
	}
	s.status = s.now
	if err := s.fe.SendUnbufferedEncodedCopyData(m[:]); err != nil {
		if isTimeout(err) && s.t.opts.Flush.TimeoutAction != "fail" && s.t.opts.Flush.TimeoutAction != "" {
			s.log.Warn("the server takes no status update; reconnecting", "timeout", s.t.opts.Flush.Timeout.String())
		}
		return fmt.Errorf("confirm %s to replication slot %q: %w", s.confirmed, s.t.opts.Slot.Name, err)
	}
	return nil
}

// pgEpochUs is 2000-01-01 in µs since 1970.
const pgEpochUs = 946684800000000

var errStreamEnded = fmt.Errorf("the server ended the replication stream: %w", io.ErrUnexpectedEOF)

func (s *stream) message(ctx context.Context, msg pgproto3.BackendMessage) error {
	switch m := msg.(type) {
	case *pgproto3.CopyData:
		return s.frame(ctx, m.Data)
	case *pgproto3.ErrorResponse:
		return fmt.Errorf("read from replication slot %q: %w", s.t.opts.Slot.Name, pgconn.ErrorResponseToPgError(m))
	case *pgproto3.CopyDone, *pgproto3.CommandComplete, *pgproto3.ReadyForQuery:
		return errStreamEnded
	}
	return nil
}

var errShortFrame = errors.New("a replication message is shorter than its header")

// frame handles one CopyData message: a keepalive or a piece of log.
func (s *stream) frame(ctx context.Context, d []byte) error {
	if len(d) == 0 {
		return errShortFrame
	}
	switch d[0] {
	case 'w':
		if len(d) < 26 {
			return errShortFrame
		}
		at := LSN(binary.BigEndian.Uint64(d[1:]))
		s.received = max(s.received, at)
		m, err := d[25:], error(nil)
		if s.spools.streamed(m) {
			err = s.block(ctx, at, m)
		} else {
			err = s.change(ctx, at, m)
		}
		if err != nil {
			return err
		}
		if s.full() {
			return s.send(ctx, s.idle)
		}
	case 'k':
		if len(d) < 18 {
			return errShortFrame
		}
		end := LSN(binary.BigEndian.Uint64(d[1:]))
		s.received = max(s.received, end)
		s.head = end
		s.keepalive(end)
		if d[17] != 0 {
			return s.sendStatus()
		}
	}
	return nil
}

// finish ends the session in order: the stored position is confirmed and the
// server's end of the stream awaited, so that the confirmation is not lost with
// the connection.
func (s *stream) finish() {
	s.now = time.Now()
	s.takeStored()
	if s.sendStatus() != nil {
		return
	}
	done, err := (&pgproto3.CopyDone{}).Encode(nil)
	if err != nil || s.fe.SendUnbufferedEncodedCopyData(done) != nil {
		return
	}
	_ = s.net.SetReadDeadline(time.Now().Add(2 * time.Second))
	for {
		// In the midst of a large transaction the server may send the rest of it first.
		msg, err := s.fe.Receive()
		if err != nil {
			return
		}
		switch msg.(type) {
		case *pgproto3.ReadyForQuery, *pgproto3.ErrorResponse:
			return
		}
	}
}
