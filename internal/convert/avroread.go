package convert

import (
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"

	"millrace/internal/record"
)

// avroReadNode is the compiled form of a writer's schema.
type avroReadNode struct {
	kind     avroKind
	target   record.Type     // kind of the cell
	branches []*avroReadNode // of a union
	slots    []int           // of a union read as a struct: the field of each branch, -1 null
	elem     *avroReadNode
	key      *avroReadNode // set for an array of entries read as a map
	fields   []*avroReadNode
	names    []string // of fields, for errors
	symbols  []string
	size     int
}

// avroReader is a cursor over Avro binary data.
type avroReader struct {
	data  []byte
	pos   int
	items int // array and map elements read so far
	stack []record.Cell
}

func (r *avroReader) fail(what string) error {
	return valueErrorf("broken Avro data at byte %d: %s", r.pos, what)
}

func (r *avroReader) varint() (int64, error) {
	var u uint64
	for shift := uint(0); shift < 64; shift += 7 {
		if r.pos >= len(r.data) {
			return 0, r.fail("it ends within a number")
		}
		c := r.data[r.pos]
		r.pos++
		u |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return int64(u>>1) ^ -int64(u&1), nil
		}
	}
	return 0, r.fail("a number is too long")
}

func (r *avroReader) take(n int) ([]byte, error) {
	if n < 0 || n > len(r.data)-r.pos {
		return nil, r.fail("it ends within a value")
	}
	p := r.data[r.pos : r.pos+n]
	r.pos += n
	return p, nil
}

func (r *avroReader) bytes() ([]byte, error) {
	n, err := r.varint()
	if err != nil {
		return nil, err
	}
	if n < 0 || n > int64(len(r.data)-r.pos) {
		return nil, r.fail("a length is out of range")
	}
	return r.take(int(n))
}

// maxZeroItems bounds the elements of arrays whose elements take no bytes.
const maxZeroItems = 1 << 16

// blocks calls item for each element of an array or map.
func (r *avroReader) blocks(item func() error) error {
	for {
		n, err := r.varint()
		if err != nil || n == 0 {
			return err
		}
		if n < 0 {
			if _, err := r.varint(); err != nil { // the size in bytes, for skipping
				return err
			}
			if n = -n; n < 0 {
				return r.fail("a count is out of range")
			}
		}
		if n > int64(len(r.data)+maxZeroItems-r.items) {
			return r.fail("a count is out of range")
		}
		r.items += int(n)
		for ; n > 0; n-- {
			if err := item(); err != nil {
				return err
			}
		}
	}
}

// read takes the next value into b.
func (n *avroReadNode) read(r *avroReader, b *record.Batch) (record.Cell, error) {
	switch n.kind {
	case avroNull:
		return record.Cell{}, nil
	case avroBoolean:
		p, err := r.take(1)
		if err != nil {
			return record.Cell{}, err
		}
		return record.BoolCell(p[0] != 0), nil
	case avroInt, avroLong:
		v, err := r.varint()
		if lo, hi := intRange(n.target); err == nil && (v < lo || v > hi) {
			err = r.fail("the number " + strconv.FormatInt(v, 10) + " is no " + n.target.String())
		}
		return record.IntCell(n.target, v), err
	case avroFloat:
		p, err := r.take(4)
		if err != nil {
			return record.Cell{}, err
		}
		return record.Float32Cell(math.Float32frombits(binary.LittleEndian.Uint32(p))), nil
	case avroDouble:
		p, err := r.take(8)
		if err != nil {
			return record.Cell{}, err
		}
		return record.Float64Cell(math.Float64frombits(binary.LittleEndian.Uint64(p))), nil
	case avroBytes:
		p, err := r.bytes()
		return b.BytesCell(record.Bytes, p), err
	case avroString:
		p, err := r.bytes()
		if !utf8.Valid(p) {
			p = charsetUTF8.read(nil, p)
		}
		return b.BytesCell(record.String, p), err
	case avroFixed:
		p, err := r.take(n.size)
		return b.BytesCell(record.Bytes, p), err
	case avroEnum:
		i, err := r.varint()
		if err != nil || i < 0 || i >= int64(len(n.symbols)) {
			return record.Cell{}, r.fail("no such symbol of the enum")
		}
		return b.StringCell(n.symbols[i]), nil
	case avroArray, avroMap:
		return n.readItems(r, b)
	case avroRecord:
		return n.readRecord(r, b)
	}
	return n.readUnion(r, b)
}

func (n *avroReadNode) readRecord(r *avroReader, b *record.Batch) (record.Cell, error) {
	c := b.Alloc(record.Struct, len(n.fields))
	for i, f := range n.fields {
		v, err := f.read(r, b)
		if err != nil {
			return c, within(n.names[i], err)
		}
		b.SetChild(c, i, v)
	}
	return c, nil
}

func (n *avroReadNode) readItems(r *avroReader, b *record.Batch) (record.Cell, error) {
	base := len(r.stack)
	err := r.blocks(func() (err error) {
		var k record.Cell
		if n.target == record.Map {
			if k, err = n.key.read(r, b); err != nil {
				return err
			}
			r.stack = append(r.stack, k)
		}
		v, err := n.elem.read(r, b)
		r.stack = append(r.stack, v)
		return err
	})
	c := b.Alloc(n.target, len(r.stack)-base)
	copy(b.Children(c), r.stack[base:])
	r.stack = r.stack[:base]
	return c, err
}

func (n *avroReadNode) readUnion(r *avroReader, b *record.Batch) (record.Cell, error) {
	i, err := r.varint()
	if err != nil {
		return record.Cell{}, err
	}
	if i < 0 || i >= int64(len(n.branches)) {
		return record.Cell{}, r.fail("no such branch of the union")
	}
	v, err := n.branches[i].read(r, b)
	if err != nil || n.slots == nil || n.slots[i] < 0 {
		return v, err
	}
	c := b.Alloc(record.Struct, len(n.fields))
	b.SetChild(c, n.slots[i], v)
	return c, nil
}
