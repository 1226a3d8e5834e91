package convert

import (
	"encoding/binary"
	"math"
	"math/big"
	"strconv"
	"time"
	"unicode/utf8"

	"millrace/internal/record"
)

// protoScalarKind is how a scalar of a .proto file is read.
type protoScalarKind struct {
	target record.Type
	wire   int
	zigzag bool
	signed bool // 32 bit numbers of fixed width are signed
}

// protoScalars are the scalars of .proto files.
var protoScalars = map[string]protoScalarKind{
	"double": {target: record.Float64, wire: wireFixed64}, "float": {target: record.Float32, wire: wireFixed32},
	"int32": {target: record.Int32, signed: true}, "int64": {target: record.Int64, signed: true}, "uint32": {target: record.Int64}, "uint64": {target: record.Int64},
	"sint32": {target: record.Int32, zigzag: true, signed: true}, "sint64": {target: record.Int64, zigzag: true, signed: true},
	"fixed32": {target: record.Int64, wire: wireFixed32}, "fixed64": {target: record.Int64, wire: wireFixed64},
	"sfixed32": {target: record.Int32, wire: wireFixed32, signed: true}, "sfixed64": {target: record.Int64, wire: wireFixed64, signed: true},
	"bool": {target: record.Boolean}, "string": {target: record.String, wire: wireBytes}, "bytes": {target: record.Bytes, wire: wireBytes},
}

// protoReadNode reads one kind of value.
type protoReadNode struct {
	scalar  protoScalarKind
	message *protoReadMessage
	special string           // a well-known message
	wrapper *protoReadNode   // a wrapper message: what is inside
	enum    map[int64]string // names by number
	scale   int              // of a decimal
	target  record.Type
}

// protoReadMessage reads a message.
type protoReadMessage struct {
	fields map[int]*protoReadField
	slots  []*protoReadSlot
}

// protoReadSlot is a field of the struct that a message becomes.
type protoReadSlot struct {
	name  string
	kind  record.Type // Array or Map for lists; Struct for a oneof
	zero  record.Cell // what stands for a field that is not there
	width int         // members of a oneof
	// message is what stands for a message that is not there; nil: null.
	message *protoReadMessage
}

// protoReadField is a field of a message.
type protoReadField struct {
	node *protoReadNode
	slot int
	in   int // member of a oneof; -1
}

// protoReader is a cursor over a Protobuf message.
type protoReader struct {
	data  []byte
	pos   int
	depth int
}

func (r *protoReader) fail(what string) error {
	return valueErrorf("broken Protobuf data at byte %d: %s", r.pos, what)
}

func (r *protoReader) varint() (uint64, error) {
	v, n := binary.Uvarint(r.data[r.pos:])
	if n <= 0 {
		return 0, r.fail("a number is not well formed")
	}
	r.pos += n
	return v, nil
}

// bytes takes what a length precedes.
func (r *protoReader) bytes() ([]byte, error) {
	n, err := r.varint()
	if err != nil {
		return nil, err
	}
	if n > uint64(len(r.data)-r.pos) {
		return nil, r.fail("a length is out of range")
	}
	p := r.data[r.pos : r.pos+int(n)]
	r.pos += int(n)
	return p, nil
}

func (r *protoReader) fixed(n int) (uint64, error) {
	if len(r.data)-r.pos < n {
		return 0, r.fail("it ends within a number")
	}
	p := r.data[r.pos : r.pos+n]
	r.pos += n
	if n == 4 {
		return uint64(binary.LittleEndian.Uint32(p)), nil
	}
	return binary.LittleEndian.Uint64(p), nil
}

// skip goes past a field of a number that is not known.
func (r *protoReader) skip(wire int) (err error) {
	switch wire {
	case wireVarint:
		_, err = r.varint()
	case wireFixed64:
		_, err = r.fixed(8)
	case wireBytes:
		_, err = r.bytes()
	case wireFixed32:
		_, err = r.fixed(4)
	default:
		err = r.fail("an unknown wire type")
	}
	return err
}

// tag takes the number and wire type of a field.
func (r *protoReader) tag() (number, wire int, err error) {
	t, err := r.varint()
	if err == nil && (t>>3 == 0 || t>>3 > 1<<29-1) {
		err = r.fail("a field number is out of range")
	}
	return int(t >> 3), int(t & 7), err
}

