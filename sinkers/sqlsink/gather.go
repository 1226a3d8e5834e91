package sqlsink

import (
	"encoding/binary"
	"hash/maphash"

	"millrace/internal/record"
)

// unit is one statement's worth of a transaction: rows of one plan, one operation.
type unit struct {
	op   unitOp
	plan *plan
	rows []int32 // record indexes in order; -1: superseded by a later record
	live int     // rows that are not -1
}

type unitOp uint8

const (
	unitDelete unitOp = iota
	unitInsert
	unitUpsert
	unitUpdate
	unitTruncate
)

// gathered is what a batch holds for one table so far. Within one epoch deletes go
// first and each key is written at most once, so the units may run one after the
// other and end as the records in their order would have. What cannot be expressed
// that way (a truncate, one key written through two plans) begins a new epoch.
type gathered struct {
	units  []*unit // closed epochs, in order
	del    *unit   // of the open epoch
	writes []*unit // of the open epoch, one per plan
	keys   keyIndex
	rows   int
	strict bool // records are written one by one in their order
}

// keyState is what the open epoch holds for a key.
type keyState struct {
	unit    *unit // the write; nil: only a delete
	pos     int   // in unit.rows
	several bool  // there are more writes of it in the epoch
	deleted bool
}

func (g *gathered) reset() {
	g.units, g.del, g.writes, g.rows = g.units[:0], nil, g.writes[:0], 0
	g.keys.reset()
}

// seal ends the epoch.
func (g *gathered) seal() {
	if g.del != nil && g.del.live > 0 {
		g.units = append(g.units, g.del)
	}
	for _, u := range g.writes {
		if u.live > 0 {
			g.units = append(g.units, u)
		}
	}
	g.del, g.writes = nil, g.writes[:0]
	g.keys.reset()
}

func (g *gathered) add(u *unit, i int32) int {
	u.rows = append(u.rows, i)
	u.live++
	g.rows++
	return len(u.rows) - 1
}

func (g *gathered) truncate(p *plan, i int32) {
	// Everything before it is void: rows that the truncate removes need not be written.
	if g.strict {
		g.seal()
	} else {
		g.units, g.del, g.writes = g.units[:0], nil, g.writes[:0]
		g.keys.reset()
	}
	u := &unit{op: unitTruncate, plan: p}
	g.add(u, i)
	g.units = append(g.units, u)
}

// remove adds a delete. key is the encoded key.
func (g *gathered) remove(p *plan, i int32, key []byte) {
	if g.strict && len(g.writes) > 0 {
		g.seal()
	}
	st := g.keys.at(key)
	if st.several { // rows of a table without key, all of which it deletes
		g.seal()
		st = g.keys.at(key)
	}
	if st.unit != nil {
		st.unit.rows[st.pos] = -1
		st.unit.live--
		st.unit = nil
	}
	if st.deleted {
		return
	}
	st.deleted = true
	if g.del == nil {
		g.del = &unit{op: unitDelete, plan: p}
	}
	if g.del.plan != p { // the same key columns through another key schema
		g.seal()
		st = g.keys.at(key)
		st.deleted = true
		g.del = &unit{op: unitDelete, plan: p}
	}
	g.add(g.del, i)
}

// write adds a row. key is nil when rows have no key; dedupe is false for plain
// inserts, where a repeated key is the target's to refuse.
func (g *gathered) write(op unitOp, p *plan, i int32, key []byte, dedupe bool) {
	if g.strict && g.mixes(op, p, key) {
		g.seal()
	}
	var st *keyState
	if key != nil {
		st = g.keys.at(key)
		if dedupe && st.unit != nil && st.unit.plan != p {
			g.seal()
			st = g.keys.at(key)
		}
	}
	u := g.unitFor(op, p)
	if st != nil {
		if dedupe && st.unit == u {
			u.rows[st.pos] = -1
			u.live--
		}
		st.several = !dedupe && st.unit != nil
		st.unit, st.pos = u, g.add(u, i)
		return
	}
	g.add(u, i)
}

