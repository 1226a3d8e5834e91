package postgres

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"millrace/capture"
	"millrace/emit"
	"millrace/internal/record"
)

// output is what a source needs of emit.Pipeline.
type output interface {
	Send(ctx context.Context, b *record.Batch, idle func() error) error
	Stored() record.Position
	Drain(ctx context.Context) error
	Err() <-chan struct{}
	Cause() error
}

var _ output = (*emit.Pipeline)(nil)

// session is what lives as long as the task: the place in the log, the batch that
// is being filled, and what is known about tables. It survives reconnects, so
// that nothing that was read is read or sent twice.
type session struct {
	t   *task
	log *slog.Logger

	at     Position // the place behind the last event that was handled
	resume resumer
	pool   record.Pool
	b      *record.Batch
	shared *emit.Shared
	src    sources
	tables map[uint32]*table // by OID of the relation, of this connection
	last   *table            // cache of the lookup before
	warned map[string]bool   // columns whose failed conversions were logged

	now      time.Time
	openedAt time.Time // first record of b
	sentAt   time.Time
	dirty    bool // at has moved since the last batch was sent
	broken   bool // a batch was not taken
	read     bool // a data record was made since the connection was opened

	// The running transaction.
	inTx     bool
	xid      int64
	commitUs int64
	final    LSN
	eventLSN LSN
	events   int64
	tx       capture.Transaction

	messageSrc template // of logical messages, which belong to no table

	lastCommit  LSN // of the last COMMIT seen, for source.sequence
	confirmed   LSN // what the server may forget; never goes back
	head        LSN // newest position the server told of
	headAtStart LSN // end of the log when streaming began
	lastStored  record.Position

	inc          capture.Incremental
	chunks       incrementalEngine // of inc
	streamed     streamedXIDs
	signals      capture.Channels
	signalColumn string       // first column of the signal table
	meanwhile    func() error // keeps the server content while a batch waits to be taken

	beat   time.Time // last heartbeat
	xminAt time.Time
}

func newSession(t *task, at *Position) *session {
	s := &session{t: t, log: t.log, shared: emit.NewShared(t.contextHeaders()...), tables: map[uint32]*table{}, warned: map[string]bool{}, now: time.Now()}
	s.src.name, s.src.db = t.opts.Prefix, t.opts.Conn.Database
	s.beat = s.now
	if t.metrics != nil {
		s.shared.Count(t.metrics.Events())
	}
	s.chunks.s = s
	s.inc = capture.Incremental{Engine: &s.chunks, Log: t.log, Connector: t.opts.Prefix, ReadOnly: t.opts.ReadOnly}
	s.signals = capture.Channels{Log: t.log, Every: t.opts.Signal.Poll}
	if t.channel("file") {
		s.signals.File = t.opts.Signal.File
	}
	if at != nil {
		s.moveTo(at)
		s.at.Extra = s.inc.Restore(at.Extra)
		s.restoreSignals(at.Extra)
	}
	return s
}

// moveTo starts from a position that was stored or that a snapshot ended at.
func (s *session) moveTo(p *Position) {
	s.at = *p
	if s.lastCommit = p.Commit; p.Before != 0 {
		s.lastCommit = p.Before
	}
	s.src.xmin = p.Xmin
}

// batch returns the batch that is being filled.
func (s *session) batch() *record.Batch {
	if s.b == nil {
		s.b = s.pool.Get()
		s.shared.Begin(s.b)
		s.src.begin(s.b)
		s.openedAt = s.now
	}
	return s.b
}

func (s *session) hasRecords() bool { return s.b != nil && len(s.b.Records) > 0 }

func (s *session) full() bool {
	return s.b != nil && (s.b.Bytes() >= batchBytes || len(s.b.Records) >= s.t.opts.Batch.MaxRecords)
}

