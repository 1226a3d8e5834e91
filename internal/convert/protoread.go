package convert

import (
	"encoding/binary"
	"math"
	"math/big"
	"strconv"
	"strings"
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
}

// protoReadField is a field of a message.
type protoReadField struct {
	node *protoReadNode
	slot int
	in   int // member of a oneof; -1
}

// protoToConnect makes Connect schemas and reading plans of .proto files.
type protoToConnect struct {
	file  *protoFile
	open  map[string]bool
	nodes int
}

// message compiles a message into a struct schema.
func (tc *protoToConnect) message(m *protoMessage) (*record.Schema, *protoReadMessage, error) {
	if tc.nodes++; tc.open[m.full] || tc.nodes > maxSchemaNodes {
		return nil, nil, valueErrorf("the message %s holds itself, which millrace cannot read", m.full)
	}
	tc.open[m.full] = true
	defer delete(tc.open, m.full)
	s := &record.Schema{Type: record.Struct, Name: m.full}
	plan := &protoReadMessage{fields: map[int]*protoReadField{}}
	oneofs := map[int]int{}
	for i := range m.fields {
		f := &m.fields[i]
		fs, node, err := tc.field(f, m)
		if err != nil {
			return nil, nil, within(f.name, err)
		}
		if plan.fields[f.number] != nil {
			return nil, nil, valueErrorf("the message %s has two fields of number %d", m.full, f.number)
		}
		if f.oneof >= 0 {
			at, ok := oneofs[f.oneof]
			if !ok {
				at = len(plan.slots)
				oneofs[f.oneof] = at
				name := m.oneofs[f.oneof]
				s.Fields = append(s.Fields, record.Field{Name: name + "_" + strconv.Itoa(f.oneof),
					Schema: &record.Schema{Type: record.Struct, Optional: true, Name: "io.confluent.connect.protobuf.Union." + name}})
				plan.slots = append(plan.slots, &protoReadSlot{name: name, kind: record.Struct})
			}
			union := s.Fields[at].Schema
			plan.fields[f.number] = &protoReadField{node: node, slot: at, in: len(union.Fields)}
			union.Fields = append(union.Fields, record.Field{Name: f.name, Schema: fs.AsOptional(true)})
			plan.slots[at].width++
			continue
		}
		slot := &protoReadSlot{name: f.name}
		switch {
		case fs.Type == record.Array || fs.Type == record.Map:
			slot.kind = fs.Type
		case node.message == nil && node.special == "" && node.wrapper == nil && !f.optional && !tc.file.proto2:
			slot.zero = protoZero(node)
		}
		s.Fields = append(s.Fields, record.Field{Name: f.name, Schema: fs})
		plan.fields[f.number] = &protoReadField{node: node, slot: len(plan.slots), in: -1}
		plan.slots = append(plan.slots, slot)
	}
	return s, plan, nil
}

// protoZero is the value of a proto3 scalar that is not there. Texts get theirs
// when they are read, since a cell of no bytes belongs to no batch.
func protoZero(n *protoReadNode) record.Cell {
	switch n.target {
	case record.Float32:
		return record.Float32Cell(0)
	case record.Float64:
		return record.Float64Cell(0)
	case record.Boolean:
		return record.BoolCell(false)
	case record.String, record.Bytes:
		var b record.Batch
		return b.SpanCell(n.target, 0, 0)
	}
	return record.IntCell(n.target, 0)
}

