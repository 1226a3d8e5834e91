package record

import (
	"sync/atomic"
	"unsafe"
)

// NoTimestamp as Record.Timestamp leaves the Kafka record time to the producer.
const NoTimestamp = -1

// Topic is an interned topic name; its pointer is what plans are cached by.
type Topic struct{ Name string }

// Header is a record header: a name and a value with its schema.
type Header struct {
	Key    string
	Schema *Schema
	Value  Cell
}

// Record is a Connect record whose values lie in the Batch that holds it.
type Record struct {
	Topic       *Topic
	KeySchema   *Schema // nil: schemaless or null key
	ValueSchema *Schema // nil: schemaless or tombstone
	Key, Value  Cell
	Partition   int32 // Kafka partition; -1 lets the producer choose by key
	Timestamp   int64 // Kafka record time in ms; NoTimestamp
	Offset      int64 // Kafka offset on the sink side; -1 on the source side
	CommitUs    int64 // source commit time in µs since 1970 for the lag metric; 0 unknown
	headers     span
	Origin      Origin // sink side: where the record came from before transforms renamed it
}

// Origin is where a sink record was read from; transforms must not touch it.
type Origin struct {
	Topic     *Topic
	Partition int32
	Offset    int64
}

type span struct{ from, n uint32 }

// Position is an ordered, opaque place in a source's log.
type Position interface {
	// Offset returns the Connect source offset as JSON, as it is stored in the
	// offset topic, keys in the order the real connector writes them.
	Offset() []byte
}

// Batch is the unit that moves: records and the memory they live in. It is not
// safe for concurrent use; exactly one goroutine owns it at a time.
type Batch struct {
	Records []Record
	// End is the place in the log that is reached once every record up to and
	// including the last one of this batch is durable. A batch without records
	// may still carry one (progress over filtered changes). Nil: no progress.
	End Position

	cells   []Cell
	arena   []byte
	headers []Header
	pool    *Pool
	filling uint64
}

// fillings counts what Batch.Filling gives out.
var fillings atomic.Uint64

// Filling is a number that no batch had before its last Reset and no other batch
// has: while it is the same, the same leaf cell (a number, or a text or bytes at
// the same place) is the same value.
func (b *Batch) Filling() uint64 {
	if b.filling == 0 {
		b.filling = fillings.Add(1)
	}
	return b.filling
}

// Reset forgets all records and values and keeps the memory. Everything that
// was read from the batch becomes invalid (and is poisoned under build tag
// invariants).
func (b *Batch) Reset() {
	poison(b)
	clear(b.Records)
	clear(b.headers)
	b.Records, b.headers = b.Records[:0], b.headers[:0]
	b.cells, b.arena, b.End = b.cells[:0], b.arena[:0], nil
	b.filling = 0
}

// Bytes is what the batch's values take: the measure for queue bounds.
func (b *Batch) Bytes() int { return len(b.arena) + len(b.cells)*16 + len(b.Records)*128 }

// Release gives the batch back to its pool, if it has one.
func (b *Batch) Release() {
	if b.pool != nil {
		b.pool.put(b)
	}
}

// ---- making values

// StringCell copies s into the arena.
func (b *Batch) StringCell(s string) Cell {
	off := len(b.arena)
	b.arena = append(b.arena, s...)
	return Cell{bits: uint64(off), n: uint32(len(s)), kind: String}
}

// BytesCell copies p into the arena; kind is String or Bytes.
func (b *Batch) BytesCell(kind Type, p []byte) Cell {
	off := len(b.arena)
	b.arena = append(b.arena, p...)
	return Cell{bits: uint64(off), n: uint32(len(p)), kind: kind}
}

// Arena returns the arena for appending in place: append to it, hand the result
// to SetArena, and make the cell with SpanCell. This is how a decoder formats
// text without an intermediate buffer.
func (b *Batch) Arena() []byte { return b.arena }

// SetArena stores the arena after appending to what Arena returned.
func (b *Batch) SetArena(a []byte) { b.arena = a }

// SpanCell makes a String or Bytes cell of arena[from:to].
func (b *Batch) SpanCell(kind Type, from, to int) Cell {
	return Cell{bits: uint64(from), n: uint32(to - from), kind: kind}
}

// Alloc makes a Struct, Array or Map cell with n null children lying next to
// each other; set them with SetChild or through Children. A map has 2 children
// per entry, key then value.
func (b *Batch) Alloc(kind Type, n int) Cell {
	off := len(b.cells)
	if cap(b.cells)-off >= n {
		b.cells = b.cells[:off+n]
		clear(b.cells[off:])
	} else {
		b.cells = append(b.cells, make([]Cell, n)...)
	}
	return Cell{bits: uint64(off), n: uint32(n), kind: kind}
}

