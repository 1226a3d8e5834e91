package mysql

import (
	"context"
	"log/slog"
	"slices"
	"time"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"

	"millrace/capture"
	"millrace/decode/binlog"
	"millrace/emit"
	"millrace/internal/record"
	"millrace/schemahistory"
)

// Limits of a batch and of how often small ones are sent.
const (
	batchBytes  = 256 << 10
	batchGap    = 2 * time.Millisecond
	progressGap = time.Second
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
// is being filled, what is known about tables. It survives reconnects.
type session struct {
	t   *task
	log *slog.Logger

	at     Position // restart position behind the last event that was handled
	done   gomysql.GTIDSet
	pool   record.Pool
	b      *record.Batch
	shared *emit.Shared
	src    sources

	tables map[uint64]*table // by table id of the running connection
	byName map[schemahistory.TableID]*table
	warned map[string]bool

	now      time.Time
	openedAt time.Time
	sentAt   time.Time
	dirty    bool
	read     bool

	// The running transaction.
	inTx      bool
	gtid      string // of the running transaction; "" unknown
	gtidUs    int64  // its original commit time; 0 unknown
	gtidPos   int64  // where the event that names it begins (MySQL); 0 unknown
	txID      string
	untold    bool // it has no metadata
	dropRows  bool // the GTID filters leave its rows out
	skipEvent int64
	skipRow   int64
	tx        capture.Transaction
	file      string // binary log file being read
	before    binlog.Image
	after     binlog.Image
	beat      time.Time

	// Signals and what they start.
	signals   capture.Channels
	inc       capture.Incremental
	engine    incrementalEngine
	reading   *chunkReader // of the table that the incremental snapshot reads
	marks     []watermark  // of the row that was handled last
	settled   bool         // a transaction or statement has just ended
	reached   logPlace     // end of the last event outside of transactions
	ended     logPlace     // end of the last transaction
	lastGTID  string
	interrupt *interruption // what streaming was ended for
}

func newSession(t *task, at *Position) *session {
	s := &session{t: t, log: t.log, shared: emit.NewShared(t.contextHeaders()...), byName: map[schemahistory.TableID]*table{}, warned: map[string]bool{}, now: time.Now()}
	s.src.flavor, s.src.name = t.opts.Flavor, t.opts.Prefix
	s.beat = s.now
	if t.metrics != nil {
		s.shared.Count(t.metrics.Events())
	}
	s.engine.s = s
	o := &t.opts.Signals
	s.inc = capture.Incremental{Engine: &s.engine, Log: s.log, Connector: t.opts.Prefix, ReadOnly: o.ReadOnly, CatchUp: o.CatchUp}
	s.signals = capture.Channels{Log: s.log, Every: o.Poll}
	if slices.Contains(o.Channels, "file") {
		s.signals.File = o.File
	}
	if at != nil {
		s.at = *at
		s.at.Extra = s.restoreBlocking(s.inc.Restore(at.Extra))
		if s.at.Snapshot == "BLOCKING" { // its place is one of the stream
			s.at.Snapshot = ""
		}
	}
	return s
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
	return s.b != nil && (s.b.Bytes() >= batchBytes || len(s.b.Records) >= s.t.opts.BatchRecords)
}

// send hands the batch on, with the place that is reached behind it.
func (s *session) send(ctx context.Context) error {
	b := s.batch()
	s.b = nil
	end := s.at
	if s.told() && s.inTx {
		end.TxID, end.Counts = s.txID, s.tx.Counts()
	}
	if more := append(s.inc.Extra(), s.blockingExtra()...); len(more) > 0 {
		end.Extra = append(slices.Clone(end.Extra), more...)
	}
	b.End = &end
	if m := s.t.metrics; m != nil {
		m.Binlog(end.Pos, end.GTIDs != "")
	}
	err := s.t.out.Send(ctx, b, nil)
	s.now = time.Now()
	s.sentAt, s.dirty = s.now, false
	return err
}

// tick does what is due by the clock: heartbeats, and progress over changes that
// gave no records.
func (s *session) tick(ctx context.Context) error {
	if h := s.t.opts.Heartbeat; h > 0 && s.now.Sub(s.beat) >= h && !s.inTx {
		s.heartbeat(ctx)
	}
	s.signals.Poll(ctx, s.now)
	if err := s.between(ctx); err != nil {
		return err
	}
	if s.dirty && !s.hasRecords() && s.now.Sub(s.sentAt) >= progressGap {
		return s.send(ctx)
	}
	return nil
}

func (s *session) heartbeat(ctx context.Context) {
	s.beat = s.now
	if s.at.File == "" {
		return
	}
	capture.AppendHeartbeat(s.batch(), s.t.topic(s.t.opts.Naming.Heartbeat()), s.t.opts.Prefix, s.now.UnixMilli())
	if q := s.t.opts.HeartbeatQuery; q != "" && s.t.db != nil {
		if _, err := s.t.db.ExecContext(ctx, q); err != nil {
			s.log.Warn("heartbeat.action.query failed", "error", err)
		}
	}
}

// nextTick is when something is due; zero: not foreseen.
func (s *session) nextTick() time.Time {
	var due time.Time
	if h := s.t.opts.Heartbeat; h > 0 && !s.inTx {
		due = s.beat.Add(h)
	}
	if s.dirty && !s.hasRecords() {
		if at := s.sentAt.Add(progressGap); due.IsZero() || at.Before(due) {
			due = at
		}
	}
	if s.signals.Polled() || s.inc.Waiting() {
		if at := s.now.Add(min(s.t.opts.Signals.Poll, 200*time.Millisecond)); due.IsZero() || at.Before(due) {
			due = at
		}
	}
	return due
}

// pause runs when the connection has nothing to read: it sends what is due and
// answers until when to wait.
func (s *session) pause(ctx context.Context) (time.Time, error) {
	s.now = time.Now()
	if err := s.t.out.Cause(); err != nil {
		return time.Time{}, err
	}
	if err := s.tick(ctx); err != nil {
		return time.Time{}, err
	}
	due := s.nextTick()
	if s.hasRecords() {
		at := s.sentAt.Add(batchGap)
		if s.inTx && at.Before(s.openedAt.Add(batchGap)) {
			at = s.openedAt.Add(batchGap)
		}
		if !at.After(s.now) {
			if err := s.send(ctx); err != nil {
				return time.Time{}, err
			}
		} else if due.IsZero() || at.Before(due) {
			due = at
		}
	}
	return due, nil
}

// disconnected forgets what belongs to one connection.
func (s *session) disconnected() {
	s.inTx, s.untold, s.gtidPos = false, false, 0
	s.tables = map[uint64]*table{}
	s.skipEvent, s.skipRow = s.at.Event, s.at.Row
	s.file = s.at.File
	s.marks, s.settled = nil, false
	s.reached, s.ended = logPlace{}, logPlace{}
	s.inc.Disconnected()
	s.engine.close()
}

// forget drops plans of tables that a statement touched.
func (s *session) forget(step *schemahistory.Step) {
	for _, c := range step.Changes {
		delete(s.byName, c.ID)
		for _, old := range [2]*schemahistory.TableID{c.Previous, c.Moved} {
			if old != nil {
				delete(s.byName, *old)
			}
		}
	}
	if len(step.Changes) == 0 && len(step.Tables) == 0 {
		clear(s.byName)
	}
	clear(s.tables)
	if r := s.reading; r != nil && s.t.model.Table(r.tb.id) != r.tb.version {
		s.inc.Altered(r.tb.name)
	}
}

// ddlPosition is the position that a statement is recorded at.
func (s *session) ddlPosition() *Position {
	p := s.at
	p.Counts, p.TxID = nil, ""
	if p.Event > 0 {
		p.Event-- // what is done when the statement comes
	}
	return &p
}
