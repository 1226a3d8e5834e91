package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"millrace/capture/options"
	"millrace/decode/pgoutput"
	"millrace/internal/errs"
)

// Large transactions (protocol 2 with streaming, PostgreSQL 14 and newer).
//
// A server whose logical_decoding_work_mem is used up does not have to keep a large
// transaction on its own disk until the commit: it sends what there is in blocks,
// STREAM START ... STREAM STOP, with blocks of other transactions and whole ones in
// between, then STREAM COMMIT or STREAM ABORT. The blocks are kept in a spool file
// and handled when the commit comes, exactly as the messages of a whole transaction
// are: the place in the log moves only then, so restarts, offsets and confirmations
// know nothing of it. What is not committed when the connection ends is thrown
// away, for the server sends it again.

// replayStatus is how often the server hears from the reader while it handles a
// committed transaction and does not read: well below any wal_sender_timeout.
const replayStatus = time.Second

// errSendWhole ends a session that cannot go on with transactions before their
// commit; the next one asks for whole transactions.
var errSendWhole = &errs.Error{Java: errs.DebeziumException, Retriable: true, Msg: "transactions are read whole from now on"}

// spools are the transactions of one connection that the server has begun to send
// and whose end is not known.
type spools struct {
	dir   string
	open  map[uint32]*spool // by transaction id
	xid   uint32            // of block
	block *spool            // the transaction whose block is being read; nil between blocks
	buf   []byte            // lent to block
}

func newSpools() *spools { return &spools{dir: spoolDir(), open: map[uint32]*spool{}} }

// close throws everything away.
func (p *spools) close() {
	for _, sp := range p.open {
		sp.close()
	}
	clear(p.open)
	p.block = nil
}

// start begins a block.
func (p *spools) start(m []byte) error {
	x, err := pgoutput.ParseStreamStart(m)
	if err != nil {
		return err
	}
	sp := p.open[x.XID]
	switch {
	case p.block != nil:
		return fmt.Errorf("a block of transaction %d began within one of transaction %d", x.XID, p.xid)
	case sp == nil && !x.First:
		return fmt.Errorf("a block of transaction %d came without its first one", x.XID)
	case sp == nil:
		sp = &spool{dir: p.dir}
		p.open[x.XID] = sp
	}
	if p.buf == nil {
		p.buf = make([]byte, 0, spoolBuffer)
	}
	sp.buf = p.buf[:0]
	p.xid, p.block = x.XID, sp
	return nil
}

// stop ends a block.
func (p *spools) stop() error {
	if p.block == nil {
		return errors.New("a block of a transaction ended that had not begun")
	}
	err := p.block.flush()
	p.block.buf, p.block = nil, nil
	return err
}

// add keeps a message of the block.
func (p *spools) add(at LSN, m []byte) error {
	if m[0] == pgoutput.TypeType {
		return nil // repeats what the catalog says
	}
	xid, body, err := pgoutput.SplitXID(m)
	if err != nil {
		return err
	}
	return p.block.add(xid, xid != p.xid, at, m[0], body)
}

// abort forgets a transaction, or the part of it that a subtransaction is.
func (p *spools) abort(m []byte) error {
	x, err := pgoutput.ParseStreamAbort(m)
	if err != nil {
		return err
	}
	sp := p.open[x.XID]
	switch {
	case sp == nil:
		return nil
	case x.SubXID != x.XID:
		return sp.rollback(x.SubXID)
	}
	sp.close()
	delete(p.open, x.XID)
	return nil
}

// streamed reports whether a message belongs to a transaction that is sent before
// its commit.
func (p *spools) streamed(m []byte) bool {
	if p.block != nil {
		return true
	}
	if len(m) > 0 {
		switch m[0] {
		case pgoutput.TypeStreamStart, pgoutput.TypeStreamStop, pgoutput.TypeStreamAbort, pgoutput.TypeStreamCommit:
			return true
		}
	}
	return false
}

// block handles a message for which spools.streamed holds.
func (s *stream) block(ctx context.Context, at LSN, m []byte) error {
	p := s.spools
	if len(m) == 0 {
		return errShortMessage
	}
	var err error
	switch m[0] {
	case pgoutput.TypeStreamStart:
		err = p.start(m)
	case pgoutput.TypeStreamStop:
		err = p.stop()
	case pgoutput.TypeStreamAbort:
		err = p.abort(m)
	case pgoutput.TypeStreamCommit:
		err = s.streamCommit(ctx, at, m)
	case pgoutput.TypeOrigin:
		// Of a transaction that was replicated from elsewhere the place of its commit
		// there is only told when it is sent whole.
		s.t.whole = true
		s.log.Info("a transaction that this server has from another one is streamed without its origin_lsn; reading whole transactions from now on")
		return errSendWhole
	default:
		err = p.add(at, m)
	}
	return s.spoolFailed(ctx, err)
}

