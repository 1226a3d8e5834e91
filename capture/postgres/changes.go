package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"millrace/decode/pgoutput"
	"millrace/emit"
	"millrace/internal/record"
)

var errShortMessage = errors.New("a pgoutput message is shorter than its fields")

// change handles one message of pgoutput that lies at a place in the log.
func (s *session) change(ctx context.Context, at LSN, m []byte) error {
	if len(m) == 0 {
		return errShortMessage
	}
	switch m[0] {
	case 'I', 'U', 'D':
		return s.row(ctx, at, m)
	case 'B':
		return s.begin(ctx, at, m)
	case 'C':
		return s.commit(ctx, at, m)
	case 'R':
		return s.relation(ctx, m)
	case 'O':
		return s.origin(m)
	case 'T':
		return s.truncate(at, m)
	case 'M':
		return s.logicalMessage(at, m)
	}
	return nil // TYPE messages repeat what the catalog says
}

func (s *session) begin(ctx context.Context, at LSN, m []byte) error {
	x, err := pgoutput.ParseBegin(m)
	if err != nil {
		return err
	}
	return s.beginTx(ctx, at, &x)
}

// beginTx starts a transaction; at is the place of its first log record.
func (s *session) beginTx(ctx context.Context, at LSN, x *pgoutput.Begin) error {
	s.final, s.commitUs, s.xid = LSN(x.FinalLSN), x.CommitUs+pgEpochUs, int64(x.XID)
	s.inTx, s.eventLSN, s.events = true, 0, 0
	s.streamed.add(s.xid)
	s.src.tsUs, s.src.txID, s.src.commit = s.commitUs, s.xid, s.lastCommit
	s.src.origin, s.src.originLSN = "", 0
	if err := s.pollXmin(ctx); err != nil {
		return err
	}
	if s.resume.active && s.resume.begin(s.final, s.xid) {
		s.tx.Restore(s.at.Counts)
		return nil
	}
	s.tx.Reset()
	if s.t.opts.Transaction.Metadata {
		id := s.txText(at)
		s.tx.AppendBegin(s.batch(), s.t.topics.transaction, id, s.commitUs/1000)
		s.done(at, msgBegin)
		s.at.Events = 0
	}
	return nil
}

func (s *session) commit(ctx context.Context, at LSN, m []byte) error {
	x, err := pgoutput.ParseCommit(m)
	if err != nil {
		return err
	}
	return s.commitTx(ctx, at, &x)
}

// commitTx ends the transaction that beginTx has started.
func (s *session) commitTx(ctx context.Context, at LSN, x *pgoutput.Commit) error {
	end := LSN(x.EndLSN)
	s.inTx = false
	if m := s.t.metrics; m != nil {
		m.Transaction()
	}
	s.lastCommit = end
	s.resume.commit()
	s.at.TxID, s.at.TsUsec = s.xid, s.commitUs
	s.settle(end)
	if s.t.opts.Transaction.Metadata {
		s.tx.AppendEnd(s.batch(), s.t.topics.transaction, s.txText(at), s.commitUs/1000)
		s.at.TxText, s.at.Counts = strconv.FormatInt(s.xid, 10), s.tx.Counts()
	}
	return s.between(ctx)
}

// txText is transaction.id: the transaction and the place of the event in the log.
func (s *session) txText(at LSN) string {
	return strconv.FormatInt(s.xid, 10) + ":" + strconv.FormatUint(uint64(at), 10)
}

// block counts an event and makes its transaction block; null without metadata.
func (s *session) block(b *record.Batch, at LSN, name string) record.Cell {
	if !s.t.opts.Transaction.Metadata || !s.inTx {
		return record.Cell{}
	}
	total, n := s.tx.Event(name)
	a := b.Arena()
	from := len(a)
	a = strconv.AppendInt(a, s.xid, 10)
	a = append(a, ':')
	a = strconv.AppendUint(a, uint64(at), 10)
	b.SetArena(a)
	return emit.TransactionCell(b, b.SpanCell(record.String, from, len(a)), total, n)
}