// mixes tells whether a write cannot be one more row of the last unit.
func (g *gathered) mixes(op unitOp, p *plan, key []byte) bool {
	switch {
	case g.del != nil:
		return true
	case len(g.writes) > 0 && (g.writes[0].plan != p || g.writes[0].op != op):
		return true
	}
	return key != nil && g.keys.at(key).unit != nil
}

func (g *gathered) unitFor(op unitOp, p *plan) *unit {
	for _, u := range g.writes {
		if u.plan == p && u.op == op {
			return u
		}
	}
	u := &unit{op: op, plan: p}
	g.writes = append(g.writes, u)
	return u
}

// keyIndex maps encoded keys to their state. It keeps its memory between batches.
type keyIndex struct {
	seed   maphash.Seed
	slots  []int32 // index into states plus one, 0: free; a power of two
	states []keyState
	spans  []uint64 // offset<<32 | length of each state's key
	bytes  []byte
}

func (x *keyIndex) reset() {
	if len(x.states) == 0 {
		return
	}
	clear(x.slots)
	clear(x.states)
	x.states, x.spans, x.bytes = x.states[:0], x.spans[:0], x.bytes[:0]
}

// at returns the state of a key, a zero one when it is new. The pointer is valid
// until the next call.
func (x *keyIndex) at(key []byte) *keyState {
	if 2*len(x.states) >= len(x.slots) {
		x.grow()
	}
	mask := len(x.slots) - 1
	for s := int(maphash.Bytes(x.seed, key)) & mask; ; s = (s + 1) & mask {
		n := x.slots[s]
		if n == 0 {
			x.states = append(x.states, keyState{})
			x.spans = append(x.spans, uint64(len(x.bytes))<<32|uint64(len(key)))
			x.bytes = append(x.bytes, key...)
			x.slots[s] = int32(len(x.states))
			return &x.states[len(x.states)-1]
		}
		sp := x.spans[n-1]
		if string(x.bytes[sp>>32:sp>>32+sp&0xffffffff]) == string(key) {
			return &x.states[n-1]
		}
	}
}

func (x *keyIndex) grow() {
	if x.slots == nil {
		x.seed = maphash.MakeSeed()
	}
	x.slots = make([]int32, max(256, 2*len(x.slots)))
	mask := len(x.slots) - 1
	for i, sp := range x.spans {
		s := int(maphash.Bytes(x.seed, x.bytes[sp>>32:sp>>32+sp&0xffffffff])) & mask
		for x.slots[s] != 0 {
			s = (s + 1) & mask
		}
		x.slots[s] = int32(i + 1)
	}
}

// appendKey encodes the key columns of a record so that equal keys give equal
// bytes, whatever integer width they came in.
func appendKey(dst []byte, src *rows, p *plan, i int32) []byte {
	for c := 0; c < p.keys; c++ {
		dst = appendKeyCell(dst, src.b, src.value(&p.cols[c], i))
	}
	return dst
}

func appendKeyCell(dst []byte, b *record.Batch, c record.Cell) []byte {
	switch c.Kind() {
	case record.Int8, record.Int16, record.Int32, record.Int64:
		return binary.BigEndian.AppendUint64(append(dst, 'i'), uint64(c.Int()))
	case record.Float32, record.Float64:
		return appendFloat(append(dst, 'f'), c.Float(), 64)
	case record.Boolean:
		if c.Bool() {
			return append(dst, 't')
		}
		return append(dst, 'u')
	case record.String, record.Bytes:
		dst = binary.BigEndian.AppendUint32(append(dst, 's'), uint32(c.Len()))
		return append(dst, b.Raw(c)...)
	case record.Array, record.Map, record.Struct:
		dst = binary.BigEndian.AppendUint32(append(dst, 'a'), uint32(c.Len()))
		for j := 0; j < c.Len(); j++ {
			dst = appendKeyCell(dst, b, b.Child(c, j))
		}
		return dst
	}
	return append(dst, 'n')
}
