package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"millrace/decode/binlog"
	"millrace/decode/myvalue"
	"millrace/emit"
	"millrace/internal/record"
	"millrace/schemahistory"
)

const eventHeader = 19

var errShortEvent = errors.New("a binary log event is shorter than its header")

// body is an event without header and checksum.
func body(e *replication.BinlogEvent, sum bool) ([]byte, error) {
	end := len(e.RawData)
	if sum {
		end -= 4
	}
	if end < eventHeader {
		return nil, errShortEvent
	}
	return e.RawData[eventHeader:end], nil
}

// event handles one event of the log, and what was waiting for the end of a
// transaction.
func (s *session) event(ctx context.Context, e *replication.BinlogEvent, sum bool) error {
	s.now = time.Now()
	if err := s.handle(ctx, e, sum); err != nil {
		return err
	}
	if !s.inTx && e.Header.LogPos != 0 {
		s.reach(e)
	}
	if !s.settled {
		return nil
	}
	s.settled = false
	s.ended = s.reached
	return s.between(ctx)
}

// reach notes how far the log was read.
func (s *session) reach(e *replication.BinlogEvent) {
	switch x := e.Event.(type) {
	case *replication.RotateEvent:
		s.reached = logPlace{file: s.file, pos: int64(x.Position)}
	case *replication.HeartbeatEvent:
		if x.Filename == s.file {
			s.reached = logPlace{file: s.file, pos: max(int64(e.Header.LogPos), int64(x.Offset))}
		}
	default:
		if e.Header.Flags&replication.LOG_EVENT_ARTIFICIAL_F == 0 {
			s.reached = logPlace{file: s.file, pos: int64(e.Header.LogPos)}
		}
	}
}

func (s *session) handle(ctx context.Context, e *replication.BinlogEvent, sum bool) error {
	switch x := e.Event.(type) {
	case *replication.RotateEvent:
		s.file = string(x.NextLogName)
		if !s.inTx && e.Header.LogPos != 0 {
			s.at.File, s.at.Pos, s.dirty = s.file, int64(x.Position), true
		} else if s.at.File == "" {
			s.at.File, s.at.Pos = s.file, int64(x.Position)
		}
		return nil
	case *replication.GTIDEvent:
		return s.onGTID(e, x)
	case *replication.GtidTaggedLogEvent:
		return s.onGTID(e, &x.GTIDEvent)
	case *replication.MariadbGTIDEvent:
		s.setGTID(x.GTID.String(), 0)
		if !x.IsStandalone() {
			s.begin(e, 0)
		}
		return nil
	case *replication.QueryEvent:
		return s.query(ctx, e, x)
	case *replication.XIDEvent:
		return s.commit(e)
	case *replication.RowsQueryEvent:
		s.note(e, string(x.Query))
		return nil
	case *replication.MariadbAnnotateRowsEvent:
		s.note(e, string(x.Query))
		return nil
	case *replication.TransactionPayloadEvent:
		return s.payload(ctx, e, x)
	case *replication.FormatDescriptionEvent:
		clear(s.tables) // a server that was started anew counts its tables from the beginning
		return nil
	case *replication.PreviousGTIDsEvent:
		s.fileBegins(e, x.GTIDSets)
		return nil
	case *replication.HeartbeatEvent:
		return nil
	}
	if e.Header.EventType == replication.XA_PREPARE_LOG_EVENT {
		return s.commit(e) // of two phases: XA COMMIT has a GTID of its own
	}
	err := s.rowEvent(ctx, e, sum)
	if s.inTx {
		s.at.Event, s.at.Row = s.at.Event+1, 0
	}
	if err == nil && s.full() {
		return s.send(ctx)
	}
	return err
}

// note keeps the statement that the next rows come from.
func (s *session) note(e *replication.BinlogEvent, text string) {
	if s.t.opts.Query {
		s.src.query = text
		s.src.moved()
	}
	if s.inTx {
		s.at.Event++
	}
	_ = e
}

