package sqlsink

import (
	"context"
	"slices"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// note remembers in which order the tables of a batch had their first row and delete.
func (t *table) note(k *Sink, op opcode) {
	kind := 0
	if op == opDelete {
		kind = 1
	}
	if !t.came[kind] {
		t.came[kind] = true
		k.came[kind] = append(k.came[kind], t)
	}
}

// What follows decides which rows are in the target when a record stops the task. Batches
// are larger here than in Debezium's sink and one transaction spans all tables, so the rows
// in front of a refused one would be missing where Debezium's sink has written them. It is
// the way of failure only: a batch that the target takes is written at once.

// heap is what Debezium's sink holds back for one table: rows to write, or keys to delete.
type heap struct {
	table      *table
	key, value *record.Schema
	units      []*unit
}

// heaps are those of one kind, in the order in which their tables came.
type heaps []*heap

func (hs *heaps) of(t *table) *heap {
	for _, h := range *hs {
		if h.table == t {
			return h
		}
	}
	h := &heap{table: t}
	*hs = append(*hs, h)
	return h
}

// replay writes gathered records as Debezium's sink would: poll by poll, a table's rows in
// transactions of their own that end at batch.size, at another schema, and between writes
// and deletes. It stops at the first transaction that the target refuses and names its
// record. stop, when it is not negative, is a record that cannot be a row at all: what
// Debezium's sink holds back when it sees it stays unwritten.
func (k *Sink) replay(ctx context.Context, records []int32, stop int32) error {
	records = slices.Clone(records)
	k.clearGathered()
	k.written = map[int32]bool{}
	var writes, deletes heaps
	for _, t := range k.came[0] {
		writes.of(t)
	}
	for _, t := range k.came[1] {
		deletes.of(t)
	}
	poll := int32(0)
	for _, i := range records {
		if n := i / k.cfg.poll; n != poll {
			poll = n
			if err := k.replayAll(ctx, records, writes, deletes); err != nil {
				return err
			}
		}
		u, err := k.single(ctx, i)
		if err != nil {
			return err
		}
		if u == nil {
			continue
		}
		if err := k.replayOne(ctx, records, u, &writes, &deletes); err != nil {
			return err
		}
	}
	if stop >= 0 && stop/k.cfg.poll == poll {
		return nil
	}
	return k.replayAll(ctx, records, writes, deletes)
}

// single takes a record as a unit of its own; nil when it is nothing to write.
func (k *Sink) single(ctx context.Context, i int32) (*unit, error) {
	limit := k.cfg.batchSize
	k.cfg.batchSize = 0
	defer func() { k.cfg.batchSize = limit }()
	if err := k.take(ctx, i); err != nil {
		return nil, err
	}
	defer k.clearGathered()
	for _, t := range k.order {
		t.gather.seal()
		for _, u := range t.gather.units {
			u.rows = slices.Clone(u.rows)
			return u, nil
		}
	}
	return nil, nil
}

func (k *Sink) replayOne(ctx context.Context, records []int32, u *unit, writes, deletes *heaps) error {
	t := u.plan.table
	own, other := writes, deletes
	switch u.op {
	case unitTruncate:
		if err := k.replayAll(ctx, records, *writes, *deletes); err != nil {
			return err
		}
		return k.replayHeap(ctx, records, &heap{table: t, units: []*unit{u}})
	case unitDelete:
		own, other = deletes, writes
	}
	if err := k.replayHeap(ctx, records, other.of(t)); err != nil {
		return err
	}
	r := &k.src.b.Records[u.rows[0]]
	h := own.of(t)
	if len(h.units) == 0 {
		h.key, h.value = r.KeySchema, r.ValueSchema
	}
	if h.key != r.KeySchema || h.value != r.ValueSchema {
		if err := k.replayHeap(ctx, records, h); err != nil {
			return err
		}
		h.key, h.value = r.KeySchema, r.ValueSchema
	}
	h.units = append(h.units, u)
	most := k.cfg.batchSize
	if most == 0 {
		most = debeziumBatch
	}
	if len(h.units) < most {
		return nil
	}
	return k.replayHeap(ctx, records, h)
}

func (k *Sink) replayAll(ctx context.Context, records []int32, writes, deletes heaps) error {
	for _, h := range slices.Concat(writes, deletes) {
		if err := k.replayHeap(ctx, records, h); err != nil {
			return err
		}
	}
	return nil
}

// replayHeap writes a heap in one transaction, each record by itself: the order of one
// statement per table can refuse what the records' own order allows (a unique value that
// moves from row to row).
func (k *Sink) replayHeap(ctx context.Context, records []int32, h *heap) error {
	units := h.units
	if h.units = nil; len(units) == 0 {
		return nil
	}
	err := k.target.write(ctx, &k.src, units)
	if err == nil {
		for _, u := range units {
			k.written[u.rows[0]] = true
		}
		return nil
	}
	k.pending = k.pending[:0]
	for _, i := range records {
		if !k.written[i] {
			k.pending = append(k.pending, i)
		}
	}
	if passes(ctx, err) {
		return err
	}
	at, ok := culprit(err, units)
	if !ok {
		at = units[0].rows[0]
	}
	k.bad = append(k.bad, errs.BadRecord{Index: int(at), Err: wrapFlush(err)})
	return k.refuse()
}

// debeziumBatch is the default of Debezium's batch.size, connectPoll that of the
// consumer's max.poll.records.
const (
	debeziumBatch = 500
	connectPoll   = 500
)

// refuse names the bad records of a batch, and up to which record it is done for good:
// offsets are those of whole polls, since rows of a poll that failed are read again.
func (k *Sink) refuse() error {
	e := &errs.RecordError{Bad: k.bad}
	if k.cfg.poll > 0 {
		first := int32(k.bad[0].Index)
		e.Done = int(first - first%k.cfg.poll)
	}
	return e
}
