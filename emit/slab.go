package emit

import (
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A slab's two parts come in sizes that are 3/2 and 4/3 apart in turn, so that what
// is taken for a batch is nearly what it needs: the bytes from 4 KiB for the few
// records of a quiet system to 256 KiB for the stream of a drain, the records from
// 8 to 512. A record that does not fit makes the bytes grow, and bytes that grew
// are not kept.
const (
	byteClasses   = 13
	recordClasses = 13
	slabBytes     = 4 << 10 // of class 0
	slabRecords   = 8       // of class 0
	recordCost    = 220     // bytes of a kgo.Record with its bookkeeping in the client
	headersKept   = 512     // headers of a slab beyond which their array is not kept
)

// classSize is what class i holds when class 0 holds first, which is even.
func classSize(i, first int) int {
	if i%2 == 1 {
		first += first / 2
	}
	return first << (i / 2)
}

// classFor is the smallest of n classes that holds need, or the largest.
func classFor(need, first, n int) int {
	for i := range n - 1 {
		if need <= classSize(i, first) {
			return i
		}
	}
	return n - 1
}

// slabSize says which parts a slab for so many records of so many bytes each has.
// The rest of a large batch goes into further slabs.
func slabSize(records, bytes int) (byteClass, recordClass int) {
	return classFor(records*(bytes+bytes/8)+2*bytes, slabBytes, byteClasses), classFor(records, slabRecords, recordClasses)
}

// slabCost is what a fresh slab takes.
func slabCost(byteClass, recordClass int) int {
	return classSize(byteClass, slabBytes) + classSize(recordClass, slabRecords)*recordCost
}

// The parts that wait for their next use belong to no pipeline, and the collector
// frees those that nobody takes: a worker that has become quiet, or whose batches
// have another size now, holds nothing on to the old ones.
var (
	freeSlabs   sync.Pool
	freeBytes   [byteClasses]sync.Pool   // of *[]byte
	freeRecords [recordClasses]sync.Pool // of *[]kgo.Record
)

// slab holds the converted bytes and the Kafka records of (a part of) one batch
// from encoding until the last of them is acknowledged. Its bytes are lent to the
// client between submit and settle.
type slab struct {
	p     *Pipeline
	batch uint64 // number in the Ledger

	buf  []byte
	recs []kgo.Record
	hdrs []kgo.RecordHeader

	// Where buf and recs go back to.
	byteClass, recordClass int
	bufHome                *[]byte
	recsHome               *[]kgo.Record

	left     atomic.Int32 // records without an answer
	lost     atomic.Int32 // of them, those that were not written
	fatal    atomic.Bool  // one of them must stop the pipeline
	charge   int          // bytes counted against the queue
	commitUs int64        // commit time of the newest record, for the lag metric
	promise  func(*kgo.Record, error)
}

func newSlab(p *Pipeline, byteClass, recordClass int) *slab {
	s, ok := freeSlabs.Get().(*slab)
	if !ok {
		s = &slab{}
		s.promise = s.answered
	}
	s.p, s.byteClass, s.recordClass = p, byteClass, recordClass
	if s.bufHome, ok = freeBytes[byteClass].Get().(*[]byte); !ok {
		b := make([]byte, 0, classSize(byteClass, slabBytes))
		s.bufHome = &b
	}
	if s.recsHome, ok = freeRecords[recordClass].Get().(*[]kgo.Record); !ok {
		r := make([]kgo.Record, 0, classSize(recordClass, slabRecords))
		s.recsHome = &r
	}
	s.buf, s.recs = *s.bufHome, *s.recsHome
	return s
}

// room reports whether one more record of about need bytes fits without growing.
func (s *slab) room(need int) bool {
	return len(s.recs) < cap(s.recs) && cap(s.buf)-len(s.buf) >= need
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

// free gives the parts back. The slab must not be used behind it.
func (s *slab) free() {
	if cap(s.buf) == cap(*s.bufHome) {
		freeBytes[s.byteClass].Put(s.bufHome)
	}
	clear(s.recs)
	freeRecords[s.recordClass].Put(s.recsHome)
	clear(s.hdrs)
	if s.hdrs = s.hdrs[:0]; cap(s.hdrs) > headersKept {
		s.hdrs = nil
	}
	s.p, s.buf, s.recs, s.bufHome, s.recsHome = nil, nil, nil, nil, nil
	s.lost.Store(0)
	s.fatal.Store(false)
	s.commitUs = 0
	freeSlabs.Put(s)
}