// field compiles a field. As in Confluent's converter every field is optional but
// those that proto2 requires, and carries its number as a parameter.
func (tc *protoToConnect) field(f *protoField, m *protoMessage) (*record.Schema, *protoReadNode, error) {
	tag := record.Param{Key: paramProtoTag, Value: strconv.Itoa(f.number)}
	if f.key != "" {
		key, ok := protoScalars[f.key]
		if !ok {
			return nil, nil, valueErrorf("a map cannot have keys of type %s", f.key)
		}
		vs, vn, err := tc.typed(f.typ, f, m)
		if err != nil {
			return nil, nil, err
		}
		entry := &protoReadMessage{fields: map[int]*protoReadField{1: {node: &protoReadNode{scalar: key, target: key.target}, slot: 0, in: -1}, 2: {node: vn, slot: 1, in: -1}},
			slots: []*protoReadSlot{{name: "key", zero: protoZero(&protoReadNode{target: key.target})}, {name: "value"}}}
		if vn.message == nil && vn.special == "" && vn.wrapper == nil {
			entry.slots[1].zero = protoZero(vn)
		}
		s := &record.Schema{Type: record.Map, Optional: true, Key: &record.Schema{Type: key.target}, Elem: vs.AsOptional(true), Params: []record.Param{tag}}
		return s, &protoReadNode{message: entry, target: record.Map}, nil
	}
	s, n, err := tc.typed(f.typ, f, m)
	if err != nil {
		return nil, nil, err
	}
	s = s.Copy()
	if f.repeated && n.message != nil && strings.HasSuffix(s.Name, "Entry") && len(s.Fields) == 2 && s.Fields[0].Name == "key" && s.Fields[1].Name == "value" {
		return &record.Schema{Type: record.Map, Optional: true, Key: s.Fields[0].Schema.AsOptional(false), Elem: s.Fields[1].Schema, Params: []record.Param{tag}}, &protoReadNode{message: n.message, target: record.Map}, nil
	}
	if f.repeated {
		return &record.Schema{Type: record.Array, Optional: true, Elem: s, Params: []record.Param{tag}}, n, nil
	}
	s.Optional = !f.required
	s.Params = append(append([]record.Param{}, s.Params...), tag)
	return s, n, nil
}

// typed compiles the type that a field names.
func (tc *protoToConnect) typed(name string, f *protoField, m *protoMessage) (*record.Schema, *protoReadNode, error) {
	if k, ok := protoScalars[name]; ok {
		n := &protoReadNode{scalar: k, target: k.target}
		if name == "int32" {
			n.target = intType(f.params["connect.type"])
		}
		return &record.Schema{Type: n.target}, n, nil
	}
	if s, n := tc.known(strings.TrimPrefix(name, "."), f); n != nil {
		return s, n, nil
	}
	switch t := tc.file.resolve(name, m.full).(type) {
	case *protoMessage:
		s, plan, err := tc.message(t)
		return s, &protoReadNode{message: plan, target: record.Struct}, err
	case *protoEnum:
		n := &protoReadNode{enum: map[int64]string{}, target: record.String}
		for _, v := range t.values {
			if _, have := n.enum[v.number]; !have {
				n.enum[v.number] = v.name
			}
		}
		return &record.Schema{Type: record.String}, n, nil
	}
	return nil, nil, valueErrorf("the .proto file names the type %s, which it does not define", name)
}

// known compiles the well-known messages.
func (tc *protoToConnect) known(name string, f *protoField) (*record.Schema, *protoReadNode) {
	switch name {
	case protoTimestamp:
		return &record.Schema{Type: record.Int64, Name: nameTimestamp, Version: 1}, &protoReadNode{special: name, target: record.Int64}
	case protoDate:
		return &record.Schema{Type: record.Int32, Name: nameDate, Version: 1}, &protoReadNode{special: name, target: record.Int32}
	case protoTimeOfDay:
		return &record.Schema{Type: record.Int32, Name: nameTime, Version: 1}, &protoReadNode{special: name, target: record.Int32}
	case protoDecimal:
		scale, _ := strconv.Atoi(f.params["scale"])
		params := []record.Param{{Key: "scale", Value: strconv.Itoa(scale)}}
		if p := f.params["precision"]; p != "" {
			params = append(params, record.Param{Key: paramDecimalPrecision, Value: p})
		}
		return &record.Schema{Type: record.Bytes, Name: nameDecimal, Version: 1, Params: params}, &protoReadNode{special: name, target: record.Bytes, scale: scale}
	}
	if w, ok := strings.CutPrefix(name, "google.protobuf."); ok && strings.HasSuffix(w, "Value") {
		inner := map[string]string{"DoubleValue": "double", "FloatValue": "float", "Int64Value": "int64", "UInt64Value": "uint64", "Int32Value": "int32", "UInt32Value": "uint32", "BoolValue": "bool", "StringValue": "string", "BytesValue": "bytes"}[w]
		if k, ok := protoScalars[inner]; ok {
			return &record.Schema{Type: k.target}, &protoReadNode{wrapper: &protoReadNode{scalar: k, target: k.target}, target: k.target}
		}
	}
	return nil, nil
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