// query handles a QUERY event: the begin and end of transactions, or a statement.
func (s *session) query(ctx context.Context, e *replication.BinlogEvent, q *replication.QueryEvent) error {
	text := string(q.Query)
	switch {
	case text == "BEGIN":
		s.begin(e, int64(q.SlaveProxyID))
		return nil
	case text == "COMMIT":
		return s.commit(e)
	case strings.HasPrefix(text, "XA START") || strings.HasPrefix(text, "XA BEGIN"):
		if s.inTx { // on MariaDB the GTID has begun it
			s.at.Event++
			return nil
		}
		s.untold = true
		s.begin(e, 0)
		return nil
	case strings.HasPrefix(text, "XA "):
		if strings.HasPrefix(text, "XA END") {
			return nil
		}
		return s.commit(e)
	case text == "ROLLBACK":
		return s.commit(e)
	case s.inTx:
		s.at.Event++
		if !strings.HasPrefix(strings.ToUpper(strings.TrimSpace(text)), "SAVEPOINT") {
			if s.skipEvent > 0 && s.at.Event <= s.skipEvent {
				return nil // done before the restart: the history has it
			}
			s.clock(e)
			s.place(e, 0)
			return s.ddl(ctx, q)
		}
		return nil
	}
	s.clock(e)
	s.place(e, 0)
	if err := s.ddl(ctx, q); err != nil {
		return err
	}
	return s.finish(e)
}

// clock sets the event time and server of the source block.
func (s *session) clock(e *replication.BinlogEvent) {
	s.at.TsSec, s.at.ServerID = int64(e.Header.Timestamp), int64(e.Header.ServerID)
	s.src.serverID = int64(e.Header.ServerID)
	s.src.tsUs = int64(e.Header.Timestamp) * 1e6
	if s.gtidUs != 0 {
		s.src.tsUs = s.gtidUs
	}
}

// startOf is the position at which an event begins.
func startOf(e *replication.BinlogEvent) int64 {
	return int64(e.Header.LogPos) - int64(e.Header.EventSize)
}

// place sets file and position of the event in the source block.
func (s *session) place(e *replication.BinlogEvent, thread int64) {
	if s.src.file != s.file {
		s.src.file = s.file
		s.src.moved()
	}
	s.src.pos = startOf(e)
	if thread != 0 {
		s.src.thread = thread
	}
}

func (s *session) begin(e *replication.BinlogEvent, thread int64) {
	s.inTx = true
	s.clock(e)
	s.src.thread, s.src.query = thread, ""
	s.src.moved()
	if s.skipEvent == 0 && s.skipRow == 0 {
		s.tx.Reset()
	} else {
		s.tx.Restore(s.at.Counts)
	}
	s.at.File, s.at.Pos = s.file, startOf(e)
	if s.gtidPos != 0 {
		// Reading by file and position must meet the GTID again. Without it the set
		// that is stored would lack this transaction for ever, and statements recorded
		// later could not be placed.
		s.at.Pos = s.gtidPos
	}
	s.at.Event, s.at.Row = 1, 0
	s.at.Snapshot = ""
	if s.told() {
		s.txID = s.gtid
		if s.txID == "" {
			s.txID = fmt.Sprintf("file=%s,pos=%d", s.at.File, startOf(e))
		}
		if s.skipEvent == 0 {
			s.tx.AppendBegin(s.batch(), s.t.topic(s.t.opts.Naming.Transaction()), s.txID, s.src.tsUs/1000)
		}
	}
}

// told reports whether the running transaction is in the metadata: the reference leaves
// XA transactions of MySQL out.
func (s *session) told() bool { return s.t.opts.Transactions && !s.untold }

func (s *session) commit(e *replication.BinlogEvent) error {
	if s.inTx && s.told() {
		s.tx.AppendEnd(s.batch(), s.t.topic(s.t.opts.Naming.Transaction()), s.txID, s.src.tsUs/1000)
	}
	if m := s.t.metrics; m != nil {
		m.Transaction()
	}
	s.clock(e)
	return s.finish(e)
}