// spoolFailed looks whether an error is one of the local disk. The server then has
// to keep large transactions, which it can; nothing is lost by reading them again.
func (s *stream) spoolFailed(ctx context.Context, err error) error {
	var e *spoolError
	if !errors.As(err, &e) || ctx.Err() != nil {
		return err
	}
	s.t.whole = true
	s.log.Error("a large transaction cannot be kept on the local disk; the server has to keep such transactions until they are committed, from now on. "+
		"Free some space or let TMPDIR name a larger file system, and restart the task; slot.stream.params=streaming=off turns this off for good",
		"error", e, "directory", e.dir, "bytes", e.bytes)
	return errSendWhole
}

// streamCommit handles a transaction whose blocks were kept, now that it is
// committed.
func (s *stream) streamCommit(ctx context.Context, at LSN, m []byte) error {
	x, err := pgoutput.ParseStreamCommit(m)
	if err != nil {
		return err
	}
	sp := s.spools.open[x.XID]
	if sp == nil {
		sp = &spool{}
	}
	delete(s.spools.open, x.XID)
	defer sp.close()
	if s.t.serverMajor >= 15 && sp.size == 0 {
		return nil // a whole transaction without changes is not sent by these servers
	}
	if err := s.beginTx(ctx, at, &pgoutput.Begin{FinalLSN: x.LSN, CommitUs: x.CommitUs, XID: x.XID}); err != nil {
		return err
	}
	if err := s.replay(ctx, sp); err != nil {
		return err
	}
	return s.commitTx(ctx, at, &x.Commit)
}

// replay handles the messages of a spool. The connection is not read meanwhile, so
// the server is told now and then that someone is there. Should the connection end,
// the transaction is still handled to its end.
func (s *stream) replay(ctx context.Context, sp *spool) error {
	r := sp.reader()
	for n := 1; ; n++ {
		at, m, err := r.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.change(ctx, at, m); err != nil {
			return err
		}
		if s.full() {
			if err := s.send(ctx, s.replayIdle); err != nil {
				return err
			}
		}
		if n%clockEvery != 0 {
			continue
		}
		s.now = time.Now()
		if err := s.replayDuties(ctx); err != nil {
			return err
		}
	}
}

// replayDuties does what is due while a transaction is replayed.
func (s *stream) replayDuties(ctx context.Context) error {
	if err := s.t.out.Cause(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.takeStored() || s.now.Sub(s.status) >= replayStatus {
		s.tellServer()
	}
	return s.tick(ctx, s.replayIdle)
}

// replayIdle keeps the server content while the pipeline's queue is full.
func (s *stream) replayIdle() error {
	s.now = time.Now()
	s.takeStored()
	s.tellServer()
	return nil
}

// tellServer sends a status update. The next read finds out about a connection that
// has ended.
func (s *stream) tellServer() {
	if !s.conn.IsClosed() && !s.deaf {
		s.deaf = s.sendStatus() != nil
	}
}

// pluginArgs are the options of START_REPLICATION for pgoutput. Transactions are
// asked for before their commit where the server can, unless the records would not
// be the same: the BEGIN record of transaction metadata names the place of the
// transaction's first log record, which only a whole transaction tells.
func pluginArgs(major int, publication string, user []options.Pair, metadata, whole bool) []string {
	given := map[string]string{}
	for _, p := range user {
		given[strings.ToLower(p.Key)] = strings.ToLower(p.Value)
	}
	var args []string
	add := func(name, value string) {
		if _, ok := given[name]; !ok {
			args = append(args, name+" "+quoteLiteral(value))
		}
	}
	asked := ""
	streaming := major >= 14 && !metadata
	if v, ok := given["streaming"]; ok {
		asked = v
		switch v {
		case "off", "false", "0":
			streaming = false
		default:
			streaming = true
		}
	}
	if given["proto_version"] == "1" || whole {
		streaming = false
	}
	switch {
	case streaming && asked == "parallel":
		add("proto_version", "4")
	case streaming:
		add("proto_version", "2")
		add("streaming", "on")
	default:
		add("proto_version", "1")
	}
	add("publication_names", quoteIdent(publication))
	if major >= 14 {
		add("messages", "true")
	}
	for _, p := range user {
		if !streaming && strings.EqualFold(p.Key, "streaming") {
			continue // asked for, and off for a reason that the log tells
		}
		args = append(args, quoteIdent(p.Key)+" "+quoteLiteral(p.Value))
	}
	return args
}