// SetChild stores child i of a Struct, Array or Map cell.
func (b *Batch) SetChild(parent Cell, i int, v Cell) {
	if uint(i) >= uint(parent.n) {
		panic("record: child index out of range")
	}
	b.cells[int(parent.bits)+i] = v
}

// CloneChildren makes a cell of the same kind whose children are a copy of c's
// (shallow: grandchildren are shared), with room for extra more null children.
func (b *Batch) CloneChildren(c Cell, extra int) Cell {
	n := b.Alloc(c.kind, int(c.n)+extra)
	copy(b.cells[n.bits:], b.cells[c.bits:c.bits+uint64(c.n)])
	return n
}

// ---- reading values

// Raw returns the bytes of a String or Bytes cell; they belong to the batch and
// must not be changed.
func (b *Batch) Raw(c Cell) []byte { return b.arena[c.bits : c.bits+uint64(c.n) : c.bits+uint64(c.n)] }

// Str returns the text of a String cell without copying; it is valid as long as
// the batch is neither reset nor released. Use string(b.Raw(c)) to keep it.
func (b *Batch) Str(c Cell) string {
	if c.n == 0 {
		return ""
	}
	return unsafe.String(&b.arena[c.bits], int(c.n))
}

// Children returns the children of a Struct, Array or Map cell. The slice is
// valid until the next Alloc on this batch (the tape may move), so do not hold
// it across one; cells themselves stay valid.
func (b *Batch) Children(c Cell) []Cell {
	return b.cells[c.bits : c.bits+uint64(c.n) : c.bits+uint64(c.n)]
}

// Child returns child i of a Struct, Array or Map cell.
func (b *Batch) Child(c Cell, i int) Cell {
	if uint(i) >= uint(c.n) {
		panic("record: child index out of range")
	}
	return b.cells[int(c.bits)+i]
}

// ---- records

// Append adds an empty record and returns it for filling. The pointer is valid
// until the next Append.
func (b *Batch) Append() *Record {
	n := len(b.Records)
	if n < cap(b.Records) {
		b.Records = b.Records[:n+1]
	} else {
		b.Records = append(b.Records, Record{})
	}
	r := &b.Records[n]
	*r = Record{Partition: -1, Timestamp: NoTimestamp, Offset: -1}
	return r
}

// Headers returns the headers of a record of this batch.
func (b *Batch) Headers(r *Record) []Header {
	return b.headers[r.headers.from : r.headers.from+r.headers.n : r.headers.from+r.headers.n]
}

// AddHeader appends a header to a record. Headers of one record lie next to each
// other; adding to a record that is not the last one to have got headers moves
// its headers to the end.
func (b *Batch) AddHeader(r *Record, h Header) {
	end := uint32(len(b.headers))
	if r.headers.n == 0 {
		r.headers.from = end
	} else if r.headers.from+r.headers.n != end {
		b.headers = append(b.headers, b.headers[r.headers.from:r.headers.from+r.headers.n]...)
		r.headers.from = end
	}
	b.headers = append(b.headers, h)
	r.headers.n++
}

// SetHeaders replaces the headers of a record.
func (b *Batch) SetHeaders(r *Record, hs []Header) {
	r.headers = span{uint32(len(b.headers)), uint32(len(hs))}
	b.headers = append(b.headers, hs...)
}

// ShareHeaders makes r carry the same headers as from (a tombstone and its delete).
func (b *Batch) ShareHeaders(r, from *Record) { r.headers = from.headers }

// Import deep-copies a value of another batch (or Datum) into this one.
func (b *Batch) Import(src *Batch, c Cell) Cell {
	switch c.kind {
	case String, Bytes:
		return b.BytesCell(c.kind, src.Raw(c))
	case Array, Map, Struct:
		n := b.Alloc(c.kind, int(c.n))
		for i := 0; i < int(c.n); i++ {
			v := b.Import(src, src.Child(c, i))
			b.cells[int(n.bits)+i] = v
		}
		return n
	}
	return c
}

// Put copies a constant into the batch.
func (b *Batch) Put(d *Datum) Cell { return b.Import(&d.b, d.Root) }

// Same reports whether two values of this batch are equal, floats bit by bit.
func (b *Batch) Same(x, y Cell) bool {
	if x.kind != y.kind || x.n != y.n {
		return false
	}
	switch x.kind {
	case String, Bytes:
		return string(b.Raw(x)) == string(b.Raw(y))
	case Array, Map, Struct:
		for i := range x.Len() {
			if !b.Same(b.Child(x, i), b.Child(y, i)) {
				return false
			}
		}
		return true
	}
	return x.bits == y.bits
}
