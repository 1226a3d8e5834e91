package mysql

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"time"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

// errStopped ends a read when the task is asked to stop.
var errStopped = errors.New("asked to stop")

// pacedConn is the replication connection. Before it would wait for the server it
// lets the session send what is due, in the goroutine that reads; so batches
// leave as soon as the log is drained, and one goroutine owns session and
// connection.
type pacedConn struct {
	net.Conn
	pause   atomic.Pointer[pauseFunc] // nil: not streaming yet
	stopped atomic.Bool
	woken   atomic.Bool   // somebody wants the session to look around
	silence time.Duration // the server may be silent for so long; 0 for ever
}

// pauseFunc sends what is due and answers until when to wait for the server.
type pauseFunc func() (time.Time, error)

func (c *pacedConn) stop() {
	c.stopped.Store(true)
	_ = c.SetReadDeadline(time.Unix(1, 0)) // a closed connection ends the read anyway
}

// wake makes a read that waits look around first.
func (c *pacedConn) wake() {
	c.woken.Store(true)
	_ = c.SetReadDeadline(time.Unix(1, 0)) // a closed connection ends the read anyway
}

// Read implements net.Conn.
func (c *pacedConn) Read(p []byte) (int, error) {
	pause := c.pause.Load()
	if pause == nil {
		return c.Conn.Read(p)
	}
	limit := time.Time{}
	if c.silence > 0 {
		limit = time.Now().Add(c.silence)
	}
	for {
		due, err := (*pause)()
		if err != nil {
			return 0, err
		}
		if due.IsZero() || !limit.IsZero() && limit.Before(due) {
			due = limit
		}
		if err := c.SetReadDeadline(due); err != nil {
			return 0, err
		}
		if c.stopped.Load() {
			return 0, errStopped
		}
		if c.woken.Swap(false) {
			continue
		}
		n, err := c.Conn.Read(p)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if c.stopped.Load() {
			return 0, errStopped
		}
		if !limit.IsZero() && !time.Now().Before(limit) {
			return 0, fmt.Errorf("the server has been silent for %s: %w", c.silence, os.ErrDeadlineExceeded)
		}
	}
}

// handler gives events to the session; it runs in the goroutine that reads.
type handler struct {
	take func(e *replication.BinlogEvent, sum bool) error
	conn *pacedConn
	err  error  // what the session stopped with
	sum  bool   // events end with a checksum
	pos  uint32 // end of the last event in its file
}

// HandleEvent implements replication.EventHandler.
func (h *handler) HandleEvent(e *replication.BinlogEvent) error {
	if h.conn.stopped.Load() {
		return errStopped
	}
	if f, ok := e.Event.(*replication.FormatDescriptionEvent); ok {
		h.sum = f.ChecksumAlgorithm == replication.BINLOG_CHECKSUM_ALG_CRC32
	}
	if err := h.take(e, h.sum); err != nil {
		h.err = err
		return err
	}
	if r, ok := e.Event.(*replication.RotateEvent); ok {
		h.pos = uint32(r.Position)
	} else if e.Header.LogPos > 0 {
		h.pos = e.Header.LogPos
	}
	return nil
}