// finish moves the place behind a transaction or statement.
func (s *session) finish(e *replication.BinlogEvent) error {
	s.inTx, s.skipEvent, s.skipRow, s.gtidPos = false, 0, 0, 0
	s.at.File, s.at.Event, s.at.Row = s.file, 0, 0
	s.at.Snapshot, s.at.TxID, s.at.Counts = "", "", nil
	if s.told() {
		s.at.TxID, s.at.Counts = s.txID, s.tx.Counts()
	}
	s.untold = false
	if e.Header.LogPos != 0 {
		s.at.Pos = int64(e.Header.LogPos)
	}
	if err := s.addGTID(); err != nil {
		return err
	}
	s.setGTID("", 0)
	s.src.thread, s.src.query = 0, ""
	s.src.moved()
	s.dirty, s.settled = true, true
	return nil
}

// payload handles a compressed transaction: its events have the place of the
// payload.
func (s *session) payload(ctx context.Context, e *replication.BinlogEvent, x *replication.TransactionPayloadEvent) error {
	s.at.Event++
	for _, inner := range x.Events {
		h := *inner.Header
		h.LogPos, h.EventSize = e.Header.LogPos, e.Header.EventSize
		c := *inner
		c.Header = &h
		if err := s.event(ctx, &c, false); err != nil {
			return err
		}
	}
	return nil
}

// rowKind tells what a row event does; 0: it is none.
func rowKind(t replication.EventType) (kind binlog.Kind, version int, compressed bool) {
	switch t {
	case replication.WRITE_ROWS_EVENTv1:
		return binlog.Insert, 1, false
	case replication.UPDATE_ROWS_EVENTv1:
		return binlog.Update, 1, false
	case replication.DELETE_ROWS_EVENTv1:
		return binlog.Delete, 1, false
	case replication.WRITE_ROWS_EVENTv2:
		return binlog.Insert, 2, false
	case replication.UPDATE_ROWS_EVENTv2:
		return binlog.Update, 2, false
	case replication.DELETE_ROWS_EVENTv2:
		return binlog.Delete, 2, false
	case replication.PARTIAL_UPDATE_ROWS_EVENT:
		return binlog.PartialUpdate, 2, false
	case replication.MARIADB_WRITE_ROWS_COMPRESSED_EVENT_V1:
		return binlog.Insert, 1, true
	case replication.MARIADB_UPDATE_ROWS_COMPRESSED_EVENT_V1:
		return binlog.Update, 1, true
	case replication.MARIADB_DELETE_ROWS_COMPRESSED_EVENT_V1:
		return binlog.Delete, 1, true
	}
	return 0, 0, false
}

const tableIDSize = 6

func (s *session) rowEvent(ctx context.Context, e *replication.BinlogEvent, sum bool) error {
	p, err := body(e, sum)
	if err != nil {
		return err
	}
	if e.Header.EventType == replication.TABLE_MAP_EVENT {
		return s.tableMap(ctx, p)
	}
	kind, version, compressed := rowKind(e.Header.EventType)
	if kind == 0 {
		return s.other(e, sum)
	}
	skipped := s.skipEvent > 0 && s.at.Event < s.skipEvent
	id, err := binlog.TableID(p, tableIDSize)
	if err != nil {
		return err
	}
	tb := s.tables[id]
	if tb == nil || !tb.captured || s.dropRows || skipped && !tb.signal {
		return nil
	}
	s.clock(e)
	s.place(e, 0)
	rows, err := binlog.ParseRows(kind, version, tb.wire, p, tableIDSize)
	if err == nil && compressed {
		err = rows.Inflate(gomysql.DecompressMariadbData)
	}
	if err == nil {
		err = s.rows(ctx, tb, rows, skipped)
	}
	if err == nil || s.t.opts.OnBadEvent == "fail" || s.t.out.Cause() != nil || ctx.Err() != nil || retriable(err) {
		return s.explain(err, tb)
	}
	s.log.Warn("an event is skipped, as event.processing.failure.handling.mode says", "table", tb.name, "file", s.src.file, "pos", s.src.pos, "error", err)
	return nil
}

