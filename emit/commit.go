package emit

import (
	"bytes"
	"context"
	"fmt"
	"time"
)

// Connect stores offsets every offset.flush.interval.ms. So does a busy pipeline;
// in a quiet moment the offset follows sooner, so that a small change is not
// repeated after a crash and the log's owner can forget it.
const (
	quietDelay    = 200 * time.Millisecond // no batch settled for so long: quiet
	quietGap      = time.Second            // least time between two stores of a quiet pipeline
	quietProgress = 10 * time.Second       // the same when only the position moved, no record
)

// committer is the state of the committer goroutine; after it is joined, of Drain.
type committer struct {
	seq  uint64 // of the newest stored position
	last []byte // offset as stored
	at   time.Time
}

func (p *Pipeline) commitLoop(ctx context.Context) {
	tick := time.NewTicker(p.cfg.FlushInterval)
	defer tick.Stop()
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	defer quiet.Stop()
	for {
		select {
		case <-p.comStop:
			return
		case <-ctx.Done():
			return
		case <-p.dead:
			return // Drain stores what was acknowledged
		case <-p.advanced:
			quiet.Reset(quietDelay)
			continue
		case <-tick.C:
		case <-quiet.C:
			if wait := p.untilQuietStore(); wait > 0 {
				quiet.Reset(wait)
				continue
			}
		}
		if err := p.store(ctx); err != nil && ctx.Err() == nil {
			p.cfg.Log.Warn("offset not stored, will be tried again", "connector", p.cfg.Connector, "task", p.cfg.Task,
				"retry_in", p.cfg.FlushInterval.String(), "err", err)
		}
	}
}

// untilQuietStore is how long a quiet pipeline must wait before it stores again.
func (p *Pipeline) untilQuietStore() time.Duration {
	p.mu.Lock()
	written := p.written
	p.mu.Unlock()
	gap := quietProgress
	if written {
		gap = quietGap
	}
	return time.Until(p.comm.at.Add(min(gap, p.cfg.FlushInterval)))
}

// store makes the committable prefix durable, and only then says so: this is the
// order that everything else relies on.
func (p *Pipeline) store(ctx context.Context) error {
	p.mu.Lock()
	pos, seq := p.ledger.Committable()
	p.written = false
	p.mu.Unlock()
	if pos == nil || seq == p.comm.seq {
		return nil
	}
	p.comm.at = time.Now()
	offset := pos.Offset()
	if !bytes.Equal(offset, p.comm.last) {
		put, cancel := context.WithTimeout(ctx, p.cfg.FlushTimeout)
		err := p.cfg.Offsets.Put(put, p.cfg.Partition, offset)
		cancel()
		if m := p.cfg.Metrics; m != nil {
			m.Commit(time.Since(p.comm.at), err)
		}
		if err != nil {
			return fmt.Errorf("store the offset of connector %s: %w", p.cfg.Connector, err)
		}
		p.comm.last = append(p.comm.last[:0], offset...)
	}
	p.comm.seq = seq
	p.stored.Store(&storedAt{pos})
	if p.cfg.OnStored != nil {
		p.cfg.OnStored(pos)
	}
	return nil
}