// arrived counts a message at its place and reports whether it was processed in
// an earlier session.
func (s *session) arrived(at LSN, outside bool) (drop bool) {
	if at == s.eventLSN {
		s.events++
	} else {
		s.eventLSN, s.events = at, 1
	}
	return s.resume.active && s.resume.drop(at, outside)
}

// done moves the place behind an event inside of a transaction.
func (s *session) done(at LSN, kind string) {
	p := &s.at
	p.LSN, p.Proc, p.Type = at, at, kind
	p.TxID, p.TsUsec, p.Events, p.Final = s.xid, s.commitUs, s.events, s.final
	p.Xmin = s.src.xmin
	p.Snapshot, p.LastRow, p.Completed = "", false, false
	if s.t.opts.Transaction.Metadata {
		p.TxText = strconv.FormatInt(s.xid, 10)
		p.Counts = nil // filled in when the batch is sent
	}
	s.dirty = true
}

// origin notes where a replayed transaction came from.
func (s *session) origin(m []byte) error {
	x, err := pgoutput.ParseOrigin(m)
	s.src.origin, s.src.originLSN = x.Name, LSN(x.LSN)
	return err
}

// pollXmin reads the slot's catalog_xmin at most once per xmin.fetch.interval.ms.
func (s *session) pollXmin(ctx context.Context) error {
	if s.t.opts.XminInterval <= 0 || time.Since(s.xminAt) < s.t.opts.XminInterval {
		return nil
	}
	rows, err := query(ctx, s.t.general, "SELECT coalesce(catalog_xmin::text, '0') FROM pg_catalog.pg_replication_slots WHERE slot_name = $1", s.t.opts.Slot.Name)
	if err != nil {
		return fmt.Errorf("read xmin of slot %q: %w", s.t.opts.Slot.Name, err)
	}
	if len(rows) == 1 {
		s.src.xmin = num(rows[0][0])
	}
	s.xminAt = time.Now()
	return nil
}

// lookup finds the table of a row message; nil when it is not captured.
func (s *session) lookup(m []byte) (*table, error) {
	if len(m) < 5 {
		return nil, errShortMessage
	}
	id := binary.BigEndian.Uint32(m[1:])
	if s.last != nil && s.last.oid == id {
		return s.last, nil
	}
	tb, ok := s.tables[id]
	if !ok {
		return nil, fmt.Errorf("a row of relation %d came without a RELATION message before it", id)
	}
	s.last = tb
	return tb, nil
}

// row handles INSERT, UPDATE and DELETE.
func (s *session) row(ctx context.Context, at LSN, m []byte) error {
	tb, err := s.lookup(m)
	if err != nil {
		return err
	}
	if s.arrived(at, false) {
		return nil
	}
	kind, op := msgInsert, emit.OpCreate
	switch m[0] {
	case 'U':
		kind, op = msgUpdate, emit.OpUpdate
	case 'D':
		kind, op = msgDelete, emit.OpDelete
	}
	if tb.captured && !s.t.opts.Skipped.Has(byte(op)) {
		if err := s.appendRow(ctx, tb, at, op, m); err != nil {
			if err = tb.fail(err, at); s.t.opts.Failures.Event == "fail" {
				return err
			}
			s.log.Warn("an event is skipped, as event.processing.failure.handling.mode says", "error", err)
		}
	}
	s.done(at, kind)
	if tb.signal {
		return s.signalRow(ctx, tb, m)
	}
	return nil
}