func (s *session) explain(err error, tb *table) error {
	var bad *binlog.Error
	if !errors.As(err, &bad) {
		return err
	}
	return fault(err, "Set event.processing.failure.handling.mode=warn to skip such events", "Cannot read the rows of table %s at %s:%d", tb.name, s.src.file, s.src.pos)
}

// tableMap resolves the table that the following row events belong to.
func (s *session) tableMap(ctx context.Context, p []byte) error {
	m, err := binlog.ParseTableMap(p, tableIDSize)
	if err != nil {
		return err
	}
	id := schemahistory.TableID{DB: m.Schema, Name: m.Table}
	if have := s.tables[m.ID]; have != nil && have.id == id {
		return nil
	}
	if !s.t.captured(id) {
		s.tables[m.ID] = &table{id: id, name: id.DB + "." + id.Name}
		return nil
	}
	v := s.t.model.Table(id)
	if v == nil && s.t.opts.OnBadSchema != "fail" {
		s.log.Warn("rows of a table are skipped, as inconsistent.schema.handling.mode says", "table", id.String(), "why", "it is not in the schema history")
		s.tables[m.ID] = &table{id: id, name: id.DB + "." + id.Name}
		return nil
	}
	rowEnd := versioned(v, m)
	if rowEnd == 0 && !agrees(v, m) {
		if v, err = s.resolve(ctx, id, m, v); err != nil || v == nil {
			s.tables[m.ID] = &table{id: id, name: id.DB + "." + id.Name}
			return err
		}
	}
	tb, err := s.t.compile(v, m)
	if err != nil {
		return err
	}
	tb.rowEnd, tb.signal = rowEnd, tb.name == s.t.opts.SignalTable
	s.tables[m.ID], s.byName[id] = tb, tb
	return nil
}

// rows makes the records of a row event.
// skipped: they were emitted before a restart.
func (s *session) rows(ctx context.Context, tb *table, rows *binlog.Rows, skipped bool) error {
	skip := int64(0)
	if s.skipEvent > 0 && s.at.Event == s.skipEvent {
		skip, s.skipEvent, s.skipRow = s.skipRow, 0, 0
	}
	for n := int64(0); ; n++ {
		ok, err := rows.Next(&s.before, &s.after)
		if err != nil || !ok {
			return err
		}
		if n < skip || skipped {
			s.skippedSignal(tb, rows.Kind)
			continue
		}
		if err := s.row(ctx, tb, rows.Kind, int(n)); err != nil {
			return err
		}
		s.at.Row = n + 1
		s.dirty = true
		if len(s.marks) > 0 {
			if err := s.watermarks(ctx); err != nil {
				return err
			}
		}
		if s.full() {
			if err := s.send(ctx); err != nil {
				return err
			}
		}
	}
}

