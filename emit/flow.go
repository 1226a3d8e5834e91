package emit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"millrace/internal/errs"
	"millrace/internal/record"
)

// This file is the shell around the Ledger: what the encoder, the client's
// promises and the committer share under Pipeline.mu. All of it is per slab or
// per batch, never per record.

func (p *Pipeline) open(end record.Position) uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ledger.Open(end)
}

func (p *Pipeline) seal(batch uint64) {
	p.mu.Lock()
	adv := p.ledger.Seal(batch)
	p.mu.Unlock()
	if adv {
		wake(p.advanced)
	}
}

// takeSlab waits until the queue has room for a slab for so many records of about
// so many bytes each. It cannot wait for itself:
// every slab but the one it asks for is with the client.
func (p *Pipeline) takeSlab(ctx context.Context, records, bytes int, batch uint64) (*slab, error) {
	bc, rc := slabSize(records, bytes)
	cost := slabCost(bc, rc)
	for {
		p.mu.Lock()
		if p.lent == 0 || p.lent+cost <= p.cfg.QueueBytes {
			p.lent += cost
			p.mu.Unlock()
			s := newSlab(p, bc, rc)
			s.charge, s.batch = cost, batch
			return s, nil
		}
		p.mu.Unlock()
		select {
		case <-p.slabRoom:
		case <-p.dead:
			return nil, p.cause
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// lend counts the growth of a slab.
func (p *Pipeline) lend(s *slab, n int) {
	s.charge += n
	p.mu.Lock()
	p.lent += n
	p.mu.Unlock()
}

// sent announces the records of a slab before they are produced.
func (p *Pipeline) sent(s *slab) {
	s.left.Store(int32(len(s.recs)))
	p.mu.Lock()
	p.ledger.Sent(s.batch, len(s.recs))
	p.out++
	p.mu.Unlock()
}

// settle is called once, when the last record of a slab has its answer. The
// order matters: the Ledger first, then the memory.
func (p *Pipeline) settle(s *slab) {
	n, lost := len(s.recs), int(s.lost.Load())
	if m := p.cfg.Metrics; m != nil {
		bytes := 0
		for i := range s.recs {
			bytes += len(s.recs[i].Key) + len(s.recs[i].Value)
		}
		m.Records.Add(float64(n - lost))
		m.Bytes.Add(float64(bytes))
		if s.commitUs > 0 && lost == 0 {
			m.Lag.Observe(max(0, time.Since(time.UnixMicro(s.commitUs)).Seconds()))
		}
	}
	p.mu.Lock()
	if s.fatal.Load() {
		p.ledger.Failed(s.batch)
	}
	adv := p.ledger.Acked(s.batch, n)
	p.out--
	p.written = true
	idle := p.out == 0
	p.mu.Unlock()
	p.giveBack(s)
	if adv {
		wake(p.advanced)
	}
	if idle {
		wake(p.settled)
	}
}

// giveBack returns a slab to the pool and its bytes to the queue.
func (p *Pipeline) giveBack(s *slab) {
	charge := s.charge
	s.free()
	p.mu.Lock()
	p.lent -= charge
	used := p.lent + p.queued
	p.mu.Unlock()
	if p.cfg.Metrics != nil {
		p.cfg.Metrics.QueueBytes.Set(float64(used))
	}
	wake(p.room)
	wake(p.slabRoom)
}

// notWritten handles a record that the client gave up. Whatever is wrong with a
// record by itself (its size, a missing key) was found before it was sent, so
// this is about the broker, a permission, or a whole batch of records:
// errors.tolerance=all must not throw those away.
func (p *Pipeline) notWritten(s *slab, r *kgo.Record, err error) {
	s.fatal.Store(true)
	p.kill(p.produceError(r, err))
}

// produceError words a failed write as Connect does, with the topic and the way out.
func (p *Pipeline) produceError(r *kgo.Record, err error) error {
	if errors.Is(err, kgo.ErrClientClosed) || errors.Is(err, context.Canceled) {
		return errAborted
	}
	return sendFailure(kafkaError(r, err))
}

func kafkaError(r *kgo.Record, err error) error {
	size := len(r.Key) + len(r.Value)
	switch {
	case errors.Is(err, kerr.MessageTooLarge):
		return &errs.Error{Java: kafkaErrors + "RecordTooLargeException",
			Msg:  fmt.Sprintf("A batch with a record of %d bytes is larger than topic '%s' accepts", size, r.Topic),
			Hint: "Raise max.message.bytes of the topic, or lower producer.override.max.request.size of the connector to that limit", Cause: err}
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return &errs.Error{Java: kafkaErrors + "TopicAuthorizationException", Msg: "Not authorized to write to topic '" + r.Topic + "'",
			Hint: "Grant WRITE on the topic to the producer's principal", Cause: err}
	case errors.Is(err, kerr.ClusterAuthorizationFailed):
		return &errs.Error{Java: kafkaErrors + "ClusterAuthorizationException", Msg: "Not authorized to produce idempotently",
			Hint: "Grant IDEMPOTENT_WRITE on the cluster to the producer's principal, or set producer.override.enable.idempotence=false", Cause: err}
	case errors.Is(err, kerr.ProducerFenced), errors.Is(err, kerr.InvalidProducerEpoch):
		return &errs.Error{Java: kafkaErrors + "ProducerFencedException", Msg: "There is a newer producer with the same transactionalId which fences the current one.",
			Hint: "Another worker runs this task by now, or its offsets were changed; restart the task if none does", Cause: err}
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		return &errs.Error{Java: kafkaErrors + "TransactionalIdAuthorizationException", Msg: "Transactional Id authorization failed.",
			Hint: "Grant WRITE and DESCRIBE on the transactional id <group.id>-<connector>-<task> to the producer's principal", Cause: err}
	case errors.Is(err, kerr.InvalidTopicException):
		return &errs.Error{Java: kafkaErrors + "InvalidTopicException", Msg: "Invalid topics: [" + r.Topic + "]"}
	}
	return &errs.Error{Java: errs.ConnectException, Msg: "write to topic '" + r.Topic + "'", Retriable: true, Cause: err}
}

func drainError(ctx context.Context) error {
	return fmt.Errorf("wait for Kafka to acknowledge what was sent: %w", ctx.Err())
}