// read reads a whole message into a struct.
func (m *protoReadMessage) read(data []byte, depth int, b *record.Batch) (record.Cell, error) {
	r := protoReader{data: data, depth: depth}
	if depth > 100 {
		return record.Cell{}, r.fail("messages are nested too deeply")
	}
	values := make([]record.Cell, len(m.slots))
	lists := make([][]record.Cell, len(m.slots))
	for i, s := range m.slots {
		values[i] = s.zero
	}
	for r.pos < len(data) {
		number, wire, err := r.tag()
		if err != nil {
			return record.Cell{}, err
		}
		f := m.fields[number]
		if f == nil {
			if err := r.skip(wire); err != nil {
				return record.Cell{}, err
			}
			continue
		}
		slot := m.slots[f.slot]
		switch {
		case slot.kind == record.Array:
			lists[f.slot], err = f.node.readRepeated(&r, wire, b, lists[f.slot])
		case slot.kind == record.Map:
			lists[f.slot], err = f.node.readEntry(&r, wire, b, lists[f.slot])
		default:
			var v record.Cell
			v, err = f.node.read(&r, wire, b)
			if f.in >= 0 {
				u := b.Alloc(record.Struct, slot.width)
				b.SetChild(u, f.in, v)
				v = u
			}
			values[f.slot] = v
		}
		if err != nil {
			return record.Cell{}, within(slot.name, err)
		}
	}
	for i, s := range m.slots {
		if s.kind == record.Array || s.kind == record.Map {
			c := b.Alloc(s.kind, len(lists[i]))
			copy(b.Children(c), lists[i])
			values[i] = c
		} else if s.message != nil && values[i].IsNull() {
			v, err := s.message.read(nil, depth+1, b)
			if err != nil {
				return record.Cell{}, within(s.name, err)
			}
			values[i] = v
		}
	}
	c := b.Alloc(record.Struct, len(values))
	copy(b.Children(c), values)
	return c, nil
}

// readRepeated appends the elements of one occurrence of a list, packed or not.
func (n *protoReadNode) readRepeated(r *protoReader, wire int, b *record.Batch, list []record.Cell) ([]record.Cell, error) {
	if wire != wireBytes || n.message != nil || n.special != "" || n.wrapper != nil || n.enum == nil && n.scalar.wire == wireBytes {
		v, err := n.read(r, wire, b)
		return append(list, v), err
	}
	p, err := r.bytes()
	if err != nil {
		return list, err
	}
	packed := protoReader{data: p, depth: r.depth}
	for packed.pos < len(p) {
		v, err := n.read(&packed, n.scalar.wire, b)
		if err != nil {
			return list, err
		}
		list = append(list, v)
	}
	return list, nil
}

func (n *protoReadNode) readEntry(r *protoReader, wire int, b *record.Batch, list []record.Cell) ([]record.Cell, error) {
	if wire != wireBytes {
		return list, r.fail("a map entry is no message")
	}
	p, err := r.bytes()
	if err != nil {
		return list, err
	}
	e, err := n.message.read(p, r.depth+1, b)
	if err != nil {
		return list, err
	}
	k, v := b.Child(e, 0), b.Child(e, 1)
	for i := 0; i < min(len(list), 256); i += 2 { // the last of equal keys wins
		if list[i] == k || k.Kind() == record.String && list[i].Kind() == record.String && b.Str(list[i]) == b.Str(k) {
			list[i+1] = v
			return list, nil
		}
	}
	return append(list, k, v), nil
}

// read reads one value.
func (n *protoReadNode) read(r *protoReader, wire int, b *record.Batch) (record.Cell, error) {
	want := n.scalar.wire
	if n.message != nil || n.special != "" || n.wrapper != nil {
		want = wireBytes
	} else if n.enum != nil {
		want = wireVarint
	}
	if wire != want {
		return record.Cell{}, r.fail("the wire type " + strconv.Itoa(wire) + " does not fit the field")
	}
	switch wire {
	case wireBytes:
		return n.readBytes(r, b)
	case wireFixed32, wireFixed64:
		size := 4
		if wire == wireFixed64 {
			size = 8
		}
		u, err := r.fixed(size)
		if err != nil {
			return record.Cell{}, err
		}
		switch n.target {
		case record.Float32:
			return record.Float32Cell(math.Float32frombits(uint32(u))), nil
		case record.Float64:
			return record.Float64Cell(math.Float64frombits(u)), nil
		}
		if size == 4 && n.scalar.signed {
			u = uint64(int64(int32(u)))
		}
		return n.integer(r, u)
	}
	u, err := r.varint()
	if err != nil {
		return record.Cell{}, err
	}
	if n.enum != nil {
		if n.target == record.Int32 {
			return record.Int32Cell(int32(u)), nil
		}
		name, ok := n.enum[int64(int32(u))]
		if !ok {
			name = strconv.FormatInt(int64(int32(u)), 10)
		}
		return b.StringCell(name), nil
	}
	if n.target == record.Boolean {
		return record.BoolCell(u != 0), nil
	}
	if n.scalar.zigzag {
		u = u>>1 ^ -(u & 1)
	}
	return n.integer(r, u)
}

