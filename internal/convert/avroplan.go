package convert

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"unicode/utf8"

	"millrace/internal/record"
)

// avroOp is how a node writes its value.
type avroOp uint8

const (
	opLong avroOp = iota // zig-zag varint: int and long
	opBoolean
	opFloat
	opDouble
	opBytes // bytes and string, with their length in front
	opText  // a string; halves of surrogate pairs are replaced
	opRaw   // bytes at the top: without length
	opFixed
	opEnum
	opArray
	opMap
	opEntries // map as an array of key and value records
	opRecord
)

// avroNode is the compiled form of a Connect schema written under an Avro schema.
type avroNode struct {
	op     avroOp
	kind   record.Type // kind a cell must have
	prefix []byte      // index of the branch of a union; nil outside one
	null   []byte      // bytes of a null; nil when null is an error
	elem   *avroNode
	key    *avroNode
	fields []avroFieldPlan
	width  int // fields of the Connect struct
	size   int // of a fixed
	enum   map[string]int64
	memo   *memoSlot // of a record that is much as the one before
}

// avroFieldPlan is a field of the record that is written: taken from the struct,
// or a constant that the struct does not have.
type avroFieldPlan struct {
	from     int // index in the struct; -1: constant
	node     *avroNode
	constant []byte
	name     string
}

// avroCompiler pairs Connect schemas with the Avro schemas they are written under.
type avroCompiler struct {
	avroOptions
	// lenient allows the Avro schema to lack fields of the struct
	// (latest.compatibility.strict=false).
	lenient bool
	depth   int
}

func (ac *avroCompiler) scrubbed(name string) string {
	if ac.scrub {
		return scrubName(name)
	}
	return name
}

// compile makes the plan that writes values of s as a.
func (ac *avroCompiler) compile(s *record.Schema, a *avroSchema) (*avroNode, error) {
	if ac.depth++; ac.depth > maxJSONDepth {
		return nil, valueErrorf("the schema is nested too deeply")
	}
	defer func() { ac.depth-- }()
	nullBranch, t := -1, a
	var prefix []byte
	if a.kind == avroUnion {
		chosen := -1
		for i, b := range a.branches {
			if b.kind == avroNull {
				nullBranch = i
			} else if chosen < 0 && ac.fits(s, b) {
				chosen = i
			}
		}
		if chosen < 0 {
			return nil, valueErrorf("no branch of the registered union takes a %s", s.Type)
		}
		t, prefix = a.branches[chosen], appendVarint(nil, int64(chosen))
	} else if !ac.fits(s, a) {
		return nil, valueErrorf("a %s cannot be written as the registered %s", s.Type, a.kind)
	}
	n := &avroNode{kind: s.Type, prefix: prefix}
	if err := ac.compileValue(n, s, t); err != nil {
		return nil, err
	}
	switch {
	case hasDefault(s) && !(s.Optional && ac.ignoreDefaults):
		text, err := n.append(nil, s.Default.Batch(), s.Default.Root)
		if err != nil {
			return nil, within("default", err)
		}
		n.null = text
	case s.Optional && nullBranch >= 0:
		n.null = appendVarint(nil, int64(nullBranch))
	case s.Optional && !ac.lenient:
		return nil, valueErrorf("the field may be null, the registered %s may not", a.kind)
	}
	return n, nil
}

// fits reports whether values of s can be written as a without loss.
func (ac *avroCompiler) fits(s *record.Schema, a *avroSchema) bool {
	switch s.Type {
	case record.Boolean:
		return a.kind == avroBoolean
	case record.Int8, record.Int16:
		return a.kind == avroInt || a.kind == avroLong || a.kind == avroFloat || a.kind == avroDouble
	case record.Int32:
		return a.kind == avroInt || a.kind == avroLong || a.kind == avroDouble
	case record.Int64:
		return a.kind == avroLong
	case record.Float32:
		return a.kind == avroFloat || a.kind == avroDouble
	case record.Float64:
		return a.kind == avroDouble
	case record.String:
		return a.kind == avroString || a.kind == avroEnum
	case record.Bytes:
		return a.kind == avroBytes || a.kind == avroFixed
	case record.Array:
		return a.kind == avroArray
	case record.Map:
		return a.kind == avroMap || a.kind == avroArray && isMapEntry(a.elem)
	case record.Struct:
		return a.kind == avroRecord
	}
	return false
}

// isMapEntry reports whether a record is a key and a value of a map.
func isMapEntry(a *avroSchema) bool {
	return a.kind == avroRecord && len(a.fields) == 2 && a.fields[0].name == "key" && a.fields[1].name == "value" &&
		(a.name == avroMapEntry && a.namespace == avroNamespace || a.textProp(propInternalType) == avroMapEntry)
}