// stream reads the binary log from the session's position until ctx ends (nil)
// or something fails.
func (t *task) stream(ctx context.Context) error {
	s := t.session
	s.disconnected()
	h := &handler{take: func(e *replication.BinlogEvent, sum bool) error { return s.event(ctx, e, sum) }}
	tlsConf, try, err := t.opts.Conn.tlsConfig()
	if err != nil {
		return err
	}
	if try && !t.serverTLS(ctx) {
		tlsConf = nil
	}
	c := &t.opts.Conn
	pause := pauseFunc(func() (time.Time, error) {
		t.watch.reached(s.file, h.pos)
		t.incrementalState()
		for _, sig := range t.src.inbox.Take() {
			s.signals.Add(sig)
		}
		return s.pause(ctx)
	})
	cfg := replication.BinlogSyncerConfig{
		ServerID: c.ServerID, Flavor: string(t.opts.Flavor), Host: c.Host, Port: uint16(c.Port), User: c.User, Password: c.Password, TLSConfig: tlsConf,
		HeartbeatPeriod: time.Duration(float64(c.KeepAlive) * 0.8), DisableRetrySync: true, DiscardGTIDSet: true, EventCacheCount: 1, Charset: "utf8mb4",
		Logger:                         slog.New(slog.DiscardHandler),
		RowsEventDecodeFunc:            func(*replication.RowsEvent, []byte) error { return nil },
		TableMapOptionalMetaDecodeFunc: func([]byte) error { return nil },
		SynchronousEventHandler:        h, PayloadDecoderConcurrency: 1,
		Dialer: func(ctx2 context.Context, network, addr string) (net.Conn, error) {
			d := net.Dialer{Timeout: c.ConnectTimeout}
			raw, err := d.DialContext(ctx2, network, addr)
			if err != nil {
				return nil, err
			}
			conn := &pacedConn{Conn: raw, silence: c.KeepAlive}
			if h.conn == nil {
				// Only the first connection carries the log; it paces from its first
				// byte, as the syncer's goroutine reads as soon as there is one.
				conn.pause.Store(&pause)
				h.conn = conn
				t.src.current.Store(conn)
			}
			return conn, nil
		},
	}
	cfg.Option = c.netTimeouts
	if t.opts.Flavor == MariaDB && t.opts.Query {
		cfg.DumpCommandFlag = replication.BINLOG_SEND_ANNOTATE_ROWS_EVENT // else the server keeps the statements to itself
	}
	t.log.Info("streaming", "file", s.at.File, "pos", s.at.Pos, "gtids", s.at.GTIDs)
	syncer := replication.NewBinlogSyncer(cfg)
	defer syncer.Close()
	streamer, err := t.start(ctx, syncer)
	if err != nil {
		return fmt.Errorf("read the binary log: %w", err)
	}
	stop := context.AfterFunc(ctx, h.conn.stop)
	defer stop()
	// The syncer's own goroutine runs the session; its end is told through GetEvent.
	_, err = streamer.GetEvent(context.WithoutCancel(ctx))
	syncer.Close()
	if s.interrupt != nil {
		return errInterrupted
	}
	switch {
	case ctx.Err() != nil || errors.Is(err, errStopped):
		return nil
	case h.err != nil:
		return h.err
	case err == nil:
		return errors.New("the binary log ended")
	}
	return fmt.Errorf("read the binary log: %w", err)
}

// start asks the server for its log: by GTID when the position has them.
func (t *task) start(ctx context.Context, syncer *replication.BinlogSyncer) (*replication.BinlogStreamer, error) {
	s := t.session
	s.done = nil
	if s.at.GTIDs != "" && t.server.gtid && !t.opts.IgnoreGTIDs {
		text, err := t.server.processed(ctx, t.db, &s.at)
		if err != nil {
			return nil, err
		}
		set, err := parseGTIDs(t.opts.Flavor, text)
		if err != nil {
			return nil, fmt.Errorf("the stored GTIDs %q: %w", s.at.GTIDs, err)
		}
		full, err := parseGTIDs(t.opts.Flavor, s.at.GTIDs)
		if err != nil {
			return nil, err
		}
		s.done = full
		return syncer.StartSyncGTID(set)
	}
	s.reached = logPlace{file: s.at.File, pos: s.at.Pos}
	return syncer.StartSync(gomysql.Position{Name: s.at.File, Pos: uint32(s.at.Pos)})
}

// serverTLS reports whether the server speaks TLS, for the mode preferred.
func (t *task) serverTLS(ctx context.Context) bool {
	rows, err := query(ctx, t.db, "SHOW STATUS LIKE 'Ssl_cipher'")
	return err == nil && len(rows) == 1 && rows[0]["value"] != ""
}
