package emit

import (
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Slab sizes: class 0 serves the few records of a quiet system, the last class the
// stream of a drain, each being four times the one before. A record that does not
// fit makes its slab grow, and a slab that grew is not kept.
const (
	slabClasses      = 4
	slabBytes        = 16 << 10 // of class 0
	slabRecords      = 32
	headersPerRecord = 4
	recordCost       = 200     // bytes of a kgo.Record with its bookkeeping in the client
	slabsKept        = 8 << 20 // bytes of slabs kept for reuse
)

// slabSize is what a class holds.
func slabSize(class int) (bytes, records int) {
	return slabBytes << (2 * class), slabRecords << (2 * class)
}

// slabCost is what a fresh slab of a class takes.
func slabCost(class int) int {
	b, n := slabSize(class)
	return b + n*recordCost
}

// slabClass is the smallest class for so many records of so many bytes together.
func slabClass(bytes, records int) int {
	for class := range slabClasses - 1 {
		if b, n := slabSize(class); bytes <= b && records <= n {
			return class
		}
	}
	return slabClasses - 1
}

// slab holds the converted bytes and the Kafka records of (a part of) one batch
// from encoding until the last of them is acknowledged. Its bytes are lent to the
// client between submit and settle.
type slab struct {
	p     *Pipeline
	class int
	batch uint64 // number in the Ledger

	buf  []byte
	recs []kgo.Record
	hdrs []kgo.RecordHeader

	left     atomic.Int32 // records without an answer
	lost     atomic.Int32 // of them, those that were not written
	fatal    atomic.Bool  // one of them must stop the pipeline
	charge   int          // bytes counted against the queue
	commitUs int64        // commit time of the newest record, for the lag metric
	promise  func(*kgo.Record, error)
}

func newSlab(p *Pipeline, class int) *slab {
	s := &slab{p: p, class: class}
	nb, nr := slabSize(class)
	s.buf = make([]byte, 0, nb)
	s.recs = make([]kgo.Record, 0, nr)
	s.hdrs = make([]kgo.RecordHeader, 0, nr*headersPerRecord)
	s.promise = s.answered
	return s
}

// room reports whether one more record of about need bytes fits without growing.
func (s *slab) room(need, headers int) bool {
	return len(s.recs) < cap(s.recs) && cap(s.buf)-len(s.buf) >= need && cap(s.hdrs)-len(s.hdrs) >= headers
}

// answered is the promise of every record of the slab. kgo calls promises one
// after the other, but nothing here relies on it.
func (s *slab) answered(r *kgo.Record, err error) {
	if err != nil {
		s.lost.Add(1)
		s.p.notWritten(s, r, err)
	}
	if s.left.Add(-1) == 0 {
		s.p.settle(s)
	}
}

// reset makes the slab fit for reuse, or reports that it has grown.
func (s *slab) reset() bool {
	if nb, nr := slabSize(s.class); cap(s.buf) > nb || cap(s.hdrs) > nr*headersPerRecord {
		return false
	}
	clear(s.recs)
	clear(s.hdrs)
	s.buf, s.recs, s.hdrs = s.buf[:0], s.recs[:0], s.hdrs[:0]
	s.lost.Store(0)
	s.fatal.Store(false)
	s.commitUs = 0
	return true
}
