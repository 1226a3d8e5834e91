package emit

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/record"
)

// Transaction makes a pipeline exactly-once (KIP-618): records are written in
// Kafka transactions by a client with a transactional id, and the offset that
// stands for them is a record of the same transaction. A reader of committed
// records sees both or neither.
type Transaction struct {
	// Interval is how long a transaction takes (transaction.boundary=interval). 0:
	// it ends with a batch (poll); batches that already wait go into the same one.
	Interval time.Duration
	// Offset makes the record that stores an offset.
	Offset func(partition, offset []byte) *kgo.Record
	// Committed is told each offset after its transaction was committed, by one
	// goroutine. May be nil.
	Committed func(partition, offset []byte)
}

// Limits of a transaction that ends with a batch: while the source is ahead, small
// batches share one, so that the cost of a commit is spread.
const (
	txnBytes = 2 << 20
	txnTime  = 100 * time.Millisecond
)

// txnEnd is how long the abort of a transaction may take when a pipeline dies.
const txnEnd = 5 * time.Second

// txn is the state of a transactional pipeline. It belongs to the encoder's
// goroutine, which also commits: the committer of the plain pipeline does not run.
type txn struct {
	e     *encoder
	cfg   *Transaction
	open  bool
	begun time.Time
	bytes int // of the batches in this transaction
	// records of those batches
	records int
	timer   *time.Timer
}

// txnLoop is loop for a transactional pipeline. A failure commits nothing: what
// was written since the last commit is aborted.
func (e *encoder) txnLoop(enc, run context.Context) {
	t := &txn{e: e, cfg: e.cfg.Transaction, timer: time.NewTimer(time.Hour)}
	defer t.timer.Stop()
	for {
		var b *record.Batch
		select {
		case b = <-e.p.in:
		case <-t.timer.C:
			if !t.step(t.commit(enc, run, false)) {
				return
			}
			continue
		case <-e.p.dead:
			t.abort(run)
			return
		case <-e.p.stop:
			select {
			case b = <-e.p.in:
			default:
				t.step(t.commit(enc, run, true))
				return
			}
		}
		if !t.step(t.take(enc, run, b)) {
			return
		}
	}
}

// step kills the pipeline after an error and ends its transaction.
func (t *txn) step(err error) bool {
	if err == nil {
		return true
	}
	t.e.p.kill(err)
	t.abort(context.Background())
	return false
}

// take writes a batch and commits where the boundary is.
func (t *txn) take(enc, run context.Context, b *record.Batch) error {
	n, records := b.Bytes(), len(b.Records)
	defer func() { b.Release(); t.e.p.credit(n) }()
	if !t.open {
		if err := t.e.cfg.Client.BeginTransaction(); err != nil {
			return fmt.Errorf("begin a transaction: %w", err)
		}
		t.open, t.begun, t.bytes, t.records = true, time.Now(), 0, 0
	}
	if err := t.e.encode(enc, run, b); err != nil {
		return err
	}
	t.bytes += n
	t.records += records
	if left := t.left(); left > 0 {
		t.timer.Reset(left)
		return nil
	}
	return t.commit(enc, run, false)
}

// left is how much longer the transaction may take batches.
func (t *txn) left() time.Duration {
	took := time.Since(t.begun)
	if t.cfg.Interval > 0 {
		return t.cfg.Interval - took
	}
	if len(t.e.p.in) == 0 || t.bytes >= txnBytes {
		return 0
	}
	return txnTime - took
}

// commit ends the transaction with the offset of what is in it. Progress without
// records waits for the next records, or for a while, unless last says that there
// are none to come.
func (t *txn) commit(enc, run context.Context, last bool) error {
	p := t.e.p
	if !t.open {
		return nil
	}
	if err := t.acknowledged(enc); err != nil {
		return err
	}
	p.mu.Lock()
	pos, seq := p.ledger.Committable()
	written := p.written
	p.written = false
	p.mu.Unlock()
	if !written && !last {
		if left := quietProgress - time.Since(p.comm.at); left > 0 {
			t.timer.Reset(left)
			return nil
		}
	}
	var offset []byte
	if pos != nil && seq != p.comm.seq {
		if offset = pos.Offset(); bytes.Equal(offset, p.comm.last) {
			offset = nil
		}
	}
	if offset != nil {
		rec := t.cfg.Offset(p.cfg.Partition, offset)
		if err := p.cfg.Client.ProduceSync(run, rec).FirstErr(); err != nil {
			return p.produceError(rec, err)
		}
	}
	began := time.Now()
	err := p.cfg.Client.EndTransaction(run, kgo.TryCommit)
	if m := p.cfg.Metrics; m != nil {
		m.Commit(time.Since(began), err)
		if err == nil && t.records > 0 {
			m.TransactionSize(t.records)
		}
	}
	if err != nil {
		return sendFailure(kafkaError(&kgo.Record{Topic: "(the commit of a transaction)"}, err))
	}
	t.open = false
	p.comm.at = time.Now()
	if pos == nil {
		return nil
	}
	p.comm.seq = seq
	if offset != nil {
		p.comm.last = append(p.comm.last[:0], offset...)
		if t.cfg.Committed != nil {
			t.cfg.Committed(p.cfg.Partition, offset)
		}
	}
	p.stored.Store(&storedAt{pos})
	if p.cfg.OnStored != nil {
		p.cfg.OnStored(pos)
	}
	return nil
}

// acknowledged returns when everything that was produced is acknowledged, or with
// the cause of the pipeline's death.
func (t *txn) acknowledged(ctx context.Context) error {
	p := t.e.p
	_ = p.cfg.Client.Flush(ctx) // ends lingering; what matters is counted below
	for {
		select {
		case <-p.dead:
			return p.cause
		default:
		}
		p.mu.Lock()
		out := p.out
		p.mu.Unlock()
		if out == 0 {
			return nil
		}
		select {
		case <-p.settled:
		case <-p.dead:
			return p.cause
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// abort ends an open transaction without its records, so that readers do not have
// to wait for its timeout. Failing at it harms nobody: the next producer with this
// id ends it.
func (t *txn) abort(ctx context.Context) {
	if !t.open {
		return
	}
	t.open = false
	ctx, cancel := context.WithTimeout(ctx, txnEnd)
	defer cancel()
	cl := t.e.cfg.Client
	err := cl.AbortBufferedRecords(ctx)
	if err == nil {
		err = cl.EndTransaction(ctx, kgo.TryAbort)
	}
	if err != nil && ctx.Err() == nil {
		t.e.cfg.Log.Debug("transaction not aborted; the task's next start does it", "connector", t.e.cfg.Connector, "task", t.e.cfg.Task, "err", err)
	}
}