// send hands the batch on, with the place that is reached behind it. Without
// records it carries progress only.
func (s *session) send(ctx context.Context, idle func() error) error {
	b := s.batch()
	s.b = nil
	end := s.at
	if s.inTx && s.t.opts.Transaction.Metadata {
		end.Counts = s.tx.Counts()
	}
	if s.inc.Running() {
		end.Extra = append(slices.Clone(end.Extra), s.inc.Extra()...)
	}
	if end.Before = 0; end.Final != 0 && s.lastCommit != end.Commit {
		end.Before = s.lastCommit
	}
	b.End = &end
	err := s.t.out.Send(ctx, b, idle)
	if err != nil {
		s.broken = true // the batch is gone: nothing behind it may be sent
	}
	s.now = time.Now()
	s.sentAt, s.dirty = s.now, false
	return err
}

// takeStored raises what may be confirmed to the stored position: durable first,
// then confirm. It reports whether there is something new to tell the server.
func (s *session) takeStored() bool {
	p, ok := s.t.out.Stored().(*Position)
	if !ok || p == s.lastStored {
		return false
	}
	s.lastStored = p
	if s.t.opts.Flush.Mode == FlushManual {
		return false
	}
	if c := p.Confirmable(); c > s.confirmed {
		s.confirmed = c
		return true
	}
	return false
}

// keepalive takes the server's word that everything before end was sent. Outside
// of a transaction that is progress: an idle or filtered database does not keep
// its log for ever. The progress is stored before it is confirmed like any other.
// Behind a snapshot the first word may be of the slot's old place, before what the
// snapshot holds: the place never moves back.
func (s *session) keepalive(end LSN) {
	if s.resume.active {
		if !s.resume.passed(end, s.headAtStart) {
			return
		}
		s.resume.active = false
	}
	if s.inTx || end <= s.at.Commit || end < s.at.Proc || end < s.at.LSN {
		return
	}
	s.settle(end)
}

// settle moves the place to a point between transactions.
func (s *session) settle(end LSN) {
	s.at.LSN, s.at.Proc, s.at.Commit, s.at.Type = end, end, end, msgCommit
	s.at.Events, s.at.Final = 0, 0
	s.at.Snapshot, s.at.LastRow, s.at.Completed = "", false, false
	s.dirty = true
}

// tick does what is due by the clock in the log's own order: heartbeats and
// progress over changes that gave no records.
func (s *session) tick(ctx context.Context, idle func() error) error {
	if h := &s.t.opts.Heartbeat; h.Interval > 0 && s.now.Sub(s.beat) >= h.Interval && !s.inTx {
		s.beat = s.now
		if s.at.LSN != 0 {
			capture.AppendHeartbeat(s.batch(), s.t.topics.heartbeat, s.t.opts.Prefix, s.now.UnixMilli())
		}
		if err := s.t.beats.trigger(); err != nil {
			return err
		}
	}
	s.signals.Poll(ctx, s.now)
	if err := s.between(ctx); err != nil {
		return err
	}
	if s.dirty && !s.hasRecords() && s.now.Sub(s.sentAt) >= progressGap {
		return s.send(ctx, idle)
	}
	return nil
}

// nextTick is when tick has something to do; zero: not foreseen.
func (s *session) nextTick() time.Time {
	var due time.Time
	if h := &s.t.opts.Heartbeat; h.Interval > 0 && !s.inTx {
		due = s.beat.Add(h.Interval)
	}
	if s.dirty && !s.hasRecords() {
		if at := s.sentAt.Add(progressGap); due.IsZero() || at.Before(due) {
			due = at
		}
	}
	if s.signals.Polled() || s.inc.Waiting() {
		if at := s.now.Add(min(s.t.opts.Signal.Poll, 200*time.Millisecond)); due.IsZero() || at.Before(due) {
			due = at
		}
	}
	return due
}

// disconnected forgets what belongs to one connection.
func (s *session) disconnected() {
	s.inTx = false
	s.tables, s.last = map[uint32]*table{}, nil
	s.eventLSN, s.events = 0, 0
	s.chunks.close()
	s.inc.Disconnected()
}