func (s *session) appendRow(ctx context.Context, tb *table, at LSN, op emit.Op, m []byte) error {
	ch, err := pgoutput.ParseChange(m, false)
	if err != nil {
		return err
	}
	b := s.batch()
	var old, row pgoutput.Row
	hasOld := ch.Old.Kind != 0
	if hasOld {
		if old, err = tb.rows.DecodeOld(b, ch.Old); err != nil {
			return err
		}
	}
	if op != emit.OpDelete {
		if len(s.t.opts.RereadColumns) > 0 {
			if ch.New, err = s.reselect(ctx, tb, ch); err != nil {
				return err
			}
		}
		if row, _, err = tb.rows.DecodeTuple(b, ch.New, ch.Old); err != nil {
			return err
		}
		if row.Failures != nil {
			s.warnFailures(tb, row.Failures)
		}
	}
	if op == emit.OpUpdate && hasOld {
		if s.t.opts.SkipUnchanged && ch.Old.Kind == 'O' && pgoutput.Equal(b, old.Value, row.Value) {
			return nil
		}
	}
	if s.chunks.reading != nil && s.inc.Reads(tb.name) {
		if err := s.windowSeen(tb, ch); err != nil {
			return err
		}
	}
	c := emit.Change{Op: op, NowNs: s.now.UnixNano(), CommitUs: s.commitUs}
	s.read = true
	if op == emit.OpUpdate && hasOld && tb.env.Key != nil && !pgoutput.Equal(b, old.Key, row.Key) {
		s.appendKeyChange(tb, b, at, c, &old, &row)
		return nil
	}
	c.Before, c.After, c.Key = old.Value, row.Value, row.Key
	if op == emit.OpDelete {
		c.Key = old.Key
	}
	c.Tx = s.block(b, at, tb.name)
	c.Source = s.src.cell(b, &tb.src, at, record.Cell{})
	tb.env.Append(b, s.shared, &c)
	return nil
}

// warnFailures logs values that could not be converted, once per column.
func (s *session) warnFailures(tb *table, fs []pgoutput.Failure) {
	for _, f := range fs {
		id := tb.name + "." + f.Column
		if s.warned[id] {
			continue
		}
		s.warned[id] = true
		s.log.Warn("a value cannot be converted, so its field is null; further ones in this column are not logged", "column", id, "error", f.Err)
	}
}

// appendKeyChange appends the delete and the create that an update of the key
// becomes; each counts as an event and each may be skipped.
func (s *session) appendKeyChange(tb *table, b *record.Batch, at LSN, c emit.Change, old, row *pgoutput.Row) {
	del, ins := c, c
	var pdel, pins *emit.Change
	if !s.t.opts.Skipped.Has(byte(emit.OpDelete)) {
		del.Op, del.Before, pdel = emit.OpDelete, old.Value, &del
		del.Tx = s.block(b, at, tb.name)
		del.Source = s.src.cell(b, &tb.src, at, record.Cell{})
	}
	if !s.t.opts.Skipped.Has(byte(emit.OpCreate)) {
		ins.Op, ins.After, pins = emit.OpCreate, row.Value, &ins
		ins.Tx = s.block(b, at, tb.name)
		ins.Source = s.src.cell(b, &tb.src, at, record.Cell{})
	}
	tb.env.AppendKeyChange(b, s.shared, pdel, pins, old.Key, row.Key)
}

// truncate makes one event per captured table.
func (s *session) truncate(at LSN, m []byte) error {
	x, err := pgoutput.ParseTruncate(m, false)
	if err != nil || s.arrived(at, false) {
		return err
	}
	for i := range x.Len() {
		tb := s.tables[x.Relation(i)]
		if tb == nil || !tb.captured {
			continue
		}
		s.inc.Truncated(tb.name)
		if s.t.opts.Skipped.Has(byte(emit.OpTruncate)) {
			continue
		}
		b := s.batch()
		s.read = true
		tb.env.Append(b, s.shared, &emit.Change{Op: emit.OpTruncate, NowNs: s.now.UnixNano(), CommitUs: s.commitUs,
			Tx: s.block(b, at, tb.name), Source: s.src.cell(b, &tb.src, at, record.Cell{})})
	}
	s.done(at, msgTruncate)
	return nil
}