func (ac *avroCompiler) compileValue(n *avroNode, s *record.Schema, a *avroSchema) (err error) {
	switch a.kind {
	case avroBoolean:
		n.op = opBoolean
	case avroInt, avroLong:
		n.op = opLong
	case avroFloat:
		n.op = opFloat
	case avroDouble:
		n.op = opDouble
	case avroBytes:
		n.op = opBytes
		if scale, ok := a.intProp("scale"); ok && isDecimal(s) {
			if own, err := decimalScale(s); err != nil || own != scale {
				return valueErrorf("a decimal of scale %d cannot be written as the registered decimal of scale %d", own, scale)
			}
		}
	case avroString:
		n.op = opText
	case avroFixed:
		n.op, n.size = opFixed, a.size
	case avroEnum:
		n.op, n.enum = opEnum, map[string]int64{}
		for i, sym := range a.symbols {
			n.enum[sym] = int64(i)
		}
	case avroArray:
		if s.Type == record.Map {
			n.op = opEntries
			if n.key, err = ac.compile(s.Key, a.elem.fields[0].typ); err != nil {
				return within("key", err)
			}
			n.elem, err = ac.compileElement(s.Elem, a.elem.fields[1].typ)
			return err
		}
		n.op = opArray
		n.elem, err = ac.compileElement(s.Elem, a.elem)
	case avroMap:
		n.op = opMap
		if s.Key == nil || s.Key.Type != record.String {
			return valueErrorf("a map whose keys are no texts cannot be written as an Avro map")
		}
		n.elem, err = ac.compileElement(s.Elem, a.elem)
	case avroRecord:
		return ac.compileRecord(n, s, a)
	}
	return err
}

// compileElement makes the plan of an element of an array or of a value of a map.
// A null among them stays null: only fields of structs take their default.
func (ac *avroCompiler) compileElement(s *record.Schema, a *avroSchema) (*avroNode, error) {
	n, err := ac.compile(s, a)
	if err == nil && s.Optional && hasDefault(s) && a.kind == avroUnion {
		for i, b := range a.branches {
			if b.kind == avroNull {
				n.null = appendVarint(nil, int64(i))
			}
		}
	}
	return n, err
}

func (ac *avroCompiler) compileRecord(n *avroNode, s *record.Schema, a *avroSchema) error {
	n.op, n.width = opRecord, len(s.Fields)
	byName := make(map[string]int, len(s.Fields))
	for i, f := range s.Fields {
		byName[ac.scrubbed(f.Name)] = i
	}
	for _, f := range a.fields {
		i, ok := byName[f.name]
		if !ok {
			constant, err := avroConstant(f)
			if err != nil {
				return within(f.name, err)
			}
			n.fields = append(n.fields, avroFieldPlan{from: -1, constant: constant, name: f.name})
			continue
		}
		delete(byName, f.name)
		c, err := ac.compile(s.Fields[i].Schema, f.typ)
		if err != nil {
			return within(s.Fields[i].Name, err)
		}
		n.fields = append(n.fields, avroFieldPlan{from: i, node: c, name: s.Fields[i].Name})
	}
	if repeats(s) && n.inOrder() {
		n.memo = &memoSlot{}
	}
	if !ac.lenient {
		for _, f := range s.Fields {
			if _, ok := byName[ac.scrubbed(f.Name)]; ok {
				return within(f.Name, valueErrorf("the registered record %s has no such field", a.fullName()))
			}
		}
	}
	return nil
}

// inOrder reports whether the record's fields are those of the struct, in its order.
func (n *avroNode) inOrder() bool {
	for i := range n.fields {
		if n.fields[i].from != i {
			return false
		}
	}
	return len(n.fields) == n.width
}

// avroConstant writes the default of a field that the struct does not have.
func avroConstant(f avroField) ([]byte, error) {
	if f.def == nil {
		return nil, valueErrorf("the registered record has this field without a default, the data has no such field")
	}
	return appendAvroJSON(nil, f.typ, f.def)
}

// append writes the value of c; the error is a *valueError.
func (n *avroNode) append(dst []byte, b *record.Batch, c record.Cell) ([]byte, error) {
	if c.Kind() != n.kind {
		if !c.IsNull() {
			return dst, errKind(n.kind, c.Kind())
		}
		if n.null == nil {
			return dst, valueErrorf("Found null value for non-optional schema")
		}
		return append(dst, n.null...), nil
	}
	dst = append(dst, n.prefix...)
	switch n.op {
	case opLong:
		return appendVarint(dst, c.Int()), nil
	case opBytes:
		p := b.Raw(c)
		return append(appendVarint(dst, int64(len(p))), p...), nil
	case opText:
		return appendAvroString(dst, b.Raw(c)), nil
	case opBoolean:
		if c.Bool() {
			return append(dst, 1), nil
		}
		return append(dst, 0), nil
	case opFloat:
		return appendAvroFloat(dst, float32(n.number(c))), nil
	case opDouble:
		return appendAvroDouble(dst, n.number(c)), nil
	case opRecord:
		return n.appendRecord(dst, b, c)
	}
	return n.appendRare(dst, b, c)
}

// number is the value of a cell that is written as a float or double.
func (n *avroNode) number(c record.Cell) float64 {
	if n.kind < record.Float32 {
		return float64(c.Int())
	}
	return c.Float()
}