func (s *session) row(ctx context.Context, tb *table, kind binlog.Kind, n int) error {
	op := emit.OpCreate
	switch kind {
	case binlog.Update, binlog.PartialUpdate:
		op = emit.OpUpdate
	case binlog.Delete:
		op = emit.OpDelete
	}
	if tb.rowEnd != 0 {
		if op = s.unversioned(tb, op); op == 0 {
			return nil
		}
	}
	skip := s.t.opts.Skipped.Has(byte(op))
	if skip && !tb.signal {
		return nil
	}
	b := s.batch()
	var old, row myvalue.Row
	var fails []myvalue.Failure
	c := emit.Change{Op: op, NowNs: s.now.UnixNano(), CommitUs: s.src.tsUs}
	switch op {
	case emit.OpCreate:
		row, fails = tb.rows.Image(b, &s.after, nil)
	case emit.OpDelete:
		old, fails = tb.rows.Image(b, &s.before, nil)
	default:
		old, _ = tb.rows.Image(b, &s.before, nil) // the same columns fail in both
		row, fails = tb.rows.Image(b, &s.after, &s.before)
		if s.t.opts.SkipUnchanged && b.Same(old.Value, row.Value) {
			return nil
		}
	}
	if fails != nil {
		if err := s.failed(tb, fails); err != nil {
			return err
		}
	}
	if len(s.t.opts.RereadColumns) > 0 && op != emit.OpDelete {
		if err := s.reselect(ctx, tb, b, &row); err != nil {
			return err
		}
	}
	if tb.signal {
		if s.signalRow(b, op, &old, &row); skip {
			return nil
		}
	}
	if s.inc.Reads(tb.name) {
		if err := s.seen(tb, op); err != nil {
			return err
		}
	}
	s.read = true
	if op == emit.OpUpdate && tb.env.Key != nil && !b.Same(old.Key, row.Key) {
		s.keyChange(tb, b, n, c, &old, &row)
		return nil
	}
	c.Before, c.After, c.Key = old.Value, row.Value, row.Key
	if op == emit.OpDelete {
		c.Key = old.Key
	}
	c.Tx = s.block(b, tb.name)
	c.Source = s.src.cell(b, &tb.src, n, record.Cell{})
	tb.env.Append(b, s.shared, &c)
	return nil
}

// keyChange appends the delete and the create that an update of the key becomes.
func (s *session) keyChange(tb *table, b *record.Batch, n int, c emit.Change, old, row *myvalue.Row) {
	del, ins := c, c
	del.Op, del.Before = emit.OpDelete, old.Value
	del.Tx = s.block(b, tb.name)
	del.Source = s.src.cell(b, &tb.src, n, record.Cell{})
	ins.Op, ins.After = emit.OpCreate, row.Value
	ins.Tx = s.block(b, tb.name)
	ins.Source = s.src.cell(b, &tb.src, n, record.Cell{})
	tb.env.AppendKeyChange(b, s.shared, &del, &ins, old.Key, row.Key)
}

func (s *session) block(b *record.Batch, name string) record.Cell {
	if !s.told() || !s.inTx {
		return record.Cell{}
	}
	total, n := s.tx.Event(name)
	return emit.TransactionCell(b, b.StringCell(s.txID), total, n)
}

// failed does what event.converting.failure.handling.mode says about values that
// could not be converted: fail, warn or skip.
func (s *session) failed(tb *table, fails []myvalue.Failure) error {
	switch s.t.opts.OnBadValue {
	case "fail":
		return fault(fails[0].Err, "Set event.converting.failure.handling.mode=warn to write null instead", "A value of column %s.%s cannot be converted", tb.name, fails[0].Column)
	case "warn":
		s.warnFailures(tb, fails)
	}
	return nil
}

// warnFailures logs values that could not be converted, once per column.
func (s *session) warnFailures(tb *table, fails []myvalue.Failure) {
	for _, f := range fails {
		id := tb.name + "." + f.Column
		if !s.warned[id] {
			s.warned[id] = true
			s.log.Warn("a value cannot be converted, so its field is null; further ones in this column are not logged", "column", id, "error", f.Err)
		}
	}
}

// truncate makes the event of a TRUNCATE TABLE, if those are wanted.
func (s *session) truncate(id schemahistory.TableID) {
	s.inc.Truncated(id.DB + "." + id.Name)
	if s.t.opts.Skipped.Has(byte(emit.OpTruncate)) || !s.t.captured(id) {
		return
	}
	v := s.t.model.Table(id)
	if v == nil {
		return
	}
	tb := s.byName[id]
	if tb == nil {
		var err error
		if tb, err = s.t.compile(v, nil); err != nil {
			s.log.Warn("a truncate makes no event", "table", id.String(), "error", err)
			return
		}
	}
	b := s.batch()
	tb.env.Append(b, s.shared, &emit.Change{Op: emit.OpTruncate, NowNs: s.now.UnixNano(), CommitUs: s.src.tsUs, Source: s.src.cell(b, &tb.src, 0, record.Cell{})})
	s.dirty = true
}
