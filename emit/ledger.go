package emit

import "millrace/internal/record"

// Ledger knows which prefix of what was sent is acknowledged, and hence which
// position may be stored. Batches are numbered in the order of the log; a batch
// is settled once it is sealed (no more records will come) and every record sent
// of it is acknowledged. Records that were dropped on purpose are never announced
// and so count as acknowledged at once.
//
// A position becomes committable only when its batch and all batches before it
// are settled: that is the invariant behind "nothing is lost". A failed batch
// never settles, so nothing at or behind it can ever be stored.
//
// It is pure and not safe for concurrent use. One batch per transaction (exactly
// once) needs nothing more: the transaction's end acknowledges the batch.
type Ledger struct {
	queue []ledgerEntry // unsettled batches, oldest at head
	head  int
	first uint64 // number of queue[head]
	end   record.Position
	seq   uint64
	left  int
}

type ledgerEntry struct {
	end    record.Position
	left   int
	sealed bool
	failed bool
}

// Open starts the next batch; end is the place in the log that is reached once
// it is settled, nil when it brings no progress. The number is valid until the
// batch settles.
func (l *Ledger) Open(end record.Position) (batch uint64) {
	if l.head > 0 && l.head == len(l.queue) {
		l.queue, l.head = l.queue[:0], 0
	}
	if l.head > 64 && l.head*2 > len(l.queue) {
		n := copy(l.queue, l.queue[l.head:])
		clear(l.queue[n:])
		l.queue, l.head = l.queue[:n], 0
	}
	l.queue = append(l.queue, ledgerEntry{end: end})
	return l.first + uint64(len(l.queue)-l.head-1)
}

func (l *Ledger) entry(batch uint64) *ledgerEntry {
	i := batch - l.first
	if i >= uint64(len(l.queue)-l.head) {
		panic("emit: ledger: no such batch")
	}
	return &l.queue[l.head+int(i)]
}

// Sent announces n records of an open batch that are about to be produced.
func (l *Ledger) Sent(batch uint64, n int) {
	l.entry(batch).left += n
	l.left += n
}

// Acked settles n records of a batch. It reports whether the committable prefix
// has grown.
func (l *Ledger) Acked(batch uint64, n int) (advanced bool) {
	e := l.entry(batch)
	if n > e.left {
		panic("emit: ledger: more records acknowledged than sent")
	}
	e.left -= n
	l.left -= n
	return l.advance()
}

// Failed marks a batch as one that lost a record: the prefix ends before it.
func (l *Ledger) Failed(batch uint64) { l.entry(batch).failed = true }

// Seal says that a batch gets no more records. It reports whether the committable
// prefix has grown.
func (l *Ledger) Seal(batch uint64) (advanced bool) {
	l.entry(batch).sealed = true
	return l.advance()
}

func (l *Ledger) advance() bool {
	moved := false
	for l.head < len(l.queue) {
		e := &l.queue[l.head]
		if !e.sealed || e.failed || e.left > 0 {
			break
		}
		if e.end != nil {
			l.end = e.end
			l.seq++
			moved = true
		}
		*e = ledgerEntry{}
		l.head++
		l.first++
	}
	return moved
}

// Committable returns the position of the settled prefix, nil if there is none
// yet, and a number that grows with every new one.
func (l *Ledger) Committable() (end record.Position, seq uint64) { return l.end, l.seq }

// Unacked is how many records were sent and are not acknowledged yet.
func (l *Ledger) Unacked() int { return l.left }

// Unsettled is how many batches are not settled yet.
func (l *Ledger) Unsettled() int { return len(l.queue) - l.head }