func (n *avroNode) appendRecord(dst []byte, b *record.Batch, c record.Cell) ([]byte, error) {
	cells := b.Children(c)
	if len(cells) != n.width {
		return dst, valueErrorf("Mismatching schema: the struct has %d fields, its schema %d", len(cells), n.width)
	}
	if n.memo != nil {
		return n.appendRepeated(dst, b, cells)
	}
	for i := range n.fields {
		f := &n.fields[i]
		if f.from < 0 {
			dst = append(dst, f.constant...)
			continue
		}
		var err error
		if dst, err = f.node.append(dst, b, cells[f.from]); err != nil {
			return dst, within(f.name, err)
		}
	}
	return dst, nil
}

// appendRepeated is appendRecord with a memo: fields that are as in the record
// before are copied.
func (n *avroNode) appendRepeated(dst []byte, b *record.Batch, cells []record.Cell) (_ []byte, err error) {
	m, from := n.memo.take(b, len(cells)), len(dst)
	for i := 0; i < len(cells); {
		if j := m.run(cells, i); j > i {
			dst = m.copy(dst, from, i, j)
			i = j
			continue
		}
		f := &n.fields[i]
		if dst, err = f.node.append(dst, b, cells[i]); err != nil {
			return dst, within(f.name, err)
		}
		m.next = append(m.next, len(dst)-from)
		i++
	}
	n.memo.keep(m, cells, dst[from:])
	return dst, nil
}

func (n *avroNode) appendRare(dst []byte, b *record.Batch, c record.Cell) (_ []byte, err error) {
	switch n.op {
	case opRaw:
		return append(dst, b.Raw(c)...), nil
	case opFixed:
		if c.Len() != n.size {
			return dst, valueErrorf("%d bytes do not fit a fixed type of %d", c.Len(), n.size)
		}
		return append(dst, b.Raw(c)...), nil
	case opEnum:
		i, ok := n.enum[b.Str(c)]
		if !ok {
			return dst, valueErrorf("%q is no symbol of the Avro enum", b.Raw(c))
		}
		return appendVarint(dst, i), nil
	case opArray:
		cells := b.Children(c)
		if len(cells) > 0 {
			dst = appendVarint(dst, int64(len(cells)))
		}
		for i, e := range cells {
			if dst, err = n.elem.append(dst, b, e); err != nil {
				return dst, within(strconv.Itoa(i), err)
			}
		}
		return append(dst, 0), nil
	}
	cells := b.Children(c)
	if len(cells) > 0 {
		dst = appendVarint(dst, int64(len(cells)/2))
	}
	for i := 0; i+1 < len(cells); i += 2 {
		switch {
		case n.op == opEntries:
			dst, err = n.key.append(dst, b, cells[i])
		case cells[i].Kind() != record.String:
			err = errKind(record.String, cells[i].Kind())
		default:
			dst = appendAvroString(dst, b.Raw(cells[i]))
		}
		if err != nil {
			return dst, within("key", err)
		}
		if dst, err = n.elem.append(dst, b, cells[i+1]); err != nil {
			return dst, within("value", err)
		}
	}
	return append(dst, 0), nil
}

// appendVarint appends Avro's int and long: zig-zag, seven bits a byte.
func appendVarint(dst []byte, v int64) []byte {
	u := uint64(v)<<1 ^ uint64(v>>63)
	if u < 0x80 {
		return append(dst, byte(u))
	}
	for u >= 0x80 {
		dst = append(dst, byte(u)|0x80)
		u >>= 7
	}
	return append(dst, byte(u))
}

// appendAvroString appends a text with its length. Half a surrogate pair, which
// UTF-8 cannot hold, becomes a question mark as in Java.
func appendAvroString(dst, p []byte) []byte {
	if bytes.IndexByte(p, 0xED) >= 0 && !utf8.Valid(p) {
		p = questionMarks(p)
	}
	return append(appendVarint(dst, int64(len(p))), p...)
}

func questionMarks(p []byte) []byte {
	var out []byte
	for len(p) > 0 {
		r, n := utf8.DecodeRune(p)
		if r != utf8.RuneError || n != 1 {
			out = append(out, p[:n]...)
		} else {
			out = append(out, '?')
			if p[0] == 0xED && len(p) >= 3 {
				n = 3
			}
		}
		p = p[n:]
	}
	return out
}

// appendAvroFloat appends a float; every NaN becomes Java's own.
func appendAvroFloat(dst []byte, v float32) []byte {
	u := math.Float32bits(v)
	if v != v {
		u = 0x7fc00000
	}
	return binary.LittleEndian.AppendUint32(dst, u)
}

// appendAvroDouble appends a double; every NaN becomes Java's own.
func appendAvroDouble(dst []byte, v float64) []byte {
	u := math.Float64bits(v)
	if v != v {
		u = 0x7ff8000000000000
	}
	return binary.LittleEndian.AppendUint64(dst, u)
}