// integer checks that a number fits its Connect type.
func (n *protoReadNode) integer(r *protoReader, u uint64) (record.Cell, error) {
	v := int64(u)
	if !n.scalar.signed && v < 0 {
		return record.Cell{}, r.fail("the number " + strconv.FormatUint(u, 10) + " is too large for int64")
	}
	if lo, hi := intRange(n.target); v < lo || v > hi {
		return record.Cell{}, r.fail("the number " + strconv.FormatInt(v, 10) + " is no " + n.target.String())
	}
	return record.IntCell(n.target, v), nil
}

func (n *protoReadNode) readBytes(r *protoReader, b *record.Batch) (record.Cell, error) {
	p, err := r.bytes()
	if err != nil {
		return record.Cell{}, err
	}
	switch {
	case n.message != nil:
		return n.message.read(p, r.depth+1, b)
	case n.special != "":
		return n.readSpecial(p, r.depth+1, b)
	case n.wrapper != nil:
		return n.readWrapper(p, r.depth+1, b)
	case n.target == record.String && !utf8.Valid(p):
		return record.Cell{}, r.fail("a text is not valid UTF-8")
	}
	return b.BytesCell(n.target, p), nil
}

func (n *protoReadNode) readWrapper(p []byte, depth int, b *record.Batch) (record.Cell, error) {
	in := protoReader{data: p, depth: depth}
	v := protoZero(n.wrapper)
	for in.pos < len(p) {
		number, wire, err := in.tag()
		if err == nil && number == 1 {
			v, err = n.wrapper.read(&in, wire, b)
		} else if err == nil {
			err = in.skip(wire)
		}
		if err != nil {
			return record.Cell{}, err
		}
	}
	return v, nil
}

// readSpecial reads a date, time, timestamp or decimal.
func (n *protoReadNode) readSpecial(p []byte, depth int, b *record.Batch) (record.Cell, error) {
	in := protoReader{data: p, depth: depth}
	var v [5]int64
	var digits []byte
	for in.pos < len(p) {
		number, wire, err := in.tag()
		switch {
		case err != nil:
		case wire == wireVarint && number < len(v):
			var u uint64
			u, err = in.varint()
			v[number] = int64(u)
		case wire == wireBytes && number == 1:
			digits, err = in.bytes()
		default:
			err = in.skip(wire)
		}
		if err != nil {
			return record.Cell{}, err
		}
	}
	switch n.special {
	case protoTimestamp:
		return record.Int64Cell(v[1]*1000 + v[2]/1e6), nil
	case protoDate:
		days := time.Date(int(int32(v[1])), time.Month(int32(v[2])), int(int32(v[3])), 0, 0, 0, 0, time.UTC).Unix() / 86400
		return record.Int32Cell(int32(days)), nil
	case protoTimeOfDay:
		return record.Int32Cell(int32(((v[1]*60+v[2])*60+v[3])*1000 + v[4]/1e6)), nil
	}
	scale := int(int32(v[3]))
	if scale == n.scale {
		return b.BytesCell(record.Bytes, digits), nil
	}
	if scale > 20_000 || scale < -20_000 {
		return record.Cell{}, in.fail("the scale of a decimal is out of range")
	}
	u := bigOf(digits)
	shift := n.scale - scale
	pow := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(shift, -shift))), nil)
	if shift > 0 {
		u.Mul(u, pow)
	} else if rest := new(big.Int); true {
		if u.QuoRem(u, pow, rest); rest.Sign() != 0 {
			return record.Cell{}, in.fail("a decimal of scale " + strconv.Itoa(scale) + " does not fit the schema's scale " + strconv.Itoa(n.scale))
		}
	}
	return b.BytesCell(record.Bytes, appendTwosComplement(nil, u)), nil
}
